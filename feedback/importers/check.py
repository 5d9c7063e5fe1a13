"""What may come in: the same bounds that visitors' own words have."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from db.tables import COMMENT_LIMIT, MOST_DRAFTS, PROMPT_LIMIT, TEXT_LIMIT
from db.text import TextProblem, check_text
from feedback.importers.shape import BadRow, RefusedRow, Request, Row, Said
from feedback.rate import InvalidFeedback, check_reasons, check_region
from feedback.rate import Said as Columns

MODEL_LIMIT = 200  # characters of a model's name
OPTIONS_LIMIT = 4_000  # characters of all options together


def checked(request: Request) -> tuple[Request, list[RefusedRow]]:
    """The request with what can be kept of it, and the refusals of the rest.

    Raises BadRow where nothing of it can be kept.
    """
    check_inputs(request.inputs)
    if len(request.drafts) > MOST_DRAFTS:
        raise BadRow("too_many_drafts", drafts=len(request.drafts), limit=MOST_DRAFTS)
    refused: list[RefusedRow] = []
    drafts = []
    for draft in request.drafts:
        text("the output", draft.output, TEXT_LIMIT)
        text("the name of the model", draft.model, MODEL_LIMIT, empty=True)
        check_options(draft.options)
        if draft.number is not None and not 0 <= draft.number < MOST_DRAFTS:
            raise BadRow("too_many_drafts", drafts=draft.number + 1, limit=MOST_DRAFTS)
        said = []
        for one in draft.said:
            try:
                columns(one)
                said.append(one)
            except BadRow as problem:
                refused.append(RefusedRow(request.row, problem.code, problem.details))
        drafts.append(replace(draft, said=tuple(said)))
    return replace(request, drafts=tuple(drafts)), refused


def check_inputs(inputs: Row) -> None:
    if "prompt" in inputs:
        prompt = inputs["prompt"]
        if not isinstance(prompt, str) or not prompt.strip():
            raise BadRow("no_prompt")
        text("the prompt", prompt, PROMPT_LIMIT)
        return
    messages = inputs["messages"]
    if not isinstance(messages, list) or not messages:
        raise BadRow("bad_messages")
    for message in messages:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise BadRow("bad_messages")
        if message["role"] not in ("system", "user", "assistant"):
            raise BadRow("bad_messages")
        if not isinstance(message["content"], str):
            raise BadRow("bad_messages")
    if messages[-1]["role"] != "user":
        raise BadRow("bad_messages")
    text("the conversation", "".join(one["content"] for one in messages), PROMPT_LIMIT)


def check_options(options: Mapping[str, Any]) -> None:
    try:
        written = json.dumps(dict(options), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise BadRow("bad_field", field="options", expected="JSON") from problem
    if "\\u0000" in written:
        raise BadRow("not_text", what="the options")
    text("the options", written, OPTIONS_LIMIT)


def columns(said: Said) -> Columns:
    """What it fills of an event; raises BadRow."""
    kind, value = said.kind, said.value
    if value is None:
        return Columns(retracted=True)
    if kind in ("thumb", "stars", "rank"):
        allowed = {"thumb": (-1, 1), "stars": range(1, 6), "rank": range(1, MOST_DRAFTS + 1)}
        if type(value) is not int or value not in allowed[kind]:
            raise BadRow("bad_value", kind=kind, value=str(value)[:40])
        return Columns(score=value)
    if kind in ("edit", "comment", "report"):
        if not isinstance(value, str):
            raise BadRow("bad_value", kind=kind, value=str(value)[:40])
        limit = TEXT_LIMIT if kind == "edit" else COMMENT_LIMIT
        return Columns(text=text(f"the {kind}", value, limit, empty=kind == "report"))
    if kind == "choice":
        if value is not True or not said.over:
            raise BadRow("bad_value", kind=kind, value="without others to choose from")
        return Columns(items=[])  # filled with ids when these are known
    try:
        if kind == "reasons":
            return Columns(items=check_reasons("text", value))
        if kind == "region":
            return check_region(value)
    except InvalidFeedback as problem:
        raise BadRow("bad_value", kind=kind, value=str(value)[:40]) from problem
    raise BadRow("unknown_kind", kind=kind[:40])


def text(what: str, words: str, limit: int, *, empty: bool = False) -> str:
    try:
        return check_text(words, limit, empty=empty)
    except TextProblem as problem:
        raise BadRow(problem.code, what=what, **problem.details) from problem
