"""Deploying to a Space, against a server that speaks the Hub's API."""

import os
import re
import subprocess
import sys

import pytest
import yaml
from huggingface_hub import HfApi, constants

from config import ROOT
from deploy.space import CannotDeploy, Wish, deploy, named, pairs, public, shaped
from deploy.space_files import Shape, needed, pinned, requirements, space_files
from tests.hub_spaces import Space, SpaceHub
from tests.hub_stand_in import Answer, Fault, Repository, hub_stand_in

HUB_TOKEN = {"GENLOOP_HUB_TOKEN": "hf_for_the_bucket"}


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with hub_stand_in("hf_mine", SpaceHub) as hub:
        yield hub


def carry_out(hub, run=True, **wish):
    deploy(HfApi(endpoint=hub.url, token=hub.token), Wish("ann/loop", **wish), run)


def files_of(hub):
    return dict(hub.repositories["spaces/ann/loop"].at("main").files)


def command(hub, *words, **surroundings):
    surroundings = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.token,
        "HF_HUB_OFFLINE": "0",
        **HUB_TOKEN,
        **surroundings,
    }
    return subprocess.run(
        [sys.executable, "-m", "deploy.space", *words],
        cwd=ROOT,
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
    )


def test_the_dry_run_changes_nothing_and_the_run_does_what_it_said(hub):
    words = ["ann/loop", "--private", "--bucket", "ann/data", "--variable", "GENLOOP_DTYPE=auto"]
    planned = command(hub, *words, "--dry-run")
    assert (planned.returncode, hub.changes) == (0, [])
    done = command(hub, *words, "--run")

    steps = [line for line in planned.stdout.splitlines() if re.match(r"\d+\. ", line)]
    assert [line for line in done.stdout.splitlines() if re.match(r"\d+\. ", line)] == steps
    commit = steps[-1].split()[-1]
    assert hub.changes == [
        "create the private bucket ann/data",
        "create the private space ann/loop",
        "secret GENLOOP_HUB_TOKEN",
        "secret GENLOOP_OWNER_TOKEN",
        "secret GENLOOP_REPLICA",
        "secret GENLOOP_SECRET",
        "variable GENLOOP_DTYPE",
        f"commit GenLoop {commit}",
    ]
    assert len(steps) == len(hub.changes)
    space = hub.spaces["ann/loop"]
    assert (space.sdk, space.hardware) == ("gradio", "zero-a10g")
    sent = files_of(hub)
    del sent[".gitattributes"]
    assert sent == space_files(Shape())
    assert space.secrets["GENLOOP_REPLICA"] == "hf://buckets/ann/data"
    assert space.variables == {"GENLOOP_DTYPE": "auto"}
    for name in ("GENLOOP_SECRET", "GENLOOP_OWNER_TOKEN"):
        assert len(space.secrets[name]) >= 32
        assert f"{name}={space.secrets[name]}" in done.stdout
        assert space.secrets[name] not in planned.stdout
    assert "hf_for_the_bucket" not in done.stdout + done.stderr


def test_the_same_command_again_sends_the_files_and_leaves_the_keys_alone(hub):
    carry_out(hub)
    keys = dict(hub.spaces["ann/loop"].secrets)
    hub.repositories["spaces/ann/loop"].add("by hand", {**files_of(hub), "old.py": b""})
    hub.changes.clear()
    carry_out(hub)

    assert [change.split()[0] for change in hub.changes] == ["commit"]
    assert hub.spaces["ann/loop"].secrets == keys
    assert "old.py" not in files_of(hub)


def test_what_is_otherwise_is_changed(hub):
    hub.repositories["spaces/ann/loop"] = Repository(private=False)
    hub.repositories["spaces/ann/loop"].add("first", {})
    hub.spaces["ann/loop"] = Space("gradio", "cpu-basic", variables={"A": "1", "B": "2"})
    carry_out(
        hub,
        variables={"A": "1", "B": "3"},
        owners=("ann", "bob"),
        dataset="ann/data",
        secrets=HUB_TOKEN,
    )

    assert hub.changes[:3] == [
        "create the private dataset ann/data",
        "make ann/loop private",
        "move ann/loop from cpu-basic to zero-a10g",
    ]
    assert [one for one in hub.changes if one.startswith("variable")] == ["variable B"]
    assert hub.spaces["ann/loop"].secrets["GENLOOP_OWNERS"] == "ann,bob"
    assert hub.spaces["ann/loop"].secrets["GENLOOP_REPLICA"] == "hf://datasets/ann/data"


def test_a_public_place_for_the_copy_is_refused(hub):
    hub.buckets["ann/data"] = False

    with pytest.raises(CannotDeploy, match="public"):
        carry_out(hub, bucket="ann/data", secrets=HUB_TOKEN)
    assert hub.changes == []


def test_a_copy_without_a_token_of_its_own_is_refused(hub):
    with pytest.raises(CannotDeploy, match="fine-grained"):
        carry_out(hub, bucket="ann/data")
    assert hub.changes == []


def test_what_the_hub_refuses_ends_the_run_with_its_words(hub):
    refusal = Answer(402, {"error": "Subscribe to PRO to do this."})
    hub.faults.append(Fault("POST", "/api/repos/create", refusal))
    refused = command(hub, "ann/loop", "--run")

    assert refused.returncode == 1
    assert "Subscribe to PRO" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert hub.changes == []


def test_a_hub_that_is_away_is_told_in_a_sentence(hub):
    away = command(hub, "ann/loop", HF_ENDPOINT="http://127.0.0.1:9")

    assert away.returncode == 1
    assert away.stderr.startswith("The Hub cannot be reached")


def test_without_a_login_there_is_a_plan_and_no_run(hub, monkeypatch, capsys):
    monkeypatch.setattr("deploy.space.get_token", lambda: None)
    deploy(HfApi(endpoint=hub.url), Wish("ann/loop"), run=False)

    assert "1. create the private gradio Space" in capsys.readouterr().out
    with pytest.raises(CannotDeploy, match="log in"):
        deploy(HfApi(endpoint=hub.url), Wish("ann/loop"), run=True)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: named("loop"),
        lambda: named("a/b/c"),
        lambda: shaped("static", "cpu-basic", ""),
        lambda: shaped("docker", "zero-a10g", ""),
        lambda: shaped("gradio", "zero-a10g", "address"),
        lambda: pairs(["NOWHERE"], {}),
        lambda: public({"GENLOOP_SECRET": "x"}),
        lambda: public({"DATABASE_URL": "x"}),
    ],
)
def test_a_wish_that_cannot_be_is_explained(wrong):
    with pytest.raises(CannotDeploy):
        wrong()


def test_zero_gpu_gets_a_torch_that_it_knows_and_all_else_as_it_is():
    before = (ROOT / "requirements.txt").read_text().splitlines()
    after = requirements("\n".join(before), Shape()).splitlines()

    assert set(before) - set(after) == {next(one for one in before if one.startswith("torch=="))}
    assert set(after) - set(before) == {"torch==2.11.0", "spaces==0.51.3"}
    with_index = requirements("torch==9\n", Shape(hardware="cpu-basic", torch_index="ADDRESS"))
    assert with_index == "--extra-index-url ADDRESS\ntorch==9\n"


def test_the_front_matter_is_that_of_the_space():
    front = [front_of(Shape()), front_of(Shape("docker", "cpu-basic"))]

    assert front[0]["python_version"] == "3.12"
    assert front[0]["sdk_version"] == pinned("gradio", (ROOT / "requirements.txt").read_text())
    assert [one["sdk"] for one in front] == ["gradio", "docker"]
    assert (front[1]["app_port"], "app_file" in front[1]) == (7860, False)
    assert all(one["hf_oauth"] is True for one in front)


def front_of(shape):
    return yaml.safe_load(space_files(shape)["README.md"].decode().split("---\n")[1])


def test_only_what_the_app_needs_is_sent():
    names = set(needed(ROOT))

    assert {"app.py", "config.py", "requirements.txt", "README.md", "LICENSE"} <= names
    assert any(name.startswith("models/bundled/") for name in names)
    assert not any(name.startswith(("tests/", "docs/", "data/", ".env")) for name in names)
