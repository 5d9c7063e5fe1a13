"""Hang the pages into the web app, with every switch of Gradio that opens something shut."""

import hashlib
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from starlette.routing import Mount

from ui.language import Language
from ui.owner_page import owner_page
from ui.page import CSS, page_head, public_page
from ui.quiet import hush
from ui.services import Services
from ui.theme import theme

# Where each language's page is mounted, and how a page leads to the app's root.
PAGES = {"zh": ("/zh", "../"), "en": ("/", "./")}  # "/" last: it takes every path that is left
OWNER_PAGES = {"zh": ("/owner/zh", "../../"), "en": ("/owner", "../")}


def mount_pages(app: FastAPI, services: Services, data_dir: Path) -> None:
    """Mount the owner's and the public pages in both languages."""
    hush()
    version = static_version()
    for code, (path, root) in OWNER_PAGES.items():
        language = Language(code)
        mount(app, owner_page(services, language, root), path, data_dir, head="")
    for code, (path, root) in PAGES.items():
        language = Language(code)
        page = public_page(services, language, "./zh/" if code == "en" else "../")
        mount(app, page, path, data_dir, head=page_head(language, root, version))


def mount(app: FastAPI, page: gr.Blocks, path: str, data_dir: Path, head: str) -> None:
    gr.mount_gradio_app(
        app,
        page,
        path=path,
        theme=theme(),
        css_paths=[CSS],
        head=head,
        footer_links=["api", "settings"],
        show_error=False,
        max_file_size="8mb",
        blocked_paths=[str(data_dir.resolve())],
        allowed_paths=[],
        enable_monitoring=False,
        run_history=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
    )


def let_go(app: FastAPI) -> None:
    """End the streams by which open pages show that they are there: they would never end."""
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, gr.routes.App):
            route.app.stop_event.set()


def static_version() -> str:
    """Changes when a file of the page's script does, so that browsers fetch it anew."""
    whole = hashlib.sha256()
    for file in sorted(CSS.parent.iterdir()):
        if file.is_file():
            whole.update(file.read_bytes())
    return whole.hexdigest()[:12]
