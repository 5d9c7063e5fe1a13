"""What follows for a row from all the others: who agrees, what repeats, who has said too much.

Rows are compared by their keys, many at a time; texts are looked at only where the spec asks for
near-duplicates. The order matters: a row that is held back for one thing does not count for the
next.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from feedback.clusters import Clusters
from feedback.formats.candidate import CODES
from feedback.formats.format import Schema
from feedback.gathered import Gathered, flowing
from feedback.plan import Config
from feedback.spec import Selection

AT_ONCE = 1 << 18  # keys that are sorted at once

Ints = NDArray[np.int64]
Small = NDArray[np.int32]  # numbers of rows and topics, of which there are less than 2 billion
Keys = NDArray[np.uint64]


@dataclass
class Outcome:
    """What became of the rows of one config, one number a row."""

    reason: NDArray[np.uint8]  # in REASONS; 0 for a row that leaves
    split: NDArray[np.uint8] = field(init=False)  # in feedback.splits.OUTCOMES
    raters: NDArray[np.uint32] = field(init=False)  # how many visitors judged the same
    agreeing: NDArray[np.uint32] = field(init=False)  # how many of them are with the row
    mean: NDArray[np.float32] = field(init=False)  # of the values that they gave
    # Rows of the version that this one goes on from; where it is one row or another, they win.
    former: NDArray[np.bool_] = field(init=False)
    judged_by_several: int = 0  # things that two visitors or more have judged
    alpha: float | None = None  # how far visitors agree there, see `Answers`
    used_elsewhere: int = 0  # rows with an event that stands behind a row of an earlier config
    cap: int | None = None  # how many rows a visitor may have

    def __post_init__(self) -> None:
        rows = len(self.reason)
        self.split, self.former = np.zeros(rows, np.uint8), np.zeros(rows, bool)
        self.raters, self.agreeing = np.zeros(rows, np.uint32), np.zeros(rows, np.uint32)
        self.mean = np.zeros(rows, np.float32)

    def hold(self, rows: NDArray[Any], reason: str) -> None:
        """Hold back those of the rows that are not held back yet; rows is a mask."""
        self.reason[rows & (self.reason == 0)] = CODES[reason]

    @property
    def kept(self) -> NDArray[np.bool_]:
        rows: NDArray[np.bool_] = self.reason == 0
        return rows


def weigh(
    config: Config,
    found: Gathered,
    selection: Selection,
    used: Ints,
    *,
    reuse: bool,
    folder: Path,
    former: NDArray[np.uint64] | None = None,
) -> Outcome:
    """Weigh the rows of one config against each other.

    used: the events, sorted, that stand behind rows of earlier configs. former: what the rows of
    an earlier version are known by.
    """
    outcome = count_voices(found)
    if former is not None:
        outcome.former = np.isin(found.facts.column("row_id"), former)
    opposing = outcome.raters - outcome.agreeing
    if selection.conflicts == "drop":
        outcome.hold(opposing > 0, "contradictory")
    outcome.hold((opposing > 0) & (opposing == outcome.agreeing), "contradictory")
    outcome.hold(opposing > outcome.agreeing, "outvoted")
    outcome.hold(outcome.raters < selection.raters, "too_few_raters")
    share = outcome.agreeing / np.maximum(outcome.raters, 1)
    outcome.hold(share < selection.agreement, "too_little_agreement")
    outcome.hold(repeated(found.facts.column("same"), outcome), "duplicate")
    if selection.near_duplicates is not None and config.task == "text":
        similar = nearly_repeated(found, outcome, config.columns, selection.near_duplicates, folder)
        outcome.hold(similar, "near_duplicate")
    if config.format is not None and config.format.uses_events:
        again = uses(found, used)
        outcome.used_elsewhere = int((again & outcome.kept).sum())
        if not reuse:
            outcome.hold(again, "already_used")
    return outcome


def count_voices(found: Gathered) -> Outcome:
    """Count the visitors who are for and against what each row says.

    An opinion without consent for training counts against a row and never for one. Of a visitor
    who says the same several times the mean counts.
    """
    facts, opinions = found.facts, found.opinions
    reason = facts.column("reason")
    outcome = Outcome(reason)
    about, heard = facts.column("about"), opinions.column("about")
    row, said_by = speakers(found, reason == 0)
    value, trains = facts.column("value"), opinions.column("may_train") == 1
    side, others_side = facts.column("side") > 0, opinions.column("side") > 0
    answers = Answers()
    for rows, said, others in apart(about, about[row], heard):
        topic = numbered(np.concatenate([about[rows], heard[others]]))
        topics = int(topic.max(initial=-1)) + 1
        topic *= 2  # a topic has two sides
        topic += np.concatenate([side[rows], others_side[others]])
        mine, theirs = topic[: len(rows)], topic[len(rows) :]

        place = np.concatenate([mine[np.searchsorted(rows, row[said])], theirs])
        visitor = np.concatenate([said_by[said], opinions.column("visitor")[others]])
        against, _ = voices(place, visitor, None, topics * 2)
        may_train = np.concatenate([np.ones(len(said), bool), trains[others]])
        values = np.concatenate([value[row[said]], opinions.column("value")[others]])
        agreed, mean = voices(place[may_train], visitor[may_train], values[may_train], topics * 2)
        outcome.agreeing[rows] = agreed[mine]
        outcome.raters[rows] = agreed[mine] + against[mine ^ 1]
        outcome.mean[rows] = mean[mine]
        answers.add(agreed[0::2], agreed[1::2])
    outcome.judged_by_several, outcome.alpha = answers.things, answers.alpha
    return outcome


def apart(*keys: Keys) -> Iterator[list[Ints]]:
    """The places in each of some arrays of keys, a part of the keys at a time.

    The same key is always in the same part, and no part is too large to be sorted in memory.
    """
    parts = max(map(len, keys)) // AT_ONCE + 1
    for part in range(parts):
        yield [np.flatnonzero(each % np.uint64(parts) == part) for each in keys]


def speakers(found: Gathered, rows: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], Ints]:
    """The rows of these, in their order, and the visitors who said something of each."""
    row, speaks = found.people.column("row"), found.people.column("speaks")
    spoken = np.flatnonzero((speaks == 1) & rows[row])
    return row[spoken], found.people.column("visitor")[spoken]


@dataclass
class Answers:
    """What visitors say of things that several have judged, for Krippendorff's alpha."""

    things: int = 0
    one: int = 0  # how many gave the first answer, and how many the other
    other: int = 0
    apart: float = 0.0  # pairs of visitors who disagree, weighed by how many judged the thing

    def add(self, one: NDArray[Any], other: NDArray[Any]) -> None:
        """How many visitors gave each answer, of some things."""
        several = one + other > 1
        one, other = one[several].astype(float), other[several].astype(float)
        self.things += len(one)
        self.one += int(one.sum())
        self.other += int(other.sum())
        self.apart += float((2 * one * other / (one + other - 1)).sum())

    @property
    def alpha(self) -> float | None:
        """1 for full agreement, 0 for that of chance, None where all answers are the same.

        Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, for nominal data and any
        number of raters.
        """
        total = self.one + self.other
        expected = 2 * self.one * self.other / max(total - 1, 1)
        return 1 - self.apart / expected if expected else None


def voices(
    place: Small, visitor: Ints, value: NDArray[np.float32] | None, places: int
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """How many visitors are heard in each place, and the mean of what they say there."""
    none = np.zeros(places, np.float32)
    if not len(place):
        return np.zeros(places, np.uint32), none
    order = np.lexsort((visitor, place))
    place, visitor = place[order], visitor[order]
    new = np.r_[True, (place[1:] != place[:-1]) | (visitor[1:] != visitor[:-1])]
    first = np.flatnonzero(new)
    heard = np.bincount(place[first], minlength=places).astype(np.uint32)
    if value is None:
        return heard, none
    said = np.add.reduceat(value[order], first) / np.diff(first, append=len(place))
    total = np.bincount(place[first], weights=said, minlength=places)
    return heard, (total / np.maximum(heard, 1)).astype(np.float32)


def numbered(keys: Keys) -> Small:
    """A number from 0 for each key, the same for the same."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    new = np.r_[False, ordered[1:] != ordered[:-1]][: len(keys)]
    numbers = np.empty(len(keys), np.int32)
    numbers[order] = np.cumsum(new, dtype=np.int32)
    return numbers


def repeated(same: Keys, outcome: Outcome) -> NDArray[np.bool_]:
    """Which of the kept rows say what an earlier one says, or one of the former version."""
    again = outcome.kept
    for (rows,) in apart(same):
        rows = rows[outcome.kept[rows]]
        order = np.lexsort((rows, ~outcome.former[rows], same[rows]))
        rows = rows[order]
        first = np.r_[True, same[rows[1:]] != same[rows[:-1]]][: len(rows)]
        again[rows[first]] = False
    return again


def nearly_repeated(
    found: Gathered, outcome: Outcome, columns: Schema, threshold: float, folder: Path
) -> NDArray[np.bool_]:
    """Which of the kept rows have nearly the same texts as an earlier one."""
    similar = np.zeros(len(outcome.reason), bool)
    with Clusters(folder, threshold) as clusters:
        for row, content in kept_rows(found, outcome):
            clusters.add(row, "\n".join(texts_of(content, columns)))
        for row, first in clusters.representatives():
            similar[row] = row != first
    return similar


def kept_rows(
    found: Gathered, outcome: Outcome, step: int = 1
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The columns of each row that leaves, or of one in so many rows."""
    rows = zip(flowing(outcome.reason), found.payload(), strict=True)
    for row, (reason, (line, _)) in enumerate(rows):
        if not reason and row % step == 0:
            yield row, orjson.loads(line)


def texts_of(columns: dict[str, Any], wanted: Container[str]) -> Iterator[str]:
    """Every text in these columns, in turn."""
    for name, value in columns.items():
        if name in wanted:
            yield from texts_in(value)


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            if name not in ("role", "from"):
                yield from texts_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts_in(part)


def uses(found: Gathered, used: Ints) -> NDArray[np.bool_]:
    """Which rows rest on one of these events."""
    rows = np.zeros(len(found), bool)
    rows[found.evidence.column("row")[np.isin(found.evidence.column("entry"), used)]] = True
    return rows


def used_by(found: Gathered, outcome: Outcome) -> Ints:
    """The events behind the rows that leave."""
    left = outcome.kept[found.evidence.column("row")]
    return np.unique(found.evidence.column("entry")[left])


def over_cap(found: Gathered, outcome: Outcome, rows: int | None, share: float) -> None:
    """Hold back what visitors have said beyond their part, and say how many rows one may have.

    That is `rows`, or as many as are no more than `share` of what then leaves, whichever is more.
    Which rows of a visitor leave is decided by their keys, so that it does not hang on when they
    were said; but those of a former version stay.
    """
    if rows is None:
        return
    row, visitor = speakers(found, outcome.kept)
    same = found.facts.column("same")
    worst = np.zeros(len(outcome.reason), np.int64)  # of the ranks of a row with its visitors
    for (said,) in apart(visitor.view(np.uint64)):
        mine, by = row[said], visitor[said]
        order = np.lexsort((mine, same[mine], ~outcome.former[mine], by))
        mine, by = mine[order], by[order]
        # Who spoke under two consents is one visitor.
        once = np.r_[True, (by[1:] != by[:-1]) | (mine[1:] != mine[:-1])][: len(mine)]
        mine, by = mine[once], by[once]
        first = np.flatnonzero(np.r_[True, by[1:] != by[:-1]][: len(by)])
        rank = np.arange(len(by)) - np.repeat(first, np.diff(first, append=len(by)))
        np.maximum.at(worst, mine, rank)
    ranks = np.sort(worst[outcome.kept])

    def is_fair(cap: int) -> bool:
        return cap <= share * int(np.searchsorted(ranks, cap))

    low, high = 0, int(ranks[-1]) + 1 if len(ranks) else 0
    while low < high:  # more for one visitor is fair up to a point and never after
        middle = (low + high + 1) // 2
        low, high = (middle, high) if is_fair(middle) else (low, middle - 1)
    outcome.cap = max(rows, low)
    outcome.hold(worst >= outcome.cap, "over_visitor_cap")
