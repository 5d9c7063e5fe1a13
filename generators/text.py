"""Text from any causal language model in the transformers format."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils.logging import disable_progress_bar

from db.tables import PROMPT_LIMIT
from generators.base import SEEDS, InvalidRequest, Phase, Snapshot, check_number, check_prompt
from generators.batching import ModelQueue
from generators.lent import Lender, open_queue
from generators.remote import RemoteQueue, new_name, no_engine
from models.device import Placement
from models.registry import (
    BUILDING,
    ModelUnavailable,
    Weights,
    fetch,
    parse_source,
    short_name,
)

FORMS = ("五绝", "七绝", "五律", "七律")  # the poet's tokens; a model that has them gets the helper
MAX_DRAFTS = 4
MAX_NEW_TOKENS = 1024


@dataclass(frozen=True)
class TextOptions:
    """Everything besides the inputs and the weights that shapes the output."""

    temperature: float = 0.8  # 0 takes the likeliest token always
    top_p: float = 0.95
    top_k: int = 0  # 0: no limit
    repetition_penalty: float = 1.0
    max_new_tokens: int = 128
    seed: int = 0  # of the first draft; the next ones count up from it
    drafts: int = 1

    def __post_init__(self) -> None:
        """Raise InvalidRequest for a value that is no number or out of its range."""
        check_number("temperature", self.temperature, 0, 2)
        check_number("top_p", self.top_p, 0.01, 1)
        check_number("top_k", self.top_k, 0, 1000, whole=True)
        check_number("repetition_penalty", self.repetition_penalty, 0.5, 2)
        check_number("max_new_tokens", self.max_new_tokens, 1, MAX_NEW_TOKENS, whole=True)
        check_number("seed", self.seed, 0, SEEDS - 1, whole=True)
        check_number("drafts", self.drafts, 1, MAX_DRAFTS, whole=True)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class TextWork:
    """The drafts of one request, as token ids."""

    def __init__(
        self, tokenizer: Any, ids: torch.Tensor, prefix: str, options: TextOptions, room: int
    ) -> None:
        self.tokenizer = tokenizer
        self.ids = ids  # (1, input tokens)
        self.prefix = prefix  # what a continuation continues; every draft begins with it
        self.options = options
        self.limit = min(options.max_new_tokens, room)  # new tokens that fit the context
        self.input_tokens = ids.shape[1]
        self.answers: list[list[int]] = [[] for _ in range(options.drafts)]
        self.ends: list[str | None] = [None] * options.drafts

    def texts(self) -> list[str]:
        return [self.prefix + self._decode(answer) for answer in self.answers]

    def _decode(self, answer: list[int]) -> str:
        # A character whose bytes have not all come yet decodes to U+FFFD: wait for the rest.
        text: str = self.tokenizer.decode(answer, skip_special_tokens=True)
        return text.rstrip("\ufffd").replace("\x00", "\ufffd")  # PostgreSQL cannot hold NUL

    def tokens(self) -> list[int]:
        return [len(answer) for answer in self.answers]

    def finish_reasons(self) -> list[str | None]:
        return list(self.ends)

    def look(self, phase: Phase) -> Snapshot:
        return Snapshot(
            phase,
            texts=self.texts(),
            tokens=self.tokens(),
            finish_reasons=self.finish_reasons(),
            input_tokens=self.input_tokens,
        )


class TextGenerator:
    """A causal language model and its tokenizer, loaded."""

    task = "text"

    def __init__(self, weights: Weights, placement: Placement) -> None:
        """Load from safetensors only, without remote code; raises ModelUnavailable."""
        self.name = weights.source.name
        self.weights = weights
        self.device = placement.device
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(
                weights.folder, trust_remote_code=False, local_files_only=True
            )
            with BUILDING:
                self.network = AutoModelForCausalLM.from_pretrained(
                    weights.folder,
                    dtype=placement.dtype,
                    use_safetensors=True,
                    trust_remote_code=False,
                    local_files_only=True,
                ).to(placement.device)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise ModelUnavailable(
                "model_no_memory", model=weights.source.name, source=weights.source.source
            ) from error
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelUnavailable(
                "model_unreadable", model=weights.source.name, source=weights.source.source
            ) from error
        self.network.eval()
        self.ends = end_tokens(self.network, self.tokenizer)
        self.context = int(getattr(self.network.config, "max_position_embeddings", None) or 2**20)
        self.is_chat = self.tokenizer.chat_template is not None
        self.writes_poems = set(FORMS) <= set(self.tokenizer.get_added_vocab())

    def complete(self, options: TextOptions) -> TextOptions:
        """The options with nothing left to the model's own settings: here, as they are."""
        return options

    def start(self, inputs: dict[str, Any], options: TextOptions) -> TextWork:
        prefix = inputs.get("prefix", "")
        if "messages" in inputs:
            ids = self._chat_ids(inputs["messages"], prefix)
        else:
            ids = self._ids(check_prompt(inputs["prompt"]) + prefix)
        if not ids.shape[1]:  # a tokenizer may drop all that was written, white space for instance
            raise InvalidRequest("empty")
        room = self.context - ids.shape[1]
        if room < 1:
            raise InvalidRequest(
                "prompt_too_long_for_model", tokens=ids.shape[1], room=self.context - 1
            )
        return TextWork(self.tokenizer, ids.to(self.device), prefix, options, room)

    def _ids(self, text: str) -> torch.Tensor:
        ids: torch.Tensor = self.tokenizer(text, return_tensors="pt")["input_ids"]
        return ids

    def _chat_ids(self, messages: list[dict[str, str]], prefix: str) -> torch.Tensor:
        if not self.is_chat:
            raise InvalidRequest("model_is_no_chat", model=self.name)
        check_talk(messages)
        whole = messages + ([{"role": "assistant", "content": prefix}] if prefix else [])
        encoded = self.tokenizer.apply_chat_template(
            whole,
            add_generation_prompt=not prefix,
            continue_final_message=bool(prefix),
            return_tensors="pt",
            return_dict=True,
        )
        ids: torch.Tensor = encoded["input_ids"]
        return ids

    def run(self, work: TextWork) -> Iterator[None]:
        """Write all drafts together, a token of each at a time, each with its own random stream.

        The result is that of `network.generate` on a batch of the same size: the same processors in
        the same order, but a torch.Generator a draft in place of the global one.
        """
        options = work.options
        warp = warpers(options, self.device)
        streams = [
            torch.Generator(self.device).manual_seed((options.seed + draft) % SEEDS)
            for draft in range(options.drafts)
        ]
        sequence = work.ids.repeat(options.drafts, 1)  # (drafts, tokens so far)
        step, cache = sequence, None
        for _ in range(work.limit):
            with torch.inference_mode():
                output = self.network(step, past_key_values=cache, use_cache=True, logits_to_keep=1)
                cache = output.past_key_values
                logits = output.logits[:, -1].float()  # (drafts, vocabulary)
                step = pick(warp(sequence, logits), options.temperature, streams)
                sequence = torch.cat([sequence, step], dim=1)
            for draft, token in enumerate(step[:, 0].tolist()):
                if work.ends[draft] is None:
                    if token in self.ends:
                        work.ends[draft] = "end"
                    else:
                        work.answers[draft].append(token)
            yield
            if all(work.ends):
                return
        work.ends = [end or "length" for end in work.ends]


def check_talk(messages: list[dict[str, str]]) -> None:
    """Raise InvalidRequest unless a visitor wrote something last, and all of it is not too long."""
    check_prompt(messages[-1]["content"])
    length = sum(len(message["content"]) for message in messages)
    if length > PROMPT_LIMIT:
        raise InvalidRequest("too_long", limit=PROMPT_LIMIT, length=length)


def end_tokens(network: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a text: those of the generation config, else the tokenizer's."""
    ends = network.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    if ends is None:
        return set()
    return set(ends) if isinstance(ends, list) else {ends}


def warpers(options: TextOptions, device: torch.device) -> LogitsProcessorList:
    """What changes the logits, in the order of transformers' generate."""
    chain = LogitsProcessorList()
    if options.repetition_penalty != 1:
        chain.append(RepetitionPenaltyLogitsProcessor(options.repetition_penalty))
    if options.temperature:
        if options.temperature != 1:
            chain.append(TemperatureLogitsWarper(options.temperature))
        if options.top_k:
            chain.append(TopKLogitsWarper(options.top_k))
        if options.top_p < 1:
            chain.append(TopPLogitsWarper(options.top_p))
    return chain


def pick(logits: torch.Tensor, temperature: float, streams: list[torch.Generator]) -> torch.Tensor:
    """One token a row, (rows, 1): the likeliest at temperature 0, else drawn by its stream."""
    if not temperature:
        return logits.argmax(dim=-1, keepdim=True)
    chances = logits.softmax(dim=-1)
    return torch.stack(
        [
            torch.multinomial(row, 1, generator=rng)
            for row, rng in zip(chances, streams, strict=True)
        ]
    )


TextQueue = ModelQueue[TextGenerator] | RemoteQueue[Any]


def open_queues(
    sources: Sequence[str],
    placement: Placement,
    max_waiting: int,
    engine: Callable[[str], RemoteQueue[Any] | None] = no_engine,
    lender: Lender | None = None,
) -> dict[str, TextQueue]:
    """A queue for each model that the settings name, by the name that the picker shows.

    engine: opens the queue of an entry that names an engine; raises BadEngine.
    """
    queues: dict[str, TextQueue] = {}
    for source in sources:
        remote = engine(source)
        if remote is not None:
            queues[new_name(remote.name, queues)] = remote
            continue
        name = short_name(source)
        if name in queues:
            name = source
        load = partial(load_text_generator, source)
        queues[name] = open_queue(source, name, load, placement, max_waiting, lender)
    return queues


def load_text_generator(source: str, placement: Placement) -> TextGenerator:
    """Find, check and load a model; raises ModelUnavailable."""
    disable_progress_bar()
    return TextGenerator(fetch(parse_source(source), placement), placement)
