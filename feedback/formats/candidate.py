"""A row that feedback asks for, before it is known whether it may stand in a dataset."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, NamedTuple

from feedback.formats.judged import Judged, Standing
from feedback.near_duplicates import normalised

# Why a row is held back. What a row says by itself comes first, in the order in which it is looked
# for; what follows from the other rows comes after that.
QUARANTINE = {
    "rejected_in_review": "the owner's last review rejected one of its events",
    "failed_generation": "one of its generations ended in an error",
    "reported_personal_data": "one of its generations is reported for personal data",
    "reported": "what it would praise is reported",
    "stopped_generation": "one of its pictures or samples was stopped before its end",
    "tie": "its visitor finds neither of the two better",
    "both_bad": "its visitor finds both of the two bad",
    "thumb_and_stars_disagree": "its visitor's thumb and stars say opposite things",
    "faulty_picture": "its caption was edited, and a fault of the picture itself was named",
    "empty_text": "one of its texts is empty",
    "same_text": "chosen and rejected are the same but for spaces and letter forms",
    "trivial_edit": "its edit changes less of the text than the threshold asks for",
    "same_picture": "chosen and rejected are the same picture",
    "no_latent": "one of its samples was kept without a vector of finite numbers as its latent",
    "different_latent_spaces": "its samples are of different model versions or latent sizes",
    "empty_prompt": "its prompt is empty",
    "malformed_messages": "its messages are not turns of role and content that end with a user's",
    "rendered_parts": "one of its texts is a list of message parts in Python's spelling",
    "needs_conversational": "its input is a conversation, which only texts in turns can hold",
    "turns_do_not_alternate": "its format takes only turns of a user and an assistant by turns",
    "missing_picture": "the file of one of its pictures is gone",
    "unreadable_picture": "the file of one of its pictures is no PNG, or has changed",
    "not_unicode": "it holds half of a surrogate pair, which UTF-8 cannot hold",
    "personal_data": "one of its texts holds personal data, and such rows are to be dropped",
    "too_long": "prompt and answer are longer than what the model takes",
    "contradictory": "as many visitors say the opposite",
    "outvoted": "more visitors say the opposite",
    "too_few_raters": "fewer visitors have judged the same than asked for",
    "too_little_agreement": "a smaller part of them agrees than asked for",
    "duplicate": "another row already says it",
    "near_duplicate": "another row says nearly the same",
    "already_used": "one of its events already stands behind a row of another config",
    "withheld": "its visitor, conversation or prompt is on both sides of the split",
    "over_visitor_cap": "its visitor has more rows than one may have",
}
SHORT = 1_000  # characters of a prompt whose key is remembered

CODES = {reason: number for number, reason in enumerate(QUARANTINE, 1)}  # 0: none
REASONS = ("", *QUARANTINE)


class HeldBack(ValueError):
    """The row goes to quarantine; the argument is a key of QUARANTINE."""


@dataclass(slots=True)
class Candidate:
    """What a row would hold, and the events and generations that it rests on."""

    source: str  # which rule asks for it
    inputs: dict[str, Any]
    texts: dict[str, str]  # by column, the prompt apart
    made: tuple[Judged, ...]  # of a pair the better one first
    praised: Judged | None
    events: tuple[Standing, ...]
    label: bool | None = None
    problem: str | None = None  # a key of QUARANTINE, when the format has found one already
    value: float = 1.0  # how much its visitor likes it or prefers the one to the other
    # An opinion that is no row, and counts for or against rows that say the same.
    only_counts: bool = False

    @property
    def consented(self) -> bool:
        """Every event that it rests on may be trained on; its generations always may."""
        return all(event.may_train for event in self.events)


class Says(NamedTuple):
    """What a row says, in keys that can be compared.

    same: 8 bytes, equal for rows of which one is enough.
    about: 8 bytes, equal for all that is said about one thing; side: for it (1) or against (-1).
    prompt: 8 bytes, equal for the same prompt or conversation.
    """

    same: bytes
    about: bytes
    side: int
    prompt: bytes


class Picture(NamedTuple):
    """A picture on its way into a dataset."""

    kept: str  # SHA-256 of the file in the media store
    content: str  # SHA-256 of the PNG that leaves, without the words in it


@dataclass(slots=True)
class Row:
    """The columns of a row, and the files that go beside it, by their place in the dataset."""

    columns: dict[str, Any]  # a Picture stands for its bytes
    files: dict[str, Picture | str] = field(default_factory=dict)


def common_problem(candidate: Candidate, *, finished: bool = False) -> str | None:
    """Why no format can use it: a key of QUARANTINE, or None.

    finished: half of a picture is worth nothing, unlike half of a text.
    """
    for event in candidate.events:
        if event.review == "rejected":
            return "rejected_in_review"
    for judged in candidate.made:
        if judged.status == "failed":
            return "failed_generation"
    for judged in candidate.made:
        if is_private(judged):
            return "reported_personal_data"
    if candidate.praised is not None and candidate.praised.reports:
        return "reported"
    if finished and any(judged.status == "stopped" for judged in candidate.made):
        return "stopped_generation"
    if candidate.problem is not None:
        return candidate.problem
    for text in candidate.texts.values():
        if not text or text.isspace():
            return "empty_text"
        if is_rendered(text):
            return "rendered_parts"
    return None


finished_problem = partial(common_problem, finished=True)


def is_private(judged: Judged) -> bool:
    return any("personal_data" in (report.text or "") for report in judged.reports)


def is_rendered(text: str) -> bool:
    """Whether a list of parts was written as Python writes it: `[{'type': 'text', …`."""
    return text.startswith(("[{'type':", "[{'text':", "{'role':", "[{'role':"))


def utf8(text: str) -> bytes:
    """The text as it is written; raises HeldBack."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise HeldBack("not_unicode") from None


def key(*parts: str | bytes) -> bytes:
    """8 bytes that are the same for the same parts."""
    encoded = (
        part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts
    )
    return blake2b(b"\0".join(encoded), digest_size=8).digest()


def prompt_key(inputs: dict[str, Any]) -> bytes:
    """The same for prompts that are the same as they are compared, and for conversations."""
    messages = inputs.get("messages")
    if isinstance(messages, list):
        return key("messages", *(part for message in messages for part in compared(message)))
    prompt = inputs.get("prompt")
    if not isinstance(prompt, str):
        return key("prompt", repr(inputs))
    return often(prompt) if len(prompt) <= SHORT else key("prompt", normalised(prompt))


@lru_cache(maxsize=4_096)
def often(prompt: str) -> bytes:
    """The key of a prompt that may come again and again."""
    return key("prompt", normalised(prompt))


def compared(message: object) -> Iterable[str]:
    if isinstance(message, dict):
        yield str(message.get("role"))
        yield normalised(str(message.get("content")))
    else:
        yield repr(message)


def says_text(candidate: Candidate) -> Says:
    """One text about a prompt: liked or disliked."""
    prompt = prompt_key(candidate.inputs)
    [text] = candidate.texts.values()
    about = key(prompt, normalised(text))
    if candidate.label is None:
        return Says(about, about, -1 if candidate.only_counts else 1, prompt)
    return Says(key(about, str(candidate.label)), about, 1 if candidate.label else -1, prompt)


def says_pair(prompt: bytes, better: str, worse: str) -> Says:
    """One of two is better; whoever says the reverse is on the other side."""
    low, high = sorted((better, worse))
    return Says(
        key(prompt, better, worse), key(prompt, low, high), 1 if better == low else -1, prompt
    )
