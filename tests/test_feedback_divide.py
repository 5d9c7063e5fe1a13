"""No visitor, conversation, prompt or near-duplicate is on two sides, in whatever configs."""

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from feedback.divide import divide
from feedback.formats.candidate import key
from feedback.spec import KEYS, Recipe, Splits
from feedback.splits import OUTCOMES
from tests.exporting import exported, held, rows_of
from tests.test_feedback_export import told
from tests.test_feedback_weigh import Rows, compared_in, sizes

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ALL = ("train", "validation", "test")

rows = some.lists(
    some.tuples(some.integers(1, 12), some.integers(0, 12), some.integers(0, 3)), max_size=30
)


@settings(deadline=None, max_examples=30)
@given(some.lists(rows, min_size=1, max_size=2), some.floats(0.05, 1), sizes)
def test_nothing_straddles_whatever_hangs_together(configs, largest, size):
    with TemporaryDirectory() as folder, compared_in(size):
        work, made = Path(folder), []
        for number, config in enumerate(configs):
            (work / str(number)).mkdir()
            one = Rows(work / str(number))
            for visitor, prompt, talk in config:
                row = len(one.found)
                one.add([visitor], prompt=prompt)
                if talk:
                    one.found.ties.add(row, key(f"talk {talk}"))
            made.append((one.found, one.weighed(work)))
        report = divide(made, Splits(0.3, 0.2, largest=largest), work)

    sides = defaultdict(set)
    for config, (_, outcome) in zip(configs, made, strict=True):
        for (visitor, prompt, talk), split, kept in zip(
            config, outcome.split, outcome.kept, strict=True
        ):
            if kept:
                sides["visitor", visitor].add(OUTCOMES[split])
                sides["prompt", prompt].add(OUTCOMES[split])
                sides["talk", talk or None].add(OUTCOMES[split] if talk else "")
    assert all(len(each) == 1 for each in sides.values())
    assert not any(report["keys_on_two_sides"].values())
    held_back = sum(int((~outcome.kept).sum()) for _, outcome in made)
    assert held_back == report["rows_by_split"].get("withheld", 0)


def test_nothing_is_split_where_nobody_asks_for_it(tmp_path):
    made = Rows(tmp_path)
    made.add([1])
    outcome = made.weighed(tmp_path)

    assert divide([(made.found, outcome)], Splits(0), tmp_path) == {}
    assert [OUTCOMES[split] for split in outcome.split] == ["train"]


@sqlite
def test_configs_of_one_dataset_are_split_alike(database, tmp_path):
    for number in range(40):
        told(
            database,
            ("thumb", 1 - number % 2 * 2),
            ("stars", 3),
            prompt=f"题{number}的诗",
            output=f"诗{number}",
            name=f"v{number}",
        )

    manifest = exported(
        database, tmp_path / "out", "rewards", "kto", reuse="allow", splits=Splits(0.3, 0.2)
    )

    prompts = {
        config: {
            split: {row["prompt"] for row in rows_of(tmp_path / "out", config, split)}
            for split in ALL
        }
        for config in ("rewards", "kto")
    }
    assert prompts["rewards"] == prompts["kto"]
    sizes = [len(prompts["kto"][split]) for split in ALL]
    assert sum(sizes) == 40 and all(size > 2 for size in sizes)
    assert manifest["splits"]["keys_on_two_sides"] == dict.fromkeys(KEYS, 0)


@sqlite
def test_prompts_that_are_nearly_the_same_stay_together(database, tmp_path):
    """Though visitors and prompts would let them part."""
    long = "请写一首关于春天的诗，要有桃花、燕子和细雨，语言要清新自然，不要超过八句，题目自拟"
    for number in range(12):
        told(
            database,
            ("thumb", 1),
            prompt=f"{long}。{number}",
            output=str(number),
            name=f"v{number}",
        )
        told(database, ("thumb", 1), prompt=f"题{number}", output="x", name=f"w{number}")

    exported(database, tmp_path / "out", "kto", splits=Splits(0.4, largest=1))

    sides = {
        split
        for split in ALL
        for row in rows_of(tmp_path / "out", split=split)
        if row["prompt"].startswith("请写")
    }
    assert len(sides) == 1 and len(rows_of(tmp_path / "out", split="test")) > 0


@sqlite
def test_turns_of_one_conversation_stay_together(database, tmp_path):
    again = {"role": "user", "content": "再"}
    for number in range(12):
        turns = [{"role": "user", "content": f"题{number}"}]
        for answer in ("一", "二"):
            told(database, ("thumb", 1), messages=turns, output=answer, name=f"v{number}")
            turns = [*turns, {"role": "assistant", "content": answer}, again]

    recipe = Recipe("sft", "conversational")
    splits = Splits(0.4, by=("conversation",))
    exported(database, tmp_path / "out", recipe, splits=splits)

    sides = defaultdict(set)
    for split in ALL:
        for row in rows_of(tmp_path / "out", split=split):
            sides[row["prompt"][0]["content"]].add(split)
    assert len(sides) == 12 and all(len(each) == 1 for each in sides.values())
    assert held(tmp_path / "out") == []
    assert {split for each in sides.values() for split in each} == {"train", "test"}
