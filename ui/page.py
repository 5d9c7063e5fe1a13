"""The public pages, one for each language, with the same tabs and the same script."""

import json
from pathlib import Path
from typing import Any

import gradio as gr

from feedback.consent import TERMS, TERMS_VERSION
from feedback.rate import REASONS
from ui.image_tab import image_tab
from ui.language import Language
from ui.services import Services
from ui.text_tab import text_tab
from ui.vae_tab import vae_tab
from ui.words import WORDS

EXAMPLES = {
    "text": (
        "五绝《静夜思》",
        "七绝《秋山夜坐》",
        "五律《春望》",
        "七绝《雪》藏头：春夏秋冬。",
        "明月出东山，",
    ),
    "image": ("red apple", "哭泣的猫", "rocket", "雨伞", "rainbow", "蒸汽火车"),
}
CSS = Path(__file__).parents[1] / "web" / "static" / "genloop.css"

HEADER = """
<a class="gl-skip" href="#prompt">{skip}</a>
<header class="gl-header">
  <div class="gl-brand"><span class="gl-seal" aria-hidden="true">环</span>
    <div><h1>GenLoop</h1><p>{tagline}</p></div></div>
  <nav><a class="gl-language" href="{other}" lang="{other_code}">{other_language}</a></nav>
</header>
"""


def public_page(services: Services, language: Language, other_page: str) -> gr.Blocks:
    """The page in one language; `other_page` is where the other one is, relative to this."""
    other_code = "zh" if language.code == "en" else "en"
    with gr.Blocks(title="GenLoop", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(
            HEADER.format(
                skip=language.word("skip"),
                tagline=language.word("tagline"),
                other=f"{other_page}?lang={other_code}",
                other_code="zh-CN" if other_code == "zh" else "en",
                other_language=language.word("other_language"),
            )
        )
        with gr.Tabs():
            with gr.Tab(language.word("tab_text"), id="text"):
                text_tab(services, language)
            if services.image_queues:
                # Rendered at once: what a tab renders when it is opened is set back to its first
                # values a frame later, and My data speaks to this tab while it is closed.
                with gr.Tab(language.word("tab_image"), id="image", render_children=True):
                    image_tab(services, language)
            if services.latents is not None and services.latents.offered:
                with gr.Tab(language.word("tab_vae"), id="vae", render_children=True):
                    vae_tab(services, language)
            with gr.Tab(language.word("tab_my_data"), id="my-data"):
                gr.HTML('<div id="gl-mydata"></div>')
    page.queue(api_open=False, max_size=200, default_concurrency_limit=32)
    return page


def page_config(language: Language, root: str) -> dict[str, Any]:
    """What the page's script must know; `root` leads from the page to the app's root."""
    return {
        "language": language.code,
        "root": root,
        "words": WORDS[language.code],
        "reasons": REASONS,
        "examples": EXAMPLES,
        "terms": {"version": TERMS_VERSION, "text": TERMS[language.code]},
    }


def page_head(language: Language, root: str, version: str) -> str:
    """The script and its settings, for the page's head."""
    # "</" would end the script element early.
    settings = json.dumps(page_config(language, root), ensure_ascii=False).replace("</", "<\\/")
    return (
        f'<script type="application/json" id="genloop-config">{settings}</script>'
        f'<script type="module" src="{root}static/main.js?v={version}"></script>'
        f'<script type="module" src="{root}static/vae.js?v={version}"></script>'
    )
