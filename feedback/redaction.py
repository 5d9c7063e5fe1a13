"""Find personal data and secrets in texts, and write placeholders where they were.

It happens when a dataset is exported, never when a text is kept. Rules find what has a form: they
know nothing of names, street addresses, or what a sentence gives away. Who needs those found too
gives a detector of their own, such as Presidio (docs/personal-data.md).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from feedback.personal_data.contact import accounts, emails
from feedback.personal_data.harmless import harmless
from feedback.personal_data.identity import bank_cards, ibans, id_cards
from feedback.personal_data.network import ips, url_tokens
from feedback.personal_data.phones import phones
from feedback.personal_data.plain_form import plain_form
from feedback.personal_data.secrets import secrets

Rule = Callable[[str], Iterator[tuple[int, int]]]

# In this order: what a rule has found, those after it do not see.
RULES: dict[str, Rule] = {
    "url_token": url_tokens,
    "secret": secrets,
    "email": emails,
    "id_card": id_cards,
    "iban": ibans,
    "bank_card": bank_cards,
    "ip": ips,
    "account": accounts,
    "phone": phones,
}
KINDS: tuple[str, ...] = tuple(RULES)
NUMBERS = frozenset({"id_card", "bank_card", "ip", "phone"})  # what a harmless number is not
TAKEN = "\ufffc"  # no letter, no digit, no sign that a rule knows


@dataclass(frozen=True)
class Finding:
    """Personal data in a text, from one character to before another."""

    kind: str
    start: int
    end: int


Detector = Callable[[str], Iterable[Finding]]


def findings(
    text: str, kinds: Collection[str] = KINDS, detectors: Iterable[Detector] = ()
) -> list[Finding]:
    """What there is of these kinds, in order, none over another.

    detectors: what else looks for personal data; their findings may be of any kind.
    """
    plain, places = plain_form(text)
    found = [finding for detector in detectors for finding in detector(text)]
    rest, without_harmless = plain, False
    for kind, rule in RULES.items():
        if kind not in kinds:
            continue
        if kind in NUMBERS and not without_harmless:
            rest, without_harmless = without(rest, harmless(rest)), True
        spans = list(rule(rest))
        rest = without(rest, spans)
        found += [Finding(kind, places[start], places[end - 1] + 1) for start, end in spans]
    return apart(found)


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with the spans blotted out, of the same length."""
    for start, end in spans:
        text = text[:start] + TAKEN * (end - start) + text[end:]
    return text


def apart(found: Iterable[Finding]) -> list[Finding]:
    """One finding in place of those that overlap, of the kind of the longest."""
    merged: list[Finding] = []
    for finding in sorted(found, key=lambda one: (one.start, -one.end)):
        last = merged[-1] if merged else None
        if last is None or finding.start >= last.end:
            merged.append(finding)
            continue
        longest = max(last, finding, key=lambda one: one.end - one.start)
        merged[-1] = Finding(longest.kind, last.start, max(last.end, finding.end))
    return merged


def redacted(text: str, found: Sequence[Finding]) -> str:
    """The text with a placeholder for each finding: [EMAIL], [PHONE] …"""
    parts, done = [], 0
    for finding in found:
        parts += [text[done : finding.start], f"[{finding.kind.upper()}]"]
        done = finding.end
    return "".join([*parts, text[done:]])


def redact_json(
    value: Any,
    kinds: Collection[str] = KINDS,
    *,
    keep: Collection[str] = (),
    detectors: Sequence[Detector] = (),
) -> tuple[Any, Counter[str]]:
    """A value of JSON with its texts redacted, at any depth, and what was found by kind.

    keep: keys whose values are left as they are. Keys themselves are never changed.
    """
    counts = Counter[str]()

    def walked(part: Any) -> Any:
        if isinstance(part, str):
            found = findings(part, kinds, detectors)
            counts.update(finding.kind for finding in found)
            return redacted(part, found)
        if isinstance(part, dict):
            return {key: each if key in keep else walked(each) for key, each in part.items()}
        if isinstance(part, list | tuple):
            return [walked(each) for each in part]
        return part

    return walked(value), counts
