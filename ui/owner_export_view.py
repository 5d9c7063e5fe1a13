"""How the owner's Export tab shows an order and what came of it, in HTML; all text is escaped."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from db.tables import Export
from feedback.export_jobs import Job
from feedback.history import label
from ui.language import Language

SPLITS = ("train", "validation", "test")


def shown(job: Job | None, language: Language) -> str:
    """The order that is under way, or the last one, and what came of it."""
    word = language.word
    if job is None:
        return f'<p class="gl-empty">{escape(word("export_none_yet"))}</p>'
    if job.running:
        return under_way(job, language)
    if job.cancelled:
        return alert(word("export_cancelled"))
    if job.done is None:
        return alert(word("export_failed", problem=(job.problem or "?").rstrip(".")))
    if job.order["action"] == "push":
        key = "export_pushed" if job.done["new"] else "export_pushed_before"
        return heading(word(key, label=job.done["label"], target=job.done["target"]))
    return dataset(job.order["action"], job.done, language)


def under_way(job: Job, language: Language) -> str:
    word = language.word
    said = word(f"export_doing_{job.order['action']}")
    if job.stage:
        said += f": {word(f'export_stage_{job.stage}')} {job.config}".rstrip()
        key = "export_rows" if job.of is None else "export_rows_of"
        said += " — " + word(key, done=f"{job.rows:,}", total=f"{job.of or 0:,}")
    value = f' value="{job.rows}" max="{max(job.of, 1)}"' if job.of is not None else ""
    return f'<p role="status">{escape(said)}</p><progress class="gl-wide"{value}></progress>'


def heading(text: str) -> str:
    return f'<h3 role="status">{escape(text)}</h3>'


def alert(text: str) -> str:
    return f'<p class="gl-problem" role="alert">{escape(text)}</p>'


def dataset(action: str, done: Mapping[str, Any], language: Language) -> str:
    """The counts of a dataset, its warnings, and of a preview the first rows."""
    word = language.word
    counts = {"rows": f"{done['rows']:,}", "held": f"{done['quarantined']:,}"}
    if action == "preview":
        parts = [heading(word("export_would", **counts))]
    else:
        made = f"{done['name']}@{done['version']}"
        parts = [heading(word("export_made", label=made, **counts))]
    parts.append(table_of(done["configs"], language))
    checked = done.get("checked", {})
    opened = [consumer for consumer, said in checked.items() if said["checked"]]
    if opened:
        said = word("export_checked_with", consumers=", ".join(opened))
        parts.append(f'<p class="gl-note">{escape(said)}</p>')
    minded = [*warnings(done), *unchecked(checked, language)]
    if minded:
        items = "".join(f"<li>{escape(one)}</li>" for one in minded)
        parts.append(f"<h4>{escape(word('export_warnings'))}</h4><ul>{items}</ul>")
    found = done.get("personal_data", [])
    if found:
        lines = (f"{one['before']}»{one['found']}«{one['behind']} — {one['kind']}" for one in found)
        parts.append(details(word("export_found_personal", count=len(found)), lines))
    for name, rows in done.get("rows_shown", {}).items():
        lines = ("\n".join(f"{column}: {value}" for column, value in row.items()) for row in rows)
        parts.append(details(word("export_first_rows", name=name), lines))
    return "".join(parts)


def table_of(configs: Iterable[Mapping[str, Any]], language: Language) -> str:
    columns = ("config", "rows", "splits", "sources", "held")
    head = "".join(
        f"<th>{escape(language.word(f'export_column_{column}'))}</th>" for column in columns
    )
    body = ""
    for config in configs:
        sides = config.get("rows_by_split", {})
        cells = (
            config["name"],
            f"{config['rows']:,}",
            " / ".join(f"{sides.get(split, 0):,}" for split in SPLITS),
            listed(config["rows_by_source"]),
            listed(config["quarantined_by_reason"]),
        )
        body += "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    return f'<table class="gl-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items()) or "—"


def warnings(done: Mapping[str, Any]) -> list[str]:
    found = [f"{config['name']}: {one}" for config in done["configs"] for one in config["warnings"]]
    return [*found, *done.get("splits", {}).get("warnings", ())]


def unchecked(checked: Mapping[str, Any], language: Language) -> list[str]:
    found = []
    for consumer, said in checked.items():
        if not said["checked"]:
            because = said["because"]
            found.append(language.word("export_not_checked", consumer=consumer, because=because))
        found += [f"{consumer}: {problem}" for problem in said.get("problems", ())]
    return found


def details(summary: str, blocks: Iterable[str]) -> str:
    inner = "".join(f"<pre>{escape(block)}</pre>" for block in blocks)
    return f'<details class="gl-rows"><summary>{escape(summary)}</summary>{inner}</details>'


def history_rows(exports: Iterable[Export], gone: Mapping[str, int]) -> list[list[str]]:
    """One line a version, as the table has its columns."""
    rows = []
    for export in exports:
        manifest = export.manifest or {}
        configs = [config["name"] for config in manifest.get("configs", ())]
        rows.append(
            [
                label(export),
                ", ".join(configs) or export.format,
                f"{export.rows:,}",
                f"{export.created_at:%Y-%m-%d %H:%M}",
                str(gone.get(label(export), "")),
                manifest.get("goes_on_from", {}).get("export", ""),
            ]
        )
    return rows
