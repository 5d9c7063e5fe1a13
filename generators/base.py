"""What every generator is, and what it says when a request cannot be served."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from db.tables import PROMPT_LIMIT
from db.text import TextProblem, check_text
from models.registry import ModelUnavailable

Phase = Literal["waiting", "running", "done"]
SEEDS = 2**32


class InvalidRequest(ValueError):
    """The request cannot be served; `code` names the sentence that explains it."""

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


@dataclass(frozen=True)
class Snapshot:
    """What a reader sees of a request at one moment; each list has one entry a draft.

    A text fills texts and tokens, a picture images and previews, a latent sample latents and what
    it was decoded to.
    """

    phase: Phase
    ahead: int = 0  # requests before this one
    texts: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    finish_reasons: list[str | None] = field(default_factory=list)  # None while it goes on
    input_tokens: int = 0
    error: InvalidRequest | ModelUnavailable | None = None
    failed: bool = False  # the model broke; what it made until then is here
    step: int = 0  # steps done, of all drafts together
    steps: int = 0  # of how many
    images: list[bytes | None] = field(default_factory=list)  # finished, as PNG
    previews: list[bytes | None] = field(default_factory=list)  # unfinished, as small PNG
    truncated: str = ""  # the end of the prompt, where the model cannot read that far
    latents: list[dict[str, Any]] = field(default_factory=list)  # {"z": ...}, vectors also {"x"}
    served: list[dict[str, Any]] = field(default_factory=list)  # by an engine: which, and how


class Work(Protocol):
    """A request under way."""

    def look(self, phase: Phase) -> Snapshot:
        """How far it is; called between steps in the model's thread, a few times a second."""


class Generator(Protocol):
    """A loaded network. `run` works as it is iterated; who stops asking stops the work."""

    task: str
    name: str

    def start(self, inputs: dict[str, Any], options: Any) -> Work:
        """Check the request and make it ready; raises InvalidRequest."""

    def run(self, work: Any) -> Iterator[None]:
        """Do the work, one step (a token of every draft, a denoising step) at a time."""


def check_number(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Raise InvalidRequest unless the value is a number from low to high (booleans are none)."""
    right_type = type(value) is int or (not whole and type(value) is float)
    if not right_type or not math.isfinite(float(value)) or not low <= float(value) <= high:  # type: ignore[arg-type]
        raise InvalidRequest(
            "whole_out_of_range" if whole else "out_of_range", option=name, low=low, high=high
        )


def check_prompt(prompt: object, *, empty: bool = False) -> str:
    """The prompt itself, when it is text that can be kept; raises InvalidRequest."""
    if not isinstance(prompt, str):
        raise InvalidRequest("text_expected")
    try:
        return check_text(prompt, PROMPT_LIMIT, empty=empty)
    except TextProblem as problem:
        raise InvalidRequest(problem.code, **problem.details) from problem
