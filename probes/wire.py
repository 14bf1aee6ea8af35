"""Records as bytes and back: JSON with a schema version, the form in which a run leaves this process.

Known keys are checked strictly; unknown ones are tolerated, so that an older reader takes a newer writer's records.
What equals its default is left out, so that a run of one step fits in about a kilobyte. A record is never lost for one bad value:
text that is no Unicode (a lone surrogate out of a page's error) is escaped, a number that is not finite becomes its text or is
left out. JSON has no such number (RFC 8259, section 6), and so a reader refuses one: no writer of ours has sent it.

Refuses to send, store or compress. Called by the wiring (`--json`, `show`), the outbox and the collector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, StrictInt, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError, SchemaValidator

from probes.errors import OperatorError
from probes.records import Run

__all__ = ["MAX_RECORD_BYTES", "SCHEMA_VERSION", "WireError", "parse_run", "render_run"]

SCHEMA_VERSION: Final = 1
MAX_RECORD_BYTES: Final = 2 * 1024 * 1024
"""More is not read. A run records at most 300 steps, about 2,200 exchanges of 400 bytes each, 600 checks that held."""

MAX_SHOWN_PROBLEMS = 3
HEAD: Final = f'{{"schema_version":{SCHEMA_VERSION},'.encode()
RUN: Final = TypeAdapter(Run)


STRICTER: Final[Mapping[object, Mapping[str, bool]]] = {
    "tuple": {"fail_fast": True},
    "dict": {"fail_fast": True},
    "float": {"allow_inf_nan": False},
}
"""By the type of a value, what a reader adds to its schema.

It gives up on a list or mapping at its first bad item: else two megabytes of bad steps are millions of problems, each of them
described, and take half a minute to refuse. And what it takes can be written again, so it takes no number without a spelling.
"""


def strictly_read(schema: Any) -> Any:  # noqa: ANN401 - a core schema is dictionaries and lists all the way down
    """The same schema, made `STRICTER` all the way down."""
    if isinstance(schema, list):
        return [strictly_read(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    copied = {name: strictly_read(part) for name, part in schema.items()}
    return copied | dict(STRICTER.get(kind, {})) if isinstance(kind, str) else copied


RUN_READER: Final = SchemaValidator(strictly_read(RUN.core_schema))


class WireError(OperatorError):
    """These bytes are no record that this version can read; `where` says at which key."""


class Envelope(BaseModel):
    """What is looked at first: the one key that says how to read the others."""

    model_config = ConfigDict(extra="ignore")

    schema_version: StrictInt


def render_run(run: Run) -> bytes:
    """The record as one line of UTF-8 JSON that begins with its schema version; `parse_run` gives an equal record back."""
    try:
        body = RUN.dump_json(run, exclude_defaults=True)
    except PydanticSerializationError:
        body = RUN.dump_json(scrubbed(run), exclude_defaults=True)
    if b":null" in body:
        # None is everywhere a default and so left out: this can only be a number that JSON has no spelling for.
        body = RUN.dump_json(scrubbed(run), exclude_defaults=True)
    return HEAD + body[1:]


def scrubbed(value: Any) -> Any:  # noqa: ANN401 - it rebuilds whatever a record is made of
    """The same value with every text valid Unicode and every number finite."""
    if isinstance(value, StrEnum):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, tuple):
        return tuple(scrubbed(item) for item in value)
    if isinstance(value, Mapping):
        return {scrubbed(name): str(item) if is_endless(item) else scrubbed(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        values = {field.name: (field, getattr(value, field.name)) for field in fields(value)}
        return replace(
            value,
            **{
                name: (None if field.default is None else 0.0) if is_endless(item) else scrubbed(item)
                for name, (field, item) in values.items()
            },
        )
    return value


def is_endless(value: object) -> bool:
    """True for infinities and not-a-number."""
    return isinstance(value, float) and not math.isfinite(value)


def parse_run(data: bytes) -> Run:
    """The record in these bytes; raises WireError that says what is wrong and at which key."""
    if len(data) > MAX_RECORD_BYTES:
        raise WireError(f"{len(data):,} bytes are too many for a record (limit {MAX_RECORD_BYTES:,})")
    try:
        version = Envelope.model_validate_json(data).schema_version
        if version != SCHEMA_VERSION:
            raise WireError(
                f"the record has schema version {version}, and this version reads {SCHEMA_VERSION}",
                where="schema_version",
                remedy="Update the reader" if version > SCHEMA_VERSION else "",
            )
        return cast("Run", RUN_READER.validate_json(data, strict=True))
    except ValidationError as error:
        raise wire_error(error.errors(include_url=False, include_context=False)) from error


def wire_error(problems: list[ErrorDetails]) -> WireError:
    """The first few problems as one sentence, at the key of the first."""
    shown = [
        f"{key_of(problem['loc'])}: {problem['msg']}" if problem["loc"] else problem["msg"] for problem in problems
    ]
    more = len(shown) - MAX_SHOWN_PROBLEMS
    text = "; ".join(shown[:MAX_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
    return WireError(f"this is not a record: {text}", where=key_of(problems[0]["loc"]))


def key_of(path: tuple[int | str, ...]) -> str:
    """A key as people write it: `steps[0].exchanges[2].status`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
