"""Documents that could lie: generated ones are in step, commands exist, links lead somewhere."""

import re
import shlex
import shutil
import subprocess
import tomllib

import pytest
import typer
import yaml
from typer.testing import CliRunner

from config import ROOT, Settings
from db.engine import Database
from db.media import MediaStore
from db.migrate import migrate
from db.tables import Base
from docs import build
from feedback import demo, export

README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
GUIDES = [README, CHINESE, ROOT / "CONTRIBUTING.md"]
GUIDES += [
    ROOT / "docs" / name for name in ("docker.md", "operations.md", "running.md", "spaces.md")
]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").rglob("*.md")]
)
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def read(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", read(page), flags=re.DOTALL | re.MULTILINE)


def prose(page):
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", read(page), flags=re.DOTALL | re.MULTILINE)


def commands(page):
    """The shell commands of a page as words, without the settings in front of them."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            words = shlex.split(line)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            yield words


def front_matter(page):
    return yaml.safe_load(re.match(r"---\n(.*?)^---\n", read(page), re.DOTALL | re.MULTILINE)[1])


# Generated documents


def test_the_generated_documents_are_in_step():
    assert build.main(ROOT, check=True) == [], "run make fix"


def test_what_is_out_of_step_is_found_and_mended(tmp_path):
    (tmp_path / "docs").mkdir()

    assert build.main(tmp_path, check=True) == list(build.PAGES)
    assert build.main(tmp_path, check=False) == list(build.PAGES)
    assert build.main(tmp_path, check=True) == []


def test_the_example_of_settings_holds_the_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    example = tmp_path / "env"
    lines = read(ROOT / ".env.example").replace("\n#GENLOOP", "\nGENLOOP")
    example.write_text(lines.replace("\n#DATABASE", "\nDATABASE"), encoding="utf-8")

    given = Settings(_env_file=example).model_dump()
    default = Settings(_env_file=None).model_dump()
    for models in ("text_models", "image_models", "vae_models"):
        given[models] = tuple(str(ROOT / folder) for folder in given[models])

    assert given == default


def test_the_tables_for_later_are_filled_by_nobody():
    tables = {table.__tablename__: table.__name__ for table in Base.__subclasses__()}
    sources = [path for name in PACKAGES - {"tests"} for path in (ROOT / name).rglob("*.py")]
    code = "".join(map(read, sources))

    def is_filled(table):
        given = rf"\b{table}\((?!Base\))|insert\({table}|\b{table}\.__table__"
        return re.search(given, code) is not None

    filled_by_triggers = {"changes"}
    empty = {name for name, table in tables.items() if not is_filled(table)}
    assert empty - filled_by_triggers == set(build.LATER)


def test_every_variable_that_the_guides_name_is_a_setting():
    known = {variable for variable, _, _ in build.settings()}
    for page in PAGES:
        assert set(re.findall(r"\bGENLOOP_[A-Z_]+\b", read(page))) <= known, page.name


# The READMEs


def test_the_head_of_the_readme_makes_a_space():
    head = front_matter(README)
    [gradio] = re.findall(r"^gradio==(.+)$", read(ROOT / "requirements.txt"), re.MULTILINE)
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]

    assert head["sdk"] == "gradio"
    assert head["sdk_version"] == gradio
    assert head["python_version"] == "3.12"
    assert head["license"] == project["license"].lower()
    assert (ROOT / head["app_file"]).is_file()
    assert len(head["short_description"]) <= 60
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {head["colorFrom"], head["colorTo"]} <= colors


def test_both_readmes_have_the_same_parts():
    def headings(page):
        return re.findall(r"^(#+) ", prose(page), flags=re.MULTILINE)

    assert headings(README) == headings(CHINESE)
    assert blocks(README, "sh") == blocks(CHINESE, "sh")
    assert set(links(README)) - {"README.zh-CN.md"} == {
        link.replace("-zh-light", "-en-light") for link in links(CHINESE)
    } - {"README.md"}


@pytest.mark.parametrize("page", [README, CHINESE], ids=["en", "zh"])
def test_the_tree_is_that_of_the_repository(page):
    [tree] = blocks(page, "text")
    named = [line.split()[0] for line in tree.splitlines()]

    assert all((ROOT / name).exists() for name in named)
    assert {name.rstrip("/") for name in named} >= PACKAGES - {"benchmarks", "deploy"} | {"app.py"}


# Commands


def makefile_targets():
    return set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), flags=re.MULTILINE))


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_command_is_one_that_exists(page):
    found = list(commands(page))

    assert found
    for program, *arguments in found:
        if program == "make":
            assert set(arguments) <= makefile_targets()
        elif program == "docker":
            build_arguments = re.findall(r"^ARG (\w+)", read(ROOT / "Dockerfile"), re.MULTILINE)
            given = [one.split("=")[0] for one in arguments if one.startswith("TORCH")]
            assert set(given) <= set(build_arguments)
        else:
            assert program in (".venv/bin/python", ".venv/bin/alembic")
        if "-m" in arguments and arguments[-1] != "what changes":
            module = arguments[arguments.index("-m") + 1].replace(".", "/")
            assert (ROOT / f"{module}.py").is_file()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_run_migrates_and_then_serves():
    plan = subprocess.run(
        ["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert 0 < plan.index("-m db.migrate") < plan.index("python app.py")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_alone_lists_the_targets():
    said = subprocess.run(
        ["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout

    for target in ("run", "test", "check", "fix", "demo-data"):
        assert re.search(rf"^{target} +\w", said, flags=re.MULTILINE)


def test_the_export_of_the_readme_writes_a_dataset(tmp_path, monkeypatch):
    [words] = [words for words in commands(README) if "feedback.export" in words]
    options = words[words.index("feedback.export") + 1 :]
    folder = tmp_path / options[options.index("--out") + 1]
    options[options.index("--out") + 1] = str(folder)
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path))
    database = Database(Settings().database)
    migrate(database)
    demo.fill(database, MediaStore(tmp_path / "media"), visitors=4)
    database.close()
    app = typer.Typer()
    app.command()(export.main)

    outcome = CliRunner().invoke(app, options)

    assert outcome.exit_code == 0, outcome.output
    assert (folder / "manifest.json").is_file()


# Links, paths, tests


def links(page):
    """Where the links and pictures of a page lead, but for those to other sites."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", link):
            yield link


def anchors(page):
    """How GitHub calls the headings of a page."""
    for heading in re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@every_page
def test_every_link_and_picture_leads_somewhere(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@every_page
def test_every_path_that_is_named_exists(page):
    for name in re.findall(r"`([a-z_]+/[a-z0-9_./-]*)(?:::\w+)?`", prose(page)):
        if name.split("/")[0] in PACKAGES:
            assert (ROOT / name).exists() or (page.parent / name).exists(), name


@every_page
def test_every_test_that_is_named_exists(page):
    for name, test in re.findall(r"(tests/[\w/]+\.py)::(\w+)", read(page)):
        assert f"def {test}(" in read(ROOT / name), f"{name}::{test}"


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_parts_and_its_number(page):
    text = read(page)

    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert re.search(r"^Status: (accepted|superseded)", text, flags=re.MULTILINE)
    parts = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequences"]


def test_the_changelog_knows_this_version():
    version = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["version"]

    assert f"## [{version}]" in read(ROOT / "CHANGELOG.md")


# The container, which is not built here


def test_the_dockerfile_sets_what_are_settings():
    known = {variable for variable, _, _ in build.settings()}
    given = re.findall(r"\b(GENLOOP_\w+)=", read(ROOT / "Dockerfile"))

    assert set(given) == {"GENLOOP_HOST", "GENLOOP_PORT", "GENLOOP_DATA_DIR"}
    assert set(given) <= known
    assert f"python:{front_matter(README)['python_version']}-slim" in read(ROOT / "Dockerfile")


def test_the_image_holds_what_the_app_needs_and_no_data():
    kept = set(re.findall(r"^!(.+)$", read(ROOT / ".dockerignore"), flags=re.MULTILINE))

    assert all((ROOT / name).exists() for name in kept)
    assert kept >= PACKAGES - {"benchmarks", "deploy", "docs", "tests", "training"}
    assert kept >= {"app.py", "config.py", "pyproject.toml", "requirements.txt"}
    assert not kept & {"data", ".env", ".git", ".venv"}


def test_the_health_that_is_asked_for_is_a_route():
    assert "/health" in read(ROOT / "Dockerfile")
    assert '@router.get("/health"' in read(ROOT / "web" / "health.py")
