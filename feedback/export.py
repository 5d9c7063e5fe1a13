"""Turn feedback into datasets: `python -m feedback.export --format dpo --out data/exports/dpo`.

Only what visitors explicitly allowed for training leaves: by the consent given with every event
and generation, and by their last answer. Nothing can switch that off.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from config import Settings
from db.engine import Database
from db.media_elsewhere import open_media
from db.replica.targets import TargetDown, UnusableTarget
from feedback import watch
from feedback.crew import Crew, WorkerGone, crew_of
from feedback.dataset import NothingToExport, Preview, export, job_in, preview
from feedback.dataset_folder import FolderInUse
from feedback.formats import FORMATS
from feedback.formats.pictures import PictureGone
from feedback.history import NoVersion
from feedback.ledger import NoExport, VersionTaken, enter, next_version
from feedback.lint import LintFailed
from feedback.on_ray import OnRay
from feedback.priority import step_back
from feedback.ready import NotReady, ready_database
from feedback.remake import go_on
from feedback.spec import (
    EVENTS,
    SHAPES,
    Conflicts,
    Files,
    Flavour,
    InvalidSpec,
    Lint,
    Medium,
    Recipe,
    Redact,
    Redaction,
    Review,
    Selection,
    Shape,
    Spec,
    Splits,
    Task,
    from_json,
    sentence,
)
from feedback.whole_export import DamagedExport

WHICH, WHOSE, HOW, TOLD = "Which feedback", "What leaves", "How it is written", "Other"
SHOWN = 300  # characters of a row in a preview

PROBLEMS = (
    DamagedExport,
    NoVersion,
    NotReady,
    NoExport,
    FolderInUse,
    LintFailed,
    NothingToExport,
    PictureGone,
    TargetDown,
    UnusableTarget,
    VersionTaken,
    WorkerGone,
    watch.Cancelled,
)


def option(help: str, *names: str, panel: str = WHICH) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel)


def main(
    format: Annotated[
        list[str] | None,
        option(f"{', '.join((*FORMATS, EVENTS))}; several, or FORMAT:SHAPE.", panel=HOW),
    ] = None,
    out: Annotated[Path | None, option("The folder to make.", panel=HOW)] = None,
    name: Annotated[str, option("Name in the ledger; else the folder's.", panel=HOW)] = "",
    shape: Annotated[Shape, option("Whose spelling texts have.", panel=HOW)] = "standard",
    medium: Annotated[Medium, option("Of vae-samples.", panel=HOW)] = "pictures",
    files: Annotated[Files, option("The kind of file.", panel=HOW)] = "auto",
    flavour: Annotated[
        Flavour, option("Of events as CSV: for exact cells, or spreadsheets.", "--for", panel=HOW)
    ] = "lossless",
    bom: Annotated[bool, option("Of events as CSV: say UTF-8 to Excel.", "--bom", panel=HOW)] = (
        False
    ),
    shard_mb: Annotated[int, option("A file begins anew after so many MB.", panel=HOW)] = 500,
    license: Annotated[str, option("Of the dataset, for its card.", panel=HOW)] = "other",
    since: Annotated[datetime | None, option("Said at this moment (UTC) or later.")] = None,
    until: Annotated[datetime | None, option("Said before this moment (UTC).")] = None,
    version: Annotated[list[int] | None, option("Made by this model version (its id).")] = None,
    verified: Annotated[bool, option("Only of weights that were seen.", "--verified")] = False,
    task: Annotated[list[str] | None, option("Events of this task: text, image, vae.")] = None,
    language: Annotated[list[str] | None, option("Language of the prompt: zh, en, …")] = None,
    source: Annotated[list[str] | None, option("Rule: liked, edited, choice, …")] = None,
    stars: Annotated[list[int] | None, option("Stars that count.")] = None,
    reason: Annotated[list[str] | None, option("Its visitor named this reason.")] = None,
    without_reason: Annotated[list[str] | None, option("Its visitor named no such reason.")] = None,
    topic: Annotated[list[str] | None, option("Words in the prompt.")] = None,
    without_topic: Annotated[list[str] | None, option("Words not in the prompt.")] = None,
    exclude_visitor: Annotated[list[int] | None, option("Nothing of this visitor.")] = None,
    review: Annotated[Review, option("What the owner's review must say.")] = "not_rejected",
    raters: Annotated[int, option("At least so many visitors judged the same.")] = 1,
    agreement: Annotated[float, option("At least this part of them agrees.")] = 0.0,
    conflicts: Annotated[Conflicts, option("Where visitors disagree.")] = "majority",
    near_duplicates: Annotated[
        float | None, option("Rows that are this similar are one, such as 0.85.")
    ] = None,
    least_edit: Annotated[float, option("What part an edit has to change.")] = 0.01,
    cap_rows: Annotated[int, option("Rows of one visitor; 0: any number.")] = 20,
    cap_share: Annotated[float, option("Or this part of all rows, if more.")] = 0.01,
    test: Annotated[float, option("Part for testing.", panel=WHOSE)] = 0.1,
    validation: Annotated[float, option("Part for validation.", panel=WHOSE)] = 0.0,
    redact: Annotated[Redact, option("What happens to personal data.", panel=WHOSE)] = "auto",
    redact_kind: Annotated[list[str] | None, option("Only this kind of it.", panel=WHOSE)] = None,
    edits: Annotated[str, option("The config that uses edits.", panel=WHOSE)] = "",
    reuse: Annotated[
        bool, option("Let an event stand behind rows of several configs.", panel=WHOSE)
    ] = False,
    tokenizer: Annotated[
        str, option("Folder of a tokenizer that counts tokens; '' for none.", panel=WHOSE)
    ] = "auto",
    max_tokens: Annotated[int | None, option("Of prompt and answer.", panel=WHOSE)] = None,
    lint: Annotated[
        bool, option("Open it with the libraries that will read it.", panel=WHOSE)
    ] = True,
    base: Annotated[
        str, option("NAME@VERSION: append what was said since to that export.", panel=TOLD)
    ] = "",
    spec: Annotated[
        Path | None, option("What is asked for, in a file instead of options.", panel=TOLD)
    ] = None,
    dry_run: Annotated[
        bool, option("Count, show ten rows, and write nothing.", "--dry-run", panel=TOLD)
    ] = False,
    resume: Annotated[
        bool,
        option("Make what was being made at --out when it was killed.", "--resume", panel=TOLD),
    ] = False,
    register: Annotated[
        Path | None, option("Enter this finished export into the ledger.", panel=TOLD)
    ] = None,
    processes: Annotated[
        int, option("That read; 0: one for each processor, if there is much.", panel=TOLD)
    ] = 0,
    ray: Annotated[
        str, option("Read on this cluster of Ray: its address, or 'local'.", panel=TOLD)
    ] = "",
    quiet: Annotated[bool, option("No progress bar.", "--quiet", panel=TOLD)] = False,
) -> None:
    """Make a dataset of the feedback that may be used for training.

    Exit codes: 0 done, 1 nothing was written, 2 the options make no sense, 130 interrupted.
    """
    step_back()
    settings = Settings()
    try:
        media = open_media(settings.media)
        with ready_database(settings.database) as database, progress(quiet) as report:
            if register is not None:
                print(f"Entered as export {enter(database, register)}.")
                return
            if resume:
                name, wanted = interrupted(out)
            elif base:
                wanted = go_on(database, base)
                name = name or base.partition("@")[0]
            elif spec is not None:
                wanted = read_spec(spec)
            else:
                wanted = Spec(
                    recipes(format or [], shape, medium, flavour, bom),
                    Selection(
                        since=in_utc(since),
                        until=in_utc(until),
                        tasks=cast("tuple[Task, ...]", tuple(task or ())),  # the spec looks
                        versions=tuple(version or ()),
                        verified=verified,
                        languages=tuple(language or ()),
                        sources=tuple(source or ()),
                        stars=tuple(stars or ()),
                        reasons=tuple(reason or ()),
                        without_reasons=tuple(without_reason or ()),
                        topics=tuple(topic or ()),
                        without_topics=tuple(without_topic or ()),
                        exclude_visitors=tuple(exclude_visitor or ()),
                        review=review,
                        raters=raters,
                        agreement=agreement,
                        conflicts=conflicts,
                        near_duplicates=near_duplicates,
                        least_edit=least_edit,
                        cap_rows=cap_rows or None,
                        cap_share=cap_share,
                    ),
                    splits=Splits(test, validation),
                    redaction=Redaction(redact, tuple(redact_kind or ())),
                    lint=Lint(lint, tokenizer, max_tokens),
                    files=files,
                    shard_mb=shard_mb,
                    reuse="allow" if reuse else "forbid",
                    edits=edits,
                    license=license,
                )
            crew = on_ray(ray) if ray else crew_of(database, processes)
            if dry_run:
                show(preview(database, wanted, media=media, report=report, crew=crew))
                return
            name = name or (out.name if out else "-".join(each.config for each in wanted.configs))
            out = out or next_place(database, settings.data_dir / "exports", name)
            manifest = export(
                database, wanted, out, name=name, media=media, report=report, crew=crew
            )
    except (InvalidSpec, ValidationError) as problem:
        raise typer.BadParameter(sentence(problem)) from problem
    except PROBLEMS as problem:
        raise failed(problem) from problem
    for left in leftovers(out):
        shutil.rmtree(left)
    told(manifest, "Wrote")
    print(f"It is {manifest['name']}@{manifest['version']} in {out}.")


def on_ray(address: str) -> Crew:
    if find_spec("ray") is None:
        raise InvalidSpec("Ray is not installed: pip install -r requirements-ray.txt")
    return OnRay(address)


def next_place(database: Database, exports: Path, name: str) -> Path:
    """Where the next version of a dataset lies, when nobody says otherwise."""
    with database.read() as session:
        return exports / f"{name}@{next_version(session, name)}"


def failed(problem: Exception) -> typer.Exit:
    typer.echo(f"{problem}.", err=True)
    return typer.Exit(1)


def recipes(
    formats: list[str], shape: Shape, medium: Medium, flavour: Flavour, bom: bool
) -> tuple[Recipe, ...]:
    """The configs that are named as FORMAT or FORMAT:SHAPE.

    Of several each takes what is for it; of one what is not for it is a mistake.
    """
    if not formats:
        raise InvalidSpec("give --format, or --spec, --base, --resume or --register")
    found, alone = [], len(formats) == 1
    for one in formats:
        format, _, own = one.partition(":")
        if own and own not in SHAPES:
            raise InvalidSpec(f"there is no shape {own}: {', '.join(SHAPES)}")
        form = FORMATS.get(format)
        takes_shape = alone or (form is not None and shape in form.shapes)
        events = alone or format == EVENTS
        own_shape: Any = own or None
        found.append(
            Recipe(
                format,
                own_shape or (shape if takes_shape else "standard"),
                medium if alone or format == "vae-samples" else "pictures",
                flavour if events else "lossless",
                bom and events,
            )
        )
    return tuple(found)


def in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def read_spec(path: Path) -> Spec:
    """The spec in a file: as written, or the one of a manifest; raises InvalidSpec."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise InvalidSpec(f"{path} cannot be read as JSON") from problem
    return from_json(content.get("spec", content) if isinstance(content, dict) else content)


def leftovers(out: Path) -> list[Path]:
    """What exports to that place left when they were killed."""
    return sorted(out.parent.glob(f".{out.name}.*.partial"))


def interrupted(out: Path | None) -> tuple[str, Spec]:
    """The name and the spec of what was being made there; raises NoExport."""
    if out is None:
        raise InvalidSpec("give --out with --resume")
    for left in reversed(leftovers(out)):
        try:
            return job_in(left)
        except FileNotFoundError:
            continue
    raise NoExport(f"no export to {out} was interrupted")


@contextmanager
def progress(quiet: bool) -> Iterator[watch.Report]:
    """A bar with rows and the time left, where somebody looks."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield watch.nobody
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        stage = ""

        def report(now: watch.Progress) -> None:
            nonlocal stage
            said = f"{now.stage} {now.config}".strip()
            if said != stage:
                stage = said
                bar.reset(task, total=now.total, description=said)
            bar.update(task, completed=now.done)

        yield report


def show(found: Preview) -> None:
    """The counts, and some rows of each config."""
    for name, rows in found.rows.items():
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, default=str)
            print(f"{name}: {line if len(line) <= SHOWN else line[:SHOWN] + '…'}")
    for sample in found.personal_data:
        print(f"{sample.kind}: …{sample.before}»{sample.found}«{sample.behind}…")
    told(found.summary, "Would write")


def told(manifest: dict[str, Any], verb: str) -> None:
    """Tell the owner what is in the dataset, and what to mind."""
    for config in manifest["configs"]:
        by = config["rows_by_source"]
        print(f"{verb} {config['rows']} rows of {config['name']}: {listed(by)}.")
        if config["quarantined"]:
            held = listed(config["quarantined_by_reason"])
            print(f"Held back {config['quarantined']}: {held}.")
        for warning in config["warnings"]:
            typer.echo(f"Warning: {warning}.", err=True)
    for warning in manifest["splits"].get("warnings", ()):
        typer.echo(f"Warning: {warning}.", err=True)
    for consumer, said in manifest.get("checked", {}).items():
        if not said["checked"]:
            typer.echo(f"Not checked with {consumer}: {said['because']}.", err=True)
        for problem in said.get("problems", ()):
            typer.echo(f"Warning: {problem}.", err=True)


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "none"


if __name__ == "__main__":
    typer.run(main)
