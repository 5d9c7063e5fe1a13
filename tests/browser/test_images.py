"""The Image tab as visitors use it: draw, judge, correct, mark, compare, come back, take along."""

import pytest
from playwright.sync_api import expect

from generators.png import read_parameters
from tests.browser.test_circle import HOLD_FRAMES
from tests.browser.visitor import (
    LOCALES,
    begin_to_draw,
    choose_image_option,
    consent,
    draw,
    open_images,
    open_tab,
    saved,
    word,
)

# The first test also starts the app, which takes minutes on a busy machine.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

# Every value that the progress bar takes, and every frame that shows a picture on its way.
WATCH = """() => {
  window.steps = [];
  window.previews = 0;
  new MutationObserver(() => {
    const bar = document.querySelector('#gl-image-stage progress');
    if (bar) window.steps.push(bar.value);
    if (document.querySelector('#gl-image-stage .gl-preview-picture img')) window.previews += 1;
  }).observe(document.getElementById('gl-image-stage'), {childList: true, subtree: true,
    attributes: true});
}"""
COUNT_ADDRESSES = """() => {
  window.held = new Set();
  const make = URL.createObjectURL, drop = URL.revokeObjectURL;
  URL.createObjectURL = (blob) => { const url = make(blob); window.held.add(url); return url; };
  URL.revokeObjectURL = (url) => { window.held.delete(url); drop(url); };
}"""


def visit(open_page, language="en", **choices):
    page = open_page(LOCALES[language])
    consent(page, **choices)
    open_images(page, language)
    return page


def paint(page):
    """Draw a line with the brush, from left to right."""
    page.locator(".gl-board img").wait_for()
    box = page.locator(".gl-board").bounding_box()
    x, y, width, height = box["x"], box["y"], box["width"], box["height"]
    page.mouse.move(x + width / 4, y + height / 2)
    page.mouse.down()
    page.mouse.move(x + width / 2, y + height / 2, steps=5)
    page.mouse.up()


def shown(card):
    """The card's picture, once it is there."""
    card.scroll_into_view_if_needed()
    card.locator("gl-picture.gl-loaded img").wait_for()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_circle_of_pictures(open_page, language):
    page = visit(open_page, language)

    # Draw four pictures, and see them come.
    page.evaluate(WATCH)
    cards = draw(page, "red apple", pictures=4, steps=20)
    steps = page.evaluate("window.steps")
    assert steps == sorted(steps) and steps[-1] > 0
    assert page.evaluate("window.previews") > 0
    first, second, third = cards.nth(0), cards.nth(1), cards.nth(2)

    # The best; then an order, by keyboard: the third goes to the first place.
    second.locator(".gl-best").click()
    saved(second, language)
    page.locator(".gl-offer-rank").click()
    page.locator(".gl-rank .gl-frame").nth(2).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.locator(".gl-ranking .gl-primary").click()
    for card, place in zip([third, first, second, cards.nth(3)], [1, 2, 3, 4], strict=True):
        saved(card, language)
        place_word = word(language, "rank_place").format(place=place)
        expect(card.locator(".gl-place")).to_have_text(place_word)

    # What the first one really shows; the difference to the prompt is seen before it is saved.
    first.locator(".gl-edit").click()
    first.locator(".gl-caption .gl-area").fill("green apple")
    expect(first.locator(".gl-preview ins").first).to_be_visible()
    first.locator(".gl-caption .gl-primary").click()
    expect(first.locator(".gl-caption-text")).to_have_text("green apple")
    saved(first, language)

    # Where it is wrong, and what.
    first.locator(".gl-mark").click()
    paint(page)
    page.locator(".gl-marking .gl-area").fill("blurred")
    page.locator(".gl-marking .gl-primary").click()
    expect(first.locator(".gl-mark-note")).to_have_text("blurred")
    saved(first, language)

    # The same again, pixel by pixel.
    first.locator(".gl-reproduce").click()
    expect(first.locator(".gl-status")).to_have_text(word(language, "same_picture"))

    # Take it along; the file says how it was made.
    with page.expect_download() as download:
        first.locator(".gl-download").click()
    parameters = read_parameters(download.value.path().read_bytes())
    assert (parameters["prompt"], parameters["steps"]) == ("red apple", 20)
    assert download.value.suggested_filename == f"genloop-red-apple-{parameters['seed']}.png"

    # Come back: all that was said is there again.
    page.reload()
    open_images(page, language)
    tile = page.locator("#gl-image-gallery .gl-tile")
    expect(tile.locator("gl-picture.gl-loaded")).to_have_count(4)
    tile.locator(".gl-frame").first.click()
    again = page.locator("#gl-image-gallery .gl-card")
    expect(again).to_have_count(4)
    shown(again.nth(0))
    expect(again.nth(0).locator(".gl-caption-text")).to_have_text("green apple")
    expect(again.nth(0).locator(".gl-mark-note")).to_have_text("blurred")
    expect(again.nth(0).locator(".gl-strokes path")).to_have_count(1)
    expect(again.nth(1).locator(".gl-best")).to_have_attribute("aria-pressed", "true")
    place_word = word(language, "rank_place").format(place=1)
    expect(again.nth(2).locator(".gl-place")).to_have_text(place_word)


def test_an_example_draws_with_one_click(open_page):
    page = visit(open_page)
    page.locator("#gl-image-stage .gl-example").first.click()

    expect(page.locator("#gl-image-stage .gl-card:not(.gl-live)")).to_have_count(4)


def test_stop_keeps_the_pictures_that_are_finished(open_page):
    page = visit(open_page)
    begin_to_draw(page, "blue cat", pictures=4, steps=60)
    page.locator("#gl-image-stage .gl-unfinished:not(.gl-preview-picture) img").first.wait_for()
    page.locator("#image-stop").click()
    cards = page.locator("#gl-image-stage .gl-card:not(.gl-live)")
    expect(cards).to_have_count(4)

    assert cards.locator(".gl-no-picture").count() >= 1
    cards.nth(0).locator(".gl-good").click()
    saved(cards.nth(0), "en")


def test_who_declines_can_draw_and_nothing_is_stored(app, open_page):
    media = app.data_dir / "media"
    before = set(media.rglob("*"))
    page = visit(open_page, keep=False, train=False)
    card = draw(page, "red cat").nth(0)
    shown(card)

    expect(card.locator(".gl-note")).to_contain_text(word("en", "not_kept"))
    expect(card.locator(".gl-good, .gl-mark, .gl-edit")).to_have_count(0)
    with page.expect_download() as download:
        card.locator(".gl-download").click()
    assert read_parameters(download.value.path().read_bytes())["prompt"] == "red cat"
    page.reload()
    open_images(page)
    expect(page.locator("#gl-image-stage .gl-empty")).to_be_visible()
    expect(page.locator("#gl-image-gallery .gl-tile")).to_have_count(0)
    assert set(media.rglob("*")) == before


def test_two_pictures_are_compared_and_one_is_looked_at_closely(open_page):
    page = visit(open_page)
    cards = draw(page, "red cat", pictures=2)
    page.locator(".gl-offer-compare").click()
    expect(page.locator(".gl-stack gl-picture.gl-loaded")).to_have_count(2)
    page.locator(".gl-divider").focus()
    page.keyboard.press("End")
    assert (
        page.locator(".gl-stack").evaluate("one => one.style.getPropertyValue('--gl-at')") == "100%"
    )
    page.locator(".gl-vote-left").click()
    expect(page.locator(".gl-compare .gl-status")).to_have_text(word("en", "saved"))
    page.keyboard.press("Escape")
    expect(page.locator(".gl-dialog")).to_have_count(0)

    # What was answered is shown again, on whichever side the two are.
    page.locator(".gl-offer-compare").click()
    expect(page.locator(".gl-vote-left")).to_have_attribute("aria-pressed", "true")
    page.locator(".gl-sides select").first.select_option("1")
    expect(page.locator(".gl-vote-right")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator(".gl-dialog")).to_have_count(0)

    cards.nth(0).locator(".gl-open").click()
    before = page.locator(".gl-parameters").inner_text()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".gl-parameters")).not_to_have_text(before)
    page.keyboard.press("Escape")
    expect(page.locator(".gl-dialog")).to_have_count(0)


def test_a_place_can_be_marked_with_the_keyboard_and_taken_back(open_page):
    page = visit(open_page)
    card = draw(page, "red cat").nth(0)
    card.locator(".gl-mark").click()
    page.locator(".gl-board").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.locator(".gl-marking .gl-primary").click()
    saved(card, "en")
    expect(card.locator(".gl-strokes path")).to_have_count(1)

    card.locator(".gl-mark").click()
    page.locator(".gl-marking").get_by_role("button", name=word("en", "take_back")).click()
    expect(card.locator(".gl-status")).to_have_text(word("en", "taken_back"))
    expect(card.locator(".gl-strokes")).to_have_count(0)


def test_an_option_chosen_before_the_next_frame_is_kept_and_can_be_used_again(open_page):
    page = visit(open_page)
    page.evaluate(HOLD_FRAMES)
    choose_image_option(page, "steps", 4)
    page.evaluate("window.letFramesGo()")
    page.locator("#image-drafts label").first.click()
    page.locator("#image-prompt textarea").fill("blue apple")
    page.locator("#draw").click()
    card = page.locator("#gl-image-stage .gl-card:not(.gl-live)")
    with page.expect_download() as download:
        card.locator(".gl-download").click()
    parameters = read_parameters(download.value.path().read_bytes())
    assert parameters["steps"] == 4

    page.locator("#image-prompt textarea").fill("something else")
    card.locator(".gl-use").click()
    expect(page.locator("#image-prompt textarea")).to_have_value("blue apple")
    expect(page.locator("#image-seed input")).to_have_value(str(parameters["seed"]))
    expect(page.locator("#image-lock-seed input")).to_be_checked()


def test_my_data_shows_pictures_and_leads_back_to_the_tab(open_page):
    page = visit(open_page)
    draw(page, "red apple")
    page.evaluate(COUNT_ADDRESSES)
    open_tab(page, word("en", "tab_my_data"))
    card = page.locator("#gl-mydata .gl-card")
    shown(card)
    card.locator(".gl-retry").click()
    stage = page.locator("#gl-image-stage .gl-card:not(.gl-live)")
    expect(stage).to_be_visible()
    tile = page.locator("#gl-image-gallery .gl-tile gl-picture.gl-loaded")
    tile.scroll_into_view_if_needed()
    tile.wait_for()
    expect(stage).to_be_visible()  # the new one: the former is the tile

    # What is erased leaves the page, and with it the addresses of its pictures.
    open_tab(page, word("en", "tab_my_data"))
    page.locator("#gl-mydata .gl-card").nth(1).wait_for()
    page.locator("#gl-mydata").get_by_role("button", name=word("en", "my_erase")).click()
    page.locator(".gl-dialog[open] .gl-danger").click()
    expect(page.locator("#gl-mydata")).to_have_text(word("en", "my_erased"))
    expect(page.locator("gl-picture")).to_have_count(0)
    assert page.evaluate("window.held.size") == 0


def test_an_empty_prompt_is_answered_with_a_sentence(open_page):
    page = visit(open_page, "zh")
    page.locator("#draw").click()

    expect(page.locator("#gl-image-stage .gl-problem")).to_have_text("请先写点什么。")
