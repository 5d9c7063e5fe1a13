"""Make an export again: to see that it is what it says, or without what has been withdrawn."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from db.engine import Database
from db.media import Media
from feedback.dataset import export
from feedback.history import NoVersion, find, label
from feedback.spec import Spec, from_json
from feedback.watch import Report, never, nobody


@dataclass(frozen=True)
class Rebuilt:
    """An export that was made again, and the files that have come out otherwise."""

    export: str
    manifest: dict[str, Any]
    different: list[str]
    missing_rows: int  # that were there, and are not any more


def rebuild(
    database: Database,
    name: str,
    folder: Path,
    *,
    media: Media | None = None,
    report: Report = nobody,
    cancelled: Callable[[], bool] = never,
) -> Rebuilt:
    """Make the export of a label again, as of its own moment, from its manifest in the ledger.

    As long as nothing was withdrawn and the software is the same, every file has the same bytes.
    Raises NoVersion, and what `export` raises.
    """
    original, spec = asked_for(database, name)
    again = export(
        database,
        spec,
        folder,
        name=original["name"],
        version=original["version"],
        media=media,
        report=report,
        cancelled=cancelled,
    )
    files = {*original["files"], *again["files"]}
    different = [
        file for file in sorted(files) if original["files"].get(file) != again["files"].get(file)
    ]
    found = f"{original['name']}@{original['version']}"
    return Rebuilt(found, again, different, max(original["rows"] - again["rows"], 0))


def clean(
    database: Database,
    name: str,
    folder: Path,
    *,
    media: Media | None = None,
    report: Report = nobody,
    cancelled: Callable[[], bool] = never,
) -> dict[str, Any]:
    """Make the successor of an export, without what has been withdrawn since; its manifest.

    It is the dataset as of the same moment. Files without a withdrawn row are taken over as they
    are. Raises NoVersion, and what `export` raises.
    """
    original, spec = asked_for(database, name)
    base = f"{original['name']}@{original['version']}"
    return export(
        database,
        replace(spec, base=base),
        folder,
        name=original["name"],
        media=media,
        report=report,
        cancelled=cancelled,
    )


def go_on(database: Database, name: str) -> Spec:
    """The spec of an export as of now: what was said since is appended to its files."""
    original, spec = asked_for(database, name)
    return replace(spec, as_of=None, base=f"{original['name']}@{original['version']}")


def asked_for(database: Database, name: str) -> tuple[dict[str, Any], Spec]:
    """The manifest of an export, and the spec in it."""
    with database.read() as session:
        found = find(session, name)
        if found.manifest is None:
            raise NoVersion(f"{label(found)} was made before manifests were kept")
        manifest: dict[str, Any] = found.manifest
    return manifest, from_json(manifest["spec"])
