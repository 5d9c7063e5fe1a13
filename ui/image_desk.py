"""What the Image tab's events do; everything that a visitor sends is checked here."""

import asyncio
import base64
import io
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from PIL import Image, ImageChops

from db.replica.targets import TargetDown
from feedback.answer import Ask, Origin, Progress, Queue
from feedback.rate import UnknownGeneration
from generators.base import SEEDS, InvalidRequest
from generators.image import ImageOptions
from models.registry import ModelUnavailable
from ui.desk import FOLLOWED, Desk, State, may_come_back, sent, whole

MOST_WEIGHTS = 4  # adapters that the page has a slider for


@dataclass(frozen=True)
class Wish:
    """What a visitor asks for, as it came; None leaves it to the model, or the seed to chance."""

    prompt: Any
    negative_prompt: Any = ""
    drafts: Any = 1
    steps: Any = None
    guidance: Any = None
    width: Any = None
    height: Any = None
    scheduler: Any = "default"
    seed: Any = None
    adapters: Any = None


class ImageDesk(Desk):
    """What the tab's events do, for one language."""

    task = "image"

    async def draw(
        self,
        request: gr.Request,
        model: str,
        prompt: str,
        negative_prompt: str,
        drafts: int,
        steps: str,
        guidance: str,
        width: str,
        height: str,
        scheduler: str,
        seed: float | None,
        lock_seed: bool,
        *weights: float,
    ) -> AsyncGenerator[tuple[Any, Any, Any]]:
        """Draw pictures of a prompt; yields the state of the request, its memory and the seed."""
        wish = Wish(
            prompt,
            negative_prompt,
            drafts,
            steps=typed(steps),
            guidance=typed(guidance),
            width=typed(width),
            height=typed(height),
            scheduler=scheduler,
            seed=(0 if seed is None else seed) if lock_seed else secrets.randbelow(SEEDS),
            adapters=weights,
        )
        async for view, memory in self.drawn(model, wish, request):
            yield view, memory, wish.seed
        # What is yielded last is sent once more, whole: let that be nothing.
        yield gr.skip(), gr.skip(), gr.skip()

    async def image(
        self,
        prompt: str,
        request: gr.Request,
        negative_prompt: str = "",
        model: str | None = None,
        drafts: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        width: int | None = None,
        height: int | None = None,
        scheduler: str = "default",
        seed: int | None = None,
        adapters: dict[str, float] | None = None,
    ) -> AsyncGenerator[State]:
        """Draw pictures of a prompt; streams the state of the request."""
        wish = Wish(
            prompt,
            negative_prompt,
            drafts,
            steps,
            guidance,
            width,
            height,
            scheduler,
            seed,
            adapters,
        )
        async for view, _ in self.drawn(model, wish, request):
            yield view

    async def drawn(
        self, model: object, wish: Wish, request: gr.Request
    ) -> AsyncGenerator[tuple[State, Any]]:
        """Each state of the wish, and at the end what the page must remember of it."""
        try:
            queue = self.services.image_queue(model)
            async for _ in self.loading(queue, request):  # limits and suggestions come with it
                yield {"phase": "loading", "ahead": 0, "request": None}, gr.skip()
            ask = Ask(
                inputs=inputs_of(wish),
                options=options_of(queue, wish),
                key_hash=self.services.key_hash(request),
            )
        except FOLLOWED as problem:
            yield self.problem(problem), gr.skip()
            return
        async for state in self.follow(queue, ask, request):
            yield state

    async def act(
        self, memory: State | None, drafts: int, request: gr.Request, event: gr.EventData
    ) -> AsyncGenerator[tuple[Any, Any, Any]]:
        """Answer a button of a card: retry, reproduce; or an example."""
        data = sent(event)
        action = data.get("action")
        if action == "example":
            wish = Wish(data.get("prompt"), drafts=drafts)
            async for view, new_memory in self.drawn(None, wish, request):
                yield view, new_memory, gr.skip()
            yield gr.skip(), gr.skip(), gr.skip()
            return
        try:
            begun = self.begin(data, memory, request)
            queue = self.services.image_queue(begun.model)
        except FOLLOWED as problem:
            yield self.problem(problem), gr.skip(), gr.skip()
            return
        if action == "reproduce":
            yield gr.skip(), gr.skip(), await self.compare(queue, begun, request)
            return
        async for view, new_memory in self.follow(queue, self.ask_again(begun, request), request):
            yield view, new_memory, gr.skip()
        yield gr.skip(), gr.skip(), gr.skip()

    async def retry_image(self, generation: str, request: gr.Request) -> AsyncGenerator[State]:
        """Draw the request of one of your pictures anew; streams the state of the new one."""
        try:
            begun = self.opened(generation, request)
            queue = self.services.image_queue(begun.model)
        except FOLLOWED as problem:
            yield self.problem(problem)
            return
        async for view, _ in self.follow(queue, self.ask_again(begun, request), request):
            yield view

    async def reproduce_image(self, generation: str, request: gr.Request) -> State:
        """Draw one of your pictures again and compare: the same, or how many pixels differ."""
        try:
            begun = self.opened(generation, request)
            queue = self.services.image_queue(begun.model)
            return await self.compare(queue, begun, request)
        except FOLLOWED as problem:
            return self.problem(problem)

    def begin(self, data: State, memory: State | None, request: gr.Request) -> Origin:
        """What the button's card shows: kept, so in the database; or the last one of this page."""
        handle, draft = data.get("generation"), data.get("draft")
        if isinstance(handle, str):
            return self.opened(handle, request)
        if memory is None or type(draft) is not int or not 0 <= draft < memory["drafts"]:
            raise UnknownGeneration("nothing on this page")
        inputs, options = memory["inputs"], memory["options"]
        return Origin("", memory["model"], "", draft, inputs, options, "", False, task=self.task)

    def ask_again(self, begun: Origin, request: gr.Request) -> Ask:
        options = ImageOptions(**begun.options)
        return Ask(
            inputs=begun.inputs,
            options=replace(options, seed=secrets.randbelow(SEEDS)),
            key_hash=self.services.key_hash(request),
            parent_id=begun.id or None,
            relation="retry" if begun.id else None,
        )

    async def compare(self, queue: Queue, begun: Origin, request: gr.Request) -> State:
        """Draw a kept picture again and say whether it is the same; nothing new is kept."""
        say, word = self.language.error, self.language.word
        if queue.model is None or queue.model.weights.sha256 != begun.weights_sha256:
            return {"same": False, "message": say("picture_version_gone", model=begun.model)}
        try:
            before = await asyncio.to_thread(self.services.media.read, str(begun.media_sha256))
        except FileNotFoundError:
            return {"same": False, "message": say("no_picture")}
        except TargetDown as problem:
            return {"same": False, "message": self.problem(problem)["message"]}
        ask = Ask(begun.inputs, alone(begun), key_hash=None)
        again: bytes | None = None
        async for progress in self.answers(queue, ask, request):
            if progress.snapshot.error or progress.snapshot.failed:
                return {"same": False, "message": self.failure(progress)["message"]}
            if progress.snapshot.phase == "done":
                again = progress.snapshot.images[0]
        if again is None:
            return {"same": False, "message": word("reproduce_stopped")}
        different, pixels = differing_pixels(before, again)
        remote = "" if queue.model.weights.verified else "_remote"
        if different == 0:
            return {"same": True, "different": 0, "message": word(f"same_picture{remote}")}
        message = word(
            f"different_picture{remote}", different=f"{different:,}", pixels=f"{pixels:,}"
        )
        return {"same": False, "different": different, "message": message}

    def fill(
        self, memory: State | None, request: gr.Request, event: gr.EventData
    ) -> tuple[Any, ...]:
        """All that made a picture, back in the fields, its own seed locked."""
        try:
            begun = self.begin(sent(event), memory, request)
        except FOLLOWED:
            return (gr.skip(),) * 10
        options = alone(begun)
        offered = begun.model in self.services.image_queues
        return (
            begun.model if offered else gr.skip(),
            begun.inputs.get("prompt", ""),
            begun.inputs.get("negative_prompt", ""),
            str(options.steps),
            f"{options.guidance:g}",
            str(options.width),
            str(options.height),
            options.scheduler,
            options.seed,
            True,
        )

    def view(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """The state as web/static/live.js and cards.js draw it.

        A finished picture comes as a data URL until it is kept; then the page asks for it by its
        handle.
        """
        snapshot = progress.snapshot
        drafts = ask.options.drafts
        images = snapshot.images or [None] * drafts
        previews = snapshot.previews or [None] * drafts
        ends = snapshot.finish_reasons or [None] * drafts
        handles = self.handles(ask, progress, drafts)
        return {
            "phase": snapshot.phase,
            "ahead": snapshot.ahead,
            "step": snapshot.step,
            "steps": snapshot.steps,
            "request": {
                "request_id": ask.request_id,
                "task": self.task,
                "model": queue.name,
                "prompt": ask.inputs["prompt"],
                "negative_prompt": ask.inputs.get("negative_prompt", ""),
                "truncated": snapshot.truncated,
                "options": self.told_options(queue, ask, progress),
                "drafts": [
                    {
                        "draft": number,
                        "generation": handles[number],
                        "picture": images[number] is not None,
                        "image": None if handles[number] else data_url(images[number]),
                        "preview": None if images[number] else data_url(previews[number]),
                        "finish_reason": ends[number],
                        "feedback": {},
                    }
                    for number in range(drafts)
                ],
            },
        }

    def remembered(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """What the buttons of unkept pictures start from; the server keeps it, not the pictures."""
        return {
            "model": queue.name,
            "inputs": ask.inputs,
            "options": ask.options.as_json(),
            "drafts": ask.options.drafts,
        }

    def on_model(self, model: str, scheduler: str) -> tuple[Any, ...]:
        """What the fields show for a model: its limits, its suggestions, whether it is there.

        No field that a visitor fills in is written to: what is left empty is the model's choice.
        """
        queue = self.services.image_queues.get(model)
        loaded = queue.model if queue else None
        word = self.language.word
        message = self.trouble(queue)
        state_line = gr.Markdown(message, visible=bool(message))
        loading = queue is not None and queue.state == "loading"
        timer = gr.Timer(active=loading or may_come_back(queue))
        if loaded is None:
            return (state_line, timer, *(gr.skip(),) * (6 + MOST_WEIGHTS))
        own = loaded.defaults
        limits = word("size_limits", multiple=loaded.multiple, largest=loaded.largest)
        kept = {} if scheduler in loaded.schedulers else {"value": "default"}
        names = [*loaded.adapters.items()][:MOST_WEIGHTS]
        return (
            state_line,
            timer,
            gr.Textbox(visible=True)
            if loaded.takes_negative_prompt
            else gr.Textbox("", visible=False),
            gr.Textbox(placeholder=str(own.steps), visible=loaded.takes_steps),
            gr.Textbox(placeholder=f"{own.guidance:g}", visible=loaded.takes_guidance),
            gr.Textbox(placeholder=str(loaded.width), info=limits),
            gr.Textbox(placeholder=str(loaded.height), info=limits),
            gr.Dropdown(choices=self.schedulers(loaded.schedulers), **kept),
            *(gr.Slider(label=name, value=weight, visible=True) for name, weight in names),
            *(gr.Slider(visible=False) for _ in range(MOST_WEIGHTS - len(names))),
        )

    def schedulers(self, names: list[str]) -> list[tuple[str, str]]:
        """Choices of the picker: (what is shown, name)."""
        own = self.language.word("scheduler_default")
        return [(own if name == "default" else name, name) for name in names]


def typed(text: str | None) -> int | float | str | None:
    """What stands in a field for a number; None when it is empty, itself when it is no number."""
    text = (text or "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def inputs_of(wish: Wish) -> State:
    avoid = wish.negative_prompt
    if avoid is None or (isinstance(avoid, str) and not avoid.strip()):
        return {"prompt": wish.prompt}
    return {"prompt": wish.prompt, "negative_prompt": avoid}


def options_of(queue: Queue, wish: Wish) -> ImageOptions:
    """The wish in full; raises InvalidRequest for what is out of range."""
    model = queue.model
    if model is None:  # it could not be loaded
        raise queue.error or ModelUnavailable("model_missing", model=queue.name)
    own = model.defaults
    seed = secrets.randbelow(SEEDS) if wish.seed is None else whole("seed", wish.seed)
    options = ImageOptions(
        steps=own.steps if wish.steps is None else whole("steps", wish.steps),
        guidance=own.guidance if wish.guidance is None else wish.guidance,
        width=0 if wish.width is None else whole("width", wish.width),
        height=0 if wish.height is None else whole("height", wish.height),
        scheduler=wish.scheduler,
        seed=seed,
        drafts=whole("drafts", wish.drafts),
        adapters=weights_of(model.adapters, wish.adapters),
    )
    complete: ImageOptions = model.complete(options)
    return complete


def weights_of(adapters: dict[str, float], wished: Any) -> dict[str, float] | None:
    """The page sends one weight a slider, in the adapters' order; a program names them."""
    if wished is None:
        return None
    if isinstance(wished, tuple):  # the page has more sliders than there are adapters
        return dict(zip(adapters, wished, strict=False))
    if not isinstance(wished, dict):
        raise InvalidRequest("adapters_expected")
    return {**adapters, **wished}


def alone(begun: Origin) -> ImageOptions:
    """The options that draw this one picture of its request."""
    options = ImageOptions(**begun.options)
    return replace(options, seed=(options.seed + begun.draft) % SEEDS, drafts=1)


def data_url(png: bytes | None) -> str | None:
    return None if png is None else f"data:image/png;base64,{base64.b64encode(png).decode()}"


def differing_pixels(before: bytes, again: bytes) -> tuple[int, int]:
    """How many pixels of two PNG files differ, and of how many; all where the sizes do."""
    with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(again)) as other:
        pixels = one.width * one.height
        if one.size != other.size:
            return pixels, pixels
        bands = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).split()
        most = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
        return pixels - most.histogram()[0], pixels
