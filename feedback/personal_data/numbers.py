"""Runs of digits as people write them, in groups with something between: 138-0013-8000."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

GROUP = re.compile(r"\d+", re.ASCII)
GAP = re.compile(r"[ \-./·]|\) ?-?|-?\(|[ -]\(?")
MOST = 6  # groups of one number

# Words after which a number is none of a person.
HARMLESS = re.compile(
    r"(?:seeds?|种子|orders?(?: ?(?:id|no|number))?|订单号?|订单编号|单号|编号|流水号|序列号|serial"
    r"|isbn|issn|doi|sku|upc|ean|条码|货号|型号|version|版本|hash|commit|build|timestamp|时间戳"
    r"|id|uid|pid|\bno|numero|ticket|issue|#)(?: ?(?:is|为|是))?[\s:=#.\"'（(]{0,3}$",
    re.IGNORECASE,
)
LOOKED_BACK = 24  # characters


@dataclass(frozen=True)
class Number:
    """One or more groups of digits that may be one number."""

    text: str
    start: int
    end: int
    digits: str
    groups: tuple[int, ...]  # digits in each
    between: tuple[str, ...]  # what stands between them
    alone: bool  # no letter, dot or hyphen ties it to what is before or after

    @property
    def before(self) -> str:
        return self.text[max(self.start - LOOKED_BACK, 0) : self.start]

    @property
    def is_harmless(self) -> bool:
        return HARMLESS.search(self.before) is not None

    def is_written(self, *shapes: tuple[int, ...]) -> bool:
        """Whether it is written in one of these shapes, with the same sign between all groups."""
        return self.groups in shapes and len(set(self.between)) <= 1


def numbers(text: str, least: int, most: int) -> Iterator[Number]:
    """Every way to take groups that stand together as one number of so many digits.

    From each group on, the longest first; of all groups there are at most MOST in one.
    """
    for groups in runs(text):
        for first in range(len(groups)):
            lengths = list(accumulate(end - start for start, end in groups[first : first + MOST]))
            for count in range(len(lengths), 0, -1):
                if least <= lengths[count - 1] <= most:
                    yield number(text, groups[first : first + count])


def runs(text: str) -> Iterator[list[tuple[int, int]]]:
    """The groups that have no more between them than a number may have."""
    run: list[tuple[int, int]] = []
    for found in GROUP.finditer(text):
        if run and not GAP.fullmatch(text, run[-1][1], found.start()):
            yield run
            run = []
        run.append(found.span())
    if run:
        yield run


def number(text: str, groups: list[tuple[int, int]]) -> Number:
    start, end = groups[0][0], groups[-1][1]
    return Number(
        text,
        start,
        end,
        "".join(text[first:last] for first, last in groups),
        tuple(last - first for first, last in groups),
        tuple(text[one[1] : other[0]] for one, other in zip(groups, groups[1:], strict=False)),
        is_alone(text, start, end),
    )


def is_alone(text: str, start: int, end: int) -> bool:
    """Whether what stands around it does not belong to it."""
    before, after = text[max(start - 8, 0) : start], text[end : end + 2]
    return not (TIED_BEFORE.search(before) and not CONTACT.search(before)) and not (
        TIED_AFTER.match(after)
    )


TIED_BEFORE = re.compile(r"\w$|\d[./]$|\w-$", re.ASCII)
TIED_AFTER = re.compile(r"\w|[./]\d|-\w", re.ASCII)
CONTACT = re.compile(
    r"(?:\b|[\W\d_])(?:tel|phone|mobile|mob|cell|fax|wx|vx|v|qq|sms)[.:-]?$", re.IGNORECASE
)
