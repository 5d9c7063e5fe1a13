"""Any text survives the files that hold it, and no spreadsheet calculates one."""

import csv
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from hypothesis import given, settings
from hypothesis import strategies as some
from pyarrow import parquet

from feedback.dataset_folder import NewFile
from feedback.events_csv import unguarded
from feedback.former import FILTERS
from feedback.plan import plan
from feedback.row_files import Shards, arrow_schema, arrow_type, opener
from feedback.spec import Recipe, of

texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=40) | some.sampled_from(
    ["NA", "null", "1", "01", "\u2028", "\r", "\0", 'a,b\r\n"c"', "=1+1", "＝1", "'x", "\ufeff"]
)
rows = some.lists(
    some.fixed_dictionaries({"prompt": texts, "completion": texts, "label": some.booleans()}),
    min_size=1,
    max_size=6,
)
ORIGIN = {
    "genloop_source": "thumb",
    "genloop_generation_ids": "a",
    "genloop_event_ids": "1",
    "genloop_vote_ids": "",
    "genloop_row_sha256": "0" * 64,
    "genloop_raters": 1,
    "genloop_agreement": 1.0,
}
quick = settings(deadline=None, max_examples=40)


def written(config, folder, content):
    """The paths of the files that the rows are written to."""
    files = Shards(Path(folder), "train", config.files, opener(config), 1 << 30)
    for row in content:
        files.add(orjson.dumps(row | ORIGIN))
    return [file.path for file, _ in files.close()]


def config_of(files, recipe="kto"):
    [config] = plan(of(recipe, files=files))
    return config


@quick
@given(rows)
def test_any_text_survives_json_lines(content):
    with TemporaryDirectory() as folder:
        [path] = written(config_of("jsonl"), folder, content)
        lines = path.read_bytes().removesuffix(b"\n").split(b"\n")

    assert [json.loads(line) for line in lines] == [row | ORIGIN for row in content]


@quick
@given(rows)
def test_any_text_survives_parquet(content):
    with TemporaryDirectory() as folder:
        [path] = written(config_of("parquet"), folder, content)
        found = parquet.read_table(path).to_pylist()

    assert found == [row | ORIGIN for row in content]


@quick
@given(rows)
def test_any_text_survives_a_lossless_csv(content):
    with TemporaryDirectory() as folder:
        [path] = written(config_of("csv"), folder, content)
        head, *cells = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))

    found = [dict(zip(head, row, strict=True)) for row in cells]
    for row, read in zip(content, found, strict=True):
        assert (read["prompt"], read["completion"]) == (row["prompt"], row["completion"])
        assert json.loads(read["label"]) == row["label"]


@quick
@given(texts)
def test_no_cell_for_spreadsheets_begins_a_formula(text):
    [config] = plan(of(Recipe("events", flavour="spreadsheet")))
    with TemporaryDirectory() as folder:
        file = NewFile(Path(folder) / "feedback.csv")
        table = opener(config)(file)
        table.add(orjson.dumps(dict.fromkeys(config.schema, None) | {"text": text}), {})
        table.close()
        file.close()
        content = file.path.read_bytes().decode()

    head, row = csv.reader(io.StringIO(content, newline=""))
    cell = row[head.index("text")]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert unguarded(cell) == text


@quick
@given(rows, some.data())
def test_rows_that_stay_keep_their_bytes(content, data):
    stays = data.draw(some.lists(some.booleans(), min_size=len(content), max_size=len(content)))
    left = [row for row, stay in zip(content, stays, strict=True) if stay]
    for files in ("jsonl", "csv", "parquet"):
        with TemporaryDirectory() as folder:
            [path] = written(config_of(files), folder, content)
            cleaned = NewFile(Path(folder) / f"cleaned.{files}")
            FILTERS[path.suffix](path, cleaned, iter(stays))
            cleaned.close()
            if not left and files == "jsonl":
                assert not cleaned.path.exists()
                continue
            if files == "parquet":
                found = parquet.read_table(cleaned.path).to_pylist()
                assert found == [row | ORIGIN for row in left]
                continue
            (Path(folder) / "alone").mkdir()
            alone = written(config_of(files), Path(folder) / "alone", left)
            expected = alone[0].read_bytes() if alone else path.read_bytes().split(b"\r\n")[0]
            assert cleaned.path.read_bytes().removesuffix(b"" if alone else b"\r\n") == expected


def test_every_column_of_every_format_has_a_type_of_arrow():
    from feedback.formats import FORMATS

    for form in FORMATS.values():
        for shape in form.shapes or ("standard",):
            for kind in form.schema(Recipe(form.name, shape)).values():
                assert str(arrow_type(kind))
    turns = "list<struct<role: string, content: string>>"
    assert str(arrow_type(turns)) == "list<item: struct<role: string, content: string>>"
    assert arrow_schema({"a": "image", "b": "bool"}).metadata.keys() == {b"huggingface"}
