"""An export takes what processor time others leave: whoever waits for an answer comes first."""

import os

NICE = 10  # of 19; a visitor's request then weighs about nine times as much


def step_back() -> None:
    """Let other processes go first from now on, and in what this one starts; where that exists.

    Nor does it take several processors where it was given one: tokenizers would.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if hasattr(os, "nice"):  # not on Windows
        os.nice(max(NICE - os.nice(0), 0))  # who has stepped back further stays there
