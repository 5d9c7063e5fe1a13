"""The spellings in which trainers take a prompt and its answers.

`standard` and `conversational` are those of TRL, `alpaca` and `sharegpt` those of LLaMA-Factory,
`openai` that of OpenAI's fine-tuning. An answer is what the assistant says last: a `completion`, or
a `chosen` and a `rejected` one, or a `completion` with a `label`.
"""

from collections.abc import Callable
from typing import Any, Literal

from feedback.formats.candidate import Candidate, HeldBack, Row
from feedback.spec import InvalidSpec, Shape

Kind = Literal["completion", "pair", "labelled"]
Turn = dict[str, str]  # exactly role and content: Arrow fills ragged turns with nulls
Columns = dict[str, Any]

TURNS = "list<struct<role: string, content: string>>"
SHAREGPT_TURN = "struct<from: string, value: string>"
SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}  # whose names for the roles

ANSWERS: dict[Kind, tuple[str, ...]] = {
    "completion": ("completion",),
    "pair": ("chosen", "rejected"),
    "labelled": ("completion",),
}


def text_row(candidate: Candidate, shape: Shape) -> Row:
    """The row in the spelling of the shape; raises HeldBack."""
    columns = SPELLED[shape](candidate.inputs, candidate.texts)
    if candidate.label is not None:
        columns[LABEL.get(shape, "label")] = candidate.label
    return Row(columns)


def schema(kind: Kind, shape: Shape) -> dict[str, str]:
    """The columns of a kind in a shape, with their types as Arrow spells them."""
    if shape == "openai" and kind == "labelled":
        raise InvalidSpec("the shape openai knows no single labels: use sft or dpo with it")
    label = {LABEL.get(shape, "label"): "bool"} if kind == "labelled" else {}
    if shape == "openai":
        if kind == "completion":
            return {"messages": TURNS}
        outputs = dict.fromkeys(("preferred_output", "non_preferred_output"), TURNS)
        return {"input": f"struct<messages: {TURNS}>", **outputs}
    if shape == "sharegpt":
        sides = dict.fromkeys(ANSWERS[kind], SHAREGPT_TURN) if kind == "pair" else {}
        return {"conversations": f"list<{SHAREGPT_TURN}>", "system": "string", **sides, **label}
    answer = TURNS if shape == "conversational" else "string"
    answers = dict.fromkeys(ANSWERS[kind], answer)
    if shape == "alpaca":
        outputs = {"output": "string"} if kind != "pair" else answers
        return {"instruction": "string", "input": "string", **outputs, "system": "string", **label}
    return {"prompt": answer, **answers, **label}


LABEL: dict[Shape, str] = {"alpaca": "kto_tag", "sharegpt": "kto_tag"}


def standard(inputs: dict[str, Any], texts: dict[str, str]) -> Columns:
    return {"prompt": plain_prompt(inputs), **texts}


def conversational(inputs: dict[str, Any], texts: dict[str, str]) -> Columns:
    answers = {name: [turn("assistant", text)] for name, text in texts.items()}
    return {"prompt": conversation(inputs), **answers}


def alpaca(inputs: dict[str, Any], texts: dict[str, str]) -> Columns:
    """One question and its answer; of a longer conversation LLaMA-Factory would learn all turns."""
    system, turns = by_turns(conversation(inputs))
    if len(turns) > 1:
        raise HeldBack("needs_conversational")
    answers = {"output": texts["completion"]} if "completion" in texts else texts
    return {"instruction": turns[0]["content"], "input": "", **answers, "system": system}


def sharegpt(inputs: dict[str, Any], texts: dict[str, str]) -> Columns:
    system, turns = by_turns(conversation(inputs))
    said = [said_by(one["role"], one["content"]) for one in turns]
    if "completion" in texts:
        said.append(said_by("assistant", texts["completion"]))
        return {"conversations": said, "system": system}
    answers = {name: said_by("assistant", text) for name, text in texts.items()}
    return {"conversations": said, "system": system, **answers}


def said_by(role: str, text: str) -> Turn:
    return {"from": SHAREGPT[role], "value": text}


def openai(inputs: dict[str, Any], texts: dict[str, str]) -> Columns:
    asked = conversation(inputs)
    if "completion" in texts:
        return {"messages": [*asked, turn("assistant", texts["completion"])]}
    return {
        "input": {"messages": asked},
        "preferred_output": [turn("assistant", texts["chosen"])],
        "non_preferred_output": [turn("assistant", texts["rejected"])],
    }


SPELLED: dict[Shape, Callable[[dict[str, Any], dict[str, str]], Columns]] = {
    "standard": standard,
    "conversational": conversational,
    "alpaca": alpaca,
    "sharegpt": sharegpt,
    "openai": openai,
}


def plain_prompt(inputs: dict[str, Any]) -> str:
    if "messages" in inputs:
        raise HeldBack("needs_conversational")
    prompt = inputs.get("prompt")
    if not isinstance(prompt, str) or not prompt or prompt.isspace():
        raise HeldBack("empty_prompt")
    return prompt


def conversation(inputs: dict[str, Any]) -> list[Turn]:
    """The turns up to the answer, of which the last is the user's."""
    if "messages" not in inputs:
        return [turn("user", plain_prompt(inputs))]
    messages = inputs["messages"]
    if not isinstance(messages, list) or not messages or not all(map(is_turn, messages)):
        raise HeldBack("malformed_messages")
    if messages[-1]["role"] != "user":
        raise HeldBack("malformed_messages")
    return [turn(message["role"], message["content"]) for message in messages]


def by_turns(turns: list[Turn]) -> tuple[str, list[Turn]]:
    """What the system says first, and then the user and the assistant by turns."""
    system = turns[0]["content"] if turns[0]["role"] == "system" else ""
    rest = turns[1:] if turns[0]["role"] == "system" else turns
    if any(one["role"] != ("user", "assistant")[place % 2] for place, one in enumerate(rest)):
        raise HeldBack("turns_do_not_alternate")
    return system, rest


def turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def is_turn(message: object) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ("system", "user", "assistant")
        and isinstance(message.get("content"), str)
    )
