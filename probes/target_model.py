"""What a target description may say: pydantic models of `config/targets/*.toml`, strict, with every key documented.

Data only: nothing is looked up, resolved or requested here. Called by `probes.targets`, which loads the file, and by
`probes.target_checks`, which checks what no single field can know. `docs/reference/targets.md` is the prose of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from probes.answers import UNITS, check_path
from probes.forms import form
from probes.secret_source import SecretSource
from probes.target_behind import Backups, Drill, Failover
from probes.target_strict import Items, Seconds, Strict
from probes.templates import names_in_json

__all__ = [
    "AnswerKind",
    "Check",
    "FormPart",
    "Operation",
    "PartChoice",
    "Permissions",
    "Poll",
    "Refusal",
    "Request",
    "ResultRule",
    "Shown",
    "Sourced",
    "TargetFile",
    "TlsChoice",
    "Widget",
]


def _check_unit(unit: str) -> str:
    if unit and unit not in UNITS:
        raise ValueError(f"{unit!r} is not a unit; known: {', '.join(UNITS)}")
    return unit


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression ({error})") from error
    return pattern


AnswerPath = Annotated[str, AfterValidator(check_path)]
Unit = Annotated[str, AfterValidator(_check_unit)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
Statuses = Annotated[Items[Annotated[int, Field(ge=100, le=599)]], Field(min_length=1)]
AnswerKind = Literal["json", "text", "bytes", "none"]
ValueKind = Literal["any", "text", "number", "true_or_false", "object", "list", "instant"]


class _Short(Strict):
    """A table that may be written as one string: the value of its first field."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: object) -> object:
        return {next(iter(cls.model_fields)): data} if isinstance(data, str) else data


class Sourced(_Short):
    """A base URL or a value: written down, or taken from the environment (with a default or without).

    `optional`: where the variable is not set, what uses it is left out, and the rest of the description works.
    """

    value: str = ""
    env: str = ""
    default: str = ""
    optional: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.value) == bool(self.env):
            raise ValueError("write either the value itself or env = the name of an environment variable")
        if self.optional and (self.default or not self.env):
            raise ValueError("optional = true is for a variable without a default")
        return self


class TlsChoice(Strict):
    """What to trust instead of the system's certificates: `ca_file` (relative to the description's folder) for HTTP.

    `trusted_spki`: base64 SHA-256 of public keys, for the browser, which knows no such file.
    """

    ca_file: str = ""
    trusted_spki: Items[str] = ()


class Permissions(Strict):
    """What the owner of the target allows; nothing is allowed that is not written down."""

    writes: bool = False
    payment: Literal["test", "none"] = "none"
    hostile_files: bool = False


class Refusal(Strict):
    """What a polite refusal of a file or a sign-in looks like: a 4xx status of these, and a message for a person."""

    statuses: Statuses = (400, 401, 403, 409, 413, 415, 422)
    message: AnswerPath = "error"


class ResultRule(_Short):
    """Where one result stands in the answer, and in which unit. `secret` results are masked everywhere."""

    path: AnswerPath
    unit: Unit = ""
    required: bool = True
    secret: bool = False


class Check(Strict):
    """One thing that must be true of an answer. `path` is JMESPath; `@` is the whole answer.

    `moves`: a second call after `moves_after_s` must give a later instant, so that a constant is noticed. `within_s`: the
    instant is at most so far from the probe's own clock.
    """

    path: AnswerPath
    kind: ValueKind = "any"
    equals: str | int | float | bool | None = None
    one_of: Items[str] = ()
    matches: Pattern = ""
    least: float | None = None
    most: float | None = None
    within_s: Seconds | None = None
    moves: bool = False
    moves_after_s: Seconds = 1.0


class Poll(Strict):
    """Ask again until the answer is final. Intervals grow by `factor` from `first_s` to `most_s`.

    The answer is not final while its status is in `pending_statuses` or `pending` finds something true. It is a failed
    one when `failed` finds something true; `reason` then says why.
    """

    first_s: Seconds = 0.1
    factor: Annotated[float, Field(ge=1, le=4)] = 1.15
    most_s: Seconds = 2.0
    deadline_s: Seconds
    pending_statuses: Items[int] = ()
    pending: AnswerPath = ""
    failed: AnswerPath = ""
    reason: AnswerPath = ""

    @model_validator(mode="after")
    def _can_wait(self) -> Self:
        if not (self.pending_statuses or self.pending):
            raise ValueError("polling needs pending_statuses or pending, else the first answer is always final")
        return self


class FormPart(Strict):
    """One part of a multipart body: the file (`file = true`) or a field with a value."""

    name: str
    file: bool = False
    file_name: str = "{file_name}"
    media_type: str = "{media_type}"
    value: str = ""


class Request(Strict):
    """One request of an operation, its body, what answers are right, and where the results stand in them."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET"
    url: str
    headers: Mapping[str, str] = Field(default_factory=dict)
    json_body: Mapping[str, object] | None = Field(default=None, alias="json")
    json_lines: Items[Mapping[str, object]] = ()
    multipart: Items[FormPart] = ()
    file: bool = False
    accept: Statuses = (200,)
    answer: AnswerKind = "json"
    follow_redirects: Annotated[int, Field(ge=0, le=10)] = 0
    deadline_s: Seconds | None = None
    results: Mapping[str, ResultRule] = Field(default_factory=dict)
    checks: Mapping[str, Check] = Field(default_factory=dict)
    poll: Poll | None = None

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if (self.json_body is not None) + bool(self.json_lines) + bool(self.multipart) + self.file > 1:
            raise ValueError("a request has one body: json, json_lines, multipart or file")
        return self

    def placeholders(self) -> frozenset[str]:
        """The names of all values that the request uses."""
        texts: list[object] = [self.url, *self.headers.values(), self.json_body, self.json_lines]
        for part in self.multipart:
            texts += [part.file_name, part.media_type] if part.file else [part.value]
        return frozenset(name for text in texts for name in names_in_json(text))


class Operation(Strict):
    """What a customer would call one thing to do: an ordered list of requests. Results of one serve the next."""

    summary: str = ""
    requests: Annotated[Items[Request], Field(min_length=1)]

    def placeholders(self) -> frozenset[str]:
        """The names of all values that its requests use."""
        return frozenset[str]().union(*(request.placeholders() for request in self.requests))


class PartChoice(Strict):
    """Which reference parts the scenarios send to this target."""

    small: Items[str] = (
        "bracket",
        "bracket-iges",
        "bracket-brep",
        "bracket-stl-binary",
        "bracket-stl-ascii",
        "bracket-3mf",
        "bracket-obj",
    )
    large: Items[str] = ("padded-49999999", "padded-52428799")
    at_limit: Items[str] = ()
    over_limit: Items[str] = ()
    quote: Annotated[Items[str], Field(min_length=1)] = ("bracket", "thin_wall")
    invalid: Items[str] = ("*",)
    """Globs over the ids of the invalid parts."""


class Shown(_Short):
    """A figure that a page shows: where, and in which unit."""

    selector: str
    unit: Unit = ""


class Widget(Strict):
    """The embeddable widget as a browser meets it. Selectors are CSS, texts are parts of what a customer reads.

    `answers` is JavaScript for the frame: something harmless that only a working control can do. `errors` selects the places
    where the widget tells what went wrong, so that a failure is seen at once and not at the deadline.
    """

    page: str
    frame: str = "iframe"
    controls: Annotated[Items[str], Field(min_length=1)]
    answers: str = ""
    errors: str = ""
    settle_s: Annotated[float, Field(ge=0, le=10)] = 0.5
    file_input: str = "input[type=file]"
    uploaded_text: str = "File uploaded successfully"
    analysis_text: str = "Part Analysis"
    volume: Shown | None = None
    area: Shown | None = None
    bbox: Shown | None = None
    material_select: str = ""
    material: str = ""
    dfm_text: str = "Manufacturability Score"
    quantity_input: str = "input[name=quantity]"
    price_text: str = "Price per unit"
    unit_price: str = ""
    total_price: str = ""
    currency_text: str = ""
    quote_button: str = ""
    summary: str = ".quote-summary"
    quote_id: str = ""
    quote_total: str = ""


class TargetFile(Strict):
    """A whole description."""

    name: Annotated[str, form(r"[a-z0-9][a-z0-9-]*", "lower-case letters, digits and hyphens, the first no hyphen")]
    summary: str = ""
    is_stand_in: bool = False
    bases: Annotated[Mapping[str, Sourced], Field(min_length=1)]
    values: Mapping[str, Sourced] = Field(default_factory=dict)
    secrets: Mapping[str, SecretSource] = Field(default_factory=dict)
    tls: TlsChoice = TlsChoice()
    limits: Mapping[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    allows: Permissions = Permissions()
    refusal: Refusal = Refusal()
    quantities: Annotated[Items[Annotated[int, Field(ge=1)]], Field(min_length=1)] = (1, 10, 100)
    parts: PartChoice = PartChoice()
    operations: Mapping[str, Operation] = Field(default_factory=dict)
    widget: Widget | None = None
    backups: Backups | None = None
    drill: Drill | None = None
    failover: Failover | None = None
