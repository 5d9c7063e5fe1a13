"""Split the rows of all configs of a dataset together, and prove afterwards that nothing leaks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from feedback.decide import Decision, Ints, Keys, numbered
from feedback.gathered import Gathered
from feedback.memberships import hashed
from feedback.near_duplicates import Clusters, mixed
from feedback.spec import Splits
from feedback.splits import OUTCOMES, WITHHELD, Groups, Shares, Split

TRAIN = OUTCOMES.index("train")

Rows = Sequence[tuple[Gathered, Decision]]


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
    for _, decision in rows:
        decision.split[:] = TRAIN
    if not splits.test and not splits.validation:
        return {}
    kept = [np.flatnonzero(decision.kept) for _, decision in rows]
    ties = all_ties(rows, kept, splits, folder)
    shares = Shares(splits.test, splits.validation)
    with Groups(folder) as groups:
        groups.know(np.arange(sum(map(len, kept))))
        for each in ties:
            groups.join_many(each.row, each.key, each.kind)
        division = groups.divide(shares, largest=splits.largest, pins=pins)
        report = asdict(division) | {"warnings": division.warnings(shares)}
        for key, split in groups.assignments():
            remember(key, split)
        outcomes = (OUTCOMES.index(split) for _, split in groups.split_of())
        for mine, (_, decision) in zip(kept, rows, strict=True):
            decision.split[mine] = np.fromiter(outcomes, np.uint8, len(mine))
            decision.hold(decision.split == OUTCOMES.index(WITHHELD), "withheld")
    sides = np.concatenate(
        [decision.split[mine] for mine, (_, decision) in zip(kept, rows, strict=True)]
    )
    report["keys_on_two_sides"] = {each.kind: on_two_sides(each, sides) for each in ties}
    return report


def on_two_sides(ties: Ties, sides: Ints) -> int:
    """How many keys have rows on more than one side; this looks at nothing but the outcome."""
    side = sides[ties.row]
    here = side != OUTCOMES.index(WITHHELD)
    key, side = ties.key[here], side[here]
    if not len(key):
        return 0
    order = np.argsort(key, kind="stable")
    key, side = key[order], side[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    straddle = np.minimum.reduceat(side, first) != np.maximum.reduceat(side, first)
    return int(straddle.sum())


def all_ties(rows: Rows, kept: list[Ints], splits: Splits, folder: Path) -> list[Ties]:
    """What ties the rows that leave, by the kinds that the spec names."""
    alike = clusters(rows, splits.near, folder) if "cluster" in splits.by else []
    found: dict[str, list[Ties]] = {kind: [] for kind in splits.by}
    start = 0
    for number, ((gathered, _), mine) in enumerate(zip(rows, kept, strict=True)):
        place = np.full(len(gathered), -1)  # of each row among all that leave
        place[mine] = start + np.arange(len(mine))
        if "visitor" in found:
            people = gathered.people.read()
            found["visitor"].append(tied("visitor", place[people["row"]], people["visitor"]))
        if "conversation" in found:
            turns = gathered.ties.read()
            keys = short(turns["key"])
            found["conversation"].append(tied("conversation", place[turns["row"]], keys))
        if "prompt" in found:
            keys = short(gathered.facts.read()["prompt"])
            found["prompt"].append(tied("prompt", place, keys))
        if alike:
            has_words = alike[number].any(axis=1)
            keys = short(alike[number])
            found["cluster"].append(tied("cluster", np.where(has_words, place, -1), keys))
        start += len(mine)
    ties = [
        Ties(
            kind,
            np.concatenate([each.row for each in several]),
            np.concatenate([each.key for each in several]),
        )
        for kind, several in found.items()
    ]
    return [each for each in ties if len(each.row)]


def tied(kind: str, row: Ints, key: Ints) -> Ties:
    """Each row that leaves with its keys, each pair once; those that do not are at -1."""
    here = row >= 0
    pairs = np.unique(np.stack([row[here], key[here]], axis=1), axis=0)
    mix = mixed(pairs[:, 1].view(np.uint64) ^ np.uint64(hashed(kind) & (1 << 64) - 1))
    return Ties(kind, pairs[:, 0], mix.view(np.int64))


def short(keys: Keys) -> Ints:
    """The first 8 of the 16 bytes of each key."""
    return np.ascontiguousarray(keys[:, 0]).view(np.int64)


def clusters(rows: Rows, threshold: float, folder: Path) -> list[Keys]:
    """For each row of each config the key of the first prompt that is nearly the same as its own.

    Zeros where a row has no prompt in words.
    """
    prompts = [found.prompts.keys.read()["prompt"] for found, _ in rows]
    texts = (text for found, _ in rows for _, text in found.prompts.read())
    first = np.zeros(sum(map(len, prompts)), np.int64)
    with Clusters(folder, threshold) as alike:
        for number, text in enumerate(texts):
            alike.add(number, text)
        for number, representative in alike.representatives():
            first[number] = representative
    known = np.concatenate(prompts)
    asked = [found.facts.read()["prompt"] for found, _ in rows]
    numbers = numbered(np.concatenate([known, *asked]))
    entry = np.full(int(numbers.max(initial=-1)) + 1, -1)
    entry[numbers[: len(known)][::-1]] = np.arange(len(known))[::-1]
    found_keys, start = [], len(known)
    for each in asked:
        mine = entry[numbers[start : start + len(each)]]
        keys = np.zeros((len(each), 2), np.uint64)
        keys[mine >= 0] = known[first[mine[mine >= 0]]]
        found_keys.append(keys)
        start += len(each)
    return found_keys
