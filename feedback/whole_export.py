"""A finished export on disk, read as its manifest describes it, for whoever carries it elsewhere.

The manifest is what makes a folder an export: it names every file with its size and hash. A file
that it does not name is no part of the export and stays behind.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from feedback.ledger import LISTED, MANIFEST, NoExport

CHUNK = 1 << 20  # bytes read at once


class DamagedExport(ValueError):
    """The folder does not hold what its manifest says."""


@dataclass(frozen=True)
class ExportFile:
    """One file; `name` is its path in the folder, with slashes."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class WholeExport:
    """An export of which every file has been checked against the manifest."""

    folder: Path
    label: str  # name@version, as a tag of git and as the name of a folder
    rows: int
    files: tuple[ExportFile, ...]  # without the manifest
    manifest: ExportFile

    def path(self, file: ExportFile) -> Path:
        return self.folder / file.name

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in (*self.files, self.manifest))


def read_whole(folder: Path, version: int | None = None) -> WholeExport:
    """The export in the folder.

    version: where the manifest does not say it; without any the hash of the manifest stands for it.
    Raises NoExport, or DamagedExport naming the file that is missing or has changed.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise NoExport(f"{folder} holds no finished export: there is no {MANIFEST}") from None
    described = read_manifest(folder, content)
    manifest = ExportFile(MANIFEST, len(content), hashlib.sha256(content).hexdigest())
    files = tuple(listed_files(folder, described))
    for file in files:
        check(folder, file)
    number = described.get("version", version)
    return WholeExport(
        folder,
        label(str(described["name"]), str(number or manifest.sha256[:12])),
        described["rows"],
        files,
        manifest,
    )


def read_manifest(folder: Path, content: bytes) -> dict[str, Any]:
    try:
        described: dict[str, Any] = json.loads(content)
        described["name"], described["rows"], described["files"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedExport(f"{folder / MANIFEST} is no manifest of an export") from error
    return described


def listed_files(folder: Path, manifest: dict[str, Any]) -> list[ExportFile]:
    """The files that the manifest names, and those of its list of files in subfolders."""
    try:
        files = [
            ExportFile(name, entry["bytes"], entry["sha256"])
            for name, entry in manifest["files"].items()
        ]
        if any(file.name == LISTED for file in files):
            with (folder / LISTED).open(encoding="utf-8") as lines:
                for line in lines:
                    entry = json.loads(line)
                    files.append(ExportFile(entry["name"], entry["bytes"], entry["sha256"]))
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise DamagedExport(f"{folder} does not list its files as an export does") from error
    for file in files:
        path = PurePosixPath(file.name)
        if path.is_absolute() or ".." in path.parts or file.name == MANIFEST:
            raise DamagedExport(f"{folder} names a file outside of itself: {file.name}")
    return files


def check(folder: Path, file: ExportFile) -> None:
    path = folder / file.name
    if path.is_symlink() or not path.is_file():
        raise DamagedExport(f"{path} is missing")
    if path.stat().st_size != file.bytes or sha256_of(path) != file.sha256:
        raise DamagedExport(f"{path} is not the file that the manifest describes")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def label(name: str, version: str) -> str:
    """name@version, of characters that a tag and a path can hold (git-check-ref-format(1))."""
    safe = re.sub(r"[^\w.-]+", "-", name).replace("..", ".").strip(".-") or "export"
    return f"{safe}@{version}"
