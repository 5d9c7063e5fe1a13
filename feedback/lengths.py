"""How many tokens a prompt and its answer are, so that no trainer cuts an answer off unseen."""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tokenizers import Tokenizer

from db.tables import Generation, ModelVersion
from feedback.formats.candidate import HeldBack, utf8
from feedback.formats.shapes import Turn, conversation
from feedback.spec import InvalidSpec, Lint

NO_LIMIT = 10**6  # tokenizers that know no limit say a much larger number
ADDED = 16  # tokens that begin and end a text, at most


class Lengths:
    """Whether rows are longer than a model takes, by its own tokenizer."""

    def __init__(self, folder: Path, max_tokens: int | None) -> None:
        self.folder = folder
        self.plain = plain_tokenizer(folder)
        said = contents(folder / "tokenizer_config.json")
        self.has_template = "chat_template" in said or (folder / "chat_template.jinja").is_file()
        if max_tokens is None:
            positions = contents(folder / "config.json").get("max_position_embeddings")
            limits = said.get("model_max_length"), positions, NO_LIMIT
            max_tokens = int(min(limit for limit in limits if limit))
        self.max_tokens = max_tokens

    @cached_property
    def whole(self) -> Any:
        """The tokenizer with its chat template, which takes half a gigabyte of imports."""
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError) as problem:
            raise InvalidSpec(f"there is no tokenizer in {self.folder}") from problem

    def too_long(self, rows: Iterable[tuple[dict[str, Any], dict[str, str]]]) -> list[bool]:
        """Of each row whether its prompt with its longest answer is more than the model takes.

        Rows are inputs and texts. What is no prompt, or no text that UTF-8 can hold, has no length:
        other checks find it.
        """
        found: list[bool] = []
        asked: list[tuple[int, str]] = []  # a row, and one of its texts whole
        for number, (inputs, texts) in enumerate(rows):
            found.append(False)
            try:
                turns = conversation(inputs)
            except HeldBack:
                continue
            prompt = "".join(one["content"] for one in turns)
            answer = max(texts.values(), key=len, default="")
            # A token is one byte at least, so most rows need not be counted at all.
            added = ADDED * (len(inputs.get("messages", ())) + 1)
            if most_bytes(prompt) + most_bytes(answer) + added <= self.max_tokens:
                continue
            try:
                for text in (prompt, *texts.values()):
                    utf8(text)  # no tokenizer takes anything else
            except HeldBack:
                continue
            for text in texts.values() or [""]:
                in_template = self.in_template(turns, text) if "messages" in inputs else None
                if in_template is None:
                    asked.append((number, prompt + text))
                else:
                    found[number] |= in_template > self.max_tokens
        if asked:
            encodings = self.plain.encode_batch_fast([text for _, text in asked])
            for (number, _), encoding in zip(asked, encodings, strict=True):
                found[number] |= len(encoding) > self.max_tokens
        return found

    def in_template(self, turns: list[Turn], answer: str) -> int | None:
        """The tokens of a conversation with the answer, as the model is asked.

        None where it has no template, or one that refuses such turns, as trainers will say too:
        then its words alone can be counted.
        """
        if not self.has_template:
            return None
        turns = [*turns, {"role": "assistant", "content": answer}]
        try:
            text = self.whole.apply_chat_template(turns, tokenize=False)
        except TemplateError:
            return None
        return len(self.whole(text, add_special_tokens=False).input_ids)


def most_bytes(text: str) -> int:
    """How many bytes of UTF-8 it has at most."""
    return len(text) if text.isascii() else 4 * len(text)


def plain_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer without transformers around it; raises InvalidSpec."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InvalidSpec(f"there is no tokenizer in {folder}: no tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def contents(path: Path) -> dict[str, Any]:
    """A file of JSON; nothing where it is missing."""
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def lengths(session: Session, lint: Lint) -> Lengths | None:
    """What counts the tokens of texts; None where nobody names a tokenizer that is here."""
    if not lint.tokenizer:
        return None
    if lint.tokenizer != "auto":
        return Lengths(Path(lint.tokenizer), lint.max_tokens)
    folder = folder_of_most(session)
    return Lengths(folder, lint.max_tokens) if folder is not None else None


def folder_of_most(session: Session) -> Path | None:
    """The folder of the text model that most outputs are from, if it has its own folder here."""
    most = (
        select(ModelVersion.source)
        .join(Generation, Generation.model_version_id == ModelVersion.id)
        .where(ModelVersion.task == "text")
        .group_by(ModelVersion.id, ModelVersion.source)
        .order_by(func.count().desc(), ModelVersion.id)
        .limit(1)
    )
    source = session.scalar(most)
    folder = Path(source) if source else None
    return folder if folder is not None and (folder / "tokenizer.json").is_file() else None
