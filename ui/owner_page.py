"""The owner's pages: what came in, found by filters, and the way to download it."""

import html
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from db.tables import KINDS, TASKS
from feedback import browse
from feedback.browse import Filter
from ui.language import Language
from ui.services import Services

PAGE = 50  # rows of a table
LONGEST_SEARCH = 200  # characters
SHOWN = 400  # characters of a cell

# Columns and their widths.
EVENT_COLUMNS = {
    "id": "70px",
    "created_at": "170px",
    "kind": "90px",
    "value": "240px",
    "standing": "80px",
    "train": "95px",
    "model": "100px",
    "asked": "200px",
    "output": "320px",
    "visitor": "80px",
}
GENERATION_COLUMNS = {
    "id": "130px",
    "finished_at": "170px",
    "model": "100px",
    "asked": "220px",
    "output": "380px",
    "seed": "120px",
    "status": "100px",
    "visitor": "80px",
}
KIND_COLUMNS = {"kind": "50%", "score": "25%", "count": "25%"}
MODEL_COLUMNS = {
    name: "12%" for name in ("model", "task", "events", "visitors", "up", "down", "stars", "edits")
}
# The parts of a search that each download understands; the rest would be refused there.
EVENT_PARTS = ("kind", "version_id", "since", "until")
GENERATION_PARTS = ("task", "version_id", "since", "until", "text")

Row = dict[str, Any]
Table = list[list[str]]


class BadSearch(ValueError):
    """The search cannot be understood; `code` names the sentence that explains it."""

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


def read_filter(
    task: str | None, version: int | None, kind: str | None, since: str, until: str, text: str
) -> Filter:
    """The filter that the fields ask for; raises BadSearch."""
    if len(text or "") > LONGEST_SEARCH:
        raise BadSearch("too_long", limit=LONGEST_SEARCH, length=len(text))
    last_day = day(until)
    return Filter(
        task=task if task in TASKS else None,
        version_id=version or None,
        kind=kind if kind in KINDS else None,
        since=day(since),
        until=last_day + timedelta(days=1) if last_day else None,
        text=(text or "").strip() or None,
    )


def day(text: str | None) -> datetime | None:
    """The start of a day, in UTC."""
    if not (text or "").strip():
        return None
    try:
        return datetime.strptime((text or "").strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise BadSearch("bad_date") from None


def cells(rows: list[Row], columns: dict[str, str]) -> Table:
    """Rows as a table of short texts; a table cell is never markup."""
    return [[cell(row, column) for column in columns] for row in rows]


def cell(row: Row, column: str) -> str:
    if column == "asked":
        value: Any = row["prompt"] or (row["messages"] or [{}])[-1].get("content")
    elif column == "seed":
        value = (row["options"] or {}).get("seed")
    else:
        value = row[column]
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "✓" if value else ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = "" if value is None else text
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def links(root: str, what: str, wanted: Filter, language: Language) -> str:
    """Links that download what the filter finds."""
    parts = EVENT_PARTS if what == "events" else GENERATION_PARTS
    values = {name: getattr(wanted, name) for name in parts}
    query = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }
    kinds: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("CSV", "csv", {}),
        ("Excel", "csv", {"flavour": "spreadsheet", "bom": "true"}),
        ("JSONL", "jsonl", {}),
    )
    anchors = []
    for label, ending, extra in kinds:
        address = f"{root}owner/api/{what}.{ending}?{urlencode(query | extra)}"
        anchors.append(f'<a class="gl-language" href="{html.escape(address)}" download>{label}</a>')
    word = html.escape(language.word("owner_download"))
    return f'<p class="gl-row"><span>{word}:</span>{"".join(anchors)}</p>'


class OwnerDesk:
    """What the owner's events do, for one language."""

    def __init__(self, services: Services, language: Language, root: str) -> None:
        self.services = services
        self.language = language
        self.root = root

    def wanted(self, *fields: Any) -> Filter:
        try:
            return read_filter(*fields)
        except BadSearch as problem:
            raise gr.Error(
                self.language.error(problem.code, **problem.details), print_exception=False
            ) from problem

    def events(self, before: int | None, *fields: Any) -> tuple[Table, int | None, str]:
        wanted = self.wanted(*fields)
        with self.services.database.read() as session:
            rows = browse.events(session, wanted, before=before, limit=PAGE)
        return self.page(rows, EVENT_COLUMNS, "events", wanted)

    def generations(self, before: str | None, *fields: Any) -> tuple[Table, str | None, str]:
        wanted = self.wanted(*fields)
        with self.services.database.read() as session:
            rows = browse.generations(session, wanted, before=before, limit=PAGE)
        return self.page(rows, GENERATION_COLUMNS, "generations", wanted)

    def page(
        self, rows: list[Row], columns: dict[str, str], what: str, wanted: Filter
    ) -> tuple[Table, Any, str]:
        """A table, the id from which the next page goes on, and the links."""
        if not rows:
            gr.Info(self.language.word("owner_none"))
        last = rows[-1]["id"] if len(rows) == PAGE else None
        return cells(rows, columns), last, links(self.root, what, wanted, self.language)

    def overview(self) -> tuple[str, Table, Table]:
        word = self.language.word
        with self.services.database.read() as session:
            totals = browse.totals(session)
            kinds = browse.events_per_kind(session)
            models = browse.events_per_model(session)
        line = (
            f"**{totals['visitors']}** {word('owner_visitors')} · "
            f"**{totals['generations']}** {word('owner_generations')} · "
            f"**{totals['events']}** {word('owner_feedback')}"
        )
        per_kind = [[row["kind"], str(row["score"] or ""), str(row["events"])] for row in kinds]
        return line, per_kind, [[short(row[name]) for name in MODEL_COLUMNS] for row in models]

    def choices(self) -> Any:
        with self.services.database.read() as session:
            versions = browse.versions(session)
        word = self.language.word
        kinds = {True: "", False: f"{word('owner_engine')} "}  # the hash of an engine's is no proof
        named = [
            (f"{row['name']} {kinds[row['verified']]}{row['weights_sha256'][:8]}", row["id"])
            for row in versions
        ]
        return gr.Dropdown([(word("owner_any"), 0), *named], value=0)


def short(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def owner_page(services: Services, language: Language, root: str) -> gr.Blocks:
    """Browse feedback and generations; everything here stands behind the owner's gate."""
    word = language.word
    desk = OwnerDesk(services, language, root)
    other = "zh/" if language.code == "en" else "../"
    with gr.Blocks(title=word("owner_title"), analytics_enabled=False, fill_width=True) as page:
        gr.HTML(
            f'<header class="gl-header"><div class="gl-brand"><span class="gl-seal">环</span>'
            f"<h1>{html.escape(word('owner_title'))}</h1></div><nav class='gl-row'>"
            f'<a class="gl-language" href="{other}">{word("other_language")}</a>'
            f'<form method="post" action="{root}owner/logout"><button class="gl-secondary">'
            f"{html.escape(word('owner_logout'))}</button></form></nav></header>"
        )
        with gr.Tabs():
            with gr.Tab(word("owner_overview")):
                line = gr.Markdown()
                with gr.Row():
                    per_kind = table(KIND_COLUMNS, language)
                    per_model = table(MODEL_COLUMNS, language)
                page.load(desk.overview, None, [line, per_kind, per_model], queue=False)
            with gr.Tab(word("owner_feedback")):
                browser(page, desk, desk.events, EVENT_COLUMNS, kinds=True)
            with gr.Tab(word("owner_generations")):
                browser(page, desk, desk.generations, GENERATION_COLUMNS, kinds=False)
    page.queue(api_open=False, max_size=50)
    return page


def table(columns: dict[str, str], language: Language) -> gr.Dataframe:
    return gr.Dataframe(
        headers=[language.word(f"col_{name}") for name in columns],
        column_widths=list(columns.values()),
        datatype="str",
        interactive=False,
        wrap=True,
        show_label=False,
    )


def browser(
    page: gr.Blocks,
    desk: OwnerDesk,
    find: Callable[..., tuple[Table, Any, str]],
    columns: dict[str, str],
    kinds: bool,
) -> None:
    """Filters, a table, and a way to its older pages."""
    word = desk.language.word
    anything = (word("owner_any"), "")
    with gr.Row():
        task = gr.Dropdown([anything, *TASKS], value="", label=word("owner_task"), min_width=110)
        version = gr.Dropdown([], label=word("owner_model"), min_width=180)
        kind = gr.Dropdown(
            [anything, *KINDS], value="", label=word("owner_kind"), min_width=110, visible=kinds
        )
        since = gr.Textbox(label=word("owner_since"), min_width=150, max_lines=1)
        until = gr.Textbox(label=word("owner_until"), min_width=150, max_lines=1)
    with gr.Row():
        text = gr.Textbox(label=word("owner_search"), max_lines=1, scale=4)
        show = gr.Button(word("owner_show"), variant="primary", scale=1, min_width=100)
        older = gr.Button(word("owner_older"), scale=1, min_width=100)
    downloads = gr.HTML()
    found = table(columns, desk.language)
    last, start = gr.State(), gr.State()
    fields = [task, version, kind, since, until, text]
    outputs = [found, last, downloads]
    for first_page in (show.click, text.submit, page.load):
        first_page(find, [start, *fields], outputs, queue=False, api_visibility="private")
    older.click(find, [last, *fields], outputs, queue=False, api_visibility="private")
    page.load(desk.choices, None, version, queue=False, api_visibility="private")
