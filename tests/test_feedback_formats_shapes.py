"""The rows of text formats in the spellings of TRL, LLaMA-Factory and OpenAI."""

import json

import pytest

from feedback.formats.llama_factory import converted
from feedback.lint import openai
from feedback.spec import SHAPES, Recipe
from tests.exporting import columns, counted, exported, fill, held, new, rows_of
from tests.test_feedback_export import told

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CHAT = [
    {"role": "system", "content": "写诗"},
    {"role": "user", "content": "雪"},
    {"role": "assistant", "content": "白"},
    {"role": "user", "content": "再来"},
]
SHORT = [CHAT[0], CHAT[1]]


@pytest.fixture
def shaped(database, tmp_path):
    def run(format, shape, **options):
        folder = new(tmp_path)
        exported(database, folder, Recipe(format, shape), **options)
        found = [columns(row) for row in rows_of(folder)]
        for row in found:
            row.pop("margin", None)
        return found

    return run


@sqlite
def test_a_conversation_in_every_shape_of_sft(database, shaped):
    told(database, ("thumb", 1), messages=CHAT, output="银")

    answer = {"role": "assistant", "content": "银"}
    assert shaped("sft", "conversational") == [{"prompt": CHAT, "completion": [answer]}]
    assert shaped("sft", "openai") == [{"messages": [*CHAT, answer]}]
    assert shaped("sft", "sharegpt") == [
        {
            "conversations": [
                {"from": "human", "value": "雪"},
                {"from": "gpt", "value": "白"},
                {"from": "human", "value": "再来"},
                {"from": "gpt", "value": "银"},
            ],
            "system": "写诗",
        }
    ]


@sqlite
def test_a_pair_in_every_shape(database, shaped):
    told(database, ("edit", "银"), messages=SHORT, output="白")

    assert shaped("dpo", "openai") == [
        {
            "input": {"messages": SHORT},
            "preferred_output": [{"role": "assistant", "content": "银"}],
            "non_preferred_output": [{"role": "assistant", "content": "白"}],
        }
    ]
    assert shaped("dpo", "alpaca") == [
        {"instruction": "雪", "input": "", "chosen": "银", "rejected": "白", "system": "写诗"}
    ]
    assert shaped("dpo", "sharegpt") == [
        {
            "conversations": [{"from": "human", "value": "雪"}],
            "system": "写诗",
            "chosen": {"from": "gpt", "value": "银"},
            "rejected": {"from": "gpt", "value": "白"},
        }
    ]


@sqlite
def test_a_label_in_every_shape(database, shaped):
    told(database, ("thumb", -1), prompt="雪", output="黑")

    assert shaped("kto", "alpaca") == [
        {"instruction": "雪", "input": "", "output": "黑", "system": "", "kto_tag": False}
    ]
    [row] = shaped("kto", "sharegpt")
    assert row["kto_tag"] is False
    assert row["conversations"][-1] == {"from": "gpt", "value": "黑"}


@sqlite
@pytest.mark.parametrize(
    ("messages", "shape", "reason"),
    [
        (CHAT, "alpaca", "needs_conversational"),
        ([CHAT[1], CHAT[3]], "sharegpt", "turns_do_not_alternate"),
        ([CHAT[2], CHAT[3]], "alpaca", "turns_do_not_alternate"),
        (CHAT, "standard", "needs_conversational"),
    ],
)
def test_what_a_shape_cannot_hold_is_held_back(database, messages, shape, reason):
    told(database, ("thumb", 1), messages=messages)

    assert counted(database, Recipe("sft", shape))["quarantined_by_reason"] == {reason: 1}


@sqlite
@pytest.mark.parametrize(
    "output", ["[{'type': 'text', 'text': '白'}]", "{'role': 'assistant', 'content': '白'}"]
)
def test_parts_that_python_has_written_as_text_are_held_back(database, output):
    told(database, ("thumb", 1), output=output)

    assert counted(database, "sft")["quarantined_by_reason"] == {"rendered_parts": 1}


# LLaMA-Factory


@sqlite
@pytest.mark.parametrize("shape", ["alpaca", "sharegpt"])
def test_llama_factory_finds_its_files_and_converts_every_row(database, tmp_path, shape):
    fill(database)
    recipes = [Recipe(format, shape) for format in ("sft", "dpo", "kto")]

    manifest = exported(database, tmp_path / "out", *recipes, reuse="allow")

    described = json.loads((tmp_path / "out" / "dataset_info.json").read_bytes())
    assert described.keys() == {"sft", "dpo", "kto"}
    assert described["dpo"]["ranking"] is True
    assert described["kto"]["columns"]["kto_tag"] == "kto_tag"
    assert manifest["checked"]["llama-factory"]["rows_tried"] == manifest["rows"]
    for config, description in described.items():
        assert description["file_name"] == f"{config}/train.jsonl"
        for row in rows_of(tmp_path / "out", config):
            found = converted(row, description)
            assert found.problem is None
            assert [turn["role"] for turn in found.prompt] == ["user"]
            texts = [turn["content"] for turn in found.response]
            if config == "sft":
                assert len(texts) == 1
            elif config == "dpo":
                assert all(texts) and len(texts) == 2
            else:
                assert [bool(text) for text in texts] == [row["kto_tag"], not row["kto_tag"]]


def test_its_converter_finds_what_it_would_skip():
    sharegpt = {"formatting": "sharegpt", "columns": {"messages": "conversations"}}
    twice = {"conversations": [{"from": "human", "value": "雪"}] * 2}
    half = {"conversations": [{"from": "human", "value": "雪"}]}
    empty = {"instruction": "雪", "input": "", "output": ""}
    alpaca = {"columns": {"prompt": "instruction", "query": "input", "response": "output"}}

    assert "by turns" in converted(twice, sharegpt).problem
    assert "number of its turns" in converted(half, sharegpt).problem
    assert "empty" in converted(empty, alpaca).problem
    assert "no answer" in converted({**empty, "output": None}, alpaca).problem


# OpenAI


@sqlite
def test_openai_takes_the_rows(database, tmp_path):
    fill(database)

    for format in ("sft", "dpo"):
        manifest = exported(database, tmp_path / format, Recipe(format, "openai"))
        found = manifest["checked"]["openai"]
        assert found == {"checked": True, "rows_tried": manifest["rows"], "problems": []}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": SHORT}, "the last turn is not the assistant's"),
        ({"messages": SHORT, "id": 1}, "columns messages, id"),
        ({"messages": [{"role": "poet", "content": "白"}]}, "there is no role poet"),
        ({"messages": [{"role": "assistant", "content": ""}]}, "not exactly a role and content"),
        (
            {"input": {"messages": SHORT}, "preferred_output": SHORT, "non_preferred_output": []},
            "preferred_output is not one turn of the assistant",
        ),
    ],
)
def test_openai_refuses_other_rows(row, problem):
    assert problem in openai({}, "train", row)


@sqlite
def test_every_shape_of_every_text_format_has_rows(database, tmp_path):
    fill(database)

    for shape in SHAPES:
        for format in ("sft", "dpo", "kto"):
            if (format, shape) != ("kto", "openai"):
                exported(database, tmp_path / f"{format}-{shape}", Recipe(format, shape))
                assert set(held(tmp_path / f"{format}-{shape}")) <= {
                    "empty_text",
                    "duplicate",
                    "same_text",
                }
