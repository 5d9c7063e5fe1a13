"""Train the bundled painter, a small latent diffusion model of emoji, on a plain CPU.

    python -m training.bundled.painter autoencoder --work data/painter-run --minutes 60
    python -m training.bundled.painter denoiser --work data/painter-run --minutes 75 \
        --out models/bundled/painter
    python -m training.bundled.painter decoder --work data/painter-run --minutes 45 \
        --begin models/bundled/painter --out models/bundled/painter

The first stage learns an AutoencoderKL from 64x64 pixels to 8x8 latents of 8 channels and back.
The second learns, in those latents, a UNet2DConditionModel and a CLIP text encoder that reads
English and Chinese captions; the two and the autoencoder are saved as a StableDiffusionPipeline.
The third teaches the decoder alone to draw cleanly from what the denoiser guesses, which is never
quite what the encoder would have said.

Stop the script at any time and start it again with --resume.
"""

import argparse
import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from training.bundled.emoji_groups import GROUP_OF, THINGS
from training.bundled.muon import Muon
from training.bundled.timed_run import MovingAverage, State, TimedRun, rate_at

SIZE, LATENT_SIZE, LATENT_CHANNELS = 64, 8, 8
START, END, PAD, UNKNOWN = "<s>", "</s>", "<pad>", "<unk>"
TOKENS = 24  # of a caption, with <s> and </s>

# What the shipped painter can draw, all of it well rather than every emoji badly.
KNOWN_GROUPS = ["face", "animal", "food", "plant", "heart", "hand", "sky", "shape", "thing"]
KIND_OF = GROUP_OF | dict.fromkeys(THINGS.split(), "thing")

STEPS, GUIDANCE = 16, 3.0  # what the painter suggests for a drawing

KL_WEIGHT = 2e-3  # of the mean KL of a latent value against the mean absolute error of a pixel
EDGE_WEIGHT = 0.5  # of the error of the differences between neighbouring pixels
LAST_GUESS = 500  # of 1000: from more noise than this the denoiser guesses no single picture
NO_CAPTION_SHARE = 0.1  # for classifier-free guidance


@dataclass(frozen=True)
class Picture:
    """What the captions of one picture are made of, for "en" and "zh"."""

    emoji: str
    names: dict[str, str]
    keywords: dict[str, list[str]]


# --- Pictures and captions


def read_pictures(folder: Path) -> tuple[Tensor, list[Picture]]:
    """Pixels, uint8 of shape (pictures, 3, 64, 64), and the words that go with them."""
    with np.load(folder / "images64.npz") as arrays:
        pixels = torch.from_numpy(arrays["images"]).permute(0, 3, 1, 2).contiguous()
    pictures = []
    for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        pictures.append(
            Picture(
                row["emoji"],
                {language: row[f"name_{language}"] for language in ("en", "zh")},
                {language: row[f"keywords_{language}"] for language in ("en", "zh")},
            )
        )
    return pixels, pictures


def known_pictures(pictures: list[Picture], groups: list[str]) -> list[int]:
    """Which pictures the painter learns: those of some groups of emoji, or all of them."""
    return [
        index
        for index, picture in enumerate(pictures)
        if not groups or KIND_OF.get(picture.emoji) in groups
    ]


def drawn_caption(picture: Picture, rng: random.Random) -> str:
    """The name in one language, mostly; sometimes with keywords, a keyword alone, or nothing."""
    chance = rng.random()
    if chance < NO_CAPTION_SHARE:
        return ""
    language = rng.choice(("en", "zh"))
    name, keywords = picture.names[language], picture.keywords[language]
    if chance < 0.65 or not keywords:
        return name
    some = rng.sample(keywords, min(len(keywords), rng.randint(1, 3)))
    separator = ", " if language == "en" else "，"
    if chance < 0.9:
        return separator.join([name, *(word for word in some if word != name)])
    return separator.join(some)


def as_floats(pixels: Tensor) -> Tensor:
    """uint8 pixels as floats from -1 to 1."""
    return pixels.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


# --- Autoencoder


def new_autoencoder() -> AutoencoderKL:
    channels = (16, 24, 48, 96)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )


def edges(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, down and to the right."""
    return images.diff(dim=2), images.diff(dim=3)


def reconstruction_error(images: Tensor, again: Tensor) -> Tensor:
    """Mean absolute error of pixels plus that of their edges, which keeps outlines sharp."""
    pairs = zip(edges(images), edges(again), strict=True)
    blur = sum((functional.l1_loss(b, a) for a, b in pairs), torch.zeros(()))
    return functional.l1_loss(again, images) + EDGE_WEIGHT * blur


def peak_signal_to_noise(images: Tensor, again: Tensor) -> float:
    """In decibels, for images from -1 to 1."""
    error = functional.mse_loss(again.clamp(-1, 1), images)
    return float(10 * torch.log10(4 / error))


def train_autoencoder(args: argparse.Namespace) -> None:
    pixels, _ = read_pictures(args.data)
    network = new_autoencoder().to(memory_format=torch.channels_last)
    average = MovingAverage(network, 0.999)
    steppers = optimizers(network, args.rate)
    run = timed_run(args, network, average, steppers)
    shown = copy_of(network, new_autoencoder())
    fixed = as_floats(pixels[:: max(1, len(pixels) // 128)][:128])
    errors: list[float] = []

    def report() -> None:
        average.copy_to(shown)
        with torch.no_grad():
            again = shown(fixed).sample
        run.log(psnr=round(peak_signal_to_noise(fixed, again), 2))
        shown.save_pretrained(args.work / "autoencoder" / "saved")

    for progress in run.ticks(report):
        batch = pixels[torch.randint(len(pixels), (args.batch,))]
        mirrored = torch.rand(args.batch) < 0.5
        batch[mirrored] = batch[mirrored].flip(3)
        images = as_floats(batch)
        posterior = network.encode(images).latent_dist
        again = network.decode(posterior.sample()).sample
        divergence = posterior.kl().mean() / (LATENT_CHANNELS * LATENT_SIZE**2)
        error = reconstruction_error(images, again)
        update(network, steppers, error + KL_WEIGHT * divergence, args.rate * rate_at(progress))
        average.update(network, run.step)
        errors.append(error.item())
        if len(errors) == 200:
            run.log(error=round(sum(errors) / 200, 4), kl=round(divergence.item(), 3))
            errors.clear()


@torch.no_grad()
def latents_of(autoencoder: AutoencoderKL, pixels: Tensor) -> Tensor:
    """The means of the pictures' latents, (pictures, 8, 8, 8).

    The denoiser learns these and no samples: a channel that the autoencoder does not use has a mean
    near 0 and a deviation of 1, and the denoiser would spend itself on guessing that noise.
    """
    parts = [
        autoencoder.encode(as_floats(part)).latent_dist.mean for part in torch.split(pixels, 64)
    ]
    return torch.cat(parts)


# --- Captions to tokens


def build_tokenizer(captions: list[str], size: int = 6500) -> PreTrainedTokenizerFast:
    """Byte pairs for Latin words; every Chinese character is a token of its own."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace("’", "'")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}|[^\p{L}\p{N}\s]"), "isolated"),
            pre_tokenizers.WhitespaceSplit(),
        ]
    )
    special = [START, END, PAD, UNKNOWN]
    tokenizer.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=special,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (START, END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=TOKENS,
    )


def kept_tokenizer(args: argparse.Namespace, pictures: list[Picture]) -> PreTrainedTokenizerFast:
    """The tokenizer of this training, made once: a second one would number its tokens otherwise."""
    folder = args.work / args.stage / "tokenizer"
    if not (args.resume and folder.exists()):
        if args.begin:
            made = PreTrainedTokenizerFast.from_pretrained(args.begin / "tokenizer")
        else:
            made = build_tokenizer(all_captions(pictures))
        made.save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def all_captions(pictures: list[Picture]) -> list[str]:
    return [
        text
        for picture in pictures
        for language in ("en", "zh")
        for text in (picture.names[language], *picture.keywords[language])
    ]


def token_ids(tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> Tensor:
    """(captions, TOKENS), padded and cut exactly as the pipeline does it."""
    encoded = tokenizer(
        captions, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
    )
    return torch.as_tensor(encoded.input_ids)


# --- Denoiser


def new_text_encoder(tokenizer: PreTrainedTokenizerFast, width: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=width,
            num_hidden_layers=3,
            num_attention_heads=width // 32,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            hidden_act="gelu",
        )
    )


def new_denoiser(width: int) -> UNet2DConditionModel:
    channels = (64, 128)
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * len(channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=4,  # heads, despite the name
        norm_num_groups=16,
    )


class Painter(nn.Module):
    """The two networks of the second stage, so that one optimizer and one average hold both."""

    def __init__(self, text_encoder: CLIPTextModel, denoiser: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder, self.denoiser = text_encoder, denoiser

    def forward(self, noisy: Tensor, times: Tensor, ids: Tensor) -> Tensor:
        states = self.text_encoder(ids).last_hidden_state
        return self.denoiser(noisy, times, states).sample  # type: ignore[no-any-return]


def noise_scheduler() -> DDPMScheduler:
    """A cosine-like schedule that ends in pure noise, and v-prediction.

    v-prediction: Salimans and Ho 2022, https://arxiv.org/abs/2202.00512. Zero terminal signal:
    Lin et al. 2024, https://arxiv.org/abs/2305.08891.
    """
    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        timestep_spacing="trailing",
        steps_offset=1,  # as Stable Diffusion has it; "trailing" does not look at it
    )


def train_denoiser(args: argparse.Namespace) -> None:
    pixels, pictures = read_pictures(args.data)
    if args.begin:
        autoencoder = AutoencoderKL.from_pretrained(args.begin / "vae")
    else:
        autoencoder = AutoencoderKL.from_pretrained(args.work / "autoencoder" / "saved")
    tokenizer = kept_tokenizer(args, pictures)
    known = known_pictures(pictures, args.groups)
    pixels, pictures = pixels[known], [pictures[index] for index in known]
    means = latents_of(autoencoder, pixels)
    autoencoder.register_to_config(scaling_factor=1 / float(means.std()))
    scale = autoencoder.config.scaling_factor
    network = Painter(new_text_encoder(tokenizer, args.width), new_denoiser(args.width))
    if args.begin:
        network.text_encoder.load_state_dict(
            CLIPTextModel.from_pretrained(args.begin / "text_encoder").float().state_dict()
        )
        network.denoiser.load_state_dict(
            UNet2DConditionModel.from_pretrained(args.begin / "unet").float().state_dict()
        )
    network.denoiser.to(memory_format=torch.channels_last)
    average = MovingAverage(network, 0.9995)
    steppers = optimizers(network, args.rate)
    run = timed_run(args, network, average, steppers)
    schedule = noise_scheduler()
    rng = random.Random(run.step)
    errors: list[float] = []

    def save() -> None:
        shown = Painter(new_text_encoder(tokenizer, args.width), new_denoiser(args.width))
        average.copy_to(shown)
        save_pipeline(autoencoder, shown, tokenizer, args.out)

    for progress in run.ticks(save):
        chosen = torch.randint(len(pixels), (args.batch,))
        latents = means[chosen] * scale
        ids = token_ids(tokenizer, [drawn_caption(pictures[i], rng) for i in chosen.tolist()])
        noise = torch.randn_like(latents)
        # Times spread evenly over a batch: the same as drawn at random, with less noise.
        times = ((torch.rand(()) + torch.arange(args.batch) / args.batch) % 1 * 1000).long()
        noisy = schedule.add_noise(latents, noise, times)
        target = schedule.get_velocity(latents, noise, times)
        error = functional.mse_loss(network(noisy, times, ids), target)
        update(network, steppers, error, args.rate * rate_at(progress))
        average.update(network, run.step)
        errors.append(error.item())
        if len(errors) == 200:
            run.log(error=round(sum(errors) / 200, 4))
            errors.clear()


# --- Decoder


def guessed_latents(
    painter: Painter, latents: Tensor, ids: Tensor, nothing: Tensor, schedule: DDPMScheduler
) -> Tensor:
    """What the denoiser takes noisy latents for, in one step, with guidance for half of them."""
    count = len(latents)
    times = torch.randint(LAST_GUESS, (count,))
    noise = torch.randn_like(latents)
    noisy = schedule.add_noise(latents, noise, times)
    velocity = painter(noisy, times, ids)
    guided = torch.arange(count) % 2 == 0
    without = painter(noisy[guided], times[guided], nothing.expand(int(guided.sum()), -1))
    velocity[guided] = without + GUIDANCE * (velocity[guided] - without)
    kept = schedule.alphas_cumprod[times].view(-1, 1, 1, 1)
    guessed: Tensor = kept.sqrt() * noisy - (1 - kept).sqrt() * velocity
    return guessed


def train_decoder(args: argparse.Namespace) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(args.begin, dtype=torch.float32)
    network, tokenizer = pipeline.vae, pipeline.tokenizer
    network.to(memory_format=torch.channels_last)
    painter = Painter(pipeline.text_encoder, pipeline.unet).requires_grad_(False)
    all_pixels, all_pictures = read_pictures(args.data)
    known = known_pictures(all_pictures, args.groups)
    pixels, pictures = all_pixels[known], [all_pictures[index] for index in known]
    scale = network.config.scaling_factor
    latents = latents_of(network, pixels) * scale
    network.encoder.requires_grad_(False)
    network.quant_conv.requires_grad_(False)
    learning = nn.ModuleList([network.post_quant_conv, network.decoder])
    average = MovingAverage(learning, 0.999)
    steppers = optimizers(learning, args.rate)
    run = timed_run(args, learning, average, steppers)
    schedule = noise_scheduler()
    nothing = token_ids(tokenizer, [""])
    rng = random.Random(run.step)
    fixed = torch.arange(len(pixels))[:: max(1, len(pixels) // 128)][:128]
    errors: list[float] = []

    def save() -> None:
        shown = AutoencoderKL.from_config(network.config)
        shown.load_state_dict(network.state_dict())
        average.copy_to(nn.ModuleList([shown.post_quant_conv, shown.decoder]))
        with torch.no_grad():
            again = shown.decode(latents[fixed] / scale).sample
        run.log(psnr=round(peak_signal_to_noise(as_floats(pixels[fixed]), again), 2))
        saved = Painter(copy.deepcopy(pipeline.text_encoder), copy.deepcopy(pipeline.unet))
        save_pipeline(shown, saved, tokenizer, args.out)

    for progress in run.ticks(save):
        chosen = torch.randint(len(pixels), (args.batch,))
        ids = token_ids(tokenizer, [drawn_caption(pictures[i], rng) for i in chosen.tolist()])
        with torch.no_grad():
            guessed = guessed_latents(painter, latents[chosen], ids, nothing, schedule)
        again = network.decode(guessed / scale).sample
        error = reconstruction_error(as_floats(pixels[chosen]), again)
        update(learning, steppers, error, args.rate * rate_at(progress))
        average.update(learning, run.step)
        errors.append(error.item())
        if len(errors) == 200:
            run.log(error=round(sum(errors) / 200, 4))
            errors.clear()


# --- What the stages share


def timed_run(
    args: argparse.Namespace,
    network: nn.Module,
    average: MovingAverage,
    steppers: list[torch.optim.Optimizer],
) -> TimedRun:
    def state() -> State:
        return {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "steppers": [stepper.state_dict() for stepper in steppers],
        }

    def restore(kept: State) -> None:
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        for stepper, values in zip(steppers, kept["steppers"], strict=True):
            stepper.load_state_dict(values)

    work = args.work / args.stage
    run = TimedRun(work, args.minutes, args.steps, args.every, state, restore, args.resume)
    run.log(parameters=sum(p.numel() for p in network.parameters()), batch=args.batch)
    return run


def optimizers(network: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for kernels and matrices, AdamW for the rest: embeddings, norms, biases, the two ends.

    Muon reached the same error of the autoencoder with a third of AdamW's pictures.
    """
    embeddings = {
        id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)
    }
    inner = [p for p in network.parameters() if p.ndim > 1 and id(p) not in embeddings]
    inner_ids = {id(p) for p in inner}
    rest = [p for p in network.parameters() if id(p) not in inner_ids]
    return [Muon(inner, lr=rate), torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99))]


def update(
    network: nn.Module, steppers: list[torch.optim.Optimizer], loss: Tensor, rate: float
) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for stepper in steppers:
        for group in stepper.param_groups:
            group["lr"] = rate
        stepper.step()
        stepper.zero_grad()


def copy_of(network: nn.Module, fresh: AutoencoderKL) -> AutoencoderKL:
    fresh.load_state_dict(network.state_dict())
    return fresh.eval()


def save_pipeline(
    autoencoder: AutoencoderKL,
    painter: Painter,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
) -> None:
    """Write the model as a hub would hold it, in half precision."""
    decoder = AutoencoderKL.from_config(autoencoder.config)
    decoder.load_state_dict(autoencoder.state_dict())
    pipeline = StableDiffusionPipeline(
        vae=decoder.half(),
        text_encoder=painter.text_encoder.half(),
        tokenizer=tokenizer,
        unet=painter.denoiser.half(),
        scheduler=DPMSolverMultistepScheduler.from_config(
            noise_scheduler().config, algorithm_type="dpmsolver++", timestep_spacing="trailing"
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    text = json.dumps({"num_inference_steps": STEPS, "guidance_scale": GUIDANCE})
    (folder / "generation_config.json").write_text(text + "\n", encoding="utf-8")
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # written for their owner alone
    for file in folder.rglob("config.json"):  # which say where the parts were loaded from
        said = json.loads(file.read_text(encoding="utf-8"))
        said.pop("_name_or_path", None)
        file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "autoencoder": train_autoencoder,
    "denoiser": train_denoiser,
    "decoder": train_decoder,
}
DEFAULTS = {
    "autoencoder": {"batch": 8, "rate": 1e-2},
    "denoiser": {"batch": 64, "rate": 5e-3},
    "decoder": {"batch": 8, "rate": 5e-3},
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    # Where things are
    parser.add_argument("--data", type=Path, default=Path("../shared/data/emoji"))
    parser.add_argument("--out", type=Path, default=Path("models/bundled/painter"))
    parser.add_argument("--work", type=Path, default=Path("data/painter-run"))
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    parser.add_argument(
        "--begin",
        type=Path,
        help="a painter whose weights the denoiser, or the decoder, begins with",
    )
    # How long
    parser.add_argument("--minutes", type=float, default=60, help="all runs of the stage together")
    parser.add_argument("--steps", type=int, default=10**9, help="stop sooner, after these steps")
    parser.add_argument("--every", type=float, default=4, help="minutes between checkpoints")
    # What and on what
    parser.add_argument(
        "--groups", nargs="*", default=KNOWN_GROUPS, help="of emoji to draw; none named: all emoji"
    )
    parser.add_argument("--batch", type=int, help="pictures a step")
    parser.add_argument("--rate", type=float, help="full learning rate")
    parser.add_argument("--width", type=int, default=128, help="of the text encoder")
    parser.add_argument("--threads", type=int, default=1, help="more is slower on a busy machine")
    args = parser.parse_args(argv)
    for name, value in DEFAULTS[args.stage].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    STAGES[args.stage](args)


if __name__ == "__main__":
    main()
