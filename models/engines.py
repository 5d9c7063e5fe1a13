"""Engines that serve a model elsewhere: how a setting names one, and which version that makes."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from models.registry import Source, short_name

Kind = Literal["openai", "hf-inference"]
Task = Literal["text", "image"]

SETTING = re.compile(
    r"(?P<kind>openai|hf-inference):(?P<where>[^#]*)#(?P<model>[^?#]+)(?:\?(?P<options>.*))?"
)
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")  # a name, as DNS has it, or an IPv6 address
PROVIDER = re.compile(r"[a-z0-9-]+")
SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")
WHOLE, DECIMAL = re.compile(r"[0-9]{1,4}"), re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")
HUB_KEY = "HF_TOKEN"
LARGEST, MULTIPLE = 4096, 8  # pixels of a side

# What a request may say besides the least that every engine understands. A text engine is told all
# of it until it says no; an image engine only what the setting says that it takes.
SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")
TEXT_FIELDS = frozenset({"seed", "logprobs", "stream_options", *SAMPLING})
IMAGE_FIELDS = frozenset({"seed", "negative_prompt", "steps", "guidance"})
CONTINUES = "continue"  # a text that an answer is to go on from; known of vLLM and SGLang

OPTIONS: dict[Task, frozenset[str]] = {
    "text": frozenset({"key", "name", "revision", "at_once", "api", "with", "without"}),
    "image": frozenset(
        {"key", "name", "revision", "at_once", "with", "without", "size", "steps", "guidance"}
    ),
}
# Providers that answer with the picture itself. Others answer with an address to fetch it from,
# and an address that an answer names is never called from here.
PICTURE_PROVIDERS = ("hf-inference", "nscale", "together")


class BadEngine(ValueError):
    """A setting names an engine in a way that makes no sense; the message quotes no address."""


@dataclass(frozen=True)
class Engine:
    """One entry of GENLOOP_TEXT_MODELS or GENLOOP_IMAGE_MODELS that names an engine."""

    task: Task
    kind: Kind
    endpoints: tuple[str, ...]  # addresses up to /v1; of a provider, its name alone
    model: str  # as the engine calls it
    name: str  # as the picker shows it
    key_variable: str | None = None  # the environment variable that holds the key
    revision: str | None = None  # what the owner says is served
    api: Literal["chat", "completions"] = "chat"
    takes: frozenset[str] = frozenset()
    at_once: int | None = None  # requests
    width: int = 1024  # pixels
    height: int = 1024
    defaults: dict[str, float] = field(default_factory=dict)  # steps, guidance


@dataclass(frozen=True)
class EngineVersion:
    """Which model an engine serves, as far as it can be known from here: by its name."""

    source: Source
    sha256: str  # of the name, not of weights
    verified: bool = False


def is_engine(text: str) -> bool:
    """Whether an entry of the settings names an engine, and not weights to load."""
    return text.startswith(("openai:", "hf-inference:"))


def parse_engine(text: str, task: Task) -> Engine:
    """The engine that an entry names (docs/engines.md has the form); raises BadEngine."""
    match = SETTING.fullmatch(text)
    if match is None:
        raise BadEngine(
            "an engine is written openai:ADDRESS#MODEL or hf-inference:PROVIDER#ORG/NAME"
        )
    kind: Kind = "openai" if match["kind"] == "openai" else "hf-inference"
    model = match["model"]
    options = options_of(match["options"] or "", task, model)
    if kind == "openai":
        endpoints = tuple(address(part, model) for part in match["where"].split("|"))
    else:
        endpoints = (provider(match["where"], task, model),)
    if kind == "hf-inference" and options.get("api", "chat") != "chat":
        raise BadEngine(f"{model}: Inference Providers serve chats alone")
    width, height = size_of(options.get("size", "1024x1024"), model)
    return Engine(
        task=task,
        kind=kind,
        endpoints=endpoints,
        model=model,
        name=options.get("name") or short_name(model),
        key_variable=variable(
            options.get("key", HUB_KEY if kind == "hf-inference" else None), model
        ),
        revision=options.get("revision"),
        api=api_of(options.get("api", "chat"), model),
        takes=fields_of(options, task, model),
        at_once=count(options.get("at_once"), model),
        width=width,
        height=height,
        defaults=defaults_of(options, model),
    )


def version_of(engine: Engine) -> EngineVersion:
    """The version that the outputs of an engine are counted for.

    Nobody here sees the weights, so the hash is one over names: over the model's and the revision
    that the owner states, or, where none is stated, the addresses. Who moves an engine or adds an
    endpoint keeps the version by stating a revision; who changes the weights states another.
    """
    stated: dict[str, Any] = {"engine": engine.kind, "model": engine.model, "task": engine.task}
    if engine.revision is not None:
        stated["revision"] = engine.revision
    else:
        stated["endpoints"] = sorted(engine.endpoints)
    text = json.dumps(stated, sort_keys=True, ensure_ascii=False)
    source = f"{engine.kind}:{'|'.join(engine.endpoints)}#{engine.model}"
    return EngineVersion(
        Source(engine.name, source, engine.revision), hashlib.sha256(text.encode()).hexdigest()
    )


# Parts of an entry


def options_of(text: str, task: Task, model: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    except ValueError as problem:
        raise BadEngine(
            f"{model}: options are written NAME=VALUE, with & between them"
        ) from problem
    options = dict(pairs)
    if len(options) < len(pairs):
        raise BadEngine(f"{model}: an option stands there twice")
    if unknown := sorted(options.keys() - OPTIONS[task]):
        raise BadEngine(
            f"{model}: a {task} engine has no option {unknown[0]}, "
            f"but {', '.join(sorted(OPTIONS[task]))}"
        )
    if empty := sorted(name for name, value in options.items() if not value.strip()):
        raise BadEngine(f"{model}: the option {empty[0]} is empty")
    if len(options.get("revision", "")) > 64:
        raise BadEngine(f"{model}: a revision has at most 64 characters")
    if len(options.get("name", "")) > 200:
        raise BadEngine(f"{model}: a name has at most 200 characters")
    return options


def address(text: str, model: str) -> str:
    """An address, without the slash at its end."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        _port = parts.port  # raises ValueError for one that is no number
    except ValueError as problem:
        raise BadEngine(f"{model}: an address cannot be read") from problem
    host = HOST.fullmatch(parts.hostname or "")
    if parts.scheme not in ("http", "https") or not host or not text.isprintable() or " " in text:
        raise BadEngine(f"{model}: an address begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None or parts.query:
        raise BadEngine(
            f"{model}: an address holds no password and no key; name the environment variable "
            "that does with ?key=VARIABLE after the model"
        )
    return text.rstrip("/")


def provider(text: str, task: Task, model: str) -> str:
    if not PROVIDER.fullmatch(text):
        raise BadEngine(f"{model}: a provider is named by small letters, digits and hyphens")
    if task == "image" and text not in PICTURE_PROVIDERS:
        raise BadEngine(
            f"{model}: pictures come from the providers {', '.join(PICTURE_PROVIDERS)}; "
            "others send an address in place of a picture"
        )
    return text


def variable(text: str | None, model: str) -> str | None:
    if text is not None and not VARIABLE.fullmatch(text):
        # Not quoted: it may be the key itself.
        raise BadEngine(
            f"{model}: key names an environment variable, in capital letters, which holds the key"
        )
    return text


def api_of(text: str, model: str) -> Literal["chat", "completions"]:
    if text == "completions":
        return "completions"
    if text != "chat":
        raise BadEngine(f"{model}: api is chat or completions")
    return "chat"


def fields_of(options: dict[str, str], task: Task, model: str) -> frozenset[str]:
    """What the engine may be told: the usual, what `with` adds, without what `without` names."""
    possible = TEXT_FIELDS | {CONTINUES} if task == "text" else IMAGE_FIELDS
    more, less = (set(options.get(name, "").split()) for name in ("with", "without"))
    if unknown := sorted((more | less) - possible):
        raise BadEngine(
            f"{model}: with and without take {', '.join(sorted(possible))}, not {unknown[0]}"
        )
    usual = TEXT_FIELDS if task == "text" else frozenset(options.keys() & IMAGE_FIELDS)
    return frozenset((usual | more) - less)


def count(text: str | None, model: str) -> int | None:
    if text is None:
        return None
    if not WHOLE.fullmatch(text) or int(text) < 1:
        raise BadEngine(f"{model}: at_once is a whole number from 1")
    return int(text)


def size_of(text: str, model: str) -> tuple[int, int]:
    match = SIZE.fullmatch(text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(0 < side <= LARGEST and side % MULTIPLE == 0 for side in (width, height)):
        raise BadEngine(
            f"{model}: size is written WIDTHxHEIGHT, in pixels, multiples of {MULTIPLE} up to "
            f"{LARGEST}"
        )
    return width, height


def defaults_of(options: dict[str, str], model: str) -> dict[str, float]:
    """The steps and the guidance to begin with, in the limits of the Image tab."""
    steps, guidance = options.get("steps", "1"), options.get("guidance", "0")
    if not WHOLE.fullmatch(steps) or not 1 <= int(steps) <= 100:
        raise BadEngine(f"{model}: steps is a whole number from 1 to 100")
    if not DECIMAL.fullmatch(guidance) or float(guidance) > 30:
        raise BadEngine(f"{model}: guidance is a number from 0 to 30")
    return {name: float(options[name]) for name in ("steps", "guidance") if name in options}
