"""structlog, configured once: to stderr, JSON when that is no terminal, warnings and worse unless asked for more.

What a person reads is printed by the reports, not logged; a command that tells a story keeps its logs in a file meanwhile.
Refuses a second configuration. Called by `console.app` first of all, by `console.lane_kit`, and by `console.demo` for the file.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from probes.errors import OperatorError

__all__ = ["configure_logs", "logs_in_file"]

# Without the values of variables: one of them may be a password.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
_FOR_PERSON: Final = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
_FOR_PROGRAM: Final = structlog.processors.JSONRenderer()


def configure_logs(*, level: int = logging.WARNING) -> None:
    """Send logs of at least `level` to stderr."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _render_for_reader,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_logger_of_the_moment,
    )


@contextmanager
def logs_in_file(path: Path) -> Iterator[None]:
    """For the length of the block what goes to stderr is in the file, begun anew: ours, and that of processes started here.

    By the descriptor, because that is what those processes get, whether they log, warn or crash. Raises OperatorError where the
    file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        remedy = "Choose another folder: state.dir in the settings, or PROBE_FLEET_STATE_DIR"
        raise OperatorError(f"the log cannot be written: {error}", where=str(path), remedy=remedy) from error
    stderr = sys.__stderr__.fileno() if sys.__stderr__ else 2
    before = os.dup(stderr)
    try:
        _point(stderr, file)
        yield
    finally:
        _point(stderr, before)
        os.close(before)
        os.close(file)


def _point(stderr: int, file: int) -> None:
    """Have the descriptor mean another file, once what was said to the one before is with it."""
    sys.stderr.flush()
    os.dup2(file, stderr)


def _render_for_reader(logger: WrappedLogger, method: str, event: EventDict) -> str | bytes:
    """The line for whoever reads stderr at this moment."""
    if sys.stderr.isatty():
        return _FOR_PERSON(logger, method, event)
    return _FOR_PROGRAM(logger, method, _TRACEBACKS(logger, method, event))


def _logger_of_the_moment(*_names: object) -> structlog.PrintLogger:
    """A logger on what stderr is now: a program around us may have replaced it since we were configured."""
    return structlog.PrintLogger(sys.stderr)
