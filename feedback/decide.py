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

from feedback.formats.candidate import CODES
from feedback.formats.format import Schema
from feedback.gathered import Gathered, flowing
from feedback.near_duplicates import Clusters
from feedback.plan import Config
from feedback.spec import Selection

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]  # (n, 2): 16 bytes each


@dataclass
class Decision:
    """What became of the rows of one config, one number a row."""

    reason: NDArray[np.uint8]  # in REASONS; 0 for a row that leaves
    split: NDArray[np.uint8]  # in feedback.splits.OUTCOMES
    raters: NDArray[np.uint32]  # how many visitors judged the same
    agreeing: NDArray[np.uint32]  # how many of them are with the row
    mean: NDArray[np.float32]  # of the values that they gave
    judged_by_several: int = 0  # things that two visitors or more have judged
    alpha: float | None = None  # how far visitors agree there, see `krippendorff`
    used_elsewhere: int = 0  # rows with an event that stands behind a row of an earlier config
    cap: int | None = None  # how many rows a visitor may have
    # Rows of the version that this one goes on from; where it is one row or another, they win.
    former: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))

    def hold(self, rows: NDArray[Any], reason: str) -> None:
        """Hold back those of the rows that are not held back yet; rows is a mask."""
        self.reason[rows & (self.reason == 0)] = CODES[reason]

    @property
    def kept(self) -> NDArray[np.bool_]:
        rows: NDArray[np.bool_] = self.reason == 0
        return rows


def decide(
    config: Config,
    found: Gathered,
    selection: Selection,
    used: Ints,
    *,
    reuse: bool,
    folder: Path,
    former: NDArray[np.uint64] | None = None,
) -> Decision:
    """Weigh the rows of one config against each other.

    used: the events, sorted, that stand behind rows of earlier configs. former: what the rows of
    an earlier version are known by.
    """
    facts = found.facts.read()
    decision = weigh(found)
    decision.former = np.isin(facts["row_id"], [] if former is None else former)
    opposing = decision.raters - decision.agreeing
    if selection.conflicts == "drop":
        decision.hold(opposing > 0, "contradictory")
    decision.hold((opposing > 0) & (opposing == decision.agreeing), "contradictory")
    decision.hold(opposing > decision.agreeing, "outvoted")
    decision.hold(decision.raters < selection.raters, "too_few_raters")
    share = decision.agreeing / np.maximum(decision.raters, 1)
    decision.hold(share < selection.agreement, "too_little_agreement")
    decision.hold(repeated(facts["same"], decision), "duplicate")
    if selection.near_duplicates is not None and config.task == "text":
        similar = nearly_repeated(
            found, decision, config.columns, selection.near_duplicates, folder
        )
        decision.hold(similar, "near_duplicate")
    if config.format is not None and config.format.uses_events:
        again = uses(found, used)
        decision.used_elsewhere = int((again & decision.kept).sum())
        if not reuse:
            decision.hold(again, "already_used")
    return decision


def weigh(found: Gathered) -> Decision:
    """Count the visitors who are for and against what each row says.

    An opinion without consent for training counts against a row and never for one. Of a visitor
    who says the same several times the mean counts.
    """
    facts, people, opinions = found.facts.read(), found.people.read(), found.opinions.read()
    reason = np.array(facts["reason"])
    spoken = people[(people["speaks"] == 1) & (reason[people["row"]] == 0)]
    row = spoken["row"]
    about = numbered(np.concatenate([facts["about"], opinions["about"]]))
    topic = np.concatenate([about[row], about[len(facts) :]])
    side = np.concatenate([facts["side"][row], opinions["side"]])
    visitor = np.concatenate([spoken["visitor"], opinions["visitor"]])
    value = np.concatenate([facts["value"][row], opinions["value"]]).astype(float)
    may_train = np.concatenate([np.ones(len(row), bool), opinions["may_train"] == 1])

    topics = int(about.max(initial=-1)) + 1
    place = topic * 2 + (side > 0)  # a topic has two sides
    against, _ = voices(place, visitor, value, topics * 2)
    place, visitor, value = place[may_train], visitor[may_train], value[may_train]
    agreed, mean = voices(place, visitor, value, topics * 2)

    mine = about[: len(facts)] * 2 + (facts["side"] > 0)
    agreeing, opposing = agreed[mine], against[mine ^ 1]
    several = agreed[0::2] + agreed[1::2] > 1
    return Decision(
        reason,
        np.zeros(len(facts), np.uint8),
        (agreeing + opposing).astype(np.uint32),
        agreeing.astype(np.uint32),
        mean[mine].astype(np.float32),
        int(several.sum()),
        krippendorff(agreed[0::2][several], agreed[1::2][several]),
    )


def krippendorff(one: Ints, other: Ints) -> float | None:
    """Krippendorff's alpha for two answers: 1 for full agreement, 0 for that of chance.

    one, other: how many visitors gave each answer, for each thing that several have judged. None
    where nobody ever gave one of the two. Krippendorff 2011, Computing Krippendorff's
    Alpha-Reliability, for nominal data and any number of raters.
    """
    raters, total = one + other, int((one + other).sum())
    expected = 2 * int(one.sum()) * int(other.sum()) / max(total * (total - 1), 1)
    if not expected:
        return None
    observed = float((2 * one * other / (raters - 1)).sum()) / total
    return 1 - observed / expected


def voices(
    place: Ints, visitor: Ints, value: NDArray[np.float64], places: int
) -> tuple[Ints, NDArray[np.float64]]:
    """How many visitors are heard in each place, and the mean of what they say there."""
    if not len(place):
        return np.zeros(places, np.int64), np.zeros(places)
    order = np.lexsort((visitor, place))
    place, visitor, value = place[order], visitor[order], value[order]
    first = np.flatnonzero(np.r_[True, (place[1:] != place[:-1]) | (visitor[1:] != visitor[:-1])])
    said = np.add.reduceat(value, first) / np.diff(np.r_[first, len(place)])
    heard = np.bincount(place[first], minlength=places)
    total = np.bincount(place[first], weights=said, minlength=places)
    return heard, total / np.maximum(heard, 1)


def numbered(keys: Keys) -> Ints:
    """A number from 0 for each key, the same for the same."""
    if not len(keys):
        return np.empty(0, np.int64)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    new = np.r_[False, (ordered[1:] != ordered[:-1]).any(axis=1)]
    numbers = np.empty(len(keys), np.int64)
    numbers[order] = np.cumsum(new)
    return numbers


def repeated(same: Keys, decision: Decision) -> NDArray[np.bool_]:
    """Which of the kept rows say what an earlier one says, or one of the former version."""
    kept, former = decision.kept, decision.former
    places = np.concatenate([np.flatnonzero(kept & former), np.flatnonzero(kept & ~former)])
    _, first = np.unique(numbered(same[places]), return_index=True)
    again = np.zeros(len(kept), bool)
    again[places] = True
    again[places[first]] = False
    return again


def nearly_repeated(
    found: Gathered, decision: Decision, columns: Schema, threshold: float, folder: Path
) -> NDArray[np.bool_]:
    """Which of the kept rows have nearly the same texts as an earlier one."""
    similar = np.zeros(len(decision.reason), bool)
    with Clusters(folder, threshold) as clusters:
        for row, content in kept_rows(found, decision):
            clusters.add(row, "\n".join(texts_of(content, columns)))
        for row, first in clusters.representatives():
            similar[row] = row != first
    return similar


def kept_rows(
    found: Gathered, decision: Decision, step: int = 1
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The columns of each row that leaves, or of one in so many rows."""
    rows = zip(flowing(decision.reason), found.payload(), strict=True)
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
    evidence = found.evidence.read()
    rows = np.zeros(len(found), bool)
    rows[evidence["row"][np.isin(evidence["entry"], used)]] = True
    return rows


def used_by(found: Gathered, decision: Decision) -> Ints:
    """The events behind the rows that leave."""
    evidence = found.evidence.read()
    return np.unique(evidence["entry"][decision.kept[evidence["row"]]])


def over_cap(found: Gathered, decision: Decision, rows: int | None, share: float) -> None:
    """Hold back what visitors have said beyond their part, and say how many rows one may have.

    That is `rows`, or as many as are no more than `share` of what then leaves, whichever is more.
    Which rows of a visitor leave is decided by their keys, so that it does not hang on when they
    were said; but those of a former version stay.
    """
    if rows is None:
        return
    people, same = found.people.read(), found.facts.read()["same"]
    spoken = people[(people["speaks"] == 1) & decision.kept[people["row"]]]
    pairs = np.unique(np.stack([spoken["visitor"], spoken["row"].astype(np.int64)], axis=1), axis=0)
    visitor, row = pairs[:, 0], pairs[:, 1]
    order = np.lexsort((same[row, 1], same[row, 0], ~decision.former[row], visitor))
    visitor, row = visitor[order], row[order]
    first = np.flatnonzero(np.r_[True, visitor[1:] != visitor[:-1]][: len(visitor)])
    rank = np.arange(len(visitor)) - np.repeat(first, np.diff(np.r_[first, len(visitor)]))
    worst = np.zeros(
        len(decision.reason), np.int64
    )  # of the ranks that a row has with its visitors
    np.maximum.at(worst, row, rank)
    ranks = np.sort(worst[decision.kept])

    def is_fair(cap: int) -> bool:
        return cap <= share * int(np.searchsorted(ranks, cap))

    low, high = 0, int(ranks[-1]) + 1 if len(ranks) else 0
    while low < high:  # more for one visitor is fair up to a point and never after
        middle = (low + high + 1) // 2
        low, high = (middle, high) if is_fair(middle) else (low, middle - 1)
    decision.cap = max(rows, low)
    decision.hold(worst >= decision.cap, "over_visitor_cap")
