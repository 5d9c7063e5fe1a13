"""`python app.py doctor`: look at everything, say what is wrong and how to mend it."""

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import typer
from dotenv import dotenv_values
from pydantic import ValidationError

from config import ROOT, Settings
from web.doctor import surroundings
from web.doctor.findings import Finding, State, Surroundings, fail
from web.doctor.words import TITLES, said

COLORS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}
# Module and function of each check. The modules are imported one after the other, for some take
# seconds, and a package that is missing must not silence the others.
CHECKS = (
    ("surroundings", "switches"),
    ("machine", "versions"),
    ("machine", "sqlite"),
    ("machine", "disk"),
    ("machine", "port"),
    ("machine", "clock"),
    ("storage", "secrets"),
    ("storage", "database"),
    ("storage", "database_clock"),
    ("storage", "copy"),
    ("pictures", "pictures"),
    ("network", "proxies"),
    ("network", "hub"),
    ("network", "traces"),
    ("weights", "models"),
    ("weights", "engines"),
)


def run() -> None:
    """The command itself; ends the process."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    typer.run(main)


def main(
    what: Annotated[Literal["doctor"], typer.Argument(help="What to do.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    language: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="Of the sentences; else that of the system.")
    ] = None,
) -> None:
    """Look whether everything is in order; nothing is changed, and nothing is fetched.

    Exit codes: 0 the app can run, perhaps with warnings; 1 something has to be mended first.
    """
    began = time.monotonic()
    chosen = language or system_language(os.environ)
    found: list[tuple[str, Finding]] = []
    for check, finding in examine():
        found.append((check, finding))
        if not as_json:
            tell(check, finding, chosen)
    counts = {state: sum(one.state == state for _, one in found) for state in ("warn", "fail")}
    if as_json:
        print(json.dumps(report(found, chosen, time.monotonic() - began), ensure_ascii=False))
    else:
        word = "failed" if counts["fail"] else "warned" if counts["warn"] else "well"
        typer.echo(f"\n{TITLES[chosen][word].format(**counts)}")
    sys.exit(1 if counts["fail"] else 0)


def examine() -> Iterator[tuple[str, Finding]]:
    """Every finding with the name of its check, as soon as it is known."""
    lines = {name: value or "" for name, value in dotenv_values(ROOT / ".env").items()}
    environment = {**lines, **os.environ}
    for finding in surroundings.settings(environment):
        yield "settings", finding
    try:
        settings = Settings()
    except ValidationError as error:
        for finding in surroundings.problems(error):
            yield "settings", finding
        return  # the other checks would look at something that is not meant
    at = Surroundings(settings, environment)
    for module, name in CHECKS:
        for finding in looked(module, name, at):
            yield name, finding


def looked(module: str, name: str, at: Surroundings) -> Iterator[Finding]:
    """What one check finds; that a package is missing, where it cannot go on."""
    try:
        yield from getattr(importlib.import_module(f"web.doctor.{module}"), name)(at)
    except ModuleNotFoundError as problem:
        yield fail("package_missing", name=problem.name, wanted="requirements.txt")


def system_language(environment: Mapping[str, str]) -> str:
    """Chinese where the system speaks it (POSIX, 8.2), else English."""
    given = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "zh" if next(filter(None, given), "").lower().startswith("zh") else "en"


def tell(check: str, finding: Finding, language: str) -> None:
    sentence, mend = said(finding, language)
    state = typer.style(f"{finding.state:<4}", fg=COLORS[finding.state])
    typer.echo(f"{state}  {TITLES[language][check]}: {sentence}")
    if finding.state != "ok":
        typer.echo(f"      {TITLES[language]['mend']}: {mend}")


def report(found: list[tuple[str, Finding]], language: str, seconds: float) -> dict[str, object]:
    """For programs: `ok` is whether the app can run."""
    worst: State = "ok"
    lines = []
    for check, finding in found:
        sentence, mend = said(finding, language)
        line = {"check": check, "state": finding.state, "code": finding.code, "said": sentence}
        lines.append(line | ({"mend": mend} if finding.state != "ok" else {}))
        if finding.state == "fail" or (finding.state == "warn" and worst == "ok"):
            worst = finding.state
    return {"ok": worst != "fail", "state": worst, "seconds": round(seconds, 1), "findings": lines}
