"""The log: JSON lines for machines, short lines for people; never what a request holds."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson


class LogFormat(StrEnum):
    """How lines look; AUTO is TEXT on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """What is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the facts of a request."""

    def format(self, record: logging.LogRecord) -> str:
        """Formats one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


class TextLines(logging.Formatter):
    """For people: the time of day, the message, and the facts of a request behind it."""

    def __init__(self) -> None:
        """Takes no options."""
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the base class's name)
        """Formats the line, but for exceptions."""
        facts = getattr(record, "facts", {})
        shown = {name: value for name, value in facts.items() if name not in ("route", "status")}
        text = {
            name: f"{value:.3f}" if name in ("seconds", "queue_s") else value for name, value in shown.items()
        }
        return super().formatMessage(record) + "".join(f" {name}={value}" for name, value in text.items())


def configure(level: LogLevel, form: LogFormat) -> None:
    """Sends all lines of this level or above to stderr, and those of libraries from WARNING on."""
    if form is LogFormat.AUTO:
        form = LogFormat.TEXT if sys.stderr.isatty() else LogFormat.JSON
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form is LogFormat.JSON else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, getattr(logging, level.name)))
    logging.getLogger("imagegraph").setLevel(level.name)
    # What no line of ours shows costs nothing to leave out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
