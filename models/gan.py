"""A small generative adversarial network: a generator of pictures, and the critic that teaches it.

The size of DCGAN (Radford et al. 2016, https://arxiv.org/abs/1511.06434) with a younger recipe: the
non-saturating loss (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661), the gradient penalty
R1 (Mescheder et al. 2018, https://arxiv.org/abs/1801.04406) and the same random changes to real and
made pictures before the critic sees them (Zhao et al. 2020, https://arxiv.org/abs/2006.10738).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.saved import Saved
from models.vae import PictureDecoder

PENALTY = 0.1  # weight of R1, which shall grow with the number of pixels
PENALTY_EVERY = 8  # steps; its weight is multiplied by as much (Karras et al. 2020, section 3.1)


class PictureGenerator(Saved):
    """From codes (pictures, latent size), drawn from N(0, I), to pictures from -1 to 1.

    The same network as the decoder of a PictureVae, so that what differs is the way of learning.
    With a `mapping` of some width, small layers before it bend the one cloud of N(0, I) to the many
    kinds of pictures that there are (Karras et al. 2019, https://arxiv.org/abs/1812.04948).
    """

    def __init__(
        self,
        size: int = 64,
        latent_size: int = 32,
        widths: tuple[int, ...] = (32, 64, 96, 192),
        residuals: tuple[int, ...] = (0, 1, 1, 1),
        mapping: int = 0,
    ) -> None:
        super().__init__(
            size=size,
            latent_size=latent_size,
            widths=widths,
            residuals=residuals,
            mapping=mapping,
        )
        self.size, self.latent_size = size, latent_size
        self.mapping = mapping_network(latent_size, mapping) if mapping else nn.Identity()
        self.decoder = PictureDecoder(latent_size, size, tuple(widths), tuple(residuals))

    def decode(self, z: Tensor) -> Tensor:
        picture: Tensor = self.decoder(self.mapping(z))
        return picture


def mapping_network(latent_size: int, width: int, depth: int = 3) -> nn.Sequential:
    layers: list[nn.Module] = []
    for taken in (latent_size, *[width] * (depth - 1)):
        layers += [nn.Linear(taken, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(width, latent_size))


class Critic(nn.Module):
    """How real a picture looks: one number a place, (pictures, places).

    Without normalisation: in trials, critics with it, and those begun as a VAE's encoder, had not
    learned anything after steps that were enough for this one.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96, 192)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(12, widths[0], 3, padding=1)]
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += [nn.LeakyReLU(0.2), nn.Conv2d(narrow, wide, 4, stride=2, padding=1)]
        layers += [nn.LeakyReLU(0.2), nn.Conv2d(widths[-1], widths[-1], 3, padding=1)]
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Conv2d(widths[-1], 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        verdict: Tensor = self.layers(pictures).flatten(1)
        return verdict


def critic_loss(real: Tensor, made: Tensor) -> Tensor:
    """Real pictures should score high, made ones low."""
    return functional.softplus(-real).mean() + functional.softplus(made).mean()


def generator_loss(made: Tensor) -> Tensor:
    return functional.softplus(-made).mean()


def gradient_penalty(critic: Critic, pictures: Tensor) -> Tensor:
    """R1: half the squared slope of the critic's score at real pictures, summed over pixels."""
    pictures = pictures.detach().requires_grad_()
    score = critic(pictures).mean(dim=1).sum()
    [slope] = torch.autograd.grad(score, pictures, create_graph=True)
    return 0.5 * PENALTY * slope.square().sum(dim=(1, 2, 3)).mean()


def changed(pictures: Tensor) -> Tensor:
    """Each picture brighter or darker, and more or less colourful.

    Not shifted: all emoji stand in the middle, and a critic that is shown them elsewhere takes far
    longer to learn anything.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(len(pictures), 1, 1, 1, device=pictures.device).uniform_(low, high)

    # White stays white, as in all real pictures: colours change by their distance from it.
    ink = (1 - pictures) * uniform(0.8, 1.2)
    grey = ink.mean(dim=1, keepdim=True)
    return 1 - (grey + (ink - grey) * uniform(0.5, 1.5))
