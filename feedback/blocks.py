"""Some of many at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Thing = TypeVar("Thing")


def blocks(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """So many at a time, and at the end what is left (itertools.batched of Python 3.12)."""
    rest = iter(things)
    while block := list(islice(rest, size)):
        yield block
