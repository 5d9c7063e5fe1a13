"""Which texts are nearly the same: MinHash and banding on the disk, then an exact comparison.

Two texts are near-duplicates when the Jaccard similarity of their sets of character trigrams
reaches a threshold; a cluster is what such pairs connect. At 0.85 one changed character joins
texts from 39 characters up: short prompts that differ in a word stay apart. Spaces, case, width
and punctuation at the edges of words make no difference.
"""

import math
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feedback.components import DisjointSets
from feedback.scratch import Scratch, append, numbers, stored
from feedback.sketches import SKETCH, Grams, at_most, sketches

NGRAM = 3  # characters: enough for Chinese, and long English texts do not share them all
HASHES = 96  # at most, for all bands together
SEED = 0x6E6C  # any, but always the same
MISSED = 0.001  # the share of pairs just as similar as the threshold that may never be compared
MANY = 32  # texts in a bucket; of more, each is compared with so many neighbours only
PAIRS = 1 << 16  # that are looked at at once
BATCH = 1 << 15  # characters that are hashed at once; so many stay in the processor's cache
SORTED = 1 << 20  # hashes that are sorted at once: 8 MB

CJK = r"\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Punctuation of Chinese and of typesetters that NFKC leaves as it is, in the spelling of ASCII.
WRITTEN, PLAINLY = "。、“”„«»「」『』‘’‚‛—–−‐‑―【】〔〕", '.,"""""""""\'\'\'\'------[][]'
PLAIN = dict(zip(WRITTEN, PLAINLY, strict=True))
WIDE = PLAIN | dict(zip("，！？：；（）\u3000\u00a0", ",!?:;()  ", strict=True))
UNSEEN = frozenset(
    map(chr, (0xAD, *range(0x200B, 0x2010), *range(0x2060, 0x2065), *range(0xFE00, 0xFE10), 0xFEFF))
)
Texts = NDArray[np.int64]  # their numbers

SPACES_OF_CHINESE = re.compile(rf"(?<=[{CJK}]) | (?=[{CJK}])")
BLANK = re.escape(
    "".join(
        letter
        for letter in map(chr, (*range(0x3100), *range(0xFE00, 0x10000)))
        if unicodedata.category(letter)[0] in "PZ"  # punctuation and separators; symbols are not
    )
)
# Punctuation between ASCII letters or digits may mean something: 1*1, 3.14, don't.
EDGES = re.compile(f"(?<![0-9a-z])[{BLANK}]+|[{BLANK}]+(?![0-9a-z])")


def normalised(text: str) -> str:
    """The text without what nobody sees: NFKC, case folded, plain punctuation, single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    # The usual full-width marks first: where they are all there is, NFKC sees so and is quick.
    characters = set(text)
    for wide in WIDE.keys() & characters:
        text = text.replace(wide, WIDE[wide])
    seen = text if UNSEEN.isdisjoint(characters) else "".join(filter(is_seen, text))
    form = unicodedata.normalize("NFKC", seen)
    text = form.casefold()
    if text != form:
        text = unicodedata.normalize("NFKC", text)
    if form != seen:
        for wide in PLAIN.keys() & set(text):
            text = text.replace(wide, PLAIN[wide])
    text = " ".join(text.split())
    return SPACES_OF_CHINESE.sub("", text) if " " in text else text


def is_seen(character: str) -> bool:
    return character not in UNSEEN


def key_of(encoded: bytes) -> bytes:
    """16 bytes."""
    return blake2b(encoded, digest_size=16).digest()


def letters(text: str) -> str:
    """What is compared: the normalised text, with punctuation at the edges of words as spaces."""
    form = normalised(text)
    return " ".join(EDGES.sub(" ", form).split()) or form


def trigrams(form: str) -> frozenset[str]:
    """A text shorter than a trigram is one."""
    return frozenset(form[at : at + NGRAM] for at in range(max(len(form) - NGRAM + 1, 1)))


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """The Jaccard similarity, 0 to 1."""
    common = len(one & other)
    return common / (len(one) + len(other) - common)


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


SCHEMA = """
CREATE TABLE texts (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, form BLOB NOT NULL);
CREATE TABLE rows (row INTEGER PRIMARY KEY, text INTEGER NOT NULL);
CREATE TABLE bucket (id INTEGER PRIMARY KEY);
"""
PRAGMAS = (
    "journal_mode=OFF",
    "synchronous=OFF",
    "locking_mode=EXCLUSIVE",
    "temp_store=FILE",
    "cache_size=-16000",  # KiB
)


class Clusters(Scratch):
    """Clusters of the rows that were added, each row once.

    The texts lie in a temporary SQLite file in the folder, their hashes beside it: memory does not
    grow with them, but for 84 bytes a different text in mapped files that the system can page out.
    """

    def __init__(self, folder: Path, threshold: float = 0.85) -> None:
        """threshold: 0.5 to 1; raises ValueError. 1 means the same set of trigrams."""
        if not 0.5 <= threshold <= 1:
            raise ValueError(f"near-duplicates need a threshold from 0.5 to 1, not {threshold}")
        super().__init__(folder)
        self.database = opened(self.folder / "texts.db")
        self.threshold = threshold
        self.bands, self.hashes = banding(threshold)
        self.texts = 0
        self.compared = 0  # pairs
        self.waiting: list[tuple[int, str]] = []
        self.characters = 0
        self.files = [self.folder / f"band{band}" for band in range(self.bands)]
        self.sketches = self.folder / "sketches"

    def close(self) -> None:
        self.database.close()
        super().close()

    def add(self, row: int, text: str) -> None:
        form = letters(text)
        self.waiting.append((row, form))
        self.characters += len(form)
        if self.characters > BATCH or len(self.waiting) > BATCH // 8:
            self.flush()

    def flush(self) -> None:
        """Enter the waiting rows, and hash those of their texts that are new."""
        database, new, rows = self.database, [], []
        for row, form in self.waiting:
            encoded = form.encode("utf-8", "surrogatepass")  # half a pair is a letter here
            key = key_of(encoded)
            added = database.execute(
                "INSERT OR IGNORE INTO texts VALUES (?, ?, ?)", (self.texts, key, encoded)
            )
            if added.rowcount:
                rows.append((row, self.texts))
                self.texts += 1
                new.append(form)
            else:
                [text] = database.execute("SELECT id FROM texts WHERE key = ?", (key,)).fetchone()
                rows.append((row, text))
        database.executemany("INSERT INTO rows VALUES (?, ?)", rows)
        if new:
            grams = grams_of(new)
            append(self.sketches, sketches(grams))
            hashes = band_hashes(grams, self.bands, self.hashes)
            for path, band in zip(self.files, hashes, strict=True):
                append(path, band)
        self.waiting, self.characters = [], 0

    def representatives(self) -> Iterator[tuple[int, int]]:
        """Each row with the smallest row of its cluster, in the order of rows.

        The same whatever the order in which the rows were added.
        """
        self.flush()
        sets = DisjointSets(self.folder / "sets", self.texts)
        known = stored(self.sketches, SKETCH)
        for path in self.files if self.texts else []:
            for bucket in buckets(path, self.texts):
                for one, other in self.pairs(bucket, sets):
                    possible = at_most(known[one], known[other]) >= self.threshold
                    self.join_similar(one[possible].tolist(), other[possible].tolist(), sets)
        smallest = numbers(self.folder / "smallest", self.texts).data
        for row, text in self.database.execute("SELECT row, text FROM rows ORDER BY row"):
            cluster = sets.find(text)
            if not smallest[cluster]:  # rows come in order, so this is its first
                smallest[cluster] = row + 1
            yield row, smallest[cluster] - 1

    def pairs(self, bucket: Texts, sets: DisjointSets) -> Iterator[tuple[Texts, Texts]]:
        """What to compare of buckets of one size: each pair, or where they are many, neighbours.

        (buckets, texts) gives arrays of texts, some at a time. Neighbours are such in the order of
        their letters (the sorted neighbourhood of Hernández and Stolfo 1995), so that a crowded
        bucket costs as many comparisons as it has texts.
        """
        size = bucket.shape[1]
        if size <= MANY:
            left, right = np.triu_indices(size, 1)
            step = max(PAIRS // len(left), 1)
            for start in range(0, len(bucket), step):
                some = bucket[start : start + step]
                yield some[:, left].ravel(), some[:, right].ravel()
            return
        for ids in bucket:
            first = sets.find(int(ids[0]))
            if any(sets.find(one) != first for one in ids.tolist()):
                ordered = self.in_order(ids)
                for start in range(0, size, PAIRS // MANY):
                    some = ordered[start : start + PAIRS // MANY + MANY]
                    apart = range(1, MANY + 1)
                    yield (
                        np.concatenate([some[:-each] for each in apart]),
                        np.concatenate([some[each:] for each in apart]),
                    )

    def join_similar(self, one: list[int], other: list[int], sets: DisjointSets) -> None:
        """Join those pairs that are as similar as the threshold asks for."""
        for left, right in zip(one, other, strict=True):
            if sets.find(left) != sets.find(right):
                self.compared += 1
                if similarity(self.trigrams(left), self.trigrams(right)) >= self.threshold:
                    sets.join(left, right)

    def trigrams(self, text: int) -> frozenset[str]:
        [form] = self.database.execute("SELECT form FROM texts WHERE id = ?", (text,)).fetchone()
        return trigrams(form.decode("utf-8", "surrogatepass"))

    def in_order(self, ids: Texts) -> Texts:
        """The texts by their letters."""
        database = self.database
        database.execute("DELETE FROM bucket")
        database.executemany("INSERT INTO bucket VALUES (?)", ((one,) for one in ids.tolist()))
        ordered = database.execute("SELECT id FROM bucket JOIN texts USING (id) ORDER BY form, id")
        return np.fromiter((one for (one,) in ordered), np.int64, len(ids))


def opened(path: Path) -> sqlite3.Connection:
    """A database that is not to outlive the process."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        database.execute(f"PRAGMA {pragma}")
    database.executescript(SCHEMA)
    database.execute("BEGIN")  # one transaction for all: nothing is ever rolled back
    return database


def buckets(path: Path, texts: int) -> Iterator[Texts]:
    """The texts that have the same hash in the file of a band, where there are several.

    (buckets, texts): all buckets of one size together, but for the largest.
    """
    parts = -(-texts // SORTED)
    stored = np.memmap(path, np.uint64, "r")
    for part in range(parts):
        ids = np.concatenate(
            [
                at + np.flatnonzero(stored[at : at + SORTED] % np.uint64(parts) == part)
                for at in range(0, texts, SORTED)
            ]
        )
        hashes = stored[ids]
        order = np.argsort(hashes, kind="stable")
        ids, hashes = ids[order], hashes[order]
        starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]][: len(ids)])
        sizes = np.diff(starts, append=len(ids))
        for size in np.unique(sizes[sizes > 1]):
            yield ids[starts[sizes == size][:, None] + np.arange(size)]
