"""The layers of docs/architecture.md, who may read what, and words that both languages have."""

import ast
import re
import string
from functools import cache
from pathlib import Path

import pytest

from config import ROOT
from feedback.consent import TERMS
from feedback.rate import REASONS
from ui.owner_words import OWNER_WORDS
from ui.strings import OWNER_LOGIN
from ui.words import WORDS

# db <- models <- generators <- feedback <- ui <- web; training stands beside the web app.
MAY_IMPORT = {
    "db": set(),
    "models": {"db"},
    "generators": {"db", "models"},
    "feedback": {"db", "models", "generators"},
    "training": {"models", "feedback"},
    "deploy": set(),
    "ui": {"db", "models", "generators", "feedback"},
    "web": {"db", "models", "generators", "feedback", "ui"},
}
OURS = {*MAY_IMPORT, "app", "benchmarks", "docs", "tests"}
SHOW_PAGES = {"ui", "app.py", "benchmarks"}  # what may import gradio
# benchmarks/processes.py and feedback/export_jobs.py hand their environment on to what they start,
# deploy/space.py to the Space; feedback/consumers.py tells the libraries that it tries to stay off
# the network, feedback/on_ray.py Ray not to report how it is used, feedback/priority.py tokenizers
# to take one processor.
READ_ENVIRONMENT = {
    "config.py",
    "app.py",
    "web/services.py",
    "web/doctor/main.py",
    "benchmarks/processes.py",
    "feedback/consumers.py",
    "feedback/export_jobs.py",
    "feedback/on_ray.py",
    "feedback/priority.py",
    "deploy/space.py",
}
READ_SETTINGS = {
    "app.py",
    "db/backup.py",
    "db/migrate.py",
    "db/move.py",
    "db/move_pictures.py",
    "db/migrations/env.py",
    "db/restore.py",
    "db/sweep_pictures.py",
    "feedback/demo.py",
    "feedback/export.py",
    "feedback/export_worker.py",
    "feedback/import_feedback.py",
    "feedback/imports.py",
    "feedback/push.py",
    "feedback/versions.py",
    "web/doctor/main.py",
}

SOURCES = sorted(
    path.relative_to(ROOT)
    for path in [
        ROOT / "app.py",
        ROOT / "config.py",
        *(file for name in MAY_IMPORT for file in (ROOT / name).rglob("*.py")),
        *(ROOT / "benchmarks").rglob("*.py"),
        *(ROOT / "docs").rglob("*.py"),
    ]
)
LAYERED = [path for path in SOURCES if path.parts[0] in MAY_IMPORT]
SCRIPTS = sorted((ROOT / "web" / "static").glob("*.js"))
PAGES = sorted((ROOT / "ui").glob("*.py"))

every_source = pytest.mark.parametrize("path", SOURCES, ids=str)


@cache
def tree(path):
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imported(path):
    """The top-level packages that a file imports, wherever it does so."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: write the whole name"
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", LAYERED, ids=str)
def test_no_import_points_up(path):
    package = path.parts[0]

    assert set(imported(path)) & OURS <= MAY_IMPORT[package] | {package}


@every_source
def test_only_the_pages_know_gradio(path):
    if path.parts[0] not in SHOW_PAGES:
        assert "gradio" not in set(imported(path))


@every_source
def test_only_settings_and_entry_points_read_the_environment(path):
    if str(path) in READ_ENVIRONMENT:
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("environ", "getenv"), f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            assert not {alias.name for alias in node.names} & {"environ", "getenv"}


@every_source
def test_only_entry_points_read_the_settings(path):
    if str(path) in READ_SETTINGS:
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "Settings", f"line {node.lineno}: hand the settings down"


@every_source
def test_nothing_catches_every_exception_silently(path):
    """`except Exception` stays out; BaseException is for passing on what another thread raised."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}"
            assert ast.unparse(node.type) != "Exception", f"line {node.lineno}"


# Words


def places(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize(
    "words", [WORDS, OWNER_WORDS, OWNER_LOGIN, {"en": {"": TERMS["en"]}, "zh": {"": TERMS["zh"]}}]
)
def test_both_languages_have_the_same_words_with_the_same_places(words):
    assert words.keys() == {"en", "zh"}
    assert words["en"].keys() == words["zh"].keys()
    for key, english in words["en"].items():
        assert english.strip() and words["zh"][key].strip(), key
        assert places(english) == places(words["zh"][key]), key


def first_arguments(source, function):
    """What stands in the calls of a function up to the first comma or the closing bracket."""
    for call in re.finditer(rf"(?<![\w.]){function}\(", source):
        depth, end = 1, call.end()
        while depth and not (depth == 1 and source[end] == ","):
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(source[end], 0)
            end += 1
        yield source[call.end() : end]


def words_of_script(source):
    """Keys that stand in word('…'), and those of buttons and offers, whose name is their key."""
    for function in ("word", r"this\.toggle", "offer"):
        for argument in first_arguments(source, function):
            # In `a === 'b' ? 'c' : 'd'` only what may come out is a key.
            yield from re.findall(r"'(\w+)'", argument.partition("?")[2] or argument)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_word_of_the_pages_script_is_there(script):
    source = script.read_text(encoding="utf-8")
    offered = [f"{key}_info" for key in re.findall(r"offer\('(\w+)'", source)]

    assert {*words_of_script(source), *offered} <= WORDS["en"].keys()


def test_the_scripts_words_are_found_at_all():
    found = {word for path in SCRIPTS for word in words_of_script(path.read_text(encoding="utf-8"))}

    assert {"saved", "reported", "my_keep_no", "best", "my_csv"} <= found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_word_of_the_pages_is_there(page):
    used = set(re.findall(r"\bword\(\"(\w+)\"", page.read_text(encoding="utf-8")))
    theirs = OWNER_WORDS["en"].keys() if page.name.startswith("owner") else set()

    assert used <= WORDS["en"].keys() | theirs


def test_every_reason_has_a_word():
    codes = {code for sides in REASONS.values() for side in sides.values() for code in side}

    assert {f"reason_{code}" for code in codes} <= WORDS["en"].keys()


def test_every_column_of_the_owners_tables_has_a_word():
    columns = set()
    for node in tree(Path("ui/owner_page.py")).body:  # read, not imported: gradio takes its time
        if isinstance(node, ast.Assign) and node.targets[0].id.endswith("_COLUMNS"):
            columns |= {one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)}
    widths = {one for one in columns if one[0].isdigit()}

    assert len(columns - widths) > 10
    assert {f"col_{name}" for name in columns - widths} <= WORDS["en"].keys()


def test_the_layers_are_those_of_the_folders():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert Path("app.py") in SOURCES
    assert packages == OURS - {"app"}
