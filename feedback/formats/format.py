"""What a dataset format is: which feedback becomes a row, its columns, and how it is checked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from feedback.formats.candidate import Candidate, Row, Says
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.spec import Recipe, Shape, Task

Schema = dict[str, str]  # column to type, in the spelling of Arrow; or `image`

# Files of rows; a folder of pictures with a list of them, as ImageFolder; or that of sd-scripts.
Layout = Literal["rows", "pictures", "pairs_of_folders"]
Trainer = Literal["sft", "dpo", "kto"]  # of TRL, which prepare rows before they train


class Rules(NamedTuple):
    """What the candidates of one config depend on besides the feedback."""

    edits: bool  # whether edits are used in this config
    least_edit: float  # what part of the characters an edit has to change


def rows_layout(_recipe: Recipe) -> Layout:
    return "rows"


def pictures_layout(_recipe: Recipe) -> Layout:
    return "pictures"


@dataclass(frozen=True)
class Format:
    """A dataset format. Rows come from candidates in their order."""

    name: str
    purpose: str  # half a sentence for the dataset's card
    task: Task
    schema: Callable[[Recipe], Schema]  # what its trainer reads; raises InvalidSpec
    candidates: Callable[[Reader, Recipe, Rules], Iterator[Candidate]]
    check: Callable[[Candidate], str | None]  # a key of QUARANTINE
    says: Callable[[Candidate], Says]
    row: Callable[[Candidate, Recipe, Pictures], Row]  # raises HeldBack
    shapes: tuple[Shape, ...] = ()
    takes_edits: bool = False  # unless told otherwise
    uses_events: bool = True  # they may then stand behind no row of another config
    kinds: tuple[str, ...] = ()  # of events that it reads besides those that decide about rows
    layout: Callable[[Recipe], Layout] = rows_layout
    labels: str = ""  # what learns from both labels or not at all
    trainer: Trainer | None = None
    latent: bool = False  # whether its rows are of the latent space of one model version
    mean: str = ""  # the column in which the mean of what all raters said is written
