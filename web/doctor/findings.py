"""What the doctor finds: one line for each thing that was looked at."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from config import Settings

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """How one thing is; `code` names its sentence in words.py, and the mend where one is needed."""

    state: State
    code: str
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What the checks look at."""

    settings: Settings
    environment: Mapping[str, str]  # variables, and under them the lines of .env

    @property
    def on_space(self) -> bool:
        return bool(self.environment.get("SPACE_ID"))


def ok(code: str, **details: object) -> Finding:
    return Finding("ok", code, details)


def warn(code: str, **details: object) -> Finding:
    return Finding("warn", code, details)


def fail(code: str, **details: object) -> Finding:
    return Finding("fail", code, details)


def open_to_others(mode: int) -> bool:
    """Whether anybody but the file's owner may read or write it; unknown on Windows."""
    return os.name == "posix" and bool(mode & 0o077)
