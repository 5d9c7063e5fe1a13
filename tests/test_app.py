"""How the app starts, and when it had better not."""

import pytest
from pydantic import ValidationError

import app


def test_an_engine_that_is_named_wrongly_stops_the_start_with_a_sentence(
    tmp_path, monkeypatch, logging_restored
):
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GENLOOP_TEXT_MODELS", "openai:http://me:canary@127.0.0.1/v1#m")

    with pytest.raises(SystemExit) as end:
        app.main()

    assert str(end.value).startswith("GENLOOP_TEXT_MODELS: m: an address holds no password")
    assert "canary" not in str(end.value)


def test_a_setting_that_makes_no_sense_is_named_without_its_value(monkeypatch):
    monkeypatch.setenv("GENLOOP_OWNER_TOKEN", "canary")

    with pytest.raises(ValidationError) as problem:
        app.main()

    assert "owner_token" in str(problem.value)
    assert "canary" not in str(problem.value)
