"""The versions of datasets: what is in the ledger about them, and how two of them differ."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select
from sqlalchemy.orm import Session

from db.tables import Export, ExportRow, FeedbackEvent, ModelVersion, TrainingRun, Vote
from feedback.trainable import allowed_events, allowed_votes


class NoVersion(LookupError):
    """The ledger knows no such dataset, or no such version of it."""


def find(session: Session, label: str) -> Export:
    """The export of a label such as poems@2, or the last of a name; raises NoVersion."""
    name, at, version = label.rpartition("@")
    query = select(Export).order_by(Export.version.desc()).limit(1)
    if at and version.isdecimal():
        query = query.where(Export.name == name, Export.version == int(version))
    else:
        query = query.where(Export.name == label)
    found = session.scalar(query)
    if found is None:
        raise NoVersion(f"the ledger knows no {label}")
    return found


def everything(session: Session) -> list[Export]:
    """Every export there has been, the newest first."""
    return list(session.scalars(select(Export).order_by(Export.id.desc())))


def label(export: Export) -> str:
    return f"{export.name}@{export.version}"


# What is no longer allowed to be trained on: erased, or withdrawn since.
GONE: ColumnElement[bool] = or_(
    and_(
        ExportRow.event_id > 0,
        ~allowed_events(literal(1)).where(FeedbackEvent.id == ExportRow.event_id).exists(),
    ),
    and_(
        ExportRow.event_id < 0,
        ~allowed_votes(literal(1)).where(Vote.id == -ExportRow.event_id).exists(),
    ),
)
LEFT: ColumnElement[bool] = ExportRow.quarantine_reason.is_(None)


def withdrawn_rows(export_id: int) -> Select[Any]:
    """The SHA-256s of the rows of an export that no longer may be in a dataset."""
    return (
        select(ExportRow.row_sha256).where(ExportRow.export_id == export_id, LEFT, GONE).distinct()
    )


@dataclass(frozen=True)
class Withdrawn:
    """An export that holds what has been withdrawn since, and what was trained on it."""

    export: str
    folder: str | None
    rows: int  # with something withdrawn
    of: int
    events: int  # withdrawn
    runs: list[int] = field(default_factory=list)
    models: list[str] = field(default_factory=list)  # that came out of the runs


def withdrawn(session: Session) -> list[Withdrawn]:
    """Every export with rows that no longer may be in it, the newest first."""
    counts = (
        select(
            ExportRow.export_id,
            func.count(ExportRow.row.distinct()),
            func.count(ExportRow.event_id.distinct()),
        )
        .where(LEFT, GONE)
        .group_by(ExportRow.export_id)
        .order_by(ExportRow.export_id.desc())
    )
    return [
        with_what_was_trained(session, session.get_one(Export, export_id), rows, events)
        for export_id, rows, events in session.execute(counts).all()
    ]


def with_what_was_trained(session: Session, export: Export, rows: int, events: int) -> Withdrawn:
    trained = session.execute(
        select(TrainingRun.id, ModelVersion.name)
        .outerjoin(ModelVersion, ModelVersion.id == TrainingRun.version_id)
        .where(TrainingRun.export_id == export.id)
        .order_by(TrainingRun.id)
    ).all()
    return Withdrawn(
        label(export),
        export.folder,
        rows,
        export.rows,
        events,
        [run for run, _ in trained],
        [name for _, name in trained if name is not None],
    )


@dataclass(frozen=True)
class Difference:
    """What a newer version of a dataset has that an older one has not, and the other way round."""

    older: str
    newer: str
    same: int  # rows
    added: int
    removed: int
    withdrawn: int  # of the removed
    moved: dict[str, int]  # rows that changed sides: "train to test"
    balance: dict[str, dict[str, tuple[int, int]]]  # by config: rows by source and label, in both


def difference(session: Session, older: Export, newer: Export) -> Difference:
    """How two versions differ, by the SHA-256s of their rows."""
    one, other = rows_of(older.id, "one"), rows_of(newer.id, "other")
    both = and_(
        one.c.row_sha256 == other.c.row_sha256,
        func.coalesce(one.c.config, "") == func.coalesce(other.c.config, ""),
    )
    sides = session.execute(
        select(one.c.split, other.c.split, func.count())
        .select_from(one.join(other, both))
        .group_by(one.c.split, other.c.split)
    ).all()
    same = sum(rows for *_, rows in sides)
    gone = withdrawn_rows(older.id).subquery("gone")
    lost = select(func.count()).select_from(one.join(gone, gone.c.row_sha256 == one.c.row_sha256))
    return Difference(
        label(older),
        label(newer),
        same,
        count_rows(session, newer.id) - same,
        count_rows(session, older.id) - same,
        session.scalar(lost.where(~select(other.c.row_sha256).where(both).exists())) or 0,
        {f"{was} to {now}": rows for was, now, rows in sides if was != now},
        balance(older.manifest or {}, newer.manifest or {}),
    )


def rows_of(export_id: int, name: str) -> Any:
    """The rows of an export, each once, that were not held back."""
    return (
        select(ExportRow.config, ExportRow.row_sha256, ExportRow.split)
        .where(ExportRow.export_id == export_id, LEFT)
        .distinct()
        .subquery(name)
    )


def count_rows(session: Session, export_id: int) -> int:
    return session.scalar(select(func.count()).select_from(rows_of(export_id, "rows"))) or 0


def balance(older: dict[str, Any], newer: dict[str, Any]) -> dict[str, dict[str, tuple[int, int]]]:
    """Rows by source and by label in both, by config."""
    told: dict[str, dict[str, tuple[int, int]]] = {}
    configs = [
        {config["name"]: config for config in manifest.get("configs", ())}
        for manifest in (older, newer)
    ]
    for name in sorted({*configs[0], *configs[1]}):
        one, other = (counts(each.get(name, {})) for each in configs)
        told[name] = {key: (one.get(key, 0), other.get(key, 0)) for key in sorted({*one, *other})}
    return told


def counts(config: dict[str, Any]) -> dict[str, int]:
    labels = {f"label {name}": rows for name, rows in config.get("rows_by_label", {}).items()}
    return {**config.get("rows_by_source", {}), **labels}
