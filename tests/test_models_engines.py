import re

import pytest

from config import ROOT
from models.engines import SAMPLING, BadEngine, is_engine, parse_engine, version_of


def parsed(text, task="text"):
    return parse_engine(text, task)


def test_an_entry_names_an_engine_or_weights():
    assert is_engine("openai:http://127.0.0.1:8000/v1#qwen")
    assert is_engine("hf-inference:together#org/name")
    assert not is_engine("models/bundled/poet")
    assert not is_engine("org/name@" + "0" * 40)


def test_an_address_and_a_model_are_enough():
    engine = parsed("openai:http://127.0.0.1:8000/v1/#org/Qwen3-8B")

    assert engine.endpoints == ("http://127.0.0.1:8000/v1",)
    assert (engine.model, engine.name, engine.api) == ("org/Qwen3-8B", "Qwen3-8B", "chat")
    assert engine.key_variable is None
    assert engine.takes >= {"seed", "logprobs", "stream_options"}


def test_every_option_is_read():
    engine = parsed(
        "openai:https://a.example/v1|http://b:81/v1#m:8b?key=VLLM_KEY&name=big&api=completions"
        "&revision=2026-10&at_once=64&without=seed+logprobs&with=continue"
    )

    assert engine.endpoints == ("https://a.example/v1", "http://b:81/v1")
    assert (engine.model, engine.name, engine.api) == ("m:8b", "big", "completions")
    assert (engine.key_variable, engine.revision, engine.at_once) == ("VLLM_KEY", "2026-10", 64)
    assert engine.takes == {"stream_options", "continue", *SAMPLING}


def test_an_image_engine_takes_only_what_is_said():
    plain = parsed("openai:http://a/v1#m", "image")
    rich = parsed("openai:http://a/v1#m?size=512x768&steps=28&with=seed+negative_prompt", "image")

    assert plain.takes == frozenset() and (plain.width, plain.height) == (1024, 1024)
    assert rich.takes == {"steps", "seed", "negative_prompt"}
    assert (rich.width, rich.height, rich.defaults) == (512, 768, {"steps": 28})


@pytest.mark.parametrize("host", ["qwen.internal", "10.0.0.5", "[::1]"])
def test_a_host_may_be_a_name_or_a_number(host):
    assert parsed(f"openai:http://{host}:8000/v1#m").endpoints == (f"http://{host}:8000/v1",)


def test_a_provider_needs_no_address_and_has_a_usual_key():
    engine = parsed("hf-inference:together#org/name")

    assert (engine.endpoints, engine.key_variable) == (("together",), "HF_TOKEN")
    assert parsed("hf-inference:auto#org/name?key=MY_KEY").key_variable == "MY_KEY"


@pytest.mark.parametrize(
    "text",
    [
        "openai:",
        "openai:http://a/v1",
        "openai:http://a/v1#",
        "openai:#m",
        "openai:a/v1#m",
        "openai:ftp://a/v1#m",
        "openai:http:///v1#m",
        "openai:http://a:b/v1#m",
        "openai:http://[::1/v1#m",
        "openai:http://a/v1|#m",
        "openai:http://a b/v1#m",
        "openai:http://a/v 1#m",
        "openai:http://模型/v1#m",
        "openai:http://a/v1?x=1#m",
        "openai:http://a/v1#m?colour=red",
        "openai:http://a/v1#m?key=",
        "openai:http://a/v1#m?key=a&key=b",
        "openai:http://a/v1#m?key",
        "openai:http://a/v1#m?api=talk",
        "openai:http://a/v1#m?at_once=0",
        "openai:http://a/v1#m?at_once=many",
        "openai:http://a/v1#m?with=magic",
        "openai:http://a/v1#m?size=512x512",
        "openai:http://a/v1#m?revision=" + "x" * 65,
        "openai:http://a/v1#m?name=" + "x" * 201,
        "hf-inference:#m",
        "hf-inference:To gether#m",
        "hf-inference:together#m?api=completions",
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(text):
    with pytest.raises(BadEngine):
        parsed(text)


@pytest.mark.parametrize(
    "text",
    [
        "openai:http://a/v1#m?size=512",
        "openai:http://a/v1#m?size=500x500",
        "openai:http://a/v1#m?size=8192x8192",
        "openai:http://a/v1#m?steps=0",
        "openai:http://a/v1#m?steps=1.5",
        "openai:http://a/v1#m?guidance=31",
        "openai:http://a/v1#m?guidance=nan",
        "openai:http://a/v1#m?api=chat",
        "openai:http://a/v1#m?with=logprobs",
        "hf-inference:fal-ai#m",
        "hf-inference:auto#m",
    ],
)
def test_an_image_entry_that_makes_no_sense_is_refused(text):
    with pytest.raises(BadEngine):
        parsed(text, "image")


@pytest.mark.parametrize(
    "text",
    [
        "openai:http://user:canary@a/v1#m",
        "openai:http://canary@a/v1#m",
        "openai:http://a/v1?key=canary#m",
        "openai:http://user:x#canary@a/v1#m",
        "openai:http://a/v1#m?key=sk-canary",
        "openai:http://a/v1#m?key=canary!",
        "openai:http://a:canary/v1#m",
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(text):
    with pytest.raises(BadEngine) as problem:
        parsed(text)

    assert "canary" not in str(problem.value)


# Versions


def sha(text, task="text"):
    return version_of(parsed(text, task)).sha256


def test_the_version_is_that_of_the_names_and_says_so():
    version = version_of(parsed("openai:http://a/v1|http://b/v1#org/m?name=big&key=SECRET"))

    assert version.verified is False
    assert version.source.name == "big"
    assert version.source.source == "openai:http://a/v1|http://b/v1#org/m"
    assert len(version.sha256) == 64


def test_another_address_model_or_kind_is_another_version():
    entries = [
        "openai:http://a/v1#m",
        "openai:http://b/v1#m",
        "openai:http://a/v1|http://b/v1#m",
        "openai:http://a/v1#n",
        "openai:http://a/v1#m?revision=1",
        "openai:http://a/v1#m?revision=2",
        "hf-inference:together#m",
        "hf-inference:together#m?revision=1",
    ]

    assert len({sha(entry) for entry in entries}) == len(entries)
    assert sha("openai:http://a/v1#m", "image") != sha("openai:http://a/v1#m")


def test_the_order_of_addresses_and_other_options_make_no_other_version():
    one = sha("openai:http://a/v1|http://b/v1#m")

    assert one == sha("openai:http://b/v1|http://a/v1/#m?name=x&key=K&at_once=3&without=seed")


def test_a_stated_revision_keeps_the_version_when_the_engine_moves():
    assert sha("openai:http://a/v1#m?revision=1") == sha("openai:http://b|http://c#m?revision=1")


def test_every_entry_of_the_docs_can_be_read():
    page = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    _, *texts = re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    entries = [entry for text in texts for entry in text.splitlines()]
    pictures = texts[-1].splitlines()

    assert len(entries) > 12
    for entry in entries:
        assert parsed(entry, "image" if entry in pictures else "text").name
