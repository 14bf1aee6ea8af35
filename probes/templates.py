"""Texts with `{placeholders}` in target descriptions: which names they use, and the same text with the values in place.

Pure. A placeholder is a lower-case name, dotted when it belongs to something else (`{sign_in.token}`, `{secret.password}`);
`{{` and `}}` are braces. It has no conditions, loops or filters: a description that needs them is a new operation. Called
by `probes.target_checks` when a description is read and by `scenarios.calls` when a request is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

__all__ = ["JsonValue", "TemplateError", "fill_json", "fill_text", "fill_url", "is_name", "names_in", "names_in_json"]

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

_TOKEN = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?)\}|[{}]")


_NAME = re.compile(r"[a-z][a-z0-9_]*")


class TemplateError(ValueError):
    """A text that is no template, or a placeholder without a value; the message names it."""


def is_name(text: str) -> bool:
    """True when `text` can stand between braces."""
    return _NAME.fullmatch(text) is not None


def names_in(text: str) -> tuple[str, ...]:
    """The placeholders of `text` in order; `TemplateError` for a brace that opens or closes nothing."""
    names: list[str] = []
    for token in _TOKEN.finditer(text):
        if token.group(1):
            names.append(token.group(1))
        elif len(token.group()) == 1:
            raise TemplateError(f"{text!r} has a lone {token.group()!r}; write it twice for a brace")
    return tuple(names)


def names_in_json(value: object) -> tuple[str, ...]:
    """The placeholders in every text of a JSON-like value; keys are not templates."""
    match value:
        case str():
            return names_in(value)
        case Mapping():
            return tuple(name for inner in value.values() for name in names_in_json(inner))
        case list() | tuple():
            return tuple(name for inner in value for name in names_in_json(inner))
        case _:
            return ()


def fill_text(text: str, values: Mapping[str, object]) -> str:
    """`text` with every placeholder replaced by its value as text."""
    return _TOKEN.sub(lambda token: _text(token, values), text)


def fill_url(text: str, values: Mapping[str, object]) -> str:
    """A URL: what stands in its middle is percent-encoded, except for slashes.

    A placeholder at the very start is a URL itself (a base, or one that the platform handed out) and goes in as it is.
    """

    def put(token: re.Match[str]) -> str:
        value = _text(token, values)
        if token.start() > 0:
            return quote(value, safe="/") if token.group(1) else value
        return value if token.end() == len(text) else value.rstrip("/")

    return _TOKEN.sub(put, text)


def fill_json(value: object, values: Mapping[str, object]) -> JsonValue:
    """A JSON body: a text that is exactly one placeholder becomes the value with its type, others become text."""
    match value:
        case str():
            whole = _TOKEN.fullmatch(value)
            if whole is not None and whole.group(1):
                return as_json(_value(whole.group(1), values))
            return fill_text(value, values)
        case Mapping():
            return {str(key): fill_json(inner, values) for key, inner in value.items()}
        case list() | tuple():
            return [fill_json(inner, values) for inner in value]
        case _:
            return as_json(value)


def as_json(value: object) -> JsonValue:
    """`value` with the types that JSON has; anything else becomes its text."""
    match value:
        case None | str() | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): as_json(inner) for key, inner in value.items()}
        case list() | tuple():
            return [as_json(inner) for inner in value]
        case _:
            return str(value)


def _text(token: re.Match[str], values: Mapping[str, object]) -> str:
    if not token.group(1):
        return token.group()[0]
    value = _value(token.group(1), values)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(name: str, values: Mapping[str, object]) -> object:
    if name not in values:
        raise TemplateError(f"no value for the placeholder {{{name}}}")
    return values[name]
