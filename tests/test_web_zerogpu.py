"""A ZeroGPU Space, whole: the app, gradio_client, the package `spaces` and its forked processes."""

import os

import httpx
import pytest

from tests.serving import served
from tests.test_ui_text import function_index, visitor, write
from tests.tiny_models import save_text_model
from tests.zero_gpu import lending

pytest.importorskip("spaces")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zero():
    with lending() as zero:
        yield zero


@pytest.fixture(scope="module")
def app(zero, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zero")
    (folder / "cgroup").write_text("0::/space\n")
    surroundings = {
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": zero.url,
        "ZEROGPU_PROC_SELF_CGROUP_PATH": str(folder / "cgroup"),
    }
    model = save_text_model(folder / "tiny", context=4096)
    with served(
        folder / "data",
        "-m",
        "tests.zero_gpu",
        surroundings=surroundings,
        text_models=str(model),
        image_models="",
        vae_models="",
        device="cpu",
        torch_threads="1",
        rate_limits="false",
    ) as app:
        yield app


@pytest.fixture(autouse=True)
def lent_again(zero):
    yield
    zero.refusal = None


def test_the_space_reports_that_it_has_functions_for_a_gpu(app, zero):
    assert zero.asked[0] == ("/startup-report", {})


def test_a_request_runs_in_a_process_that_has_the_gpu_and_is_kept(app, zero):
    client, headers = visitor(app)
    state = write(client, drafts=2, seed=7, lock_seed=True)
    again = write(client, drafts=2, seed=7, lock_seed=True)

    outputs = [draft["output"] for draft in state["request"]["drafts"]]
    assert state["phase"] == "done"
    assert outputs == [draft["output"] for draft in again["request"]["drafts"]]
    assert len(httpx.get(app.url + "/api/generations", headers=headers).json()) == 2
    allowed = {query["pid"] for query in zero.asked_for("/allow")}
    assert len(allowed) == 1  # the second request found the process of the first
    assert allowed.isdisjoint({str(os.getpid()), str(app.pid)})
    assert [query["fail"] for query in zero.asked_for("/release")] == ["false"] * 2


def test_the_time_is_charged_to_the_visitor_and_asked_for_as_needed(app, zero):
    client, _ = visitor(app)
    token = "a.eyJ1c2VyIjogImFubiJ9.c"
    client.headers["X-IP-Token"] = token
    write(client)

    asked = zero.asked_for("/schedule")[-1]
    assert asked["token"] == token
    assert asked["durationSeconds"] in ("10", "60")  # 60 only for the first of all requests


def test_who_leaves_lets_the_gpu_go(app, zero):
    client, headers = visitor(app)
    released = len(zero.asked_for("/release"))
    body = {
        "data": ["snow", "tiny", 0.9, 0.9, 0, 1, 1024, 4, 0, False, None],
        "fn_index": function_index(app),
        "session_hash": "leaving",
    }
    httpx.post(app.url + "/gradio_api/queue/join", headers=headers, json=body).raise_for_status()
    address = app.url + "/gradio_api/queue/data?session_hash=leaving"
    with httpx.stream("GET", address, headers=headers, timeout=30) as stream:
        for line in stream.iter_lines():
            if "process_generating" in line and '"running"' in line:
                break  # and the connection closes

    assert write(client)["phase"] == "done"
    assert len(zero.asked_for("/release")) == released + 2


@pytest.mark.parametrize(
    ("refusal", "code", "sentence"),
    [
        (
            (429, {"X-Approve-Result": "quota-exceeded"}, {"left": 3, "wait": "PT1H"}),
            "gpu_quota",
            "GPU limit",
        ),
        ((503, {}, None), "gpu_busy", "No GPU was free"),
    ],
)
def test_a_visitor_hears_why_there_is_no_gpu(app, zero, refusal, code, sentence):
    client, _ = visitor(app)
    zero.refusal = refusal
    state = write(client)

    assert (state["phase"], state["code"]) == ("error", code)
    assert sentence in state["message"]


def test_a_request_that_cannot_be_served_is_answered_as_everywhere(app):
    client, _ = visitor(app)

    assert write(client, prompt="")["code"] == "empty"
    assert write(client, prompt="x" * 5000)["code"] == "prompt_too_long_for_model"
