"""Personal data in texts: what is found, what is left alone, and what stands in its place."""

import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.tables import TEXT_LIMIT
from feedback import personal_data
from feedback.personal_data.numbers import MOST, numbers
from feedback.personal_data.phones import LOOKED_UP
from feedback.redaction import KINDS, Finding, findings, redact_json, redacted

MARK = re.compile(r"«(\w+)\|(.*?)»", re.DOTALL)
_, _, CASES = Path(__file__).with_name("personal_data.txt").read_text("utf-8").partition("----\n")


def unmarked(line):
    """The text of a case, and what must be found in it."""
    line = line.replace("¦", "").replace("⏎", "\n")
    text, expected, at = "", [], 0
    for mark in MARK.finditer(line):
        text += line[at : mark.start()]
        expected.append(Finding(mark[1], len(text), len(text) + len(mark[2])))
        text += mark[2]
        at = mark.end()
    return text + line[at:], expected


LABELLED = [unmarked(line) for line in CASES.splitlines()]


def core(text, found):
    """Kinds with the places of letters and digits: a bracket more or less is no mistake."""
    return {
        (one.kind, frozenset(at for at in range(one.start, one.end) if text[at].isalnum()))
        for one in found
    }


# What is found


def test_nearly_all_personal_data_is_found_and_nearly_nothing_else():
    right, wrong, missed, mistakes = Counter(), Counter(), Counter(), []
    for text, expected in LABELLED:
        want, got = core(text, expected), core(text, findings(text))
        for count, found in ((right, want & got), (wrong, got - want), (missed, want - got)):
            count.update(kind for kind, _ in found)
        if want != got:
            mistakes.append(text)

    assert len(LABELLED) >= 500
    for kind in KINDS:
        assert right[kind] >= 10, kind
        assert right[kind] / (right[kind] + wrong[kind]) >= 0.9, (kind, mistakes)  # precision
        assert right[kind] / (right[kind] + missed[kind]) >= 0.9, (kind, mistakes)  # recall
    assert right.total() / (right + wrong).total() >= 0.99, mistakes
    assert right.total() / (right + missed).total() >= 0.99, mistakes


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("电话１３８００１３８０００。", "phone", "１３８００１３８０００"),
        ("号码138\u200b0013\u200b8000", "phone", "138\u200b0013\u200b8000"),
        ("ＩＰ是２０３．１１９．２５．３吧", "ip", "２０３．１１９．２５．３"),
        ("㏒ ½ ﬁ zhang＠qq.com ⑩", "email", "zhang＠qq.com"),
    ],
)
def test_places_are_those_of_the_text_itself(text, kind, found):
    [finding] = findings(text)

    assert (finding.kind, text[finding.start : finding.end]) == (kind, found)


def test_only_the_kinds_that_were_asked_for_are_found():
    text = "mail ann@example.org, phone 650-253-0000"

    assert [one.kind for one in findings(text)] == ["email", "phone"]
    assert [one.kind for one in findings(text, ["phone"])] == ["phone"]
    assert findings(text, []) == []


def test_chinese_that_goes_on_without_a_space_hides_nothing():
    for text, expected in LABELLED:
        for one in expected:
            behind = text[one.end : one.end + 1]
            longer = text[: one.end] + "霜" + text[one.end :]
            if not behind.isalnum() and behind != "@":
                found = set().union(*(at for _, at in core(longer, findings(longer))))
                assert all(at <= found for _, at in core(text, [one])), longer


@settings(max_examples=50)
@given(st.lists(st.sampled_from([text for text, _ in LABELLED]) | st.text(max_size=20), max_size=4))
def test_findings_are_in_order_and_apart(parts):
    text = "".join(parts)
    found = findings(text)

    assert all(one.start < one.end <= len(text) for one in found)
    assert all(one.end <= other.start for one, other in zip(found, found[1:], strict=False))
    assert {one.kind for one in found} <= set(KINDS)


# What stands in its place


def test_placeholders_stand_where_personal_data_was():
    text = "我叫李雷，邮箱lilei@pku.edu.cn，电话138-0013-8000。"

    assert redacted(text, findings(text)) == "我叫李雷，邮箱[EMAIL]，电话[PHONE]。"
    assert redacted("nothing here", []) == "nothing here"


def test_a_redacted_text_has_nothing_more_to_find():
    for text, _ in LABELLED:
        once = redacted(text, findings(text))

        assert findings(once) == [], once


def test_rows_are_redacted_at_any_depth():
    row = {
        "prompt": [{"role": "user", "content": "call 650-253-0000"}],
        "completion": "ann@example.org or bob@example.org",
        "label": True,
        "score": 0.5,
        "genloop_generation_ids": "13800138000",
        "note": None,
    }

    clean, counts = redact_json(row, keep={"genloop_generation_ids"})

    assert clean == row | {
        "prompt": [{"role": "user", "content": "call [PHONE]"}],
        "completion": "[EMAIL] or [EMAIL]",
    }
    assert counts == {"phone": 1, "email": 2}
    assert row["completion"].startswith("ann")  # the row itself stays as it was


def test_another_detector_adds_kinds_of_its_own():
    def names(text):
        return [Finding("name", *one.span()) for one in re.finditer("李雷|Ann Lee", text)]

    text = "李雷的邮箱 lilei@example.org"

    assert redacted(text, findings(text, detectors=[names])) == "[NAME]的邮箱 [EMAIL]"


def test_findings_that_overlap_become_one_of_the_longer_ones_kind():
    def people(text):
        return [Finding("person", 3, 9)]

    text = "me: ann@example.org"

    assert findings(text, detectors=[people]) == [Finding("email", 3, 19)]


# How much work it is


def patterns():
    for module in pkgutil.iter_modules(personal_data.__path__):
        for name, value in vars(
            importlib.import_module(f"{personal_data.__name__}.{module.name}")
        ).items():
            if isinstance(value, re.Pattern):
                yield f"{module.name}.{name}", value


def test_no_pattern_can_run_on_without_end():
    """A pattern whose matches have a longest length does bounded work at every place."""
    endless = re._parser.MAXREPEAT
    unbounded = {
        name
        for name, pattern in patterns()
        if re._parser.parse(pattern.pattern, pattern.flags).getwidth()[1] >= endless
    }

    assert len(list(patterns())) > 30
    # A run of one kind of character, after which nothing can fail, or which is met in one number.
    assert unbounded <= {"numbers.GROUP", "secrets.CALL", "secrets.NAMES"}


ADVERSARIAL = [
    *(
        "1",
        "01 ",
        "12-34",
        "0044 20 7946 0958 ",
        "+1 650 253 000 ",
        "a",
        "a@",
        "a.",
        "[at]",
        "eyJ.",
    ),
    *("password=", "密码", "-----BEGIN PRIVATE KEY-----", "http://a:", "?token=", "2001:", "DE89 "),
    *("一三八零", "1\u200b", "2024-01-", "¥1,", "sk-"),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("part", ADVERSARIAL)
def test_the_work_grows_with_the_length_of_a_text_and_no_faster(part, monkeypatch):
    lookups = Counter()
    parse = phonenumbers.parse
    monkeypatch.setattr(
        phonenumbers, "parse", lambda *asked: lookups.update(all=1) or parse(*asked)
    )
    text = (part * TEXT_LIMIT)[:TEXT_LIMIT]

    findings(text)

    assert len(list(numbers(text, 1, 20))) <= MOST * len(re.findall(r"\d+", text))
    assert lookups["all"] <= LOOKED_UP * 9  # regions
