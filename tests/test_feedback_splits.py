"""Splits by groups: nothing leaks, rows keep their side, and what is too large is told."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback import scratch
from feedback.leakage import leaked_keys, leaked_near_duplicates
from feedback.splits import SPLITS, WITHHELD, Groups, Shares, pin_of

HALVES = Shares(test=0.4, validation=0.2)  # so that few groups are enough for all sides


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("splits")


def divided(folder, rows, shares=HALVES, **options):
    """Rows to splits, the assignments, and what was told."""
    with Groups(folder) as groups:
        for row, keys in rows.items():
            groups.join(row, keys)
        division = groups.divide(shares, **options)
        return dict(groups.split_of()), dict(groups.assignments()), division


def leaks(folder, rows, splits):
    return sum(leaked_keys([(splits[row], keys) for row, keys in rows.items()], folder).values())


# Rows as they come about: visitors with prompts of their own and of others; some rows lack keys.
KEYS = st.tuples(st.integers(0, 12), st.integers(0, 20), st.sampled_from([3, 3, 3, 2, 1, 0]))
ROWS = st.lists(KEYS, max_size=30).map(
    lambda drawn: {3 * row: keys_of(*each) for row, each in enumerate(drawn)}
)
LARGEST = st.sampled_from([0.0, 0.2, 1.0])

few = settings(max_examples=25, deadline=None)


def keys_of(visitor, prompt, kinds):
    keys = [f"cluster:{prompt // 3}", f"prompt:{prompt}", f"visitor:{visitor}"]
    return keys[-kinds:] if kinds else []


def later_rows(rows, later):
    return rows | {100 + row: keys for row, keys in later.items()}


# What must always hold


@few
@given(ROWS, LARGEST)
def test_no_key_is_ever_on_two_sides(folder, rows, largest):
    splits, _, division = divided(folder, rows, largest=largest)

    assert list(splits) == sorted(rows)
    assert leaks(folder, rows, splits) == 0
    assert division.rows_by_split == Counter(splits.values())


@few
@given(ROWS)
def test_nothing_is_withheld_where_no_group_is_broken_up(folder, rows):
    splits, _, _ = divided(folder, rows, largest=1.0)

    assert set(splits.values()) <= set(SPLITS)


@few
@given(ROWS, LARGEST, st.randoms(use_true_random=False))
def test_the_order_of_the_calls_makes_no_difference(folder, rows, largest, rng):
    before = divided(folder, rows, largest=largest)
    calls = [(row, [key]) for row, keys in rows.items() for key in keys] + [
        (row, []) for row in rows
    ]
    rng.shuffle(calls)
    with Groups(folder) as groups:
        for row, keys in calls:
            groups.join(row, keys)
        division = groups.divide(HALVES, largest=largest)
        after = dict(groups.split_of()), dict(groups.assignments()), division

    assert after == before


@few
@given(ROWS, ROWS)
def test_visitors_who_are_held_out_whole_never_change_sides(folder, rows, later):
    """With largest=0 a row may come to be withheld, or no longer be, and nothing else."""
    grown = later_rows(rows, later)
    before, _, _ = divided(folder, rows, largest=0.0)
    after, _, _ = divided(folder, grown, largest=0.0)
    for row, split in before.items():
        if (
            WITHHELD not in (split, after[row])
            and not is_most(rows, row)
            and not is_most(grown, row)
        ):
            assert after[row] == split


def is_most(rows, row):
    """Whether the visitor of a row has more than half of all rows."""
    visitor = rows[row][-1:]
    return 2 * sum(keys[-1:] == visitor for keys in rows.values()) > len(rows)


@few
@given(ROWS, ROWS)
def test_a_row_keeps_its_side_until_its_group_meets_an_older_one(folder, rows, later):
    grown = later_rows(rows, later)
    before, _, _ = divided(folder, rows, largest=1.0)
    after, _, _ = divided(folder, grown, largest=1.0)
    old, new = components(rows), components(grown)

    for row, split in before.items():
        oldest = min(new[row]) == min(old[row])
        small = 2 * len(old[row]) <= len(rows) and 2 * len(new[row]) <= len(grown)
        if oldest and small:
            assert after[row] == split


def components(rows):
    """Each row with all rows of its group."""
    group = {row: {row} for row in rows}
    for one in rows:
        for other in rows:
            if set(rows[one]) & set(rows[other]) and group[one] is not group[other]:
                joined = group[one] | group[other]
                for row in joined:
                    group[row] = joined
    return group


@few
@given(ROWS, ROWS, LARGEST)
def test_what_was_trained_on_is_never_tested_on(folder, rows, later, largest):
    """With pins a key goes from test to validation to train, or stays."""
    _, pins, _ = divided(folder, rows, largest=largest)
    grown = later_rows(rows, later)
    splits, now, division = divided(folder, grown, largest=largest, pins=pins.items())
    moved = Counter(f"{split} to {now[pin]}" for pin, split in pins.items() if now[pin] != split)

    assert all(SPLITS.index(now[pin]) >= SPLITS.index(split) for pin, split in pins.items())
    assert division.moved == moved
    assert leaks(folder, grown, splits) == 0


# Examples that say why


def test_rows_that_share_a_key_through_others_are_one_group(folder):
    rows = {
        1: ["visitor:ann", "prompt:moon"],
        2: ["visitor:bob", "prompt:moon"],
        3: ["visitor:bob", "prompt:sun"],
        4: ["visitor:eve", b"prompt:\xff\x00"],
    }
    _, _, division = divided(folder, rows, largest=1.0)

    assert (division.groups, division.largest_group) == (2, 3)
    assert division.ties[0]["rows"] == 2


def test_a_row_without_keys_is_a_group_of_its_own(folder):
    splits, pins, division = divided(folder, {row: [] for row in range(200)})

    assert division.groups == 200
    assert pins == {}
    assert set(splits.values()) == set(SPLITS)


def test_shares_are_kept_and_a_larger_share_keeps_the_smaller_one(folder):
    rows = {row: [f"visitor:{row}"] for row in range(3000)}
    small, _, division = divided(folder, rows, Shares(0.1, 0.05))
    large, _, _ = divided(folder, rows, Shares(0.2, 0.1))

    # Five standard deviations of 3,000 throws.
    assert abs(division.rows_by_split["test"] - 300) < 5 * (3000 * 0.1 * 0.9) ** 0.5
    assert abs(division.rows_by_split["validation"] - 150) < 5 * (3000 * 0.05 * 0.95) ** 0.5
    assert division.warnings(Shares(0.1, 0.05)) == []
    for row, split in small.items():
        assert split == "train" or large[row] == split


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.5, 0.5), (-0.1, 0.0)])
def test_something_must_be_left_for_training(shares):
    with pytest.raises(ValueError, match="leave something for training"):
        Shares(*shares)


def hub(visitors=40, rows_each=10, name="v"):
    """Everybody tries the same example once, and then prompts of their own."""
    return {
        visitor * rows_each + at: [
            f"visitor:{name}{visitor}",
            f"prompt:{visitor}-{at}" if at else "prompt:the example",
        ]
        for visitor in range(visitors)
        for at in range(rows_each)
    }


def test_one_example_that_everybody_tries_does_not_take_the_test_set_away(folder):
    rows = hub()
    splits, _, division = divided(folder, rows, largest=0.2)

    assert division.largest_share == 1
    assert division.broken_groups == 1 and division.broken_rows == 400
    assert division.ties[0] == {"kind": "prompt", "pin": pin_of("prompt:the example"), "rows": 40}
    # Only the rows of that example are withheld, where their visitors are not for training.
    assert division.rows_by_split["test"] >= 0.2 * 400
    assert division.rows_by_split[WITHHELD] == division.withheld_for["prompt"] <= 40
    assert all(row % 10 == 0 for row, split in splits.items() if split == WITHHELD)


@pytest.mark.parametrize("name", "abcdef")
def test_a_group_of_more_than_half_of_the_rows_is_trained_on_whatever_its_name(folder, name):
    splits, _, _ = divided(folder, hub(4, name=name), largest=1.0)

    assert set(splits.values()) == {"train"}


def test_what_is_too_large_is_told(folder):
    _, _, division = divided(folder, hub(), Shares(), largest=1.0)
    [small, tied] = division.warnings(Shares())

    assert small == "test has 0.0% of the rows, and 10.0% was asked for"
    assert tied.startswith("100% of the rows hang together: by a prompt with 40 rows")


def test_one_visitor_who_rates_everything_is_trained_on(folder):
    rows = {row: ["visitor:owner", f"prompt:{row}"] for row in range(100)}
    splits, _, division = divided(folder, rows)
    without, _, _ = divided(folder, {row: keys[1:] for row, keys in rows.items()})

    assert set(splits.values()) == {"train"}
    assert "100% of the rows hang together: by a visitor with 100 rows" in " ".join(
        division.warnings(HALVES)
    )
    assert set(without.values()) == set(SPLITS)  # what the caller may do about it


def test_pins_hold_when_the_oldest_rows_are_withdrawn(folder):
    rows = {row: [f"visitor:{row // 6}", f"prompt:{row}"] for row in range(120)}
    before, pins, _ = divided(folder, rows)
    left = {row: keys for row, keys in rows.items() if row % 6}
    after, _, _ = divided(folder, left, pins=pins.items())

    assert all(after[row] == before[row] for row in left)


def test_pins_hold_when_a_group_comes_to_be_broken_up(folder):
    rows = {row: [f"visitor:{row // 2}", f"prompt:{row}"] for row in range(20)}
    pins = {pin_of(f"visitor:{each}"): SPLITS[each % 3] for each in range(10)}
    splits, _, division = divided(folder, rows, largest=0.0, pins=pins.items())

    assert splits == {row: SPLITS[row // 2 % 3] for row in rows}
    assert division.moved == {}


def test_a_group_of_both_sides_goes_to_train_and_that_is_told(folder):
    pins = {pin_of("visitor:a"): "train", pin_of("visitor:b"): "test"}
    rows = {row: [f"visitor:{row}"] for row in range(10)}
    rows |= {10: ["visitor:a", "prompt:x"], 11: ["visitor:b", "prompt:x"]}
    splits, now, division = divided(folder, rows, largest=1.0, pins=pins.items())

    assert splits[10] == splits[11] == "train"
    assert now[pin_of("visitor:b")] == "train"
    assert division.moved == {"test to train": 1}
    assert division.warnings(HALVES)[-1].endswith("changed sides: 1 from test to train")


def test_a_division_can_be_made_again_with_other_options(folder):
    with Groups(folder) as groups:
        for row, keys in hub(5).items():
            groups.join(row, keys)
        groups.divide(HALVES, largest=0.0)
        first = dict(groups.split_of())
        groups.divide(Shares(0, 0))
        assert set(dict(groups.split_of()).values()) == {"train"}
        groups.join(1000, ["visitor:late"])
        groups.divide(HALVES, largest=0.0)

        assert dict(groups.split_of()).keys() == first.keys() | {1000}


@pytest.mark.parametrize("rows", [hub(), {row: ["visitor:one"] for row in range(50)}])
def test_rows_that_are_sorted_in_many_parts_come_out_the_same(folder, rows, monkeypatch):
    _, pins, _ = divided(folder, rows)
    at_once = divided(folder, rows, largest=0.0, pins=pins.items())
    monkeypatch.setattr(scratch, "SORTED", 8)
    monkeypatch.setattr(scratch, "CHUNK", 4)

    assert divided(folder, rows, largest=0.0, pins=pins.items()) == at_once


def test_nothing_stays_on_the_disk(tmp_path):
    divided(tmp_path, hub(5))

    assert list(tmp_path.iterdir()) == []


# Looking for leaks


def test_keys_on_two_sides_are_counted_by_kind(tmp_path):
    rows = [
        ("train", ["visitor:1", "prompt:a"]),
        ("test", ["visitor:1", "prompt:b"]),
        ("validation", ["visitor:2", "prompt:b"]),
        ("train", ["visitor:1", "prompt:a"]),
        (WITHHELD, ["visitor:2", "prompt:a"]),
    ]

    assert leaked_keys(rows, tmp_path) == {"prompt": 1, "visitor": 1}
    assert leaked_keys([], tmp_path) == {}


def test_prompts_that_are_nearly_the_same_on_two_sides_are_counted(tmp_path):
    poem = "床前明月光，疑是地上霜。举头望明月，低头思故乡。窗外的月光真亮啊照着我的床和桌子"
    texts = [
        ("train", poem),
        ("test", poem.replace("桌", "椅")),
        ("train", "Write!"),
        ("train", "write"),
        ("test", "another"),
        (WITHHELD, "another one"),
    ]

    assert leaked_near_duplicates(texts, tmp_path) == 1
