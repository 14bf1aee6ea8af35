"""Where in an answer a result stands: JMESPath expressions, checked when they are read, and units.

Pure. The only place that knows the JMESPath library. Called by `probes.target_model`, `probes.journey` and `scenarios.calls`.
Source: https://jmespath.org/specification.html
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions

__all__ = ["UNITS", "check_path", "find", "in_unit_of", "unit_of_name"]

UNITS: Final = {
    "mm": ("length", 1.0),
    "cm": ("length", 10.0),
    "m": ("length", 1000.0),
    "in": ("length", 25.4),
    "mm2": ("area", 1.0),
    "cm2": ("area", 100.0),
    "m2": ("area", 1e6),
    "in2": ("area", 25.4**2),
    "mm3": ("volume", 1.0),
    "cm3": ("volume", 1000.0),
    "m3": ("volume", 1e9),
    "in3": ("volume", 25.4**3),
    "ratio": ("share", 1.0),
    "percent": ("share", 0.01),
    "currency": ("money", 1.0),
    "hundredths": ("money", 0.01),
}
"""Unit -> (dimension, factor to our own unit of that dimension). Source: the inch is 25.4 mm by definition (1959)."""


@lru_cache(1024)
def check_path(expression: str) -> str:
    """`expression` itself when it is valid JMESPath; `ValueError` with the fault when not.

    A function that does not exist, or takes another number of arguments, is a fault of the expression too: found only when an
    answer is looked at, it would be taken for the answer's.
    """
    try:
        for name, arguments in _calls_in(jmespath.compile(expression).parsed):
            _check_call(name, arguments)
    except JMESPathError as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise ValueError(f"{expression!r} is not a JMESPath expression ({reason})") from error
    return expression


def _calls_in(node: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - the library's tree is dictionaries all the way down
    """Each function that is called, with its number of arguments."""
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _calls_in(child)


def _check_call(name: str, arguments: int) -> None:
    """Whether there is such a function: it is called with nothings, and may complain about these."""
    try:
        Functions().call_function(name, [None] * arguments)
    except JMESPathTypeError:
        return


def find(expression: str, answer: object) -> object:
    """What the expression finds in the answer; None when there is nothing. `ValueError` when it cannot be applied.

    A function of JMESPath that is handed the wrong type (`length(null)`) cannot be applied.
    """
    try:
        found: object = jmespath.search(expression, answer)
    except JMESPathError as error:
        raise ValueError(str(error)) from error
    return found


def unit_of_name(name: str) -> str:
    """The unit at the end of a result's name (`volume_mm3` -> `mm3`), or nothing."""
    suffix = name.rsplit("_", 1)[-1]
    if suffix in UNITS and "_" in name:
        return suffix
    return "currency" if suffix in ("price", "total", "subtotal", "amount") else ""


def in_unit_of(value: object, unit: str, wanted: str) -> object:
    """A number (or a list of numbers) that is in `unit`, in `wanted`; anything else comes back as it is."""
    if not unit or not wanted or unit == wanted:
        return value
    factor = UNITS[unit][1] / UNITS[wanted][1]
    match value:
        case bool():
            return value
        case int() | float():
            return value * factor
        case list():
            return [in_unit_of(item, unit, wanted) for item in value]
        case _:
            return value
