"""Bring a database back, from its copy or from a backup: `python -m db.restore --help`."""

from pathlib import Path
from typing import Annotated

import typer

from config import Settings
from db.backup import NoBackup, sqlite_path
from db.engine import Database, UnsafeDatabase
from db.former import InUse
from db.media import Media
from db.media_elsewhere import open_media
from db.migrate import NewerDatabase, migrate
from db.put_back import Restored, put_back
from db.replica.boot import NO_START
from db.replica.drill import Drill, drill
from db.replica.keys import kept, key_check
from db.replica.repair import repair
from db.replica.replay import NotEmpty, Report, replay
from db.replica.targets import Target, TargetDown, open_target


def main(
    verify: Annotated[
        bool, typer.Option("--verify", help="Try it out in a temporary place, and compare.")
    ] = False,
    do_repair: Annotated[
        bool, typer.Option("--repair", help="Say what of a damaged copy can be rebuilt.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: make that the copy.")] = False,
    backup: Annotated[
        Path | None, typer.Option(help="Put this backup in the place of the database.")
    ] = None,
) -> None:
    """Rebuild the empty database of the settings from the copy that GENLOOP_REPLICA names.

    The app does so by itself when it starts. Exit codes: 0 done, or the copy is right; 1 not.
    """
    settings = Settings()
    try:
        media = open_media(settings.media)
        if backup is not None:
            tell_restored(put_back(backup, sqlite_path(settings.database), media), media)
            return
        if not settings.replica:
            raise NoBackup("GENLOOP_REPLICA names no copy")
        target = open_target(settings.replica, settings.hub_token.get_secret_value())
        if verify:
            right = verified(settings, target, media)
        elif do_repair:
            right = repaired(target, yes, media)
        else:
            right = rebuilt(settings, target, media)
    except (NoBackup, InUse, NotEmpty, TargetDown, UnsafeDatabase, NewerDatabase, *NO_START) as no:
        typer.echo(f"{no}.", err=True)
        raise typer.Exit(1) from no
    if not right:
        raise typer.Exit(1)


def rebuilt(settings: Settings, target: Target, media: Media) -> bool:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    try:
        migrate(database)
        report = replay(database, media, target)
    finally:
        database.close()
    return tell_report(report, target, media) and same_secret(settings, report)


def verified(settings: Settings, target: Target, media: Media) -> bool:
    here = open_if_there(settings)
    try:
        found = drill(target, here)
    finally:
        if here is not None:
            here.close()
    if found is None:
        return tell_report(None, target, media)
    look_elsewhere(found.report, media)
    return tell_drill(found, media) and same_secret(settings, found.report)


def open_if_there(settings: Settings) -> Database | None:
    if settings.database.startswith("sqlite") and not sqlite_path(settings.database).is_file():
        return None
    return Database(settings.database)


def look_elsewhere(report: Report, media: Media) -> None:
    """Leave out of the missing pictures those that the copy lacks because they lie elsewhere."""
    if media.elsewhere and report.missing_pictures:
        report.missing_pictures = sorted(media.lacks(report.missing_pictures))


def repaired(target: Target, yes: bool, media: Media) -> bool:
    report = repair(target, write=yes, elsewhere=media if media.elsewhere else None)
    if report is not None:
        look_elsewhere(report, media)
    right = tell_report(report, target, media)
    if report is not None:
        for damage in report.damages:
            print(f"- {damage}")
        if yes:
            print("This is the copy now: start the app with an empty data folder.")
        elif report.damages:
            print("Stop the app; then --repair --yes makes the rest the copy.")
        else:
            print("Nothing is damaged.")
    return right


def tell_report(report: Report | None, target: Target, media: Media) -> bool:
    if report is None or report.newest is None:
        typer.echo(f"There is no copy at {target.url}.", err=True)
        return False
    print(f"{target.url}: {report.marks} marks, as of {report.newest.mark.at}.")
    print(f"{report.pictures} pictures; {len(report.missing_pictures)} are missing.")
    for sha256 in report.missing_pictures:
        print(f"- {sha256}")
    tell_elsewhere(media)
    return True


def tell_elsewhere(media: Media) -> None:
    if media.elsewhere:
        print(f"Pictures are at {media.name}, where they stay: a copy or backup may lack them.")


def tell_drill(found: Drill, media: Media) -> bool:
    assert found.report.newest is not None
    print(
        f"Rebuilt from {found.report.marks} marks, as of {found.report.newest.mark.at}; "
        f"{found.report.pictures} pictures, {len(found.report.missing_pictures)} of them missing."
    )
    tell_elsewhere(media)
    for one in found.tables:
        if one.here is None:
            compared = "nothing here to compare with"
        elif one.same:
            compared = "the same here"
        else:
            compared = f"NOT the same: {one.here[0]} rows here, {one.here[1][:16]}"
        waiting = f"; {one.waiting} not yet copied" if one.waiting else ""
        print(f"{one.table:16} {one.there[0]:8} rows  {one.there[1][:16]}  {compared}{waiting}")
    right = all(one.same for one in found.tables)
    print("The copy is right." if right else "The copy is NOT right.")
    return right


def same_secret(settings: Settings, report: Report | None) -> bool:
    """Say so when visitors of the copy would be strangers here."""
    secret = settings.secret.get_secret_value() or kept(settings.data_dir)
    if report is None or report.newest is None or not secret:
        print("There is no secret here: set the GENLOOP_SECRET that signed the visitors' tokens.")
        return True
    if key_check(secret) == report.newest.mark.key_check:
        return True
    typer.echo(
        "The secret here is not the one that signed the tokens of these visitors: they could "
        "neither see nor erase what they left. Set GENLOOP_SECRET to the old one.",
        err=True,
    )
    return False


def tell_restored(restored: Restored, media: Media) -> None:
    print(f"Restored, with {restored.pictures} pictures; {restored.missing} are missing.")
    tell_elsewhere(media)
    for path in restored.aside:
        print(f"The former database is {path}; remove it when you do not need it any more.")
    carried = restored.carried
    if carried.erased:
        print(f"{len(carried.erased)} visitors had erased themselves since, and are erased again.")
    if carried.withdrawn:
        print(f"{len(carried.withdrawn)} visitors had withdrawn their consent since; so it stays.")
    for one in carried.to_take_back:
        print(f"Import {one} had been taken back since: take it back again.")
    if not restored.known:
        print("The former database is broken: what was taken back since the backup is not known.")


if __name__ == "__main__":
    typer.run(main)
