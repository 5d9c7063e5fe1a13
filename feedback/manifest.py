"""What a dataset folder says about itself: what was asked for, what came, where from."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal

from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import ROOT
from db.tables import FeedbackEvent, ModelVersion, Vote, now
from feedback.events_csv import Flavour
from feedback.formats.shapes import Shape
from feedback.trainable import Terms, count_events, count_votes

FormatName = Literal[
    "sft",
    "dpo",
    "kto",
    "captions",
    "image-preferences",
    "kohya",
    "vae-samples",
    "vae-pairs",
    "csv",
    "jsonl",
]
EVENTS = ("csv", "jsonl")  # the formats that hold events; all others are for trainers
SHAPED = ("sft", "dpo", "kto")
Medium = Literal["pictures", "vectors", "sentences"]
# What learns from both labels or not at all, by format.
LABELLED = {"kto": "KTO", "vae-samples": "a preference model"}
LATENT = ("vae-samples", "vae-pairs")
MEDIA: tuple[Medium, ...] = ("pictures", "vectors", "sentences")

CONSENT_RULE = (
    "train is true in the consent given with the generation and with every event and vote used, "
    "and in the last answer of their visitors, none of whom is erased"
)


@dataclass(frozen=True)
class Recipe:
    """What dataset is asked for."""

    format: FormatName
    shape: Shape = "standard"  # of SHAPED
    medium: Medium = "pictures"  # of vae-samples
    flavour: Flavour = "lossless"  # of csv
    bom: bool = False  # of csv

    @property
    def trains(self) -> bool:
        """Rows for a trainer, not plain events."""
        return self.format not in EVENTS

    @property
    def events_file(self) -> str:
        """The file that holds plain events; its name says when it is not the plain truth."""
        if self.format == "jsonl":
            return "feedback.jsonl"
        return "feedback.csv" if self.flavour == "lossless" else "feedback-for-spreadsheets.csv"

    @property
    def filters(self) -> dict[str, Any]:
        """The part of the recipe that concerns its format."""
        if self.format == "csv":
            return {"flavour": self.flavour, "bom": self.bom}
        if self.format == "vae-samples":
            return {"medium": self.medium}
        return {"shape": self.shape} if self.format in SHAPED else {}


@dataclass
class Tally:
    """What has been counted so far."""

    rows: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)  # rows that rest on each
    terms: set[Terms] = field(default_factory=set)

    def warnings(self, recipe: Recipe) -> Iterator[str]:
        if recipe.format in LABELLED and len(self.labels) == 1:
            [only] = self.labels
            yield f"every label is {only}: {LABELLED[recipe.format]} learns nothing without both"
        if recipe.format in LATENT and len(self.versions) > 1:
            yield (
                f"the rows are of {len(self.versions)} model versions, whose latent spaces have "
                "nothing in common: train on the rows of one model_sha256 at a time"
            )


def describe(
    session: Session, recipe: Recipe, tally: Tally, data: str, columns: tuple[str, ...]
) -> dict[str, Any]:
    """The manifest but for the name and the files."""
    every, allowed = count_events(session)
    votes, votes_allowed = count_votes(session)
    return {
        "manifest_version": 1,
        "format": recipe.format,
        "data": data,
        "split": "train" if recipe.trains else None,
        "columns": list(columns),
        "filters": {**recipe.filters, "consent": CONSENT_RULE},
        "created_at": now().isoformat(timespec="seconds"),
        "app_version": app_version(),
        "schema_revision": schema_revision(session),
        **({"written_with": {"pyarrow": version("pyarrow")}} if is_parquet(data) else {}),
        "max_event_id": session.scalar(select(func.max(FeedbackEvent.id))) or 0,
        "events": every,
        "events_allowed_for_training": allowed,
        "max_vote_id": session.scalar(select(func.max(Vote.id))) or 0,
        "votes": votes,
        "votes_allowed_for_training": votes_allowed,
        "selected": tally.rows + tally.quarantined.total(),
        "rows": tally.rows,
        "rows_by_source": dict(sorted(tally.sources.items())),
        **({"rows_by_label": dict(sorted(tally.labels.items()))} if tally.labels else {}),
        "quarantined": tally.quarantined.total(),
        "quarantined_by_reason": dict(sorted(tally.quarantined.items())),
        "warnings": list(tally.warnings(recipe)),
        "model_versions": model_versions(session, tally.versions),
        "terms": [terms._asdict() for terms in sorted(tally.terms)],
    }


def is_parquet(data: str) -> bool:
    return data.endswith(".parquet")


def model_versions(session: Session, rows: Counter[int]) -> list[dict[str, Any]]:
    """The versions that made something in the dataset, and how many rows rest on each."""
    columns = ("id", "task", "name", "source", "revision", "weights_sha256", "verified")
    query = select(*(getattr(ModelVersion, column) for column in columns))
    found = session.execute(query.where(ModelVersion.id.in_(rows)).order_by(ModelVersion.id))
    return [{**row._mapping, "rows": rows[row.id]} for row in found]


def schema_revision(session: Session) -> str | None:
    """Which migration the database is at."""
    return MigrationContext.configure(session.connection()).get_current_revision()


def app_version() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        version: str = tomllib.load(file)["project"]["version"]
    return version


CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: {paths}
---

# {title}

{rows} rows of the format `{format}`, exported by GenLoop from feedback that its givers allowed for
training. `manifest.json` says how they were selected, from which model versions, and under which
terms.

```python
from datasets import load_dataset

dataset = load_dataset("PATH/TO/THIS/FOLDER", split="train")
```
"""


def dataset_card(recipe: Recipe, data: str, title: str, tally: Tally) -> str:
    """A README by which `datasets` knows which of the files are the data."""
    paths = json.dumps([data, "*/*.png"]) if data == "metadata.jsonl" else data
    return CARD.format(paths=paths, title=title, rows=tally.rows, format=recipe.format)
