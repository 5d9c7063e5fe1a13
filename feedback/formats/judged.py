"""Generations that may be trained on, each with what visitors say about it now."""

from typing import Any, NamedTuple

LIKED_STARS = 4
DISLIKED_STARS = 2


class Standing(NamedTuple):
    """An event that counts now: the last of its kind, and not taken back; or a vote."""

    id: int
    kind: str  # of the event; "vote" for a vote, whose ids are counted apart
    score: int | None
    text: str | None
    items: list[str] | None
    may_train: bool
    review: str | None  # the owner's last verdict: approved, rejected
    visitor_id: int
    consent_id: int
    at: Any  # when it was said; read only where the selection asks for it

    @property
    def entry(self) -> int:
        """Its number in the ledger, where votes stand below zero."""
        return -self.id if self.kind == "vote" else self.id


Opinion = dict[str, Standing]  # what one visitor says about one generation, by kind


class Version(NamedTuple):
    """The weights that made something."""

    id: int
    name: str
    sha256: str
    verified: bool  # whether the weights were seen


class Ballot(NamedTuple):
    """A vote on two generations, kept with the one that was shown on the left."""

    right_id: str
    answer: str  # left, right, tie, both_bad
    vote: Standing


class Judged(NamedTuple):
    """A generation whose maker allows training, and everybody's opinion of it.

    Opinions and ballots hold words without consent for training too: these may keep an output
    out of a dataset, and never bring one in.
    """

    id: str
    request_id: str
    version: Version
    visitor_id: int
    consent_id: int
    inputs: dict[str, Any]
    output: str
    media_sha256: str | None
    latent: dict[str, Any] | None
    status: str
    opinions: list[Opinion]
    ballots: list[Ballot]

    @property
    def reports(self) -> list[Standing]:
        return [opinion["report"] for opinion in self.opinions if "report" in opinion]


class Verdict(NamedTuple):
    """Whether a visitor likes an output, and the ratings that say so."""

    liked: bool
    ratings: tuple[Standing, ...]

    @property
    def contradicts_itself(self) -> bool:
        return len(self.ratings) > 1

    @property
    def problem(self) -> str | None:
        return "thumb_and_stars_disagree" if self.contradicts_itself else None

    @property
    def strength(self) -> float:
        """From -1 for the worst to 1 for the best."""
        return strength(self.ratings[0])


def sign(rating: Standing) -> int:
    """1 for praise, -1 for blame, 0 for neither."""
    score = rating.score or 0
    if rating.kind == "thumb":
        return score
    return 1 if score >= LIKED_STARS else -1 if score <= DISLIKED_STARS else 0


def strength(rating: Standing) -> float:
    """A thumb is 1 or -1; one star is -1, three are 0, five are 1."""
    score = rating.score or 0
    return float(score) if rating.kind == "thumb" else (score - 3) / 2


def verdict(opinion: Opinion) -> Verdict | None:
    """Liked or disliked: the thumb says so, else the stars; None when neither does.

    When the two disagree, both stand in the verdict.
    """
    thumb, stars = opinion.get("thumb"), opinion.get("stars")
    said = 0 if stars is None else sign(stars)
    if thumb is not None and thumb.score:
        ratings = (thumb, stars) if stars is not None and said == -thumb.score else (thumb,)
        return Verdict(thumb.score > 0, ratings)
    return Verdict(said > 0, (stars,)) if stars is not None and said else None
