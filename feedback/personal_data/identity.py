"""Numbers of identity cards, bank cards and accounts, by their checksums."""

import re
from collections.abc import Iterator
from datetime import date

from stdnum import iban, luhn
from stdnum.iso7064 import mod_11_2
from stdnum.us import ssn

from feedback.personal_data.numbers import Number, numbers

Span = tuple[int, int]

# Provinces in the code of GB/T 2260, with which a resident identity card begins.
PROVINCES = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
        "83",
        "91",
    ]
)
RESIDENT = {
    (18,),
    (17,),
    (6, 8, 4),
    (6, 8, 3),
    (6, 4, 4, 4),
    (6, 4, 4, 3),
    (3, 3, 4, 4, 4),
    (3, 3, 4, 4, 3),
}
HONG_KONG = re.compile(r"(?<![A-Za-z0-9])([A-Z]{1,2})(\d{6})\(([0-9A])\)", re.ASCII)
SOCIAL_SECURITY = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", re.ASCII)
PASSPORT = re.compile(
    r"(?:护照|通行证|passport)(?: ?(?:号码?|number|no\.?))?\s{0,2}(?:[:：#]|是|为|is)?\s{0,2}"
    r"([A-Z]{1,2}\d{6,8}|\d{9})(?![A-Za-z0-9])",
    re.IGNORECASE | re.ASCII,
)

# How the numbers of payment networks begin (ISO/IEC 7812), and how long they are.
CARDS = (
    (re.compile(r"4"), {13, 16, 19}),  # Visa
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),  # Mastercard
    (re.compile(r"3[47]"), {15}),  # American Express
    (re.compile(r"30[0-5]|3[689]"), {14, 16, 19}),  # Diners Club
    (re.compile(r"6011|64[4-9]|65"), {16, 19}),  # Discover
    (re.compile(r"35(?:2[89]|[3-8])"), {16, 19}),  # JCB
    (re.compile(r"62|81"), {16, 17, 18, 19}),  # UnionPay
    (re.compile(r"220[0-4]"), {16, 17, 18, 19}),  # Mir
    (re.compile(r"50[0-9]|5[6-8]|60|63|67"), {16, 18, 19}),  # Maestro, RuPay, older UnionPay
    (re.compile(r"9(?:558|559|4[0-9])"), {16, 18, 19}),  # banks in China before UnionPay
)
IN_GROUPS = {(4, 6, 5), (4, 6, 4), (6, 10), (6, 13), (4, 4, 4, 4)} | {
    (4, 4, 4, 4)[:fours] + (rest,) for fours in (3, 4) for rest in (1, 2, 3)
}
# Thirteen digits are far oftener the number of a thing than of an old card.
CARD_WORD = re.compile(r"(?:card|visa|卡号?|账号|帐号)[\s:#是为]{0,3}$", re.IGNORECASE)
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])", re.ASCII)


def id_cards(text: str) -> Iterator[Span]:
    """Chinese resident cards, of 18 characters and the old ones of 15; of Hong Kong; US social
    security numbers; passports after their word."""
    for number in numbers(text, 15, 18):
        end = resident_end(number)
        if end is not None:
            yield number.start, end
    for found in HONG_KONG.finditer(text):
        if hong_kong_check(found[1], found[2]) == found[3]:
            yield found.span()
    for found in SOCIAL_SECURITY.finditer(text):
        if ssn.is_valid(found[0]):
            yield found.span()
    for found in PASSPORT.finditer(text):
        yield found.span(1)


def resident_end(number: Number) -> int | None:
    """Where the number ends when it is one of a resident card (GB 11643-1999)."""
    text, digits = number.text, number.digits
    if digits[:2] not in PROVINCES or number.groups not in RESIDENT | {(15,), (6, 6, 3)}:
        return None
    if len(digits) == 15:
        whole = number.alone and not number.is_harmless and is_day("19" + digits[6:12])
        return number.end if whole else None
    if not is_day(digits[6:14]):
        return None
    if len(digits) == 18:
        return number.end if number.alone and mod_11_2.is_valid(digits) else None
    following = re.match(r"[ -]?[Xx](?![A-Za-z0-9])", text[number.end : number.end + 3])
    if len(digits) == 17 and following and mod_11_2.is_valid(digits + "X"):
        return number.end + following.end()
    return None


def is_day(digits: str) -> bool:
    """YYYYMMDD, of somebody who may be alive."""
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return 1900 <= day.year <= 2099


def hong_kong_check(letters: str, digits: str) -> str:
    """The check character of a Hong Kong identity card: 9 down to 2 times the values, modulo 11."""
    values = [36] * (2 - len(letters)) + [ord(letter) - 55 for letter in letters]
    values += [int(digit) for digit in digits]
    rest = -sum(weight * value for weight, value in zip(range(9, 1, -1), values, strict=True)) % 11
    return "A" if rest == 10 else str(rest)


def bank_cards(text: str) -> Iterator[Span]:
    """Numbers of 13 to 19 digits with the beginning of a payment network and Luhn's digit."""
    for number in numbers(text, 13, 19):
        if (
            number.alone
            and is_card_shape(number)
            and is_of_network(number.digits)
            and luhn.is_valid(number.digits)
            and not number.is_harmless
        ):
            yield number.start, number.end


def is_card_shape(number: Number) -> bool:
    if len(number.groups) == 1:
        return len(number.digits) > 13 or CARD_WORD.search(number.before) is not None
    return number.groups in IN_GROUPS and set(number.between) in ({" "}, {"-"})


def is_of_network(digits: str) -> bool:
    return any(start.match(digits) and len(digits) in lengths for start, lengths in CARDS)


def ibans(text: str) -> Iterator[Span]:
    """International bank account numbers (ISO 13616), by country, length and checksum."""
    for found in IBAN.finditer(text):
        words = found[0].split(" ")
        # What follows an account may look like more of it: «DE89 … 00 THE REST».
        for count in range(len(words), 0, -1):
            candidate = " ".join(words[:count])
            if iban.is_valid(candidate):
                yield found.start(), found.start() + len(candidate)
                break
