"""Read numbers as Prometheus does."""

from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(text: str) -> Series:
    """Each sample of an answer by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Series, name: str, **labels: Any) -> float:
    """One sample; 0 for one that is not there yet, as Prometheus takes it."""
    return found.get((name, frozenset((key, str(one)) for key, one in labels.items())), 0.0)


def count(name: str, **labels: Any) -> float:
    """A counter of this process."""
    return REGISTRY.get_sample_value(name, {key: str(one) for key, one in labels.items()}) or 0.0
