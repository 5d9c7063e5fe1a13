"""Whether it is worth looking for personal data in a text: most texts are let through here.

The rules cost some thirty times as much as this look, which knows what they cannot do without.
"""

import re
import string
import unicodedata

from feedback.personal_data.contact import MESSENGERS, SPELLED_AT
from feedback.personal_data.plain_form import UNSEEN
from feedback.personal_data.secrets import WORDS

FEW = 4  # with fewer digits there is no number of anybody, and no address of a machine
NUMERALS = "〇零一二三四五六七八九幺"
SPELLED_OUT = 11  # numerals of a mobile number in words
SIGNS = ("@", "://", "-----", "#")
SHORT = tuple(word for word in MESSENGERS if word.isascii() and len(word) < 4)
TOLD = (*WORDS, *(word for word in MESSENGERS if word not in SHORT))
TOLD_IN_ASCII = tuple(filter(str.isascii, TOLD))
# "night" and "bright" name no messenger; all rules want these at the beginning of a word. Bytes
# that are no letter of ASCII become spaces, which costs a fraction of what a pattern would.
SHORT_NAMES = tuple(b" " + word.encode() for word in SHORT)
LETTERS_APART = bytes(
    byte if chr(byte) in string.ascii_lowercase else ord(" ") for byte in range(256)
)
# With any digit at all: a key by its beginning, a password behind -u, a short IPv6 address.
WITH_A_DIGIT = re.compile(r"[\w.~+/:-]{16}|\s-u\s|[23][0-9A-Fa-f]{3}:", re.ASCII)

SHOUTED_AT = re.compile(r"\sAT\s")  # of SPELLED_AT what has no bracket

# What most English texts are made of: no digit, no sign of an address, no bracket.
PROSE = (string.ascii_letters + string.whitespace + ".,!?;'\"-").encode()
PLAIN = frozenset(string.ascii_letters + string.digits)
HARMLESS = set(PLAIN)  # and characters met so far that read as none of them


def may_hold_personal_data(text: str) -> bool:
    """False where no rule can find a thing."""
    if text.isascii() and not text.encode().translate(None, PROSE):
        if names_something(text) or "-----" in text:
            return True
        return "AT" in text and SHOUTED_AT.search(text) is not None
    characters = set(text)
    if not UNSEEN.isdisjoint(characters):
        return True  # it may stand within a word that a rule looks for
    for character in characters - HARMLESS:
        if not PLAIN.isdisjoint(unicodedata.normalize("NFKC", character)):
            return True  # a full-width form or the like
        HARMLESS.add(character)
    numerals = characters.intersection(NUMERALS)
    if len(numerals) > 1 and sum(map(text.count, numerals)) >= SPELLED_OUT:
        return True
    if PLAIN.isdisjoint(characters):
        return False
    digits = characters.intersection(string.digits)
    if digits and (sum(map(text.count, digits)) >= FEW or WITH_A_DIGIT.search(text)):
        return True
    if names_something(text):
        return True
    lowered = text.lower()
    if any(sign in lowered for sign in SIGNS):
        return True
    if "=" in lowered and not characters.isdisjoint("?&;"):
        return True  # a parameter of an address
    return "at" in lowered and SPELLED_AT.search(text) is not None


def names_something(text: str) -> bool:
    """Whether a word is in it behind which a password or an account may stand."""
    lowered = text.lower()
    for told in TOLD_IN_ASCII if text.isascii() else TOLD:  # three times as fast as any()
        if told in lowered:
            return True
    apart = b" " + lowered.encode("utf-8", "surrogatepass").translate(LETTERS_APART)
    return any(name in apart for name in SHORT_NAMES)
