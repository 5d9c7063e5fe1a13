"""Every page in both languages, light and dark, wide and narrow; the docs' pictures come from here.

`pytest tests/browser/test_screenshots.py --update-screenshots` takes them anew, and looks at every
combination; without it, each language meets each width and each of light and dark.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import (
    LOCALES,
    consent,
    draw,
    open_images,
    open_tab,
    saved,
    word,
    write,
)

# The first test also starts the app, which takes minutes on a busy machine.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

PICTURES = Path(__file__).parents[2] / "docs" / "screenshots"


@dataclass(frozen=True)
class Look:
    """How a visitor sees the pages."""

    language: str
    dark: bool
    width: int

    @property
    def name(self):
        phone = "-phone" if self.width < 500 else ""
        return f"{self.language}-{'dark' if self.dark else 'light'}{phone}"


LOOKS = [Look(*one) for one in product(("en", "zh"), (False, True), (1280, 390))]
# Every two of the three meet in one of these.
PAIRWISE = [
    Look("en", False, 1280),
    Look("en", True, 390),
    Look("zh", False, 390),
    Look("zh", True, 1280),
]


def pytest_generate_tests(metafunc):
    if "look" in metafunc.fixturenames:
        everything = metafunc.config.getoption("--update-screenshots")
        looks = LOOKS if everything else PAIRWISE
        metafunc.parametrize("look", looks, ids=[look.name for look in looks])


@pytest.fixture
def folder(request, tmp_path):
    return PICTURES if request.config.getoption("--update-screenshots") else tmp_path


def test_the_public_pages(open_page, folder, look):
    language, width, name = look.language, look.width, look.name
    page = open_page(LOCALES[language], width=width, dark=look.dark)

    page.locator(".gl-consent[open]").wait_for()
    expect(page.locator("#poem-title")).to_be_visible()
    page.screenshot(path=folder / f"consent-{name}.png")
    consent(page)
    cards = write(page, "七绝《秋夜》", drafts=2)
    page.locator("#options > button").first.click()
    cards.nth(0).locator(".gl-good").click()
    saved(cards.nth(0), language)
    cards.nth(0).locator(".gl-star").nth(4).click()
    saved(cards.nth(0), language)
    page.mouse.move(0, 0)
    page.screenshot(path=folder / f"text-{name}.png", full_page=width < 500)
    assert no_wider_than(page, width)

    open_tab(page, word(language, "tab_my_data"))
    page.locator("#gl-mydata .gl-card").first.wait_for()
    page.screenshot(path=folder / f"my-data-{name}.png", full_page=width < 500)
    assert no_wider_than(page, width)


def test_the_image_tab(open_page, folder, look):
    language, width, name = look.language, look.width, look.name
    page = open_page(LOCALES[language], width=width, dark=look.dark)
    consent(page)
    open_images(page, language)
    draw(page, "red apple", pictures=2, steps=20)
    cards = draw(page, "笑脸" if language == "zh" else "smiling cat", 4, steps=20)
    page.locator("#image-options > button").first.click()
    page.locator("#gl-image-gallery .gl-tile").first.scroll_into_view_if_needed()
    page.locator("#gl-image-gallery gl-picture.gl-loaded").first.wait_for()
    for number in range(4):
        cards.nth(number).scroll_into_view_if_needed()
        cards.nth(number).locator("gl-picture.gl-loaded").wait_for()
    cards.nth(1).locator(".gl-best").click()
    saved(cards.nth(1), language)
    cards.nth(0).locator(".gl-star").nth(3).click()
    saved(cards.nth(0), language)
    page.mouse.move(0, 0)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=folder / f"image-{name}.png", full_page=width < 500)
    assert no_wider_than(page, width)

    page.locator(".gl-offer-compare").click()
    expect(page.locator(".gl-stack gl-picture.gl-loaded")).to_have_count(2)
    page.screenshot(path=folder / f"image-compare-{name}.png")
    assert no_wider_than(page, width)


def test_the_vae_tab(open_page, folder, look):
    language, width, name = look.language, look.width, look.name
    page = open_page(LOCALES[language], width=width, dark=look.dark)
    consent(page)
    open_tab(page, word(language, "tab_vae"))
    page.locator("#vae-draw:enabled").click()
    cards = page.locator("#vae-stage .gl-card-vae")
    expect(cards).to_have_count(8)
    cards.nth(2).locator(".gl-good").click()
    saved(cards.nth(2), language)
    page.mouse.move(0, 0)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=folder / f"vae-sample-{name}.png", full_page=width < 500)
    assert no_wider_than(page, width)

    page.locator("#vae-tab-explore").click()
    plot = page.locator(".gl-map")
    plot.wait_for()
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] / 2, "y": box["height"] / 4})
    expect(page.locator("#vae-here .gl-card-vae img")).to_be_visible()
    for end in ("a", "b"):
        page.locator(f"#vae-end-{end} .gl-take-random").click()
        page.locator(f"#vae-end-{end} img").wait_for()
    page.locator("#vae-walk:enabled").click()
    expect(page.locator("#vae-way .gl-way-strip img")).to_have_count(9)
    page.screenshot(path=folder / f"vae-explore-{name}.png", full_page=True)
    assert no_wider_than(page, width)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_owner_pages(app, open_page, folder, language):
    visitor = open_page(LOCALES[language])
    consent(visitor)
    card = write(visitor, "五律《望海》").nth(0)
    card.locator(".gl-good").click()
    saved(card, language)

    page = open_page(LOCALES[language], path="/owner/")
    page.screenshot(path=folder / f"owner-login-{language}-light.png")
    page.locator("input[name=token]").fill(app.owner_token)
    page.locator("button[type=submit]").click()
    page.get_by_role("tab").first.wait_for()
    if language == "zh":
        page.goto(app.url + "/owner/zh/")
    open_tab(page, word(language, "owner_feedback"))
    expect(page.get_by_text("五律《望海》").locator("visible=true").first).to_be_visible()
    page.screenshot(path=folder / f"owner-feedback-{language}-light.png")


def no_wider_than(page, width):
    """Nothing sticks out to the side."""
    return page.evaluate("document.documentElement.scrollWidth") <= width
