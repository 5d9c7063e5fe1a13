"""Texts hashed so that nearly the same ones can be found: MinHash and banding, on the disk."""

import math
import shutil
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedback.near_duplicates import NGRAM, letters
from feedback.scratch import append, stored
from feedback.sketches import Grams, sketches

HASHES = 96  # at most, for all bands together
SEED = 0x6E6C  # any, but always the same
MISSED = 0.001  # the share of pairs just as similar as the threshold that may never be compared
BATCH = 1 << 15  # characters that are hashed at once; so many stay in the processor's cache
KEY = np.uint64


def banding(threshold: float) -> tuple[int, int]:
    """How many bands of how many hashes find the pairs of a similarity.

    A pair of similarity s meets in a bucket of at least one of b bands of r hashes with the
    probability 1 - (1 - s^r)^b (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets,
    section 3.4.2). Of the r with which HASHES hashes miss no more than MISSED at the threshold, the
    largest gives the fewest pairs to compare in vain. At 0.85 these are 15 bands of 6.
    """
    found = (1, HASHES)
    if threshold < 1:
        for hashes in range(1, HASHES + 1):
            bands = math.ceil(math.log(MISSED) / math.log1p(-(threshold**hashes)))
            if bands * hashes > HASHES:
                break
            found = bands, hashes
    return found


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 bits to 64 bits, one to one, without a pattern (the finaliser of SplitMix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def grams_of(forms: Sequence[str]) -> Grams:
    """The trigrams of some texts, of short ones filled up with zeros."""
    padded = [form.ljust(NGRAM, "\0") for form in forms]
    joined = "".join(padded).encode("utf-32-le", "surrogatepass")
    letter = np.frombuffer(joined, np.uint32).astype(np.uint64)
    lengths = np.array([len(form) for form in padded])
    ends = np.cumsum(lengths)
    # Three code points of 21 bits; those that reach from one text into the next are taken out.
    grams = letter[:-2] << np.uint64(42) | letter[1:-1] << np.uint64(21) | letter[2:]
    inside = np.ones(len(letter), dtype=bool)
    inside[ends - 1] = inside[ends - 2] = False
    starts = np.cumsum(lengths - NGRAM + 1) - (lengths - NGRAM + 1)
    return Grams(mixed(grams[inside[:-2]]), starts)


def band_hashes(grams: Grams, bands: int, hashes: int) -> NDArray[np.uint64]:
    """(bands, texts): equal in a band where texts have the same MinHashes (Broder 1997)."""
    rng = np.random.default_rng(SEED)
    short = grams.hash.astype(np.uint32)  # several times faster than 64 bits
    factors = rng.integers(1 << 32, size=(bands, hashes), dtype=np.uint32) | np.uint32(1)
    shifts = rng.integers(1 << 32, size=(bands, hashes), dtype=np.uint32)
    found = np.zeros((bands, len(grams.starts)), np.uint64)
    for band in range(bands):
        for factor, shift in zip(factors[band], shifts[band], strict=True):
            smallest = np.minimum.reduceat(short * factor + shift, grams.starts)
            found[band] = mixed(found[band] + smallest)
    return found


class New(NamedTuple):
    """A text that waits to be hashed."""

    form: str  # as it is compared
    encoded: bytes
    key: bytes  # 8 bytes, the same for the same form


class Hashed:
    """Texts as they are compared, numbered as they came, with their hashes, in files of a folder.

    The files begin with `name` and may be there already, of the same threshold. Memory does not
    grow with the texts; of each there are some 200 bytes on the disk beside it.
    """

    REMEMBERED = 20_000  # texts that get no second number; of more some do

    def __init__(self, folder: Path, threshold: float, name: str = "") -> None:
        """threshold: 0.5 to 1; raises ValueError. 1 means the same set of trigrams."""
        if not 0.5 <= threshold <= 1:
            raise ValueError(f"near-duplicates need a threshold from 0.5 to 1, not {threshold}")
        self.threshold = threshold
        self.number_of_bands, self.hashes = banding(threshold)
        self.forms, self.ends, self.keys, self.sketches = (
            folder / f"{name}{each}" for each in ("forms", "ends", "keys", "sketches")
        )
        self.bands = [folder / f"{name}band{band}" for band in range(self.number_of_bands)]
        self.length = self.ends.stat().st_size // 8 if self.ends.exists() else 0
        self.seen: dict[bytes, int] = {}
        self.waiting: list[New] = []
        self.characters = 0  # of what is waiting

    def __len__(self) -> int:
        return self.length

    def add(self, text: str) -> int:
        """The number of the text."""
        form = letters(text)
        encoded = form.encode("utf-8", "surrogatepass")  # half a pair is a letter here
        key = blake2b(encoded, digest_size=8).digest()
        number = self.seen.get(key)
        if number is None:
            if len(self.seen) == self.REMEMBERED:
                self.seen.clear()
            number = self.seen[key] = self.length
            self.length += 1
            self.waiting.append(New(form, encoded, key))
            self.characters += len(form)
            if self.characters > BATCH or len(self.waiting) > BATCH // 8:
                self.flush()
        return number

    def flush(self) -> None:
        """See that all of it is in the files."""
        if not self.waiting:
            return
        end = self.forms.stat().st_size if self.forms.exists() else 0
        forms = np.frombuffer(b"".join(new.encoded for new in self.waiting), np.uint8)
        append(self.forms, forms)
        append(self.ends, end + np.cumsum([len(new.encoded) for new in self.waiting]))
        append(self.keys, np.frombuffer(b"".join(new.key for new in self.waiting), KEY))
        grams = grams_of([new.form for new in self.waiting])
        append(self.sketches, sketches(grams))
        hashes = band_hashes(grams, self.number_of_bands, self.hashes)
        for path, band in zip(self.bands, hashes, strict=True):
            append(path, band)
        self.waiting, self.characters = [], 0

    def take(self, other: "Hashed") -> None:
        """Append the texts of another of the same threshold, numbered on."""
        self.flush()
        other.flush()
        if not other.length:
            return
        end = self.forms.stat().st_size if self.forms.exists() else 0
        append(self.ends, end + stored(other.ends))
        for mine, theirs in zip(self.copied, other.copied, strict=True):
            with mine.open("ab") as file, theirs.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
        self.length += other.length

    @property
    def copied(self) -> list[Path]:
        """The files that stay as they are behind another's."""
        return [self.forms, self.keys, self.sketches, *self.bands]
