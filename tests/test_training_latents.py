"""The scripts behind the bundled VAE and GAN, on a few invented pictures; and what is shipped."""

import json
import re

import numpy as np
import pytest
import torch

from config import BUNDLED, ROOT
from generators.latent import LatentModel
from models.device import Placement
from models.gan import PictureGenerator, mapping_network
from models.latent_map import LatentMap
from models.mixture import Mixture
from models.vae import PictureVae
from training.bundled import evaluate_latents, latents
from training.bundled.emoji_groups import GROUP_OF, GROUPS, read_emoji
from training.bundled.evaluate_latents import GAN_ROWS, VAE_ROWS, figures_table

CPU = Placement(torch.device("cpu"), torch.float32)
MEMBERS = [emoji for group in GROUPS for emoji in group.members.split()[:3]]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three pictures of every group, and one that belongs to none."""
    folder = tmp_path_factory.mktemp("emoji")
    rng = np.random.default_rng(0)
    images = np.full((len(MEMBERS) + 1, 64, 64, 3), 255, dtype=np.uint8)
    images[:, 16:48, 16:48] = rng.integers(0, 255, (len(images), 1, 1, 3))
    np.savez(folder / "images64.npz", images=images)
    rows = [
        {"emoji": emoji, "name_en": f"name {emoji}", "name_zh": f"名 {emoji}"}
        for emoji in [*MEMBERS, "🚗"]
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "captions.jsonl").write_text(text, encoding="utf-8")
    return folder


def train(data, folder, stage, *more):
    places = ["--data", str(data), "--out", str(folder), "--work", str(folder / "work")]
    latents.main([stage, *places, *more])
    log = folder / "work" / stage / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Both models after a few steps, resumed once, with mixture and map."""
    folder = tmp_path_factory.mktemp("trained")
    train(data, folder, "vae", "--steps", "1", "--batch", "4")
    train(data, folder, "vae", "--steps", "3", "--batch", "4", "--resume")
    train(data, folder, "gan", "--steps", "1", "--batch", "4", "--mapping-steps", "2")
    train(data, folder, "gan", "--steps", "2", "--batch", "4", "--resume")
    train(data, folder, "map", "--components", "3")
    return folder


def test_only_the_groups_pictures_are_read(data):
    pixels, shown = read_emoji(data)

    assert pixels.shape == (len(MEMBERS), 3, 64, 64)
    assert [emoji.emoji for emoji in shown] == MEMBERS
    assert shown[0].group == GROUPS[0].name


def test_no_emoji_belongs_to_two_groups():
    assert len(GROUP_OF) == sum(len(group.members.split()) for group in GROUPS)


def test_training_resumes_and_saves_models_that_load(trained):
    for stage, steps in (("vae", [0, 1]), ("gan", [0, 1])):
        lines = (trained / "work" / stage / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == steps

    for name in ("vae", "gan"):
        model = LatentModel.load(trained / name, CPU)
        assert model.sample(1).outputs[0].size == (64, 64)


def test_the_map_has_every_picture_with_its_group_and_names(trained):
    latent_map = LatentMap.load(trained / "vae")

    assert latent_map.method == "tsne"
    assert [point["emoji"] for point in latent_map.points] == MEMBERS
    assert latent_map.points[0].keys() == {"x", "y", "emoji", "name_en", "name_zh", "group"}
    assert latent_map.groups["face"] == {"en": "Faces", "zh": "表情"}


def test_the_figures_end_up_in_the_cards_and_the_sheets_in_their_folder(trained, data, tmp_path):
    card = "Card\n<!-- figures -->\nold\n<!-- end of figures -->\nend\n"
    for name in ("vae", "gan"):
        (trained / name / "README.md").write_text(card, encoding="utf-8")

    places = ["--data", str(data), "--models", str(trained), "--docs", str(tmp_path)]
    evaluate_latents.main(places)

    for name, rows in (("vae", VAE_ROWS), ("gan", GAN_ROWS)):
        figures = json.loads((trained / name / "figures.json").read_text(encoding="utf-8"))
        text = (trained / name / "README.md").read_text(encoding="utf-8")
        assert text == card.replace("old", figures_table(figures, rows))
        assert figures["pictures"] == len(MEMBERS)
    sheets = {path.name for path in tmp_path.iterdir()}
    assert {"vae.png", "vae-prior.png", "gan.png"} <= sheets


def test_the_mapping_passes_by_every_code():
    codes = torch.tensor([[3.0, 3.0], [-3.0, 3.0], [0.0, -3.0]])
    torch.manual_seed(0)
    mapping = mapping_network(2, 64)
    latents.learn_mapping(mapping, codes, torch.zeros_like(codes), steps=300)

    with torch.no_grad():
        distances = torch.cdist(codes, mapping(torch.randn(1000, 2)))
    assert distances.min(dim=1).values.max() < 0.5  # it was 3 or more


def test_batches_hold_every_picture_before_any_comes_again():
    next_batch = latents.endless_batches(10, 5)

    for _ in range(3):
        assert sorted(torch.cat([next_batch(), next_batch()]).tolist()) == list(range(10))


# --- What is shipped


def shipped(name):
    return BUNDLED / name


def test_the_shipped_folders_are_small_and_plain():
    files = {
        path: path.stat().st_size for name in ("vae", "gan") for path in shipped(name).iterdir()
    }

    plain = {"README.md", "config.json", "figures.json", "model.safetensors"}
    mapped = {"map.json", "codes.safetensors", "mixture.safetensors"}
    assert {path.name for path in shipped("gan").iterdir()} == plain
    assert {path.name for path in shipped("vae").iterdir()} == plain | mapped
    for name in ("vae", "gan"):
        assert sum(size for path, size in files.items() if path.parent.name == name) < 6_000_000
    assert files[shipped("vae") / "map.json"] < 1_000_000


@pytest.mark.parametrize(("name", "rows"), [("vae", VAE_ROWS), ("gan", GAN_ROWS)])
def test_the_cards_show_the_figures_of_these_weights(name, rows):
    figures = json.loads((shipped(name) / "figures.json").read_text(encoding="utf-8"))

    # By this the page knows that they are about the model that it shows.
    assert figures["weights_sha256"] == LatentModel.load(shipped(name), CPU).weights.sha256
    card = (shipped(name) / "README.md").read_text(encoding="utf-8")
    assert figures_table(figures, rows) in card
    sheets = re.findall(r"docs/samples/[\w-]+\.png", card)
    assert sheets
    assert all((ROOT / sheet).exists() for sheet in sheets)


def test_the_shipped_map_and_mixture_fit_the_shipped_vae():
    latent_map, mixture = LatentMap.load(shipped("vae")), Mixture.load(shipped("vae"))
    network = PictureVae.from_pretrained(shipped("vae"))

    assert {point["group"] for point in latent_map.points} == {group.name for group in GROUPS}
    assert len(latent_map.points) == len(GROUP_OF)
    assert latent_map.codes.shape == (len(GROUP_OF), network.latent_size)
    assert mixture.means.shape[1] == network.latent_size


def test_the_shipped_models_draw_colourful_pictures_on_white():
    networks = [PictureVae.from_pretrained(shipped("vae"))]
    networks.append(PictureGenerator.from_pretrained(shipped("gan")))
    z = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))

    for network in networks:
        with torch.no_grad():
            pictures = network.decode(z)
        corners = pictures[:, :, ::63, ::63]
        assert float(corners.mean()) > 0.8
        assert float(pictures.std(dim=1).mean()) > 0.05  # grey has none


def test_the_shipped_map_gives_back_what_it_shows():
    latent_map = LatentMap.load(shipped("vae"))
    network = PictureVae.from_pretrained(shipped("vae"))
    place = {point["emoji"]: i for i, point in enumerate(latent_map.points)}["🔴"]

    with torch.no_grad():
        [red] = network.decode(latent_map.codes[place : place + 1])

    middle = red[:, 28:36, 28:36].mean(dim=(1, 2))
    assert middle[0] > 0 > middle[2]


def test_the_cards_begin_as_the_hub_expects():
    for name in ("vae", "gan"):
        card = (shipped(name) / "README.md").read_text(encoding="utf-8")
        assert card.startswith("---\nlicense: apache-2.0\n")
