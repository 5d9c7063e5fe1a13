"""What visitors find better than what: by choosing, ranking, voting, or liking one and not another.

A format makes candidates of these; of one visitor who says a thing twice, the last word counts.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from feedback.formats.candidate import Candidate
from feedback.formats.judged import Ballot, Judged, Opinion, Standing, Verdict, verdict

# Likes times dislikes of a favourite prompt would drown all others: beyond this many, an
# output is no longer paired with every output of the other side.
PAIRS_PER_OUTPUT = 8

# How much better one is than the other, 0 to 1, where nobody has said it.
UNTOLD = 0.5

Rated = tuple[Judged, Opinion, Verdict]


class Preference(NamedTuple):
    """One output over another, the words that say so, and why it may be none after all."""

    source: str
    better: Judged
    worse: Judged
    because: tuple[Standing, ...]
    opinion: Opinion  # of the one who finds it better, on the better; empty for votes
    problem: str | None = None
    strength: float = UNTOLD  # how much better, 0 to 1

    def candidate(self) -> Candidate:
        """A pair of pictures or samples, which has no texts of its own."""
        return Candidate(
            self.source,
            self.better.inputs,
            {},
            (self.better, self.worse),
            self.better,
            self.because,
            problem=self.problem,
            value=self.strength,
        )


def choices(group: list[Judged]) -> Iterator[Preference]:
    """The draft that a visitor chose over each draft of its request that they passed over."""
    by_id = {judged.id: judged for judged in group}
    for judged, opinion in last_choices(group):
        choice = opinion["choice"]
        for passed_over in choice.items or ():
            # A draft that may not be trained on is not in the group.
            if passed_over in by_id:
                yield Preference("choice", judged, by_id[passed_over], (choice,), opinion)


def last_choices(group: list[Judged]) -> list[tuple[Judged, Opinion]]:
    """A visitor's last choice in each request: whoever chooses again changes their mind."""
    last: dict[tuple[str, int], tuple[Judged, Opinion]] = {}
    for judged in group:
        for opinion in judged.opinions:
            if "choice" not in opinion:
                continue
            place = judged.request_id, opinion["choice"].visitor_id
            before = last.get(place)
            if before is None or before[1]["choice"].id < opinion["choice"].id:
                last[place] = (judged, opinion)
    return list(last.values())


def ranks(group: list[Judged]) -> Iterator[Preference]:
    """Every two drafts that a visitor put in different places; those in the same are a tie."""
    for ranked in rankings(group):
        places = [opinion["rank"].score or 0 for _, opinion in ranked]
        for (better, opinion), (worse, other) in combinations(ranked, 2):
            because = opinion["rank"], other["rank"]
            apart = (because[1].score or 0) - (because[0].score or 0)
            strength = apart / max(places[-1] - places[0], 1)
            problem = None if apart else "tie"
            yield Preference("rank", better, worse, because, opinion, problem, strength)


def rankings(group: list[Judged]) -> list[list[tuple[Judged, Opinion]]]:
    """What each visitor ranked in each request, the best first."""
    found: dict[tuple[str, int], list[tuple[Judged, Opinion]]] = {}
    for judged in group:
        for opinion in judged.opinions:
            if "rank" in opinion:
                place = judged.request_id, opinion["rank"].visitor_id
                found.setdefault(place, []).append((judged, opinion))
    return [sorted(ranked, key=lambda one: one[1]["rank"].score or 0) for ranked in found.values()]


def votes(group: list[Judged]) -> Iterator[Preference]:
    """The answers to "which is better?"; of two votes of a visitor on a pair the last counts."""
    by_id = {judged.id: judged for judged in group}
    last: dict[tuple[int, frozenset[str]], tuple[Judged, Ballot]] = {}
    for left in group:
        for ballot in left.ballots:
            pair = ballot.vote.visitor_id, frozenset((left.id, ballot.right_id))
            before = last.get(pair)
            if before is None or before[1].vote.id < ballot.vote.id:
                last[pair] = (left, ballot)
    for left, ballot in last.values():
        if ballot.right_id not in by_id:
            continue
        better, worse = left, by_id[ballot.right_id]
        if ballot.answer == "right":
            better, worse = worse, better
        problem = None if ballot.answer in ("left", "right") else ballot.answer
        yield Preference("vote", better, worse, (ballot.vote,), {}, problem)


def ratings(group: list[Judged]) -> Iterator[Preference]:
    """What somebody liked over what they or somebody else disliked."""
    rated = [
        (judged, opinion, found)
        for judged in group
        for opinion in judged.opinions
        if (found := verdict(opinion)) is not None
    ]
    likes = [one for one in rated if one[2].liked]
    dislikes = [one for one in rated if not one[2].liked]
    for (judged, opinion, like), (worse, _, dislike) in spread(likes, dislikes):
        yield Preference(
            "rating",
            judged,
            worse,
            (*like.ratings, *dislike.ratings),
            opinion,
            like.problem or dislike.problem,
            (like.strength - dislike.strength) / 2,
        )


def spread(likes: list[Rated], dislikes: list[Rated]) -> Iterator[tuple[Rated, Rated]]:
    """Every like with every dislike; on crowded prompts evenly, PAIRS_PER_OUTPUT for each."""
    few, many = sorted((likes, dislikes), key=len)
    for shift in range(min(len(few), PAIRS_PER_OUTPUT)):
        for number, one in enumerate(many):
            other = few[(number + shift) % len(few)]
            yield (one, other) if many is likes else (other, one)
