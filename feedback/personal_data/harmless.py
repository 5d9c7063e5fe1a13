"""Numbers that look like somebody's and are nobody's: identifiers, dates, amounts."""

import re
from collections.abc import Iterator

from stdnum import isbn

from feedback.personal_data.numbers import Span, has_digits

YEAR, MONTH, DAY = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
TIME = r"[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?"
HARMLESS = re.compile(
    r"(?<![\w-])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![\w-])"  # UUID, RFC 9562
    r"|(?<!\w)(?=\d{0,63}[a-f])[0-9a-f]{32,128}(?!\w)"  # a digest
    r"|(?<!\w)0x[0-9a-f]{1,64}(?!\w)"
    r"|\b10\.\d{4,9}/[^\s，。；]{1,100}"  # DOI, ISO 26324
    r"|\barxiv[: ]\d{4}\.\d{4,5}"
    r"|(?<![\w.])\d{1,12}\.\d{5,30}(?![\w.])"  # many decimals
    rf"|(?<![\w.-]){YEAR}([-/.]){MONTH}\1{DAY}(?:{TIME})?(?![\w-])"
    rf"|(?<![\w.-]){DAY}([-/.]){DAY}\2{YEAR}(?:{TIME})?(?![\w-])"
    rf"|(?<![\w.-]){YEAR} ?[-~] ?{YEAR}(?![\w-])"  # from year to year
    r"|[¥$€£₩]\s?\d[\d,. ]{0,20}\d"
    r"|(?<![\w.])\d[\d,.]{0,20}\d\s?(?:元|円|块钱|美元|人民币|USD|CNY|RMB|EUR|km|kg|MB|GB)(?![a-z])",
    re.ASCII | re.IGNORECASE,
)
BOOK = re.compile(
    r"(?<![\w-])(97[89](?:[- ]?\d){10})(?![\w-])"
    r"|(?:ISBN|书号)[: ]{0,2}(\d(?:[- ]?\d){8}[- ]?[\dX])(?![\w-])",
    re.ASCII,
)


def harmless(text: str) -> Iterator[Span]:
    if not has_digits(text, 4):
        return
    for found in HARMLESS.finditer(text):
        yield found.span()
    for found in BOOK.finditer(text):
        if isbn.is_valid(found[1] or found[2]):
            yield found.span()
