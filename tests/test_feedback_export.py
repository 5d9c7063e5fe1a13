"""What feedback becomes a row of which text dataset, and what is held back."""

import pytest
from sqlalchemy import func, select

from db.tables import FeedbackEvent, Generation, Review, Visitor, now
from feedback.dataset import NothingToExport
from feedback.formats.pairs import PAIRS_PER_OUTPUT
from feedback.spec import Recipe
from tests.exporting import columns, counted, held, new, rows_of
from tests.exporting import exported as export_bare
from tests.factories import make_generation, make_generations, make_visitor, rate

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FORMATS = ["sft", "dpo", "kto", "rewards", "prompts", "events"]
CHAT = [{"role": "system", "content": "写诗"}, {"role": "user", "content": "雪"}]


def told(database, *opinions, train=True, name="ann", **made):
    """The id of a generation about which one visitor says `opinions`, pairs of kind and value."""

    def work(session):
        visitor = make_visitor(session, name, train=train)
        generation = make_generation(session, visitor, **made)
        for kind, value in opinions:
            rate(session, visitor, generation, kind, value)
        return generation

    return database.write(work)


@pytest.fixture
def exported(database, tmp_path):
    """Export and read back: the rows as a trainer sees them."""

    def run(format, shape="standard", **options):
        folder = new(tmp_path)
        export_bare(database, folder, Recipe(format, shape), **options)
        found = [columns(row) for row in rows_of(folder)]
        for row in found:
            row.pop("margin", None)
        return found

    return run


def nothing(database, format):
    return counted(database, format)["rows"] == 0


def formats_without_rows(database):
    return [format for format in FORMATS if nothing(database, format)]


# What becomes a row of sft


@sqlite
@pytest.mark.parametrize("said", [("thumb", 1), ("stars", 4), ("stars", 5)])
def test_liked_outputs_are_completions(database, exported, said):
    told(database, said, prompt="雪", output="白")

    assert exported("sft") == [{"prompt": "雪", "completion": "白"}]


@sqlite
@pytest.mark.parametrize("said", [("thumb", -1), ("stars", 3), ("comment", "好"), ("report", "")])
def test_outputs_that_nobody_liked_are_left_out(database, said):
    told(database, said)

    assert nothing(database, "sft")


@sqlite
@pytest.mark.parametrize("thumb", [1, -1])
def test_an_edit_wins_over_the_output_whatever_the_thumb(database, exported, thumb):
    told(database, ("edit", "银"), ("thumb", thumb), prompt="雪", output="白")

    assert exported("sft") == [{"prompt": "雪", "completion": "银"}]


@sqlite
def test_a_thumb_down_outweighs_the_stars(database):
    told(database, ("stars", 5), ("thumb", -1))

    assert nothing(database, "sft")


@sqlite
def test_the_last_event_of_a_kind_counts(database, exported):
    told(database, ("thumb", -1), ("thumb", 1), output="白")
    told(database, ("thumb", 1), ("thumb", -1), output="黑")
    told(database, ("edit", "一"), ("edit", "二"), output="三")

    assert [row["completion"] for row in exported("sft")] == ["白", "二"]


@sqlite
def test_what_was_taken_back_says_nothing(database):
    told(database, ("thumb", 1), ("thumb", None))
    told(database, ("edit", "银"), ("edit", None))

    for format in ("sft", "dpo", "kto"):
        assert nothing(database, format)


# What becomes a row of dpo


@sqlite
def test_an_edit_is_chosen_over_the_output_it_mends(database, exported):
    told(database, ("edit", "银"), prompt="雪", output="白")

    assert exported("dpo") == [{"prompt": "雪", "chosen": "银", "rejected": "白"}]


@sqlite
def test_the_chosen_draft_is_chosen_over_each_other_draft(database, exported):
    def work(session):
        ann = make_visitor(session)
        first, second, third = make_generations(
            session, ann, prompt="数", outputs=("一", "二", "三")
        )
        rate(session, ann, second, "choice", True)

    database.write(work)

    assert exported("dpo") == [
        {"prompt": "数", "chosen": "二", "rejected": "一"},
        {"prompt": "数", "chosen": "二", "rejected": "三"},
    ]


@sqlite
def test_whoever_chooses_again_changes_their_mind(database, exported):
    def work(session):
        ann = make_visitor(session)
        first, second = make_generations(session, ann, prompt="数", outputs=("一", "二"))
        rate(session, ann, second, "choice", True)
        rate(session, ann, first, "choice", True)

    database.write(work)

    assert exported("dpo") == [{"prompt": "数", "chosen": "一", "rejected": "二"}]


@sqlite
def test_the_edit_of_a_chosen_draft_stands_for_it(database, exported):
    def work(session):
        ann = make_visitor(session)
        first, second = make_generations(session, ann, prompt="数", outputs=("一", "二"))
        rate(session, ann, first, "choice", True)
        rate(session, ann, first, "edit", "壹")

    database.write(work)

    assert exported("dpo") == [
        {"prompt": "数", "chosen": "壹", "rejected": "一"},
        {"prompt": "数", "chosen": "壹", "rejected": "二"},
    ]


@sqlite
@pytest.mark.parametrize("other", ["ann", "bob"])
def test_a_liked_output_is_chosen_over_a_disliked_one_of_the_same_prompt(database, exported, other):
    told(database, ("thumb", 1), prompt="雪", output="白")
    told(database, ("stars", 2), prompt="雪", output="黑", name=other)
    told(database, ("thumb", -1), prompt="雨", output="湿", name=other)

    assert exported("dpo") == [{"prompt": "雪", "chosen": "白", "rejected": "黑"}]


@sqlite
def test_the_edit_of_a_liked_output_is_chosen_and_its_own_text_never(database, exported):
    told(database, ("thumb", 1), ("edit", "银"), prompt="雪", output="白")
    told(database, ("thumb", -1), prompt="雪", output="黑")

    pairs = {(row["chosen"], row["rejected"]) for row in exported("dpo")}
    assert pairs == {("银", "白"), ("银", "黑")}


@sqlite
def test_ties_make_no_pair(database):
    told(database, ("thumb", 1), prompt="雪", output="白")
    told(database, ("stars", 5), prompt="雪", output="银", name="bob")
    told(database, ("stars", 3), prompt="雪", output="冷")

    assert nothing(database, "dpo")


@sqlite
def test_on_a_crowded_prompt_every_output_has_its_pairs_and_none_has_all(database, exported):
    for number in range(20):
        told(database, ("thumb", 1), prompt="雪", output=f"好{number}")
        told(database, ("thumb", -1), prompt="雪", output=f"坏{number}")

    pairs = exported("dpo")

    assert len(pairs) == 20 * PAIRS_PER_OUTPUT
    assert len({(row["chosen"], row["rejected"]) for row in pairs}) == len(pairs)
    assert len({row["chosen"] for row in pairs}) == len({row["rejected"] for row in pairs}) == 20


# What becomes a row of kto


@sqlite
def test_thumbs_are_labels_of_the_output_as_it_was_shown(database, exported):
    told(database, ("thumb", 1), ("edit", "银"), prompt="雪", output="白")
    told(database, ("thumb", -1), prompt="雪", output="黑")
    told(database, ("stars", 5), prompt="雪", output="冷")

    assert exported("kto") == [
        {"prompt": "雪", "completion": "白", "label": True},
        {"prompt": "雪", "completion": "黑", "label": False},
    ]


@sqlite
def test_labels_of_one_kind_alone_are_warned_of(database):
    told(database, ("thumb", 1))

    summary = counted(database, "kto")

    assert summary["rows_by_label"] == {"true": 1}
    [warning] = summary["warnings"]
    assert "every label is true" in warning


# Shapes


@sqlite
def test_a_prompt_becomes_one_turn_of_a_user(database, exported):
    told(database, ("thumb", 1), prompt="雪", output="白")
    told(database, ("thumb", -1), prompt="雪", output="黑")
    asked = [{"role": "user", "content": "雪"}]
    white, black = ([{"role": "assistant", "content": word}] for word in "白黑")

    assert exported("sft", "conversational") == [{"prompt": asked, "completion": white}]
    assert exported("dpo", "conversational") == [
        {"prompt": asked, "chosen": white, "rejected": black}
    ]
    assert exported("kto", "conversational") == [
        {"prompt": asked, "completion": white, "label": True},
        {"prompt": asked, "completion": black, "label": False},
    ]


@sqlite
def test_a_conversation_keeps_its_turns_and_nothing_but_role_and_content(database, exported):
    turns = [CHAT[0], {**CHAT[1], "metadata": None}]
    told(database, ("thumb", 1), messages=turns, output="白")

    [row] = exported("sft", "conversational")

    assert row == {"prompt": CHAT, "completion": [{"role": "assistant", "content": "白"}]}


# Consent


def test_nothing_leaves_without_consent_for_training(database, tmp_path):
    told(database, ("thumb", 1), ("edit", "银"), train=False)

    for format in FORMATS:
        with pytest.raises(NothingToExport, match="of 2 feedback events 0 may be used"):
            export_bare(database, tmp_path / "out", format)
    assert list(tmp_path.glob("*out*")) == []


def test_nothing_that_was_withdrawn_leaves(database):
    told(database, ("thumb", 1), ("edit", "银"))
    assert formats_without_rows(database) == []

    database.write(lambda session: make_visitor(session, train=False).visitor_id)

    assert formats_without_rows(database) == FORMATS


def test_nothing_of_an_erased_visitor_leaves(database):
    told(database, ("thumb", 1), ("edit", "银"))

    def erase(session):
        visitor = session.scalars(select(Visitor)).one()
        visitor.key_hash, visitor.erased_at = None, now()

    database.write(erase)

    assert formats_without_rows(database) == FORMATS


@pytest.mark.parametrize("refused", ["generation", "event"])
def test_consent_does_not_reach_back(database, refused):
    """What was made or said before the consent was given is not covered by it."""

    def work(session):
        without = make_visitor(session, train=False)
        made = without if refused == "generation" else make_visitor(session)
        generation = make_generation(session, made)
        said = make_visitor(session, train=refused == "generation")
        rate(session, said, generation, "thumb", 1)
        rate(session, said, generation, "edit", "银")
        make_visitor(session)

    database.write(work)

    assert formats_without_rows(database) == FORMATS


def test_consent_that_is_given_again_covers_what_it_covered_before(database, exported):
    told(database, ("thumb", 1), output="白")
    database.write(lambda session: make_visitor(session, train=False).visitor_id)
    told(database, ("thumb", 1), output="黑", train=False)
    database.write(lambda session: make_visitor(session).visitor_id)

    assert [row["completion"] for row in exported("sft")] == ["白"]


def test_an_opinion_without_consent_keeps_out_and_brings_nothing_in(database):
    def work(session):
        poem = make_generation(session, make_visitor(session))
        rate(session, make_visitor(session), poem, "thumb", 1)
        rate(session, make_visitor(session, train=False), poem, "edit", "银")
        make_visitor(session)

    database.write(work)

    assert nothing(database, "sft")


# Quarantine


@sqlite
def test_a_report_keeps_an_output_from_being_praised(database, exported):
    told(database, ("thumb", 1), ("report", "offensive"), prompt="雪", output="坏")
    told(database, ("edit", "银"), ("report", ""), prompt="雨", output="白")
    told(database, ("thumb", -1), ("report", "offensive"), prompt="风", output="恶")
    told(database, ("thumb", 1), ("report", "other"), ("report", None), prompt="云", output="淡")

    assert [row["completion"] for row in exported("sft")] == ["淡"]
    assert [(row["completion"], row["label"]) for row in exported("kto")] == [
        ("恶", False),
        ("淡", True),
    ]


@sqlite
def test_what_is_reported_for_personal_data_leaves_nowhere(database):
    told(database, ("thumb", -1), ("report", "personal_data"))

    assert counted(database, "kto")["quarantined_by_reason"] == {"reported_personal_data": 1}


@sqlite
def test_rows_that_fail_a_check_are_held_back_with_their_reason(database, tmp_path):
    told(database, ("thumb", 1), prompt="雪", output="白")
    told(database, ("thumb", 1), prompt="雪", output=" \n")
    told(database, ("thumb", 1), prompt=" ", output="白")
    told(database, ("thumb", 1), messages=CHAT, output="白")
    told(database, ("thumb", 1), status="failed")
    told(database, ("thumb", 1), ("stars", 1))

    manifest = export_bare(database, tmp_path / "out", "sft")

    assert sorted(held(tmp_path / "out")) == [
        "empty_prompt",
        "empty_text",
        "failed_generation",
        "needs_conversational",
        "thumb_and_stars_disagree",
    ]
    assert (manifest["selected"], manifest["rows"], manifest["quarantined"]) == (6, 1, 5)
    assert sum(manifest["quarantined_by_reason"].values()) == 5


@sqlite
@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "user", "content": "雪"}, {"role": "assistant", "content": "白"}],
        [{"role": "user", "content": [{"type": "text", "text": "雪"}]}],
        [{"role": "nobody", "content": "雪"}],
        ["雪"],
    ],
)
def test_messages_that_are_no_conversation_are_held_back(database, turns):
    told(database, ("thumb", 1), messages=turns)

    summary = counted(database, Recipe("sft", "conversational"))
    assert summary["quarantined_by_reason"] == {"malformed_messages": 1}


@sqlite
@pytest.mark.parametrize("edit", ["白 雪", " 白\u3000雪\n", "白\u00a0\t雪"])
def test_an_edit_that_changes_nothing_is_no_pair(database, edit):
    told(database, ("edit", edit), output="白 雪")

    assert counted(database, "dpo")["quarantined_by_reason"] == {"trivial_edit": 1}


@sqlite
def test_the_same_pair_is_written_once(database, tmp_path):
    for name in ("ann", "bob"):
        told(database, ("edit", "ABC"), prompt="雪", output="白", name=name)
    told(database, ("edit", "ＡＢＣ"), prompt="雪", output=" 白", name="cyd")

    export_bare(database, tmp_path / "out", "dpo")

    assert len(rows_of(tmp_path / "out")) == 1
    assert held(tmp_path / "out") == ["duplicate", "duplicate"]


@sqlite
def test_pairs_that_contradict_each_other_are_both_held_back(database):
    told(database, ("edit", "银"), prompt="雪", output="白")
    told(database, ("edit", "白"), prompt="雪", output="银", name="bob")

    summary = counted(database, "dpo")
    assert (summary["rows"], summary["quarantined_by_reason"]) == (0, {"contradictory": 2})


@sqlite
def test_what_the_owner_rejected_is_held_back_until_they_approve_it(database):
    told(database, ("thumb", 1))

    def judge(verdict):
        event = select(func.max(FeedbackEvent.id)).scalar_subquery()
        database.write(
            lambda session: session.add(
                Review(event_id=session.scalar(select(event)), verdict=verdict)
            )
        )
        return counted(database, "sft")["quarantined_by_reason"]

    assert judge("rejected") == {"rejected_in_review": 1}
    assert judge("approved") == {}


@sqlite
def test_half_of_a_surrogate_pair_is_held_back(database):
    told(database, ("thumb", 1), prompt="\ud800")

    assert counted(database, "sft")["quarantined_by_reason"] == {"not_unicode": 1}


@sqlite
def test_only_text_is_exported(database):
    """Outputs of other tasks have no text to train on."""

    def work(session):
        ann = make_visitor(session)
        picture = session.get_one(Generation, make_generation(session, ann))
        picture.task = "image"
        rate(session, ann, picture.id, "thumb", 1)

    database.write(work)

    assert nothing(database, "sft")
