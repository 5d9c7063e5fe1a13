"""The dataset's card: a README for people, with a head by which `datasets` opens the folder."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from feedback.formats.candidate import QUARANTINE
from feedback.plan import Config

RARE = 0.05  # languages of a smaller part of the rows are not named
SHOWN = 200  # characters of a text in an example
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
TASKS = {"text": "text-generation", "image": "text-to-image", "vae": "other", "events": "other"}

Examples = dict[str, list[dict[str, Any]]]  # some rows, by config


def dataset_card(
    manifest: dict[str, Any],
    configs: Iterable[Config],
    examples: Examples,
    languages: Counter[str],
) -> str:
    """The card of a dataset whose manifest is complete but for the files.

    languages: of how many rows that were looked at each language is.
    """
    used = [config for config in configs if config.name in filled(manifest)]
    head = yaml.safe_dump(
        front_matter(manifest, used, languages), allow_unicode=True, sort_keys=False, width=100
    )
    parts = [f"---\n{head}---\n", *body(manifest, used, examples, languages)]
    return "\n".join(parts)


def filled(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The configs that have rows, by name: `datasets` opens no empty file."""
    return {entry["name"]: entry for entry in manifest["configs"] if entry["rows"]}


def front_matter(
    manifest: dict[str, Any], configs: list[Config], languages: Counter[str]
) -> dict[str, Any]:
    entries = filled(manifest)
    rows = manifest["rows"]
    size = next((size for limit, size in SIZES if rows < limit), "n>1M")
    return {
        "license": manifest["spec"]["license"],
        "language": [
            language
            for language, rows in languages.most_common()
            if rows >= RARE * languages.total()
        ],
        "size_categories": [size],
        "task_categories": sorted({TASKS[config.task] for config in configs}),
        "tags": ["human-feedback", "genloop"],
        "configs": [
            config_head(config, entries[config.name], default=not number)
            for number, config in enumerate(configs)
        ],
    }


def config_head(config: Config, entry: dict[str, Any], *, default: bool) -> dict[str, Any]:
    """What `datasets` has to know about a config."""
    head: dict[str, Any] = {"config_name": config.name, "default": default, "data_files": []}
    for split, files in entry["splits"].items():
        paths = [file["path"] for file in files]
        if config.layout != "rows":  # the pictures beside the list
            paths.append(paths[0].rpartition("/")[0] + "/*/*.png")
        head["data_files"].append({"split": split, "path": paths})
    if config.files == "csv":  # or "NA" and "null" would be read as nothing, and 1 as a number
        head["keep_default_na"] = False
        head["dtype"] = {name: "str" for name, kind in config.schema.items() if kind == "string"}
    return head


def body(
    manifest: dict[str, Any],
    configs: list[Config],
    examples: Examples,
    languages: Counter[str],
) -> Iterator[str]:
    entries = filled(manifest)
    yield f"# {manifest['name']}@{manifest['version']}\n"
    yield (
        f"{manifest['rows']} rows of feedback, exported by GenLoop {manifest['app_version']} from "
        "what its givers explicitly allowed for training. `manifest.json` holds the question, the "
        "model versions, the terms that were agreed to, and the hash of every file.\n"
    )
    first = configs[0].name
    yield (
        "```python\nfrom datasets import load_dataset\n\n"
        f'dataset = load_dataset("PATH/TO/THIS/FOLDER", "{first}")\n```\n'
    )
    yield from section("Rows", rows_table(entries))
    for config in configs:
        yield from about(config, entries[config.name], examples.get(config.name, []))
    yield from section("Splits", splits_told(manifest))
    yield from section("Held back", held_told(manifest))
    yield from section("Personal data", personal_told(manifest, entries))
    yield from section("Who and what is behind it", behind_told(manifest, entries, languages))
    yield from section("Known limits", LIMITS)


def section(title: str, lines: Iterable[str]) -> Iterator[str]:
    content = list(lines)
    if content:
        yield f"## {title}\n"
        yield "\n".join(content) + "\n"


def table(head: list[str], rows: Iterable[list[Any]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def rows_table(entries: dict[str, dict[str, Any]]) -> list[str]:
    splits = [
        split
        for split in ("train", "validation", "test")
        if any(split in entry["splits"] for entry in entries.values())
    ]
    return table(
        ["config", "format", *splits, "held back"],
        (
            [
                f"`{name}`",
                entry["format"] + ("" if entry["shape"] == "standard" else f", {entry['shape']}"),
                *(sum(file["rows"] for file in entry["splits"].get(split, ())) for split in splits),
                entry["quarantined"],
            ]
            for name, entry in entries.items()
        ),
    )


def about(config: Config, entry: dict[str, Any], examples: list[dict[str, Any]]) -> Iterator[str]:
    """One config: its columns, what its rows rest on, and some of them."""
    purpose = config.format.purpose if config.format is not None else "the events themselves"
    yield f"## `{config.name}`: {purpose}\n"
    lines = table(
        ["column", "type"], ([f"`{name}`", kind] for name, kind in config.columns.items())
    )
    lines += ["", f"Rows by source: {listed(entry['rows_by_source'])}."]
    if labels := entry.get("rows_by_label"):
        lines.append(f"Labels: {listed(labels)}.")
    if weights := entry.get("kto_weights"):
        lines.append(f"KTO: `{json.dumps(weights)}` lets both labels count the same.")
    if characters := entry.get("characters"):
        lines.append(f"Characters a row: {listed(characters)}.")
    if raters := entry.get("raters"):
        lines.append(rated(raters, entry["visitors"]))
    lines += [f"**Mind:** {warning}." for warning in entry["warnings"]]
    yield "\n".join(lines) + "\n"
    for example in examples:
        yield f"```json\n{json.dumps(shortened(example), ensure_ascii=False)}\n```\n"


def rated(raters: dict[str, Any], visitors: int) -> str:
    several = raters["judged_by_several"]
    said = f"{visitors} visitors stand behind the rows; {several} things were judged by several"
    if raters["krippendorff_alpha"] is None:
        return f"{said}."
    return f"{said}, who agree to a Krippendorff's alpha of {raters['krippendorff_alpha']}."


def shortened(value: Any) -> Any:
    """The value with long texts cut, for people to look at."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    if isinstance(value, list):
        return [shortened(part) for part in value]
    if isinstance(value, dict):
        return {name: shortened(part) for name, part in value.items()}
    return value


def splits_told(manifest: dict[str, Any]) -> Iterator[str]:
    report = manifest["splits"]
    if not report:
        return
    by = ", ".join(manifest["spec"]["splits"]["by"])
    yield (
        f"Rows that share one of these are never on two sides: {by}. Hashes decide where a row "
        "goes, so that it stays there as the data grows."
    )
    yield ""
    leaks = report["keys_on_two_sides"]
    yield from table(["keys", "on two sides"], ([kind, leaks[kind]] for kind in leaks))
    yield ""
    yield (
        f"The {report['rows']} rows form {report['groups']} groups; the largest has "
        f"{report['largest_share']:.0%} of them."
    )
    for warning in report["warnings"]:
        yield f"**Mind:** {warning}."


def held_told(manifest: dict[str, Any]) -> Iterator[str]:
    """selected = exported + quarantined, and why."""
    yield (
        f"{manifest['selected']} rows were selected: {manifest['rows']} are here, "
        f"{manifest['quarantined']} are in `quarantine.jsonl` with their reasons."
    )
    if manifest["quarantined"]:
        yield ""
        yield from table(
            ["reason", "rows", "meaning"],
            (
                [f"`{reason}`", rows, QUARANTINE[reason]]
                for reason, rows in manifest["quarantined_by_reason"].items()
            ),
        )


def personal_told(manifest: dict[str, Any], entries: dict[str, dict[str, Any]]) -> Iterator[str]:
    counts = Counter[str]()
    for entry in entries.values():
        counts.update(entry["personal_data"])
    mode = manifest["spec"]["redaction"]["mode"]
    done = {
        "auto": "replaced by placeholders such as [EMAIL] (in plain events it is only counted)",
        "replace": "replaced by placeholders such as [EMAIL]",
        "drop_row": "a reason to hold the row back",
        "report": "counted and left as it is",
        "off": "not looked for",
    }[mode]
    yield f"Personal data that has a form was {done}."
    if counts:
        yield ""
        yield from table(["kind", "rows"], sorted([kind, rows] for kind, rows in counts.items()))


def behind_told(
    manifest: dict[str, Any], entries: dict[str, dict[str, Any]], languages: Counter[str]
) -> Iterator[str]:
    yield from table(
        ["model", "task", "revision", "weights", "rows"],
        (
            [
                model["name"],
                model["task"],
                model["revision"] or "",
                f"`{model['weights_sha256'][:12]}`" if model["verified"] else "not verified",
                model["rows"],
            ]
            for model in manifest["model_versions"]
        ),
    )
    yield ""
    agreed = sorted({f"{text['version']} ({text['language']})" for text in manifest["terms"]})
    yield f"Terms agreed to: {', '.join(agreed)}. {manifest['consent_rule'].capitalize()}."
    if languages:
        yield f"Languages of the {languages.total()} rows looked at: {listed(languages)}."


LIMITS = (
    "- Visitors chose what to rate, and whether: their ratings are no sample of what people think.",
    "- Names, street addresses and what a sentence gives away are not found as personal data.",
    "- A visitor is a browser: one person may be several, and several may be one.",
    "- What was withdrawn after this version was made is still in it: ask for a cleaned successor.",
)


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())
