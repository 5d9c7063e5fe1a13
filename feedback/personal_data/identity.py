"""Numbers of identity cards, bank cards and bank accounts, by their checksums."""

import re
from collections.abc import Iterator
from datetime import date

from stdnum import iban, luhn
from stdnum.iso7064 import mod_11_2
from stdnum.us import ssn

from feedback.personal_data.numbers import Number, Span, has_digits, numbers
from feedback.personal_data.plain_form import mentions

# The first digits of a resident identity card: a province (GB/T 2260).
PROVINCE = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|91")
RESIDENT_GROUPS = {
    *((18,), (6, 8, 4), (6, 4, 4, 4), (3, 3, 4, 4, 4)),
    *((17,), (6, 8, 3), (6, 4, 4, 3), (3, 3, 4, 4, 3)),  # with an X behind them
}
OLD_RESIDENT_GROUPS = {(15,), (6, 6, 3)}  # until 1999
CHECKED_WITH_X = re.compile(r"[ -]?[Xx](?![A-Za-z0-9])")
BORN = range(1900, 2100)

HONG_KONG = re.compile(r"(?<![A-Za-z0-9])([A-Z]{1,2})(\d{6})\(([0-9A])\)", re.ASCII)
SOCIAL_SECURITY = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", re.ASCII)
PASSPORT = re.compile(
    r"(?:护照|通行证|passport)(?: ?(?:号码?|number|no\.?))?\s{0,2}(?:[:#]|是|为|is)?\s{0,2}"
    r"([A-Z]{1,2}\d{6,8}|\d{9})(?![A-Za-z0-9])",
    re.IGNORECASE | re.ASCII,
)
PASSES = ("护照", "通行证", "passport")

# How the numbers of payment networks begin (ISO/IEC 7812), and how long they are.
CARDS = (
    (re.compile("4"), {13, 16, 19}),  # Visa
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),  # Mastercard
    (re.compile("3[47]"), {15}),  # American Express
    (re.compile("30[0-5]|3[689]"), {14, 16, 19}),  # Diners Club
    (re.compile("6011|64[4-9]|65"), {16, 19}),  # Discover
    (re.compile("35(?:2[89]|[3-8])"), {16, 19}),  # JCB
    (re.compile("62|81"), {16, 17, 18, 19}),  # UnionPay
    (re.compile("220[0-4]"), {16, 17, 18, 19}),  # Mir
    (re.compile("50|5[6-8]|60|63|67"), {16, 18, 19}),  # Maestro, RuPay, banks in China
    (re.compile("9(?:558|559|4)"), {16, 18, 19}),  # banks in China before UnionPay
)
# Thirteen digits are far oftener the number of a thing than of an old card.
CARD_WORD = re.compile(r"(?:card|visa|卡号?|账号|帐号)[\s:#是为]{0,3}$", re.IGNORECASE)
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])", re.ASCII)


def id_cards(text: str) -> Iterator[Span]:
    """Chinese resident cards of 18 and of 15 digits, cards of Hong Kong, social security numbers
    of the USA, and passports after their word."""
    if not has_digits(text, 6):
        return
    for number in numbers(text, 15, 18):
        end = resident_end(number)
        if end is not None:
            yield number.start, end
    for found in HONG_KONG.finditer(text) if "(" in text else ():
        if hong_kong_check(found[1], found[2]) == found[3]:
            yield found.span()
    for found in SOCIAL_SECURITY.finditer(text) if "-" in text else ():
        if ssn.is_valid(found[0]):
            yield found.span()
    for found in PASSPORT.finditer(text) if mentions(text, PASSES) else ():
        yield found.span(1)


def resident_end(number: Number) -> int | None:
    """Where the number ends if it is that of a resident card (GB 11643-1999)."""
    digits = number.digits
    if not PROVINCE.match(digits):
        return None
    if number.groups in OLD_RESIDENT_GROUPS:
        old = is_birthday(f"19{digits[6:12]}") and number.is_alone and not number.is_harmless
        return number.end if old else None
    if number.groups not in RESIDENT_GROUPS or not is_birthday(digits[6:14]):
        return None
    if len(digits) == 18:
        return number.end if mod_11_2.is_valid(digits) and number.is_alone else None
    x = CHECKED_WITH_X.match(number.text, number.end)
    return x.end() if x and mod_11_2.is_valid(digits + "X") else None


def is_birthday(digits: str) -> bool:
    """YYYYMMDD."""
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year in BORN
    except ValueError:
        return False


def hong_kong_check(letters: str, digits: str) -> str:
    """The check character: the values weighted by 9 down to 2, and what is missing to 11."""
    values = [36] * (2 - len(letters)) + [ord(letter) - 55 for letter in letters]
    values += map(int, digits)
    rest = -sum(weight * value for weight, value in zip(range(9, 1, -1), values, strict=True)) % 11
    return "A" if rest == 10 else str(rest)


def bank_cards(text: str) -> Iterator[Span]:
    """Numbers of 13 to 19 digits that begin as a payment network's, with Luhn's check digit."""
    for number in numbers(text, 13, 19):
        if (
            is_card_shape(number)
            and is_of_network(number.digits)
            and luhn.is_valid(number.digits)
            and number.is_alone
            and not number.is_harmless
        ):
            yield number.start, number.end


def is_card_shape(number: Number) -> bool:
    if len(number.groups) == 1:
        return len(number.digits) > 13 or CARD_WORD.search(number.before()) is not None
    return min(number.groups[:-1]) >= 4 and number.between in ({" "}, {"-"})


def is_of_network(digits: str) -> bool:
    return any(len(digits) in lengths and start.match(digits) for start, lengths in CARDS)


def ibans(text: str) -> Iterator[Span]:
    """International bank account numbers (ISO 13616), by country, length and checksum."""
    if not has_digits(text, 6):
        return
    for found in IBAN.finditer(text):
        words = found[0].split(" ")
        for count in range(len(words), 0, -1):  # what follows may look like more of it
            account = " ".join(words[:count])
            if iban.is_valid(account):
                yield found.start(), found.start() + len(account)
                break
