"""Addresses of e-mail, and accounts in messengers after the messenger's name."""

import re
from collections.abc import Iterator

from feedback.personal_data.numbers import Span
from feedback.personal_data.plain_form import mentions

LOCAL = r"[A-Za-z0-9](?:[\w.+%'-]{0,62}[\w+-])?"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ENDING = r"(?:[A-Za-z]{2,24}|中国|公司|网络|在线)"
EMAIL = re.compile(
    rf"(?<![\w.+%'/-])({LOCAL})@((?:(?:{LABEL}|[\u4e00-\u9fff]{{1,20}})\.){{1,5}}{ENDING})"
    r"(?![A-Za-z0-9-])",
    re.ASCII,
)
# name [at] example (dot) com, name AT example DOT com, and large providers with spaces or a #.
AT = r"(?:[\[({<]\s?(?:at|AT)\s?[\])}>]|\sAT\s)"
DOT = r"(?:\s{0,2}[\[({<]\s?(?:dot|DOT)\s?[\])}>]\s{0,2}|\sDOT\s|\.)"
SPELLED = re.compile(
    rf"(?<![\w.+-]){LOCAL}\s{{0,2}}{AT}\s{{0,2}}(?:{LABEL}{DOT}){{1,4}}[A-Za-z]{{2,24}}(?![\w-])",
    re.ASCII,
)
SPELLED_AT = re.compile(AT)
SPACED = re.compile(
    rf"(?<![\w.+-]){LOCAL}\s{{0,2}}[@#]\s{{0,2}}(?:qq|163|126|139|189|foxmail|gmail|outlook|hotmail"
    r"|yahoo|icloud|sina|sohu|aliyun|protonmail)\.(?:com|cn|net|me)(?:\.cn)?(?![\w-])",
    re.ASCII | re.IGNORECASE,
)
FILE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|bmp|ico|css|[jt]sx?|mjs|json|html|map|pdf)$", re.I)

FLAGS = re.ASCII | re.IGNORECASE
IS = r"\s{0,2}(?:[:#]|是|为|is\b)\s{0,2}"
QQ = re.compile(
    rf"(?:(?<![A-Za-z])QQ|扣扣|企鹅)(?:号码?|群号?)?(?:{IS}|\s?)([1-9]\d{{4,11}})(?![\w-])", FLAGS
)
WECHAT = re.compile(
    r"(?:(?:微信|薇信|威信|(?<![A-Za-z])(?:v信|wechat|weixin|wx|vx))"
    rf"\s?(?:号|id|账号)?{IS}|(?:加(?:我|个|下)?|我的)(?:微信|薇信|威信|v信|vx|wx)号?\s{{0,2}})"
    r"([A-Za-z][\w-]{5,19})(?![\w-])",
    FLAGS,
)
WECHAT_ID = re.compile(r"(?<!\w)(wxid_[a-z0-9]{10,20})(?!\w)", re.ASCII)
HANDLE = re.compile(
    r"(?:(?<![A-Za-z])(?:telegram|tg|line id|instagram|ig|skype|discord|snapchat)|电报)"
    rf"\s?(?:号|id|账号)?(?:{IS}@?|\s?@)([A-Za-z][\w.]{{3,30}}\w(?:#\d{{4}})?)(?![\w-])",
    FLAGS,
)

MESSENGERS = (
    *("qq", "扣扣", "企鹅", "微信", "薇信", "威信", "v信", "wechat", "weixin", "wx", "vx"),
    *("telegram", "tg", "line id", "instagram", "ig", "skype", "discord", "snapchat", "电报"),
)


def emails(text: str) -> Iterator[Span]:
    if "@" in text:
        for found in EMAIL.finditer(text):
            if not is_no_address(text, found):
                yield found.span()
    if "@" in text or "#" in text:
        for found in SPACED.finditer(text):
            yield found.span()
    if SPELLED_AT.search(text):
        for found in SPELLED.finditer(text):
            yield found.span()


def is_no_address(text: str, found: re.Match[str]) -> bool:
    """A picture for fine screens (icon@2x.png), or the place of a repository (git@host:path)."""
    repository = found[1] == "git" and text[found.end() : found.end() + 1] in (":", "/")
    return repository or FILE.search(found[2]) is not None


def accounts(text: str) -> Iterator[Span]:
    if not mentions(text, MESSENGERS):
        return
    for pattern in (QQ, WECHAT, WECHAT_ID, HANDLE):
        for found in pattern.finditer(text):
            yield found.span(1)
