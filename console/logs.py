"""structlog, configured once: to stderr, JSON when that is no terminal, warnings and worse unless asked for more.

What a person reads is printed by the reports, not logged. Refuses a second configuration. Called by `console.app` first of all.
"""

from __future__ import annotations

import logging
import sys

import structlog

__all__ = ["configure_logs"]

# Without the values of variables: one of them may be a password.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure_logs(*, level: int = logging.WARNING) -> None:
    """Send logs of at least `level` to stderr."""
    if structlog.is_configured():
        return
    to_person = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if to_person
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if to_person else [_TRACEBACKS]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_logger_of_the_moment,
    )


def _logger_of_the_moment(*_names: object) -> structlog.PrintLogger:
    """A logger on what stderr is now: a program around us may have replaced it since we were configured."""
    return structlog.PrintLogger(sys.stderr)
