"""Write the rows that leave into their files, and the reasons of the others into quarantine."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from feedback.dataset_folder import FilesBeside, NewFile
from feedback.decide import Decision
from feedback.formats.candidate import REASONS
from feedback.formats.pictures import Pictures
from feedback.gathered import Gathered, flowing
from feedback.plan import ORIGIN, Config
from feedback.row_files import JsonLines, Shards, opener
from feedback.splits import OUTCOMES
from feedback.watch import Watch

ORDER = ("train", "validation", "test")  # of the splits, in the files and in the ledger


@dataclass
class Place:
    """Where an export is being written."""

    folder: Path
    beside: FilesBeside
    quarantine: NewFile
    shard_bytes: int


@dataclass
class Written:
    """The files of one config."""

    shards: dict[str, list[tuple[NewFile, int]]] = field(default_factory=dict)  # by split; rows
    origins: dict[str, list[tuple[NewFile, int]]] = field(default_factory=dict)

    @property
    def files(self) -> list[NewFile]:
        every = (*self.shards.values(), *self.origins.values())
        return [file for shards in every for file, _ in shards]

    def paths(self, folder: Path) -> dict[str, list[dict[str, Any]]]:
        """The files of each split with their rows, by their place in the dataset."""
        return {
            split: [
                {"path": str(file.path.relative_to(folder)), "rows": rows} for file, rows in shards
            ]
            for split, shards in self.shards.items()
        }


def write(
    config: Config,
    found: Gathered,
    decision: Decision,
    place: Place,
    pictures: Pictures,
    watch: Watch,
) -> Written:
    """Write the rows of one config, in their order."""
    outputs: dict[str, Shards] = {}
    origins: dict[str, Shards] = {}
    rows = zip(
        flowing(decision.reason),
        flowing(decision.split),
        additions(config, decision),
        found.payload(),
        strict=True,
    )
    for reason, outcome, added, (line, wants) in rows:
        watch.step()
        if reason:
            place.quarantine.write(held(config, REASONS[reason], line))
            continue
        split = OUTCOMES[outcome]
        if split not in outputs:
            outputs[split] = shards(config, split, place)
            origins[split] = origin_shards(config, split, place)
        within = bring(wants, base(config, split), place, pictures) if wants else None
        line = line[:-1] + added
        if config.origin_beside:
            line, where = parted(line)
            origins[split].add(where)
        outputs[split].add(line, within)
    ordered = [split for split in ORDER if split in outputs]
    return Written(
        {split: outputs[split].close() for split in ordered},
        {split: origins[split].close() for split in ordered if config.origin_beside},
    )


def base(config: Config, split: str) -> str:
    """The folder of a split in the dataset, with a slash behind it; or nothing."""
    return config.folder if config.layout == "rows" else f"{config.folder}{split}/"


def shards(config: Config, split: str, place: Place) -> Shards:
    rows = config.layout == "rows"
    folder, stem = place.folder / base(config, split), split if rows else "metadata"
    # An ImageFolder knows one list of its pictures, LLaMA-Factory one file for a split.
    single = not rows or config.recipe.shape in ("alpaca", "sharegpt")
    limit = 1 << 62 if single else place.shard_bytes
    return Shards(folder, stem, config.files, opener(config), limit)


def origin_shards(config: Config, split: str, place: Place) -> Shards:
    """Where rows are from, line by line, when their trainer takes no further columns."""
    folder = place.folder / base(config, split)
    return Shards(folder, f"{split}.origin", "jsonl", JsonLines, 1 << 62)


def additions(config: Config, decision: Decision) -> Iterator[bytes]:
    """What stands at the end of each row: how many visitors agree with it, and the mean."""
    soft = "soft_label" in config.columns
    mean = config.format.mean if config.format is not None else ""
    for raters, agreeing, value in zip(
        flowing(decision.raters), flowing(decision.agreeing), flowing(decision.mean), strict=True
    ):
        share = round(agreeing / raters, 4) if raters else 1.0
        added = b',"genloop_raters":%d,"genloop_agreement":%r' % (raters, share)
        if soft:
            added += b',"soft_label":%r' % share
        if mean:
            added += b',"%b":%r' % (mean.encode(), round(value, 4))
        yield added + b"}"


def held(config: Config, reason: str, line: bytes) -> bytes:
    """A line of the quarantine; what was held back by itself is one already."""
    if line.startswith(b'{"reason":'):
        entry = orjson.loads(line)
    else:
        row = orjson.loads(line)
        entry = {
            "reason": reason,
            "source": row["genloop_source"],
            "generation_ids": row["genloop_generation_ids"].split(),
            "event_ids": [int(one) for one in row["genloop_event_ids"].split()],
            "vote_ids": [int(one) for one in row["genloop_vote_ids"].split()],
        }
    return orjson.dumps({"config": config.name, **entry}, option=orjson.OPT_APPEND_NEWLINE)


def parted(line: bytes) -> tuple[bytes, bytes]:
    """What the trainer reads, and where it is from."""
    row = orjson.loads(line)
    where = {name: row.pop(name) for name in ORIGIN}
    return orjson.dumps(row), orjson.dumps(where)


def bring(wants: bytes, base: str, place: Place, pictures: Pictures) -> dict[str, bytes]:
    """Write the files that a row wants beside it; the bytes that it wants in its columns."""
    wanted: dict[str, dict[str, Any]] = orjson.loads(wants)
    for name, content in wanted["files"].items():
        if not place.beside.has(f"{base}{name}"):
            data = content.encode() if isinstance(content, str) else pictures.bytes(*content)
            place.beside.add(f"{base}{name}", data)
    return {name: pictures.bytes(*picture) for name, picture in wanted["columns"].items()}
