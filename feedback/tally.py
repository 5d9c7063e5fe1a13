"""Count what a config of a dataset holds: its rows by source, label and split, and who stands
behind them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedback.formats.candidate import REASONS
from feedback.gathered import Gathered
from feedback.plan import Config
from feedback.redaction import KINDS
from feedback.splits import OUTCOMES
from feedback.weigh import Outcome, speakers

SKEWED = 0.1  # a label with a smaller part of the rows than this is rare


def tally(config: Config, found: Gathered, outcome: Outcome) -> dict[str, Any]:
    """What the manifest says about the rows of a config."""
    facts, kept = found.facts, outcome.kept
    label = facts.column("label")
    quarantined = counted(outcome.reason[~kept], list(REASONS))
    content: dict[str, Any] = {
        "selected": len(found),
        "left_out": found.left_out,
        "rows": int(kept.sum()),
        "rows_by_split": counted(outcome.split[kept], list(OUTCOMES)),
        "rows_by_source": counted(facts.column("source")[kept], found.sources),
    }
    if (label >= 0).any():
        content["rows_by_label"] = counted(label[kept], ["false", "true"])
    content |= {
        "quarantined": int((~kept).sum()),
        "quarantined_by_reason": quarantined,
        "visitors": visitors(found, kept),
        "most_rows_of_one_visitor": outcome.cap,
        "raters": raters(outcome),
        "characters": spread(facts.column("characters")[kept]),
        "personal_data": personal(facts.column("personal")[kept]),
        "rows_that_use_events_again": outcome.used_elsewhere,
    }
    warnings = list(warned(config, content, len(versions(found, kept))))
    return content | weights(config, content) | {"warnings": warnings}


def counted(codes: NDArray[Any], names: list[str]) -> dict[str, int]:
    """How often each name is meant, in the order of the names' letters."""
    counts = np.bincount(codes, minlength=len(names)).tolist()
    return {name: count for name, count in sorted(zip(names, counts, strict=True)) if count}


def visitors(found: Gathered, kept: NDArray[np.bool_]) -> int:
    """How many visitors said what stands behind the rows."""
    return len(np.unique(speakers(found, kept)[1]))


def consents(found: Gathered, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ids of the consents that the rows rest on."""
    return np.unique(found.people.column("consent")[kept[found.people.column("row")]])


def versions(found: Gathered, kept: NDArray[np.bool_]) -> dict[int, int]:
    """How many rows rest on each model version, by its id; a pair may rest on two."""
    both = np.stack([found.facts.column(name)[kept] for name in ("version", "other_version")])
    both[1][both[1] == both[0]] = 0
    ids, rows = np.unique(both, return_counts=True)
    return {one: count for one, count in zip(ids.tolist(), rows.tolist(), strict=True) if one}


def raters(outcome: Outcome) -> dict[str, Any]:
    """How many visitors judged what the rows say, and how far they agree."""
    kept = outcome.kept
    agreed = outcome.agreeing[kept].sum() / max(int(outcome.raters[kept].sum()), 1)
    return {
        "rows_by_raters": {
            str(number): int(rows)
            for number, rows in zip(
                *np.unique(outcome.raters[kept], return_counts=True), strict=True
            )
        },
        "agreement": round(float(agreed), 4),
        "judged_by_several": outcome.judged_by_several,
        "krippendorff_alpha": None if outcome.alpha is None else round(outcome.alpha, 4),
    }


def spread(values: NDArray[Any]) -> dict[str, int]:
    if not len(values):
        return {}
    marks = np.percentile(values, [0, 50, 95, 100], method="higher").astype(int).tolist()
    return dict(zip(("least", "median", "95%", "most"), marks, strict=True))


def personal(masks: NDArray[np.uint32]) -> dict[str, int]:
    """How many rows had personal data of each kind in them."""
    counts = {kind: int((masks >> place & 1).sum()) for place, kind in enumerate(KINDS)}
    return {kind: count for kind, count in counts.items() if count}


def weights(config: Config, content: dict[str, Any]) -> dict[str, Any]:
    """For KTO: weights with which both labels count the same (Ethayarajh et al. 2024, 4.2)."""
    labels = content.get("rows_by_label", {})
    if config.format is None or config.format.trainer != "kto" or len(labels) < 2:
        return {}
    more = "false" if labels["false"] > labels["true"] else "true"
    ratio = round(labels[more] / min(labels.values()), 4)
    desirable, undesirable = (ratio, 1.0) if more == "false" else (1.0, ratio)
    return {"kto_weights": {"desirable_weight": desirable, "undesirable_weight": undesirable}}


def warned(config: Config, content: dict[str, Any], models: int) -> Iterator[str]:
    """Sentences for whoever trains on it."""
    form, labels = config.format, content.get("rows_by_label", {})
    if form is not None and form.labels and len(labels) == 1:
        [only] = labels
        yield f"every label is {only}: {form.labels} learns nothing without both"
    if len(labels) == 2 and min(labels.values()) < SKEWED * sum(labels.values()):
        rare = min(labels, key=lambda label: labels[label])
        yield f"only {labels[rare]} of {sum(labels.values())} labels are {rare}"
    if form is not None and form.latent and models > 1:
        yield (
            f"the rows are of {models} model versions, whose latent spaces have nothing in "
            "common: train on the rows of one model_sha256 at a time"
        )
    if over := content["quarantined_by_reason"].get("over_visitor_cap"):
        yield (
            f"{over} rows are held back because no visitor may have more than "
            f"{content['most_rows_of_one_visitor']}"
        )
    if again := content["quarantined_by_reason"].get("already_used"):
        yield f"{again} rows are held back because their events stand behind rows of another config"
    elif again := content["rows_that_use_events_again"]:
        yield f"{again} rows use events that stand behind rows of another config too"
