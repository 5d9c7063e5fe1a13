"""What dataset is asked for, as data: which formats, which feedback, how split, how written.

A `Spec` can be written as JSON and read back; the manifest of every export holds its own, so that
the same dataset can be asked for again.
"""

from dataclasses import field, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Shape = Literal["standard", "conversational", "alpaca", "sharegpt", "openai"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
Medium = Literal["pictures", "vectors", "sentences"]
MEDIA: tuple[Medium, ...] = get_args(Medium)
Flavour = Literal["lossless", "spreadsheet"]
FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)
Files = Literal["auto", "jsonl", "parquet", "csv"]
Conflicts = Literal["majority", "drop", "soft"]
Review = Literal["not_rejected", "approved"]
Redact = Literal["auto", "replace", "drop_row", "report", "off"]
Task = Literal["text", "image", "vae"]
TASKS: tuple[Task, ...] = get_args(Task)
Key = Literal["visitor", "conversation", "prompt", "cluster"]
KEYS: tuple[Key, ...] = get_args(Key)

STRICT = ConfigDict(extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]

EVENTS = "events"  # the format that holds plain events; all others are for trainers


class InvalidSpec(ValueError):
    """What is asked for contradicts itself, or does not exist."""


@dataclass(frozen=True, config=STRICT)
class Moment:
    """The database as of a moment: what has a higher id had not been said yet."""

    events: int
    votes: int
    reviews: int
    consents: int


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """One config of a dataset: a format, and what can be chosen about it."""

    format: str
    shape: Shape = "standard"  # of text: whose spelling the rows are in
    medium: Medium = "pictures"  # of vae-samples
    flavour: Flavour = "lossless"  # of events as CSV
    bom: bool = False  # of events as CSV
    name: str = ""  # of the config; else that of the format

    @property
    def config(self) -> str:
        """The name under which `load_dataset(folder, name)` opens it."""
        return self.name or self.format


@dataclass(frozen=True, config=STRICT)
class Selection:
    """Which feedback is wanted. Consent for training is not among the choices."""

    since: AwareDatetime | None = None  # a row's newest event; `until` excluded
    until: AwareDatetime | None = None
    tasks: tuple[Task, ...] = ()  # of plain events; every other format is of one task
    versions: tuple[int, ...] = ()  # ids of model versions
    verified: bool = False  # only of models whose weights were seen, not those of engines
    languages: tuple[str, ...] = ()  # of the prompt: zh, en, …
    sources: tuple[str, ...] = ()  # the rules that made the rows: liked, edited, choice, …
    stars: tuple[int, ...] = ()  # where a row rests on stars, only on these
    reasons: tuple[str, ...] = ()  # its visitor named one of these
    without_reasons: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()  # its prompt holds one of these words
    without_topics: tuple[str, ...] = ()
    exclude_visitors: tuple[int, ...] = ()
    review: Review = "not_rejected"  # approved: only what the owner has approved
    raters: Positive = 1  # how many visitors have to have judged the same
    agreement: Share = 0.0  # what part of them has to agree
    conflicts: Conflicts = "majority"  # where they do not agree
    near_duplicates: Annotated[float, Field(ge=0.5, le=1)] | None = None
    least_edit: Share = 0.01  # what part of the characters an edit has to change
    cap_rows: Positive | None = 20  # of one visitor, or
    cap_share: Share = 0.01  # this part of all rows, whichever is more


@dataclass(frozen=True, config=STRICT)
class Splits:
    """What is kept for testing: rows that share a key are never on two sides."""

    test: Share = 0.1
    validation: Share = 0.0
    by: tuple[Key, ...] = KEYS
    near: Annotated[float, Field(ge=0.5, le=1)] = 0.85  # similarity of prompts of one cluster
    largest: Share = 0.2  # a group with more than this part of the rows is broken up

    @property
    def near_where_asked(self) -> float | None:
        """How similar prompts of one cluster are, if clusters are kept on one side at all."""
        asked = "cluster" in self.by and (self.test or self.validation)
        return self.near if asked else None


@dataclass(frozen=True, config=STRICT)
class Redaction:
    """What happens to personal data in texts."""

    mode: Redact = "auto"  # replace in what trains, report in plain events
    kinds: tuple[str, ...] = ()  # of feedback.redaction.KINDS; empty means all


@dataclass(frozen=True, config=STRICT)
class Lint:
    """How the rows are tried before the dataset counts as done."""

    consumers: bool = True  # open it with the libraries that will read it
    tokenizer: str = "auto"  # a folder; auto: that of the model most rows are from; empty: none
    max_tokens: Positive | None = None  # of prompt and answer; else what the model takes


@dataclass(frozen=True, config=STRICT)
class Spec:
    """A dataset that is asked for."""

    configs: tuple[Recipe, ...]
    selection: Selection = field(default_factory=Selection)
    splits: Splits = field(default_factory=Splits)
    redaction: Redaction = field(default_factory=Redaction)
    lint: Lint = field(default_factory=Lint)
    files: Files = "auto"
    shard_mb: Positive = 500  # a file begins anew when it is this long
    reuse: Literal["forbid", "allow"] = "forbid"  # one event behind rows of several configs
    edits: str = ""  # the config that uses edits; else the first that can
    license: str = "other"
    base: str = ""  # NAME@VERSION: what was said since, appended to that export
    as_of: Moment | None = None  # else now

    def __post_init__(self) -> None:
        names = [recipe.config for recipe in self.configs]
        if not names:
            raise InvalidSpec("a dataset needs at least one format")
        if len(set(names)) < len(names):
            raise InvalidSpec(f"two configs have the same name: {', '.join(names)}")
        if self.splits.test + self.splits.validation >= 1:
            raise InvalidSpec("test and validation leave nothing for training")

    def at(self, moment: Moment) -> "Spec":
        """The same as of a moment."""
        return replace(self, as_of=moment)


SPEC = TypeAdapter(Spec)


def as_json(spec: Spec) -> dict[str, Any]:
    """The spec in JSON's own types; what is as by default is there too."""
    content: dict[str, Any] = SPEC.dump_python(spec, mode="json")
    return content


def from_json(content: object) -> Spec:
    """The spec behind `as_json`; raises InvalidSpec."""
    try:
        return SPEC.validate_python(content)
    except ValidationError as problem:
        raise InvalidSpec(sentence(problem)) from None


def sentence(problem: InvalidSpec | ValidationError) -> str:
    """Where a spec contradicts itself, and how."""
    if isinstance(problem, InvalidSpec):
        return str(problem)
    first = problem.errors()[0]
    place, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


def of(*formats: str | Recipe, **options: Any) -> Spec:
    """A spec of these formats, everything else as by default."""
    recipes = (one if isinstance(one, Recipe) else Recipe(one) for one in formats)
    return Spec(tuple(recipes), **options)
