"""What the desks of all tabs share."""

import asyncio
import threading
from types import SimpleNamespace

from generators.batching import ModelQueue
from models.registry import ModelUnavailable
from ui.image_desk import ImageDesk, Wish
from ui.language import Language
from ui.services import Services

VISITOR = SimpleNamespace(session_hash="a page", headers={}, cookies={})


def test_stop_ends_the_wait_for_a_model_that_is_still_loading():
    loaded = threading.Event()

    def load():
        loaded.wait(5)
        raise ModelUnavailable("model_missing", model="slow", source="nowhere")

    async def stop_waiting():
        states = []
        async for state, _ in desk.drawn("slow", Wish("red apple"), VISITOR):
            states.append(state)
            await desk.stop(VISITOR)
        return states

    queue = ModelQueue("slow", load, max_waiting=1)
    queue.start()
    services = Services(None, None, None, {}, {"slow": queue})
    desk = ImageDesk(services, Language("en"))
    states = asyncio.run(stop_waiting())
    loaded.set()
    queue.close()

    assert [state["phase"] for state in states] == ["loading", "error"]
    assert states[-1]["message"] == "Stopped before anything was made."
    assert services.tickets == {}
