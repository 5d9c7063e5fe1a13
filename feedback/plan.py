"""From what is asked for to what is written where: the configs of a dataset, with their files."""

import re
from dataclasses import dataclass
from typing import Literal

from feedback.events_csv import COLUMNS as EVENT_COLUMNS
from feedback.formats import FORMATS
from feedback.formats.format import Format, Layout, Rules, Schema
from feedback.redaction import KINDS
from feedback.spec import EVENTS, SHAPES, InvalidSpec, Recipe, Redact, Selection, Spec

FileType = Literal["jsonl", "parquet", "csv"]

CONFIG_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FLAT = {"string", "bool", "double", "int64"}  # what a cell of a CSV can hold and be read as

# Where a row is from, under names that nobody else uses. Lists are words in one string, since
# trainers hand columns that they do not know to code that may not expect lists.
ORIGIN: Schema = {
    "genloop_source": "string",
    "genloop_generation_ids": "string",
    "genloop_event_ids": "string",
    "genloop_vote_ids": "string",
    "genloop_row_sha256": "string",  # of what is before it, as JSON
    "genloop_raters": "int64",  # how many visitors have judged the same
    "genloop_agreement": "double",  # what part of them agrees with the row
}
EVENT_SCHEMA: Schema = {
    name: {
        **dict.fromkeys(("event_id", "score", "visitor", "consent_id", "draft"), "int64"),
        **dict.fromkeys(("retracted", "standing", "consent_train"), "bool"),
        "model_version_id": "int64",
    }.get(name, "string")
    for name in EVENT_COLUMNS
}


@dataclass(frozen=True)
class Config:
    """One config of a dataset that is being made."""

    number: int
    recipe: Recipe
    format: Format | None  # None for plain events
    files: FileType
    layout: Layout
    folder: str  # in the dataset, with a slash behind it; or nothing
    columns: Schema  # what its trainer reads
    rules: Rules
    redact: Redact  # anything but auto

    @property
    def name(self) -> str:
        return self.recipe.config

    @property
    def task(self) -> str:
        return "events" if self.format is None else self.format.task

    @property
    def words(self) -> tuple[str, ...]:
        """The columns with texts that people wrote or read."""
        if self.task == "image":
            return tuple(name for name in self.columns if name in ("text", "caption"))
        return tuple(self.columns) if self.task == "text" else ()

    @property
    def origin_beside(self) -> bool:
        """Whether its trainer refuses columns it does not know, so that they go beside the rows."""
        return self.recipe.shape == "openai"

    @property
    def schema(self) -> Schema:
        """All columns of its files."""
        if self.format is None or self.origin_beside:
            return self.columns
        return self.columns | ORIGIN


def plan(spec: Spec) -> list[Config]:
    """The configs in their order; raises InvalidSpec."""
    for kind in spec.redaction.kinds:
        if kind not in KINDS:
            raise InvalidSpec(f"there is no kind of personal data {kind}: {', '.join(KINDS)}")
    formats = [format_of(recipe) for recipe in spec.configs]
    for recipe, form in zip(spec.configs, formats, strict=True):
        check(recipe, form)
        if form is None:
            check_events(spec.selection)
        elif spec.selection.tasks and form.task not in spec.selection.tasks:
            raise InvalidSpec(f"{recipe.config} is of the task {form.task}, which is not wanted")
    together = len(formats) > 1
    files = chosen_files(spec, formats)
    edits = config_with_edits(spec, formats)
    return [
        Config(
            number,
            recipe,
            form,
            files,
            layout_of(recipe, form, files),
            f"{recipe.config}/" if together else "",
            columns_of(recipe, form, spec),
            Rules(recipe.config == edits, spec.selection.least_edit),
            redaction(spec, form),
        )
        for number, (recipe, form) in enumerate(zip(spec.configs, formats, strict=True))
    ]


def columns_of(recipe: Recipe, form: Format | None, spec: Spec) -> Schema:
    if form is None:
        return EVENT_SCHEMA
    soft = spec.selection.conflicts == "soft" and recipe.shape != "openai"
    return form.schema(recipe) | ({"soft_label": "double"} if soft else {})


def format_of(recipe: Recipe) -> Format | None:
    if recipe.format != EVENTS and recipe.format not in FORMATS:
        known = ", ".join((*FORMATS, EVENTS))
        raise InvalidSpec(f"there is no format {recipe.format}: {known}")
    return FORMATS.get(recipe.format)


def check(recipe: Recipe, form: Format | None) -> None:
    """What is chosen about a format must be a choice that it offers."""
    if not CONFIG_NAME.fullmatch(recipe.config):
        raise InvalidSpec(f"{recipe.config!r} is no name: use letters, digits, - and _")
    shapes = form.shapes if form is not None else ()
    if recipe.shape != "standard" and recipe.shape not in shapes:
        offered = ", ".join(shape for shape in SHAPES if shape in shapes) or "standard alone"
        raise InvalidSpec(f"{recipe.format} has no shape {recipe.shape}: {offered}")
    if recipe.format != "vae-samples" and recipe.medium != "pictures":
        raise InvalidSpec("the medium is for vae-samples")
    if form is not None and (recipe.bom or recipe.flavour == "spreadsheet"):
        raise InvalidSpec("what spreadsheets need is for events as CSV")


def check_events(selection: Selection) -> None:
    """Plain events are not judged: what would be silently ignored is refused."""
    for name in ("stars", "reasons", "without_reasons", "review", "raters", "agreement"):
        if getattr(selection, name) != getattr(Selection(), name):
            raise InvalidSpec(f"{name.replace('_', ' ')} cannot be asked for in plain events")


def possible(recipe: Recipe, form: Format | None) -> tuple[FileType, ...]:
    """In which files the rows can stand; the first is the usual one."""
    if form is None:
        spreadsheet = recipe.bom or recipe.flavour == "spreadsheet"
        return ("csv",) if spreadsheet else ("jsonl", "parquet", "csv")
    types = set(form.schema(recipe).values())
    layout = form.layout(recipe)
    if recipe.shape == "openai" or layout == "pairs_of_folders":
        return ("jsonl",)
    if layout == "pictures":
        return ("jsonl", "parquet")
    if "binary" in types:
        return ("parquet",)
    return ("jsonl", "parquet", "csv") if types <= FLAT else ("jsonl", "parquet")


def chosen_files(spec: Spec, formats: list[Format | None]) -> FileType:
    """One kind of file for all: `datasets` opens a folder with one reader."""
    offered = [possible(*each) for each in zip(spec.configs, formats, strict=True)]
    if len(formats) > 1:
        for recipe, form in zip(spec.configs, formats, strict=True):
            if form is not None and form.layout(recipe) == "pairs_of_folders":
                raise InvalidSpec(f"{recipe.format} is a folder for itself: export it alone")
            if form is not None and form.layout(recipe) == "pictures":
                offered[spec.configs.index(recipe)] = ("parquet",)
    if spec.files != "auto":
        for recipe, types in zip(spec.configs, offered, strict=True):
            if spec.files not in types:
                raise InvalidSpec(
                    f"{recipe.config} cannot be written as {spec.files} here: {', '.join(types)}"
                )
        return spec.files
    for found in offered[0]:
        if all(found in types for types in offered):
            return found
    raise InvalidSpec(
        "these formats have no kind of file in common, and `datasets` opens a folder with one "
        "reader: export them apart"
    )


def layout_of(recipe: Recipe, form: Format | None, files: FileType) -> Layout:
    return "rows" if form is None or files == "parquet" else form.layout(recipe)


def config_with_edits(spec: Spec, formats: list[Format | None]) -> str:
    """The config in which edits of texts are used: one edit has one use."""
    if spec.edits:
        for recipe, form in zip(spec.configs, formats, strict=True):
            if recipe.config == spec.edits:
                if form is None or form.name not in ("sft", "dpo", "kto"):
                    raise InvalidSpec(f"{recipe.format} uses no edits: sft, dpo or kto do")
                return spec.edits
        raise InvalidSpec(f"there is no config {spec.edits} that could use edits")
    for recipe, form in zip(spec.configs, formats, strict=True):
        if form is not None and form.task == "text" and form.takes_edits:
            return recipe.config
    return ""


def redaction(spec: Spec, form: Format | None) -> Redact:
    if spec.redaction.mode != "auto":
        return spec.redaction.mode
    return "report" if form is None else "replace"
