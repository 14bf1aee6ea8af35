"""Bytes to runs, as strictly checked as by `probes.wire` and six times as fast (docs/adr/0025): msgspec in the place of pydantic.

The checked forms are made from the dataclasses of `probes.records` themselves, so that the two cannot drift apart. Whatever
msgspec refuses is asked of `probes.wire`, which has the better words and the last one. It takes its time, though: a second and
more for two megabytes of nonsense. So it is asked about bodies of the usual size only, and not when the caller has had enough.

Called by `collector.store_intake`, once for every run that arrives.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final, cast

import msgspec

from probes.records import Run
from probes.wire import MAX_RECORD_BYTES, SCHEMA_VERSION, WireError, parse_run

__all__ = ["decode_run"]

MAX_DOUBTED_BYTES: Final = 65_536
BACKSLASH: Final = ord("\\")
"""Looked for first: one byte is found, or not, in a twentieth of the time that two take."""
MAX_DIGITS: Final = 4_300
"""So many may a whole number have for `probes.wire`. Source: Python's own limit, sys.int_info.default_max_str_digits."""
SAMPLED_BYTES: Final = 1_000
FOUR_DIGITS: Final = re.compile(rb"[0-9]{4}")
INT64: Final = msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)


def decode_run(body: bytes, *, may_doubt: bool = True) -> Run:
    """The run in these bytes; raises WireError. Without `may_doubt` a refusal is not looked at twice.

    What comes back has the fields of a Run and of its parts, though not their methods: it is made to be read once. An instant
    that is finer than a microsecond, which no probe of ours writes, is rounded here and cut off in `probes.wire`.
    """
    if len(body) > MAX_RECORD_BYTES:
        raise WireError(f"{len(body):,} bytes are too many for a record (limit {MAX_RECORD_BYTES:,})")
    try:
        envelope = RUN_DECODER.decode(body)
        if not body.isascii():
            body.decode()  # msgspec does not look into what it passes over
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if not may_doubt or len(body) > MAX_DOUBTED_BYTES:
            raise WireError(f"this is not a record: {error}") from error
        return bounded(parse_run(body))
    if envelope.schema_version != SCHEMA_VERSION or (may_doubt and is_doubtful(body)):
        return bounded(parse_run(body))
    return cast("Run", envelope)


def is_doubtful(body: bytes) -> bool:
    """Whether something may hide in what msgspec passed over: half a character, or a number too long to be read.

    A number of more than `MAX_DIGITS` covers at least four neighbours among every thousandth byte, which few others do.
    """
    if BACKSLASH in body and b"\\u" in body:
        return True
    return len(body) > MAX_DIGITS and FOUR_DIGITS.search(body[::SAMPLED_BYTES]) is not None


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
    if any(not -(1 << 63) <= number < 1 << 63 for number in numbers):
        raise WireError("a duration is beyond all measure")
    return run


RUN_DECODER: Final = run_decoder()
