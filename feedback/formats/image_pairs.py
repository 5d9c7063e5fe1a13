"""Which picture visitors find better, for both formats that hold pairs of pictures."""

from collections.abc import Iterator
from itertools import chain

from feedback.formats.candidate import (
    Candidate,
    HeldBack,
    Picture,
    Says,
    finished_problem,
    prompt_key,
    says_pair,
)
from feedback.formats.format import Rules
from feedback.formats.pairs import choices, ranks, ratings, votes
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.spec import Recipe


def picture_pairs(reader: Reader, _recipe: Recipe, _rules: Rules) -> Iterator[Candidate]:
    """Pairs prompt by prompt, the better picture first."""
    for group in reader.prompts("image"):
        for preference in chain(choices(group), ranks(group), votes(group), ratings(group)):
            yield preference.candidate()


def both(candidate: Candidate, pictures: Pictures) -> tuple[Picture, Picture]:
    """The better and the worse picture; raises HeldBack."""
    better, worse = (pictures.of(judged) for judged in candidate.made)
    if better.content == worse.content:  # they differed in their parameters alone
        raise HeldBack("same_picture")
    return better, worse


def hashes(candidate: Candidate) -> tuple[str, str]:
    """What the two pictures are known by: their files as they were kept."""
    better, worse = candidate.made
    return better.media_sha256 or better.id, worse.media_sha256 or worse.id


def check(candidate: Candidate) -> str | None:
    """Why it is no pair: a key of QUARANTINE, or None."""
    problem = finished_problem(candidate)
    better, worse = hashes(candidate)
    return "same_picture" if problem is None and better == worse else problem


def says(candidate: Candidate) -> Says:
    return says_pair(prompt_key(candidate.inputs), *hashes(candidate))
