"""Telephone numbers: with a country's code, Chinese ones, and others as countries write them."""

import re
from collections.abc import Iterator

import phonenumbers

from feedback.personal_data.numbers import Number, numbers

Span = tuple[int, int]

LEAST, MOST = 7, 15  # digits (ITU-T E.164)
LOOKED_UP = 300  # numbers of one text; of more, the shape alone decides

WORD = re.compile(
    r"(?:phone|tel|telephone|mobile|cell|fax|whatsapp|viber|sms|text me|call me|reach me"
    r"|(?:my|his|her|their) number|contact(?: me)?|dial"
    r"|电话|手机|座机|热线|传真|拨打|致电|联系方式|打给我|短信|☎|📞|📱)"
    r"(?: ?(?:number|no\.?|号码?|是|为|is|at|on|or|\(\w{1,8}\))){0,3}[\s.:：#,，]{0,3}[+(]{0,2}$",
    re.IGNORECASE,
)

MOBILE = {(11,), (3, 4, 4), (3, 8), (4, 3, 4), (4, 4, 3), (3, 3, 5), (5, 6), (7, 4)}
AREA = re.compile(r"0(?:10|2\d|[3-9]\d\d)", re.ASCII)
AMERICAN = re.compile(r"1?[2-9](?!11)\d\d[2-9](?!11)\d{6}", re.ASCII)
WITH_ZERO = ("GB", "FR", "DE", "JP", "KR", "TW", "AU", "IT")  # where area codes begin with 0
EXTENSION = re.compile(
    r"(?:-| ?(?:转|轉|ext\.?|extension|x|分机号?) ?)\d{1,6}(?![\w-])", re.IGNORECASE | re.ASCII
)

# 1 3 8 0 0 …, and 一三八零零 ….
SPACED = re.compile(r"(?<![\w.-])1[ -][3-9](?:[ -]\d){9}(?![\w-])", re.ASCII)
SPELLED = re.compile(
    r"(?<![〇零一二三四五六七八九幺])[一幺][三四五六七八九][〇零一二三四五六七八九幺]{9}(?![〇零一二三四五六七八九幺])"
)


def phones(text: str) -> Iterator[Span]:
    lookups = LOOKED_UP
    taken = 0  # up to here the text is part of a number already
    for number in numbers(text, LEAST, MOST + 2):
        if number.start < taken or number.is_harmless or not number.alone:
            continue
        shape = shape_of(number)
        if shape is None:
            continue
        if shape and lookups:
            lookups -= 1
            if not is_in_use(number.digits, shape):
                continue
        start, end = whole(number)
        taken = end
        yield start, end
    for pattern in (SPACED, SPELLED):
        for found in pattern.finditer(text):
            yield found.span()


def shape_of(number: Number) -> tuple[str, ...] | None:
    """The regions whose numbers are written so, none where the shape is enough; None if it is not
    the shape of a telephone number."""
    digits, groups = number.digits, number.groups
    before = number.text[max(number.start - 3, 0) : number.start]
    if re.search(r"(?<![\w)])(?:\+|\+\(|\(\+)$", before, re.ASCII):
        return ("ZZ",) if len(digits) <= MOST else None
    if digits.startswith("00") and len(groups[:1]) and 11 <= len(digits) <= MOST + 2:
        return ("ZZ",)
    for prefix in ("", "86"):
        rest = digits.removeprefix(prefix)
        shape = groups if not prefix else tuple(filter(None, (groups[0] - 2, *groups[1:])))
        if (
            digits.startswith(prefix)
            and len(rest) == 11
            and rest[0] == "1"
            and rest[1] in "3456789"
        ):
            if shape in MOBILE:
                return ()
    if len(digits) > MOST:
        return None
    if WORD.search(number.before):
        return ()
    if AREA.match(digits) and 10 <= len(digits) <= 12 and len(groups) > 1 and groups[0] in (3, 4):
        if groups[1:] in {(7,), (8,), (4, 4), (3, 4)}:
            return ("CN", *WITH_ZERO)
    if digits.startswith(("400", "800")) and groups in {(3, 3, 4), (3, 4, 3)}:
        return ()
    if groups in {(3, 3, 4), (1, 3, 3, 4)} and AMERICAN.fullmatch(digits):
        return ("US",) if set(number.between) == {" "} else ()
    if (
        digits[0] == "0"
        and digits[1] != "0"
        and 9 <= len(digits) <= 12
        and 1 < len(groups) < 6
        and max(groups) > 2
    ):
        return WITH_ZERO
    return None


def is_in_use(digits: str, regions: tuple[str, ...]) -> bool:
    """Whether the plan of one of the regions has such numbers (libphonenumber's metadata)."""
    for region in regions:
        written = "+" + digits.removeprefix("00") if region == "ZZ" else digits
        try:
            parsed = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed) or (
            region == "ZZ" and phonenumbers.is_possible_number(parsed) and len(digits) > 8
        ):
            return True
    return False


def whole(number: Number) -> Span:
    """With the plus, the brackets and the extension that belong to it."""
    text, start, end = number.text, number.start, number.end
    while start and text[start - 1] in "+(":
        start -= 1
    extension = EXTENSION.match(text, end)
    return start, extension.end() if extension else end
