"""The owner's Export tab: what a dataset shall hold, a preview, the making, and all versions."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from pydantic import ValidationError

from feedback import browse, history, schedule
from feedback.dataset_zip import folder_of
from feedback.export_jobs import ExportJobs, JobRunning, Order
from feedback.formats import FORMATS
from feedback.ledger import NoExport
from feedback.spec import (
    EVENTS,
    MEDIA,
    SHAPES,
    InvalidSpec,
    Recipe,
    Redaction,
    Selection,
    Spec,
    Splits,
    as_json,
    sentence,
)
from ui.language import Language
from ui.owner_export_view import history_rows, shown
from ui.services import Services

NAME = re.compile(r"[^\W_][\w.-]{0,79}")
HISTORY_COLUMNS = {
    "version": "170px",
    "formats": "220px",
    "column_rows": "90px",
    "when": "170px",
    "withdrawn": "160px",
    "base": "150px",
}
TICK = 1.0  # seconds between two looks at what is under way
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
QUIET = {"queue": False, **HIDDEN}  # for what never fails: without the queue an error is a 500


class BadOrder(ValueError):
    """The fields cannot be understood; the argument is the word that says why."""


@dataclass
class Fields:
    """What stands in the fields, in the order of the page."""

    name: Any
    text: Any
    image: Any
    vae: Any
    plain: Any
    shape: Any
    medium: Any
    files: Any
    languages: Any
    versions: Any
    since: Any
    until: Any
    topics: Any
    stars: Any
    raters: Any
    agreement: Any
    conflicts: Any
    review: Any
    cap: Any
    near: Any
    test: Any
    validation: Any
    redact: Any


def spec_of(asked: Fields) -> Spec:
    """What the fields ask for; raises BadOrder, InvalidSpec or ValidationError."""
    chosen = [*asked.text, *asked.image, *asked.vae, *asked.plain]
    if not chosen:
        raise BadOrder("export_no_format")
    until = day(asked.until)
    return Spec(
        tuple(recipe(format, asked) for format in chosen),
        Selection(
            since=day(asked.since),
            until=None if until is None else until + timedelta(days=1),
            versions=tuple(asked.versions),
            languages=tuple(asked.languages),
            topics=tuple(words(asked.topics)),
            stars=tuple(asked.stars),
            raters=int(asked.raters),
            agreement=asked.agreement,
            conflicts=asked.conflicts,
            review=asked.review,
            cap_rows=int(asked.cap or 0) or None,
            near_duplicates=None if asked.near >= 1 else asked.near,
        ),
        splits=Splits(asked.test, asked.validation),
        redaction=Redaction(asked.redact),
        files=asked.files,
    )


def recipe(format: str, asked: Fields) -> Recipe:
    """A format with what was chosen about it, as far as it has the choice."""
    form = FORMATS.get(format)
    takes_shape = form is not None and asked.shape in form.shapes
    return Recipe(
        format,
        shape=asked.shape if takes_shape else "standard",
        medium=asked.medium if format == "vae-samples" else "pictures",
    )


def words(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,，、]", text or "") if part.strip()]


def day(text: str) -> datetime | None:
    """The start of a day, in UTC; raises BadOrder."""
    if not (text or "").strip():
        return None
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise BadOrder("export_bad_date") from None


class ExportDesk:
    """What the tab's events do, for one language."""

    def __init__(
        self,
        services: Services,
        jobs: ExportJobs,
        automatic: schedule.Schedule,
        language: Language,
        root: str,
    ) -> None:
        self.services = services
        self.jobs = jobs
        self.automatic = automatic
        self.language = language
        self.root = root

    def error(self, word: str, **places: object) -> gr.Error:
        return gr.Error(self.language.word(word, **places), print_exception=False)

    def order(self, action: str, *values: Any) -> Order:
        try:
            asked = Fields(*values)
            name = str(asked.name or "").strip()
            if not NAME.fullmatch(name):
                raise BadOrder("export_bad_name")
            return {"action": action, "name": name, "spec": as_json(spec_of(asked))}
        except BadOrder as problem:
            raise self.error(problem.args[0]) from problem
        except (InvalidSpec, ValidationError) as problem:
            raise self.error("export_failed", problem=sentence(problem)) from problem

    def start(self, order: Order) -> tuple[str, Any]:
        try:
            job = self.jobs.start(order)
        except JobRunning as problem:
            raise self.error("export_running") from problem
        return shown(job, self.language), gr.Timer(active=True)

    def preview(self, *values: Any) -> tuple[str, Any]:
        return self.start(self.order("preview", *values))

    def export(self, *values: Any) -> tuple[str, Any]:
        return self.start(self.order("export", *values))

    def clean(self, label: str | None) -> tuple[str, Any]:
        return self.start({"action": "clean", "label": self.chosen(label)})

    def push(self, label: str | None, target: str) -> tuple[str, Any]:
        if not (target or "").strip():
            raise self.error("export_no_target")
        return self.start({"action": "push", "label": self.chosen(label), "target": target.strip()})

    def cancel(self) -> None:
        self.jobs.cancel()

    def look(self) -> tuple[str, Any]:
        """How far it is; the looking ends with the job."""
        job = self.jobs.last
        return shown(job, self.language), gr.Timer(active=job is not None and job.running)

    def chosen(self, label: str | None) -> str:
        if not label:
            raise self.error("export_no_version")
        return label

    def versions(self) -> tuple[list[list[str]], Any, Any, str]:
        """The table of all versions, the choices of both pickers, and the line on the schedule."""
        with self.services.database.read() as session:
            exports = history.everything(session)
            gone = {one.export: one.rows for one in history.withdrawn(session)}
            state = schedule.state(session, self.automatic)
        labels = [history.label(export) for export in exports]
        first = labels[0] if labels else None
        return (
            history_rows(exports, gone),
            gr.Dropdown(labels, value=first),
            gr.Dropdown(labels, value=labels[1] if len(labels) > 1 else None),
            self.schedule_line(state),
        )

    def schedule_line(self, state: schedule.State) -> str:
        word, every = self.language.word, self.automatic
        if not every.every_hours and not every.every_labels:
            said = word("export_schedule_off")
        elif state.next_run is not None:
            when = f"{state.next_run:%Y-%m-%d %H:%M}"
            said = word("export_schedule_next", when=when, labels=state.new_labels)
        else:
            said = word(
                "export_schedule_labels", labels=state.new_labels, wanted=every.every_labels
            )
        if state.error:
            said += "; " + word("export_schedule_error", error=state.error)
        return word("export_schedule", state=said)

    def card(self, label: str | None) -> tuple[str, str]:
        """The link that downloads the version, and its card."""
        if not label:
            return "", ""
        try:
            with self.services.database.read() as session:
                folder = folder_of(session, label)
        except (NoExport, history.NoVersion):
            return "", self.language.word("export_gone")
        return self.link(label), body_of(folder / "README.md")

    def link(self, label: str) -> str:
        address = escape(f"{self.root}owner/api/exports/{quote(label)}.zip")
        word = escape(self.language.word("export_download"))
        return f'<p class="gl-row"><a class="gl-language" href="{address}" download>{word}</a></p>'

    def compare(self, label: str | None, other: str | None) -> str:
        with self.services.database.read() as session:
            newer, older = (history.find(session, self.chosen(one)) for one in (label, other))
            found = history.difference(session, older, newer)
        return self.language.word(
            "export_difference",
            older=found.older,
            newer=found.newer,
            same=found.same,
            added=found.added,
            removed=found.removed,
            withdrawn=found.withdrawn,
            moved=sum(found.moved.values()),
        )

    def model_versions(self) -> Any:
        with self.services.database.read() as session:
            known = browse.versions(session)
        return gr.Dropdown(
            [(f"{row['name']} {row['weights_sha256'][:8]}", row["id"]) for row in known]
        )


def body_of(card: Path) -> str:
    """A dataset card without its front matter."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return text.split("\n---\n", 1)[-1] if text.startswith("---\n") else text


def export_tab(page: gr.Blocks, desk: ExportDesk) -> None:
    """Lay out the tab and connect its events."""
    word = desk.language.word

    def named(prefix: str, values: Sequence[str]) -> list[tuple[str, str]]:
        return [(word(f"{prefix}_{value}"), value) for value in values]

    def formats(task: str) -> list[tuple[str, str]]:
        return named("export_format", [one.name for one in FORMATS.values() if one.task == task])

    def share(name: str, value: float, most: float, **more: Any) -> gr.Slider:
        return gr.Slider(0, most, value=value, step=0.01, label=word(name), **more)

    gr.Markdown(word("export_intro"))
    with gr.Row(elem_classes="gl-columns"):
        with gr.Column(scale=4, min_width=320):
            name = gr.Textbox(
                "feedback",
                label=word("export_name"),
                info=word("export_name_info"),
                max_lines=1,
                elem_id="export-name",
            )
            text = gr.CheckboxGroup(
                formats("text"), value=["sft"], label=word("export_text"), elem_id="export-text"
            )
            image = gr.CheckboxGroup(
                formats("image"), label=word("export_image"), elem_id="export-image"
            )
            vae = gr.CheckboxGroup(formats("vae"), label=word("export_vae"), elem_id="export-vae")
            plain = gr.CheckboxGroup(
                named("export_format", [EVENTS]), label=word("export_plain"), elem_id="export-plain"
            )
            with gr.Row():
                shape = gr.Dropdown(
                    named("export_shape", SHAPES),
                    value="standard",
                    label=word("export_shape"),
                    min_width=150,
                )
                medium = gr.Dropdown(
                    named("export_medium", MEDIA),
                    value="pictures",
                    label=word("export_medium"),
                    min_width=110,
                )
                files = gr.Dropdown(
                    [(word("export_files_auto"), "auto"), "jsonl", "parquet", "csv"],
                    value="auto",
                    label=word("export_files"),
                    min_width=110,
                )
            # Closed by 0: see ui/text_tab.py.
            with gr.Accordion(word("export_which"), open=0):
                with gr.Row():
                    languages = gr.CheckboxGroup(
                        [("中文", "zh"), ("English", "en")], label=word("export_languages")
                    )
                    stars = gr.CheckboxGroup([1, 2, 3, 4, 5], label=word("export_stars"))
                versions = gr.Dropdown(
                    [], value=[], multiselect=True, label=word("export_versions")
                )
                with gr.Row():
                    since = gr.Textbox(label=word("owner_since"), max_lines=1, min_width=150)
                    until = gr.Textbox(label=word("owner_until"), max_lines=1, min_width=150)
                topics = gr.Textbox(label=word("export_topics"), max_lines=1)
                with gr.Row():
                    raters = gr.Slider(1, 10, value=1, step=1, label=word("export_raters"))
                    agreement = share("export_agreement", 0, 1)
                with gr.Row():
                    conflicts = gr.Dropdown(
                        named("export_conflicts", ("majority", "drop", "soft")),
                        value="majority",
                        label=word("export_conflicts"),
                        min_width=140,
                    )
                    review = gr.Dropdown(
                        named("export_review", ("not_rejected", "approved")),
                        value="not_rejected",
                        label=word("export_review"),
                        min_width=140,
                    )
                with gr.Row():
                    cap = gr.Number(
                        20,
                        precision=0,
                        minimum=0,
                        label=word("export_cap"),
                        info=word("export_cap_info"),
                        min_width=140,
                    )
                    near = gr.Slider(
                        0.5,
                        1,
                        value=1,
                        step=0.01,
                        label=word("export_near"),
                        info=word("export_near_info"),
                        min_width=140,
                    )
            with gr.Accordion(word("export_leaves"), open=0):
                with gr.Row():
                    test = share("export_test", 0.1, 0.5, info=word("export_split_info"))
                    validation = share("export_validation", 0, 0.4)
                redact = gr.Radio(
                    named("export_redact", ("auto", "replace", "drop_row", "report")),
                    value="auto",
                    label=word("export_redact"),
                )
            with gr.Row():
                make = gr.Button(word("export_make"), variant="primary", elem_id="export-make")
                preview = gr.Button(word("export_preview"), elem_id="export-preview")
                cancel = gr.Button(word("export_cancel"), elem_id="export-cancel", min_width=80)
        with gr.Column(scale=6, min_width=320):
            state = gr.HTML(elem_id="export-state")
    gr.Markdown(f"### {word('export_history')}")
    automatic = gr.Markdown()
    table = gr.Dataframe(
        headers=[word(f"export_{one}") for one in HISTORY_COLUMNS],
        column_widths=list(HISTORY_COLUMNS.values()),
        datatype="str",
        interactive=False,
        show_label=False,
        wrap=True,
    )
    with gr.Row(elem_classes="gl-columns"):
        with gr.Column(scale=4, min_width=320):
            version = gr.Dropdown([], label=word("export_version"), elem_id="export-version")
            link = gr.HTML(elem_id="export-link")
            other = gr.Dropdown([], label=word("export_other"))
            compare = gr.Button(word("export_compare"), elem_id="export-compare")
            difference = gr.Markdown(elem_id="export-difference")
            target = gr.Textbox(
                label=word("export_target"),
                placeholder=word("export_target_hint"),
                max_lines=1,
                elem_id="export-target",
            )
            push = gr.Button(word("export_push"), elem_id="export-push")
            clean = gr.Button(word("export_clean"), elem_id="export-clean")
        with gr.Column(scale=6, min_width=320), gr.Accordion(word("export_card"), open=0):
            card = gr.Markdown(elem_id="export-card")
    ticking = gr.Timer(TICK, active=False)

    # In the order of Fields.
    asked = [name, text, image, vae, plain, shape, medium, files, languages, versions, since, until]
    asked += [topics, stars, raters, agreement, conflicts, review, cap, near, test, validation]
    asked.append(redact)
    followed = [state, ticking]
    started: list[tuple[gr.Button, Callable[..., Any], list[Any]]] = [
        (make, desk.export, asked),
        (preview, desk.preview, asked),
        (clean, desk.clean, [version]),
        (push, desk.push, [version, target]),
    ]
    for button, action, inputs in started:
        button.click(action, inputs, followed, **HIDDEN)
    cancel.click(desk.cancel, None, None, **QUIET)
    listed = [table, version, other, automatic]
    ticking.tick(desk.look, None, followed, **QUIET)
    page.load(desk.look, None, followed, **QUIET)
    page.load(desk.model_versions, None, versions, **QUIET)
    for again in (page.load, state.change):
        again(desk.versions, None, listed, **QUIET)
    version.change(desk.card, version, [link, card], **QUIET)
    compare.click(desk.compare, [version, other], difference, **HIDDEN)
