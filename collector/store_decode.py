"""Bytes to runs, as strictly checked as by `probes.wire` and six times as fast (docs/adr/0025): msgspec in the place of pydantic.

The checked forms are made from the dataclasses of `probes.records` themselves, so that the two cannot drift apart. Whatever
msgspec refuses is asked of `probes.wire`, which has the better words and the last one.

Called by `collector.store_intake`, once for every run that arrives.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final, cast

import msgspec

from probes.records import Run
from probes.wire import MAX_RECORD_BYTES, SCHEMA_VERSION, WireError, parse_run

__all__ = ["decode_run"]

INT64: Final = msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)


def decode_run(body: bytes) -> Run:
    """The run in these bytes; raises WireError.

    What comes back has the fields of a Run and of its parts, though not their methods: it is made to be read once.
    """
    if len(body) > MAX_RECORD_BYTES:
        raise WireError(f"{len(body):,} bytes are too many for a record (limit {MAX_RECORD_BYTES:,})")
    try:
        envelope = RUN_DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return bounded(parse_run(body))
    if envelope.schema_version != SCHEMA_VERSION:
        return parse_run(body)
    return cast("Run", envelope)


@functools.cache
def mirror_of(kind: Any) -> Any:  # noqa: ANN401 - types of every kind go in and come out
    """The msgspec form of a type of `probes.records`: the same fields, types and defaults."""
    if kind is int:
        return Annotated[int, INT64]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = [mirrored_field(part, hints[part.name]) for part in dataclasses.fields(kind)]
        return msgspec.defstruct(kind.__name__, fields, gc=False)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return types.GenericAlias(tuple, (mirror_of(arguments[0]), ...))
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(lambda left, right: left | right, (mirror_of(argument) for argument in arguments))
    if origin is typing.get_origin(Mapping[str, str]):
        return types.GenericAlias(dict, (arguments[0], mirror_of(arguments[1])))
    return kind


def mirrored_field(part: dataclasses.Field[Any], kind: object) -> tuple[str, Any] | tuple[str, Any, Any]:
    """One field as msgspec wants it."""
    if part.default is not dataclasses.MISSING:
        return part.name, mirror_of(kind), part.default
    if part.default_factory is not dataclasses.MISSING:
        return part.name, mirror_of(kind), msgspec.field(default_factory=part.default_factory)
    return part.name, mirror_of(kind)


def run_decoder() -> msgspec.json.Decoder[Any]:
    """Decodes a run together with its schema version."""
    envelope = msgspec.defstruct("Envelope", [("schema_version", int)], bases=(mirror_of(Run),), gc=False, kw_only=True)
    return msgspec.json.Decoder(envelope)


def bounded(run: Run) -> Run:
    """The run, unless a number that is stored as such would not fit into any database."""
    numbers = [run.duration_ns, run.schedule_lag_ns, *(step.duration_ns for step in run.steps)]
    if any(number >= 1 << 63 for number in numbers):
        raise WireError("a duration is beyond all measure")
    return run


RUN_DECODER: Final = run_decoder()
