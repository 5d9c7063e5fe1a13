"""Look at a finished division with other eyes: is anything on two sides?

It takes rows and splits as they were written, whoever divided them, and so finds mistakes of any
division: a key on both sides must never be, a prompt that is nearly the same on both hardly.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from feedback.clusters import Clusters
from feedback.memberships import Memberships
from feedback.splits import SPLITS, WITHHELD


def leaked_keys(rows: Iterable[tuple[str, Iterable[bytes | str]]], folder: Path) -> dict[str, int]:
    """How many keys of each kind stand on more than one side.

    rows: the split of each row and its keys. What is withheld stands nowhere.
    """
    with Memberships(folder) as seen:
        for split, keys in rows:
            if split != WITHHELD:
                seen.join(SPLITS.index(split), keys)  # a side is the row of all its keys
        seen.sort()  # by now every key has as many rows as it has sides
        straddling = np.bincount(seen.kinds[seen.members > 1], minlength=len(seen.number_of))
        return dict(sorted(zip(seen.number_of, straddling.tolist(), strict=True)))


def leaked_near_duplicates(
    texts: Iterable[tuple[str, str]], folder: Path, threshold: float = 0.85
) -> int:
    """How many clusters of near-duplicate texts stand on more than one side.

    texts: the split of each row and its prompt, or what else must not come back.
    """
    with Clusters(folder, threshold) as clusters:
        for number, (split, text) in enumerate(texts):
            if split != WITHHELD:
                clusters.add(number * len(SPLITS) + SPLITS.index(split), text)
        return leaked_keys(sides(clusters), folder).get("cluster", 0)


def sides(clusters: Clusters) -> Iterator[tuple[str, list[str]]]:
    for row, cluster in clusters.representatives():
        yield SPLITS[row % len(SPLITS)], [f"cluster:{cluster}"]
