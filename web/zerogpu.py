"""ZeroGPU Spaces: what the package `spaces` must be told that a launch of Gradio would tell it.

`spaces` waits for Blocks.launch to pack the models for the GPU and to report that the app has
functions for one; a Space that reports nothing is stopped. GenLoop's pages are mounted in an app of
FastAPI, which never launches, so `begin` calls what stands behind that hook.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from generators.lent import Lender, LentQueue


def lent_gpu(refusal: type[Exception], bundled: Path) -> Lender:
    """The GPU of a ZeroGPU Space, for all models but the bundled ones.

    Those are so small that a CPU is done before a GPU would be there, and cost no visitor's quota.
    """
    import spaces

    return Lender(spaces.GPU, refusal, lambda source: not Path(source).is_relative_to(bundled))


def begin(queues: Sequence[Any], port: int) -> None:
    """Load the models that are lent a GPU, and tell ZeroGPU that the app is ready.

    Call it in the main thread, the only one in which `spaces` plays that there is CUDA.
    """
    import spaces.reloading
    import spaces.zero

    for queue in queues:
        if isinstance(queue, LentQueue):
            queue.load()
    # A forked process closes its copies of the connections to these ports; left open, the far ends
    # would wait for ever on what the app has closed.
    spaces.reloading.reload_server_ports.add(port)
    spaces.zero.startup()
