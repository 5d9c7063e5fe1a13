"""Split the rows of all configs of a dataset together, and prove afterwards that nothing leaks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from feedback.decide import Decision, Keys, numbered
from feedback.gathered import CHUNK, Gathered, flowing
from feedback.leakage import leaked_keys
from feedback.near_duplicates import Clusters
from feedback.spec import Splits
from feedback.splits import OUTCOMES, WITHHELD, Groups, Shares, Split

TRAIN = OUTCOMES.index("train")
NO_CLUSTER = b"cluster:" + bytes(16)

Rows = Sequence[tuple[Gathered, Decision]]


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
    shares = Shares(splits.test, splits.validation)
    alike = clusters(rows, splits.near, folder) if "cluster" in splits.by else None
    with Groups(folder) as groups:
        for number, (_, keys) in enumerate(all_keys(rows, splits, alike)):
            groups.join(number, keys)
        division = groups.divide(shares, largest=splits.largest, pins=pins)
        outcomes = (OUTCOMES.index(split) for _, split in groups.split_of())
        for _, decision in rows:
            kept = np.flatnonzero(decision.kept)
            decision.split[kept] = np.fromiter(outcomes, np.uint8, len(kept))
            decision.hold(decision.split == OUTCOMES.index(WITHHELD), "withheld")
        report = asdict(division) | {"warnings": division.warnings(shares)}
        for key, split in groups.assignments():
            remember(key, split)
    report["keys_on_two_sides"] = leaked_keys(all_keys(rows, splits, alike), folder)
    return report


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


def all_keys(
    rows: Rows, splits: Splits, alike: list[Keys] | None
) -> Iterator[tuple[str, list[bytes]]]:
    """The split and the keys of every row that leaves, config by config."""
    for number, (found, decision) in enumerate(rows):
        people, ties, length = found.people.read(), found.ties.read(), len(found)
        columns: list[Iterator[list[bytes]]] = []
        if "visitor" in splits.by:
            visitors = (b"visitor:%d" % visitor for visitor in flowing(people["visitor"]))
            columns.append(by_row(flowing(people["row"]), visitors, length))
        if "conversation" in splits.by:
            keys = named(b"conversation:", ties["key"])
            columns.append(by_row(flowing(ties["row"]), keys, length))
        if "prompt" in splits.by:
            columns.append([key] for key in named(b"prompt:", found.facts.read()["prompt"]))
        if alike is not None:
            keys = named(b"cluster:", alike[number])
            columns.append([key] if key != NO_CLUSTER else [] for key in keys)
        for outcome, kept, *keys_of in zip(
            flowing(decision.split), flowing(decision.kept), *columns, strict=True
        ):
            if kept:
                yield OUTCOMES[outcome], [key for keys in keys_of for key in keys]


def named(kind: bytes, keys: Keys) -> Iterator[bytes]:
    """Each key with its kind in front."""
    for start in range(0, len(keys), CHUNK):
        content = np.ascontiguousarray(keys[start : start + CHUNK]).tobytes()
        for at in range(0, len(content), 16):
            yield kind + content[at : at + 16]


def by_row(rows: Iterator[int], values: Iterator[bytes], length: int) -> Iterator[list[bytes]]:
    """What belongs to each row, each once, of values that come in the order of the rows."""
    pairs = zip(rows, values, strict=True)
    row, value = next(pairs, (length, b""))
    for number in range(length):
        mine: dict[bytes, None] = {}
        while row == number:
            mine[value] = None
            row, value = next(pairs, (length, b""))
        yield list(mine)
