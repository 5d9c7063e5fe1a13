"""The owner makes a dataset of each format on the page, and downloads it."""

import json
import zipfile

import pytest
from playwright.sync_api import expect

from db.engine import Database
from db.media import MediaStore
from feedback.formats import FORMATS
from tests.browser.visitor import LOCALES, open_tab
from tests.exporting import fill
from tests.factories import cast_vote, drawn, make_pictures, make_samples, make_visitor, rate
from ui.owner_words import OWNER_WORDS

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

# What can be in one dataset: kohya's folders stand for themselves, and what is said is used once.
DATASETS = {
    "texts": ("text", ["sft", "dpo", "kto", "prompts", "rubric"]),
    "scores": ("text", ["rewards"]),
    "pictures": ("image", ["captions", "image-preferences"]),
    "kohya": ("image", ["kohya"]),
    "latents": ("vae", ["vae-samples", "vae-pairs"]),
    "events": ("plain", ["events"]),
}


@pytest.fixture(scope="module")
def feedback(app):
    """Visitors' judgements of texts, pictures and samples, from which every format has rows."""
    media = MediaStore(app.data_dir / "media")
    database = Database(f"sqlite:///{app.data_dir / 'app.db'}")
    fill(database)

    def work(session):
        for name, colour in (("ann", "red"), ("bob", "blue")):
            visitor = make_visitor(session, name)
            both = drawn(colour), drawn(colour, 16)
            pictures = make_pictures(session, media, visitor, prompt=colour, pictures=both)
            samples = make_samples(
                session,
                visitor,
                latents=({"z": [float(len(name)), 1.0]}, {"z": [0.5, -1.0]}),
                pictures=tuple(media.put(picture) for picture in both),
            )
            for better, worse in (pictures, samples):
                rate(session, visitor, better, "thumb", 1)
                rate(session, visitor, worse, "thumb", -1)
                cast_vote(session, visitor, better, worse, "left")

    database.write(work)
    database.close()


@pytest.fixture
def owner(app, open_page, feedback):
    def enter(language):
        page = open_page(LOCALES[language], path="/owner/", expects="401")
        page.locator("input[name=token]").fill(app.owner_token)
        page.locator("button[type=submit]").click()
        page.get_by_role("tab").first.wait_for()
        if language == "zh":
            page.goto(app.url + "/owner/zh/")
        open_tab(page, OWNER_WORDS[language]["export"])
        return page

    return enter


def test_every_format_is_in_one_of_the_datasets():
    assert {one for _, formats in DATASETS.values() for one in formats} == {*FORMATS, "events"}


def ask_for(page, language, name):
    """Name a dataset, and tick its formats and no other."""
    words = OWNER_WORDS[language]
    page.locator("#export-name").locator("input, textarea").fill(name)
    wanted = {words[f"export_format_{one}"] for one in DATASETS[name][1]}
    ticks = page.locator("#export-text, #export-image, #export-vae, #export-plain").locator("label")
    for tick in ticks.filter(has=page.locator("input[type=checkbox]")).all():
        tick.locator("input").set_checked(tick.inner_text().strip() in wanted)
    expect(page.locator("[id^=export-] input[type=checkbox]:checked")).to_have_count(len(wanted))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_owner_makes_and_downloads_datasets(owner, language):
    page, words = owner(language), OWNER_WORDS[language]
    names = ["texts", "scores", "kohya", "events"] if language == "zh" else ["pictures", "latents"]
    for name in names:
        ask_for(page, language, name)
        page.locator("#export-make").click()
        done = page.locator("#export-state [role=status]").filter(has_text=f"{name}@1")
        expect(done).to_be_visible()
        link = page.locator(f"#export-link a[href$='/{name}%401.zip']")
        expect(link).to_have_text(words["export_download"])

        with page.expect_download() as download:
            link.click()
        with zipfile.ZipFile(download.value.path()) as archive:
            assert archive.testzip() is None
            manifest = json.loads(archive.read(f"{name}@1/manifest.json"))
            inside = {one.removeprefix(f"{name}@1/") for one in archive.namelist()}
        rows = {config["name"]: config["rows"] for config in manifest["configs"]}
        assert len(rows) == len(DATASETS[name][1]) and all(rows.values()), rows
        assert inside >= manifest["files"].keys()


def test_a_preview_leaves_nothing_and_a_mistake_is_said(owner, app):
    page, words = owner("en"), OWNER_WORDS["en"]
    page.locator("#export-name").locator("input, textarea").fill("../up")
    page.locator("#export-make").click()
    expect(page.get_by_text(words["export_bad_name"])).to_be_visible()

    page.locator("#export-name").locator("input, textarea").fill("looked")
    page.locator("#export-preview").click()
    expect(page.locator("#export-state details").first).to_be_visible()
    page.locator("#export-state summary").last.click()
    expect(page.locator("#export-state pre").last).to_contain_text("prompt")
    assert not list((app.data_dir / "exports").glob("looked*"))
