"""How long a push tries: a network has its moments, a refusal stays one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class PushFailed(RuntimeError):
    """The export could not be brought there; what is there is not seen as whole."""


class TargetTaken(PushFailed):
    """Something else stands at that place."""


@dataclass(frozen=True)
class Patience:
    """How often to try, and the seconds from one try to the next: they double, more or less."""

    tries: int = 6
    first: float = 1.0
    longest: float = 30.0


def patiently(
    patience: Patience, may_pass: Callable[[BaseException], bool], work: Callable[[], Answer]
) -> Answer:
    """The answer of `work`, which is asked again after an error that may pass.

    Raises PushFailed when it never answers, and at once what will not pass.
    """

    def tell(state: RetryCallState) -> None:
        outcome = state.outcome
        problem = outcome.exception() if outcome is not None else None
        log.info("try %d did not work (%s)", state.attempt_number, type(problem).__name__)

    retrying = Retrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_attempt(patience.tries),
        wait=wait_exponential_jitter(
            multiplier=patience.first, max=patience.longest, jitter=patience.first
        ),
        before_sleep=tell,
    )
    try:
        return retrying(work)
    except RetryError as error:
        problem = error.last_attempt.exception()
        raise PushFailed(
            f"it did not work in {patience.tries} tries; the last time: {brief(problem)}"
        ) from problem


def brief(problem: BaseException | None) -> str:
    """The first line of what went wrong."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0][:300]}" if lines else type(problem).__name__
