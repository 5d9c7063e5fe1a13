"""What belongs together comes together, whatever its number, and in parts as in one."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as some

from feedback.formats import grouped as module
from feedback.formats.grouped import Member, grouped


def members(words, wanted=lambda _number: True):
    return [
        Member(word, f"00000000-0000-7000-8000-{number:012x}", wanted(number))
        for number, word in enumerate(words)
    ]


def by_hand(all_members, first=None, before=None):
    """The ids of the wanted, group by group."""
    groups = {}
    for one in all_members:
        groups.setdefault(one.common, []).append(one)
    return [
        [one.id for one in group if one.wanted]
        for group in groups.values()
        if (first or "") <= group[0].id and (before is None or group[0].id < before)
        if any(one.wanted for one in group)
    ]


def found(all_members, folder=None, first=None, before=None):
    pairs = grouped(iter(all_members), folder, first, before)
    return [[one for _, one in group] for _, group in groupby(pairs, key=lambda pair: pair[0])]


@given(
    some.lists(some.sampled_from(["a", "b", "c", "\ud800", ""]), max_size=30),
    some.lists(some.integers(0, 30), min_size=2, max_size=2),
)
def test_groups_come_by_their_first_members_and_parts_make_the_whole(words, cuts):
    everyone = members(words, wanted=lambda number: number % 3 != 1)
    low, high = sorted(f"00000000-0000-7000-8000-{cut:012x}" for cut in cuts)

    assert found(everyone) == by_hand(everyone)
    assert found(everyone, None, low, high) == by_hand(everyone, low, high)
    parts = [found(everyone, None, *ends) for ends in ((None, low), (low, high), (high, None))]
    assert [group for part in parts for group in part] == found(everyone)


def test_many_are_read_back_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BUFFER", 100)
    monkeypatch.setattr(module, "CHUNK", 3)
    everyone = members([f"word {number * 7 % 50}" for number in range(400)])

    assert found(everyone, tmp_path) == by_hand(everyone)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first", [None, "00000000-0000-7000-8000-000000000000"])
def test_nothing_has_no_groups(first):
    assert found([], None, first) == []
