"""Answers to an annotator's questions, as feedback: what a question means and what was answered.

Shared by the formats in which the owner has made the questions: Argilla, Label Studio, plain CSV.
"""

from collections.abc import Iterator
from typing import Any

from feedback.importers.shape import BadRow, Reading, digest, thumb
from feedback.rate import Value

# What a question is usually called, for those who do not say --map KIND=QUESTION.
USUAL = {
    "thumb": ("thumb", "thumbs", "like", "label", "feedback_label"),
    "stars": ("stars", "rating", "score", "quality"),
    "edit": ("edit", "correction", "corrected", "edited", "rewrite", "improved"),
    "comment": ("comment", "comments", "feedback", "notes", "reason"),
    "report": ("report", "flag"),
    "rank": ("rank", "ranking", "preference"),
    "choice": ("choice", "chosen", "best", "pairwise", "comparison"),
}
OUTPUTS = ("output", "response", "answer", "completion", "generation", "text")
PROMPTS = ("prompt", "instruction", "question", "input", "messages", "chat")
SEVERAL = ("response", "output", "answer", "completion", "generation", "text")


def meaning(question: str, reading: Reading) -> str:
    """The kind of feedback that a question asks for; raises BadRow where nobody knows."""
    for kind in USUAL:
        if question in reading.columns.get(kind, ()):
            return kind
    plain = question.lower()
    for kind, names in USUAL.items():
        if kind not in reading.columns and plain in names:
            return kind
    raise BadRow("unmapped", question=question)


def prompt_field(fields: dict[str, Any], reading: Reading) -> str:
    for name in (*reading.columns.get("prompt", ()), *reading.columns.get("messages", ())):
        if name in fields:
            return name
    for name in PROMPTS:
        if name in fields:
            return name
    raise BadRow("no_prompt")


def output_fields(fields: dict[str, Any], reading: Reading) -> list[str]:
    """One output, or several to be compared: response1 and response2, answer_a and answer_b."""
    if "output" in reading.columns:
        found = [name for name in reading.columns["output"] if name in fields]
    else:
        found = [name for name in OUTPUTS if name in fields][:1] or sorted(
            name for name in fields if name.lower().rstrip("0123456789ab").rstrip("-_ ") in SEVERAL
        )
    if not found:
        raise BadRow("no_output")
    return found


def opinions(
    kind: str, answered: Any, outputs: list[str], reading: Reading
) -> Iterator[tuple[int, Value, tuple[int, ...]]]:
    """What an answer says: of which output, what, and over which others."""
    if kind == "rank":
        for name, place in ranking(answered).items():
            if name not in outputs:
                raise BadRow("bad_value", kind=kind, value=str(name)[:40])
            yield outputs.index(name), place, ()
        return
    if kind == "choice":
        chosen = chosen_place(answered, outputs)
        if chosen is not None:
            yield chosen, True, tuple(i for i in range(len(outputs)) if i != chosen)
        else:  # a tie
            yield from ((place, 1, ()) for place in range(len(outputs)))
        return
    if len(outputs) != 1:
        raise BadRow("bad_value", kind=kind, value="said of several outputs at once")
    yield 0, single(kind, answered, reading), ()


def single(kind: str, answered: Any, reading: Reading) -> Value:
    if isinstance(answered, list) and len(answered) == 1:
        answered = answered[0]
    if kind == "thumb":
        value = thumb(str(answered), reading)
        if value is None:
            raise BadRow("bad_value", kind=kind, value=str(answered)[:40])
        return value
    if kind == "stars":
        return whole(kind, answered)
    if isinstance(answered, list):
        answered = "\n".join(map(str, answered))
    return str(answered)


def whole(kind: str, answered: Any) -> int:
    try:
        number = float(answered)
    except (TypeError, ValueError):
        raise BadRow("bad_value", kind=kind, value=str(answered)[:40]) from None
    if not number.is_integer():
        raise BadRow("bad_value", kind=kind, value=str(answered)[:40])
    return int(number)


def ranking(answered: Any) -> dict[str, int]:
    """Outputs with their places, of a list in order, or of {"value", "rank"} with ties."""
    if isinstance(answered, str):
        answered = answered.split()
    if not isinstance(answered, list):
        raise BadRow("bad_field", field="a ranking", expected="a list")
    places = {}
    for place, entry in enumerate(answered, 1):
        if isinstance(entry, dict):
            places[str(entry.get("value"))] = whole("rank", entry.get("rank"))
        else:
            places[str(entry)] = place
    return places


def chosen_place(answered: Any, outputs: list[str]) -> int | None:
    """Which output was chosen; none of a tie."""
    if isinstance(answered, list) and len(answered) == 1:
        answered = answered[0]
    word = str(answered).strip().lower()
    if word in ("tie", "equal", "same", "both", "none"):
        return None
    for place, name in enumerate(outputs):
        sides = ("left", "right")[place : place + 1] if len(outputs) == 2 else ()
        letters = ("a", "b")[place : place + 1] if len(outputs) == 2 else ()
        if word in (name.lower(), str(place + 1), *sides, *letters):
            return place
    raise BadRow("bad_value", kind="choice", value=word[:40])


def kind_of(kind: str, value: Value) -> str:
    """A tie between outputs is said as places."""
    return "rank" if kind == "choice" and value is not True else kind


def answer_identity(*parts: Any) -> str:
    return digest("answer", *parts)
