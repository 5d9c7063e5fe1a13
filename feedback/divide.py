"""Split the rows of all configs of a dataset together, and prove afterwards that nothing leaks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedback.clusters import Clusters
from feedback.gathered import Gathered
from feedback.memberships import hashed
from feedback.minhash import mixed
from feedback.spec import KEYS, Key, Splits
from feedback.splits import OUTCOMES, WITHHELD, Groups, Shares, Split
from feedback.weigh import Ints, Keys, Outcome, apart

TRAIN = OUTCOMES.index("train")

Rows = Sequence[tuple[Gathered, Outcome]]


class Ties(NamedTuple):
    """Keys of one kind: which row, counted over all that are to be split, has which."""

    kind: str
    row: Ints
    key: Ints  # 64 bits of it, in which its kind is mixed


def discard(_key: str, _split: Split) -> None:
    pass


def divide(
    rows: Rows,
    splits: Splits,
    folder: Path,
    *,
    pins: Iterable[tuple[str, Split]] = (),
    remember: Callable[[str, Split], object] = discard,
) -> dict[str, Any]:
    """Give every row that leaves its split, or hold it back; a report that JSON can hold.

    pins: the sides of keys in an earlier dataset, which stay. remember: told the side of every key.
    """
    for _, outcome in rows:
        outcome.split[:] = TRAIN
    if not splits.test and not splits.validation:
        return {}
    shares = Shares(splits.test, splits.validation)
    near = splits.near_where_asked
    alike = [] if near is None else clusters(rows, near, folder)
    kept = [np.flatnonzero(outcome.kept) for _, outcome in rows]
    report = grouped(rows, kept, splits, shares, alike, folder, pins, remember)
    told = [kind for kind in KEYS if kind in splits.by or kind != "cluster"]
    by_kind = groupby(all_ties(rows, told, alike), key=lambda each: each.kind)
    leaks = {kind: on_two_sides(list(parts), rows, kept) for kind, parts in by_kind}
    for _, outcome in rows:
        outcome.hold(outcome.split == OUTCOMES.index(WITHHELD), "withheld")
    report["keys_on_two_sides"] = leaks
    return report


def grouped(
    rows: Rows,
    kept: list[Ints],
    splits: Splits,
    shares: Shares,
    alike: list[Keys],
    folder: Path,
    pins: Iterable[tuple[str, Split]],
    remember: Callable[[str, Split], object],
) -> dict[str, Any]:
    """Give the rows that are kept their split; the report. What it needs is gone afterwards."""
    with Groups(folder) as groups:
        groups.know(np.arange(sum(map(len, kept))))
        for each in all_ties(rows, splits.by, alike):
            groups.join_many(each.row, each.key, each.kind)
        division = groups.divide(shares, largest=splits.largest, pins=pins)
        for key, split in groups.assignments():
            remember(key, split)
        outcomes = (OUTCOMES.index(split) for _, split in groups.split_of())
        for mine, (_, outcome) in zip(kept, rows, strict=True):
            outcome.split[mine] = np.fromiter(outcomes, np.uint8, len(mine))
    return asdict(division) | {"warnings": division.warnings(shares)}


def on_two_sides(ties: list[Ties], rows: Rows, kept: list[Ints]) -> int:
    """How many keys have rows on more than one side; this looks at nothing but the outcome."""
    sides = np.concatenate(
        [outcome.split[mine] for mine, (_, outcome) in zip(kept, rows, strict=True)]
    )
    side = np.concatenate([sides[each.row] for each in ties])
    key = np.concatenate([each.key for each in ties])
    found = 0
    for (places,) in apart(key.view(np.uint64)):
        places = places[side[places] != OUTCOMES.index(WITHHELD)]
        if len(places):
            places = places[np.argsort(key[places], kind="stable")]
            first = np.flatnonzero(np.r_[True, key[places[1:]] != key[places[:-1]]])
            here = side[places]
            straddle = np.minimum.reduceat(here, first) != np.maximum.reduceat(here, first)
            found += int(straddle.sum())
    return found


def all_ties(rows: Rows, kinds: Iterable[Key], alike: list[Keys]) -> Iterator[Ties]:
    """What ties the rows that leave, kind by kind, some at a time."""
    for kind in kinds:
        start = 0
        for number, (found, outcome) in enumerate(rows):
            place = np.full(len(found), -1)  # of each row among all that leave
            mine = np.flatnonzero(outcome.kept)
            place[mine] = start + np.arange(len(mine))
            start += len(mine)
            if kind == "visitor":
                row, visitor = found.people.column("row"), found.people.column("visitor")
                yield from tied(kind, place[row], visitor)
            elif kind == "conversation":
                row, key = found.ties.column("row"), found.ties.column("key")
                yield from tied(kind, place[row], key)
            elif kind == "prompt":
                yield from tied(kind, place, found.facts.column("prompt"))
            else:
                yield from tied(kind, np.where(alike[number] == 0, -1, place), alike[number])


def tied(kind: str, row: Ints, key: NDArray[Any]) -> Iterator[Ties]:
    """Each row that leaves with its keys, each pair once; those that do not are at -1."""
    for (places,) in apart(row.view(np.uint64)):
        places = places[row[places] >= 0]
        rows, keys = row[places], key[places].astype(np.uint64)
        order = np.lexsort((keys, rows))
        rows, keys = rows[order], keys[order]
        once = np.r_[True, (rows[1:] != rows[:-1]) | (keys[1:] != keys[:-1])][: len(rows)]
        mix = mixed(keys[once] ^ np.uint64(hashed(kind) & (1 << 64) - 1))
        yield Ties(kind, rows[once], mix.view(np.int64))


def clusters(rows: Rows, threshold: float, folder: Path) -> list[Keys]:
    """For each row of each config the key of the first prompt that is nearly the same as its own.

    0 where a row has no prompt in words.
    """
    asked_for = [found.prompts for found, _ in rows if found.prompts is not None]
    known = np.concatenate([prompts.keys.column("prompt") for prompts in asked_for])
    first = np.zeros(len(known), np.int64)
    with Clusters(folder, threshold) as alike:
        row = 0
        for prompts in asked_for:
            alike.take(row, prompts.texts, prompts.keys.column("text").astype(np.int64))
            row += prompts.keys.length
        for number, representative in alike.representatives():
            first[number] = representative
    order = np.argsort(known, kind="stable")  # of the same prompt the first entry comes first
    ordered = known[order]
    keys = []
    for found, _ in rows:
        asked = found.facts.column("prompt")
        place = np.searchsorted(ordered, asked)
        place[place == len(ordered)] = 0
        if len(ordered):
            there = ordered[place] == asked
            keys.append(np.where(there, known[first[order[place]]], np.uint64(0)))
        else:
            keys.append(np.zeros(len(asked), np.uint64))
    return keys
