"""The app in a frame of another site, as Spaces show it: no cookie of ours comes through there."""

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.browser.conftest import CHROMIUM, FLAGS, PATIENCE
from tests.browser.visitor import consent, saved, write

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

SPACE = "https://huggingface.co/spaces/ann/loop"
# A frame of this machine in a page that claims to be of another would need its visitor's leave.
FLAGS_OF_A_SPACE = [
    *FLAGS,
    "--test-third-party-cookie-phaseout",
    "--disable-features=LocalNetworkAccessChecks",
]
NO_STORAGE = """Object.defineProperty(window, 'localStorage', {
  get() { throw new DOMException('Access is denied', 'SecurityError'); },
})"""


@pytest.fixture(scope="module")
def strict_browser(browser: Browser):
    strict = browser.browser_type.launch(
        executable_path=CHROMIUM if CHROMIUM.exists() else None, args=FLAGS_OF_A_SPACE
    )
    yield strict
    strict.close()


@pytest.fixture
def open_space(app, strict_browser):
    contexts = []

    def open_space(script: str = "") -> Page:
        context = strict_browser.new_context(locale="en-US")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        if script:
            context.add_init_script(script)
        frame = f'<!doctype html><iframe src="{app.url}/" width="1200" height="800"></iframe>'
        page.route(f"{SPACE}*", lambda route: route.fulfill(body=frame, content_type="text/html"))
        page.goto(SPACE)
        return page

    yield open_space
    for context in contexts:
        context.close()


def framed(page: Page, app) -> Frame:
    page.wait_for_selector("iframe")
    frame = page.frame(url=f"{app.url}/")
    assert frame is not None
    return frame


def test_a_visitor_is_known_again_in_a_frame_that_gets_no_cookies(app, open_space):
    page = open_space()
    sent = []
    page.on("request", lambda request: sent.append(request.all_headers().get("cookie", "")))
    frame = framed(page, app)
    consent(frame)
    [card] = write(frame, "五绝《静夜思》").all()
    card.locator(".gl-good").click()
    saved(card, "en")

    page.reload()
    again = framed(page, app).locator("#gl-earlier .gl-card").first
    expect(again.locator(".gl-good")).to_have_attribute("aria-pressed", "true")
    assert "genloop" not in "".join(sent)


def test_where_the_browser_keeps_nothing_at_all_the_page_works_until_it_is_left(app, open_space):
    page = open_space(NO_STORAGE)
    frame = framed(page, app)
    consent(frame)
    [card] = write(frame, "五绝《静夜思》").all()
    card.locator(".gl-good").click()

    saved(card, "en")
