"""How the settings say that engines are spoken to; for the app and for its doctor."""

from collections.abc import Callable
from functools import partial
from typing import Any

from config import Settings
from generators.engines import open_engine
from generators.remote import RemoteQueue
from generators.wire import EngineLimits
from models.engines import Task


def engines_of(settings: Settings, task: Task) -> Callable[[str], RemoteQueue[Any] | None]:
    """Opens the queue of an entry that names an engine; None for another. Raises BadEngine."""
    limits = EngineLimits(
        connect=settings.engine_connect_seconds,
        first=settings.engine_first_seconds,
        silence=settings.engine_silence_seconds,
        at_once=settings.engine_at_once,
    )
    return partial(open_engine, task, limits, settings.max_waiting, settings.secret_in)
