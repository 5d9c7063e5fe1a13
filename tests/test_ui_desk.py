"""What the desks of all tabs share."""

import asyncio
import threading
from types import SimpleNamespace

from generators.batching import ModelQueue
from generators.engines import open_engine
from generators.wire import EngineLimits
from models.registry import ModelUnavailable
from tests.serving import free_port
from ui.image_desk import ImageDesk, Wish
from ui.language import Language
from ui.services import Services
from ui.text_desk import TextDesk

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


def test_a_model_out_of_reach_is_looked_at_again_and_hides_what_it_does_not_take():
    address = f"http://127.0.0.1:{free_port()}/v1"
    queues = {
        task: open_engine(
            task, EngineLimits(pause=0.01), 8, lambda name: None, f"openai:{address}#m"
        )
        for task in ("text", "image")
    }
    for queue in queues.values():
        queue.start()
        assert queue.wait_until_loaded(20) == "ready"
    services = Services(None, None, None, {"m": queues["text"]}, {"m": queues["image"]})
    line, _, _, _, timer = TextDesk(services, Language("en")).on_model("m")
    shown = ImageDesk(services, Language("zh")).on_model("m", "default")
    for queue in queues.values():
        queue.close()

    assert line.value == "m cannot be reached at this moment. Please try again in a minute."
    assert timer.active and shown[1].active
    assert "无法连接 m" in shown[0].value
    negative_prompt, steps, guidance = shown[2:5]
    assert not (negative_prompt.visible or steps.visible or guidance.visible)
