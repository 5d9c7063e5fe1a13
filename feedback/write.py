"""Write the rows that leave into their files, and the reasons of the others into quarantine."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from feedback.dataset_folder import FilesBeside, NewFile
from feedback.formats.candidate import REASONS
from feedback.formats.pictures import Pictures
from feedback.former import Former, Taken, kept_by, lines_of, named_files, take_over
from feedback.gathered import Gathered, flowing
from feedback.plan import ORIGIN, Config
from feedback.row_files import JsonLines, Shards, opener
from feedback.splits import OUTCOMES
from feedback.watch import Watch
from feedback.weigh import Outcome

ENDLESS = 1 << 62  # bytes of a file that is the only one
ORDER = ("train", "validation", "test")  # of the splits, in the files and in the ledger


@dataclass
class Place:
    """Where an export is being written."""

    folder: Path
    beside: FilesBeside
    quarantine: NewFile
    shard_bytes: int
    version: int = 1


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
    outcome: Outcome,
    place: Place,
    pictures: Pictures,
    watch: Watch,
    former: Former | None = None,
) -> Written:
    """Write the rows of one config, in their order, behind those that stay of a former version."""
    outputs = Outputs(config, place)
    staying = np.zeros(len(found), bool)
    if former is not None:
        staying = stay(config, found, outcome, former)
        outputs.take_over(former, found, outcome, staying)
    rows = zip(
        flowing(outcome.reason),
        flowing(outcome.split),
        flowing(staying),
        additions(config, outcome),
        found.payload(),
        strict=True,
    )
    for reason, side, is_there, added, (line, wants) in rows:
        watch.step()
        if reason:
            place.quarantine.write(held(config, REASONS[reason], line))
        elif not is_there:
            split = OUTCOMES[side]
            within = bring(wants, base(config, split), place, pictures) if wants else None
            outputs.add(split, line[:-1] + added, within)
    return outputs.close()


def stay(config: Config, found: Gathered, outcome: Outcome, former: Former) -> NDArray[np.bool_]:
    """Which rows stand in the former version already, and on the same side."""
    ids, staying = found.facts.column("row_id"), np.zeros(len(found), bool)
    for split, there in former.ids(config.name).items():
        on_side = outcome.kept & (outcome.split == OUTCOMES.index(split))
        staying |= on_side & np.isin(ids, there)
    return staying


class Outputs:
    """The files of the splits of one config; each begins with its first row."""

    def __init__(self, config: Config, place: Place) -> None:
        self.config, self.place = config, place
        self.rows: dict[str, Shards] = {}
        self.origins: dict[str, Shards] = {}
        self.taken: dict[str, list[Taken]] = {}
        self.version = ""  # in the names of new files beside those that were taken over

    def add(self, split: str, line: bytes, within: dict[str, bytes] | None = None) -> None:
        if self.config.origin_beside:
            line, where = parted(line)
            self.add_parted(split, line, where)
        else:
            self.shards(split).add(line, within)

    def add_parted(self, split: str, line: bytes, where: bytes) -> None:
        self.shards(split).add(line)
        if split not in self.origins:
            folder = self.place.folder / base(self.config, split)
            self.origins[split] = Shards(folder, f"{split}.origin", "jsonl", JsonLines, ENDLESS)
        self.origins[split].add(where)

    def shards(self, split: str) -> Shards:
        if split not in self.rows:
            config = self.config
            stem = split if config.layout == "rows" else "metadata"
            self.rows[split] = Shards(
                self.place.folder / base(config, split),
                f"{stem}{self.version}",
                config.files,
                opener(config),
                ENDLESS if is_single(config) else self.place.shard_bytes,
            )
        return self.rows[split]

    def take_over(
        self, former: Former, found: Gathered, outcome: Outcome, staying: NDArray[np.bool_]
    ) -> None:
        """Begin with what stays: with whole files, where there may be several, or else its rows."""
        config, ids = self.config, found.facts.column("row_id")
        entry = former.config(config.name)
        for split in ORDER:
            mine = staying & (outcome.split == OUTCOMES.index(split))
            keep = kept_by(np.unique(ids[mine]))
            for path in former.files(config.name, split):
                if not is_single(config):
                    place = self.place.folder / path.relative_to(former.folder)
                    taken = take_over(path, place, entry, keep)
                    self.taken.setdefault(split, []).extend([taken] if taken else [])
                    continue
                for line, where in lines_of(path, entry, keep):
                    self.bring(former, path, split, line)
                    if config.origin_beside:
                        self.add_parted(split, line, where)
                    else:
                        self.add(split, line)
        if not is_single(config):
            self.version = f"-v{self.place.version}"

    def bring(self, former: Former, path: Path, split: str, line: bytes) -> None:
        """Take over the pictures that a row names."""
        for name in named_files(line) if self.config.layout != "rows" else ():
            name_here = f"{base(self.config, split)}{name}"
            if not self.place.beside.has(name_here):
                self.place.beside.add(name_here, (path.parent / name).read_bytes())

    def close(self) -> Written:
        closed = {split: shards.close() for split, shards in self.rows.items()}
        every = {split: [*self.taken.get(split, ()), *closed.get(split, ())] for split in ORDER}
        return Written(
            {split: files for split, files in every.items() if files},
            {split: shards.close() for split, shards in self.origins.items()},
        )


def is_single(config: Config) -> bool:
    """Whether a split has one file: an ImageFolder knows one list, LLaMA-Factory one file."""
    return config.layout != "rows" or config.recipe.shape in ("alpaca", "sharegpt", "openai")


def base(config: Config, split: str) -> str:
    """The folder of a split in the dataset, with a slash behind it; or nothing."""
    return config.folder if config.layout == "rows" else f"{config.folder}{split}/"


def additions(config: Config, outcome: Outcome) -> Iterator[bytes]:
    """What stands at the end of each row: how many visitors agree with it, and the mean."""
    soft = "soft_label" in config.columns
    mean = config.format.mean if config.format is not None else ""
    for raters, agreeing, value in zip(
        flowing(outcome.raters), flowing(outcome.agreeing), flowing(outcome.mean), strict=True
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
