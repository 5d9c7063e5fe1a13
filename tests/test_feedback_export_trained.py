"""The real consumers of every format take it, and take a step: TRL, transformers, diffusers."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from config import BUNDLED
from db.media import MediaStore
from feedback.dataset import export
from feedback.formats.llama_factory import converted
from feedback.formats.rubric import LABELS
from feedback.spec import EVENTS, MEDIA, Lint, Recipe, Splits
from tests.exporting import bare, fill, rows_of
from tests.exporting import exported as export_bare
from tests.factories import (
    cast_vote,
    drawn,
    make_generation,
    make_pictures,
    make_samples,
    make_visitor,
    rate,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

RECIPES = [
    Recipe("captions"),
    Recipe("image-preferences"),
    Recipe("kohya"),
    *(Recipe("vae-samples", medium=medium) for medium in MEDIA),
    Recipe("vae-pairs"),
]


@pytest.fixture
def media(tmp_path):
    return MediaStore(tmp_path / "media")


@pytest.fixture
def taste(database, media):
    """Ann likes apples to be red and samples to have a large first coordinate."""

    def work(session):
        ann = make_visitor(session)
        for prompt in ("red apple", "blue apple", "red cat", "红 猫"):
            pictures = tuple(drawn(colour, 32) for colour in ("red", "blue", "gray"))
            red, blue, gray = make_pictures(session, media, ann, prompt=prompt, pictures=pictures)
            rate(session, ann, red, "thumb", 1)
            rate(session, ann, red, "choice", True)
            rate(session, ann, gray, "edit", "gray cat")
            cast_vote(session, ann, gray, blue, "right")
        rng = np.random.default_rng(0)
        for number in range(8):
            latents = tuple({"z": rng.normal(size=2).tolist()} for _ in range(2))
            kinds = {
                "pictures": {"pictures": tuple(media.put(drawn(c, 8)) for c in ("red", "blue"))},
                "vectors": {"latents": tuple(one | {"x": [1.0, 2.0, 3.0]} for one in latents)},
                "sentences": {"texts": ("甲", f"乙{number}")},
            }
            for kind in kinds.values():
                ids = make_samples(session, ann, **{"latents": latents, **kind})
                better = int(latents[0]["z"][0] < latents[1]["z"][0])
                rate(session, ann, ids[better], "thumb", 1)
                rate(session, ann, ids[1 - better], "thumb", -1)
                rate(session, ann, ids[better], "choice", True)

    database.write(work)


@pytest.fixture
def exported(database, taste, media, tmp_path):
    """Export, and open the folder as anybody would."""
    from datasets import load_dataset

    def run(recipe):
        folder = tmp_path / f"{recipe.format}-{recipe.medium}"
        manifest = export_bare(database, folder, recipe, media=media)
        loaded = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
        return folder, manifest, loaded

    return run


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.format}-{recipe.medium}")
def test_datasets_opens_the_folder(exported, recipe):
    _, manifest, dataset = exported(recipe)

    [config] = manifest["configs"]
    names = {name.removesuffix("_file_name") for name in config["columns"]}
    assert names <= set(dataset.column_names)
    assert len(dataset) == manifest["rows"] > 0
    for row in dataset:
        for name, value in row.items():
            assert value is not None, name
            if isinstance(value, Image.Image):
                assert value.size in ((32, 32), (8, 8))


def test_the_columns_keep_their_types(exported):
    from datasets import Image as Picture
    from datasets import List, Value

    wanted = {
        "captions": {"image": Picture(), "text": Value("string")},
        "image-preferences": {"jpg_0": Value("binary"), "label_0": Value("float64")},
        "kohya": {"w": Picture(), "l": Picture(), "text": Value("string")},
        "vae-samples": {"image": Picture(), "z": List(Value("float64")), "label": Value("bool")},
        "vae-pairs": {"z_chosen": List(Value("float64")), "z_rejected": List(Value("float64"))},
    }
    for format, types in wanted.items():
        _, _, dataset = exported(Recipe(format))
        assert {name: dataset.features[name] for name in types} == types


def test_a_single_row_is_still_a_dataset(database, media, tmp_path):
    """One picture and two lists are in the folder: which of them is the data must be clear."""
    from datasets import load_dataset

    def work(session):
        ann = make_visitor(session)
        [picture] = make_pictures(session, media, ann)
        rate(session, ann, picture, "thumb", 1)

    database.write(work)
    export_bare(database, tmp_path / "out", "captions", media=media)

    [row] = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))

    assert row["image"].getpixel((0, 0)) == (255, 0, 0)
    assert row["text"] == "red apple"


# Text: datasets and TRL

POET = str(BUNDLED / "poet")
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SETTINGS = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "use_cpu": True,
    "bf16": False,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
}


@pytest.fixture
def text(database):
    fill(database)


@pytest.fixture
def opened(database, text, tmp_path):
    """Export one text config, and open the folder as anybody would."""
    from datasets import load_dataset

    def run(recipe, **options):
        folder = tmp_path / "out"
        export_bare(database, folder, recipe, **options)
        return load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))

    return run


@pytest.mark.parametrize("shape", ["standard", "conversational"])
@pytest.mark.parametrize(
    ("format", "trainer"),
    [("sft", "SFT"), ("dpo", "DPO"), ("kto", "KTO"), ("dpo", "Reward"), ("prompts", "GRPO")],
)
def test_trl_trains_on_the_export(opened, tmp_path, format, trainer, shape):
    import trl
    from transformers import AutoTokenizer

    dataset = opened(Recipe(format, shape))
    tokenizer = AutoTokenizer.from_pretrained(POET)
    tokenizer.chat_template = tokenizer.chat_template or TEMPLATE
    settings, more = dict(SETTINGS), {}
    if trainer == "GRPO":
        settings |= {"num_generations": 2, "max_completion_length": 4}
        more = {"reward_funcs": lambda completions, **_: [float(len(c)) for c in completions]}
    made = getattr(trl, f"{trainer}Trainer")(
        model=POET,
        args=getattr(trl, f"{trainer}Config")(output_dir=str(tmp_path / "run"), **settings),
        train_dataset=dataset,
        processing_class=tokenizer,
        **more,
    )

    assert trl.data_utils.is_conversational(dataset[0]) == (shape == "conversational")
    assert len(made.train_dataset) == len(dataset) == len(rows_of(tmp_path / "out"))
    assert made.train().global_step == 2


@pytest.mark.parametrize(("format", "problem"), [("rewards", "regression"), ("rubric", None)])
def test_transformers_learns_scores_and_reasons(opened, tmp_path, format, problem):
    """A regression of the score, and a classifier of which reasons are named."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    dataset = opened(Recipe(format))
    tokenizer = AutoTokenizer.from_pretrained(POET)

    def prepared(row):
        labels = [row["score"]] if format == "rewards" else row["labels"]
        return {**tokenizer(row["prompt"] + row["completion"]), "labels": labels}

    count = 1 if format == "rewards" else len(LABELS)
    model = AutoModelForSequenceClassification.from_pretrained(
        POET, num_labels=count, problem_type=problem or "multi_label_classification"
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    trainer = Trainer(
        model=model,
        args=TrainingArguments(output_dir=str(tmp_path / "run"), **SETTINGS),
        train_dataset=dataset.map(prepared, remove_columns=dataset.column_names),
        data_collator=DataCollatorWithPadding(tokenizer),
    )

    assert trainer.train().global_step == 2


@pytest.mark.parametrize("files", ["jsonl", "parquet"])
def test_datasets_opens_the_configs_of_one_folder_by_their_names(
    database, taste, text, media, tmp_path, files
):
    from datasets import get_dataset_config_names, load_dataset

    recipes = [
        Recipe("sft", name="texts"),
        Recipe("dpo", "conversational"),
        Recipe("kto"),
        Recipe("rewards"),
        Recipe("vae-pairs"),
        Recipe(EVENTS),
    ]
    if files == "parquet":
        recipes += [Recipe("captions"), Recipe("image-preferences"), Recipe("vae-samples")]
    options = {"files": files, "splits": Splits(0.3), "reuse": "allow"}
    manifest = export_bare(database, tmp_path / "out", *recipes, media=media, **options)

    folder = str(tmp_path / "out")
    assert get_dataset_config_names(folder) == [config["name"] for config in manifest["configs"]]
    for config in manifest["configs"]:
        for split, parts in config["splits"].items():
            dataset = load_dataset(
                folder, config["name"], split=split, cache_dir=str(tmp_path / "cache")
            )
            assert len(dataset) == sum(part["rows"] for part in parts)
            assert set(config["columns"]) <= set(dataset.column_names)
            if config["name"] == "captions":
                assert isinstance(dataset[0]["image"], Image.Image)
            if config["name"] == "dpo":
                assert dataset.to_list() == rows_of(tmp_path / "out", "dpo", split)


def test_datasets_reads_a_csv_as_it_was_written(database, tmp_path):
    """Not the text NA as nothing, nor 01 as a number."""
    from datasets import load_dataset

    texts = ["NA", "null", "01", "1.0", "True", "a,\r\nb", "", '"']

    def work(session):
        ann = make_visitor(session)
        for text in filter(None, texts):
            poem = make_generation(session, ann, prompt=text, output="x")
            rate(session, ann, poem, "edit", f"{text}")

    database.write(work)
    export_bare(database, tmp_path / "out", "sft", files="csv")

    dataset = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))

    assert dataset["prompt"] == dataset["completion"] == [text for text in texts if text]


def test_llama_factory_opens_its_files_as_it_does(database, text, tmp_path):
    """By the file that dataset_info.json names; its converter makes a pair of every row."""
    import json

    from datasets import load_dataset

    export_bare(database, tmp_path / "out", Recipe("dpo", "sharegpt"))
    described = json.loads((tmp_path / "out" / "dataset_info.json").read_bytes())["dpo"]

    dataset = load_dataset(
        "json",
        data_files=[str(tmp_path / "out" / described["file_name"])],
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )

    found = [converted(row, described) for row in dataset]
    assert found and all(len(one.response) == 2 and one.problem is None for one in found)


def test_an_export_is_opened_by_its_consumers_before_it_is_done(database, text, tmp_path):
    spec = bare("sft", "dpo", "kto", reuse="allow", lint=Lint(tokenizer=POET))

    manifest = export(database, spec, tmp_path / "out")

    checked = manifest["checked"]
    assert checked["datasets"]["problems"] == checked["trl"]["problems"] == []
    assert checked["trl"]["rows_tried"] == manifest["rows"]
    assert {checked[name]["version"] for name in ("datasets", "trl")} == {"5.2.0", "1.16.0"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(name.partition("/")[0] for name in manifest["files"]),
        "manifest.json",
    }


# diffusers


@pytest.fixture
def painter(tmp_path):
    import torch
    from diffusers import AutoPipelineForText2Image

    from tests.tiny_pictures import tiny_painter

    torch.manual_seed(0)
    pipeline = AutoPipelineForText2Image.from_pretrained(tiny_painter(tmp_path / "painter"))
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.requires_grad_(False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network is slower on several
    yield pipeline
    torch.set_num_threads(threads)


def pixels(picture):
    """(3, height, width) between -1 and 1."""
    import torch

    data = np.asarray(picture.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(data).permute(2, 0, 1) / 127.5 - 1


def tokens(pipeline, captions):
    return pipeline.tokenizer(
        captions,
        max_length=pipeline.tokenizer.model_max_length,
        padding="max_length",
        truncation=True,
        return_tensors="pt",
    ).input_ids


def test_the_text_to_image_recipe_learns_from_captions(exported, painter, tmp_path):
    """As examples/text_to_image/train_text_to_image.py of diffusers reads and trains."""
    import torch
    from datasets import load_dataset
    from diffusers import DDPMScheduler

    folder, manifest, _ = exported(Recipe("captions"))
    # This is what the script makes of --train_data_dir; it finds all files, ours among them.
    dataset = load_dataset(
        "imagefolder",
        data_files={"train": str(folder / "train" / "**")},
        cache_dir=str(tmp_path / "script cache"),
    )["train"]
    assert len(dataset) == manifest["rows"] == 5
    assert dataset.column_names[:2] == ["image", "text"]
    assert set(dataset["text"]) == {"red apple", "blue apple", "red cat", "红 猫", "gray cat"}
    scheduler = DDPMScheduler.from_config(painter.scheduler.config)
    painter.unet.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(painter.unet.parameters(), lr=1e-3)
    batch = dataset[:4]
    latents = painter.vae.encode(
        torch.stack(list(map(pixels, batch["image"])))
    ).latent_dist.sample()
    latents = latents * painter.vae.config.scaling_factor
    noise = torch.randn_like(latents)
    timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (len(latents),))
    noisy = scheduler.add_noise(latents, noise, timesteps)
    states = painter.text_encoder(tokens(painter, batch["text"]), return_dict=False)[0]
    losses = []
    for _ in range(3):
        predicted = painter.unet(noisy, timesteps, states, return_dict=False)[0]
        loss = torch.nn.functional.mse_loss(predicted.float(), noise.float(), reduction="mean")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(painter.unet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert losses[2] < losses[0]


def test_diffusion_dpo_learns_from_preferences(exported, painter):
    """As examples/research_projects/diffusion_dpo/train_diffusion_dpo.py of diffusers does.

    Wallace et al. 2023 (arXiv:2311.12908), equation 14: with the reference's errors, which are
    the model's own before the first step, the loss begins at log 2.
    """
    import torch
    from diffusers import DDPMScheduler
    from peft import LoraConfig

    _, _, dataset = exported(Recipe("image-preferences"))
    batch = dataset[:]
    assert set(batch["label_0"]) == {0.0, 1.0}
    pairs = []
    for *both, label_0 in zip(batch["jpg_0"], batch["jpg_1"], batch["label_0"], strict=True):
        pair = [pixels(Image.open(io.BytesIO(data))) for data in both]
        pairs.append(torch.cat(pair[::-1] if label_0 == 0 else pair))
    # (pairs, 2 * 3, height, width) to the better ones, then the worse ones
    feed = torch.cat(torch.stack(pairs).chunk(2, dim=1))
    better, worse = feed.chunk(2)
    assert (better[:, 0] == 1).sum() == 8 * 32 * 32  # red in the eight pairs of the choices
    assert not (worse[:, 0] == 1).any()
    scheduler = DDPMScheduler.from_config(painter.scheduler.config)
    unet = painter.unet
    unet.add_adapter(
        LoraConfig(
            r=4,
            lora_alpha=4,
            init_lora_weights="gaussian",
            target_modules=["to_k", "to_q", "to_v", "to_out.0"],
        )
    )
    trained = [one for one in unet.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    feed = torch.cat([better[:4], worse[:4]])
    latents = painter.vae.encode(feed).latent_dist.sample() * painter.vae.config.scaling_factor
    noise = torch.randn_like(latents).chunk(2)[0].repeat(2, 1, 1, 1)
    timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (4,)).repeat(2)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    states = painter.text_encoder(tokens(painter, batch["caption"][:4]))[0].repeat(2, 1, 1)

    def errors():
        """How much more it errs on the better picture than on the worse, for each pair."""
        predicted = unet(noisy, timesteps, states).sample
        error = torch.nn.functional.mse_loss(predicted, noise, reduction="none").mean((1, 2, 3))
        return torch.sub(*error.chunk(2))

    losses = []
    for _ in range(3):
        model = errors()
        unet.disable_adapters()
        with torch.no_grad():
            reference = errors()
        unet.enable_adapters()
        loss = -torch.nn.functional.logsigmoid(2500 * (reference - model)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert losses[0] == pytest.approx(math.log(2))
    assert losses[1] < losses[0]


# Latents


def test_a_logistic_model_learns_from_pairs_and_from_labels(exported):
    """Bradley-Terry over z, and a logistic model of the label: both find what ann likes."""
    _, _, pairs = exported(Recipe("vae-pairs"))
    difference = np.array(pairs["z_chosen"]) - np.array(pairs["z_rejected"])
    _, _, samples = exported(Recipe("vae-samples", medium="vectors"))
    z, label = np.array(samples["z"]), np.array(samples["label"])

    by_pairs = fit(difference, np.ones(len(difference)))
    by_labels = fit(z - z.mean(0), label)

    assert len(difference) == 24 and len(z) == 16
    for taste in (by_pairs, by_labels):
        assert taste[0] > abs(taste[1])


def fit(x, y, steps=200, rate=0.5, prior=0.1):
    """Weights of a logistic model by gradient ascent, with a normal prior."""
    weights = np.zeros(x.shape[1])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-x @ weights))
        weights += rate * (x.T @ (y - chance) / len(x) - prior * weights)
    return weights
