"""Addresses of e-mail, and accounts in messengers after their name."""

import re
from collections.abc import Iterator

Span = tuple[int, int]

LOCAL = r"[A-Za-z0-9](?:[\w.+%'-]{0,62}[\w+-])?"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL = re.compile(
    rf"(?<![\w.+%'/-])({LOCAL})@((?:{LABEL}\.){{1,5}}(?:[A-Za-z]{{2,24}}|中国|公司|网络))(?![A-Za-z0-9-])",
    re.ASCII,
)
# name [at] example (dot) com, and the large providers with spaces about the sign.
AT, DOT = r"\s{0,2}[\[({<]\s?at\s?[\])}>]\s{0,2}", r"\s{0,2}(?:\.|[\[({<]\s?dot\s?[\])}>])\s{0,2}"
SPELLED = re.compile(
    rf"(?<![\w.+-])({LOCAL}){AT}((?:{LABEL}{DOT}){{1,4}}[A-Za-z]{{2,24}})(?![\w-])", re.ASCII | re.I
)
SPACED = re.compile(
    rf"(?<![\w.+-])({LOCAL})\s{{0,2}}[@#]\s{{0,2}}((?:qq|163|126|139|189|foxmail|gmail|outlook|hotmail|yahoo"
    r"|icloud|sina|sohu|aliyun|protonmail)\.(?:com|cn|net|me)(?:\.cn)?)(?![\w-])",
    re.ASCII | re.I,
)
FILES = frozenset(
    [
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "bmp",
        "ico",
        "css",
        "js",
        "mjs",
        "ts",
        "tsx",
        "jsx",
        "json",
        "html",
        "map",
        "pdf",
    ]
)

QQ = re.compile(
    r"(?:(?<![A-Za-z])QQ|扣扣|企鹅)(?:号码?|群号?)?\s{0,2}[:：是为]?\s{0,2}([1-9]\d{4,11})(?![\w-])",
    re.I | re.ASCII,
)
WECHAT = re.compile(
    r"(?:(?:微信|薇信|威信|(?<![A-Za-z])(?:wechat|weixin|wx|vx))\s?(?:号|id|账号)?\s{0,2}(?:[:：]|是|为|is\b)"
    r"|加(?:我|个|下)?(?:微信|薇信|威信|vx|wx)号?)\s{0,2}([A-Za-z][\w-]{5,19})(?![\w-])",
    re.I | re.ASCII,
)
WXID = re.compile(r"(?<![A-Za-z0-9])wxid_[a-z0-9]{10,20}(?![A-Za-z0-9])")
HANDLE = re.compile(
    r"(?:(?<![A-Za-z])(?:telegram|tg|line id|instagram|skype|discord)|电报)\s{0,2}(?:号|id|账号)?\s{0,2}"
    r"(?:[:：]\s{0,2}@?|@)([A-Za-z][\w.]{4,31}(?:#\d{4})?)(?![\w-])",
    re.I | re.ASCII,
)


def emails(text: str) -> Iterator[Span]:
    if "@" in text:
        for found in EMAIL.finditer(text):
            if not is_no_address(text, found):
                yield found.span()
    for pattern in (SPELLED, SPACED):
        for found in pattern.finditer(text):
            yield found.span()


def is_no_address(text: str, found: re.Match[str]) -> bool:
    """A picture for fine screens (icon@2x.png), or the address of a repository (git@host:path)."""
    ending = found[2].rpartition(".")[2].lower()
    repository = found[1] == "git" and text[found.end() : found.end() + 1] in (":", "/")
    return ending in FILES or repository


def accounts(text: str) -> Iterator[Span]:
    for pattern in (QQ, WECHAT, HANDLE):
        for found in pattern.finditer(text):
            yield found.span(1)
    for found in WXID.finditer(text):
        yield found.span()
