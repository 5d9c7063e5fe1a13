"""What the VAE tab's Train does: start a job, follow it, stop it, show what it learned."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from feedback.answer import Ask
from generators.base import InvalidRequest
from generators.latent import LatentOptions
from models.jobs import KINDS, READY, Job, JobRefused, TrainingSettings
from models.latent_map import MAP
from models.learning_data import SENTENCE_BYTES, BadData, normal_table, read_table
from ui.desk import FOLLOWED, State, sent
from ui.latent_models import TRAINED
from ui.vae_desk import VaeDesk, latents_of, owners

LOOK_EVERY = 0.4  # seconds between two looks at a job
CHOSEN = ("latent_size", "epochs", "batch", "rate", "beta", "hidden", "size")
NAME_LENGTH = 60
GENERATED = 100  # samples in the scatter plot
SHOWN_ROWS = 1_000  # of the training data beside them

States = AsyncGenerator[State]


class TrainingDesk(VaeDesk):
    """What the events of one language's page do; one training runs at a time."""

    async def act(self, request: gr.Request, event: gr.EventData) -> States:
        """Answer the page's script; each state bears the number of the question."""
        data = sent(event)
        number = data.get("ask")
        try:
            async for state in self.answered(data, request):
                yield {**state, "ask": number}
        except (JobRefused, BadData) as problem:
            yield {**self.error(problem.code, **problem.details), "ask": number}
        except FOLLOWED as problem:
            yield {**self.problem(problem), "ask": number}

    def answered(self, data: State, request: gr.Request) -> States:
        actions: dict[str, Callable[[State, gr.Request], States]] = {
            "jobs": self.jobs,
            "start": self.start,
            "watch": self.watch,
            "stop": self.stop_job,
            "delete": self.delete,
            "scatter": self.scatter,
        }
        action = data.get("action")
        if not isinstance(action, str) or action not in actions:
            raise InvalidRequest("unknown_latent_action", action=str(action)[:40])
        return actions[action](data, request)

    def job(self, data: State, request: gr.Request) -> Job:
        """The visitor's own job; raises InvalidRequest."""
        found: Job | None = self.latents.owned(
            data.get("job"), owners(self.services, data, request)
        )
        if found is None:
            raise InvalidRequest("unknown_job")
        return found

    async def jobs(self, data: State, request: gr.Request) -> States:
        """The visitor's jobs, newest first, and what a training may learn from."""
        mine = owners(self.services, data, request)
        jobs: list[Job] = await asyncio.to_thread(self.latents.jobs.all)
        yield {
            "phase": "done",
            "allowed": self.services.visitor_training,
            "groups": await asyncio.to_thread(self.groups),
            "busy": any(job.state == "running" and job.owner not in mine for job in jobs),
            "jobs": [self.summary(job) for job in reversed(jobs) if job.owner in mine],
        }

    def groups(self) -> dict[str, dict[str, str]]:
        """The groups of emoji that the bundled VAE remembers; none before it has a map."""
        remembered = latents_of(self.services).jobs.remembered
        if not (remembered / MAP).is_file():
            return {}
        offered = [queue.model for queue in self.offered() if queue.model is not None]
        for generator in offered:
            if generator.model.folder == remembered and generator.model.map is not None:
                found: dict[str, dict[str, str]] = generator.model.map.groups
                return found
        return {}

    async def start(self, data: State, request: gr.Request) -> States:
        """Begin a training and follow it to its end."""
        if not self.services.visitor_training:
            raise InvalidRequest("training_off")
        mine = owners(self.services, data, request)
        if not mine:
            raise InvalidRequest("unknown_job")
        settings = settings_of(data)
        if settings.data.startswith("groups:") and not self.groups():
            raise InvalidRequest("no_groups")
        upload = await asyncio.to_thread(upload_of, data) if settings.data == "upload" else None
        name = str(data.get("name") or "").strip()[:NAME_LENGTH]
        job = await asyncio.to_thread(
            latents_of(self.services).jobs.start, settings, mine[0], name or settings.kind, upload
        )
        async for state in self.followed(job.id):
            yield state

    async def watch(self, data: State, request: gr.Request) -> States:
        """Follow a job that was begun before, or look at one that has ended."""
        async for state in self.followed(self.job(data, request).id):
            yield state

    async def followed(self, id: str) -> States:
        """The job with all its progress, again whenever there is more of it."""
        jobs = latents_of(self.services).jobs
        seen: tuple[int, str] | None = None
        lines: list[State] = []
        at = 0
        while True:
            job: Job = await asyncio.to_thread(jobs.job, id)
            more, at = await asyncio.to_thread(jobs.progress, id, at)
            lines += more
            if seen != (at, job.state):
                seen = at, job.state
                phase = "running" if job.state == "running" else "done"
                yield {"phase": phase, "job": self.summary(job), **self.told(lines)}
            if job.state != "running":
                return
            await asyncio.sleep(LOOK_EVERY)

    async def stop_job(self, data: State, request: gr.Request) -> States:
        """Ask a job to end after its epoch."""
        latents_of(self.services).jobs.stop(self.job(data, request).id)
        yield {"phase": "done"}

    async def delete(self, data: State, request: gr.Request) -> States:
        """Remove a job that has ended, its model and the file that it learned from."""
        job = self.job(data, request)
        latents_of(self.services).forget(f"{TRAINED}{job.id}")
        await asyncio.to_thread(latents_of(self.services).jobs.delete, job.id)
        yield {"phase": "done", "deleted": job.id}

    async def scatter(self, data: State, request: gr.Request) -> States:
        """Generated rows over rows that were learned, by their first two coordinates."""
        job = self.job(data, request)
        queue = self.queue({**data, "model": f"{TRAINED}{job.id}"}, request)
        model = await self.loaded(queue, request)
        if model.kind != "vectors":
            raise InvalidRequest("latent_other_kind", model=job.name)
        ask = Ask({"action": "sample"}, LatentOptions(drafts=GENERATED), None)
        async for progress in self.answers(queue, ask, request):
            if progress.snapshot.error is not None:
                raise progress.snapshot.error
        made = [plane(latent["x"]) for latent in progress.snapshot.latents]
        learned = await asyncio.to_thread(learned_rows, job, model.folder.parent)
        columns = model.preprocessing["columns"]
        yield {
            "phase": "done",
            "job": job.id,
            "learned": [plane(row) for row in learned],
            "generated": made,
            "columns": [columns[0], columns[1] if len(columns) > 1 else ""],
        }

    # --- What the page sees

    def summary(self, job: Job) -> State:
        error = job.error and self.language.error(job.error["code"], **job.error["details"])
        return {
            "id": job.id,
            "name": job.name,
            "model": f"{TRAINED}{job.id}",
            "state": job.state,
            "created_at": job.created_at,
            "settings": asdict(job.settings),
            "error": error,
            "result": job.result,
        }

    def told(self, lines: list[State]) -> State:
        """The lines of a job's progress: what each step found, and the losses as curves."""
        steps = {line["step"]: line for line in lines if line["step"] != "training"}
        for left_out in steps.get("data", {}).get("report", {}).get("left_out", []):
            left_out["message"] = self.language.error(left_out["code"], **left_out["details"])
        epochs = [line for line in lines if line["step"] == "training"]
        curves: dict[str, dict[str, list[float]]] = {}
        for part in ("train", "validation"):
            names = epochs[0].get(part, {}) if epochs else {}
            curves[part] = {name: [line[part][name] for line in epochs] for name in names}
        last = epochs[-1] if epochs else {}
        return {"steps": steps, "curves": curves, "epoch": last.get("epoch", 0)}


def settings_of(data: State) -> TrainingSettings:
    """The ready settings of the kind with what the visitor chose; raises BadData."""
    kind = data.get("kind")
    if kind not in KINDS:
        raise BadData("unknown_training", kind=str(kind)[:40])
    changes: dict[str, Any] = {name: data[name] for name in CHOSEN if data.get(name) is not None}
    groups = data.get("groups")
    if data.get("file") is not None or data.get("lines") is not None:
        changes["data"] = "upload"
    elif isinstance(groups, list) and groups and kind in ("pictures", "gan"):
        changes["data"] = "groups:" + ",".join(str(group)[:40] for group in groups[:40])
    return replace(READY[kind], **changes)


def upload_of(data: State) -> bytes:
    """Lines as they were typed, or the bytes of a file that Gradio took; its copy is removed.

    Raises BadData for anything else, such as a path to another place.
    """
    lines = data.get("lines")
    if isinstance(lines, str):
        typed = lines.encode("utf-8", "replace")
        if len(typed) > SENTENCE_BYTES:
            raise BadData("data_too_large", limit=SENTENCE_BYTES // 1000)
        return typed
    file = data.get("file")
    path = Path(str(file.get("path"))).resolve() if isinstance(file, dict) else Path()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise BadData("data_empty")
    found = path.read_bytes()
    path.unlink()
    return found


def learned_rows(job: Job, folder: Path) -> list[list[float]]:
    """The first rows of the training data in their own units."""
    if job.settings.data == "normal":
        table = normal_table(seed=job.settings.seed)
    else:
        table = read_table(folder / "upload")
    values = table.values[:SHOWN_ROWS] * table.scales + table.means
    rows: list[list[float]] = values[:, :2].tolist()
    return rows


def plane(row: list[float]) -> list[float]:
    """The first two coordinates of a row."""
    return [round(value, 4) for value in [*row, 0.0][:2]]
