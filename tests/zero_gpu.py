"""GenLoop as on a ZeroGPU Space, with the package `spaces` as it is, but a CPU for the GPU.

`python -m tests.zero_gpu` is the app; `lending()` is what lends the GPU: as much of ZeroGPU's HTTP
API as `spaces` uses.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Zero:
    """What was asked, and what the next request for a GPU gets instead of one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.refusal: tuple[int, dict[str, str], object] | None = None
        self.url = ""

    def asked_for(self, path: str) -> list[dict[str, str]]:
        return [query for asked, query in self.asked if asked == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    zero: Zero

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = {name: value for name, [value] in parse_qs(parts.query).items()}
        earlier = len(self.zero.asked_for("/schedule"))
        self.zero.asked.append((parts.path, query))
        if parts.path != "/schedule":
            return self.answer(200, {}, None)
        if self.zero.refusal is not None:
            return self.answer(*self.zero.refusal)
        lent = {
            "idle": earlier > 0,
            "nvidiaIndex": 0,
            "nvidiaUUID": "GPU-0",
            "allowToken": "ticket",
        }
        self.answer(200, {}, lent)

    def answer(self, status: int, headers: dict[str, str], body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        whole = {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
        for name, value in whole.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def lending() -> Iterator[Zero]:
    zero = Zero()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"zero": zero}))
    server.daemon_threads = True
    zero.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield zero
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    # Where `spaces` finds no torch, it lends processes, but moves nothing to a GPU.
    sys.modules["torch"] = None  # type: ignore[assignment]
    import spaces

    del sys.modules["torch"]

    import gradio as gr
    import uvicorn

    from app import make_app
    from config import Settings
    from generators.lent import Lender

    settings = Settings()
    whole = make_app(settings, Lender(spaces.GPU, gr.Error))
    uvicorn.run(whole, host=settings.host, port=settings.port, log_level="warning")


if __name__ == "__main__":
    main()
