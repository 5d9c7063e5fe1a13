"""How many tokens rows are, by the tokenizer of their model."""

import json
import shutil

import pytest

from config import ROOT
from feedback.lengths import Lengths, plain_tokenizer
from feedback.spec import InvalidSpec

POET = ROOT / "models" / "bundled" / "poet"
STRICT = (  # turns of a user and an assistant by turns, with a sign before each
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}月月月月{{ m['content'] }}{% endfor %}"
)


@pytest.fixture
def folder(tmp_path):
    """A model folder that holds nothing but the poet's tokenizer."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(POET / name, tmp_path / name)
    said = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    said.pop("chat_template", None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said), "utf-8")
    return tmp_path


def asked(text):
    return {"prompt": text}


def said(*turns):
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def test_rows_are_told_apart_at_the_limit(folder):
    tokens = len(plain_tokenizer(folder).encode("春眠不觉晓" * 8))
    rows = [
        (asked("春眠不觉晓" * 8), {"completion": ""}),
        (asked("春眠不觉晓" * 4), {"chosen": "春眠不觉晓" * 4, "rejected": "晓"}),
        (asked("春眠不觉晓" * 8 + "晓"), {"completion": ""}),
        (asked("春眠不觉晓" * 8), {"chosen": "", "rejected": "晓"}),
        (asked("春眠不觉晓" * 9), {}),  # a prompt alone
        (asked("晓"), {"completion": "晓"}),
    ]

    assert Lengths(folder, tokens).too_long(rows) == [False, False, True, True, True, False]
    assert Lengths(folder, tokens).too_long([]) == []


def test_what_is_no_prompt_has_no_length(folder):
    rows = [
        ({}, {"completion": "晓" * 99}),
        (asked(" "), {}),
        ({"messages": ["x"]}, {"a": "b"}),
        (asked("\ud83d" * 99), {"completion": "晓"}),
        (asked("晓" * 99), {"completion": "\ud83d"}),
    ]

    assert Lengths(folder, 10).too_long(rows) == [False] * 5


def test_a_template_adds_its_signs_and_one_that_refuses_the_turns_does_not(folder):
    (folder / "chat_template.jinja").write_text(STRICT, "utf-8")
    words = ("user", "春" * 30), ("assistant", "眠" * 30), ("user", "晓" * 30)
    by_turns, twice = said(*words), said(words[0], *words)
    tokens = len(plain_tokenizer(folder).encode("春" * 30 + "眠" * 30 + "晓" * 30 + "花"))

    def too_long(limit, inputs):
        [found] = Lengths(folder, limit).too_long([(inputs, {"completion": "花"})])
        return found

    assert too_long(tokens, by_turns)
    assert not too_long(tokens + 16, by_turns)
    assert not too_long(tokens + 30, twice)
    assert too_long(tokens, twice)


def test_a_folder_without_a_tokenizer_is_told(tmp_path):
    with pytest.raises(InvalidSpec, match=r"no tokenizer\.json"):
        Lengths(tmp_path, 10)
