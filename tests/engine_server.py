"""A real HTTP server that serves models well or badly; each model's name says how it behaves."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

WORDS = ["snow", " falls", " on", " the", " river"]


@dataclass
class Asked:
    """One request, as it came, and what became of its connection."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter
    left: threading.Event = field(default_factory=threading.Event)  # the client closed it

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    # What a behaviour sends

    async def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def begin(self, status: int = 200, **headers: str) -> None:
        """The head of an answer whose end is that of the connection."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([f"HTTP/1.1 {status} X", "connection: close", *lines, "", ""]))

    async def stream(self, **headers: str) -> None:
        await self.begin(content_type="text/event-stream", **headers)

    async def event(self, data: Any) -> None:
        await self.send(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")

    async def json(self, said: Any, status: int = 200, **headers: str) -> None:
        await self.begin(status, content_type="application/json", **headers)
        await self.send(json.dumps(said))

    async def token(self, text: str, index: int = 0, end: str | None = None, **more: Any) -> None:
        chat = self.path.endswith("/chat/completions")
        said = {"delta": {"content": text}} if chat else {"text": text}
        choice = {"index": index, **said, "finish_reason": end, **more}
        await self.event({"model": self.model, "choices": [choice]})

    def reset(self) -> None:
        """Tear the connection down, as a server that is killed does."""
        self.writer.transport.abort()

    async def until_left(self) -> None:
        await asyncio.to_thread(self.left.wait, 30)


Behaviour = Callable[[Asked], Awaitable[None]]


async def well(asked: Asked) -> None:
    """Five words, the seed behind them, usage, and the end."""
    await asked.stream(x_request_id="r1")
    for word in WORDS[: asked.body.get("max_tokens", 5)]:
        await asked.token(word)
    await asked.token(f" {asked.body.get('seed', '')}", end="stop")
    usage = {"prompt_tokens": 7, "completion_tokens": 6}
    await asked.event({"model": asked.model, "choices": [], "usage": usage})
    await asked.event("[DONE]")


@dataclass
class EngineServer:
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    behave: dict[str, Behaviour] = field(default_factory=lambda: {"well": well})
    models: Any = None  # what /v1/models answers: a list, or a status; None: that it cannot
    healthy: bool = True

    def setting(self, model: str, **options: str) -> str:
        """The entry of GENLOOP_TEXT_MODELS for one of its models."""
        more = "&".join(f"{name}={value}" for name, value in options.items())
        return f"openai:{self.url}#{model}" + (f"?{more}" if more else "")

    def of(self, model: str) -> list[Asked]:
        return [one for one in self.asked if one.model == model]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await read(reader, writer)
            watch = asyncio.create_task(watch_for_leaving(reader, asked))
            await self.answer(asked)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
        await watch

    async def answer(self, asked: Asked) -> None:
        if asked.path == "/v1/models":
            if self.models is None or isinstance(self.models, int):
                await asked.begin(self.models or 500)
            else:
                await asked.json({"object": "list", "data": self.models}, server="tests")
        elif asked.path == "/health":
            await asked.begin(200 if self.healthy else 503)
        else:
            self.asked.append(asked)
            await self.behave[asked.model](asked)


async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(first.split()[1], headers, json.loads(body or b"{}"), writer)


async def watch_for_leaving(reader: asyncio.StreamReader, asked: Asked) -> None:
    with suppress(ConnectionError):
        await reader.read(1)  # a client sends nothing more: this is the end
    asked.left.set()


@contextmanager
def engine_server(port: int = 0) -> Iterator[EngineServer]:
    """A server on a port of this machine, by default a free one, in a thread."""
    server = EngineServer()
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(server.serve, "127.0.0.1", port))
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        for one in server.asked:
            one.left.set()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        listening.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
