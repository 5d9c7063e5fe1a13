"""Traces over OTLP, if a setting names where to; without addresses, queries and what was written.

FastAPI makes the spans of HTTP requests, feedback/measures.py those of generations.
"""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

LAST_SPANS = 0.5  # seconds that the end of the app waits for them
HIDDEN = (
    "url.path",
    "url.query",
    "client.address",
    "user_agent.original",
    "http.request.method_original",
)


class NoTracing(RuntimeError):
    """A setting asks for traces, and the packages that send them are not installed."""


@dataclass(frozen=True)
class Tracing:
    """Whether traces are sent, and through what."""

    provider: "TracerProvider | None" = None

    def config(self) -> TelemetryConfig:
        """For FastAPI, which by itself would also listen to the environment and send exceptions
        with their messages."""
        return {
            "tracer_provider": self.provider,
            "tracing": self.provider is not None,
            "metrics": False,  # Prometheus has them
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        }

    def close(self) -> None:
        """Send what is left, if that is quick."""
        if self.provider is not None:  # whose own timeouts are half a minute
            last = threading.Thread(target=self.provider.shutdown, daemon=True)
            last.start()
            last.join(LAST_SPANS)


def open_tracing(endpoint: str, service: str) -> Tracing:
    """endpoint: of a collector, such as http://localhost:4318; empty: nothing is traced.

    Raises NoTracing without the packages of requirements-otel.txt.
    """
    if not endpoint:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as problem:
        raise NoTracing(
            "GENLOOP_TRACES_ENDPOINT is set, and the packages that send traces are not installed: "
            "pip install -r requirements-otel.txt"
        ) from problem

    class Discreet(SpanProcessor):
        """Hides what may name a person or an output before a span is sent."""

        def on_start(self, span: Any, parent_context: Any = None) -> None:
            for name in HIDDEN:
                if name in (span.attributes or {}):
                    span.set_attribute(name, "-")

    resource = Resource.create({"service.name": service})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(Discreet())
    address = f"{endpoint.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    trace.set_tracer_provider(provider)
    return Tracing(provider)
