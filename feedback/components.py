"""Which numbers belong together: by pairs as they are found, or by all pairs at once."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from feedback.scratch import Integers, chunks, numbers


class DisjointSets:
    """Which of the numbers 0 … length - 1 belong together; the smallest names its set.

    A forest with path halving (Tarjan and van Leeuwen 1984), 8 bytes a number, on the disk.
    """

    def __init__(self, path: Path, length: int) -> None:
        self.parent = singles(path, length).data  # gives single numbers faster

    def find(self, one: int) -> int:
        parent = self.parent
        while (above := parent[one]) != one:
            parent[one] = one = parent[above]
        return one

    def join(self, one: int, other: int) -> None:
        one, other = self.find(one), self.find(other)
        if one < other:
            self.parent[other] = one
        else:
            self.parent[one] = other


def singles(path: Path, length: int) -> Integers:
    """Each number names itself."""
    parents = numbers(path, length)
    for chunk in chunks(length):
        parents[chunk] = np.arange(chunk.start, chunk.stop)
    return parents


def connected(
    path: Path, length: int, pairs: Callable[[], Iterable[tuple[Integers, Integers]]]
) -> Integers:
    """The smallest number of the component of each number.

    pairs: gives all pairs of numbers that belong together, in parts; it is asked until there is
        nothing left to join (hooking and shortcutting, Shiloach and Vishkin 1982).
    """
    parents = singles(path, length)
    joined = True
    while joined:
        joined = False
        for ones, others in pairs():
            ones, others = parents[ones], parents[others]
            apart = ones != others
            if apart.any():
                joined = True
                ones, others = ones[apart], others[apart]
                # A parent is always smaller than its child, so that there are no circles.
                np.minimum.at(parents, np.maximum(ones, others), np.minimum(ones, others))
        shorten(parents)
    return parents


def shorten(parents: Integers) -> None:
    """Let every number point at the root of its tree."""
    for chunk in chunks(len(parents)):
        part = parents[chunk]
        while (part != (above := parents[part])).any():
            part = above
        parents[chunk] = part
