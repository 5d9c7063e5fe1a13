"""Numbers that look like personal ones and are none: identifiers, dates, amounts."""

import re
from collections.abc import Iterator

from stdnum import isbn

Span = tuple[int, int]

HARMLESS = re.compile(
    r"(?<![\w-])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![\w-])"  # UUID
    r"|(?<!\w)(?=\d{0,63}[a-f])[0-9a-f]{32,128}(?!\w)"  # digest
    r"|(?<!\w)0x[0-9a-f]{1,64}(?!\w)"
    r"|\b10\.\d{4,9}/[^\s，。；]{1,100}"  # DOI
    r"|\barxiv[: ]\d{4}\.\d{4,5}"
    r"|(?<![\w.])\d{1,12}\.\d{5,30}(?![\w.])"  # a number with many decimals
    r"|(?<![\w.-])(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?)?(?![\w-])"
    r"|(?<![\w.-])(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d(?![\w-])"
    r"|(?<![\w.-])(?:19|20)\d\d ?[-–—~] ?(?:19|20)\d\d(?![\w-])"  # years
    r"|[¥$€£₩]\s?\d[\d,. ]{0,20}\d"
    r"|(?<![\w.])\d[\d,.]{0,20}\d\s?(?:元|円|块钱|美元|人民币|USD|CNY|RMB|EUR|km|kg|MB|GB)(?![a-z])",
    re.IGNORECASE | re.ASCII,
)
BOOK = re.compile(
    r"(?<![\w-])97[89](?:[- ]?\d){10}(?![\w-])|(?<=ISBN)[:：]?\s?\d(?:[- ]?\d){8}[- ]?[\dX](?![\w-])",
    re.ASCII,
)


def harmless(text: str) -> Iterator[Span]:
    for found in HARMLESS.finditer(text):
        yield found.span()
    for found in BOOK.finditer(text):
        if isbn.is_valid(found[0].lstrip(":： ")):
            yield found.span()
