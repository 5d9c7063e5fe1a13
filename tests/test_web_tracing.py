"""Traces tell how long things took, and nothing of who asked and what was written."""

import sys
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from feedback.measures import Measure
from generators.base import Snapshot
from generators.batching import ModelQueue, Ticket
from tests.web import arrive, client_of, make_app
from web.tracing import NoTracing, open_tracing
from web.watch import HEADER

CANARY = "canary"


@contextmanager
def collector():
    """A server that takes traces over OTLP; its address, and the bodies that came."""
    bodies = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Take) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()
        thread.join()


def spans_of(bodies):
    for _path, body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans


def attributes(span):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def generate():
    queue = ModelQueue("poet", lambda: None, 1, task="text")
    with Measure(queue) as measure:
        measure.ticket = Ticket({"prompt": CANARY}, None)
        measure.ticket.started_at = measure.ticket.queued_at
        measure.snapshot = Snapshot("done", texts=[CANARY], tokens=[3], input_tokens=2)
    queue.close()


def test_traces_name_routes_models_and_requests_and_nobody(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError(CANARY)

    with (
        collector() as (address, bodies),
        client_of(make_app(tmp_path, traces_endpoint=address)) as client,
    ):
        ann = arrive(client)
        [poem] = ann.make()
        client.get(f"/api/media/{CANARY}?{CANARY}=1", headers={"User-Agent": CANARY})
        client.request("CANARY", "/api/me")
        monkeypatch.setattr("web.api.keep_event", fail)
        broken = ann.say(poem, "comment", CANARY, key=str(uuid.uuid4()))
        generate()
        client.app.state.services.tracing.provider.force_flush()

        assert {path for path, _body in bodies} == {"/v1/traces"}
        sent = b"".join(body for _path, body in bodies)
        for secret in (CANARY, "CANARY", ann.token, poem):
            assert secret.encode() not in sent
        spans = list(spans_of(bodies))

    told = [attributes(span) for span in spans]
    routes = {one["http.route"]: one for one in told if "http.route" in one}
    assert {"/api/media/{handle}", "/api/feedback"} <= routes.keys(), routes
    assert routes["/api/feedback"]["http.response.status_code"] == broken.status_code == 500
    [generation] = [attributes(span) for span in spans if span.name == "generation"]
    assert generation["genloop.model"] == "poet"
    assert generation["genloop.outcome"] == "complete"
    assert generation["genloop.wrote"] == 3
    assert len(broken.headers[HEADER]) == 16


def test_without_an_endpoint_nothing_is_traced(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    tracing = open_tracing("", "genloop")

    assert tracing.provider is None
    assert tracing.config()["tracing"] is False
    assert tracing.config()["auto_configure"] is False
    tracing.close()


def test_without_the_packages_the_setting_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(NoTracing, match=r"requirements-otel\.txt"):
        open_tracing("http://127.0.0.1:1", "genloop")
