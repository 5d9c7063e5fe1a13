"""How many tokens a prompt and its answer are, so that no trainer cuts an answer off unseen."""

from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.tables import Generation, ModelVersion
from feedback.formats.shapes import conversation
from feedback.spec import InvalidSpec, Lint

NO_LIMIT = 10**6  # tokenizers that know no limit say a much larger number
ADDED = 16  # tokens that begin and end a text, at most


class Lengths:
    """Whether rows are longer than a model takes, by its own tokenizer."""

    def __init__(self, folder: Path, max_tokens: int | None) -> None:
        from transformers import AutoConfig, AutoTokenizer  # they take their time

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as problem:
            raise InvalidSpec(f"there is no tokenizer in {folder}") from problem
        if max_tokens is None:
            max_tokens = min(self.tokenizer.model_max_length, NO_LIMIT)
            if (folder / "config.json").is_file():
                config = AutoConfig.from_pretrained(folder, local_files_only=True)
                max_tokens = min(
                    max_tokens, getattr(config, "max_position_embeddings", None) or NO_LIMIT
                )
        self.folder = folder
        self.max_tokens = max_tokens

    def too_long(self, inputs: dict[str, Any], texts: dict[str, str]) -> bool:
        """Whether the prompt with its longest answer is more than the model takes."""
        asked = "".join(one["content"] for one in conversation(inputs))
        answer = max(texts.values(), key=len, default="")
        # A token is one byte at least, so most rows need not be counted at all.
        turns = len(inputs.get("messages", ())) + 1
        if 4 * (len(asked) + len(answer)) + turns * ADDED <= self.max_tokens:
            return False
        return any(self.tokens(inputs, text) > self.max_tokens for text in texts.values() or [""])

    def tokens(self, inputs: dict[str, Any], answer: str) -> int:
        turns = conversation(inputs)
        if "messages" in inputs and self.tokenizer.chat_template:
            turns = [*turns, {"role": "assistant", "content": answer}]
            text = self.tokenizer.apply_chat_template(turns, tokenize=False)
            return len(self.tokenizer(text, add_special_tokens=False).input_ids)
        text = "".join(one["content"] for one in turns) + answer
        return len(self.tokenizer(text).input_ids)


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
