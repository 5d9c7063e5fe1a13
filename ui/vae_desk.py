"""What the VAE tab's Sample and Explore do; everything that a visitor sends is checked here."""

import asyncio
import base64
import binascii
import io
import json
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from db.tables import MOST_DRAFTS
from feedback.answer import Ask, Progress, Queue
from feedback.taste import learn
from generators.base import SEEDS, InvalidRequest, check_number
from generators.film import film
from generators.latent import LatentModel, LatentOptions
from generators.taste import Taste
from generators.uploads import read_picture
from models.jobs import Job
from models.learning_data import fitted
from models.registry import ModelUnavailable
from ui.desk import FOLLOWED, LOADING_EVERY, Desk, State, sent, whole
from ui.image_desk import data_url
from ui.latent_models import TRAINED
from ui.services import Services

GUEST = range(16, 65)  # characters of the name that a page makes for one without a token
FORMATS = ("gif", "webp")
MOST_DIMENSIONS = 64  # that the page has sliders for

States = AsyncGenerator[State]


class VaeDesk(Desk):
    """What the tab's events do, for one language."""

    task = "vae"

    async def act(self, request: gr.Request, event: gr.EventData) -> States:
        """Answer the page's script; each state bears the number of the question."""
        data = sent(event)
        number = data.get("ask")
        try:
            async for state in self.answered(data, request):
                yield {**state, "ask": number}
        except FOLLOWED as problem:
            yield {**self.problem(problem), "ask": number}

    def answered(self, data: State, request: gr.Request) -> States:
        actions: dict[str, Callable[[State, gr.Request], States]] = {
            "models": self.models,
            "sample": self.sample,
            "map": self.map,
            "point": self.point,
            "traverse": self.traverse,
            "interpolate": self.interpolate,
            "film": self.film,
            "reconstruct": self.reconstruct,
        }
        action = data.get("action")
        if not isinstance(action, str) or action not in actions:
            raise InvalidRequest("unknown_latent_action", action=str(action)[:40])
        return actions[action](data, request)

    async def vae(
        self,
        request: gr.Request,
        model: str | None = None,
        drafts: int = 8,
        source: str = "prior",
        temperature: float = 1.0,
        truncation: float = 0.0,
        seed: int | None = None,
    ) -> States:
        """Draw samples of a latent model; streams the state of the request."""
        wish: State = {
            "action": "sample",
            "model": model or next(iter(self.latents.offered)),
            "drafts": drafts,
            "source": source,
            "temperature": temperature,
            "truncation": truncation,
            "seed": seed,
        }
        try:
            async for state in self.sample(wish, request):
                yield state
        except FOLLOWED as problem:
            yield self.problem(problem)

    # --- Who and what

    @property
    def latents(self) -> Any:
        return latents_of(self.services)

    def queue(self, data: State, request: gr.Request) -> Queue:
        """The queue of the model that is asked for; raises InvalidRequest."""
        found: Queue = self.latents.queue(data.get("model"), owners(self.services, data, request))
        return found

    async def loaded(self, queue: Queue, request: gr.Request) -> LatentModel:
        """The model itself, once it is there; raises ModelUnavailable, or InvalidRequest."""
        async for _ in self.loading(queue, request):
            pass
        if queue.model is None:
            raise queue.error or ModelUnavailable("model_missing", model=queue.name)
        model: LatentModel = queue.model.model
        return model

    async def models(self, data: State, request: gr.Request) -> States:
        """The models that this visitor may choose; again whenever one has been loaded."""
        mine = owners(self.services, data, request)
        before: list[State] = []
        while True:
            jobs = await asyncio.to_thread(self.latents.jobs.all)
            trained = [
                job for job in jobs if job.owner in mine and job.state in ("done", "stopped")
            ]
            found = [described(queue, self.trouble(queue)) for queue in self.offered()]
            found += [described_job(job) for job in reversed(trained)]
            loading = any(queue.state == "loading" for queue in self.offered())
            if found != before or not loading:
                yield {"phase": "running" if loading else "done", "models": found}
            before = found
            if not loading:
                return
            await asyncio.sleep(LOADING_EVERY)

    def offered(self) -> list[Queue]:
        return list(self.latents.offered.values())

    # --- Sample

    async def sample(self, data: State, request: gr.Request) -> States:
        """Samples; with a taste, the same noise without it and then with it."""
        queue = self.queue(data, request)
        options = options_of(data)
        whose = data.get("taste")
        if not whose:
            async for view, _ in self.follow(queue, self.asked(options, request), request):
                yield view
            return
        model = await self.loaded(queue, request)
        taste = await self.taste(model, whose, request)
        before: State = {}
        async for view, _ in self.follow(queue, self.asked(options, request), request):
            if view["phase"] == "error":
                yield view
                return
            if view["phase"] == "done":
                before = view
            else:
                yield view
        drawn = replace(options, taste=taste.as_json())
        async for view, _ in self.follow(queue, self.asked(drawn, request), request):
            if view["phase"] == "done":
                shares = [draft["latent"].get("effective") for draft in view["request"]["drafts"]]
                known = [share for share in shares if share is not None]
                view["before"] = before["request"]
                view["taste"] = {
                    "whose": whose,
                    "choices": taste.choices,
                    "agreement": taste.agreement,
                    "effective": sum(known) / len(known) if known else None,
                }
            yield view

    def asked(self, options: LatentOptions, request: gr.Request) -> Ask:
        return Ask({"action": "sample"}, options, self.services.key_hash(request))

    async def taste(self, model: LatentModel, whose: object, request: gr.Request) -> Taste:
        """Learned from the visitor's choices, or everybody's; raises InvalidRequest."""
        key_hash = self.services.key_hash(request)
        if whose != "everybody" and key_hash is None:
            raise InvalidRequest("taste_needs_consent")

        def learned() -> Taste:
            with self.services.database.read() as session:
                who = None if whose == "everybody" else key_hash
                return learn(session, model.weights.sha256, who)

        return await asyncio.to_thread(learned)

    # --- Explore

    async def map(self, data: State, request: gr.Request) -> States:
        """The model's map, if it has one, and how its dimensions vary."""
        model = await self.loaded(self.queue(data, request), request)
        found = model.map
        yield {
            "phase": "done",
            "map": found and {"groups": found.groups, "points": found.points},
            "dimensions": dimensions(model),
            "columns": model.preprocessing.get("columns", []),
        }

    async def point(self, data: State, request: gr.Request) -> States:
        """What one place stands for; kept, so that it can be judged."""
        queue = self.queue(data, request)
        with self.located(data.get("at")) as at:
            inputs = {"action": "point", "at": at}
            ask = Ask(inputs, LatentOptions(drafts=1), self.keeper(request, at))
            async for view, _ in self.follow(queue, ask, request):
                yield view

    async def traverse(self, data: State, request: gr.Request) -> States:
        """One dimension moved, all others as they are; only looked at, and not kept."""
        queue = self.queue(data, request)
        with self.located(data.get("at")) as at:
            inputs = {
                "action": "traverse",
                "at": at,
                "dimension": data.get("dimension"),
                "values": data.get("values"),
            }
            async for view, _ in self.follow(queue, Ask(inputs, LatentOptions(), None), request):
                yield view

    async def interpolate(self, data: State, request: gr.Request) -> States:
        """The way from one place to another."""
        queue = self.queue(data, request)
        with self.way(data) as (inputs, options):
            key_hash = self.keeper(request, inputs["from"], inputs["to"])
            async for view, _ in self.follow(queue, Ask(inputs, options, key_hash), request):
                yield view

    async def film(self, data: State, request: gr.Request) -> States:
        """The same way as a file that plays it."""
        if data.get("format") not in FORMATS:
            raise InvalidRequest("unknown_latent_action", action=str(data.get("format"))[:40])
        queue = self.queue(data, request)
        with self.way(data) as (inputs, options):
            async for progress in self.answers(queue, Ask(inputs, options, None), request):
                snapshot = progress.snapshot
                if snapshot.error is not None:
                    raise snapshot.error
        if snapshot.failed or not all(snapshot.images):
            yield self.error("model_failed")
            return
        frames = [Image.open(io.BytesIO(png)).convert("RGB") for png in snapshot.images if png]
        played = await asyncio.to_thread(film, frames, data["format"].upper())
        encoded = base64.b64encode(played).decode()
        yield {"phase": "done", "film": f"data:image/{data['format']};base64,{encoded}"}

    async def reconstruct(self, data: State, request: gr.Request) -> States:
        """What a visitor's own picture, text or row becomes; never kept."""
        queue = self.queue(data, request)
        model = await self.loaded(queue, request)
        at = data.get("at")
        original: str | None = None
        if isinstance(at, dict) and "upload" in at and model.makes_pictures:
            picture = await asyncio.to_thread(read_picture, uploaded(at["upload"]))
            original = data_url(as_png(fitted(picture, model.size)))
        with self.located(at) as place:
            inputs = {"action": "reconstruct", "at": place}
            async for view, _ in self.follow(queue, Ask(inputs, LatentOptions(), None), request):
                yield {**view, "original": original} if view["phase"] == "done" else view

    @contextmanager
    def way(self, data: State) -> Iterator[tuple[State, LatentOptions]]:
        options = options_of({"steps": data.get("steps", 9), "spherical": data.get("spherical")})
        check_number("frames", options.steps, 2, MOST_DRAFTS, whole=True)
        with self.located(data.get("from")) as start, self.located(data.get("to")) as end:
            yield {"action": "interpolate", "from": start, "to": end}, options

    @contextmanager
    def located(self, said: object) -> Iterator[State]:
        """A PLACE as the generator takes it; a picture is held in memory meanwhile."""
        if not isinstance(said, dict):
            raise InvalidRequest("latent_place")
        if "upload" not in said:
            kinds = ("z", "x", "y", "index", "text", "vector")
            yield {kind: said[kind] for kind in kinds if kind in said}
            return
        with self.latents.uploads.held(uploaded(said["upload"])) as name:
            yield {"picture": name}

    def keeper(self, request: gr.Request, *places: State) -> str | None:
        """Who keeps what is made of these places: nobody, if a picture or words were sent."""
        if any(place.keys() & {"picture", "text", "vector"} for place in places):
            return None
        return self.services.key_hash(request)

    # --- What the page sees

    def view(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """The state as web/static/vae*.js draw it; what was made comes when all of it is there."""
        snapshot = progress.snapshot
        state: State = {
            "phase": "loading" if queue.state == "loading" else snapshot.phase,
            "ahead": snapshot.ahead,
            "step": snapshot.step,
            "steps": snapshot.steps,
        }
        if snapshot.phase != "done":
            return state
        handles = self.handles(ask, progress, len(snapshot.latents))
        state["request"] = {
            "request_id": ask.request_id,
            "task": self.task,
            "model": queue.name,
            "kind": queue.model.model.kind if queue.model else None,
            "inputs": ask.inputs,
            "options": ask.options.as_json(),
            "drafts": [
                {
                    "draft": number,
                    "generation": handle,
                    "picture": bool(snapshot.images),
                    "image": data_url(snapshot.images[number]) if snapshot.images else None,
                    "output": snapshot.texts[number] if snapshot.texts else None,
                    "latent": latent,
                    "finish_reason": snapshot.finish_reasons[number],
                    "feedback": {},
                }
                for number, (latent, handle) in enumerate(
                    zip(snapshot.latents, handles, strict=True)
                )
            ],
        }
        return state

    def remembered(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """Nothing: all that goes on from a sample needs is its code, which the page has."""
        return {}


def latents_of(services: Services) -> Any:
    assert services.latents is not None, "the tab is only there with its models"
    return services.latents


def owners(services: Services, data: State, request: gr.Request) -> list[str]:
    """Whose jobs and models are this visitor's; what is new belongs to the first.

    Who has no token is known by a name that the page made for as long as it is open.
    """
    key_hash = services.key_hash(request)
    found = [key_hash] if key_hash else []
    guest = data.get("guest")
    if isinstance(guest, str) and len(guest) in GUEST:
        found.append(services.signer.sign("guest", guest))
    return found


def options_of(data: State) -> LatentOptions:
    """What the page asks for; a seed that it leaves out is drawn."""
    own = LatentOptions()
    drafts = whole("drafts", data.get("drafts", own.drafts))
    check_number("drafts", drafts, 1, MOST_DRAFTS, whole=True)
    seed = data.get("seed")
    return LatentOptions(
        drafts=drafts,
        source=data.get("source", own.source),
        temperature=data.get("temperature", own.temperature),
        truncation=data.get("truncation", own.truncation),
        seed=secrets.randbelow(SEEDS) if seed is None else whole("seed", seed),
        steps=whole("frames", data.get("steps", own.steps)),
        spherical=data.get("spherical") is True,
    )


def uploaded(text: object) -> bytes:
    """The bytes of a file that came as base64; raises InvalidRequest."""
    if not isinstance(text, str):
        raise InvalidRequest("picture_format")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("picture_format") from error


def as_png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def dimensions(model: LatentModel) -> list[State]:
    """The dimensions of the code, those that carry most first, each with what it carries."""
    carried = model.evaluation.get("kl_per_dimension")
    if carried is None and model.map is not None:
        carried = model.map.codes.std(dim=0).tolist()
    weights = carried or [1.0] * model.latent_size
    order = sorted(range(len(weights)), key=lambda place: -weights[place])
    return [
        {"dimension": place, "weight": round(float(weights[place]), 4)}
        for place in order[:MOST_DIMENSIONS]
    ]


def described(queue: Queue, message: str) -> State:
    """A model of the settings as the picker shows it."""
    state: State = {
        "name": queue.name,
        "label": queue.name,
        "state": queue.state,
        "message": message,
        "mine": False,
    }
    if queue.model is None:
        return state
    model: LatentModel = queue.model.model
    return {
        **state,
        "kind": model.kind,
        "samples": model.can_sample,
        "encodes": model.can_encode,
        "mixture": model.mixture is not None,
        "map": model.map is not None,
        "size": model.latent_size,
        "figures": figures_of(model),
    }


def described_job(job: Job) -> State:
    """A model that the visitor trained; it need not be loaded to be described."""
    learned = job.settings.kind != "gan"
    return {
        "name": f"{TRAINED}{job.id}",
        "label": job.name,
        "state": "ready",
        "message": "",
        "mine": True,
        "kind": job.settings.kind,
        "samples": True,
        "encodes": learned,
        "mixture": learned,
        "map": learned,
        "size": job.settings.latent_size,
        "figures": None,
    }


def figures_of(model: LatentModel) -> State | None:
    """figures.json beside the weights, if it is about them; None without."""
    path = model.folder / "figures.json"
    if not path.is_file():
        return None
    said: State = json.loads(path.read_text(encoding="utf-8"))
    return said if said.get("weights_sha256") == model.weights.sha256 else None
