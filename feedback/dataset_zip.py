"""A finished export as one file: a ZIP that is made while it is sent, and never lies anywhere."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.orm import Session

from feedback.history import find
from feedback.ledger import MANIFEST, NoExport

CHUNK = 1 << 20  # bytes
PACKED = {".parquet", ".png", ".jpg", ".webp"}  # files that do not become smaller


class Outgoing:
    """What a ZIP is written to, and taken from again at once."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def write(self, data: bytes) -> int:
        self.waiting += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        data = bytes(self.waiting)
        self.waiting.clear()
        return data


def folder_of(session: Session, label: str) -> Path:
    """Where the export of a label lies, as it was entered; raises NoVersion or NoExport."""
    export = find(session, label)
    folder = Path(export.folder or "")
    manifest = folder / MANIFEST
    if export.folder is None or not manifest.is_file():
        raise NoExport(f"the files of {label} are gone")
    if hashlib.sha256(manifest.read_bytes()).hexdigest() != export.manifest_sha256:
        raise NoExport(f"the files of {label} are not those that were made")
    return folder


def zipped(folder: Path, name: str) -> Iterator[bytes]:
    """The files of a folder under a folder of that name, the manifest last, in pieces."""
    out = Outgoing()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    files.sort(key=lambda path: path == folder / MANIFEST)
    with zipfile.ZipFile(out, "w", allowZip64=True) as archive:  # type: ignore[call-overload]
        for path in files:
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(folder).as_posix()}")
            packed = path.suffix in PACKED
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield out.take()
            yield out.take()
    yield out.take()
