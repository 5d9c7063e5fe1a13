"""How far an export is, for whoever waits for it; and whether it should stop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Stage = Literal["reading", "comparing", "writing", "checking", "entering"]

EVERY = 256  # rows between two looks


class Progress(NamedTuple):
    """How many rows of a stage are done; of how many, where that is known."""

    stage: Stage
    config: str
    done: int
    total: int | None


Report = Callable[[Progress], None]


class Cancelled(RuntimeError):
    """Whoever asked for the export does not want it any more."""


def nobody(_progress: Progress) -> None:
    pass


def never() -> bool:
    return False


@dataclass
class Watch:
    """Counts the rows of a stage, tells the report now and then, and raises Cancelled."""

    report: Report = nobody
    cancelled: Callable[[], bool] = never
    stage: Stage = "reading"
    config: str = ""
    total: int | None = None
    done: int = 0

    def begin(self, stage: Stage, config: str = "", total: int | None = None) -> None:
        self.stage, self.config, self.total, self.done = stage, config, total, 0
        self.look()

    def step(self, rows: int = 1) -> None:
        before, self.done = self.done, self.done + rows
        if before // EVERY != self.done // EVERY:
            self.look()

    def look(self) -> None:
        self.report(Progress(self.stage, self.config, self.done, self.total))
        if self.cancelled():
            raise Cancelled("the export was cancelled")
