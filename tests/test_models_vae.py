"""The three networks, their loss, and the mixture, map and distance that belong to them."""

import math

import pytest
import torch

from models.frechet import frechet_distance
from models.gan import (
    PENALTY,
    Critic,
    PictureGenerator,
    changed,
    critic_loss,
    generator_loss,
    gradient_penalty,
)
from models.latent_files import kind_of, load_autoencoder
from models.latent_map import LatentMap, map_of, tsne
from models.mixture import Mixture, fit_mixture
from models.vae import PictureVae, SentenceVae, VectorVae, kl_to_standard_normal, reparameterise
from tests.latent_models import NARROW, save_latent_model, tiny_picture_vae


@pytest.fixture(autouse=True)
def same_numbers_every_time():
    torch.manual_seed(0)


# --- The loss


def test_the_closed_form_of_the_kl_is_what_monte_carlo_finds():
    mean, logvar = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[0.3, -1.2, 0.0]])
    z = reparameterise(mean.expand(400_000, 3), logvar.expand(400_000, 3))

    log_q = -0.5 * ((z - mean).square() / logvar.exp() + logvar + math.log(2 * math.pi)).sum(1)
    log_p = -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)

    found = kl_to_standard_normal(mean, logvar)
    assert found.shape == (1,)
    assert float(found) == pytest.approx(float((log_q - log_p).mean()), abs=0.02)


def test_the_kl_of_the_prior_itself_is_nothing():
    assert float(kl_to_standard_normal(torch.zeros(1, 5), torch.zeros(1, 5))) == 0


def test_a_draw_has_the_mean_and_the_variance_asked_for():
    z = reparameterise(torch.full((100_000, 1), 3.0), torch.full((100_000, 1), math.log(4.0)))

    assert float(z.mean()) == pytest.approx(3, abs=0.05)
    assert float(z.var()) == pytest.approx(4, abs=0.1)


def test_gradients_reach_mean_and_variance_through_the_draw():
    mean, logvar = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)

    reparameterise(mean, logvar).square().sum().backward()

    assert mean.grad.abs().sum() > 0
    assert logvar.grad.abs().sum() > 0


def pictures(count=8, size=64):
    """Squares of different colours on white, from -1 to 1."""
    x = torch.ones(count, 3, size, size)
    for place in range(count):
        x[place, :, 16:48, 16:48] = torch.rand(3, 1, 1) * 2 - 1
    return x


CASES = {
    "vectors": (lambda: VectorVae(6, 2, 16), lambda: torch.randn(64, 2) @ torch.randn(2, 6)),
    "pictures": (tiny_picture_vae, pictures),
    "sentences": (
        lambda: SentenceVae("abc", length=6, latent_size=4, hidden=16),
        lambda: SentenceVae("abc", length=6, latent_size=4, hidden=16).ids(
            ["abc", "cab", "aa", "b"]
        ),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_few_steps_lower_the_loss(kind):
    make_network, make_data = CASES[kind]
    network, x = make_network(), make_data()
    stepper = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        elbo = network.elbo(x, beta=0.5)
        elbo.total.backward()
        stepper.step()
        stepper.zero_grad()
        losses.append(elbo.total.item())

    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize("kind", CASES)
def test_the_total_is_reconstruction_plus_beta_times_kl(kind):
    make_network, make_data = CASES[kind]

    elbo = make_network().elbo(make_data(), beta=3.0)

    assert torch.allclose(elbo.total, elbo.reconstruction + 3 * elbo.kl)
    assert float(elbo.kl) > 0


def test_the_likelihood_of_vectors_is_that_of_torchs_normal_distribution():
    network, x, z = VectorVae(3, 2, 8), torch.randn(5, 3), torch.randn(5, 2)
    with torch.no_grad():
        network.logvar.copy_(torch.tensor([0.0, 1.0, -1.0]))

    expected = -torch.distributions.Normal(network.decode(z), network.deviation()).log_prob(x)

    assert torch.allclose(network.reconstruction(x, z), expected.sum(dim=1), atol=1e-5)


def test_the_likelihood_of_pictures_is_that_of_torchs_laplace_distribution():
    network, x, z = tiny_picture_vae(), pictures(2), torch.randn(2, 4)

    expected = -torch.distributions.Laplace(network.decode(z), network.spread).log_prob(x)

    assert torch.allclose(network.reconstruction(x, z), expected.flatten(1).sum(dim=1), rtol=1e-5)


# --- Sentences


def test_sentences_survive_being_numbers():
    network = SentenceVae("ab猫", length=6)

    assert network.texts(network.ids(["ab", "猫", ""])) == ["ab", "猫", ""]
    assert network.texts(network.ids(["abababab"])) == ["ababa"]
    assert network.texts(network.ids(["axb"])) == ["a□b"]


def test_padding_costs_nothing_and_changes_nothing():
    short, long = (SentenceVae("ab", length=length, hidden=8) for length in (4, 9))
    long.load_state_dict(short.state_dict())
    short.eval(), long.eval()
    z = torch.randn(1, 8)

    assert torch.allclose(short.encode(short.ids(["ab"]))[0], long.encode(long.ids(["ab"]))[0])
    pair = [network.reconstruction(network.ids(["ab"]), z) for network in (short, long)]
    assert torch.allclose(*pair)


def test_a_decoded_sentence_ends():
    network = SentenceVae("ab", length=5, hidden=8).eval()

    ids = network.decode(torch.randn(7, 8))

    assert ids.shape == (7, 5)
    assert all(len(text) <= 5 for text in network.texts(ids))


# --- GAN


def test_the_critic_learns_to_tell_real_from_made():
    generator, critic = PictureGenerator(64, 4, NARROW, (0, 0, 0, 0)), Critic(NARROW)
    stepper = torch.optim.Adam(critic.parameters(), lr=2e-3)
    real, made = pictures(), generator.decode(torch.randn(8, 4)).detach()
    losses = []
    for _ in range(15):
        loss = critic_loss(critic(real), critic(made))
        loss.backward()
        stepper.step()
        stepper.zero_grad()
        losses.append(loss.item())

    assert losses[-1] < losses[0]
    assert float(generator_loss(critic(made))) > float(generator_loss(critic(real)))


def test_the_penalty_is_half_the_squared_slope_at_real_pictures():
    class Sum(torch.nn.Module):
        def forward(self, x):
            return 3 * x.flatten(1).sum(dim=1, keepdim=True)

    # The slope of the sum is 3 at each of the 3 * 64 * 64 values.
    expected = 0.5 * PENALTY * 9 * 3 * 64 * 64
    assert float(gradient_penalty(Sum(), pictures())) == pytest.approx(expected)


def test_changed_pictures_keep_their_size_and_their_white():
    white = torch.ones(3, 3, 64, 64)

    assert torch.allclose(changed(white), white)
    assert changed(pictures()).shape == (8, 3, 64, 64)


def test_gradients_pass_through_the_changes():
    x = pictures().requires_grad_()

    changed(x).sum().backward()

    assert x.grad.abs().sum() > 0


# --- Saving


@pytest.mark.parametrize("kind", ["vectors", "pictures", "sentences", "gan"])
def test_a_saved_network_comes_back_the_same(tmp_path, kind):
    save_latent_model(tmp_path, kind)
    network_type = {"vectors": VectorVae, "pictures": PictureVae, "sentences": SentenceVae}
    loaded = network_type.get(kind, PictureGenerator).from_pretrained(tmp_path)
    z = torch.randn(2, loaded.latent_size)

    assert kind_of(tmp_path) == kind
    assert not loaded.training
    again = type(loaded).from_pretrained(tmp_path)
    assert torch.equal(loaded.decode(z), again.decode(z))


def test_another_networks_folder_is_refused(tmp_path):
    save_latent_model(tmp_path, "gan")

    with pytest.raises(ValueError, match="holds no PictureVae"):
        PictureVae.from_pretrained(tmp_path)


def test_half_precision_on_disk_becomes_float32(tmp_path):
    tiny_picture_vae().save_pretrained(tmp_path, torch.float16)

    loaded = PictureVae.from_pretrained(tmp_path)

    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_a_folder_without_an_autoencoder_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')

    with pytest.raises(ValueError, match="no autoencoder"):
        load_autoencoder(tmp_path)
    with pytest.raises(ValueError, match="no latent model"):
        kind_of(tmp_path)


# --- Mixture, map, distance


def two_clouds(rows=200):
    left = torch.randn(rows, 3) * 0.3 + torch.tensor([-3.0, 0.0, 0.0])
    return torch.cat([left, torch.randn(rows, 3) * 0.5 + torch.tensor([3.0, 1.0, 0.0])])


def test_the_mixture_finds_two_clouds(tmp_path):
    mixture = fit_mixture(two_clouds(), 2)

    order = mixture.means[:, 0].argsort()
    assert torch.allclose(
        mixture.means[order],
        torch.tensor([[-3.0, 0, 0], [3, 1, 0]], dtype=torch.float64),
        atol=0.2,
    )
    assert torch.allclose(
        mixture.variances[order].sqrt().mean(dim=1),
        torch.tensor([0.3, 0.5], dtype=torch.float64),
        atol=0.06,
    )
    mixture.save(tmp_path)
    assert torch.equal(Mixture.load(tmp_path).means, mixture.means)


def test_the_mixtures_density_is_that_of_torch():
    mixture = fit_mixture(two_clouds(), 2)
    parts = torch.distributions.Independent(
        torch.distributions.Normal(mixture.means, mixture.variances.sqrt()), 1
    )
    whole = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(mixture.weights), parts
    )
    z = torch.randn(10, 3, dtype=torch.float64)

    assert torch.allclose(mixture.log_density(z), whole.log_prob(z))


def test_samples_of_the_mixture_lie_in_its_clouds():
    mixture = fit_mixture(two_clouds(), 2)
    rng = torch.Generator().manual_seed(1)

    z = mixture.sample(rng, torch.randn(500, 3, generator=rng), 1.0)

    assert float((z[:, 0] < 0).double().mean()) == pytest.approx(0.5, abs=0.1)
    assert float(z[:, 0].abs().mean()) == pytest.approx(3, abs=0.2)


def test_tsne_keeps_neighbours_together():
    places = tsne(two_clouds(40))

    left, right = places[:40], places[40:]
    inside = torch.cdist(left, left).mean() + torch.cdist(right, right).mean()
    assert torch.cdist(left, right).mean() > inside


def test_the_map_finds_its_points_again(tmp_path):
    codes = torch.randn(20, 5)
    made = map_of(codes, [{"label": str(row)} for row in range(20)])
    made.save(tmp_path)
    found = LatentMap.load(tmp_path)
    point = found.points[7]

    assert made.method == "pca"
    assert point["label"] == "7"
    assert found.nearest(point["x"], point["y"]) == 7
    assert torch.allclose(found.code_at(point["x"], point["y"]), codes[7], atol=1e-2)
    assert all(0 <= one[axis] <= 1 for one in found.points for axis in "xy")


def test_flat_codes_are_their_own_map():
    codes = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]])

    made = map_of(codes, [{}, {}, {}])

    assert made.method == "codes"
    assert [(point["x"], point["y"]) for point in made.points] == [(0, 0), (0.5, 1), (1, 0.5)]


def test_the_frechet_distance_of_known_normals():
    a = torch.randn(50_000, 2, dtype=torch.float64)
    b = 2 * torch.randn(50_000, 2, dtype=torch.float64) + torch.tensor([3.0, 0.0])

    # |3|^2 + 2 * (1 - 2)^2 for standard deviations 1 and 2 in two dimensions
    assert frechet_distance(a, b) == pytest.approx(11, rel=0.03)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
