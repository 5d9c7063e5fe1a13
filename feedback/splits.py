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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from feedback.memberships import Memberships, hashed
from feedback.scratch import DisjointSets, chunks, numbers

Split = Literal["test", "validation", "train"]
SPLITS: tuple[Split, ...] = get_args(Split)  # the more it is used in training, the later
TEST, VALIDATION, TRAIN = range(len(SPLITS))
WITHHELD = "withheld"
OUTCOMES = (*SPLITS, WITHHELD)

# The kinds of keys that name a row, the best first; then come all others.
NAMED_BY = ("visitor", "conversation", "prompt")
TIES = 5  # of the largest group, that are told

MEMBERS = "SELECT key, row, kind FROM members ORDER BY key, row"
PINS = """
SELECT key, row, coalesce(side, 0) FROM members LEFT JOIN pinned USING (key) ORDER BY key, row
"""
PINNED = "SELECT key, row, side FROM pinned JOIN members USING (key) ORDER BY key, row"
SIDED = "SELECT key, row, side, kind FROM sided JOIN members USING (key) ORDER BY key, row"
# Of the keys, their first rows, and their sides where their group is broken up, or NULL.
KEYS = "SELECT key, min(row), side FROM members LEFT JOIN sided USING (key) GROUP BY key"
MOVED = """
SELECT key, min(row), pinned.side, sided.side
FROM pinned JOIN members USING (key) LEFT JOIN sided USING (key) GROUP BY key
"""
SHARED = """
SELECT key, min(row), min(kind), count(*) FROM members
GROUP BY key HAVING count(*) > {} ORDER BY count(*) DESC, key
"""


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

    def sides(self, names: NDArray[np.int64]) -> NDArray[np.int64]:
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


class Groups(Memberships):
    """The groups of rows: join rows to their keys, divide them, read the splits.

    All of it lies in a temporary SQLite file in the folder, and in mapped files of 56 bytes a row,
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
        self.sort()
        self.pin(pins)
        self.connect()
        self.name(largest * len(self.rows))
        self.decide(shares)
        return self.division()

    def pin(self, pins: Iterable[tuple[str, Split]]) -> None:
        database = self.scratch.database
        database.execute("DELETE FROM pinned")
        database.executemany(
            "INSERT OR REPLACE INTO pinned VALUES (?, ?)",
            (
                (int.from_bytes(bytes.fromhex(pin), "big", signed=True), SPLITS.index(split))
                for pin, split in pins
            ),
        )

    def numbers(self, name: str) -> NDArray[np.int64]:
        """One for each row, by its place."""
        return numbers(self.scratch.folder / name, len(self.rows))

    def connect(self) -> None:
        """Find the groups and their sizes."""
        sets = DisjointSets(self.scratch.folder / "sets", len(self.rows))
        for _, members in groupby(self.places(MEMBERS), key=itemgetter(0)):
            places = (place for _, place, _ in members)
            for first, place in pairwise(places):
                sets.join(first, place)
        self.group = sets.names()  # the place of the oldest row
        self.sizes = self.numbers("sizes")  # rows of the group of that oldest row
        for chunk in chunks(len(self.rows)):
            np.add.at(self.sizes, self.group[chunk], 1)

    def name(self, limit: float) -> None:
        """Find the rows of groups above the limit, and the names of groups and of such rows."""
        self.broken = self.numbers("broken")
        self.leader = self.numbers("leader")  # whose name decides: the oldest row's, or one's own
        for chunk in chunks(len(self.rows)):
            group = self.group[chunk]
            self.broken[chunk] = self.sizes[group] > limit
            own = np.arange(chunk.start, chunk.stop)
            self.leader[chunk] = np.where(self.broken[chunk] == 1, own, group)
        self.names, ranks = self.numbers("names"), self.numbers("ranks")
        leader, name, rank = self.leader.data, self.names.data, ranks.data
        for key, place, kind in self.places(MEMBERS):
            if leader[place] == place:
                better = max(self.named_by - kind, 0) + 1
                if (better, -key) > (rank[place], -name[place]):
                    rank[place], name[place] = better, key
        for place in np.flatnonzero(ranks == 0).tolist():
            name[place] = hashed(f"row:{self.rows[place]}")  # it has no keys

    def decide(self, shares: Shares) -> None:
        """Give each row its side: by pins, or else by names; then find what is to be withheld."""
        given = self.numbers("given")  # to leaders: one more than the side
        for key, place, side in self.places(PINNED):
            if not self.broken[place] or self.names[place] == key:
                leader = self.leader[place]
                given[leader] = max(given[leader], side + 1)
        rows = len(self.rows)
        for key, _, _, _ in self.places(SHARED.format(rows // 2)):
            for _, place in self.places(f"SELECT key, row FROM members WHERE key = {key}"):
                if self.broken[place] and self.names[place] == key:
                    given[place] = TRAIN + 1
        self.sides = self.numbers("sides")
        for chunk in chunks(rows):
            leader = self.leader[chunk]
            sides = shares.sides(self.names[leader])
            sides = np.where(given[leader] > 0, given[leader] - 1, sides)
            whole = (self.broken[chunk] == 0) & (self.sizes[leader] > rows / 2)
            self.sides[chunk] = np.where(whole, TRAIN, sides)
        self.side_keys()
        self.withhold()

    def side_keys(self) -> None:
        """Where a group is broken up, give each key the side of most of its rows, or of its pin."""
        database = self.scratch.database
        database.execute("DELETE FROM sided")
        for key, members in groupby(self.places(PINS), key=itemgetter(0)):
            rows, pin = [0] * len(SPLITS), TEST
            for _, place, pinned in members:
                if self.broken[place]:
                    rows[self.sides[place]] += 1
                    pin = max(pin, pinned)
            if any(rows):
                most = max(range(len(SPLITS)), key=lambda side: (rows[side], side))
                database.execute("INSERT INTO sided VALUES (?, ?)", (key, max(most, pin)))

    def withhold(self) -> None:
        """Withhold the rows that have a key of another side."""
        self.withheld = self.numbers("withheld")
        self.withheld_for = Counter[int]()
        for _, place, side, kind in self.places(SIDED):
            if side != self.sides[place]:
                self.withheld[place] = 1
                self.withheld_for[kind] += 1

    def split_of(self) -> Iterator[tuple[int, str]]:
        """Each row with its split, in the order of rows: a name of SPLITS, or WITHHELD."""
        for chunk in chunks(len(self.rows)):
            for row, side in zip(
                self.rows[chunk].tolist(), self.outcomes(chunk).tolist(), strict=True
            ):
                yield row, OUTCOMES[side]

    def outcomes(self, chunk: slice) -> NDArray[np.int64]:
        """Places in OUTCOMES."""
        return np.where(self.withheld[chunk] == 1, OUTCOMES.index(WITHHELD), self.sides[chunk])

    def assignments(self) -> Iterator[tuple[str, Split]]:
        """The split of every key, to be pinned by later divisions; keys by their `pin_of`."""
        for key, place, side in self.places(KEYS):
            yield hexadecimal(key), SPLITS[self.sides[place] if side is None else side]

    def division(self) -> Division:
        rows, kinds = len(self.rows), list(self.kinds)
        by_split, groups, broken = Counter[str](), 0, [0, 0]
        for chunk in chunks(rows):
            by_split.update(OUTCOMES[side] for side in self.outcomes(chunk).tolist())
            oldest = self.group[chunk] == np.arange(chunk.start, chunk.stop)
            groups += int(oldest.sum())
            broken[0] += int((oldest & (self.broken[chunk] == 1)).sum())
            broken[1] += int(self.broken[chunk].sum())
        moved = Counter(
            f"{SPLITS[pin]} to {SPLITS[self.sides[place] if side is None else side]}"
            for _, place, pin, side in self.places(MOVED)
        )
        largest = int(self.sizes.max(initial=0))
        ties: Iterator[dict[str, str | int]] = (
            {"kind": kinds[kind], "pin": hexadecimal(key), "rows": count}
            for key, place, kind, count in self.places(SHARED.format(1))
            if self.sizes[self.group[place]] == largest
        )
        return Division(
            rows=rows,
            groups=groups,
            largest_group=largest,
            largest_share=largest / max(rows, 1),
            ties=list(islice(ties, TIES)),
            broken_groups=broken[0],
            broken_rows=broken[1],
            rows_by_split=dict(by_split),
            withheld_for={kinds[kind]: keys for kind, keys in self.withheld_for.items()},
            moved={move: keys for move, keys in moved.items() if len({*move.split(" to ")}) == 2},
        )
