"""Train the bundled VAE and the bundled GAN on the same emoji, on a plain CPU.

    python -m training.bundled.latents vae --minutes 25
    python -m training.bundled.latents gan --minutes 45
    python -m training.bundled.latents map

`vae` learns models/bundled/vae, `gan` models/bundled/gan; `map` fits the mixture to the VAE's codes
and lays them out in two dimensions. Then `python -m training.bundled.evaluate_latents` measures
both. Stop the script at any time and start it again with --resume.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from models.gan import (
    PENALTY_EVERY,
    Critic,
    PictureGenerator,
    changed,
    critic_loss,
    generator_loss,
    gradient_penalty,
)
from models.latent_map import map_of
from models.learning_data import as_floats
from models.mixture import fit_mixture
from models.vae import PictureVae, kl_to_standard_normal, reparameterise
from training.bundled.emoji_groups import GROUPS, read_emoji
from training.bundled.muon import Muon
from training.bundled.timed_run import MovingAverage, State, TimedRun, rate_at

COMPONENTS = 300  # of the mixture
DRAWS = 8  # codes of q(z|x) of each picture, that the mixture is fitted to
CRITIC_RATE = 2.0  # learning rate of the critic relative to the generator's
MAPPING_WIDTH, MAPPING_RATE = 256, 1e-3  # of the generator's first layers
SEARCHED, SEARCH_EVERY = 4096, 10  # samples that the nearest are chosen from, and how often (steps)
HEAD_START = 500  # steps that the critic learns alone
EDGE_WEIGHT = 0.5  # of the error of the differences between neighbouring pixels
BETA_STEP = 0.002  # relative change of beta a step, towards the KL that is wanted


def endless_batches(pictures: int, size: int) -> Callable[[], Tensor]:
    """Indices of the next batch; every picture once before any comes again."""
    waiting: list[int] = []

    def next_batch() -> Tensor:
        while len(waiting) < size:
            waiting.extend(torch.randperm(pictures).tolist())
        batch = waiting[:size]
        del waiting[:size]
        return torch.tensor(batch)

    return next_batch


# --- VAE


def edge_error(images: Tensor, again: Tensor) -> Tensor:
    """Absolute errors of the differences of neighbouring pixels, summed over each picture."""
    errors = [(again.diff(dim=dim) - images.diff(dim=dim)).abs().flatten(1) for dim in (2, 3)]
    return torch.cat(errors, dim=1).sum(dim=1)


def train_vae(args: argparse.Namespace) -> None:
    """Lower reconstruction + beta * KL.

    beta is not chosen but found: it rises while the KL is above the nats that are wanted and falls
    while it is below (Shao et al. 2020, https://arxiv.org/abs/2004.05988).
    """
    pixels, _ = read_emoji(args.data)
    network = PictureVae.from_pretrained(args.begin).train() if args.begin else PictureVae()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = MovingAverage(network, 0.998)
    steppers = optimizers(network, args.rate)
    beta = torch.tensor(4.0)

    def state() -> State:
        kept = {"network": network.state_dict(), "average": average.state_dict()}
        return {**kept, "steppers": [one.state_dict() for one in steppers], "beta": beta}

    def restore(kept: State) -> None:
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        for stepper, values in zip(steppers, kept["steppers"], strict=True):
            stepper.load_state_dict(values)
        beta.copy_(kept["beta"])

    run = timed_run(args, state, restore, [network])
    next_batch = endless_batches(len(pixels), args.batch)
    shown = PictureVae()
    sums = torch.zeros(3)

    def save() -> None:
        average.copy_to(shown)
        shown.save_pretrained(args.out / "vae", torch.float16)

    for progress in run.ticks(save):
        images = as_floats(pixels[next_batch()]).contiguous(memory_format=torch.channels_last)
        mean, logvar = network.encode(images)
        again = network.decode(reparameterise(mean, logvar))
        error = (images - again).abs().flatten(1).sum(dim=1)
        blur = EDGE_WEIGHT * edge_error(images, again)
        kl = kl_to_standard_normal(mean, logvar).mean()
        loss = ((error + blur) / network.spread).mean() + beta * kl
        update(network, steppers, loss / 1000, args.rate * rate_at(progress))
        average.update(network, run.step)
        beta *= 1 + BETA_STEP * (1 if kl > args.nats else -1)
        sums += torch.tensor([error.mean().item() / images[0].numel(), kl.item(), 1.0])
        if run.step % 100 == 99:
            error_mean, kl_mean = (sums[:2] / sums[2]).tolist()
            run.log(error=round(error_mean, 4), kl=round(kl_mean, 1), beta=round(beta.item(), 2))
            sums.zero_()


def optimizers(network: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for kernels and matrices, AdamW for norms and biases."""
    inner = [one for one in network.parameters() if one.ndim > 1]
    rest = [one for one in network.parameters() if one.ndim == 1]
    return [Muon(inner, lr=rate), torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99))]


# --- GAN


def learn_mapping(mapping: nn.Module, mean: Tensor, logvar: Tensor, steps: int) -> None:
    """Let the mapping of N(0, I) pass by the code of every picture.

    Implicit maximum likelihood estimation: of many samples, the one nearest to each code is drawn
    towards it, so that no picture is forgotten (Li and Malik 2018, https://arxiv.org/abs/1809.09087).
    mean, logvar: of q(z|x), (pictures, latent size).
    """
    stepper = torch.optim.Adam(mapping.parameters(), lr=MAPPING_RATE)
    for step in range(steps):
        if step % SEARCH_EVERY == 0:
            with torch.no_grad():
                pool = torch.randn(SEARCHED, mean.shape[1])
                nearest = pool[torch.cdist(mean, mapping(pool)).argmin(dim=1)]
        chosen = torch.randint(len(mean), (256,))
        noise = nearest[chosen] + 0.05 * torch.randn(256, mean.shape[1])
        away = (mapping(noise) - mean[chosen]).square() * torch.exp(-logvar[chosen])
        stepper.param_groups[0]["lr"] = MAPPING_RATE * rate_at(step / steps)
        stepper.zero_grad()
        away.mean().backward()
        stepper.step()


def train_gan(args: argparse.Namespace) -> None:
    """Generator and critic in turn; the generator begins as a mapping and the VAE's decoder.

    From random weights, 669 pictures and one processor core do not suffice for anything that can
    be recognised; with what the VAE has learned already they do.
    """
    pixels, _ = read_emoji(args.data)
    generator, critic = PictureGenerator(mapping=MAPPING_WIDTH), Critic()
    vae = PictureVae.from_pretrained(args.out / "vae")
    generator.decoder.load_state_dict(vae.decoder.state_dict())
    if not args.resume:
        learn_mapping(generator.mapping, *codes_of(vae, pixels), args.mapping_steps)
    average = MovingAverage(generator, 0.99)
    steppers = [
        torch.optim.Adam(network.parameters(), lr=args.rate, betas=(0.0, 0.99))
        for network in (generator, critic)
    ]

    def state() -> State:
        return {
            "generator": generator.state_dict(),
            "critic": critic.state_dict(),
            "average": average.state_dict(),
            "steppers": [stepper.state_dict() for stepper in steppers],
        }

    def restore(kept: State) -> None:
        generator.load_state_dict(kept["generator"])
        critic.load_state_dict(kept["critic"])
        average.load_state_dict(kept["average"])
        for stepper, values in zip(steppers, kept["steppers"], strict=True):
            stepper.load_state_dict(values)

    run = timed_run(args, state, restore, [generator, critic])
    next_batch = endless_batches(len(pixels), args.batch)
    shown = PictureGenerator(mapping=MAPPING_WIDTH)
    sums = torch.zeros(3)

    def save() -> None:
        average.copy_to(shown)
        shown.save_pretrained(args.out / "gan", torch.float16)

    for progress in run.ticks(save):
        rate = args.rate * rate_at(progress, falling=0.3)
        images = as_floats(pixels[next_batch()])
        mirrored = torch.rand(args.batch) < 0.5
        images[mirrored] = images[mirrored].flip(3)
        made = generator.decode(torch.randn(args.batch, generator.latent_size))
        both = critic(torch.cat([changed(images), changed(made.detach())]))
        lesson = critic_loss(*both.chunk(2))
        penalty = torch.zeros(())
        if run.step % PENALTY_EVERY == 0:
            penalty = PENALTY_EVERY * gradient_penalty(critic, changed(images))
        update(critic, steppers[1:], lesson + penalty, CRITIC_RATE * rate)

        for parameter in critic.parameters():
            parameter.requires_grad_(False)
        loss = generator_loss(critic(changed(made)))
        if run.step >= HEAD_START:
            update(generator, steppers[:1], loss, rate)
        for parameter in critic.parameters():
            parameter.requires_grad_(True)
        average.update(generator, run.step)
        sums += torch.tensor([lesson.item(), loss.item(), 1.0])
        if run.step % 100 == 99:
            lesson_mean, loss_mean = (sums[:2] / sums[2]).tolist()
            run.log(critic=round(lesson_mean, 3), generator=round(loss_mean, 3))
            sums.zero_()


# --- Map and mixture


@torch.no_grad()
def codes_of(network: PictureVae, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z|x) of every picture, each (pictures, latent size)."""
    parts = [network.encode(as_floats(part)) for part in torch.split(pixels, 64)]
    return torch.cat([mean for mean, _ in parts]), torch.cat([logvar for _, logvar in parts])


@torch.no_grad()
def make_map(args: argparse.Namespace) -> None:
    """Write the mixture and the map beside the VAE's weights."""
    folder = args.out / "vae"
    network = PictureVae.from_pretrained(folder)
    pixels, shown = read_emoji(args.data)
    mean, logvar = codes_of(network, pixels)
    draws = torch.cat([reparameterise(mean, logvar) for _ in range(DRAWS)])
    fit_mixture(draws, args.components).save(folder)
    groups = {group.name: {"en": group.name_en, "zh": group.name_zh} for group in GROUPS}
    map_of(mean, [asdict(emoji) for emoji in shown], groups, neighbours=True).save(folder)


# --- What both share


def timed_run(
    args: argparse.Namespace,
    state: Callable[[], State],
    restore: Callable[[State], None],
    networks: list[nn.Module],
) -> TimedRun:
    work = args.work / args.stage
    run = TimedRun(work, args.minutes, args.steps, args.every, state, restore, args.resume)
    run.log(parameters=[sum(p.numel() for p in n.parameters()) for n in networks])
    torch.manual_seed(run.step)
    return run


def update(
    network: nn.Module, steppers: Sequence[torch.optim.Optimizer], loss: Tensor, rate: float
) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    for stepper in steppers:
        for group in stepper.param_groups:
            group["lr"] = rate
        stepper.step()
        stepper.zero_grad()


STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "vae": train_vae,
    "gan": train_gan,
    "map": make_map,
}
DEFAULTS = {"vae": {"batch": 40, "rate": 6e-3}, "gan": {"batch": 16, "rate": 2.5e-4}}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    # Where things are
    parser.add_argument("--data", type=Path, default=Path("../shared/data/emoji"))
    parser.add_argument("--out", type=Path, default=Path("models/bundled"))
    parser.add_argument("--work", type=Path, default=Path("data/latents-run"))
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    # How long
    parser.add_argument("--minutes", type=float, default=25, help="all runs of the stage together")
    parser.add_argument("--steps", type=int, default=10**9, help="stop sooner, after these steps")
    parser.add_argument("--every", type=float, default=2, help="minutes between checkpoints")
    # What and on what
    parser.add_argument("--batch", type=int, help="pictures a step")
    parser.add_argument("--rate", type=float, help="full learning rate")
    parser.add_argument("--nats", type=float, default=32, help="the KL that the VAE shall have")
    parser.add_argument(
        "--mapping-steps", type=int, default=20_000, help="before generator and critic begin"
    )
    parser.add_argument("--begin", type=Path, help="a VAE whose weights the VAE begins with")
    parser.add_argument("--components", type=int, default=COMPONENTS, help="of the mixture")
    parser.add_argument("--threads", type=int, default=1, help="more is slower on a busy machine")
    args = parser.parse_args(argv)
    for name, value in DEFAULTS.get(args.stage, {}).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    STAGES[args.stage](args)


if __name__ == "__main__":
    main()
