"""What a Space cannot do, and a duplicate of a Space that has none of the secrets."""

import pytest

from config import Settings
from tests.web import client_of
from web.app import create_app
from web.space import UnfitForSpace, check_space


def settings(**given):
    return Settings(_env_file=None, **given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"DATABASE_URL": "sqlite:///x.db"},
        {"DATABASE_URL": "postgresql://u:p@db.example:443/g"},
        {"DATABASE_URL": "postgresql://u:p@localhost/g"},
        {"text_models": "openai:https://engine.example/v1#m"},
        {"text_models": "openai:http://127.0.0.1:8000/v1#m"},
        {"image_memory": "vae_tiling"},
    ],
)
def test_what_a_space_reaches_is_let_pass(given):
    check_space(settings(**given), zero_gpu=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"DATABASE_URL": "postgresql://u:secret@db.example/g"}, "port 5432 of db.example"),
        ({"DATABASE_URL": "postgresql://u:secret@db.example:6543/g"}, "port 6543"),
        ({"text_models": "openai:http://engine.example:8000/v1#m"}, "GENLOOP_TEXT_MODELS"),
        ({"image_memory": "model_cpu_offload"}, "ZeroGPU"),
    ],
)
def test_what_it_does_not_reach_is_explained_without_secrets(given, said):
    with pytest.raises(UnfitForSpace, match=said) as refused:
        check_space(settings(**given), zero_gpu=True)
    assert "secret" not in str(refused.value)


def test_a_duplicate_without_secrets_starts_with_an_owner_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPACE_ID", "bob/loop")
    tokens = []
    for name in ("first", "duplicate"):
        with client_of(create_app(settings(data_dir=tmp_path / name))) as client:
            [line] = [one for one in capsys.readouterr().out.splitlines() if "/owner" in one]
            tokens.append(line.split()[-1])
            for token, status in ((tokens[0], 303 if name == "first" else 401), (tokens[-1], 303)):
                sent = client.post("/owner/login", data={"token": token}, follow_redirects=False)
                assert sent.status_code == status
    assert tokens[0] != tokens[1]
