"""Addresses on the Internet, and secrets inside of web addresses."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import unquote

from feedback.personal_data.numbers import Span, has_digits

IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)", re.ASCII)
IPV6 = re.compile(
    r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,7}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII
)
# Words beside which four numbers are a version, a paragraph or an identifier.
NOT_AFTER = re.compile(
    r"(?:\bv|ver|version|release|build|firmware|section|chapter|clause|paragraph|appendix|oid|§"
    r"|[=<>~^]=|版本号?|固件|升级到|更新到|版|第|节|章|条)\s{0,2}[:.]?\s{0,2}$",
    re.IGNORECASE,
)
NOT_BEFORE = re.compile(r"\s?(?:版|节|章|条)")
LOOKED_BACK = 16  # characters
# Resolvers that everybody uses say nothing about anybody.
KNOWN = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "1.2.3.4"} | {
    *("114.114.114.114", "223.5.5.5", "223.6.6.6", "119.29.29.29"),
}

USER = re.compile(r"://([^\s/@:?#]{0,128}:[^\s/?#]{1,256})@", re.ASCII)
PARAMETER = re.compile(r"[?&#;]([A-Za-z][\w.-]{0,60})=([\w!$%*+./:=?@^|~-]{1,2048})", re.ASCII)
# Parameters whose value opens something, and some whose value may, when it looks so.
OPENS = re.compile(
    r"(?:[\w.-]{0,40}[_-])?(?:token|secret|password|passwd|pwd|passphrase|signature|sig|sign|otp"
    r"|hmac|api[_-]?key|access[_-]?key(?:[_-]?id)?|awsaccesskeyid|auth[_-]?key|authorization"
    r"|credential|jwt|session(?:[_-]?id)?|sid|ticket)",
    re.ASCII | re.IGNORECASE,
)
MAY_OPEN = re.compile(r"key|code|auth|state|hash|policy|key-pair-id", re.IGNORECASE)
SHORTEST, SHORTEST_RANDOM = 4, 16  # characters of a value


def ips(text: str) -> Iterator[Span]:
    """Public addresses. Private and reserved ones lead to nobody, and manuals are full of them."""
    if not has_digits(text, 4):
        return
    for found in IPV4.finditer(text) if "." in text else ():
        before = text[max(found.start() - LOOKED_BACK, 0) : found.start()]
        other = NOT_AFTER.search(before) or NOT_BEFORE.match(text, found.end())
        if is_public(found[0]) and not other:
            yield found.span()
    for found in IPV6.finditer(text) if text.count(":") > 1 else ():
        if is_public(found[0]):
            yield found.span()


def is_public(address: str) -> bool:
    try:
        parsed = IPv6Address(address) if ":" in address else IPv4Address(address)
    except AddressValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and address not in KNOWN


def url_tokens(text: str) -> Iterator[Span]:
    """Name and password before a host, and the values of parameters that open something."""
    if "://" in text:
        for found in USER.finditer(text):
            yield found.span(1)
    if "=" not in text:
        return
    for found in PARAMETER.finditer(text):
        name, value = found[1], unquote(found[2])
        opens = OPENS.fullmatch(name) and len(value) >= SHORTEST
        if opens or (MAY_OPEN.fullmatch(name) and is_random(value)):
            yield found.span(2)


def is_random(value: str) -> bool:
    """Long, with letters and digits."""
    return (
        len(value) >= SHORTEST_RANDOM
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
    )
