"""The Dockerfile and compose.yaml, as far as they can be checked without an engine of Docker's."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from config import Settings
from tests.container import CAN_CONTAIN, USER, contained, instruction, shut_in, variables
from tests.serving import ROOT
from tests.test_ui_text import visitor, write

BIN = Path(sys.executable).parent
COMPOSE = ROOT / "compose.yaml"


def test_hadolint_has_nothing_to_say_about_the_dockerfile():
    linter = shutil.which("hadolint", path=str(BIN))
    if linter is None:
        pytest.skip("hadolint's package has no program for this machine")
    said = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)

    assert (said.returncode, said.stdout) == (0, "")


def test_compose_yaml_is_what_the_compose_specification_allows():
    said = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
    )

    assert said.returncode == 0, said.stdout


def test_compose_yaml_speaks_of_settings_and_build_arguments_that_there_are():
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    names = {
        str(field.validation_alias or f"GENLOOP_{name}".upper())
        for name, field in Settings.model_fields.items()
    }
    arguments = re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    app = services["app"]
    assert set(app["environment"]) <= names
    assert set(app["build"]["args"]) <= set(arguments)
    assert app["read_only"] and app["cap_drop"] == ["ALL"] and app["tmpfs"] == ["/tmp"]
    assert app["volumes"] == [f"data:{variables()['GENLOOP_DATA_DIR']}"]
    [port] = app["ports"]
    assert port.startswith("127.0.0.1:") and port.endswith(f":{variables()['GENLOOP_PORT']}")
    assert {name for name, one in services.items() if "profiles" not in one} == {"app", "db"}


def test_every_image_has_a_version():
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    images = [one["image"] for one in services.values() if "build" not in one]

    assert all(re.search(r":[\w.-]*\d", image) for image in images), images


@pytest.mark.slow
@pytest.mark.skipif(not CAN_CONTAIN, reason="needs root, bubblewrap and setpriv")
def test_the_app_serves_as_user_1000_in_a_root_that_cannot_be_written_to(tmp_path):
    with contained(tmp_path) as app:
        client, _ = visitor(app)
        state = write(client, "五绝《静夜思》", max_new_tokens=8)
        assert state["phase"] == "done"
        assert state["request"]["drafts"][0]["generation"]

        health = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
        port = httpx.URL(app.url).port
        asked = shut_in(tmp_path / "app", app.data_dir, port, health)
        assert subprocess.run(asked).returncode == 0
        wrong = shut_in(tmp_path / "app", app.data_dir, 1, health)
        assert subprocess.run(wrong, capture_output=True).returncode != 0

    owners = {path.stat().st_uid for path in app.data_dir.iterdir()}
    assert owners == {USER}
    assert (app.data_dir / "app.db").is_file()
    said = (tmp_path / "server.log").read_text()
    assert "Read-only" not in said and "Permission denied" not in said
