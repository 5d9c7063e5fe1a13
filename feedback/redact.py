"""Take personal data out of rows before they are made, and count what was found."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from feedback.blocks import Thing, blocks
from feedback.formats.candidate import Candidate
from feedback.personal_data.quick_look import may_hold_personal_data
from feedback.redaction import KINDS, Finding, findings, redacted
from feedback.spec import Redact

SAMPLES = 5  # of each kind, for the owner's eye
TOGETHER = 16  # rows that are looked at as one text
REMEMBERED = 2_000_000  # characters of prompts
AROUND = 24  # characters that are shown before and behind


class Sample(NamedTuple):
    """One finding where it stood: for the owner's eye alone, never part of a dataset."""

    kind: str
    before: str
    found: str
    behind: str


class Redactor:
    """Redacts rows in one of the modes, and remembers some of what it met."""

    def __init__(self, mode: Redact, kinds: tuple[str, ...] = ()) -> None:
        self.mode = mode
        self.kinds = kinds or KINDS
        self.samples: list[Sample] = []
        self.prompts: dict[str, tuple[str, int]] = {}
        self.characters = 0  # of them

    def redact(self, candidate: Candidate) -> int:
        """Redact its texts in place; which kinds were found, as bits in the order of KINDS."""
        found = 0
        inputs = candidate.inputs
        prompt = inputs.get("prompt")
        if isinstance(prompt, str):
            text, kinds = self.prompt(prompt)
            if kinds:
                found |= kinds
                candidate.inputs = inputs | {"prompt": text}
        elif isinstance(inputs.get("messages"), list):
            messages, kinds = self.messages(inputs["messages"])
            if kinds:
                found |= kinds
                candidate.inputs = inputs | {"messages": messages}
        for name, value in candidate.texts.items():
            text, kinds = self.text(value)
            if kinds:
                found |= kinds
                candidate.texts = candidate.texts | {name: text}
        return found

    def redact_all(self, candidates: Sequence[Candidate]) -> list[int]:
        """Redact their texts in place; of each the bits of what was found.

        Several are looked at as one text first: most hold nothing, and what makes one of them
        suspicious makes all of them together so.
        """
        return self.in_blocks(candidates, texts_of, self.redact)

    def in_blocks(
        self,
        rows: Sequence[Thing],
        texts: Callable[[Thing], Iterable[str]],
        redact: Callable[[Thing], int],
    ) -> list[int]:
        if self.mode == "off":
            return [0] * len(rows)
        found: list[int] = []
        for some in blocks(rows, TOGETHER):
            together = "\n".join([text for row in some for text in texts(row)])
            suspicious = may_hold_personal_data(together)
            found += map(redact, some) if suspicious else [0] * len(some)
        return found

    def values_of_all(self, rows: Sequence[dict[str, Any]], names: tuple[str, ...]) -> list[int]:
        """Redact these values of rows in place, texts or messages; of each the bits."""

        def texts(row: dict[str, Any]) -> Iterator[str]:
            for name in names:
                value = row[name]
                if isinstance(value, str):
                    yield value
                elif isinstance(value, list):
                    yield from contents(value)

        return self.in_blocks(rows, texts, lambda row: self.values(row, names))

    def values(self, row: dict[str, Any], names: tuple[str, ...]) -> int:
        """Redact these values of a row in place, texts or messages; the bits of what was found."""
        found = 0
        for name in names:
            value = row[name]
            if isinstance(value, str):
                row[name], kinds = self.prompt(value) if name == "prompt" else self.text(value)
                found |= kinds
            elif isinstance(value, list):
                row[name], kinds = self.messages(value)
                found |= kinds
        return found

    def messages(self, messages: list[Any]) -> tuple[list[Any], int]:
        found, left = 0, []
        for message in messages:
            if isinstance(message, dict) and isinstance(message.get("content"), str):
                text, kinds = self.text(message["content"])
                found |= kinds
                message = message | {"content": text} if kinds else message
            left.append(message)
        return left, found

    def prompt(self, text: str) -> tuple[str, int]:
        """Like text, for what comes again and again."""
        found = self.prompts.get(text)
        if found is None:
            self.characters += len(text)
            if self.characters > REMEMBERED:
                self.prompts.clear()
                self.characters = len(text)
            found = self.prompts[text] = self.text(text)
        return found

    def text(self, text: str) -> tuple[str, int]:
        """The text as it may leave, and the bits of what was in it."""
        if not may_hold_personal_data(text):
            return text, 0
        found = findings(text, self.kinds)
        for finding in found:
            self.remember(text, finding)
        if found and self.mode == "replace":
            text = redacted(text, found)
        return text, bits(found)

    def remember(self, text: str, finding: Finding) -> None:
        if sum(sample.kind == finding.kind for sample in self.samples) < SAMPLES:
            start, end = finding.start, finding.end
            self.samples.append(
                Sample(
                    finding.kind,
                    text[max(start - AROUND, 0) : start],
                    text[start:end],
                    text[end : end + AROUND],
                )
            )


def texts_of(candidate: Candidate) -> Iterator[str]:
    """All that is redacted."""
    prompt, messages = candidate.inputs.get("prompt"), candidate.inputs.get("messages")
    if isinstance(prompt, str):
        yield prompt
    elif isinstance(messages, list):
        yield from contents(messages)
    yield from candidate.texts.values()


def contents(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        if isinstance(message, dict) and isinstance(message.get("content"), str):
            yield message["content"]


def bits(found: list[Finding]) -> int:
    mask = 0
    for finding in found:
        mask |= 1 << KINDS.index(finding.kind)
    return mask
