"""Telephone numbers: with a country's code, Chinese ones, and others as countries write them."""

import re
from collections.abc import Iterator

import phonenumbers

from feedback.personal_data.numbers import Number, Span, is_alone, numbers

LEAST, MOST = 7, 15  # digits (ITU-T E.164)
LOOKED_UP = 300  # numbers of one text; of those after them the shape alone decides

WORD = re.compile(
    r"(?:phone|tel|telephone|téléphone|teléfono|mobile|cell|handy|fax|whatsapp|viber|sms"
    r"|portable|(?:call|text|reach|ring|contact) (?:me|us|him|her)|(?:my|his|her|their) number|dial"
    r"|电话|手机|座机|热线|传真|拨打|致电|联系方式|打给我|短信|☎|📞|📱)"
    r"(?: ?(?:number|no\.?|号码?|是|为|is|at|on|or|'s|es|\(\w{1,8}\))){0,3}[\s.:#,]{0,3}[+(]{0,2}$",
    re.IGNORECASE,
)
PLUS = re.compile(r"(?<![\w)])(?:\+|\+\(|\(\+)$", re.ASCII)
EXTENSION = re.compile(
    r"(?:-| ?(?:转|轉|ext\.?|extension|x|分机号?) ?)\d{1,6}(?![\w-])", re.IGNORECASE | re.ASCII
)

MOBILE = re.compile(r"(?:86)?1[3-9]\d{9}", re.ASCII)
MOBILE_GROUPS = {(11,), (3, 4, 4), (3, 8), (4, 3, 4), (4, 4, 3), (3, 3, 5), (5, 6), (7, 4)}
SERVICE = re.compile(r"[48]00\d{7}", re.ASCII)
SERVICE_GROUPS = {(3, 3, 4), (3, 4, 3)}
# Area and exchange begin with 2 to 9 and do not end in 11 (North American Numbering Plan).
AMERICAN = re.compile(r"1?[2-9](?!11)\d\d[2-9](?!11)\d{6}", re.ASCII)
AMERICAN_GROUPS = {(3, 3, 4), (1, 3, 3, 4)}
WITH_ZERO = ("CN", "GB", "FR", "DE", "JP", "KR", "TW", "AU")  # area codes begin with 0
ANY = "ZZ"  # libphonenumber's name for no region: the number has a country's code

# 1 3 8 0 0 …, and 一三八零零 ….
SPACED = re.compile(r"(?<![\w.-])1[ -][3-9](?:[ -]\d){9}(?![\w-])", re.ASCII)
NUMERAL = "[〇零一二三四五六七八九幺]"
SPELLED = re.compile(
    rf"[一幺](?<!{NUMERAL}[一幺])[三四五六七八九]{NUMERAL}{{9}}(?!{NUMERAL})"  # 1, then 3 to 9
)


def phones(text: str) -> Iterator[Span]:
    lookups, done = LOOKED_UP, 0
    for number in numbers(text, LEAST, MOST + 2):
        if number.start < done:
            continue
        if not is_phone_shape(number) and not is_after_word(number):
            regions = regions_of(number)
            if not regions:
                continue
            if lookups:
                lookups -= 1
                if not is_in_plan(number.digits, regions):
                    continue
        start, end = with_signs(number)
        if is_alone(text, number.start, end) and not number.is_harmless:
            yield start, end
            done = end
    for pattern in (SPACED, SPELLED):
        for found in pattern.finditer(text):
            yield found.span()


def is_phone_shape(number: Number) -> bool:
    """Whether its shape is enough: a Chinese mobile, a service line, an American number."""
    digits = number.digits
    if MOBILE.fullmatch(digits):
        first, *others = number.groups
        if len(digits) == 13:  # 86 is a group of its own, or the beginning of the first
            first -= 2
        groups = (first, *others) if first else tuple(others)
        return groups in MOBILE_GROUPS and len(number.between) <= 2
    if SERVICE.fullmatch(digits) and number.groups in SERVICE_GROUPS:
        return True
    return is_american(number) and number.between != {" "}


def is_american(number: Number) -> bool:
    return AMERICAN.fullmatch(number.digits) is not None and number.groups in AMERICAN_GROUPS


def is_after_word(number: Number) -> bool:
    return len(number.digits) <= MOST and WORD.search(number.before()) is not None


def regions_of(number: Number) -> tuple[str, ...]:
    """The regions whose numbers are written so; none if it is no telephone number's shape."""
    digits, groups = number.digits, len(number.spans)
    if PLUS.search(number.before(3)):
        return (ANY,) if len(digits) <= MOST else ()
    if not number.whole and not EXTENSION.match(number.text, number.end):
        return ()
    abroad = digits.startswith("00") or (digits.startswith("86") and groups > 2)
    if abroad and len(digits) > 10:
        return (ANY,)
    if is_american(number):
        return ("US",)
    # Groups of two digits only may be any column of a table.
    if groups > 1 and digits[0] == "0" and 9 <= len(digits) <= 12 and max(number.groups) > 2:
        return WITH_ZERO
    return ()


def is_in_plan(digits: str, regions: tuple[str, ...]) -> bool:
    """Whether the numbering plan of one of the regions has it (libphonenumber's metadata)."""
    for region in regions:
        written = "+" + digits.removeprefix("00") if region == ANY else digits
        try:
            parsed = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        # With a country's code it is no accident, even where nobody has that number yet.
        possible = region == ANY and len(digits) > 8 and phonenumbers.is_possible_number(parsed)
        if possible or phonenumbers.is_valid_number(parsed):
            return True
    return False


def with_signs(number: Number) -> Span:
    """With the plus, the bracket and the extension that belong to it."""
    start = number.start
    while start and number.text[start - 1] in "+(":
        start -= 1
    extension = EXTENSION.match(number.text, number.end)
    return start, extension.end() if extension else number.end
