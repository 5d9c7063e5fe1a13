"""How similar two texts can be at most, told from 68 bytes each: most pairs need no closer look.

A sketch holds how many different trigrams a text has, and a bit for the hash of each (a Bloom
filter of one hash function, Bloom 1970). A trigram whose bit the other text does not have is not
in the other text, so the bound is never too low.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORDS = 8  # of 64 bits: some 60 trigrams, of a short prompt, seldom meet in one bit
SKETCH = np.dtype([("grams", np.int32), ("bits", np.uint64, (WORDS,))])


class Grams(NamedTuple):
    """The trigrams of some texts, one text after the other; each text has at least one."""

    hash: NDArray[np.uint64]  # the same for the same trigram, and for no other
    starts: NDArray[np.int64]  # of the texts


def sketches(grams: Grams) -> NDArray[np.void]:
    """One record of SKETCH for each text."""
    lengths = np.diff(grams.starts, append=len(grams.hash))
    # Sorted as one number, the text before what is left of the hash: of the few thousand texts that
    # come together, two trigrams of one text are taken for the same once in a million million.
    room = np.uint64(len(lengths).bit_length())
    text = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    ordered = np.sort(text << (np.uint64(64) - room) | grams.hash >> room)
    new = np.r_[True, ordered[1:] != ordered[:-1]]
    found = np.zeros(len(lengths), SKETCH)
    found["grams"] = np.add.reduceat(new, grams.starts, dtype=np.int32)
    bit = np.uint64(1) << (grams.hash & np.uint64(63))
    word = grams.hash >> np.uint64(6) & np.uint64(WORDS - 1)
    for each in range(WORDS):
        mine = np.where(word == each, bit, np.uint64(0))
        found["bits"][:, each] = np.bitwise_or.reduceat(mine, grams.starts)
    return found


def at_most(one: NDArray[np.void], other: NDArray[np.void]) -> NDArray[np.float64]:
    """An upper bound of the Jaccard similarity of each pair of texts, 0 to 1."""
    mine, theirs = one["grams"], other["grams"]
    only_mine = np.bitwise_count(one["bits"] & ~other["bits"]).sum(1, dtype=np.int32)
    only_theirs = np.bitwise_count(other["bits"] & ~one["bits"]).sum(1, dtype=np.int32)
    common = np.minimum(mine - only_mine, theirs - only_theirs)
    bound: NDArray[np.float64] = common / (mine + theirs - common)
    return bound
