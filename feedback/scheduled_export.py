"""The job that exports by itself: each format a new version of a dataset, pushed if wanted."""

from pathlib import Path

from config import Settings
from db.tables import now
from feedback.commands import CommandFailed, run
from feedback.schedule import Schedule
from feedback.scheduler import Job, Turn


def export_schedule(settings: Settings) -> Schedule:
    """When the owner wants exports; never, if both are 0."""
    return Schedule("export", settings.export_every_hours, settings.export_every_labels)


def scheduled_export(settings: Settings) -> Job:
    """The job: every format that the settings name, into the data folder and to their target."""

    def job(turn: Turn) -> str:
        made, failed = [], []
        moment = f"{now():%Y%m%dT%H%M%SZ}"
        for format in settings.export_formats:
            folder = settings.data_dir / "exports" / f"{format}-{moment}"
            try:
                made.append(f"{format}: {export(turn, format, folder, settings.export_push_to)}")
            except CommandFailed as problem:  # the other formats may have rows
                failed.append(f"{format}: {problem}")
        if not made:
            raise CommandFailed(" ".join(failed))
        return " ".join([*made, *failed])

    return job


def export(turn: Turn, format: str, folder: Path, target: str) -> str:
    """Make one export and push it; what the commands said of it."""
    said = run(turn, "feedback.export", "--format", format, "--name", format, "--out", str(folder))
    if target:
        said += " " + run(turn, "feedback.push", str(folder), target.replace("{format}", format))
    return said
