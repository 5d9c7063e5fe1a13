"""Measure the bundled VAE and GAN, write their figures into their cards, and draw sample sheets.

    python -m training.bundled.evaluate_latents             measure; needs the training data
    python -m training.bundled.evaluate_latents --sheets    only draw the sheets

The figures go to figures.json in each model's folder; the tables in the two README.md are made from
these files. The sheets go to docs/samples.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional

from config import BUNDLED
from models.frechet import frechet_distance
from models.gan import PictureGenerator
from models.latent_map import LatentMap
from models.learning_data import as_floats, as_pictures
from models.mixture import Mixture
from models.registry import hash_files
from models.vae import PictureVae, kl_to_standard_normal
from training.bundled.emoji_groups import read_emoji
from training.bundled.latents import codes_of

COLUMNS, ROWS, GAP = 12, 5, 2  # of a sheet
WAY = 9  # frames of an interpolation
PAIRS = (("😀", "😡"), ("😎", "👮"), ("🐶", "🐼"), ("🍎", "🍊"), ("🌹", "❤"), ("🌕", "🔵"))
CALM = 0.7  # a temperature below 1
TIMED = 50  # pictures that the time of one is told from

Draw = Callable[[int], Tensor]  # how many pictures -> floats from -1 to 1


# --- Samples


def decoded(network: PictureVae | PictureGenerator, z: Tensor) -> Tensor:
    return torch.cat([network.decode(part) for part in torch.split(z.float(), 32)])


def from_prior(network: PictureVae | PictureGenerator, temperature: float) -> Draw:
    def draw(count: int) -> Tensor:
        rng = torch.Generator().manual_seed(0)
        return decoded(
            network, temperature * torch.randn(count, network.latent_size, generator=rng)
        )

    return draw


def from_mixture(network: PictureVae, mixture: Mixture, temperature: float) -> Draw:
    def draw(count: int) -> Tensor:
        rng = torch.Generator().manual_seed(0)
        noise = torch.randn(count, network.latent_size, generator=rng)
        return decoded(network, mixture.sample(rng, noise, temperature))

    return draw


# --- Figures


def significant(value: float) -> float:
    return float(f"{value:.3g}")


def features(eye: AutoencoderKL, images: Tensor) -> Tensor:
    """What the painter's autoencoder makes of pictures: (pictures, channels * 16).

    Its mean latents, averaged over 2x2 places. It took no part in training the VAE or the GAN; in
    the features of either of them, that one would judge itself.
    """
    latents = eye.encode(images).latent_dist.mean * eye.config.scaling_factor
    return functional.avg_pool2d(latents, 2).flatten(1)


@torch.no_grad()
def measure(
    vae: PictureVae,
    gan: PictureGenerator,
    mixture: Mixture,
    pixels: Tensor,
    eye: AutoencoderKL,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every figure of the two cards; `eye` is the autoencoder in whose features they are told."""
    real = as_floats(pixels)
    count = len(real)

    def seen(images: Tensor) -> Tensor:
        return torch.cat([features(eye, part) for part in torch.split(images, 32)])

    real_features = seen(real)
    halves = torch.randperm(count, generator=torch.Generator().manual_seed(0)).chunk(2)
    floor = frechet_distance(real_features[halves[0]], real_features[halves[1]])

    def distance(draw: Draw) -> float:
        return significant(frechet_distance(seen(draw(count)), real_features))

    mean, logvar = codes_of(vae, pixels)
    again = decoded(vae, mean)
    errors = (again - real).square().mean(dim=(1, 2, 3))
    per_dimension = kl_to_standard_normal(mean.reshape(-1, 1), logvar.reshape(-1, 1))
    shared = {"pictures": count, "frechet_halves": significant(floor)}
    vae_figures = {
        **shared,
        "parameters": sum(p.numel() for p in vae.parameters()),
        "psnr": round(float((10 * torch.log10(4 / errors)).mean()), 2),
        "kl": round(float(kl_to_standard_normal(mean, logvar).mean()), 1),
        "active_dimensions": int((per_dimension.reshape(mean.shape).mean(dim=0) > 0.01).sum()),
        "frechet_reconstructions": significant(frechet_distance(seen(again), real_features)),
        "frechet_prior": distance(from_prior(vae, 1)),
        "frechet_prior_calm": distance(from_prior(vae, CALM)),
        "frechet_mixture": distance(from_mixture(vae, mixture, 1)),
        "frechet_mixture_calm": distance(from_mixture(vae, mixture, CALM)),
        "milliseconds": milliseconds(vae),
    }
    gan_figures = {
        **shared,
        "parameters": sum(p.numel() for p in gan.parameters()),
        "frechet_prior": distance(from_prior(gan, 1)),
        "frechet_prior_calm": distance(from_prior(gan, CALM)),
        "milliseconds": milliseconds(gan),
    }
    return vae_figures, gan_figures


def milliseconds(network: PictureVae | PictureGenerator) -> float:
    """For one picture, decoded alone; the fastest of many, for others use this machine too."""
    z = torch.zeros(1, network.latent_size)
    took = []
    for _ in range(TIMED):
        began = time.perf_counter()
        network.decode(z)
        took.append(time.perf_counter() - began)
    return round(1000 * min(took), 1)


VAE_ROWS = {
    "psnr": ("reconstruction of the training pictures, PSNR", "{} dB"),
    "kl": ("KL of q(z given x) to N(0, I), a picture", "{} nats"),
    "active_dimensions": ("dimensions in use (KL above 0.01 nats)", "{} of 32"),
    "frechet_reconstructions": ("Fréchet distance: reconstructions", "{}"),
    "frechet_mixture": ("Fréchet distance: samples of the mixture", "{}"),
    "frechet_mixture_calm": ("the same at temperature 0.7", "{}"),
    "frechet_prior": ("Fréchet distance: samples of the prior N(0, I)", "{}"),
    "frechet_prior_calm": ("the same at temperature 0.7", "{}"),
    "frechet_halves": ("one half of the training pictures against the other", "{}"),
    "milliseconds": ("time to decode one picture, one processor core", "{} ms"),
}
GAN_ROWS = {
    "frechet_prior": ("Fréchet distance: samples", "{}"),
    "frechet_prior_calm": ("the same at temperature 0.7", "{}"),
    "frechet_halves": ("one half of the training pictures against the other", "{}"),
    "milliseconds": ("time to generate one picture, one processor core", "{} ms"),
}


def figures_table(figures: dict[str, Any], rows: dict[str, tuple[str, str]]) -> str:
    lines = [f"| {words} | {form.format(figures[key])} |" for key, (words, form) in rows.items()]
    return "\n".join(["| figure | value |", "|---|---|", *lines])


def write_figures(folder: Path, figures: dict[str, Any], rows: dict[str, tuple[str, str]]) -> None:
    """figures.json, and the card's table between its marks."""
    # As models/registry.py and generators/latent.py name a version: by all its tensors.
    said = {"weights_sha256": hash_files(folder.glob("*.safetensors")), **figures}
    (folder / "figures.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    card = folder / "README.md"
    if card.exists():
        before, mark, rest = card.read_text(encoding="utf-8").partition("<!-- figures -->\n")
        _, end, after = rest.partition("<!-- end of figures -->")
        table = figures_table(said, rows)
        card.write_text(f"{before}{mark}{table}\n{end}{after}", encoding="utf-8")


# --- Sheets


def sheet(images: Tensor, columns: int) -> Image.Image:
    pictures = as_pictures(images)
    side = pictures[0].width + GAP
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * side - GAP, rows * side - GAP), "#d0d0d0")
    for place, picture in enumerate(pictures):
        whole.paste(picture, (place % columns * side, place // columns * side))
    return whole


@torch.no_grad()
def draw_sheets(
    vae: PictureVae, gan: PictureGenerator, mixture: Mixture, latent_map: LatentMap, folder: Path
) -> None:
    """Samples as they come, seed 0: none is selected."""
    folder.mkdir(parents=True, exist_ok=True)
    count = COLUMNS * ROWS
    sheet(from_mixture(vae, mixture, CALM)(count), COLUMNS).save(folder / "vae.png")
    sheet(from_prior(vae, 1)(count), COLUMNS).save(folder / "vae-prior.png")
    sheet(from_prior(gan, 1)(count), COLUMNS).save(folder / "gan.png")
    code_of = {point["emoji"]: latent_map.codes[i] for i, point in enumerate(latent_map.points)}
    ways = [
        torch.lerp(code_of[a], code_of[b], share)
        for a, b in PAIRS
        if {a, b} <= code_of.keys()
        for share in torch.linspace(0, 1, WAY).tolist()
    ]
    if ways:
        sheet(decoded(vae, torch.stack(ways)), WAY).save(folder / "vae-interpolation.png")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/emoji"))
    parser.add_argument("--models", type=Path, default=Path("models/bundled"))
    parser.add_argument("--eye", type=Path, default=BUNDLED / "painter" / "vae")
    parser.add_argument("--docs", type=Path, default=Path("docs/samples"))
    parser.add_argument("--sheets", action="store_true", help="only draw the sheets")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    vae = PictureVae.from_pretrained(args.models / "vae")
    gan = PictureGenerator.from_pretrained(args.models / "gan")
    mixture, latent_map = Mixture.load(args.models / "vae"), LatentMap.load(args.models / "vae")
    draw_sheets(vae, gan, mixture, latent_map, args.docs)
    if args.sheets:
        return
    pixels, _ = read_emoji(args.data)
    eye = AutoencoderKL.from_pretrained(args.eye)
    vae_figures, gan_figures = measure(vae, gan, mixture, pixels, eye)
    write_figures(args.models / "vae", vae_figures, VAE_ROWS)
    write_figures(args.models / "gan", gan_figures, GAN_ROWS)
    print(json.dumps({"vae": vae_figures, "gan": gan_figures}, indent=2))


if __name__ == "__main__":
    main()
