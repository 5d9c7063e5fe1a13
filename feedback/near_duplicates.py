"""Which texts are nearly the same: MinHash and banding on the disk, then an exact comparison.

Two texts are near-duplicates when the Jaccard similarity of their sets of character trigrams
reaches a threshold; a cluster is what such pairs connect. At 0.85 one changed character joins
texts from 39 characters up: short prompts that differ in a word stay apart. Spaces, case, width
and punctuation at the edges of words make no difference.
"""

import math
import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedback.components import DisjointSets, shorten
from feedback.scratch import Scratch, append, chunks, stored
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
KEY = np.uint64
ROW = Struct("=qq").pack

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


SCHEMA = "CREATE TABLE bucket (id INTEGER PRIMARY KEY, form BLOB NOT NULL)"
PRAGMAS = (
    "journal_mode=OFF",
    "synchronous=OFF",
    "locking_mode=EXCLUSIVE",
    "temp_store=FILE",
    "cache_size=-16000",  # KiB
)


class New(NamedTuple):
    """A text that waits to be hashed."""

    form: str  # as it is compared
    encoded: bytes
    key: bytes  # 8 bytes, the same for the same form


class Clusters(Scratch):
    """Clusters of the rows that were added, each row once.

    The texts lie in a temporary file in the folder, their hashes beside it: memory does not grow
    with them, but for some 110 bytes a text in mapped files that the system can page out.
    """

    REMEMBERED = 50_000  # texts that are known again at once; others are when all are there

    def __init__(self, folder: Path, threshold: float = 0.85) -> None:
        """threshold: 0.5 to 1; raises ValueError. 1 means the same set of trigrams."""
        if not 0.5 <= threshold <= 1:
            raise ValueError(f"near-duplicates need a threshold from 0.5 to 1, not {threshold}")
        super().__init__(folder)
        self.threshold = threshold
        self.bands, self.hashes = banding(threshold)
        self.texts = 0
        self.compared = 0  # pairs
        self.seen: dict[bytes, int] = {}
        self.rows = bytearray()  # that wait, each with its text, as 64 bits
        self.new: list[New] = []  # texts that wait
        self.characters = 0  # of them
        self.end = 0  # bytes of the texts so far
        self.files = [self.folder / f"band{band}" for band in range(self.bands)]
        self.forms = (self.folder / "forms").open("w+b")
        self.database: sqlite3.Connection | None = None

    def close(self) -> None:
        self.forms.close()
        if self.database is not None:
            self.database.close()
        super().close()

    def add(self, row: int, text: str) -> None:
        form = letters(text)
        encoded = form.encode("utf-8", "surrogatepass")  # half a pair is a letter here
        key = blake2b(encoded, digest_size=8).digest()
        number = self.seen.get(key)
        if number is None:
            if len(self.seen) == self.REMEMBERED:
                self.seen.clear()
            number = self.seen[key] = self.texts
            self.texts += 1
            self.new.append(New(form, encoded, key))
            self.characters += len(form)
        self.rows += ROW(row, number)
        if self.characters > BATCH or len(self.rows) > BATCH:
            self.flush()

    def flush(self) -> None:
        """Enter the waiting rows, and hash the texts among them that may be new."""
        append(self.folder / "rows", np.frombuffer(self.rows, np.int64))
        self.rows.clear()
        if not self.new:
            return
        ends = self.end + np.cumsum([len(new.encoded) for new in self.new])
        self.end = int(ends[-1])
        self.forms.write(b"".join(new.encoded for new in self.new))
        append(self.folder / "ends", ends)
        append(self.folder / "keys", np.frombuffer(b"".join(new.key for new in self.new), KEY))
        grams = grams_of([new.form for new in self.new])
        append(self.folder / "sketches", sketches(grams))
        hashes = band_hashes(grams, self.bands, self.hashes)
        for path, band in zip(self.files, hashes, strict=True):
            append(path, band)
        self.new, self.characters = [], 0

    def representatives(self) -> Iterator[tuple[int, int]]:
        """Each row with the smallest row of its cluster, in the order of rows.

        The same whatever the order in which the rows were added.
        """
        self.flush()
        self.forms.flush()
        self.ends = stored(self.folder / "ends")
        first = firsts(stored(self.folder / "keys", KEY))
        once = np.flatnonzero(first == np.arange(len(first)))
        sets = DisjointSets(self.folder / "sets", self.texts)
        known = stored(self.folder / "sketches", SKETCH)
        for path in self.files if self.texts else []:
            for bucket in buckets(path, once):
                for one, other in self.pairs(bucket, sets):
                    possible = at_most(known[one], known[other]) >= self.threshold
                    self.join_similar(one[possible].tolist(), other[possible].tolist(), sets)
        parents = np.asarray(sets.parent)
        shorten(parents)
        row, text = stored(self.folder / "rows").reshape(-1, 2).T
        cluster = parents[first[text]]
        smallest = np.full(self.texts, np.iinfo(np.int64).max)
        np.minimum.at(smallest, cluster, row)
        order = np.argsort(row, kind="stable")
        for chunk in chunks(len(order)):
            some = order[chunk]
            yield from zip(row[some].tolist(), smallest[cluster[some]].tolist(), strict=True)

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
        return trigrams(self.form(text).decode("utf-8", "surrogatepass"))

    def form(self, text: int) -> bytes:
        start = int(self.ends[text - 1]) if text else 0
        return os.pread(self.forms.fileno(), int(self.ends[text]) - start, start)

    def in_order(self, ids: Texts) -> Texts:
        """The texts by their letters; a bucket may hold more than fits into memory."""
        if self.database is None:
            self.database = opened(self.folder / "bucket.db")
        self.database.execute("DELETE FROM bucket")
        rows = ((one, self.form(one)) for one in ids.tolist())
        self.database.executemany("INSERT INTO bucket VALUES (?, ?)", rows)
        ordered = self.database.execute("SELECT id FROM bucket ORDER BY form, id")
        return np.fromiter((one for (one,) in ordered), np.int64, len(ids))


def opened(path: Path) -> sqlite3.Connection:
    """A database that is not to outlive the process."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        database.execute(f"PRAGMA {pragma}")
    database.execute(SCHEMA)
    database.execute("BEGIN")  # one transaction for all: nothing is ever rolled back
    return database


def firsts(keys: NDArray[np.uint64]) -> Texts:
    """For each key the place of the first that is the same."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(keys)])
    found = np.empty(len(keys), np.int64)
    found[order] = np.repeat(order[starts], np.diff(starts, append=len(keys)))
    return found


def buckets(path: Path, texts: Texts) -> Iterator[Texts]:
    """Those of the texts that have the same hash in the file of a band, where there are several.

    (buckets, texts): all buckets of one size together, but for the largest.
    """
    parts = -(-len(texts) // SORTED)
    stored = np.memmap(path, np.uint64, "r")
    for part in range(parts):
        ids = np.concatenate(
            [
                some[stored[some] % np.uint64(parts) == part]
                for some in (texts[at : at + SORTED] for at in range(0, len(texts), SORTED))
            ]
        )
        hashes = stored[ids]
        order = np.argsort(hashes, kind="stable")
        ids, hashes = ids[order], hashes[order]
        starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]][: len(ids)])
        sizes = np.diff(starts, append=len(ids))
        for size in np.unique(sizes[sizes > 1]):
            yield ids[starts[sizes == size][:, None] + np.arange(size)]
