"""How the app starts, and when it had better not."""

import pytest

import app


def test_an_engine_that_is_named_wrongly_stops_the_start_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GENLOOP_TEXT_MODELS", "openai:http://me:canary@127.0.0.1/v1#m")

    with pytest.raises(SystemExit) as end:
        app.main()

    assert str(end.value).startswith("GENLOOP_TEXT_MODELS: m: an address holds no password")
    assert "canary" not in str(end.value)
