"""How often one visitor and one address may ask for what costs something."""

import re
import time
from dataclasses import dataclass, field

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from web.errors import Refused


@dataclass(frozen=True)
class Rule:
    """Limits of one kind of request; an address may be a whole school, so it gets more."""

    name: str
    methods: tuple[str, ...]
    path: str  # regular expression of the whole path
    visitor: str
    address: str
    pattern: re.Pattern[str] = field(init=False)
    per_visitor: tuple[RateLimitItem, ...] = field(init=False)
    per_address: tuple[RateLimitItem, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(self.path))
        object.__setattr__(self, "per_visitor", tuple(parse_many(self.visitor)))
        object.__setattr__(self, "per_address", tuple(parse_many(self.address)))

    def covers(self, method: str, path: str) -> bool:
        return method in self.methods and self.pattern.fullmatch(path) is not None


RULES = (
    Rule("feedback", ("POST",), "/api/(feedback|signals)", "240/minute;5000/hour", "2400/minute"),
    Rule("names", ("POST",), "/api/visitor", "60/minute", "60/minute;600/hour"),
    Rule("consents", ("POST",), "/api/consent", "30/minute", "300/minute"),
    Rule("my data", ("GET", "DELETE"), "/api/my(/.*)?", "10/minute", "60/minute"),
    Rule("metrics", ("GET",), "/metrics", "60/minute", "60/minute"),
    Rule("reads", ("GET",), "/api/.*", "300/minute", "3000/minute"),
    Rule(
        "generations",
        ("POST",),
        ".*/gradio_api/(queue/join|(call|run|api)/.+)",
        "60/minute;1000/hour",
        "300/minute",
    ),
    Rule("uploads", ("POST",), ".*/gradio_api/upload/?", "20/minute", "100/minute"),
)
# Guesses of the owner's token; these stay even where the settings switch limits off.
LOGIN_PER_ADDRESS = tuple(parse_many("5/minute;20/hour"))
LOGIN_IN_ALL = tuple(parse_many("200/hour"))


class Limits:
    """Counts what came lately, in memory: a restart forgets it."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.window = MovingWindowRateLimiter(self.storage)

    def count(self, method: str, path: str, visitor: str | None, address: str) -> None:
        """Count one request under its rule; raises Refused above a limit."""
        rule = next((rule for rule in RULES if rule.covers(method, path)), None)
        if rule is None:
            return
        if visitor is not None:
            self._hit(rule.per_visitor, rule.name, "visitor", visitor)
        self._hit(rule.per_address, rule.name, "address", address)

    def count_login(self, address: str) -> None:
        """Count one guess of the owner's token."""
        for items, who in logins(address):
            self._hit(items, *who)

    def may_log_in(self, address: str) -> None:
        """Raise Refused where there have been too many guesses; count none."""
        for items, who in logins(address):
            for item in items:
                if not self.window.test(item, *who):
                    raise self._refused(item, *who)

    def _hit(self, items: tuple[RateLimitItem, ...], *who: str) -> None:
        for item in items:
            if not self.window.hit(item, *who):
                raise self._refused(item, *who)

    def _refused(self, item: RateLimitItem, *who: str) -> Refused:
        reset = self.window.get_window_stats(item, *who).reset_time
        seconds = max(1, round(reset - time.time()))
        return Refused(429, "too_many", retry_after=seconds, seconds=seconds)


def logins(address: str) -> tuple[tuple[tuple[RateLimitItem, ...], tuple[str, ...]], ...]:
    """What limits guesses, and whom."""
    return (LOGIN_PER_ADDRESS, ("login", "address", address)), (LOGIN_IN_ALL, ("login", "all"))
