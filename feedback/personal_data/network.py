"""Addresses on the Internet, and secrets in web addresses."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import unquote

Span = tuple[int, int]

IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)", re.ASCII)
IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{3,34}(?![\w:])", re.ASCII)
# What looks like an address and is a version, a paragraph or an object identifier.
NOT_BEFORE = re.compile(
    r"(?:\bv|ver|version|release|build|section|chapter|clause|paragraph|appendix|oid|§|[=<>~^]=?|"
    r"版本号?|版|第|节|章|条|固件|升级到|更新到)\s{0,2}[:：.]?\s{0,2}$",
    re.IGNORECASE,
)
NOT_AFTER = re.compile(r"\s?(?:版|节|章|条)")
# Resolvers that everybody knows say nothing about anybody.
KNOWN = frozenset(
    [
        "8.8.8.8",
        "8.8.4.4",
        "1.1.1.1",
        "1.0.0.1",
        "9.9.9.9",
        "114.114.114.114",
        "223.5.5.5",
        "223.6.6.6",
        "1.2.3.4",
    ]
)

USER = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://([^\s/@:?#]{1,128}:[^\s/@?#]{1,256})@", re.IGNORECASE | re.ASCII
)
PARAMETER = re.compile(
    r"[?&#;]([A-Za-z][\w.-]{0,60})=([^\s&#;\"'<>()（），。；、\[\]]{1,2048})", re.ASCII
)
SECRET = re.compile(
    r"(?:.*[_-])?(?:token|secret|password|passwd|pwd|passphrase|signature|sig|sign|apikey|api[_-]key|"
    r"access[_-]?key(?:[_-]?id)?|awsaccesskeyid|credential|jwt|session(?:[_-]?id)?|sid|ticket|auth[_-]?key|otp|"
    r"hmac|authorization)",
    re.IGNORECASE,
)
PERHAPS = re.compile(r"key|code|auth|state|hash|k|t|policy|key-pair-id|sv|se|st", re.IGNORECASE)


def ips(text: str) -> Iterator[Span]:
    """Public addresses. Private and reserved ones lead to nobody, and fill code and manuals."""
    if "." in text:
        for found in IPV4.finditer(text):
            around = text[max(found.start() - 16, 0) : found.start()]
            if (
                is_public(found[0])
                and not NOT_BEFORE.search(around)
                and not NOT_AFTER.match(text, found.end())
            ):
                yield found.span()
    if ":" in text:
        for found in IPV6.finditer(text):
            address = found[0].rstrip(":") if not found[0].endswith("::") else found[0]
            if is_public(address):
                yield found.start(), found.start() + len(address)


def is_public(address: str) -> bool:
    try:
        parsed = IPv6Address(address) if ":" in address else IPv4Address(address)
    except AddressValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and address not in KNOWN


def url_tokens(text: str) -> Iterator[Span]:
    """Names and passwords in front of a host, and the values of parameters that open something."""
    if "://" in text:
        for found in USER.finditer(text):
            yield found.span(1)
    if "=" in text:
        for found in PARAMETER.finditer(text):
            value = unquote(found[2])
            opens = SECRET.fullmatch(found[1]) and len(value) >= 4
            if opens or (PERHAPS.fullmatch(found[1]) and is_random(value)):
                yield found.span(2)


def is_random(value: str) -> bool:
    """Sixteen characters or more, letters and digits mixed."""
    return (
        len(value) >= 16
        and any(one.isdigit() for one in value)
        and any(one.isalpha() for one in value)
    )
