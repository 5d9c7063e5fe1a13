"""Which rows are for training and which for testing: whole groups, so that nothing leaks.

Rows that share a key, be it a visitor, a conversation, a prompt or a cluster of near-duplicates,
are one group, and so are rows that are connected through others. A group goes to one side: that of
its name, which is the best key of its oldest row, by its hash. So a row keeps its side while the
data grows, until its group grows together with an older one.

Where people try the same prompts, most rows are soon one group. A group that is larger than
`largest` is broken up: each row goes to the side of its own name, so that visitors are held out
whole; every other key goes to the side on which most of its rows are; and rows whose keys are not
all on one side are withheld. There a row never changes sides, but it may come to be withheld.

A row may change sides when its group grows together with an older one (the rows of the younger
change), when the key that names it is gone, when a name comes to have more than half of all rows
(that goes to train), and when its group begins or ceases to be too large. Against all four the
assignments of an earlier export can be pinned. Then a key may only go from test to validation or
train, and from validation to train, where groups have grown together: what was trained on is never
tested on.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import DTypeLike

from feedback.blocks import blocks
from feedback.components import connected
from feedback.memberships import Memberships, hashed
from feedback.scratch import CHUNK, Integers, append, chunks, in_order, let_go, numbers

Split = Literal["test", "validation", "train"]
SPLITS: tuple[Split, ...] = get_args(Split)  # the more it is used in training, the later
TEST, VALIDATION, TRAIN = range(len(SPLITS))
WITHHELD = "withheld"
OUTCOMES = (*SPLITS, WITHHELD)

# The kinds of keys that name a row, the best first; then come all others.
NAMED_BY = ("visitor", "conversation", "prompt")
TIES = 5  # of the largest group, that are told


@dataclass(frozen=True)
class Shares:
    """What part of the groups each side gets; the rest is for training."""

    test: float = 0.1
    validation: float = 0.0

    def __post_init__(self) -> None:
        if self.test < 0 or self.validation < 0 or self.test + self.validation >= 1:
            raise ValueError(
                "test and validation are parts of a whole that leave something for training, not "
                f"{self.test} and {self.validation}"
            )

    def sides(self, names: Integers) -> Integers:
        """Places in SPLITS for hashes. A larger share holds all that a smaller one held."""
        place = (names.astype(float) + 2.0**63) / 2.0**64
        return np.select(
            [place < self.test, place >= 1 - self.validation], [TEST, VALIDATION], TRAIN
        )


@dataclass
class Division:
    """What came of dividing, in numbers that can be written as JSON."""

    rows: int
    groups: int
    largest_group: int  # rows
    largest_share: float  # of all rows
    ties: list[dict[str, str | int]]  # the keys with most rows in the largest group
    broken_groups: int
    broken_rows: int
    rows_by_split: dict[str, int]  # also of what is withheld
    withheld_for: dict[str, int]  # by the kind of the key that was on the other side
    moved: dict[str, int]  # pinned keys that changed sides: "test to train"

    def warnings(self, shares: Shares) -> list[str]:
        """Sentences for whoever trains on it."""
        said = []
        for split, share in (("test", shares.test), ("validation", shares.validation)):
            given = self.rows_by_split.get(split, 0) / max(self.rows, 1)
            if share and not share / 2 <= given <= share * 2:
                said.append(f"{split} has {given:.1%} of the rows, and {share:.1%} was asked for")
        if self.broken_groups or self.largest_share > 0.5:
            ties = ", ".join(f"a {tie['kind']} with {tie['rows']} rows" for tie in self.ties)
            said.append(f"{self.largest_share:.0%} of the rows hang together: by {ties}")
        if withheld := self.rows_by_split.get(WITHHELD):
            said.append(f"{withheld} rows are withheld, since they belong to both sides")
        if self.moved:
            moves = ", ".join(f"{number} from {move}" for move, number in self.moved.items())
            said.append(f"groups grew together, and keys changed sides: {moves}")
        return said


def pin_of(key: bytes | str) -> str:
    """How a key is called in assignments: 16 hexadecimal digits."""
    return hexadecimal(hashed(key))


def hexadecimal(key: int) -> str:
    return key.to_bytes(8, "big", signed=True).hex()


def hash_of(pin: str) -> int:
    return int.from_bytes(bytes.fromhex(pin), "big", signed=True)


class Groups(Memberships):
    """The groups of rows: join rows to their keys, divide them, read the splits.

    All of it lies in a temporary folder, with 40 bytes a row and 40 bytes a key in mapped files,
    which the system can page out.
    """

    def __init__(self, folder: Path, named_by: Sequence[str] = NAMED_BY) -> None:
        super().__init__(folder, named_by)
        self.named_by = len(named_by)

    def divide(
        self, shares: Shares, *, largest: float = 0.2, pins: Iterable[tuple[str, Split]] = ()
    ) -> Division:
        """Decide on which side each row is.

        largest: the share of all rows above which a group is broken up. With 1 none is, and nothing
            withheld; with 0 all are, and no row ever goes from one side to the other.
        pins: the `assignments` of an earlier division.
        """
        steps: list[Callable[[], None]] = [
            self.sort,
            lambda: self.pin(pins),
            self.connect,
            lambda: self.name(largest * len(self.rows)),
            lambda: self.decide(shares),
            self.decide_keys,
            self.withhold,
        ]
        for step in steps:
            step()
            let_go(*vars(self).values())
        return self.division()

    def pin(self, pins: Iterable[tuple[str, Split]]) -> None:
        """self.pins: one more than the side of each key that has one, 0 for the others."""
        path = self.folder / "asked"
        path.unlink(missing_ok=True)
        for some in blocks(pins, CHUNK):
            append(path, np.array([(hash_of(pin), SPLITS.index(side)) for pin, side in some]))
        self.pins = self.of_keys("pins", np.int8)
        for part in in_order(path, 2):
            place = np.searchsorted(self.keys, part[:, 0])
            known = place < len(self.keys)
            known[known] = self.keys[place[known]] == part[known, 0]
            self.pins[place[known]] = part[known, 1] + 1

    def of_rows(self, name: str, kind: DTypeLike = np.int64) -> Integers:
        """A number for each row, by its place."""
        return numbers(self.folder / name, len(self.rows), kind)

    def of_keys(self, name: str, kind: DTypeLike = np.int64) -> Integers:
        """A number for each key, by its place."""
        return numbers(self.folder / name, len(self.keys), kind)

    def connect(self) -> None:
        """self.group: of each row the place of the oldest in its group. self.sizes: of that one,
        how many rows there are in the group."""
        rows = len(self.rows)
        self.group = connected(
            self.folder / "group",
            rows,
            lambda: ((self.first[key], place) for key, place in self.memberships()),
        )
        self.sizes = self.of_rows("sizes")
        for chunk in chunks(rows):
            np.add.at(self.sizes, self.group[chunk], 1)

    def name(self, limit: float) -> None:
        """self.leader: whose name decides, the oldest row's, or in groups above the limit one's
        own. self.names: of each leader, the hash of its best key."""
        rows = len(self.rows)
        self.broken, self.leader = self.of_rows("broken", np.bool_), self.of_rows("leader")
        for chunk in chunks(rows):
            group, own = self.group[chunk], np.arange(chunk.start, chunk.stop)
            self.broken[chunk] = self.sizes[group] > limit
            self.leader[chunk] = np.where(self.broken[chunk], own, group)
        worst = self.named_by + 1  # there is no key
        ranks, self.names = self.of_rows("ranks", np.int8), self.of_rows("names")
        for chunk in chunks(rows):
            ranks[chunk], self.names[chunk] = worst, np.iinfo(np.int64).max
        for key, place in self.memberships():
            np.minimum.at(ranks, place, np.minimum(self.kinds[key], self.named_by))
        for key, place in self.memberships():
            best = ranks[place] == np.minimum(self.kinds[key], self.named_by)
            np.minimum.at(self.names, place[best], self.keys[key[best]])
        for chunk in chunks(rows):
            without = chunk.start + np.flatnonzero(ranks[chunk] == worst)
            self.names[without] = [hashed(f"row:{row}") for row in self.rows[without].tolist()]

    def decide(self, shares: Shares) -> None:
        """self.sides: of each row, by pins or else by names."""
        rows = len(self.rows)
        given = self.of_rows("given", np.int8)  # to leaders: one more than the side
        for key, place in self.memberships():
            whole = ~self.broken[place]
            named = ~whole & (self.keys[key] == self.names[place])
            chosen = whole | named
            np.maximum.at(given, self.leader[place[chosen]], self.pins[key[chosen]])
            most = named & (2 * self.members[key] > rows)
            given[place[most]] = TRAIN + 1
        self.sides = self.of_rows("sides", np.int8)
        for chunk in chunks(rows):
            leader = self.leader[chunk]
            named = shares.sides(self.names[leader])
            sides = np.where(given[leader] > 0, given[leader] - 1, named)
            most = ~self.broken[chunk] & (2 * self.sizes[leader] > rows)
            self.sides[chunk] = np.where(most, TRAIN, sides)

    def decide_keys(self) -> None:
        """self.key_sides: that of its rows, or in a broken group of most of them, or of its pin."""
        keys = len(self.keys)
        votes = [self.of_keys(f"for {split}", np.int32) for split in SPLITS]
        for key, place in self.memberships():
            for side, count in enumerate(votes):
                np.add.at(count, key[self.sides[place] == side], 1)
        self.key_sides = self.of_keys("key sides", np.int8)
        for chunk in chunks(keys):
            latest_first = np.stack([count[chunk] for count in reversed(votes)])
            most = TRAIN - np.argmax(latest_first, axis=0)
            broken = self.broken[self.first[chunk]]
            self.key_sides[chunk] = np.where(broken, np.maximum(most, self.pins[chunk] - 1), most)

    def withhold(self) -> None:
        """self.withheld: of each row, whether a key of it is on another side."""
        self.withheld = self.of_rows("withheld", np.bool_)
        self.withheld_for = np.zeros(len(self.number_of), np.int64)
        for key, place in self.memberships():
            other = self.key_sides[key] != self.sides[place]
            self.withheld[place[other]] = True
            np.add.at(self.withheld_for, self.kinds[key[other]], 1)

    def split_of(self) -> Iterator[tuple[int, str]]:
        """Each row with its split, in the order of rows: a name of SPLITS, or WITHHELD."""
        for chunk in chunks(len(self.rows)):
            rows, outcomes = self.rows[chunk].tolist(), self.outcomes(chunk).tolist()
            for row, outcome in zip(rows, outcomes, strict=True):
                yield row, OUTCOMES[outcome]

    def outcomes(self, chunk: slice) -> Integers:
        """Places in OUTCOMES."""
        return np.where(self.withheld[chunk], OUTCOMES.index(WITHHELD), self.sides[chunk])

    def assignments(self) -> Iterator[tuple[str, Split]]:
        """The split of every key, to be pinned by later divisions; keys by their `pin_of`."""
        for chunk in chunks(len(self.keys)):
            keys, sides = self.keys[chunk].tolist(), self.key_sides[chunk].tolist()
            for key, side in zip(keys, sides, strict=True):
                yield hexadecimal(key), SPLITS[side]

    def division(self) -> Division:
        rows, kinds = len(self.rows), list(self.number_of)
        outcomes = np.zeros(len(OUTCOMES), np.int64)
        groups = broken_groups = broken_rows = 0
        for chunk in chunks(rows):
            outcomes += np.bincount(self.outcomes(chunk), minlength=len(OUTCOMES))
            oldest = self.group[chunk] == np.arange(chunk.start, chunk.stop)
            groups += int(oldest.sum())
            broken_groups += int((oldest & self.broken[chunk]).sum())
            broken_rows += int(self.broken[chunk].sum())
        largest = int(self.sizes.max(initial=0))
        return Division(
            rows=rows,
            groups=groups,
            largest_group=largest,
            largest_share=largest / max(rows, 1),
            ties=self.ties(),
            broken_groups=broken_groups,
            broken_rows=broken_rows,
            rows_by_split=named(OUTCOMES, outcomes),
            withheld_for=named(kinds, self.withheld_for),
            moved=self.moved(),
        )

    def ties(self) -> list[dict[str, str | int]]:
        """The keys with most rows in the largest group."""
        if not len(self.rows):
            return []
        largest, kinds = self.sizes.argmax(), list(self.number_of)
        found: list[tuple[int, int, int]] = []
        for chunk in chunks(len(self.keys)):
            inside = (self.group[self.first[chunk]] == largest) & (self.members[chunk] > 1)
            places = chunk.start + np.flatnonzero(inside)
            order = np.lexsort((self.keys[places], -self.members[places]))
            best = places[order[:TIES]]
            some = (-self.members[best], self.keys[best], self.kinds[best])
            found += zip(*(each.tolist() for each in some), strict=True)
        return [
            {"kind": kinds[kind], "pin": hexadecimal(key), "rows": -members}
            for members, key, kind in sorted(found)[:TIES]
        ]

    def moved(self) -> dict[str, int]:
        moves = Counter[tuple[int, int]]()
        for chunk in chunks(len(self.keys)):
            pinned = self.pins[chunk] > 0
            was, now = self.pins[chunk][pinned] - 1, self.key_sides[chunk][pinned]
            moves.update(zip(was[was != now].tolist(), now[was != now].tolist(), strict=True))
        return {f"{SPLITS[was]} to {SPLITS[now]}": keys for (was, now), keys in moves.items()}


def named(names: Sequence[str], counts: Integers) -> dict[str, int]:
    """The counts that are not zero."""
    return {name: count for name, count in zip(names, counts.tolist(), strict=True) if count}
