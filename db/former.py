"""What was taken back since a backup was made: it stays taken back when the backup is used."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database, sqlite_module
from db.erasure import erase_visitor
from db.tables import Consent, ErasedRater, Import, Visitor


class InUse(RuntimeError):
    """The app has the database open."""


@dataclass(frozen=True)
class Former:
    """What the former database says of it."""

    known: bool = True  # whether it could be read
    erased: set[int] = field(default_factory=set)  # visitors
    raters: list[tuple[str, datetime]] = field(default_factory=list)  # who must not be imported
    taken_back: dict[int, str] = field(default_factory=dict)  # imports, by name
    answers: list[dict[str, Any]] = field(default_factory=list)  # the last one of each visitor
    numbers: dict[str, int] = field(default_factory=dict)  # the last one that each table gave away


@dataclass
class Carried:
    """What was done to the backup because of it."""

    erased: list[int] = field(default_factory=list)  # visitors
    withdrawn: list[int] = field(default_factory=list)  # visitors who do not agree any more
    to_take_back: list[str] = field(default_factory=list)  # imports that the owner takes back again


ANSWERS = """
SELECT visitor_id, terms_version, terms_sha256, language, keep, train, created_at FROM consents
WHERE id IN (SELECT max(id) FROM consents WHERE import_id IS NULL GROUP BY visitor_id)
"""


def read_former(path: Path) -> Former:
    """Raises InUse.

    Folds its log into it, which only works when nobody else has it open.
    """
    module = sqlite_module()
    connection = module.connect(path, timeout=0, isolation_level=None)
    connection.row_factory = module.Row
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        return Former(
            erased={
                row["id"]
                for row in connection.execute("SELECT id FROM visitors WHERE erased_at IS NOT NULL")
            },
            raters=[
                (row["rater_hash"], moment(row["erased_at"]))
                for row in connection.execute("SELECT rater_hash, erased_at FROM erased_raters")
            ],
            taken_back={
                row["id"]: row["source"]
                for row in connection.execute(
                    "SELECT id, source FROM imports WHERE taken_back_at IS NOT NULL"
                )
            },
            answers=[
                dict(row) | {"created_at": moment(row["created_at"])}
                for row in connection.execute(ANSWERS)
            ],
            numbers={
                row["name"]: row["seq"]
                for row in connection.execute("SELECT name, seq FROM sqlite_sequence")
            },
        )
    except module.OperationalError as problem:
        if "locked" in str(problem):
            raise InUse(f"{path} is in use: stop the app first") from problem
        return Former(known=False)
    except module.DatabaseError:
        return Former(known=False)
    finally:
        connection.close()


def moment(stored: str) -> datetime:
    return datetime.fromisoformat(stored).replace(tzinfo=UTC)


def carry_over(former: Former, database: Database) -> Carried:
    """Do again in the backup what was taken back since."""
    carried = Carried()
    with database.read() as session:
        query = select(Visitor.id).where(Visitor.erased_at.is_(None)).order_by(Visitor.id)
        present = set(session.scalars(query))
    carried.erased = sorted(present & former.erased)
    for visitor_id in carried.erased:
        database.write(partial(erase_visitor, visitor_id=visitor_id))
    database.write(partial(keep_out, raters=former.raters))
    carried.withdrawn = database.write(
        partial(
            withdraw,
            answers=[one for one in former.answers if one["visitor_id"] in present - former.erased],
        )
    )
    with database.read() as session:
        imports = session.scalars(select(Import.id).where(Import.taken_back_at.is_(None)))
        carried.to_take_back = [
            f"{one} ({former.taken_back[one]})" for one in imports if one in former.taken_back
        ]
    return carried


def keep_out(session: Session, raters: list[tuple[str, datetime]]) -> None:
    for rater_hash, erased_at in raters:
        if session.get(ErasedRater, rater_hash) is None:
            session.add(ErasedRater(rater_hash=rater_hash, erased_at=erased_at))


def withdraw(session: Session, answers: list[dict[str, Any]]) -> list[int]:
    """Add the last answers of visitors who allowed more in the backup; their numbers."""
    done = []
    for answer in answers:
        visitor_id = answer["visitor_id"]
        before = session.scalars(
            select(Consent)
            .where(Consent.visitor_id == visitor_id, Consent.import_id.is_(None))
            .order_by(Consent.id.desc())
            .limit(1)
        ).first()
        if before is None:
            continue
        if (before.keep and not answer["keep"]) or (before.train and not answer["train"]):
            keep, train = bool(answer["keep"]), bool(answer["train"])
            session.add(Consent(**(answer | {"keep": keep, "train": train})))
            done.append(visitor_id)
    return done
