"""Pictures from an engine: whole ones, for it shows none on the way."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from generators.attempts import Attempts, Manners
from generators.base import SEEDS, InvalidRequest, Phase, Snapshot, check_prompt
from generators.endpoints import Endpoint, Pool
from generators.image import LARGEST, ImageOptions
from generators.png import png_bytes
from generators.remote_drafts import make_drafts
from generators.remote_text import without
from generators.schedulers import DEFAULT
from generators.uploads import PictureLimits, read_picture
from generators.wire import EngineFault, EngineLimits, EngineRefusal
from models.engines import MULTIPLE, Engine, version_of

LIMITS = PictureLimits(max_bytes=32_000_000, max_pixels=LARGEST**2, max_frames=1)


@dataclass(frozen=True)
class ImageAsk:
    """One request to an image engine."""

    prompt: str
    negative_prompt: str
    options: ImageOptions  # complete
    seed: int
    choices: int  # how many pictures at once
    told: frozenset[str]  # the fields of IMAGE_FIELDS that the engine is told


@dataclass(frozen=True)
class ToldImageOptions(ImageOptions):
    """Options of which the engine is told only a part; the rest shaped nothing."""

    untold: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return without(super().as_json(), {"untold", *self.untold})


def told_fields(ask: ImageAsk) -> dict[str, Any]:
    """What the engine is told besides prompt and size, under the names of diffusers."""
    fields = {
        "seed": ("seed", ask.seed),
        "negative_prompt": ("negative_prompt", ask.negative_prompt),
        "steps": ("num_inference_steps", ask.options.steps),
        "guidance": ("guidance_scale", ask.options.guidance),
    }
    return {
        name: value
        for field, (name, value) in fields.items()
        if field in ask.told and value not in (None, "")
    }


class ImageTransport(Protocol):
    """How an image engine is spoken to."""

    def pictures(self, endpoint: Endpoint, ask: ImageAsk) -> AsyncGenerator[list[bytes]]:
        """The files of the pictures, once; raises EngineFault, EngineRefusal, FieldsRefused."""

    async def check(self, endpoint: Endpoint) -> None:
        """Ask an endpoint how it is."""

    async def close(self) -> None:
        """Let go of the connections."""


class RemoteImageWork:
    """The pictures of one request."""

    def __init__(self, prompt: str, negative_prompt: str, options: ImageOptions) -> None:
        self.prompt = prompt
        self.negative_prompt = negative_prompt
        self.options = options  # complete
        self.images: list[bytes | None] = [None] * options.drafts
        self.ends: list[str | None] = [None] * options.drafts
        self.served: list[dict[str, Any]] = [{} for _ in range(options.drafts)]
        self.faults: list[EngineFault | EngineRefusal] = []
        self.started_at: datetime | None = None
        self.first_token_at: datetime | None = None

    def finish(self, draft: int, image: bytes, endpoint: Endpoint) -> None:
        self.images[draft], self.ends[draft] = image, "end"
        self.served[draft] = {"endpoint": endpoint.address}

    def break_off(self, numbers: Sequence[int], fault: EngineFault | EngineRefusal) -> None:
        """End drafts that the engine did not finish."""
        self.faults.append(fault)
        for number in numbers:
            self.ends[number] = self.ends[number] or "error"

    def look(self, phase: Phase) -> Snapshot:
        lost = all(end == "error" for end in self.ends)
        return Snapshot(
            phase,
            finish_reasons=list(self.ends),
            step=sum(end is not None for end in self.ends),
            steps=len(self.ends),
            images=list(self.images),
            previews=[None] * len(self.images),
            served=[dict(one) for one in self.served],
            error=self.faults[0] if phase == "done" and lost else None,
        )


class RemoteImage:
    """A text-to-image model that an engine serves."""

    task = "image"
    schedulers = (DEFAULT,)
    adapters: dict[str, float] = {}
    multiple = MULTIPLE  # pixels

    def __init__(
        self,
        engine: Engine,
        transport: ImageTransport,
        limits: EngineLimits,
        pool: Pool | None = None,
    ) -> None:
        self.name = engine.name
        self.engine = engine
        self.weights = version_of(engine)
        self.pool = pool or Pool(engine.endpoints)
        self.manners = Manners()
        self.width, self.height = engine.width, engine.height
        self.takes_negative_prompt = "negative_prompt" in engine.takes
        self.takes_steps = "steps" in engine.takes
        self.takes_guidance = "guidance" in engine.takes
        usual = ImageOptions()
        self.defaults = ImageOptions(
            steps=int(engine.defaults.get("steps", usual.steps)),
            guidance=engine.defaults.get("guidance", usual.guidance),
        )
        self._transport = transport
        self._limits = limits

    @property
    def smallest(self) -> int:
        """Pixels of a side: a quarter of the size that the setting names, as for other models."""
        return max(1, -(-min(self.width, self.height) // (4 * MULTIPLE))) * MULTIPLE

    @property
    def largest(self) -> int:
        return min(2 * max(self.width, self.height), LARGEST) // MULTIPLE * MULTIPLE

    def complete(self, options: ImageOptions) -> ImageOptions:
        """The options with the size filled in, and what the engine is not told left out.

        Raises InvalidRequest for an option that was changed and that the engine does not take.
        """
        width, height = options.width or self.width, options.height or self.height
        for name, pixels in (("width", width), ("height", height)):
            if pixels % MULTIPLE or not self.smallest <= pixels <= self.largest:
                raise InvalidRequest(
                    "size_for_model",
                    option=name,
                    multiple=MULTIPLE,
                    low=self.smallest,
                    high=self.largest,
                )
        if options.scheduler != DEFAULT:
            raise InvalidRequest("scheduler_for_model", scheduler=options.scheduler)
        for name in options.adapters or {}:
            raise InvalidRequest("unknown_adapter", adapter=str(name)[:60])
        takes = self._takes()
        for name in ("steps", "guidance"):
            if name not in takes and getattr(options, name) != getattr(self.defaults, name):
                raise InvalidRequest("engine_option", option=name, model=self.name)
        untold = {"scheduler", "adapters"} | ({"seed", "steps", "guidance"} - takes)
        whole = replace(options, width=width, height=height, adapters=None)
        values = {name: value for name, value in vars(whole).items() if name != "untold"}
        return ToldImageOptions(**values, untold=tuple(sorted(untold)))

    def start(self, inputs: dict[str, Any], options: ImageOptions) -> RemoteImageWork:
        """inputs: {"prompt"} and perhaps {"negative_prompt"}."""
        prompt = check_prompt(inputs["prompt"])
        negative_prompt = check_prompt(inputs.get("negative_prompt") or "", empty=True)
        if negative_prompt and not self.takes_negative_prompt:
            raise InvalidRequest("no_negative_prompt", model=self.name)
        return RemoteImageWork(prompt, negative_prompt, self.complete(options))

    async def run(self, work: RemoteImageWork, slots: asyncio.Semaphore) -> None:
        """Draw all drafts at once."""
        await make_drafts(
            work,
            work.options.drafts,
            partial(self._receive, work),
            slots,
            engine=self.engine,
            manners=self.manners,
            limits=self._limits,
        )

    def says(self) -> dict[str, Any]:
        """What each endpoint says of itself, by its address."""
        return self.pool.says()

    async def check(self) -> None:
        await asyncio.gather(*map(self._transport.check, self.pool.endpoints))

    async def close(self) -> None:
        await self._transport.close()

    def _takes(self) -> frozenset[str]:
        return self.engine.takes - self.manners.refuses

    async def _receive(self, work: RemoteImageWork, numbers: Sequence[int]) -> list[int]:
        """Draw pictures in one request; the numbers of those that came."""
        seed = (work.options.seed + numbers[0]) % SEEDS
        attempts = Attempts(self.pool, self._limits, self.manners)

        def send(endpoint: Endpoint, refused: frozenset[str]) -> AsyncGenerator[list[bytes]]:
            told = (self.engine.takes | {"response_format"}) - refused
            choices = 1 if "n" in refused else len(numbers)
            ask = ImageAsk(work.prompt, work.negative_prompt, work.options, seed, choices, told)
            return self._transport.pictures(endpoint, ask)

        came = []
        async with aclosing(attempts.parts(send, bool)) as answers:
            async for endpoint, files in answers:
                for number, data in zip(numbers, files, strict=False):
                    image = await asyncio.to_thread(self._own_png, work, number, data)
                    work.finish(number, image, endpoint)
                    came.append(number)
        return came

    def _own_png(self, work: RemoteImageWork, number: int, data: bytes) -> bytes:
        """The picture as a PNG with its parameters; its size is looked at before it is decoded."""
        try:
            picture = read_picture(data, LIMITS)
        except InvalidRequest as problem:
            raise EngineFault("engine_answer") from problem
        options = work.options.as_json()
        del options["drafts"]
        if "seed" in options:
            options["seed"] = (work.options.seed + number) % SEEDS
        if (picture.width, picture.height) != (work.options.width, work.options.height):
            options |= {"width": picture.width, "height": picture.height}
        parameters = {
            "prompt": work.prompt,
            "negative_prompt": work.negative_prompt,
            **options,
            "model": self.name,
            "revision": self.weights.source.revision,
        }
        return png_bytes(picture, parameters)
