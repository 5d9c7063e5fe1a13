"""What the log looks like, and what never stands in it: prompts, outputs, tokens, addresses.

Our own lines are written so. What other libraries say may quote anything, so by default only where
they said it is shown; an exception is shown as its kind and its place, for its message may quote
what a visitor wrote. At the level debug nothing is held back.
"""

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Literal

from feedback.measures import REQUEST_ID
from generators.batching import where

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

OURS = ("app", "config", "db", "feedback", "generators", "genloop", "models", "ui", "web")
# Libraries whose lines speak of the server alone.
PLAIN = ("opentelemetry", "uvicorn")
WITHHELD = "(what it said is shown at the level debug alone)"
# What every record has; everything else came with `extra` and is a field of the line.
KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


def set_up(level: Level, form: Format) -> None:
    """Let every logger of the process write to standard error in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(as_json=form == "json", whole=level == "debug"))
    # Others speak up at warnings alone; at debug everybody does.
    others = max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
    logging.basicConfig(
        level="DEBUG" if level == "debug" else others, handlers=[handler], force=True
    )
    for known in logging.root.manager.loggerDict.values():
        if isinstance(known, logging.Logger):  # some libraries have brought a handler of their own
            known.handlers.clear()
            known.propagate = True
    for name in (*OURS, *PLAIN):
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(True)
    logging.raiseExceptions = level == "debug"  # a line that fails would be shown with its values
    threading.excepthook = log_end_of_thread


def log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Instead of Python's own, which prints the exception's message."""
    error = ended.exc_value
    if error is None or isinstance(error, SystemExit):
        return
    name = ended.thread.name if ended.thread else "?"
    logging.getLogger("genloop").critical("the thread “%s” has died: %s", name, where(error))


class Lines(logging.Formatter):
    """Each record as one line, of JSON or for people."""

    def __init__(self, *, as_json: bool, whole: bool) -> None:
        """whole: hold nothing back."""
        super().__init__()
        self.as_json = as_json
        self.whole = whole

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in KNOWN}
        if request_id := REQUEST_ID.get():
            fields["request_id"] = request_id
        said = self.said(record)
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = self.exception(record.exc_info[1])
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        moment = moment.replace("+00:00", "Z")
        if self.as_json:
            line = {
                "at": moment,
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": said,
                **fields,
            }
            return json.dumps(line, default=str)  # in ASCII: whatever is in it can be written
        more = "".join(f" {name}={value}" for name, value in fields.items())
        return one_line(f"{moment} {record.levelname.lower():<8} {record.name}: {said}{more}")

    def said(self, record: logging.LogRecord) -> str:
        if self.whole or record.name.partition(".")[0] in (*OURS, *PLAIN):
            return record.getMessage()
        if record.name == "py.warnings":  # "FILE:LINE: KIND: what it said"
            return f"{': '.join(record.getMessage().split(': ')[:2])} {WITHHELD}"
        return f"{record.pathname.rpartition('site-packages/')[2]}:{record.lineno} {WITHHELD}"

    def exception(self, error: BaseException) -> str:
        if self.whole:
            return "".join(traceback.format_exception(error))
        return where(error)


def one_line(text: str) -> str:
    """Whatever is in it, it cannot look like another line of the log."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
