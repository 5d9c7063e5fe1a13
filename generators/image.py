"""Pictures from any diffusers text-to-image pipeline."""

import inspect
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from generators.base import SEEDS, InvalidRequest, Phase, Snapshot, check_number, check_prompt
from generators.batching import ModelQueue
from generators.lent import Lender, open_queue
from generators.png import png_bytes
from generators.preview import Preview, preview_of
from generators.remote import RemoteQueue, new_name, no_engine
from generators.schedulers import DEFAULT, NAMES, fitting, most_steps, new_scheduler
from generators.stepwise import stepwise
from models.device import Placement
from models.engines import BadEngine
from models.pipelines import (
    fetch_adapter,
    fetch_pipeline,
    parse_adapter,
    variant,
    with_adapters,
)
from models.registry import BUILDING, ModelUnavailable, Weights, parse_source, short_name

MAX_DRAFTS = 4
LARGEST = 4096  # pixels of a side; each model has its own limit below
NATIVE = 1024  # pixels of a side, for the few pipelines that do not say
PREVIEW_EVERY = 0.2  # seconds
PREVIEW_SHARE = 0.2  # of the time, at most


@dataclass(frozen=True)
class ImageOptions:
    """Everything besides the prompts and the weights that shapes the picture."""

    steps: int = 20
    guidance: float = 5.0  # how closely to follow the prompt; 1 and less: not guided
    width: int = 0  # pixels; 0: the size that the model was trained for
    height: int = 0
    scheduler: str = DEFAULT
    seed: int = 0  # of the first draft; the next ones count up from it
    drafts: int = 1
    adapters: dict[str, float] | None = None  # weight by name; None: those of the settings

    def __post_init__(self) -> None:
        """Raise InvalidRequest for a value of another type or out of its range."""
        check_number("steps", self.steps, 1, 100, whole=True)
        check_number("guidance", self.guidance, 0, 30)
        check_number("width", self.width, 0, LARGEST, whole=True)
        check_number("height", self.height, 0, LARGEST, whole=True)
        check_number("seed", self.seed, 0, SEEDS - 1, whole=True)
        check_number("drafts", self.drafts, 1, MAX_DRAFTS, whole=True)
        if self.scheduler not in NAMES:
            raise InvalidRequest("unknown_scheduler", scheduler=str(self.scheduler)[:60])
        if not isinstance(self.adapters, dict | None):
            raise InvalidRequest("adapters_expected")
        for name, weight in (self.adapters or {}).items():
            check_number(str(name)[:60], weight, -2, 2)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class ImageWork:
    """The drafts of one request: pictures that are finished, and one that is being drawn."""

    def __init__(
        self,
        prompt: str,
        negative_prompt: str,
        options: ImageOptions,
        truncated: str,
        preview: Preview | None,
    ) -> None:
        self.prompt = prompt
        self.negative_prompt = negative_prompt
        self.options = options  # complete
        self.truncated = truncated
        self.images: list[bytes | None] = [None] * options.drafts
        self.ends: list[str | None] = [None] * options.drafts
        self.step = 0  # of the draft that is being drawn
        self.steps = options.steps  # of each draft; a scheduler may make more than it was asked
        self._preview = preview
        self._latents: torch.Tensor | None = None
        self._shown: bytes | None = None  # the preview of the draft that is being drawn
        self._show_again = 0.0

    def took_step(self, steps: int, latents: torch.Tensor | None) -> None:
        self.step += 1
        self.steps = steps
        self._latents = latents

    def finish(self, draft: int, image: bytes | None, end: str) -> None:
        self.images[draft], self.ends[draft] = image, end
        self.step, self._latents, self._shown, self._show_again = 0, None, None, 0.0

    def look(self, phase: Phase) -> Snapshot:
        finished = sum(end is not None for end in self.ends)
        previews: list[bytes | None] = [None] * self.options.drafts
        if finished < self.options.drafts:
            previews[finished] = self._seen() if phase == "running" else self._shown
        return Snapshot(
            phase,
            finish_reasons=list(self.ends),
            step=finished * self.steps + self.step,
            steps=self.options.drafts * self.steps,
            images=list(self.images),
            previews=previews,
            truncated=self.truncated,
        )

    def _seen(self) -> bytes | None:
        began = time.monotonic()
        if self._latents is not None and self._preview is not None and began >= self._show_again:
            options = self.options
            self._shown = self._preview.png(self._latents, options.width, options.height)
            took = time.monotonic() - began
            self._show_again = began + max(PREVIEW_EVERY, took / PREVIEW_SHARE)
        return self._shown


class ImageGenerator:
    """A text-to-image pipeline, loaded, with its adapters."""

    task = "image"
    takes_steps = takes_guidance = True

    def __init__(
        self,
        weights: Weights,
        placement: Placement,
        adapters: Sequence[tuple[Weights, float]] = (),
        memory: Collection[str] = (),
    ) -> None:
        """Load from safetensors only, without code of the folder's own; raises ModelUnavailable.

        memory: as GENLOOP_IMAGE_MEMORY.
        """
        self.name = weights.source.name
        self.weights = with_adapters(weights, [adapter for adapter, _ in adapters])
        with BUILDING:
            self.pipeline = load_pipeline(weights, placement, to_device=not is_offloaded(memory))
            self.adapters = load_adapters(self.pipeline, adapters)
        self._preview = preview_of(self.pipeline, decode=not is_offloaded(memory))
        save_memory(self.pipeline, placement, memory, self.name)
        self._own_scheduler = self.pipeline.scheduler
        self._takes = inspect.signature(type(self.pipeline).__call__).parameters

        self.width, self.height = native_size(self.pipeline)
        self.multiple = multiple_of(self.pipeline)
        self.schedulers = [DEFAULT, *fitting(self._own_scheduler)]
        # Flux and its like take one only together with a second, "true" guidance.
        self.takes_negative_prompt = (
            "negative_prompt" in self._takes and "true_cfg_scale" not in self._takes
        )
        self.defaults = suggested(weights.folder, self._takes)

    @property
    def smallest(self) -> int:
        """Pixels of a side; below a quarter of what it was trained for nothing is recognisable."""
        quarter = min(self.width, self.height) / 4
        return max(1, math.ceil(quarter / self.multiple)) * self.multiple

    @property
    def largest(self) -> int:
        """Pixels of a side; at more than twice its size a model repeats itself."""
        return min(2 * max(self.width, self.height), LARGEST) // self.multiple * self.multiple

    def complete(self, options: ImageOptions) -> ImageOptions:
        """The options with nothing left to the model's own settings; raises InvalidRequest."""
        width, height = options.width or self.width, options.height or self.height
        for name, pixels in (("width", width), ("height", height)):
            if pixels % self.multiple or not self.smallest <= pixels <= self.largest:
                raise InvalidRequest(
                    "size_for_model",
                    option=name,
                    multiple=self.multiple,
                    low=self.smallest,
                    high=self.largest,
                )
        if options.scheduler not in self.schedulers:
            raise InvalidRequest("scheduler_for_model", scheduler=options.scheduler)
        limit = most_steps(new_scheduler(options.scheduler, self._own_scheduler))
        if limit is not None:
            check_number("steps", options.steps, 1, limit, whole=True)
        adapters = self.adapters if options.adapters is None else options.adapters
        for name in adapters:
            if name not in self.adapters:
                raise InvalidRequest("unknown_adapter", adapter=str(name)[:60])
        every = {name: adapters.get(name, 0) for name in self.adapters}
        return replace(options, width=width, height=height, adapters=every)

    def start(self, inputs: dict[str, Any], options: ImageOptions) -> ImageWork:
        """inputs: {"prompt"} and perhaps {"negative_prompt"}."""
        prompt = check_prompt(inputs["prompt"])
        negative_prompt = check_prompt(inputs.get("negative_prompt") or "", empty=True)
        if negative_prompt and not self.takes_negative_prompt:
            raise InvalidRequest("no_negative_prompt", model=self.name)
        return ImageWork(
            prompt,
            negative_prompt,
            self.complete(options),
            unread(self.pipeline, prompt, self._takes),
            self._preview,
        )

    def run(self, work: ImageWork) -> Iterator[None]:
        """Draw the drafts one after another, a denoising step at a time.

        They are no batch, because a batch is not what its rows are alone: with the bundled
        painter's networks on a CPU the values of a batch of four differ from those of four single
        pictures in the sixth digit, since products of other shapes are summed in another order.
        Each draft is a call of its own, so that the same seed gives the same bits in any company.
        """
        for draft in range(work.options.drafts):
            yield from stepwise(partial(self._draw, work, draft))

    def _draw(self, work: ImageWork, draft: int, pause: Callable[[], None]) -> None:
        options = work.options
        seed = (options.seed + draft) % SEEDS
        stream = torch.Generator().manual_seed(seed)  # on the CPU: one seed, one noise everywhere
        self._make_ready(options, stream)

        def on_step(pipeline: Any, index: int, at: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            total = getattr(pipeline, "num_timesteps", None) or options.steps
            work.took_step(total, tensors.get("latents"))
            pause()
            return {}

        given = {
            "prompt": work.prompt,
            "negative_prompt": work.negative_prompt or None,
            "num_inference_steps": options.steps,
            "guidance_scale": float(options.guidance),
            "width": options.width,
            "height": options.height,
            "generator": stream,
            "callback_on_step_end": on_step,
        }
        try:
            result = self.pipeline(**{name: given[name] for name in given if name in self._takes})
        except BaseException:  # stopped, or broken: what is offloaded must leave the device again
            self.pipeline.maybe_free_model_hooks()
            raise
        if any(getattr(result, "nsfw_content_detected", None) or ()):
            work.finish(draft, None, "filtered")
        else:
            parameters = self._parameters(work, seed)
            work.finish(draft, png_bytes(result.images[0], parameters), "end")

    def _make_ready(self, options: ImageOptions, stream: torch.Generator) -> None:
        """Give the pipeline the scheduler and the adapters' weights of a request."""
        scheduler = new_scheduler(options.scheduler, self._own_scheduler)
        if "generator" in inspect.signature(scheduler.step).parameters:
            # Some pipelines do not hand theirs on, and the noise would come from the global one.
            scheduler.step = partial(scheduler.step, generator=stream)
        self.pipeline.scheduler = scheduler
        if self.adapters:
            weights = options.adapters or {}
            self.pipeline.set_adapters(list(map(slot, range(len(weights)))), list(weights.values()))

    def _parameters(self, work: ImageWork, seed: int) -> dict[str, Any]:
        """What makes this one picture again; its seed is its own, whatever the drafts before it."""
        options = work.options.as_json() | {"seed": seed}
        del options["drafts"]
        return {
            "prompt": work.prompt,
            "negative_prompt": work.negative_prompt,
            **options,
            "model": self.name,
            "revision": self.weights.source.revision,
            "weights_sha256": self.weights.sha256,
        }


# Loading


def load_pipeline(weights: Weights, placement: Placement, *, to_device: bool) -> Any:
    """The pipeline, silent; raises ModelUnavailable."""
    import diffusers  # here: it takes seconds, and the page need not wait for it

    diffusers.utils.logging.set_verbosity_error()  # its warnings quote prompts
    diffusers.utils.logging.disable_default_handler()  # web/logs.py has one for everybody
    diffusers.utils.logging.enable_propagation()
    diffusers.utils.logging.disable_progress_bar()
    try:
        pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
            weights.folder,
            dtype=placement.dtype,
            variant=variant(weights, placement.dtype),
            use_safetensors=True,
            local_files_only=True,
        )
        if to_device:
            pipeline.to(placement.device)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ModelUnavailable(
            "model_no_memory", model=weights.source.name, source=weights.source.source
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelUnavailable(
            "model_unreadable", model=weights.source.name, source=weights.source.source
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def slot(number: int) -> str:
    """An adapter's name inside a pipeline, where not every letter is allowed."""
    return f"adapter{number}"


def load_adapters(pipeline: Any, adapters: Sequence[tuple[Weights, float]]) -> dict[str, float]:
    """Their weights by name; raises ModelUnavailable for one that was made for another model."""
    for number, (adapter, _) in enumerate(adapters):
        unfit = ModelUnavailable("adapter_unfit", model=adapter.source.name)
        try:
            pipeline.load_lora_weights(
                adapter.folder,
                weight_name=adapter.config["file"],
                adapter_name=slot(number),
                use_safetensors=True,
                local_files_only=True,
            )
        except (AttributeError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise unfit from error
        if slot(number) not in {
            name for names in pipeline.get_list_adapters().values() for name in names
        }:
            raise unfit
    return {adapter.source.name: weight for adapter, weight in adapters}


def is_offloaded(memory: Collection[str]) -> bool:
    return bool({"model_cpu_offload", "sequential_cpu_offload"} & set(memory))


def save_memory(pipeline: Any, placement: Placement, memory: Collection[str], name: str) -> None:
    """Switch on what GENLOOP_IMAGE_MEMORY names; raises ModelUnavailable where it cannot work."""
    if is_offloaded(memory) and placement.device.type == "cpu":
        raise ModelUnavailable("offload_without_gpu", model=name)
    if "sequential_cpu_offload" in memory:
        pipeline.enable_sequential_cpu_offload(device=placement.device)
    elif "model_cpu_offload" in memory:
        pipeline.enable_model_cpu_offload(device=placement.device)
    if "attention_slicing" in memory:
        pipeline.enable_attention_slicing()
    if "vae_slicing" in memory:
        pipeline.vae.enable_slicing()
    if "vae_tiling" in memory:
        pipeline.vae.enable_tiling()


# What a pipeline is made for


def denoiser(pipeline: Any) -> Any:
    return getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)


def native_size(pipeline: Any) -> tuple[int, int]:
    """Width and height in pixels that the model was trained for."""
    factor = getattr(pipeline, "vae_scale_factor", 1)
    config = getattr(denoiser(pipeline), "config", {})
    size = config.get("sample_size") or getattr(pipeline, "default_sample_size", None)
    if not size:
        return NATIVE, NATIVE
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(width * factor), int(height * factor)


def multiple_of(pipeline: Any) -> int:
    """What a side in pixels is a multiple of: transformers take patches of two latent pixels."""
    factor = int(getattr(pipeline, "vae_scale_factor", 1))
    patch = 2 if getattr(pipeline, "transformer", None) is not None else 1
    return math.lcm(8, factor * patch)


def suggested(folder: Path, takes: Any) -> ImageOptions:
    """The steps and the guidance to begin with.

    A folder may say them in a generation_config.json, under the names of the pipeline's own
    arguments; else the pipeline's class does, with no more steps than a fast scheduler needs.
    """
    config: dict[str, Any] = {}
    if (folder / "generation_config.json").is_file():
        config = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    usual = ImageOptions()
    said = {name: takes[name].default for name in takes}
    steps = config.get("num_inference_steps") or min(
        said.get("num_inference_steps") or usual.steps, usual.steps
    )
    guidance = config.get("guidance_scale", said.get("guidance_scale"))
    return ImageOptions(
        steps=int(steps), guidance=float(usual.guidance if guidance is None else guidance)
    )


def unread(pipeline: Any, prompt: str, takes: Any) -> str:
    """The end of a prompt that none of the pipeline's text encoders reads; "" when one reads all.

    The same limits as in diffusers' encode_prompt: CLIP's own, and max_sequence_length for others.
    """
    rests = []
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        tokenizer = getattr(pipeline, name, None)
        if tokenizer is None or not getattr(tokenizer, "is_fast", False):
            continue
        limit = tokenizer.model_max_length
        if "max_sequence_length" in takes and not type(tokenizer).__name__.startswith("CLIP"):
            limit = min(limit, takes["max_sequence_length"].default)
        if len(tokenizer(prompt)["input_ids"]) <= limit:
            return ""
        encoded = tokenizer(prompt, truncation=True, max_length=limit, return_offsets_mapping=True)
        read = max(end for _, end in encoded["offset_mapping"])  # characters
        rests.append(prompt[read:].strip())
    return min(rests, key=len, default="")


# Queues

ImageQueue = ModelQueue[ImageGenerator] | RemoteQueue[Any]


def open_image_queues(
    sources: Sequence[str],
    placement: Placement,
    max_waiting: int,
    adapters: Sequence[str] = (),
    memory: Collection[str] = (),
    engine: Callable[[str], RemoteQueue[Any] | None] = no_engine,
    lender: Lender | None = None,
) -> dict[str, ImageQueue]:
    """A queue for each model that the settings name, by the name that the picker shows.

    The adapters go to the first model: one fits only the weights that it was trained on.
    engine: opens the queue of an entry that names an engine; raises BadEngine.
    """
    queues: dict[str, ImageQueue] = {}
    for number, source in enumerate(sources):
        remote = engine(source)
        if remote is not None:
            if number == 0 and adapters:
                raise BadEngine("GENLOOP_IMAGE_ADAPTERS needs weights: let a folder come first")
            queues[new_name(remote.name, queues)] = remote
            continue
        name = short_name(source)
        if name in queues:
            name = source
        load = partial(
            load_image_generator, source, adapters=() if number else adapters, memory=memory
        )
        queues[name] = open_queue(source, name, load, placement, max_waiting, lender)
    return queues


def load_image_generator(
    source: str,
    placement: Placement,
    adapters: Sequence[str] = (),
    memory: Collection[str] = (),
) -> ImageGenerator:
    """Find, check and load a model with its adapters; raises ModelUnavailable."""
    weights = fetch_pipeline(parse_source(source), placement, memory)
    parsed = [parse_adapter(adapter) for adapter in adapters]
    found = [(fetch_adapter(place), weight) for place, weight in parsed]
    return ImageGenerator(weights, placement, found, memory)
