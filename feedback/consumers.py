"""Open a finished dataset with the libraries that will read it; run by itself, for these are large.

`python -m feedback.consumers FOLDER` reads what to expect from its input, as JSON, and writes what
it found. Libraries that are not installed here are said to be so, and pass for nothing.
"""

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

TRIED = 1_000  # rows of a split that a trainer prepares; `datasets` reads all of them

TRAINERS = {
    "sft": ("SFTTrainer", "SFTConfig"),
    "dpo": ("DPOTrainer", "DPOConfig"),
    "kto": ("KTOTrainer", "KTOConfig"),
}

Findings = dict[str, Any]


def main(folder: Path) -> None:
    asked = json.load(sys.stdin)
    os.environ.update(
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
        TOKENIZERS_PARALLELISM="false",
    )
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        found = {
            "datasets": tried("datasets", lambda: by_datasets(folder, asked, Path(cache))),
            "trl": tried("trl", lambda: by_trl(folder, asked, Path(cache))),
        }
    sys.__stdout__.write(json.dumps(found))  # type: ignore[union-attr]


def tried(library: str, check: Any) -> Findings:
    if importlib.util.find_spec(library) is None:
        return {"checked": False, "because": f"{library} is not installed"}
    return {"version": version(library), **check()}


def by_datasets(folder: Path, asked: Findings, cache: Path) -> Findings:
    """Whether every split opens with as many rows and the columns that were written."""
    from datasets import get_dataset_config_names

    problems = []
    names = [config["name"] for config in asked["configs"]]
    if sorted(get_dataset_config_names(str(folder))) != sorted(names):
        problems.append("the configs are not the ones in the card")
    for config, split, dataset in opened(folder, asked, cache):
        place = f"{config['name']}/{split}"
        expected = sum(file["rows"] for file in config["splits"][split])
        if len(dataset) != expected:
            problems.append(f"{place} has {len(dataset)} rows and not {expected}")
        missing = {column_of(name) for name in config["columns"]} - set(dataset.column_names)
        if missing:
            problems.append(f"{place} has no column {', '.join(sorted(missing))}")
        elif not config["may_be_empty"] and any(value is None for value in dataset[0].values()):
            problems.append(f"{place} has nothing in a cell of its first row")
    return {"checked": True, "problems": problems}


def column_of(name: str) -> str:
    return name.removesuffix("_file_name") if name != "file_name" else "image"


def opened(folder: Path, asked: Findings, cache: Path) -> Iterator[tuple[Findings, str, Any]]:
    from datasets import load_dataset

    for config in asked["configs"]:
        for split in config["splits"]:
            dataset = load_dataset(
                str(folder), config["name"], split=split, cache_dir=str(cache / "datasets")
            )
            yield config, split, dataset


def by_trl(folder: Path, asked: Findings, cache: Path) -> Findings:
    """Whether the trainers of TRL keep every row when they prepare the training split."""
    wanted = [config for config in asked["configs"] if trains(config)]
    if not wanted:
        return {"checked": False, "because": "there is nothing for TRL in it"}
    if not asked["tokenizer"]:
        return {"checked": False, "because": "there is no tokenizer to prepare the rows with"}
    problems, rows = [], 0
    for config, split, dataset in opened(folder, {"configs": wanted}, cache):
        if split != "train":
            continue
        dataset = dataset.select(range(min(len(dataset), TRIED)))
        rows += len(dataset)
        problems += prepared(config, dataset, asked, cache)
    return {"checked": True, "rows_tried": rows, "problems": problems}


def trains(config: Findings) -> bool:
    return config["trainer"] in TRAINERS and config["shape"] in ("standard", "conversational")


def prepared(config: Findings, dataset: Any, asked: Findings, cache: Path) -> list[str]:
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    tokenizer = AutoTokenizer.from_pretrained(asked["tokenizer"], local_files_only=True)
    if config["shape"] == "conversational" and not tokenizer.chat_template:
        return [f"{config['name']} has turns, and the tokenizer has no chat template for them"]
    if config["trainer"] == "kto" and len(set(dataset["label"])) < 2:
        return [f"{config['name']} has labels of one kind alone"]
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    layout = LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=1, **size)
    tiny = cache / "tiny"  # a model because there has to be one: only its trainer is wanted
    AutoModelForCausalLM.from_config(layout).save_pretrained(tiny)
    trainer, settings = (getattr(trl, name) for name in TRAINERS[config["trainer"]])
    made = trainer(
        model=str(tiny),
        args=settings(
            output_dir=str(cache / "trl"),
            max_length=asked["max_tokens"] or 1024,
            per_device_train_batch_size=2,
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    if len(made.train_dataset) == len(dataset):
        return []
    lost = len(dataset) - len(made.train_dataset)
    return [f"TRL drops {lost} of {len(dataset)} rows of {config['name']}: they are too long"]


if __name__ == "__main__":
    sys.stdout = sys.stderr  # what the libraries say is no finding
    main(Path(sys.argv[1]))
