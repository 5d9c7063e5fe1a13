"""Many rows at once, into both databases, by the rules of the table."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError

from db.bulk import insert_many
from db.tables import Export, ExportRow

COLUMNS = ("export_id", "row", "event_id", "config", "split", "row_sha256", "quarantine_reason")
HASH = "0" * 64


@pytest.fixture
def export_id(database):
    def work(session):
        export = Export(
            name="x", version=1, format="sft", manifest_sha256=HASH, rows=1, folder="", manifest={}
        )
        session.add(export)
        session.flush()
        return export.id

    return database.write(work)


def enter(database, rows, columns=COLUMNS):
    database.write(
        lambda session: insert_many(session.connection(), ExportRow.__table__, columns, rows)
    )


def entered(database):
    with database.read() as session:
        query = select(*(getattr(ExportRow, name) for name in COLUMNS)).order_by(ExportRow.row)
        return [tuple(row) for row in session.execute(query)]


def test_rows_arrive_as_they_are(database, export_id):
    rows = [
        (export_id, number, -(2**40) + number, "雪\t\\N\n", None, HASH, None)
        for number in range(2_000)
    ]
    enter(database, rows)
    enter(database, [])

    assert entered(database) == rows


def test_columns_may_be_left_out_and_have_another_order(database, export_id):
    names = ("quarantine_reason", "row", "event_id", "export_id")
    enter(database, [("duplicate", 1, 2, export_id)], names)

    assert entered(database) == [(export_id, 1, 2, None, None, None, "duplicate")]


@pytest.mark.parametrize(
    "row",
    [
        (1, 2, "sft", "train", None, None),  # neither exported nor quarantined
        (0, 0, "sft", "train", HASH, None),  # there already
    ],
)
def test_what_the_table_forbids_comes_to_nothing(database, export_id, row):
    enter(database, [(export_id, 0, 0, "sft", "train", HASH, None)])
    with pytest.raises(DBAPIError) as problem:
        enter(database, [(export_id, 7, 7, "sft", "train", HASH, None), (export_id, *row)])

    assert isinstance(problem.value, IntegrityError)
    assert len(entered(database)) == 1
