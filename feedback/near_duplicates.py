"""What makes texts the same, or nearly so.

Two texts are near-duplicates when the Jaccard similarity of their sets of character trigrams
reaches a threshold; a cluster is what such pairs connect. At 0.85 one changed character joins
texts from 39 characters up: short prompts that differ in a word stay apart. Spaces, case, width
and punctuation at the edges of words make no difference.
"""

import re
import unicodedata

NGRAM = 3  # characters: enough for Chinese, and long English texts do not share them all

CJK = r"\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Punctuation of Chinese and of typesetters that NFKC leaves as it is, in the spelling of ASCII.
WRITTEN, PLAINLY = "。、“”„«»「」『』‘’‚‛—–−‐‑―【】〔〕", '.,"""""""""\'\'\'\'------[][]'
PLAIN = dict(zip(WRITTEN, PLAINLY, strict=True))
WIDE = PLAIN | dict(zip("，！？：；（）\u3000\u00a0", ",!?:;()  ", strict=True))
UNSEEN = frozenset(
    map(chr, (0xAD, *range(0x200B, 0x2010), *range(0x2060, 0x2065), *range(0xFE00, 0xFE10), 0xFEFF))
)

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
