"""The text as rules read it: full-width and other forms as plain letters, nothing unseen in it."""

import unicodedata
from collections.abc import Iterable, Sequence

# Zero-width characters, soft hyphens and marks of direction hide a number, but not from readers.
UNSEEN = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff")


class PlainForms(dict[int, str]):
    """What a character is read as, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in UNSEEN:
            plain = ""
        elif character in DASHES:
            plain = "-"
        else:
            plain = unicodedata.normalize("NFKC", character)
            if not plain.isascii():  # only what becomes digits, letters and signs of ASCII matters
                plain = character
        if len(plain) != 1:
            UNEVEN.add(character)
        self[code] = plain
        return plain


DASHES = "‐‑‒–—−"
UNEVEN: set[str] = set()  # characters, met so far, that are read as none or several
FORMS = PlainForms()


def plain_form(text: str) -> tuple[str, Sequence[int]]:
    """The text in plain characters, and for each of these its place in the text."""
    if text.isascii():
        return text, range(len(text))
    plain = text.translate(FORMS)
    if UNEVEN.isdisjoint(text):
        return plain, range(len(text))
    forms = (FORMS[ord(character)] for character in text)
    return plain, [place for place, form in enumerate(forms) for _ in form]


def mentions(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words, in small letters, is in it; far faster than what looks for more."""
    lowered = text.lower()
    return any(word in lowered for word in words)
