"""The text as rules read it: full-width and other forms as plain letters, nothing unseen in it."""

import unicodedata
from collections.abc import Sequence

# Zero-width characters, soft hyphens and marks of direction hide a number, but not from readers.
UNSEEN = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff")


class PlainForms(dict[str, str]):
    """What a character is read as, worked out when it is first met."""

    def __missing__(self, character: str) -> str:
        if character in UNSEEN:
            plain = ""
        elif character in "‐‑‒–—−":
            plain = "-"
        else:
            plain = unicodedata.normalize("NFKC", character)
            if not plain.isascii() or len(plain) > 3:
                plain = character  # only what becomes digits, letters and signs of ASCII matters
        self[character] = plain
        return plain


FORMS = PlainForms()


def plain_form(text: str) -> tuple[str, Sequence[int]]:
    """The text in plain characters, and for each of these (and the end) its place in the text."""
    if text.isascii():
        return text, range(len(text) + 1)
    characters = set(text)
    if all(len(FORMS[character]) == 1 for character in characters):
        table = {ord(one): FORMS[one] for one in characters if FORMS[one] != one}
        return text.translate(table), range(len(text) + 1)
    plain, places = [], []
    for place, character in enumerate(text):
        form = FORMS[character]
        plain.append(form)
        places.extend([place] * len(form))
    return "".join(plain), [*places, len(text)]
