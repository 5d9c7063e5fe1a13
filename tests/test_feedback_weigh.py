"""What follows for a row from the others: agreement, repetition, the visitor's part, double use."""

from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from db.ids import uuid7
from db.tables import FeedbackEvent, Review
from feedback import weigh as weighing
from feedback.formats.candidate import CODES, REASONS, key
from feedback.gathered import Gathered
from feedback.plan import plan
from feedback.spec import Recipe, Selection, of
from feedback.weigh import Answers, count_voices, over_cap, used_by, weigh
from tests.exporting import columns, counted, exported, held, new, rows_of
from tests.factories import make_visitor
from tests.test_feedback_export import told

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
[SFT] = plan(of("sft"))


def selection(**wishes):
    return Selection(**{"cap_rows": None, **wishes})


# Agreement


@pytest.fixture
def judged(database, tmp_path):
    """The labels of one output with what stands behind them, and why the others are missing."""

    def run(ups, downs, format="kto", **wishes):
        for number in range(ups):
            told(database, ("thumb", 1), prompt="雪", output="白", name=f"up{number}")
        for number in range(downs):
            told(database, ("thumb", -1), prompt="雪", output="白", name=f"down{number}")
        told(database, ("thumb", 1), prompt="雨", output="湿")
        folder = new(tmp_path)
        exported(database, folder, format, selection=selection(**wishes))
        rows = [row for row in rows_of(folder) if row["prompt"] == "雪"]
        return rows, Counter(held(folder))

    return run


@sqlite
def test_the_majority_decides_and_the_row_says_how_large_it_is(judged):
    [row], why = judged(2, 1)

    assert row["label"] is True
    assert (row["genloop_raters"], row["genloop_agreement"]) == (3, 0.6667)
    assert why == {"outvoted": 1, "duplicate": 1}


@sqlite
def test_as_many_on_both_sides_contradict_each_other(judged):
    assert judged(1, 1) == ([], {"contradictory": 2})


@sqlite
def test_whoever_drops_conflicts_drops_the_majority_too(judged):
    assert judged(3, 1, conflicts="drop") == ([], {"contradictory": 4})


@sqlite
def test_a_soft_label_is_the_part_that_agrees(judged):
    [row], _ = judged(3, 1, conflicts="soft")

    assert (row["label"], row["soft_label"]) == (True, 0.75)


@sqlite
def test_so_many_visitors_must_have_judged_the_same(judged):
    [row], why = judged(3, 0, raters=3)

    assert row["genloop_raters"] == 3
    assert why == {"duplicate": 2, "too_few_raters": 1}


@sqlite
def test_so_large_a_part_of_them_must_agree(judged):
    assert judged(2, 1, agreement=0.7)[1] == {"too_little_agreement": 2, "outvoted": 1}


@sqlite
def test_a_dislike_counts_against_a_completion(judged):
    """Though nobody's dislike is a row of sft."""
    assert judged(1, 1, "sft") == ([], {"contradictory": 1})


@sqlite
def test_who_does_not_allow_training_counts_against_a_row_and_never_for_one(database):
    poem = told(database, ("thumb", 1), prompt="雪", output="白", name="ann")

    def judge(name, score):
        def work(session):
            visitor = make_visitor(session, name, train=False)
            event = {"generation_id": poem, "kind": "thumb", "score": score, "key": uuid7()}
            by = {"visitor_id": visitor.visitor_id, "consent_id": visitor.consent_id}
            session.add(FeedbackEvent(**event, **by))

        database.write(work)

    judge("bob", 1)
    assert counted(database, "sft")["rows"] == 1
    assert counted(database, "sft", selection=selection(raters=2))["rows"] == 0

    judge("cyd", -1)

    assert counted(database, "sft")["quarantined_by_reason"] == {"contradictory": 1}


@sqlite
def test_the_score_is_the_mean_of_what_all_visitors_gave(database, tmp_path):
    told(database, ("stars", 5), prompt="雪", output="白")
    told(database, ("stars", 3), ("thumb", 1), prompt="雪", output="白", name="bob")
    told(database, ("thumb", -1), prompt="雪", output=" 白", name="cyd")

    exported(database, tmp_path / "out", "rewards")

    [row] = rows_of(tmp_path / "out")
    assert columns(row) == {"prompt": "雪", "completion": "白", "score": 0.5}
    assert row["genloop_raters"] == 3


def alpha(*units):
    """Of the numbers of visitors who gave each of two answers; each unit by itself."""
    answers = Answers()
    for one, other in units:
        answers.add(np.array([one]), np.array([other]))
    return answers.alpha


def test_krippendorffs_alpha_is_that_of_his_example():
    """Krippendorff 2011, section A: two observers, ten yes-or-no judgements, alpha = 0.095."""
    meg = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    owen = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]

    assert alpha(
        *((2 - one - other, one + other) for one, other in zip(meg, owen, strict=True))
    ) == pytest.approx(0.095, abs=5e-4)


def test_krippendorffs_alpha_knows_its_ends():
    assert alpha((2, 0), (0, 3), (1, 0)) == 1.0
    assert alpha((1, 1), (1, 1)) == pytest.approx(-0.5)
    assert alpha((2, 0)) is None
    assert alpha() is None


# Repetition


@sqlite
def test_what_says_the_same_is_written_once(database, tmp_path):
    for name, output in (("ann", "白雪，飘飘。"), ("bob", " 白雪, 飘飘."), ("cyd", "白雪")):
        told(database, ("thumb", 1), prompt="雪", output=output, name=name)

    exported(database, tmp_path / "out", "sft")

    assert [row["completion"] for row in rows_of(tmp_path / "out")] == ["白雪，飘飘。", "白雪"]
    assert rows_of(tmp_path / "out")[0]["genloop_raters"] == 2
    assert held(tmp_path / "out") == ["duplicate"]


@sqlite
def test_what_says_nearly_the_same_is_written_once_on_request(database):
    poem = "床前明月光，疑是地上霜。举头望明月，低头思故乡。" * 3
    told(database, ("thumb", 1), prompt="静夜思", output=poem)
    told(database, ("thumb", 1), prompt="静夜思", output=poem.replace("疑", "凝", 1))

    near = counted(database, "sft", selection=selection(near_duplicates=0.85))

    assert counted(database, "sft")["rows"] == 2
    assert near["quarantined_by_reason"] == {"near_duplicate": 1}


@sqlite
@pytest.mark.parametrize(
    ("edit", "least", "reason"),
    [
        ("白雪，飘飘。", 0.0, {"trivial_edit": 1}),  # width of the punctuation
        ("白雪 飘飘\u3000.", 0.5, {"trivial_edit": 1}),
        ("白雪,飘零.", 0.0, {}),
        ("白雪,飘零.", 0.5, {"trivial_edit": 1}),
    ],
)
def test_an_edit_that_changes_too_little_is_none(database, edit, least, reason):
    told(database, ("edit", edit), output="白雪,飘飘.")

    for format in ("sft", "dpo"):
        found = counted(database, format, selection=selection(least_edit=least))
        assert found["quarantined_by_reason"] == reason
    found = counted(database, Recipe("kto"), edits="kto", selection=selection(least_edit=least))
    assert found["quarantined_by_reason"].keys() == reason.keys()


@sqlite
def test_a_trivial_edit_does_not_take_back_the_praise(database, tmp_path):
    told(database, ("edit", "白雪。"), ("thumb", 1), output="白雪.")

    exported(database, tmp_path / "out", "sft")

    assert [row["completion"] for row in rows_of(tmp_path / "out")] == ["白雪."]


# One event, one use


@sqlite
def test_one_edit_is_used_once_in_the_form_that_is_asked_for(database, tmp_path):
    told(database, ("edit", "银"), ("thumb", 1), prompt="雪", output="白")
    told(database, ("thumb", -1), prompt="雨", output="干")

    def forms(*recipes, **options):
        folder = new(tmp_path)
        exported(database, folder, *recipes, **options)
        return {
            recipe: [
                {name: value for name, value in columns(row).items() if name != "margin"}
                for row in rows_of(folder, recipe)
            ]
            for recipe in recipes
        }

    as_text = {"prompt": "雪", "completion": "银"}
    as_pair = {"prompt": "雪", "chosen": "银", "rejected": "白"}
    liked = {"prompt": "雪", "completion": "白", "label": True}
    disliked = {"prompt": "雨", "completion": "干", "label": False}
    as_labels = [
        {"prompt": "雪", "completion": "银", "label": True},
        {"prompt": "雪", "completion": "白", "label": False},
    ]
    assert forms("sft", "dpo", "kto") == {"sft": [as_text], "dpo": [], "kto": [liked, disliked]}
    assert forms("dpo", "sft") == {"dpo": [as_pair], "sft": []}
    assert forms("sft", "dpo", "kto", edits="kto") == {
        "sft": [],
        "dpo": [],
        "kto": [*as_labels, disliked],
    }


@sqlite
def test_an_event_stands_behind_rows_of_one_config_unless_that_is_allowed(database, tmp_path):
    told(database, ("thumb", 1), prompt="雪", output="白")
    told(database, ("thumb", -1), prompt="雪", output="黑", name="bob")

    manifest = exported(database, tmp_path / "a", "sft", "dpo", "kto", "prompts")
    allowed = exported(database, tmp_path / "b", "sft", "dpo", "kto", reuse="allow")

    assert [config["rows"] for config in manifest["configs"]] == [1, 0, 1, 1]
    assert held(tmp_path / "a") == ["already_used", "already_used", "duplicate"]
    assert [config["rows"] for config in allowed["configs"]] == [1, 1, 2]
    assert [config["rows_that_use_events_again"] for config in allowed["configs"]] == [0, 1, 2]
    assert "2 rows use events" in allowed["configs"][2]["warnings"][0]


# The part of one visitor


@sqlite
def test_no_visitor_has_more_than_their_part(database, tmp_path):
    for number in range(30):
        told(database, ("thumb", 1), prompt=f"题{number}", output=f"诗{number}")
        told(database, ("thumb", -1), prompt=f"题{number}", output=f"词{number}", name=f"v{number}")

    manifest = exported(database, tmp_path / "out", "kto", selection=Selection())
    again = exported(database, tmp_path / "again", "kto", selection=Selection(cap_rows=5))

    assert Counter(held(tmp_path / "out")) == {"over_visitor_cap": 10}
    assert Counter(row["label"] for row in rows_of(tmp_path / "out")) == {True: 20, False: 30}
    [config] = manifest["configs"]
    assert config["most_rows_of_one_visitor"] == 20
    assert "no visitor may have more than 20" in config["warnings"][0]
    few = {row["prompt"] for row in rows_of(tmp_path / "again") if row["label"]}
    many = {row["prompt"] for row in rows_of(tmp_path / "out") if row["label"]}
    assert len(few) == 5 and few <= many
    assert again["configs"][0]["quarantined"] == 25


@contextmanager
def compared_in(size):
    """Large datasets are compared in parts; these are small, so parts must be smaller still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighing, "AT_ONCE", size)
        yield


sizes = some.sampled_from([1 << 18, 3])


class Rows:
    """Rows that are made up, for what compares keys."""

    def __init__(self, folder):
        self.found = Gathered(Path(folder) / "rows", near=0.85)

    def add(self, visitors, *, same=None, about=None, side=1, value=1.0, reason=0, prompt=None):
        row = len(self.found)
        same = key(str(row if same is None else same))
        about = same if about is None else key(str(about))
        asked = same if prompt is None else key(f"prompt {prompt}")
        self.found.prompts.add(asked, f"prompt {prompt}")
        self.found.facts.add(
            same, about, asked, bytes(8), side, reason, 0, -1, value, 1, 0, 0, 1, 0, 0
        )
        for visitor in visitors:
            self.found.people.add(row, visitor, 1, 1)
            self.found.evidence.add(row, row * 100 + visitor)

    def weighed(self, folder, used=(), **wishes):
        return weigh(
            SFT,
            self.found,
            selection(**wishes),
            np.array(used, np.int64),
            reuse=False,
            folder=Path(folder),
        )


people = some.lists(
    some.lists(some.integers(1, 6), min_size=1, max_size=2, unique=True), max_size=60
)


@settings(deadline=None, max_examples=60)
@given(people, some.integers(1, 5), some.floats(0, 0.6), sizes)
def test_whoever_is_capped_has_no_more_than_that(said, rows, share, size):
    with TemporaryDirectory() as folder, compared_in(size):
        made = Rows(folder)
        for visitors in said:
            made.add(visitors)
        outcome = made.weighed(folder)
        over_cap(made.found, outcome, rows, share)

    kept = [visitors for visitors, reason in zip(said, outcome.reason, strict=True) if not reason]
    most = Counter(visitor for visitors in kept for visitor in visitors)
    assert all(count <= max(rows, share * len(kept)) for count in most.values())
    if share == 0:
        alone = Counter(visitors[0] for visitors in said if len(visitors) == 1)
        assert all(most[one] >= min(rows, 1) for one in alone if len(said) == alone[one])


claims = some.lists(
    some.tuples(some.integers(1, 4), some.integers(0, 3), some.sampled_from([1, -1])), max_size=40
)


@settings(deadline=None, max_examples=60)
@given(claims, claims, sizes)
def test_visitors_are_counted_once_on_each_side(rows, opinions, size):
    with TemporaryDirectory() as folder, compared_in(size):
        made = Rows(folder)
        for visitor, about, side in rows:
            made.add([visitor], about=about, side=side)
        for visitor, about, side in opinions:
            made.found.opinions.add(key(str(about)), visitor, side, visitor % 2, 1.0)
        outcome = count_voices(made.found)

    voices = defaultdict(set)
    against = defaultdict(set)
    for visitor, about, side in rows:
        voices[about, side].add(visitor)
        against[about, side].add(visitor)
    for visitor, about, side in opinions:
        against[about, side].add(visitor)
        if visitor % 2:
            voices[about, side].add(visitor)
    for number, (_, about, side) in enumerate(rows):
        assert outcome.agreeing[number] == len(voices[about, side])
        opposing = outcome.raters[number] - outcome.agreeing[number]
        assert opposing == len(against[about, -side])


@settings(deadline=None, max_examples=40)
@given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 1)), max_size=30), sizes)
def test_of_rows_that_say_the_same_the_first_sound_one_stays(rows, size):
    with TemporaryDirectory() as folder, compared_in(size):
        made = Rows(folder)
        for number, (same, broken) in enumerate(rows):
            made.add([number + 1], same=same, reason=CODES["empty_text"] * broken)
        outcome = made.weighed(folder)
        used = used_by(made.found, outcome)

    seen = set()
    for number, (same, broken) in enumerate(rows):
        reason = "empty_text" if broken else "duplicate" if same in seen else ""
        assert REASONS[outcome.reason[number]] == reason
        assert (number * 100 + number + 1 in used) == (not reason)
        if not broken:
            seen.add(same)


# The owner's review


@sqlite
def test_only_what_is_approved_leaves_on_request(database):
    told(database, ("thumb", 1), output="白")
    told(database, ("thumb", 1), output="黑")
    database.write(lambda session: session.add(Review(event_id=1, verdict="approved")))

    found = counted(database, "sft", selection=selection(review="approved"))

    assert (found["rows"], found["left_out"]) == (1, 1)


@sqlite
def test_what_is_left_out_is_counted_and_not_selected(database):
    told(database, ("thumb", 1), prompt="雪", output="白")
    told(database, ("thumb", 1), prompt="雨", output="湿", name="bob")
    bob = database.write(lambda session: make_visitor(session, "bob").visitor_id)

    found = counted(database, "sft", selection=selection(exclude_visitors=(bob,)))

    assert (found["selected"], found["rows"], found["left_out"]) == (1, 1, 1)
