"""Gradio prints the traceback of an event that failed; what it says may quote a prompt."""

import logging
import sys
from types import ModuleType

import gradio as gr
import gradio.queueing
import gradio.route_utils
import gradio.routes

from feedback.measures import ERRORS
from generators.batching import where

log = logging.getLogger(__name__)

PRINTING: tuple[ModuleType, ...] = (gradio.queueing, gradio.route_utils, gradio.routes)


class Places:
    """Stands for the module `traceback` where Gradio uses it, which is for print_exc alone."""

    @staticmethod
    def print_exc() -> None:
        """Log the kind and the place of the error that is being handled."""
        error = sys.exception()
        refused = isinstance(error, gr.Error)  # a value that its component does not take
        ERRORS.labels("page", "invalid_request" if refused else "internal").inc()
        log.log(logging.INFO if refused else logging.ERROR, "an event raised %s", where(error))


def hush() -> None:
    """Keep what visitors wrote out of what Gradio prints."""
    for module in PRINTING:
        module.traceback = Places  # type: ignore[attr-defined]
