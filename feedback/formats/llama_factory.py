"""How LLaMA-Factory is told of the files in its two spellings, and what it makes of their rows.

`converted` follows its AlpacaDatasetConverter and SharegptDatasetConverter (src/llamafactory/data/
converter.py), which skip a row that they cannot use and say so in a log alone.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from feedback.formats.shapes import LABEL, SHAREGPT

DATASET_INFO = "dataset_info.json"


class Converted(NamedTuple):
    """What it would train on, and why that is not what the row says."""

    prompt: list[dict[str, str]]
    response: list[dict[str, str]]
    problem: str | None


def name_of(config: str, split: str) -> str:
    """What LLaMA-Factory calls a split of a config."""
    return config if split == "train" else f"{config}_{split}"


def description(shape: str, columns: Iterable[str], files: list[dict[str, Any]]) -> dict[str, Any]:
    """The entry of a split in dataset_info.json; it knows one file for each."""
    [file] = files
    names = set(columns)
    pair = {name: name for name in ("chosen", "rejected") if name in names}
    label = {"kto_tag": LABEL["alpaca"]} if LABEL["alpaca"] in names else {}
    entry: dict[str, Any] = {"file_name": file["path"]}
    if shape == "sharegpt":
        told = {"messages": "conversations", "system": "system"}
        entry["formatting"] = "sharegpt"
    else:
        told = {"prompt": "instruction", "query": "input", "system": "system"}
        if not pair:
            told["response"] = "output"
    if pair:
        entry["ranking"] = True
    return entry | {"columns": told | pair | label}


def converted(row: dict[str, Any], described: dict[str, Any]) -> Converted:
    columns = described["columns"]
    if described.get("formatting") == "sharegpt":
        return from_sharegpt(row, columns, ranking=described.get("ranking", False))
    return from_alpaca(row, columns, ranking=described.get("ranking", False))


def from_alpaca(row: dict[str, Any], columns: dict[str, str], *, ranking: bool) -> Converted:
    asked = [row[columns["prompt"]], row[columns["query"]]]
    prompt = [said("user", "\n".join(text for text in asked if text))]
    tag = row.get(columns.get("kto_tag", ""))
    if "kto_tag" in columns and isinstance(tag, bool):
        return judged(labelled(prompt, row[columns["response"]], tag))
    if ranking and all(isinstance(row[columns[side]], str) for side in ("chosen", "rejected")):
        sides = [said("assistant", row[columns[side]]) for side in ("chosen", "rejected")]
        return judged((prompt, sides))
    if isinstance(row.get(columns.get("response", "")), str):
        return judged((prompt, [said("assistant", row[columns["response"]])]))
    return Converted(prompt, [], "there is no answer in it")


def from_sharegpt(row: dict[str, Any], columns: dict[str, str], *, ranking: bool) -> Converted:
    roles = {name: role for role, name in SHAREGPT.items()}
    turns = row[columns["messages"]]
    if turns and turns[0]["from"] == SHAREGPT["system"]:
        turns = turns[1:]
    expected = (SHAREGPT["user"], SHAREGPT["assistant"])
    if any(turn["from"] != expected[place % 2] for place, turn in enumerate(turns)):
        return Converted([], [], "its turns are not a user's and an assistant's by turns")
    if len(turns) % 2 != int(ranking):
        return Converted([], [], "the number of its turns is not what its kind has")
    aligned = [said(roles[turn["from"]], turn["value"]) for turn in turns]
    tag = row.get(columns.get("kto_tag", ""))
    if "kto_tag" in columns and isinstance(tag, bool):
        return judged(labelled(aligned[:-1], aligned[-1]["content"], tag))
    if ranking:
        sides = [row[columns[side]] for side in ("chosen", "rejected")]
        if any(side["from"] != SHAREGPT["assistant"] for side in sides):
            return Converted([], [], "one of its sides is not the assistant's")
        return judged((aligned, [said("assistant", side["value"]) for side in sides]))
    return judged((aligned[:-1], aligned[-1:]))


def labelled(
    prompt: list[dict[str, str]], text: str, tag: bool
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The liked answer comes first and the disliked one second; the other one is empty."""
    pair = [said("assistant", text), said("assistant", "")]
    return prompt, pair if tag else pair[::-1]


def judged(found: tuple[list[dict[str, str]], list[dict[str, str]]]) -> Converted:
    prompt, response = found
    empty = not any(turn["content"] for turn in response) or not prompt[-1]["content"]
    return Converted(prompt, response, "its prompt or answer is empty" if empty else None)


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
