"""`python app.py doctor`: green where all is well, red with a reason and a mend where it is not."""

import ast
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import fsspec
import pytest
import typer
from sqlalchemy import update
from typer.testing import CliRunner

from config import ROOT, Settings
from db.engine import Database
from db.media_elsewhere import open_media
from db.migrate import migrate
from db.tables import Generation
from feedback.identity import kept_secret
from tests.factories import make_generation
from tests.s3_server import forget_s3fs
from tests.serving import free_port
from tests.test_imports import places
from tests.web import make_app, serving
from web.doctor.findings import Surroundings
from web.doctor.machine import clock
from web.doctor.main import examine, main
from web.doctor.storage import of_newest_row
from web.doctor.surroundings import SWITCHES, switches
from web.doctor.words import CHINESE, ENGLISH, SAID, TITLES, said

# What may be so wherever the tests run.
OF_THE_MACHINE = {"disk_slow", "disk_little", "disk_memory", "clock_jumps", "sqlite_old"}
CALLS = ("ok", "warn", "fail", "(fail", "(ok")
POET = ROOT / "models" / "bundled" / "poet"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A data folder without anything wrong, and settings that name little to look at."""
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setattr("web.doctor.main.ROOT", tmp_path)  # where a .env could lie
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in {
        "DATA_DIR": tmp_path / "data",
        "PORT": free_port(),
        "IMAGE_MODELS": "",
        "VAE_MODELS": "",
    }.items():
        monkeypatch.setenv(f"GENLOOP_{name}", str(value))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def told(state):
    """Codes of the findings of a state, each of which can be said in both languages."""
    found = [finding for _, finding in examine()]
    for finding in found:
        for language in SAID:
            sentence, mend = said(finding, language)
            assert sentence and (mend or finding.state == "ok")
            assert "canary" not in sentence + mend
    return [finding.code for finding in found if finding.state == state]


def make_database(place):
    database = Database(f"sqlite:///{place / 'app.db'}")
    migrate(database)
    database.close()
    return place / "app.db"


def change(database, *statements):
    connection = sqlite3.connect(database)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


# What is planted: each returns the variables to set, and may change the folder.


def a_setting_out_of_range(place):
    return {"GENLOOP_PORT": "70000"}


def a_short_owner_token(place):
    return {"GENLOOP_OWNER_TOKEN": "canary"}


def a_file_for_a_folder(place):
    place.rmdir()
    place.write_text("")


def a_network_mount(place):
    mounts = place.parent / "mountinfo"
    mounts.write_text(f"36 35 98:0 / {place} rw,noatime master:1 - nfs4 server:/x rw\n")
    return {"MOUNTS": mounts}


def another_program_on_the_port(place):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return {"GENLOOP_PORT": taken.getsockname()[1], "KEEP": taken}


def a_foreign_address(place):
    return {"GENLOOP_HOST": "192.0.2.1"}


def a_secret_for_everybody(place):
    kept_secret(place / "secret")
    (place / "secret").chmod(0o644)


def an_empty_secret(place):
    (place / "owner-token").touch(0o600)


def a_folder_for_everybody(place):
    place.chmod(0o777)


def no_database(place):
    (place / "app.db").write_bytes(b"this is a letter, and no database " * 200)


def a_torn_page(place):
    database = make_database(place)
    with database.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(4096))


def a_later_schema(place):
    change(make_database(place), "UPDATE alembic_version SET version_num = '9999'")


def a_row_without_its_visitor(place):
    change(
        make_database(place),
        "INSERT INTO consents (visitor_id, terms_version, terms_sha256, language, keep, train, "
        f"created_at) VALUES (77, '1', '{'a' * 64}', 'en', 1, 1, '2026-01-01 00:00:00.000000')",
    )


def a_server_that_is_away(place):
    return {"DATABASE_URL": f"postgresql://me:canary@127.0.0.1:{free_port()}/x"}


def a_copy_on_a_disk_that_is_not_mounted(place):
    return {"GENLOOP_REPLICA": str(place / "elsewhere")}


def a_copy_in_no_known_place(place):
    return {"GENLOOP_REPLICA": "gopher://somewhere/else"}


def a_gpu_that_is_not_there(place):
    return {"GENLOOP_DEVICE": "cuda:7"}


def a_model_that_is_not_there(place):
    return {"GENLOOP_TEXT_MODELS": str(place / "nowhere")}


def a_model_without_a_commit(place):
    return {"GENLOOP_TEXT_MODELS": "org/unpinned"}


def pickled_weights(place):
    folder = place / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    (folder / "pytorch_model.bin").touch()
    return {"GENLOOP_TEXT_MODELS": str(folder)}


def torn_weights(place):
    shutil.copytree(POET, place / "torn")
    os.truncate(place / "torn" / "model.safetensors", 100_000)
    return {"GENLOOP_TEXT_MODELS": str(place / "torn")}


def an_engine_that_is_away(place):
    return {"GENLOOP_TEXT_MODELS": f"openai:http://127.0.0.1:{free_port()}/v1#poet"}


def an_engine_without_its_key(place):
    return {"GENLOOP_TEXT_MODELS": "openai:http://127.0.0.1:1/v1#poet?key=NO_SUCH_KEY"}


def a_provider_without_a_token(place):
    return {
        "GENLOOP_TEXT_MODELS": f"hf-inference:auto#org/poet,{POET}",
        "HF_TOKEN_PATH": place / "no-token",
    }


FAULTS = {
    a_setting_out_of_range: "setting_bad",
    a_short_owner_token: "setting_bad",
    a_file_for_a_folder: "disk_no_folder",
    a_network_mount: "disk_network",
    another_program_on_the_port: "port_taken",
    a_foreign_address: "port_refused",
    a_secret_for_everybody: "secrets_open",
    an_empty_secret: "secrets_broken",
    a_folder_for_everybody: "secrets_folder",
    no_database: "database_unusable",
    a_torn_page: "database_damaged",
    a_later_schema: "schema_newer",
    a_row_without_its_visitor: "database_orphans",
    a_server_that_is_away: "database_unusable",
    a_copy_on_a_disk_that_is_not_mounted: "copy_unusable",
    a_copy_in_no_known_place: "copy_unusable",
    a_gpu_that_is_not_there: "device_none",
    a_model_that_is_not_there: "model_unusable",
    a_model_without_a_commit: "model_unusable",
    pickled_weights: "model_unusable",
    torn_weights: "model_torn",
    an_engine_that_is_away: "engine_unreachable",
    an_engine_without_its_key: "engine_bad",
    a_provider_without_a_token: "engine_bad hub_no_token",
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found_and_nothing_else(place, monkeypatch, plant):
    given = plant(place) or {}
    if "MOUNTS" in given:
        monkeypatch.setattr("db.mounts.MOUNTS", given.pop("MOUNTS"))
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))

    assert set(told("fail")) == set(FAULTS[plant].split())


# Where all is well, or nearly


def outcome(*arguments):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_what_is_in_use_is_green(place):
    make_database(place)
    kept_secret(place / "secret")
    answer = outcome("--language", "en")

    assert answer.exit_code == 0, answer.output
    assert "ok    Database: every page is right" in answer.output
    assert "fail " not in answer.output


def test_a_fault_ends_with_1_and_is_told_to_people_and_programs(place, monkeypatch):
    monkeypatch.setenv("GENLOOP_TEXT_MODELS", "org/unpinned")
    people, programs = outcome("--language", "zh"), outcome("--language", "zh", "--json")

    assert (people.exit_code, programs.exit_code) == (1, 1)
    read = json.loads(programs.output)
    [fault] = [one for one in read["findings"] if one["state"] == "fail"]
    assert (read["ok"], read["state"]) == (False, "fail")
    assert (fault["check"], fault["code"]) == ("models", "model_unusable")
    assert f"模型: {fault['said']}" in people.output
    assert f"修复: {fault['mend']}" in people.output


def test_the_command_is_one_of_app_py_and_serves_nothing(tmp_path):
    def run(*words):
        return subprocess.run(
            [sys.executable, "app.py", *words],
            cwd=ROOT,
            env={**os.environ, "GENLOOP_DATA_DIR": str(tmp_path), "GENLOOP_PORT": "70000"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    [fault] = [
        one for one in json.loads(run("doctor", "--json").stdout)["findings"] if "mend" in one
    ]
    assert "GENLOOP_PORT" in fault["said"]
    assert run("docter").returncode == 2


def test_a_fresh_clone_is_green_and_stays_as_it_was(place, monkeypatch):
    place.rmdir()
    for name in ("IMAGE_MODELS", "VAE_MODELS"):
        monkeypatch.delenv(f"GENLOOP_{name}")
    found = [finding for _, finding in examine()]

    wrong = {one.code: one.details for one in found if one.state != "ok"}
    assert wrong.keys() <= OF_THE_MACHINE, wrong
    models = [one.details["model"] for one in found if one.code == "model_ok"]
    assert models == ["poet", "painter", "vae", "gan"]
    assert not place.exists()


@pytest.mark.parametrize("name", SWITCHES)
def test_each_switch_that_opens_something_is_warned_of(monkeypatch, name):
    at = Surroundings(Settings(_env_file=None), {name: "1" if "WORKERS" not in name else "2"})
    off = Surroundings(Settings(_env_file=None), {name: "False"})

    assert [(one.state, one.code) for one in switches(at)] == [("warn", f"switch_{SWITCHES[name]}")]
    assert [one.code for one in switches(off)] == ["switches_ok"]


def test_a_setting_that_is_none_is_noticed_and_a_key_is_not(place, monkeypatch):
    monkeypatch.setenv("GENLOOP_TEXT_MODEL", "canary")
    monkeypatch.setenv("GENLOOP_MY_KEY", "canary")
    monkeypatch.setenv("OTHER", "openai:http://127.0.0.1:1/v1#poet?key=GENLOOP_MY_KEY")
    (place.parent / ".env").write_text("GENLOOP_PROT=7\n")
    found = [one.details for _, one in examine() if one.code == "setting_unknown"]

    assert found == [
        {"name": "GENLOOP_PROT", "near": "GENLOOP_PORT"},
        {"name": "GENLOOP_TEXT_MODEL", "near": "GENLOOP_TEXT_MODELS"},
    ]


def test_what_should_be_looked_at_is_a_warning(place, monkeypatch):
    database = make_database(place)
    change(
        database,
        "UPDATE alembic_version SET version_num = '0001'",
        "INSERT INTO model_versions (task, name, source, weights_sha256, state, created_at, "
        f"verified) VALUES ('text', 'poet', '{POET}', '{'b' * 64}', 'candidate', "
        "'2026-01-01 00:00:00.000000', 1)",
    )
    copy = place.parent / "copy"
    copy.mkdir()
    monkeypatch.setenv("GENLOOP_REPLICA", str(copy))
    monkeypatch.setenv("GENLOOP_TRACES_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("HTTP_PROXY", "http://me:canary@proxy.example:8080")
    engine = f"openai:http://127.0.0.1:{free_port()}/v1#poet"
    monkeypatch.setenv("GENLOOP_TEXT_MODELS", f"{POET},{engine}?name=far")

    assert set(told("warn")) - OF_THE_MACHINE == {
        "schema_older",
        "model_changed",
        "copy_same_disk",
        "secrets_lost",
        "traces_away",
        "proxies_near",
    }


# Pictures in object storage


def told_of_pictures(state):
    return [one for one in told(state) if one.startswith("pictures_")]


def test_storage_that_takes_pictures_is_green_and_left_empty(place, monkeypatch, bucket):
    monkeypatch.setenv("GENLOOP_MEDIA_DIR", bucket)

    assert told_of_pictures("ok") == ["pictures_ok"]
    assert told_of_pictures("warn") == told_of_pictures("fail") == []
    assert open_media(bucket).target.names("") == []


def test_a_bucket_that_is_not_there_or_away_is_red(place, monkeypatch, s3, bucket):
    monkeypatch.setenv("GENLOOP_MEDIA_DIR", "s3://no-such-bucket/app")
    assert told("fail") == ["pictures_away"]

    monkeypatch.setenv("GENLOOP_MEDIA_DIR", bucket)
    s3.away = True
    assert told("fail") == ["pictures_away"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
def test_a_key_that_may_not_do_everything_is_red(place, monkeypatch, s3, bucket, method):
    monkeypatch.setenv("GENLOOP_MEDIA_DIR", bucket)
    s3.forbidden = {method}

    assert told("fail") == ["pictures_refused"]


def test_a_bucket_that_forgets_nothing_is_warned_of(place, monkeypatch, bucket):
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.make_bucket_versioned(bucket.split("/")[2], True)
    monkeypatch.setenv("GENLOOP_MEDIA_DIR", bucket)

    assert told_of_pictures("warn") == ["pictures_versions"]
    assert told("fail") == []


def test_pictures_where_none_can_be_kept_are_red(place, monkeypatch, bucket):
    file = place.parent / "file"
    file.touch()
    copy = f"{bucket}/copy"
    for name, replica, code in (
        (str(file), "", "pictures_unwritable"),
        (f"{copy}/media", copy, "pictures_unusable"),
        ("hf://buckets/ann/pictures", "", "pictures_unusable"),
    ):
        monkeypatch.setenv("GENLOOP_MEDIA_DIR", name)
        monkeypatch.setenv("GENLOOP_REPLICA", replica)
        assert told_of_pictures("fail") == [code]

    monkeypatch.setenv("GENLOOP_MEDIA_DIR", bucket)
    forget_s3fs(monkeypatch)
    assert told("fail") == ["pictures_unusable"]


def test_a_clock_that_was_set_back_is_noticed(session):
    make_generation(session)
    session.execute(update(Generation).values(finished_at=datetime.now(UTC) + timedelta(hours=1)))

    [finding] = of_newest_row(session.connection())
    assert (finding.state, finding.code) == ("warn", "clock_back")
    assert 3500 < finding.details["seconds"] <= 3600


def test_a_clock_that_does_not_go_steadily_is_noticed(monkeypatch):
    def after(step):
        apart = iter([1000.0, 1000.0 + step])
        monkeypatch.setattr("web.doctor.machine.seconds_apart", lambda: next(apart))
        return [(one.state, one.code) for one in clock(None)]

    assert after(-3) == [("warn", "clock_jumps")]
    assert after(0.001) == [("ok", "clock_ok")]


def test_a_running_genloop_is_no_stranger_on_its_port(place, monkeypatch):
    with serving(make_app(place)) as address:
        monkeypatch.setenv("GENLOOP_PORT", address.rpartition(":")[2])

        assert [one.code for name, one in examine() if name == "port"] == ["port_ours"]


@pytest.mark.postgres
def test_postgresql_is_asked_what_it_promises(place, monkeypatch, migrated_postgres):
    monkeypatch.setenv("DATABASE_URL", migrated_postgres[0])

    # The server of the tests runs with fsync off, which no other may.
    assert told("fail") == ["database_forgets"]
    assert {"database_postgresql", "schema_ok", "clock_agrees"} <= set(told("ok"))


# Words


def codes_in_the_code():
    """What stands as the first argument of ok(), warn() and fail()."""
    for path in (ROOT / "web" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(" ")[0] in CALLS:
                for one in ast.walk(node.args[0]) if node.args else ():
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        yield one.value


def test_every_code_has_a_sentence_and_every_sentence_a_code():
    found = set(codes_in_the_code())
    found -= {"switch_", "secret"}  # the beginning of a code, and the name of a file
    made = {f"switch_{what}" for what in SWITCHES.values()}
    asked = {"engine_unreachable", "engine_key", "engine_failed", "engine_answer"}

    assert len(found) > 60
    assert found | made | asked == ENGLISH.keys()


def test_both_languages_say_the_same():
    assert ENGLISH.keys() == CHINESE.keys()
    assert TITLES["en"].keys() == TITLES["zh"].keys()
    for code, both in ENGLISH.items():
        for english, chinese in zip(both, CHINESE[code], strict=True):
            assert places(english) == places(chinese), code
            assert bool(english) == bool(chinese), code
