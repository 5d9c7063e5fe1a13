"""How much an edit changes, and which edits are too small to learn from."""

from rapidfuzz.distance import Indel

from feedback.formats.judged import Judged, Standing
from feedback.near_duplicates import normalised


def changed(before: str, after: str) -> float:
    """What part of the characters an edit takes away or adds, 0 to 1.

    The normalised Indel distance of rapidfuzz, between the texts as they are compared: spaces,
    case, width and the form of punctuation make no difference.
    """
    return float(Indel.normalized_distance(normalised(before), normalised(after)))


def is_trivial(judged: Judged, edit: Standing, least: float) -> bool:
    """Whether the edit changes nothing, or less of the output than `least`."""
    share = changed(judged.output, edit.text or "")
    return share == 0 or share < least
