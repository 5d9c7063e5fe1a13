"""Exports for tests: the rows as a trainer reads them, and specs that change only what is meant."""

import json
import uuid

from pyarrow import parquet

from feedback.dataset import export, preview
from feedback.spec import Lint, Recipe, Redaction, Selection, Spec, Splits
from tests.factories import make_generation, make_generations, make_visitor, rate

# Everything that leaves goes into `train`, however much of it is one visitor's.
BARE = {
    "selection": Selection(cap_rows=None),
    "splits": Splits(0),
    "redaction": Redaction("off"),
    "lint": Lint(consumers=False, tokenizer=""),
}


def bare(*recipes, **options):
    """A spec of these formats or recipes, without cap, splits, redaction and checks."""
    recipes = tuple(Recipe(one) if isinstance(one, str) else one for one in recipes)
    return Spec(recipes, **BARE | options)


def exported(database, folder, *recipes, media=None, name="", **options):
    """The manifest of a bare export."""
    return export(database, bare(*recipes, **options), folder, name=name, media=media)


def counted(database, recipe, media=None, **options):
    """What the manifest would say about a config, with the sums of a dataset of it alone."""
    found = preview(database, bare(recipe, **options), media=media)
    [config] = found.summary["configs"]
    return found.summary | config


def rows_of(folder, config=None, split="train"):
    """The rows of a split of a finished export."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    [entry] = [one for one in manifest["configs"] if config in (None, one["name"])]
    files = entry["splits"].get(split, [])
    return [row for file in files for row in read_rows(folder / file["path"])]


def read_rows(path):
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def data_file(folder, split="train"):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    [entry] = manifest["configs"]
    [file] = entry["splits"][split]
    return folder / file["path"]


def held(folder):
    """The reasons of what was held back."""
    path = folder / "quarantine.jsonl"
    return [row["reason"] for row in read_rows(path)] if path.exists() else []


def columns(row):
    """The row without where it is from."""
    return {name: value for name, value in row.items() if not name.startswith("genloop_")}


def fill(database):
    """Some feedback of every kind of text, from which every text format has rows."""

    def work(session):
        for name in ("ann", "bob"):
            visitor = make_visitor(session, name)
            for number in range(6):
                drafts = make_generations(
                    session,
                    visitor,
                    prompt=f"题{number}",
                    outputs=(f"{name}甲{number}", f"{name}乙{number}"),
                )
                rate(session, visitor, drafts[0], "thumb", 1 if number % 2 else -1)
                rate(session, visitor, drafts[1], "edit", f"{name}丙{number}")
                rate(session, visitor, drafts[number % 2], "choice", True)
                rate(session, visitor, drafts[0], "reasons", ["beautiful", "original"])
        poem = make_generation(session, make_visitor(session), output=" ")
        rate(session, make_visitor(session), poem, "thumb", 1)

    database.write(work)


def new(tmp_path):
    return tmp_path / uuid.uuid4().hex
