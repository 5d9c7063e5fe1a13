"""Plain events: the same rows as everywhere else, read in parts, in as many files as asked for."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pyarrow import parquet

from db.erasure import erase_visitor
from feedback.crew import Processes
from feedback.dataset import export, preview
from feedback.events_csv import COLUMNS, event_rows
from feedback.gathered import Payload
from feedback.plain_events import ids_of
from feedback.plan import plan
from feedback.row_files import Shards, opener
from feedback.snapshot import moment
from feedback.spec import Redaction, of
from tests.exporting import bare, fill
from tests.test_feedback_export import told


@pytest.fixture
def feedback(database):
    """Events of every kind: taken back, without consent, of an erased visitor, and not Unicode."""
    fill(database)
    told(database, ("thumb", 1), ("thumb", None), name="cy", prompt="雪 😀", output="白\n\t\x01")
    told(database, ("thumb", 1), train=False, name="no", prompt="nobody's", output="no")
    rain = [{"role": "user", "content": "雨"}]
    told(database, ("stars", 5), ("comment", "=1+1"), name="cy", messages=rain)
    told(database, ("edit", "half"), name="cy", prompt="half \ud83d", output="a pair")
    database.write(lambda session: erase_visitor(session, 1))


@pytest.mark.parametrize("processes", [1, 3])
def test_they_are_the_rows_that_downloads_have(database, feedback, tmp_path, processes):
    export(database, bare("events"), tmp_path / "out", crew=Processes(processes))
    with database.read() as session:
        expected = list(event_rows(session, training_only=True))

    found = [
        json.loads(line) for line in (tmp_path / "out" / "feedback.jsonl").read_bytes().splitlines()
    ]
    assert len(found) > 20
    assert [list(row) for row in found] == [list(COLUMNS)] * len(found)
    assert found == expected
    assert (found[-1]["prompt"], found[-2]["messages"][0]["content"]) == ("half \ud83d", "雨")


def test_tables_hold_the_same(database, feedback, tmp_path):
    spec = bare("events", files="parquet")
    export(database, spec, tmp_path / "out", crew=Processes(2))
    with database.read() as session:
        expected = list(event_rows(session, training_only=True))

    found = parquet.read_table(tmp_path / "out" / "feedback.parquet").to_pylist()
    assert [row["event_id"] for row in found] == [row["event_id"] for row in expected]
    assert [row["output"] for row in found] == [row["output"] for row in expected]
    assert found[-2]["messages"] == '[{"role": "user", "content": "雨"}]'


@pytest.mark.parametrize("processes", [1, 2])
def test_a_preview_counts_them_and_writes_none(database, feedback, tmp_path, processes):
    kept = []

    class Watched(Processes):
        def gather(self, *asked):
            found, samples = super().gather(*asked)
            found.flush()
            kept.extend(path.stat().st_size for path in found.folder.rglob("*") if path.is_file())
            return found, samples

    spec = bare("events", redaction=Redaction("drop_row"))
    seen = preview(database, spec, work=tmp_path, crew=Watched(processes))
    manifest = export(database, spec, tmp_path / "out")

    assert kept and set(kept) == {0}
    assert seen.summary["rows"] == manifest["rows"] > 0
    assert len(seen.rows["events"]) == 10


@pytest.mark.parametrize("number", [1, 2, 7, 500])
def test_parts_hold_every_event_once(database, feedback, number):
    with database.read() as session:
        every = [row["event_id"] for row in event_rows(session)]
        parts = ids_of(session, moment(session), number)

    found = [one for part in parts for one in every if part.after < one < part.before]
    assert found == every


def test_there_may_be_none(database):
    with database.read() as session:
        [part] = ids_of(session, moment(session), 1)

    assert part.after + 1 == part.before


lines = some.lists(some.integers(0, 10**9).map(lambda number: b"%d" % number), max_size=60)


@settings(deadline=None, max_examples=60)
@given(lines, some.integers(1, 200), some.integers(1, 50), some.sampled_from(["jsonl", "csv"]))
def test_lines_that_come_together_go_into_the_same_files_as_one_by_one(rows, limit, many, files):
    [config] = plan(of("prompts", files=files))
    rows = [orjson.dumps({name: row.decode() for name in config.schema}) for row in rows]

    def written(folder, work):
        shards = Shards(folder, "train", files, opener(config), limit)
        work(shards)
        return [(file.path.name, file.path.read_bytes(), count) for file, count in shards.close()]

    def one_by_one(shards):
        for row in rows:
            shards.add(row)

    def together(shards):
        for start in range(0, len(rows), many):
            some_rows = rows[start : start + many]
            added = shards.add_lines(b"".join(row + b"\n" for row in some_rows))
            assert added == len(some_rows)

    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        assert written(Path(first), one_by_one) == written(Path(second), together)


@settings(deadline=None, max_examples=60)
@given(some.lists(some.binary(max_size=30).map(lambda data: data.replace(b"\n", b""))))
def test_whole_lines_are_whole(tmp_path_factory, rows):
    payload = Payload(tmp_path_factory.mktemp("payload") / "lines")
    for row in rows:
        payload.add(row + b"\n")

    assert b"".join(payload.whole_lines(8)).split(b"\n")[:-1] == rows
    assert all(some_lines.endswith(b"\n") for some_lines in payload.whole_lines(8))
