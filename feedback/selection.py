"""Which of the rows that feedback asks for are wanted: by time, version, language, topic and so on.

What is not wanted is left out and counted; nothing here brings in what has no consent.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from feedback.formats.candidate import Candidate
from feedback.near_duplicates import normalised
from feedback.spec import Selection

CHINESE = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
JAPANESE = re.compile("[\u3040-\u30ff]")

Wish = Callable[[Candidate], bool]


def wanted(selection: Selection) -> Wish:
    """Whether a candidate fulfils every wish; without wishes it costs nothing."""
    wishes = [wish for wish in map(lambda make: make(selection), WISHES) if wish is not None]
    if not wishes:
        return lambda _candidate: True
    return lambda candidate: all(wish(candidate) for wish in wishes)


def in_time(selection: Selection) -> Wish | None:
    """Its newest event was said in time."""
    since, until = selection.since, selection.until
    if since is None and until is None:
        return None

    def wish(candidate: Candidate) -> bool:
        newest: datetime = max(event.at for event in candidate.events)
        return (since is None or newest >= since) and (until is None or newest < until)

    return wish


def of_versions(selection: Selection) -> Wish | None:
    """All of its outputs are of these model versions."""
    versions = set(selection.versions)
    if not versions:
        return None
    return lambda candidate: all(judged.version.id in versions for judged in candidate.made)


def of_verified(selection: Selection) -> Wish | None:
    """All of its outputs are of weights that GenLoop has seen and hashed."""
    if not selection.verified:
        return None
    return lambda candidate: all(judged.version.verified for judged in candidate.made)


def in_languages(selection: Selection) -> Wish | None:
    languages = set(selection.languages)
    if not languages:
        return None
    return lambda candidate: language_of(prompt_text(candidate.inputs)) in languages


def by_rules(selection: Selection) -> Wish | None:
    sources = set(selection.sources)
    return (lambda candidate: candidate.source in sources) if sources else None


def by_stars(selection: Selection) -> Wish | None:
    """Where it rests on stars, these are among them."""
    stars = set(selection.stars)
    if not stars:
        return None
    return lambda candidate: all(
        event.score in stars for event in candidate.events if event.kind == "stars"
    )


def for_reasons(selection: Selection) -> Wish | None:
    """Those whom it rests on named one of these reasons for one of its outputs."""
    reasons = set(selection.reasons)
    return (lambda candidate: bool(reasons & named(candidate))) if reasons else None


def without_reasons(selection: Selection) -> Wish | None:
    reasons = set(selection.without_reasons)
    return (lambda candidate: not reasons & named(candidate)) if reasons else None


def named(candidate: Candidate) -> set[str]:
    speakers = {event.visitor_id for event in candidate.events}
    return {
        reason
        for judged in candidate.made
        for opinion in judged.opinions
        for event in [opinion.get("reasons")]
        if event is not None and event.visitor_id in speakers
        for reason in event.items or ()
    }


def about_topics(selection: Selection) -> Wish | None:
    """Its prompt holds one of these words or phrases, as texts are compared."""
    topics = list(map(normalised, selection.topics))
    if not topics:
        return None
    return lambda candidate: any(topic in asked(candidate) for topic in topics)


def not_about_topics(selection: Selection) -> Wish | None:
    topics = list(map(normalised, selection.without_topics))
    if not topics:
        return None
    return lambda candidate: not any(topic in asked(candidate) for topic in topics)


def asked(candidate: Candidate) -> str:
    return normalised(prompt_text(candidate.inputs))


def not_of_visitors(selection: Selection) -> Wish | None:
    """None of these made or said anything of it."""
    visitors = set(selection.exclude_visitors)
    if not visitors:
        return None
    return lambda candidate: visitors.isdisjoint(
        [judged.visitor_id for judged in candidate.made]
        + [event.visitor_id for event in candidate.events]
    )


def reviewed(selection: Selection) -> Wish | None:
    """The owner has approved every event; nobody can review a vote, so rows of votes go."""
    if selection.review != "approved":
        return None
    return lambda candidate: all(event.review == "approved" for event in candidate.events)


WISHES: tuple[Callable[[Selection], Wish | None], ...] = (
    in_time,
    of_versions,
    of_verified,
    in_languages,
    by_rules,
    by_stars,
    for_reasons,
    without_reasons,
    about_topics,
    not_about_topics,
    not_of_visitors,
    reviewed,
)


def needs_times(selection: Selection) -> bool:
    return selection.since is not None or selection.until is not None


def needs_reasons(selection: Selection) -> bool:
    return bool(selection.reasons or selection.without_reasons)


def prompt_text(inputs: dict[str, Any]) -> str:
    """The prompt, or what was said in a conversation so far, in one text."""
    messages = inputs.get("messages")
    if isinstance(messages, list):
        return "\n".join(
            str(message.get("content")) for message in messages if isinstance(message, dict)
        )
    return str(inputs.get("prompt") or "")


@lru_cache(maxsize=4_096)
def language_of(text: str) -> str:
    """The language of a text: zh, en, … as py3langid tells it, but for texts in Chinese characters.

    Those need no telling, unless there is Japanese among them.
    """
    chinese = len(CHINESE.findall(text))
    if chinese and not JAPANESE.search(text) and chinese * 2 >= sum(map(str.isalpha, text)):
        return "zh"
    import py3langid  # takes 100 MB and a second, and only some exports ask

    language, _ = py3langid.classify(text)
    return str(language)
