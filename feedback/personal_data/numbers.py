"""Numbers as people write them: groups of digits with something between, 138-0013-8000."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

Span = tuple[int, int]

GROUP = re.compile(r"\d+", re.ASCII)
GAP = re.compile(r"[ \-./·]|\) ?-?|-?\(|[ -]\(?")
MOST = 6  # groups in one number
LOOKED_BACK = 24  # characters before a number that say what it is

# What ties a number to its neighbours: it is a part of a word, a version, a sum …
TIED_BEFORE = re.compile(r"\w$|\d[./]$|\w-$", re.ASCII)
TIED_AFTER = re.compile(r"\w|[./]\d|-\w", re.ASCII)
# … unless the word only says what it is the number of: tel13800138000.
SAYS_WHAT = re.compile(
    r"(?<![a-z])(?:tel|phone|mob(?:ile)?|cell|fax|sms|vx?|wx|qq)-?$", re.IGNORECASE
)

# Words after which, and signs and measures before which, a number is nobody's.
HARMLESS_BEFORE = re.compile(
    r"(?:seeds?|种子|orders?(?: ?(?:id|no|number))?|订单号?|订单编号|单号|编号|流水号|序列号|serial"
    r"|学号|isbn|issn|doi|sku|upc|ean|条码|货号|型号|version|版本|hash|commit|build|timestamp|时间戳"
    r"|\bu?p?id|\bno|numero|ticket|issue|tracking|imei|#)"
    r"(?: ?(?:number|is|为|是))?[\s:=#.\"'(]{0,3}$",
    re.IGNORECASE,
)
HARMLESS_AFTER = re.compile(r" ?(?:[*×^%]|元|块|个|粒|次|米|公里|吨|斤|股|字节|points?\b|bytes?\b)")


class Number(NamedTuple):
    """One group of digits or several that may be one number."""

    text: str
    spans: Sequence[Span]  # of the groups
    digits: str
    whole: bool  # no further group stands beside them

    @property
    def start(self) -> int:
        return self.spans[0][0]

    @property
    def end(self) -> int:
        return self.spans[-1][1]

    @property
    def groups(self) -> tuple[int, ...]:
        """How many digits are in each."""
        return tuple(end - start for start, end in self.spans)

    @property
    def between(self) -> set[str]:
        """What stands between groups."""
        return {self.text[end:start] for (_, end), (start, _) in pairwise(self.spans)}

    def before(self, characters: int = LOOKED_BACK) -> str:
        return self.text[max(self.start - characters, 0) : self.start]

    @property
    def is_alone(self) -> bool:
        return is_alone(self.text, self.start, self.end)

    @property
    def is_harmless(self) -> bool:
        return (
            HARMLESS_BEFORE.search(self.before()) is not None
            or HARMLESS_AFTER.match(self.text, self.end) is not None
        )


def numbers(text: str, least: int, most: int) -> Iterator[Number]:
    """Every way to take neighbouring groups as one number of so many digits.

    From the first group on, the longest number first. There are at most MOST groups in one, so the
    work grows with the length of the text.
    """
    if not has_digits(text, least):
        return
    for run in runs(text):
        for first in range(len(run)):
            lengths = list(accumulate(end - start for start, end in run[first : first + MOST]))
            for count in range(len(lengths), 0, -1):
                if least <= lengths[count - 1] <= most:
                    spans = run[first : first + count]
                    digits = "".join([text[start:end] for start, end in spans])
                    yield Number(text, spans, digits, whole=count == len(run))


def has_digits(text: str, least: int) -> bool:
    return sum(map(text.count, "0123456789")) >= least


@lru_cache(maxsize=2)  # several rules ask it of the same text
def runs(text: str) -> list[list[Span]]:
    """The groups, together where they have no more between them than a number may have."""
    found: list[list[Span]] = []
    for group in GROUP.finditer(text):
        if found and GAP.fullmatch(text, found[-1][-1][1], group.start()):
            found[-1].append(group.span())
        else:
            found.append([group.span()])
    return found


def is_alone(text: str, start: int, end: int) -> bool:
    """Whether nothing around a number belongs to it."""
    before = text[max(start - 8, 0) : start]
    if TIED_BEFORE.search(before) and not SAYS_WHAT.search(before):
        return False
    return not TIED_AFTER.match(text, end)
