"""What a dataset folder says about itself: what was asked for, what came, where from."""

import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import ROOT
from db.tables import Consent, ModelVersion, now
from feedback.dataset_folder import FilesBeside, NewFile
from feedback.plan import Config
from feedback.spec import Spec, as_json
from feedback.trainable import Terms, count_events, count_votes

MANIFEST_VERSION = 2

CONSENT_RULE = (
    "train is true in the consent given with the generation and with every event and vote used, "
    "and in the last answer of their visitors, none of whom is erased"
)


def describe(session: Session, spec: Spec) -> dict[str, Any]:
    """What the database was like when the dataset was made."""
    moment = spec.as_of
    assert moment is not None
    every, allowed = count_events(session, moment.events)
    votes, votes_allowed = count_votes(session, moment.votes)
    return {
        "created_at": now().isoformat(timespec="seconds"),
        "app_version": app_version(),
        "schema_revision": schema_revision(session),
        "consent_rule": CONSENT_RULE,
        "spec": as_json(spec),
        "events": every,
        "events_allowed_for_training": allowed,
        "votes": votes,
        "votes_allowed_for_training": votes_allowed,
    }


def totals(configs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sums over all configs."""
    rows, held, by_reason = 0, 0, Counter[str]()
    for config in configs:
        rows += config["rows"]
        held += config["quarantined"]
        by_reason.update(config["quarantined_by_reason"])
    return {
        "selected": rows + held,
        "rows": rows,
        "quarantined": held,
        "quarantined_by_reason": dict(sorted(by_reason.items())),
    }


def config_entry(
    config: Config, content: dict[str, Any], splits: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """A config in the manifest; splits: {"path", "rows"} of each file, by split."""
    return {
        "name": config.name,
        "format": config.recipe.format,
        "shape": config.recipe.shape,
        "files": config.files,
        "columns": list(config.columns),
        "splits": splits,
        **content,
    }


def written_with(configs: Iterable[Config]) -> dict[str, str]:
    """The software on whose version the bytes hang."""
    kinds = {config.files for config in configs}
    return {"pyarrow": version("pyarrow")} if "parquet" in kinds else {}


def file_entries(files: Iterable[NewFile], folder: Path) -> dict[str, dict[str, Any]]:
    """Bytes and SHA-256 of each file that was written, by its place in the folder."""
    return {
        str(file.path.relative_to(folder)): {
            "bytes": file.bytes,
            "sha256": file.hash.hexdigest(),
        }
        for file in files
        if file.bytes
    }


def media_entry(beside: FilesBeside) -> dict[str, Any]:
    return {"media": {"files": beside.files, "bytes": beside.bytes}} if beside.files else {}


def model_versions(session: Session, rows: Counter[int]) -> list[dict[str, Any]]:
    """The versions that made something in the dataset, and how many rows rest on each."""
    columns = ("id", "task", "name", "source", "revision", "weights_sha256", "verified")
    query = select(*(getattr(ModelVersion, column) for column in columns))
    found = session.execute(query.where(ModelVersion.id.in_(rows)).order_by(ModelVersion.id))
    return [{**row._mapping, "rows": rows[row.id]} for row in found]


def terms(session: Session, consents: set[int]) -> list[dict[str, str]]:
    """The texts that were agreed to in these consents."""
    query = select(
        Consent.id, Consent.terms_version, Consent.terms_sha256, Consent.language
    ).order_by(Consent.id)
    rows = session.execute(query, execution_options={"yield_per": 1_000})
    found = {Terms(*text) for one, *text in rows if one in consents}
    return [text._asdict() for text in sorted(found)]


def schema_revision(session: Session) -> str | None:
    """Which migration the database is at."""
    return MigrationContext.configure(session.connection()).get_current_revision()


def app_version() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        version: str = tomllib.load(file)["project"]["version"]
    return version
