"""The facts of an alert as the JSON that the store keeps, and back; unknown keys of a newer version are passed over. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

from collector.alerting.model import AlertFacts

__all__ = ["parse_facts", "render_facts"]

_NAMES: Final = frozenset(one.name for one in fields(AlertFacts))
_LISTS: Final = frozenset(("scenarios", "regions", "run_ids"))
_INSTANTS: Final = frozenset(("first_bad_at", "last_bad_at"))


def render_facts(facts: AlertFacts) -> str:
    """Only what is known."""
    known = {name: value for name, value in asdict(facts).items() if value not in (None, "", ())}
    return json.dumps(known, default=datetime.isoformat)


def parse_facts(text: str) -> AlertFacts:
    """The facts that `render_facts` wrote; ValueError for anything else."""
    found: dict[str, Any] = json.loads(text) if text else {}
    values = {name: _value(name, value) for name, value in found.items() if name in _NAMES}
    return AlertFacts(**values)


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - fields have many types
    if name in _LISTS:
        return tuple(value)
    return datetime.fromisoformat(value) if name in _INSTANTS else value
