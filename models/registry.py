"""Find weights on disk or the Hub, check that they are safe to load, and name their hash."""

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import CONFIG_MAPPING

from models.device import BYTES, Placement, free_memory

HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")
UNPINNED = re.compile(r"[\w.-]+/[\w.-]+(@.*)?")
NEEDED_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]  # no pickles, no code
HEADROOM = 1.2  # cache and activations come on top of the weights

# Held by who builds a network. accelerate, with which transformers and diffusers load, replaces
# nn.Module.register_parameter for every thread until it is done: what another thread builds
# meanwhile has no values, and two at a time leave the replacement in place for ever.
BUILDING = threading.RLock()


class ModelUnavailable(RuntimeError):
    """The model cannot be used; `code` names the sentence that explains it."""

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


@dataclass(frozen=True)
class Source:
    """Where weights come from: a local folder, or a commit of a Hub repository."""

    name: str  # short, for people
    source: str  # folder or hub id
    revision: str | None = None


@dataclass(frozen=True)
class Weights:
    """Weights on this disk, checked."""

    source: Source
    folder: Path
    sha256: str
    config: dict[str, Any]
    verified: bool = True  # the hash is one of the weights themselves


def short_name(text: str) -> str:
    """The last part of a folder or a Hub id, without the commit."""
    return text.split("@")[0].rstrip("/").split("/")[-1]


def parse_source(text: str) -> Source:
    """A setting's text as a Source; raises ModelUnavailable for a Hub id without a commit."""
    if match := HUB_ID.fullmatch(text):
        return Source(short_name(text), match["repo"], match["commit"])
    folder = Path(text).expanduser()
    if not folder.exists() and UNPINNED.fullmatch(text) and text.count("/") == 1:
        raise ModelUnavailable("model_unpinned", model=text)
    return Source(short_name(text), str(folder))


def fetch(source: Source, placement: Placement) -> Weights:
    """The weights of a source, ready to be loaded.

    Raises ModelUnavailable when they are missing, out of reach, unsafe (pickles, own code) or too
    large for the device's free memory.
    """
    folder = Path(source.source) if source.revision is None else download(source)
    if not (folder / "config.json").is_file():
        raise ModelUnavailable("model_missing", model=source.name, source=source.source)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelUnavailable("model_pickle_only", model=source.name, source=source.source)
    if config.get("model_type") not in CONFIG_MAPPING:
        code = "model_remote_code" if "auto_map" in config else "model_unknown_type"
        raise ModelUnavailable(
            code, model=source.name, source=source.source, type=config.get("model_type")
        )
    stored = {"float32": 4, "float16": 2, "bfloat16": 2}
    stored_bytes = stored.get(str(config.get("dtype") or config.get("torch_dtype")), 2)
    on_disk = sum(file.stat().st_size for file in files)
    check_size(source, on_disk // stored_bytes * BYTES[placement.dtype], placement.device)
    return Weights(source, folder, hash_files(files), config)


def download(source: Source, patterns: Sequence[str] = NEEDED_FILES) -> Path:
    """The folder of a pinned commit, from the local cache or the Hub."""
    try:
        return Path(
            snapshot_download(
                source.source, revision=source.revision, allow_patterns=list(patterns)
            )
        )
    except GatedRepoError as error:
        raise ModelUnavailable("model_gated", model=source.name, source=source.source) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelUnavailable("model_missing", model=source.name, source=source.source) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelUnavailable(
            "model_no_network", model=source.name, source=source.source
        ) from error


def check_size(source: Source, weights: int, device: torch.device) -> None:
    """Raise ModelUnavailable unless weights of so many bytes fit the device, with headroom."""
    needed = int(weights * HEADROOM)
    free = free_memory(device)
    if needed > free:
        raise ModelUnavailable(
            "model_too_big",
            model=source.name,
            source=source.source,
            needed=f"{needed / 1e9:.1f}",
            free=f"{free / 1e9:.1f}",
        )


def hash_files(files: Iterable[Path], folder: Path | None = None) -> str:
    """SHA-256 over the files' own SHA-256s, in the order of their names.

    With a folder, each file's name in it counts too: there a file's name says what it is.
    """
    whole = hashlib.sha256()
    for file in sorted(files):
        if folder is not None:
            whole.update(file.relative_to(folder).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
