"""Try a written dataset before it counts as done: by the rules of its consumers, and by these.

Rows have been tried one by one before they were written. Here they are read back from their files:
what LLaMA-Factory's converter and OpenAI's upload would refuse is looked for by their rules,
written out; `datasets` and TRL open the folder themselves, in a process of their own.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from config import ROOT
from feedback.formats.llama_factory import DATASET_INFO, converted, name_of
from feedback.plan import Config
from feedback.spec import Spec

Findings = dict[str, Any]


class LintFailed(RuntimeError):
    """A library that ought to read the dataset cannot, or reads something else."""


def lint(
    folder: Path, spec: Spec, configs: Iterable[Config], entries: list[Findings]
) -> dict[str, Findings]:
    """What each consumer said; raises LintFailed where it is not what was written.

    entries: of the configs in the manifest.
    """
    used = {config.name: config for config in configs}
    filled = [entry for entry in entries if entry["rows"]]
    found = {
        "llama-factory": by_rules(folder, filled, ("alpaca", "sharegpt"), llama_factory(folder)),
        "openai": by_rules(folder, filled, ("openai",), openai),
    }
    if spec.lint.consumers:
        found |= by_libraries(folder, spec, used, filled)
    else:
        said = {"checked": False, "because": "nobody asked for it"}
        found |= {"datasets": said, "trl": said}
    problems = [
        f"{consumer}: {problem}"
        for consumer, each in found.items()
        for problem in each.get("problems", ())
        if consumer != "trl"
    ]
    if problems:
        raise LintFailed(f"the dataset is not fit to be read: {'; '.join(problems)}")
    return {consumer: each for consumer, each in found.items() if each}


def by_rules(
    folder: Path,
    entries: list[Findings],
    shapes: tuple[str, ...],
    problem_of: Callable[[Findings, str, Findings], str | None],
) -> Findings:
    """What a consumer would refuse by its rules, counted by what is wrong."""
    problems, rows = Counter[str](), 0
    for entry in entries:
        if entry["shape"] in shapes and entry["format"] != "events":
            for split, path in files_of(entry):
                for row in rows_in(folder / path):
                    rows += 1
                    problem = problem_of(entry, split, row)
                    if problem is not None:
                        problems[problem] += 1
    if not rows:
        return {}
    said = [f"{count} rows: {problem}" for problem, count in problems.items()]
    return {"checked": True, "rows_tried": rows, "problems": said}


def files_of(entry: Findings) -> Iterator[tuple[str, str]]:
    for split, files in entry["splits"].items():
        for file in files:
            yield split, file["path"]


def rows_in(path: Path) -> Iterator[Findings]:
    if path.suffix == ".parquet":
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=512, use_threads=False):
                yield from batch.to_pylist()
        return
    with path.open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def llama_factory(folder: Path) -> Callable[[Findings, str, Findings], str | None]:
    """Whether its converter makes of a row what the row is meant to be."""
    path = folder / DATASET_INFO
    described = json.loads(path.read_bytes()) if path.exists() else {}

    def problem_of(entry: Findings, split: str, row: Findings) -> str | None:
        description = described[name_of(entry["name"], split)]
        return converted(row, description).problem

    return problem_of


def openai(_entry: Findings, _split: str, row: Findings) -> str | None:
    """What its upload refuses, by https://platform.openai.com/docs/guides/fine-tuning."""
    if row.keys() == {"messages"}:
        return turns_problem(row["messages"], last="assistant")
    if row.keys() != {"input", "preferred_output", "non_preferred_output"}:
        return f"columns {', '.join(row)}"
    for output in ("preferred_output", "non_preferred_output"):
        if [turn.get("role") for turn in row[output]] != ["assistant"]:
            return f"{output} is not one turn of the assistant"
    return turns_problem(row["input"]["messages"], last="user")


def turns_problem(turns: list[dict[str, str]], last: str) -> str | None:
    for turn in turns:
        if turn.keys() != {"role", "content"} or not turn["content"]:
            return "a turn has not exactly a role and content"
        if turn["role"] not in ("system", "user", "assistant"):
            return f"there is no role {turn['role']}"
    return None if turns[-1]["role"] == last else f"the last turn is not the {last}'s"


def by_libraries(
    folder: Path, spec: Spec, configs: dict[str, Config], entries: list[Findings]
) -> dict[str, Findings]:
    """What `datasets` and TRL say, in a process of their own."""
    asked = {
        "tokenizer": spec.lint.tokenizer and str(Path(spec.lint.tokenizer).resolve()),
        "max_tokens": spec.lint.max_tokens,
        "configs": [
            {
                "name": entry["name"],
                "shape": entry["shape"],
                "splits": entry["splits"],
                "columns": entry["columns"],
                "trainer": getattr(configs[entry["name"]].format, "trainer", None),
                "may_be_empty": entry["format"] == "events",
            }
            for entry in entries
        ],
    }
    run = subprocess.run(
        [sys.executable, "-m", "feedback.consumers", str(folder.resolve())],
        cwd=ROOT,  # the command may be given anywhere
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        said = run.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise LintFailed(f"the libraries that read datasets gave up, and said: {said[0]}")
    found: dict[str, Findings] = json.loads(run.stdout)
    return found
