"""Open the queue before an engine that a setting names."""

from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from generators.openai_engine import OpenAIEngine
from generators.providers import ProviderEngine
from generators.remote import RemoteQueue
from generators.remote_image import RemoteImage
from generators.remote_text import RemoteText
from generators.wire import EngineLimits
from models.engines import BadEngine, Engine, Task, is_engine, parse_engine

KeyOf = Callable[[str], SecretStr | None]  # the value of an environment variable, None if unset
SETTINGS: dict[Task, str] = {"text": "GENLOOP_TEXT_MODELS", "image": "GENLOOP_IMAGE_MODELS"}


def open_engine(
    task: Task, limits: EngineLimits, max_waiting: int, key_of: KeyOf, text: str
) -> RemoteQueue[Any] | None:
    """The queue before an engine; None for an entry that names weights. Raises BadEngine."""
    if not is_engine(text):
        return None
    try:
        engine = parse_engine(text, task)
        spoken = transport(engine, key_of, limits)
    except BadEngine as problem:
        raise BadEngine(f"{SETTINGS[task]}: {problem}") from problem
    model = (RemoteText if task == "text" else RemoteImage)(engine, spoken, limits)
    return RemoteQueue(model, max_waiting, engine.at_once or limits.at_once)


def transport(engine: Engine, key_of: KeyOf, limits: EngineLimits) -> OpenAIEngine | ProviderEngine:
    """How the engine is spoken to, with its key; raises BadEngine where the key is not there."""
    key = None if engine.key_variable is None else key_of(engine.key_variable)
    if engine.key_variable is not None and key is None:
        raise BadEngine(
            f"{engine.model}: the environment variable {engine.key_variable} is not set"
        )
    if engine.kind == "openai":
        return OpenAIEngine(engine, key, limits)
    assert key is not None  # of a provider it always is named
    return ProviderEngine(engine, key, limits)
