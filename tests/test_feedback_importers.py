"""What each tool's file says, as requests, drafts and opinions; and what is refused, by row."""

import ast
import json
import string
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import gradio as gr
import pytest
from gradio.flagging import ChatCSVLogger, ClassicCSVLogger, CSVLogger, SimpleCSVLogger
from hypothesis import given, settings
from hypothesis import strategies as st

from config import ROOT
from feedback.identity import Signer
from feedback.import_feedback import FORMATS
from feedback.importers.check import checked
from feedback.importers.shape import REFUSALS, BadFile, BadRow, Reading, RefusedRow, Request
from feedback.importers.sort import Origin, made
from tests.importer_files import (
    argilla_record,
    cleaned_battle,
    fastchat_battle,
    fastchat_chat,
    fastchat_state,
    fastchat_vote,
    feel_line,
    feel_message,
    json_lines,
    label_studio_result,
    label_studio_task,
    webui_chat,
    webui_feedback,
)


def found(format, path, content=None, **reading):
    """The requests in a file, and the refusals as {row: sentence}."""
    if content is not None:
        path = path / f"file.{'csv' if 'csv' in format else 'json'}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    both = list(FORMATS[format](path, Reading(**reading)))
    refused = {one.row: one.sentence for one in both if isinstance(one, RefusedRow)}
    return [one for one in both if isinstance(one, Request)], refused


def opinions(requests):
    """[(prompt or messages, output, kind, value)] in the order of the file."""
    return [
        (request.inputs.get("prompt") or request.inputs["messages"], draft.output, s.kind, s.value)
        for request in requests
        for draft in request.drafts
        for s in draft.said
    ]


# Gradio's flags: its own loggers write the files


def logged(logger, folder, *rows, components=None):
    """What a logger of Gradio writes of rows of values, each with its flag and user name."""
    with gr.Blocks():
        shown = components or [gr.Textbox(label="Question"), gr.Textbox(label="Answer")]
    logger.setup(shown, str(folder))
    for values, flag, user in rows:
        logger.flag(list(values), flag_option=flag, username=user)
    [path] = folder.glob("*.csv")
    return path


def test_flags_of_csv_logger_are_thumbs_and_the_rest_are_reports(tmp_path):
    path = logged(
        CSVLogger(verbose=False),
        tmp_path,
        (("snow?", "Frozen water."), "Like", "ann"),
        (("rain?", "- wet\n- cold"), "dislike", "bob"),
        (("hail?", "=1+1, -2 ,-3"), "Offensive", "bob"),
    )
    requests, refused = found("gradio", path)

    assert opinions(requests) == [
        ("snow?", "Frozen water.", "thumb", 1),
        ("rain?", "- wet\n- cold", "thumb", -1),
        ("hail?", "=1+1, -2 ,-3", "report", "Offensive"),
    ]
    assert refused == {}
    assert [one.drafts[0].said[0].rater for one in requests] == ["ann", "bob", "bob"]
    assert abs(requests[0].seen_at - datetime.now(UTC)).days < 2


def test_the_apostrophe_that_gradio_adds_is_taken_away_and_only_that(tmp_path):
    texts = ["-5", "'quoted'", "=SUM(A1)", "+49 30", "@home", "a,-b", "'-already", "plain", "\tx"]
    rows = [((text, text), "Like", "ann") for text in texts]
    requests, _ = found("gradio", logged(CSVLogger(verbose=False), tmp_path, *rows))

    read = [one.drafts[0].output for one in requests]
    # "'-already" was typed so: Gradio does not guard it, and nobody can tell it from a guard.
    assert read == [
        "-5",
        "'quoted'",
        "=SUM(A1)",
        "+49 30",
        "@home",
        "a,-b",
        "-already",
        "plain",
    ] + ["\tx"]


def test_the_classic_logger_is_read_alike_and_a_bare_flag_is_a_report(tmp_path):
    path = logged(ClassicCSVLogger(), tmp_path, (("snow?", "Frozen water."), "", None))
    [request], _ = found("gradio", path)

    assert opinions([request]) == [("snow?", "Frozen water.", "report", "")]
    assert request.drafts[0].said[0].rater is None


def test_further_columns_must_be_told_apart(tmp_path):
    components = [gr.Textbox(label="System"), gr.Textbox(label="Ask"), gr.Textbox(label="Out")]
    row = (("be kind", "snow?", "Frozen water."), "Like", None)
    path = logged(CSVLogger(verbose=False), tmp_path, row, components=components)

    with pytest.raises(BadFile, match="columns System, Ask, Out: say which is the prompt"):
        found("gradio", path)
    requests, _ = found("gradio", path, columns={"prompt": ("Ask",), "output": ("Out",)})
    assert opinions(requests) == [("snow?", "Frozen water.", "thumb", 1)]


def test_the_simple_logger_has_no_header_and_no_flags(tmp_path):
    path = logged(
        SimpleCSVLogger(), tmp_path, (("snow?", "Frozen water."), "", None), (("a", "b"), "", None)
    )
    assert opinions(found("gradio-simple", path)[0]) == [
        ("snow?", "Frozen water.", "report", ""),
        ("a", "b", "report", ""),
    ]
    turned = found("gradio-simple", path, columns={"prompt": ("2",), "output": ("1",)})[0]
    assert opinions(turned)[1] == ("b", "a", "report", "")


def test_the_owner_says_which_words_praise(tmp_path):
    path = logged(CSVLogger(verbose=False), tmp_path, (("a", "b"), "Wunderbar", "ann"))

    assert opinions(found("gradio", path, up=frozenset(["wunderbar"]))[0])[0][3] == 1


# Gradio's chat log: five names, four cells


def chat_log(folder, *clicks):
    """What gr.ChatInterface logs when these messages are liked: (messages, index, what)."""
    logger = ChatCSVLogger()
    logger.setup(str(folder))
    for messages, index, liked in clicks:
        data = {"index": index, "value": "", "liked": liked}
        logger.flag(gr.LikeData(None, data), messages)
    return folder / "log.csv"


def bubble(role, content, title=None):
    return {"role": role, "metadata": {"title": title} if title else None, "content": content}


CHAT = [
    bubble("user", "snow?"),
    bubble("assistant", "Frozen water."),
    bubble("user", [{"type": "text", "text": "and rain?"}]),
    bubble("assistant", "-- wet, -- cold"),
]


def test_the_misaligned_chat_log_is_read_by_its_cells(tmp_path):
    path = chat_log(tmp_path, (CHAT[:2], 1, True), (CHAT, 3, False), (CHAT, 3, ""), (CHAT, 3, "X"))
    assert path.read_text().splitlines()[0] == "conversation,index,value,flag,timestamp"
    requests, refused = found("gradio-chat", path)

    earlier = [
        {"role": "user", "content": "snow?"},
        {"role": "assistant", "content": "Frozen water."},
        {"role": "user", "content": "and rain?"},
    ]
    assert opinions(requests) == [
        ("snow?", "Frozen water.", "thumb", 1),
        (earlier, "-- wet, -- cold", "thumb", -1),
        (earlier, "-- wet, -- cold", "thumb", None),  # clicked again: taken back
        (earlier, "-- wet, -- cold", "report", "X"),
    ]
    assert refused == {}
    assert len({request.conversation for request in requests}) == 1
    assert requests[0].seen_at is not None


def test_a_group_of_answers_is_one_and_thoughts_are_left_out(tmp_path):
    chat = [
        bubble("user", "snow?"),
        bubble("assistant", "let me think", title="Thinking"),
        bubble("assistant", "Frozen water."),
        bubble("assistant", "It is white."),
    ]
    requests, _ = found("gradio-chat", chat_log(tmp_path, (chat, 1, True)))

    assert opinions(requests) == [("snow?", "Frozen water.\n\nIt is white.", "thumb", 1)]


def test_clicks_on_no_answer_are_refused_by_their_row(tmp_path):
    picture = [bubble("user", {"path": "/tmp/a.png"}), bubble("assistant", "A cat.")]
    path = chat_log(tmp_path, (CHAT, 0, True), (CHAT, 9, True), (picture, 1, True))
    requests, refused = found("gradio-chat", path)

    assert requests == []
    assert refused == {
        1: "it is about message 0 of 4, which is not the assistant's",
        2: "it is about message 9 of 4, which is not the assistant's",
        3: "it is about a picture or a file, which is not in this file",
    }


# FEEL


def test_feel_gives_each_change_of_a_rating_once(tmp_path):
    user, answer = feel_message("user", "snow?"), feel_message("assistant", "Frozen water.")
    liked = feel_message("assistant", "Frozen water.", 1)
    disliked = feel_message("assistant", "Frozen water.", -1)
    more = [feel_message("user", "rain?"), feel_message("assistant", "Wet.")]
    lines = json_lines(
        feel_line(0, user, answer),
        feel_line(1, user, liked),
        feel_line(2, user, liked, *more),  # the same like, told again
        feel_line(3, user, disliked, *more),  # another mind
        feel_line(3, user, liked, session="s-2"),  # somebody else's chat of the same id
    )
    requests, refused = found("feel", tmp_path, lines)
    said = [(s.kind, s.value, s.rater) for r in requests for d in r.drafts for s in d.said]

    assert said == [("thumb", 1, "s-1"), ("thumb", -1, "s-1"), ("thumb", 1, "s-2")]
    assert requests[0].inputs["messages"][0]["role"] == "system"
    assert requests[0].drafts[0].identity == requests[1].drafts[0].identity
    assert refused == {}


def test_feel_edits_are_edits_and_not_a_like_and_a_dislike(tmp_path):
    user, answer = feel_message("user", "snow?"), feel_message("assistant", "White.")
    lines = json_lines(
        feel_line(0, user, answer),
        feel_line(1, user, feel_message("assistant", "Frozen water.", 1)),
        feel_line(1, user, feel_message("assistant", "White.", -1)),
        feel_line(  # the chat goes on, and tells the edit again
            2,
            user,
            feel_message("assistant", "Frozen water.", chosen="Frozen water.", rejected="White."),
            feel_message("user", "rain?"),
            feel_message("assistant", "Wet."),
        ),
    )
    requests, refused = found("feel", tmp_path, lines)

    assert [one[1:] for one in opinions(requests)] == [("White.", "edit", "Frozen water.")] * 2
    assert len({s.identity for r in requests for d in r.drafts for s in d.said}) == 1
    assert refused == {}


def test_feel_edits_of_a_prompt_are_no_feedback(tmp_path):
    lines = json_lines(
        feel_line(0, feel_message("user", "snow?"), feel_message("assistant", "White.")),
        feel_line(1, feel_message("user", "rain?"), feel_message("assistant", "White.", 1)),
        feel_line(1, feel_message("user", "rain?"), feel_message("assistant", "snow?", -1)),
    )
    requests, refused = found("feel", tmp_path, lines)

    assert requests == []
    assert refused == {2: REFUSALS["edited_prompt"]}


# FastChat


def test_fastchat_votes_on_one_model_are_thumbs_with_their_options(tmp_path):
    state = fastchat_state("snow?", "Frozen water.")
    lines = json_lines(
        fastchat_chat(state), fastchat_vote("upvote", state), fastchat_vote("flag", state, 1.7e9)
    )
    requests, refused = found("fastchat", tmp_path, lines)

    assert [one[1:] for one in opinions(requests)] == [
        ("Frozen water.", "thumb", 1),
        ("Frozen water.", "report", ""),
    ]
    draft = requests[0].drafts[0]
    assert (draft.model, draft.options["temperature"]) == ("vicuna-13b", 0.7)
    assert draft.said[0].at == datetime.fromtimestamp(1712000010.5, UTC)
    assert refused == {1: REFUSALS["no_feedback"]}


def test_fastchat_battles_are_choices_places_or_two_thumbs_down(tmp_path):
    left = fastchat_state("snow?", "Frozen water.", model="vicuna-13b", conv_id="l")
    right = fastchat_state("snow?", "White.", model="koala-13b", conv_id="r")
    kinds = ("leftvote", "rightvote", "tievote", "bothbad_vote")
    lines = json_lines(*(fastchat_battle(k, left, right, 1.7e9 + i) for i, k in enumerate(kinds)))
    requests, _ = found("fastchat", tmp_path, lines)

    assert [
        [(d.model, [(s.kind, s.value) for s in d.said]) for d in r.drafts] for r in requests
    ] == [
        [("vicuna-13b", [("choice", True)]), ("koala-13b", [])],
        [("vicuna-13b", []), ("koala-13b", [("choice", True)])],
        [("vicuna-13b", [("rank", 1)]), ("koala-13b", [("rank", 1)])],
        [("vicuna-13b", [("thumb", -1)]), ("koala-13b", [("thumb", -1)])],
    ]
    chosen = requests[0].drafts[0].said[0]
    assert chosen.over == (requests[0].drafts[1].identity,)


def test_a_battle_whose_contexts_differ_judges_no_single_answer(tmp_path):
    left = fastchat_state("snow?", "Frozen water.", "rain?", "Wet.")
    right = fastchat_state("snow?", "White.", "rain?", "Cold.")
    unanswered = fastchat_state("snow?", None)
    lines = json_lines(
        fastchat_battle("leftvote", left, right), fastchat_vote("upvote", unanswered)
    )
    _, refused = found("fastchat", tmp_path, lines)

    assert refused == {1: REFUSALS["different_contexts"], 2: REFUSALS["no_output"]}


def test_published_battles_are_read_too(tmp_path):
    rows = [cleaned_battle("model_b"), cleaned_battle("tie (bothbad)"), cleaned_battle("nobody")]
    without = cleaned_battle("model_a")
    del without["conversation_a"]
    requests, refused = found("fastchat", tmp_path, json.dumps([*rows, without], indent=2))

    assert [one[1:] for one in opinions(requests)] == [
        ("White.", "choice", True),
        ("Frozen water.", "thumb", -1),
        ("White.", "thumb", -1),
    ]
    assert requests[0].drafts[1].said[0].rater == "arena_user_973"
    assert refused == {3: "winner cannot be nobody", 4: REFUSALS["no_conversation"]}


# Open WebUI


def test_open_webui_ratings_follow_the_branch_of_their_message(tmp_path):
    chat = webui_chat(a2="Cold.", a3="Frozen water.")
    rating = {"rating": 1, "details": {"rating": 9}, "reason": "thorough_explanation"}
    rows = [webui_feedback("a3", chat, comment="nice", **rating)]
    [request], refused = found("open-webui", tmp_path, json.dumps(rows))

    assert [message["content"] for message in request.inputs["messages"]] == [
        "Hello",
        "Hi!",
        "What is snow?",
    ]
    assert [one[1:] for one in opinions([request])] == [
        ("Frozen water.", "thumb", 1),
        ("Frozen water.", "stars", 5),
        ("Frozen water.", "comment", "thorough_explanation: nice"),
    ]
    assert request.made_at == datetime.fromtimestamp(1740000012, UTC)
    assert request.follows == ("chat-1:a1", datetime.fromtimestamp(1740000001, UTC))
    assert refused == {}


def test_open_webui_ratings_that_changed_are_further_events_in_their_order(tmp_path):
    chat = webui_chat(a2="Cold.")
    rows = [
        webui_feedback("a2", chat, rating=-1, updated=1740000900),
        webui_feedback("a2", chat, rating=1, updated=1740000100),
    ]
    requests, _ = found("open-webui", tmp_path, json.dumps(rows))

    assert [one[3] for one in opinions(requests)] == [1, -1]
    assert len({s.identity for r in requests for d in r.drafts for s in d.said}) == 2


def test_open_webui_rows_without_words_or_ratings_are_refused(tmp_path):
    chat = webui_chat(a2="Cold.")
    bare = webui_feedback("a2", chat, rating=1)
    bare["snapshot"] = None
    picture = webui_chat(a2="A cat.")
    picture["history"]["messages"]["q2"]["files"] = [{"type": "image", "url": "data:…"}]
    circle = webui_chat(a2="Cold.")
    circle["history"]["messages"]["q1"]["parentId"] = "a2"
    rows = [
        bare,
        webui_feedback("a2", chat, rating=0),
        webui_feedback("a2", picture, rating=1),
        webui_feedback("a2", circle, rating=1),
        webui_feedback("nowhere", chat, rating=1),
    ]
    _, refused = found("open-webui", tmp_path, json.dumps(rows))

    assert refused == {
        1: REFUSALS["no_conversation"],
        2: REFUSALS["no_feedback"],
        3: REFUSALS["needs_picture"],
        4: REFUSALS["no_conversation"],
        5: REFUSALS["no_conversation"],
    }


# Argilla


def test_argilla_questions_are_kinds_by_their_names_or_by_the_owners_word(tmp_path):
    answers = {
        "rating": [{"value": 4, "user_id": "u-1"}, {"value": 2, "user_id": "u-2"}],
        "correction": [{"value": "Frozen water.", "user_id": "u-1"}],
        "is_it_good": [{"value": "yes", "user_id": "u-1"}],
        "tone": [{"value": "warm", "user_id": "u-1"}],
    }
    record = argilla_record({"instruction": "snow?", "response": "White."}, answers)
    requests, refused = found(
        "argilla", tmp_path, json.dumps([record]), columns={"thumb": ("is_it_good",)}
    )

    said = [(s.rater, s.kind, s.value) for s in requests[0].drafts[0].said]
    assert said == [
        ("u-1", "stars", 4),
        ("u-2", "stars", 2),
        ("u-1", "edit", "Frozen water."),
        ("u-1", "thumb", 1),
    ]
    assert requests[0].drafts[0].model == "mistral-7b"
    assert refused == {1: "tone has no meaning here: --map KIND=tone gives it one"}


def test_argilla_rankings_are_places_of_drafts(tmp_path):
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "snow?"}]
    ranking = [{"value": "response2", "rank": 1}, {"value": "response1", "rank": 2}]
    record = argilla_record(
        {"chat": chat, "response1": "White.", "response2": "Frozen water."},
        {"ranking": [{"value": ranking, "user_id": "u-1"}]},
    )
    requests, _ = found("argilla", tmp_path, json.dumps([record]))

    assert opinions(requests) == [(chat, "White.", "rank", 2), (chat, "Frozen water.", "rank", 1)]


def test_argillas_other_shapes_are_read_and_drafts_of_answers_left_out(tmp_path):
    first = {
        "fields": {"prompt": "snow?", "output": "White."},
        "responses": [
            {"user_id": "u-1", "status": "submitted", "values": {"rating": {"value": 5}}},
            {"user_id": "u-2", "status": "discarded", "values": {"rating": {"value": 1}}},
        ],
        "external_id": "e-1",
    }
    flat = {
        "id": "r-2",
        "prompt": "rain?",
        "output": "Wet.",
        "rating.responses": [3, 1],
        "rating.responses.users": ["u-1", "u-2"],
        "rating.responses.status": ["submitted", "draft"],
    }
    nothing = argilla_record({"prompt": "a", "output": "b"}, {})
    requests, refused = found("argilla", tmp_path, json_lines(first, flat, nothing))

    assert opinions(requests) == [("snow?", "White.", "stars", 5), ("rain?", "Wet.", "stars", 3)]
    assert refused == {1: REFUSALS["skipped"], 2: REFUSALS["skipped"], 3: REFUSALS["no_feedback"]}


# Label Studio


def test_label_studio_controls_are_kinds(tmp_path):
    task = label_studio_task(
        {"prompt": "snow?", "answer": "White."},
        label_studio_result("rating", "quality", {"rating": 4}),
        label_studio_result("choices", "label", {"choices": ["Good"]}),
        label_studio_result("textarea", "correction", {"text": ["Frozen water."]}),
        label_studio_result("rectanglelabels", "box", {"x": 1}),
    )
    requests, refused = found("label-studio", tmp_path, json.dumps([task]))

    assert [one[1:] for one in opinions(requests)] == [
        ("White.", "stars", 4),
        ("White.", "thumb", 1),
        ("White.", "edit", "Frozen water."),
    ]
    said = requests[0].drafts[0].said[0]
    assert (said.rater, said.at.isoformat()) == ("10", "2025-03-09T22:17:08.728378+00:00")
    assert list(refused.values()) == [
        "box (rectanglelabels) has no meaning here: --map KIND=box (rectanglelabels) gives it one"
    ]


def test_label_studio_pairs_and_rankings_compare_drafts(tmp_path):
    data = {"prompt": "snow?", "answer1": "White.", "answer2": "Frozen water."}
    pair = label_studio_task(
        data, label_studio_result("pairwise", "comparison", {"selected": "right"})
    )
    ranked = label_studio_task(
        data, label_studio_result("ranker", "rank", {"ranker": {"_": ["answer2", "answer1"]}})
    )
    skipped = label_studio_task(data, cancelled=True)
    requests, refused = found("label-studio", tmp_path, json.dumps([pair, ranked, skipped]))

    assert opinions(requests) == [
        ("snow?", "Frozen water.", "choice", True),
        ("snow?", "White.", "rank", 2),
        ("snow?", "Frozen water.", "rank", 1),
    ]
    assert refused == {3: REFUSALS["skipped"]}


def test_label_studios_flat_json_is_read_too(tmp_path):
    row = {
        "prompt": "snow?",
        "response": "White.",
        "id": 17,
        "rating": 3,
        "annotator": 10,
        "annotation_id": 1001,
        "created_at": "2025-03-09T22:16:08Z",
        "updated_at": "2025-03-09T22:16:08Z",
        "lead_time": 4.2,
    }
    assert opinions(found("label-studio", tmp_path, json.dumps([row]))[0]) == [
        ("snow?", "White.", "stars", 3)
    ]


# Plain CSV


def test_a_plain_csv_is_read_by_the_owners_mapping(tmp_path):
    content = (
        "Frage;Antwort;Note;Wer;Wann\nSchnee?;Weiß.;4.0;ann;2025-03-01 12:00\nRegen?;Nass.;;;\n"
    )
    columns = {"prompt": ("Frage",), "output": ("Antwort",), "stars": ("Note",)}
    columns |= {"rater": ("Wer",), "time": ("Wann",)}
    requests, refused = found(
        "csv", tmp_path, content, columns=columns, delimiter=";", zone=ZoneInfo("Asia/Shanghai")
    )

    assert opinions(requests) == [("Schnee?", "Weiß.", "stars", 4)]
    assert requests[0].drafts[0].said[0].at == datetime(2025, 3, 1, 4, tzinfo=UTC)
    assert refused == {2: REFUSALS["no_feedback"]}


def test_pairs_in_a_csv_are_choices(tmp_path):
    messages = json.dumps([{"role": "user", "content": "a"}]).replace('"', '""')
    content = f'messages,chosen,rejected\n"{messages}",good,bad\n'
    requests, _ = found("csv", tmp_path, content)

    assert opinions(requests) == [("a", "good", "choice", True)]
    assert [draft.output for draft in requests[0].drafts] == ["good", "bad"]


def test_a_csv_without_the_columns_is_told_which(tmp_path):
    with pytest.raises(BadFile, match="no column prompt: say which it is"):
        found("csv", tmp_path, "a,b\n1,2\n")
    with pytest.raises(BadFile, match="no column Antwort; it has prompt, output"):
        found("csv", tmp_path, "prompt,output\n", columns={"output": ("Antwort",)})


# Files that are broken


def test_rows_that_cannot_be_read_are_refused_by_their_number(tmp_path):
    content = (
        "prompt,output,thumb,time\n"
        "a,b,up,\n"
        "a,b\n"
        "a,b,maybe,\n"
        "a,b,up,yesterday\n"
        "a,b,up,99999999999999999\n"
        f"a,{'x' * 2_000_001},up,\n"
        '"multi\nline",b,down,2025-03-01T00:00:00+08:00\n'
    )
    requests, refused = found("csv", tmp_path, content)

    assert [request.row for request in requests if request.drafts[0].said] == [1, 7]
    assert refused == {
        2: "it has 2 cells, not 4",
        3: "thumb cannot be maybe",
        4: "the time yesterday cannot be read",
        5: "the time 99999999999999999 cannot be read",
        6: "a cell has 2000001 characters",
    }


def test_lines_that_are_not_json_are_refused_by_their_number(tmp_path):
    lines = json_lines(fastchat_vote("upvote", fastchat_state("a", "b")))
    deep = "[" * 100_000
    content = f"{{broken\n{lines}\n[1, 2]\n{deep}\n" + '{"type": 5}\n{"type": "upvote"}\n'
    requests, refused = found("fastchat", tmp_path, content)

    assert [request.row for request in requests] == [2]
    assert refused[1].startswith("it is not JSON: Expecting property name")
    assert refused[4] == "it is not an object"
    assert refused[5] == "it is not JSON: it is nested too deeply"
    assert refused[6] == "type is not a text"
    assert refused[7] == "state is not an object"


LEFT = fastchat_state("snow?", "Frozen water.", conv_id="l")
SOUND = {
    "feel": [feel_line(0, feel_message("user", "a"), feel_message("assistant", "b", 1))],
    "fastchat": [
        fastchat_chat(LEFT),
        fastchat_vote("upvote", LEFT),
        fastchat_battle("leftvote", LEFT, fastchat_state("snow?", "White.")),
        cleaned_battle("model_a"),
    ],
    "open-webui": [webui_feedback("a2", webui_chat(a2="Cold."), rating=1, details={"rating": 7})],
    "argilla": [
        argilla_record(
            {"prompt": "a", "response1": "b", "response2": "c"},
            {"ranking": [{"value": [{"value": "response1", "rank": 1}], "user_id": "u"}]},
        )
    ],
    "label-studio": [
        label_studio_task(
            {"prompt": "a", "answer": "b"},
            label_studio_result("rating", "quality", {"rating": 4}),
            label_studio_result("ranker", "rank", {"ranker": {"_": ["answer"]}}),
        )
    ],
    "genloop": [
        {
            "event_key": "7c1d4e02-93a5-4a41-a47d-5d9f0c2f2b6e",
            "created_at": "2026-03-01T10:00:00.000000+00:00",
            "kind": "choice",
            "score": None,
            "text": None,
            "items": ["019a0000-0000-7000-8000-000000000001"],
            "retracted": False,
            "visitor": 7,
            "consent_train": True,
            "generation_id": "019a0000-0000-7000-8000-000000000002",
            "request_id": "019a0000-0000-7000-8000-000000000003",
            "draft": 1,
            "task": "text",
            "model": "poet",
            "prompt": "snow",
            "messages": None,
            "output": "white",
            "options": {"seed": 1},
            "queued_at": "2026-03-01T09:59:00.000000+00:00",
        }
    ],
}


def places(value, way=()):
    """The ways to all parts of a JSON value."""
    yield way
    if isinstance(value, (dict, list)):
        for step, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*way, step))


def changed(value, way, new):
    if not way:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = changed(copy[way[0]], way[1:], new)
    return copy


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@pytest.mark.parametrize("format", SOUND)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_stands_in_a_place_the_row_is_read_or_refused(tmp_path_factory, format, data):
    rows = SOUND[format]
    way = data.draw(st.sampled_from([way for way in places(rows) if way]))
    broken = changed(rows, way, data.draw(ANY_JSON))
    path = tmp_path_factory.getbasetemp() / f"{format}.json"
    path.write_text(json.dumps(broken))

    for one in FORMATS[format](path, Reading()):
        if isinstance(one, RefusedRow):
            assert one.sentence
            continue
        try:
            list(made(Origin("tests", format, None, Signer("a secret")), checked(one)[0]))
        except BadRow as problem:
            assert RefusedRow(1, problem.code, problem.details).sentence


@pytest.mark.parametrize(
    ("format", "content", "sentence"),
    [
        ("csv", "prompt,output,thumb\n好,坏,up\n".encode("gb18030"), "row 1 of .* is not utf-8"),
        ("csv", "prompt,output\na,b\n".encode("utf-16"), "is UTF-16: save it"),
        ("csv", b"", "is empty"),
        ("csv", b'prompt,output\n"never closed,b\n', "row 1 of .* cannot be read"),
        ("fastchat", b"", "is empty"),
        ("fastchat", b'{"a": "\xff"}\n', "row 1 of .* is not utf-8"),
        ("open-webui", b"[{]", "is not JSON: Expecting"),
        ("gradio-chat", b"a,b\n1,2\n", "no log of gr.ChatInterface"),
    ],
)
def test_a_file_that_is_broken_as_a_whole_is_told(tmp_path, format, content, sentence):
    with pytest.raises(BadFile, match=sentence):
        found(format, tmp_path, content)


def test_another_encoding_can_be_named(tmp_path):
    content = "prompt,output,thumb\n好,坏,up\n".encode("gb18030")

    assert opinions(found("csv", tmp_path, content, encoding="gb18030")[0])[0][:2] == ("好", "坏")
    with pytest.raises(BadFile, match="no encoding latin-77"):
        found("csv", tmp_path, content, encoding="latin-77")
    with pytest.raises(BadFile, match="cannot be read: No such file"):
        found("csv", tmp_path / "missing.csv")


# Sentences


def codes_in(path):
    """(code, names of details) of every refusal that a module makes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id == "BadRow" and isinstance(node.args[0], ast.Constant):
            yield node.args[0].value, {word.arg for word in node.keywords}
        if node.func.id == "RefusedRow" and isinstance(node.args[1], ast.Constant):
            details = node.args[2].keys if len(node.args) > 2 else []
            yield node.args[1].value, {key.value for key in details}


def test_every_refusal_has_a_sentence_that_fits_and_every_sentence_is_used():
    found = [one for path in (ROOT / "feedback/importers").glob("*.py") for one in codes_in(path)]

    for code, details in found:
        places = {name for _, name, _, _ in string.Formatter().parse(REFUSALS[code]) if name}
        assert places <= details, code
    of_texts = {"too_long", "not_text", "empty"}  # as db/text.py names them
    assert {code for code, _ in found} | of_texts == set(REFUSALS)
