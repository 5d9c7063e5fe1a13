"""Bring a finished export elsewhere: `python -m feedback.push data/exports/dpo hf://datasets/me/poems`.

The target is a private dataset repository of the Hugging Face Hub, storage by a URL such as
s3://bucket/datasets, or a folder. Whole exports only, and never half of one (docs/publishing.md).
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from config import Settings
from db.engine import Database
from db.tables import Export
from feedback.export import NotReady, ready_database
from feedback.ledger import MANIFEST, NoExport
from feedback.push_hub import REPOSITORY, push_to_hub
from feedback.push_patience import Patience, PushFailed
from feedback.push_storage import Check, local_path, push_to_folder, push_to_storage
from feedback.whole_export import DamagedExport, WholeExport, read_whole

PATIENCE = Patience()


@dataclass(frozen=True)
class Pushed:
    """What came of a push."""

    export: WholeExport
    new: bool  # False: it was there already


def push(
    folder: Path,
    target: str,
    *,
    version: int | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    patience: Patience = PATIENCE,
    compare: Check = "hashes",
) -> Pushed:
    """Bring the export in the folder to the target, unless it is there.

    version: of the dataset, where the manifest does not say it. token, endpoint: of the Hub.
    Raises NoExport, DamagedExport or PushFailed.
    """
    export = read_whole(folder, version)
    if target.startswith("hf://"):
        repository = REPOSITORY.fullmatch(target)
        if repository is None:
            raise PushFailed("a dataset repository is named hf://datasets/OWNER/NAME")
        new = push_to_hub(export, repository[1], patience, token=token, endpoint=endpoint)
    elif (place := local_path(target)) is not None:
        new = push_to_folder(export, place)
    else:
        new = push_to_storage(export, target, patience, compare)
    return Pushed(export, new)


def version_in_ledger(database: Database, folder: Path) -> int | None:
    """The version under which the export is in the ledger."""
    try:
        sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    with database.read() as session:
        return session.scalar(select(Export.version).where(Export.manifest_sha256 == sha256))


def without_password(target: str) -> str:
    """The target as it may be shown: a URL may hold a password."""
    return re.sub(r"(?<=://)[^/@]*@", "", target)


def main(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished export.")],
    target: Annotated[
        str,
        typer.Argument(
            help="hf://datasets/OWNER/NAME, a URL such as s3://BUCKET/PATH, or a folder in which "
            "the export becomes a folder NAME@VERSION."
        ),
    ],
    compare: Annotated[
        Check,
        typer.Option(help="Of storage: read every file back, or only compare the sizes."),
    ] = "hashes",
) -> None:
    """Bring a finished export elsewhere; the same export again changes nothing.

    Exit codes: 0 it is there, 1 it is not.
    """
    settings = Settings()
    try:
        try:
            with ready_database(settings.database) as database:
                version = version_in_ledger(database, folder)
        except NotReady:  # the export may have been made elsewhere
            version = None
        pushed = push(
            folder,
            target,
            version=version,
            token=settings.hub_token.get_secret_value() or None,
            compare=compare,
        )
    except (NoExport, DamagedExport, PushFailed) as problem:
        typer.echo(f"{problem}.", err=True)
        raise typer.Exit(1) from problem
    export = pushed.export
    print(
        f"{'Brought' if pushed.new else 'Found'} {export.label} at {without_password(target)}"
        f"{'' if pushed.new else ', whole'}: {export.rows} rows, {len(export.files) + 1} files, "
        f"{export.bytes} bytes."
    )


if __name__ == "__main__":
    typer.run(main)
