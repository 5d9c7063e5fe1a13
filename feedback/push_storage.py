"""Bring an export to a folder, or to object storage by any URL that fsspec knows.

Each export is a folder of its own below the target, named NAME@VERSION. Every file is read back and
compared before the manifest is written, last: a reader who waits for the manifest never sees half.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import fsspec

from feedback.dataset_folder import FolderInUse, new_folder
from feedback.ledger import MANIFEST
from feedback.push_patience import Patience, PushFailed, TargetTaken, brief, patiently
from feedback.whole_export import (
    CHUNK,
    DamagedExport,
    ExportFile,
    WholeExport,
    check,
    sha256_of,
)

AT_ONCE = 8  # files on their way together
Check = Literal["hashes", "sizes"]
Answer = TypeVar("Answer")

# What trying again does not mend. Storage has errors of many libraries: all others may pass.
FINAL = (
    PermissionError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    ImportError,
    NotImplementedError,
    ValueError,
    TypeError,
    PushFailed,
)


class WrongCopy(OSError):
    """What was read back is not what was sent."""


def may_pass(error: BaseException) -> bool:
    return not isinstance(error, FINAL)


def push_to_folder(export: WholeExport, target: Path) -> bool:
    """Copy the export into `target/NAME@VERSION`; False when it stands there already, whole."""
    place = target / export.label
    manifest = place / MANIFEST
    if manifest.exists():
        same_export(manifest.read_bytes(), export, str(place))
        try:
            for file in export.files:
                check(place, file)
        except DamagedExport as problem:
            raise TargetTaken(f"the export that stands there is damaged: {problem}") from problem
        return False
    try:
        with new_folder(place) as partial:
            for file in (*export.files, export.manifest):
                copy = partial / file.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(export.path(file), copy)
                if sha256_of(copy) != file.sha256:
                    raise PushFailed(f"{copy} is not what was written: the disk is not sound")
    except FolderInUse as problem:
        raise TargetTaken(str(problem)) from problem
    return True


def push_to_storage(
    export: WholeExport,
    target: str,
    patience: Patience,
    compare: Check = "hashes",
) -> bool:
    """Bring the export to `target/NAME@VERSION`; False when it stands there already, whole.

    What an earlier, broken push brought is kept if it is right. compare: whether files are read
    back, or only their sizes compared.
    """
    try:
        storage = Storage(target, export, patience, compare)
    except (ImportError, ValueError) as problem:  # no library for it, or no such protocol
        raise PushFailed(f"{problem} (for s3:// install requirements-s3.txt)") from problem
    try:
        return storage.push()
    except (PermissionError, FileNotFoundError) as problem:
        raise PushFailed(f"the storage refuses: {brief(problem)}") from problem


class Storage:
    """The place of one export in a filesystem of fsspec."""

    def __init__(
        self, target: str, export: WholeExport, patience: Patience, compare: Check
    ) -> None:
        # An instance of its own: what it has listed before may have changed since.
        self.fs, root = fsspec.core.url_to_fs(
            target, skip_instance_cache=True, use_listings_cache=False
        )
        self.place = f"{root.rstrip('/')}/{export.label}"
        self.export = export
        self.patience = patience
        self.compare = compare

    def push(self) -> bool:
        manifest = self.export.manifest
        present = self.patiently(self.listing)
        standing = MANIFEST in present
        if standing:
            content = self.patiently(lambda: self.fs.cat_file(self.at(MANIFEST)))
            same_export(content, self.export, self.place)
        known = {file.name for file in (*self.export.files, manifest)}
        if strangers := sorted(present.keys() - known):
            raise TargetTaken(
                f"{self.place} holds files that are not the export's, such as {strangers[0]}"
            )

        def bring(file: ExportFile) -> bool:
            """Whether the file had to be sent."""
            if present.get(file.name) == file.bytes and self.patiently(lambda: self.is_right(file)):
                return False
            self.patiently(lambda: self.send(file))
            return True

        sent = self.together(bring, self.export.files)
        if not standing:
            bring(manifest)
        return not standing or any(sent)

    def together(
        self, bring: Callable[[ExportFile], bool], files: Iterable[ExportFile]
    ) -> list[bool]:
        """Several files at a time; after the first that fails no further one is begun."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            coming = [pool.submit(bring, file) for file in files]
            try:
                return [one.result() for one in coming]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def patiently(self, work: Callable[[], Answer]) -> Answer:
        return patiently(self.patience, may_pass, work)

    def at(self, name: str) -> str:
        return f"{self.place}/{name}"

    def listing(self) -> dict[str, int]:
        """The files that are there, with their bytes."""
        self.fs.invalidate_cache()
        found: dict[str, dict[str, Any]] = self.fs.find(self.place, detail=True)
        return {path[len(self.place) + 1 :]: entry["size"] for path, entry in found.items()}

    def send(self, file: ExportFile) -> None:
        self.fs.put_file(str(self.export.path(file)), self.at(file.name))
        if not self.is_right(file):
            raise WrongCopy(f"{file.name} arrived changed")

    def is_right(self, file: ExportFile) -> bool:
        if self.compare == "sizes":
            self.fs.invalidate_cache()
            size: int = self.fs.info(self.at(file.name))["size"]
            return size == file.bytes
        digest = hashlib.sha256()
        with self.fs.open(self.at(file.name), "rb", block_size=CHUNK) as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
        return digest.hexdigest() == file.sha256


def same_export(manifest: bytes, export: WholeExport, place: str) -> None:
    if hashlib.sha256(manifest).hexdigest() != export.manifest.sha256:
        raise TargetTaken(f"another export stands at {place}")


def local_path(target: str) -> Path | None:
    """The folder that the target names; None for a URL of other storage."""
    if "://" not in target:
        return Path(target)
    parts = urlsplit(target)
    return Path(unquote(parts.path)) if parts.scheme in ("file", "local") else None
