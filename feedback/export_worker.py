"""Carry out one order of the owner's Export page in a process of its own: see export_jobs.py.

    python feedback/child.py feedback.export_worker ORDER.json

The order names what is to be done; every line that is printed is a JSON object that says how far it
is, and the last one what came of it: {"done": ...} or {"problem": ...}.
"""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config import Settings
from db.engine import Database
from db.media_elsewhere import open_media
from feedback import watch
from feedback.dataset import export, preview
from feedback.export import PROBLEMS, next_place
from feedback.history import find
from feedback.priority import step_back
from feedback.push import push, without_password
from feedback.push_patience import PushFailed
from feedback.ready import ready_database
from feedback.remake import clean
from feedback.spec import InvalidSpec, from_json

Order = dict[str, Any]
CELL = 2_000  # characters of a value in a preview


def main(path: Path) -> None:
    step_back()
    order: Order = json.loads(path.read_text(encoding="utf-8"))
    settings = Settings()
    stopped = [False]
    signal.signal(signal.SIGTERM, lambda *_: stopped.__setitem__(0, True))

    def cancelled() -> bool:
        return stopped[0]

    try:
        with ready_database(settings.database) as database:
            done = ACTIONS[order["action"]](order, settings, database, cancelled)
    except (*PROBLEMS, InvalidSpec, PushFailed) as problem:
        say(problem=str(problem), cancelled=isinstance(problem, watch.Cancelled))
        return
    say(done=done)


def say(**line: Any) -> None:
    print(json.dumps(line, ensure_ascii=False, default=str), flush=True)


def report(now: watch.Progress) -> None:
    say(**now._asdict())


Work = Callable[[Order, Settings, Database, Callable[[], bool]], dict[str, Any]]


def make(
    order: Order, settings: Settings, database: Database, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    folder = next_place(database, settings.data_dir.resolve() / "exports", order["name"])
    manifest = export(
        database,
        from_json(order["spec"]),
        folder,
        name=order["name"],
        media=open_media(settings.media),
        report=report,
        cancelled=cancelled,
    )
    return summary(manifest)


def try_out(
    order: Order, settings: Settings, database: Database, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    found = preview(
        database,
        from_json(order["spec"]),
        media=open_media(settings.media),
        report=report,
        cancelled=cancelled,
    )
    rows = {
        name: [{column: cell(value) for column, value in row.items()} for row in some]
        for name, some in found.rows.items()
    }
    samples = [sample._asdict() for sample in found.personal_data]
    return {**summary(found.summary), "rows_shown": rows, "personal_data": samples}


def without_withdrawn(
    order: Order, settings: Settings, database: Database, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    with database.read() as session:
        name = find(session, order["label"]).name
    folder = next_place(database, settings.data_dir.resolve() / "exports", name)
    media = open_media(settings.media)
    return summary(
        clean(database, order["label"], folder, media=media, report=report, cancelled=cancelled)
    )


def send(
    order: Order, settings: Settings, database: Database, _cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Bring an export elsewhere; who stops it leaves what is there without a manifest."""
    with database.read() as session:
        found = find(session, order["label"])
        folder, version = found.folder, found.version
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing in it asks whether to go on
    token = settings.hub_token.get_secret_value() or None
    pushed = push(Path(folder or ""), order["target"], version=version, token=token)
    return {"label": order["label"], "target": without_password(order["target"]), "new": pushed.new}


ACTIONS: dict[str, Work] = {
    "export": make,
    "preview": try_out,
    "clean": without_withdrawn,
    "push": send,
}


def cell(value: Any) -> str:
    """A value of a row as it is shown; of a picture only how large it is."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= CELL else text[:CELL] + "…"


def summary(manifest: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a manifest."""
    names = ("name", "version", "rows", "selected", "quarantined", "splits", "configs", "checked")
    return {name: manifest[name] for name in names if name in manifest}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
