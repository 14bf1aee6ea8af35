"""One operation of a target description as requests: templates filled, answers checked, results found, polling done.

It knows no operation by name and no path, body or field of any platform: all of that is data. A target's fault ends the
open step (`Journey.expect`, `Journey.fail`); a script that calls operations in the wrong order is a `BugError`. Called by
`scenarios.platform`, and by scripts that need an operation which has no typed method there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from probes.answers import find, in_unit_of, unit_of_name
from probes.errors import BugError
from probes.http import Body, BytesBody, FileBody, FormField, FormFile, HttpResponse, MultipartBody
from probes.http_message import fits_header, is_url
from probes.journey import Journey
from probes.records import FailureKind
from probes.target_model import Check, FormPart, Poll, Request, ResultRule
from probes.templates import TemplateError, fill_json, fill_text, fill_url, names_in

__all__ = ["Done", "Refused", "call", "instant_of", "results_of"]

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Done:
    """An operation that came to its end: the results that the description names, and what the checks looked at."""

    results: Values
    response: HttpResponse
    seen: Mapping[str, object] = field(default_factory=dict)

    def number(self, name: str) -> float:
        """A result that is a number; `call` has checked that it is one."""
        value = self.results.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BugError(f"the result {name!r} is not a number and was not checked")
        return float(value)

    def text(self, name: str) -> str:
        """A result as text; empty when it is not there."""
        value = self.results.get(name)
        return "" if value is None else str(value)

    def has(self, name: str) -> bool:
        """True when the description names the result and the answer had it."""
        return self.results.get(name) is not None


@dataclass(frozen=True, slots=True)
class Refused:
    """The platform declined, with a status that the description calls polite; `message` is what it told the customer."""

    status: int
    message: str


async def call(
    probe: Journey,
    operation: str,
    *,
    given: Values | None = None,
    scopes: Mapping[str, Values] | None = None,
    file: Path | None = None,
    refusable: bool = False,
    also_accept: Collection[int] = (),
    deadline_s: float | None = None,
) -> Done | Refused:
    """Do one operation in the open step.

    `given` are the values of this call, `scopes` the results of earlier operations by their names. With `refusable` a status
    of the target's `refusal.statuses` comes back as `Refused`; otherwise every unexpected status fails the step. `deadline_s` is
    for requests that the description gives none.
    """
    described = probe.target.operation(operation)
    earlier = {f"{scope}.{name}": value for scope, found in (scopes or {}).items() for name, value in found.items()}
    values = {**_known_values(probe, given or {}), **earlier}
    results: dict[str, object] = {}
    seen: dict[str, object] = {}
    polite = probe.target.refusal.statuses if refusable else ()
    for request in described.requests:
        if request.deadline_s is None and deadline_s is not None:
            request = request.model_copy(update={"deadline_s": deadline_s})  # noqa: PLW2901 - the same, with a limit
        _expect_usable(probe, request, {**earlier, **results})
        response = await _send(probe, operation, request, {**values, **results}, file, (*polite, *also_accept))
        if response.status in polite and response.status not in request.accept:
            return Refused(response.status, _refusal_message(probe, response))
        if response.status in also_accept:
            return Done(results, response, seen)
        answer = _answer(probe, request, response)
        for name, check in request.checks.items():
            seen[name] = _check(probe, name, check, answer)
        for name, rule in request.results.items():
            results[name] = _result(probe, name, rule, answer)
    return Done(results, response, seen)


def results_of(probe: Journey, operation: str, answer: object) -> Values:
    """The results of an operation's only request in an answer that somebody else got; missing ones are None."""
    (request,) = probe.target.operation(operation).requests
    return {
        name: in_unit_of(_found(rule.path, answer), rule.unit, unit_of_name(name))
        for name, rule in request.results.items()
    }


def _known_values(probe: Journey, given: Values) -> dict[str, object]:
    """Every placeholder that has a value, except for secrets, which are looked up only by requests that use them."""
    return {
        **probe.target.bases,
        **{f"value.{name}": text for name, text in probe.target.values.items()},
        "run_id": probe.run_id,
        "trace_id": probe.trace_id,
        "now": probe.clock.now().isoformat(),
        **given,
    }


def _expect_usable(probe: Journey, request: Request, handed_out: Values) -> None:
    """What the platform handed out must fit where it goes: a URL at the start of one, a line of text into a header.

    Else the request could not be written, which would be taken for a fault of the description.
    """
    in_headers = [name for text in request.headers.values() for name in names_in(text)]
    for name in (*names_in(request.url), *in_headers):
        if (value := handed_out.get(name)) is None:
            continue
        text = str(value)
        if name in in_headers and not fits_header(text):
            probe.expect(name, ok=False, expected="a line of text that a header can carry", found=text)
        if request.url.startswith(f"{{{name}}}") and not is_url(text):
            probe.expect(name, ok=False, expected="an absolute URL", found=text)


async def _send(
    probe: Journey, operation: str, request: Request, values: dict[str, object], file: Path | None, extra: Sequence[int]
) -> HttpResponse:
    """One request, asked again for as long as its poll says that the answer is not final."""
    values = {**values, **_secrets(probe, request)}
    try:
        url = fill_url(request.url, values)
        headers = {name: fill_text(text, values) for name, text in request.headers.items()}
        body = _body(request, values, file)
    except TemplateError as error:
        raise BugError(
            f"{operation}: {error}", remedy="The script must do the operation that finds it first (for example sign_in)"
        ) from error
    poll = request.poll
    accept = tuple(dict.fromkeys((*request.accept, *extra, *(poll.pending_statuses if poll else ()))))

    async def ask() -> HttpResponse:
        return await probe.request(
            request.method,
            url,
            headers=headers,
            body=body,
            deadline_s=request.deadline_s,
            follow_redirects=request.follow_redirects,
            accept=accept,
        )

    return await ask() if poll is None else await _final(probe, operation, request, poll, ask)


def _secrets(probe: Journey, request: Request) -> dict[str, object]:
    """The secrets that this request uses, hidden from all that is recorded from now on."""
    wanted = [name for name in request.placeholders() if name.startswith("secret.")]
    return {name: probe.hide(probe.target.secret(name.removeprefix("secret.")).get_secret_value()) for name in wanted}


def _body(request: Request, values: Values, file: Path | None) -> Body | None:
    if request.json_body is not None:
        text = json.dumps(fill_json(request.json_body, values), separators=(",", ":"))
        return BytesBody(text.encode(), "application/json")
    if request.json_lines:
        lines = [json.dumps(fill_json(line, values), separators=(",", ":")) for line in request.json_lines]
        return BytesBody("".join(f"{line}\n" for line in lines).encode(), "application/x-ndjson")
    if request.file:
        return FileBody(_required(file), str(values["media_type"]))
    if request.multipart:
        return MultipartBody(tuple(_form_part(part, values, file) for part in request.multipart))
    return None


def _form_part(part: FormPart, values: Values, file: Path | None) -> FormField | FormFile:
    if not part.file:
        return FormField(part.name, fill_text(part.value, values))
    return FormFile(part.name, _required(file), fill_text(part.file_name, values), fill_text(part.media_type, values))


def _required(file: Path | None) -> Path:
    if file is None:
        raise BugError("the operation sends a file and was given none")
    return file


async def _final(
    probe: Journey, operation: str, request: Request, poll: Poll, ask: Callable[[], Awaitable[HttpResponse]]
) -> HttpResponse:
    """Ask until the answer is final, or until the poll's own deadline: "in progress" for ever is a failure."""
    started_ns = probe.clock.monotonic_ns()
    wait_s, waited_s, asked = poll.first_s, 0.0, 1
    while _is_pending(request, poll, response := await ask()):
        if (probe.clock.monotonic_ns() - started_ns) / 1e9 + wait_s > poll.deadline_s:
            probe.fail(
                FailureKind.TIMEOUT,
                f"{operation}: still not done {poll.deadline_s:g} s after it began, asked {asked} times",
            )
        await probe.sleep(wait_s)
        waited_s, wait_s, asked = wait_s, min(wait_s * poll.factor, poll.most_s), asked + 1
    _note_resolution(probe, operation, waited_s)
    if response.status in request.accept and poll.failed and _truthy(_found(poll.failed, _json_or_none(response))):
        reason = _found(poll.reason, _json_or_none(response)) if poll.reason else None
        probe.fail(FailureKind.ASSERTION, f"{operation}: the platform reports a failure: {reason or 'no reason given'}")
    return response


def _note_resolution(probe: Journey, operation: str, waited_s: float) -> None:
    """A polled step is measured no finer than its last interval; the worst of the run stands in the record."""
    name = f"poll.{operation}.resolution_s"
    before = probe.attributes.get(name, 0.0)
    probe.attributes[name] = max(waited_s, before if isinstance(before, float) else 0.0)


def _is_pending(request: Request, poll: Poll, response: HttpResponse) -> bool:
    if response.status in poll.pending_statuses:
        return True
    return (
        response.status in request.accept
        and bool(poll.pending)
        and _truthy(_found(poll.pending, _json_or_none(response)))
    )


def _json_or_none(response: HttpResponse) -> object:
    """For looking only; an answer that had to be JSON and is not fails the step later, in `_answer`."""
    try:
        return response.json()
    except ValueError:
        return None


def _found(path: str, answer: object) -> object:
    """What the path finds; nothing when a function of it cannot be applied to this answer."""
    try:
        return find(path, answer)
    except ValueError:
        return None


def _truthy(value: object) -> bool:
    return bool(value) or (value == 0 and value is not False)  # JMESPath: only false, null and empty things are false


def _answer(probe: Journey, request: Request, response: HttpResponse) -> object:
    """The answer in the form that checks and results look at."""
    match request.answer:
        case "json":
            return probe.json(response)
        case "text":
            return response.body.decode("utf-8", "replace")
        case "bytes" | "none":
            return None


def _result(probe: Journey, name: str, rule: ResultRule, answer: object) -> object:
    """One result, in our own unit. A result that must be there and is not, or is no number where one is due, fails."""
    value = _found(rule.path, answer)
    if value is None:
        if rule.required:
            probe.expect(name, ok=False, expected=f"a value at {rule.path}", found=answer)
        return None
    if rule.secret:
        probe.hide(str(value))
    wanted = unit_of_name(name)
    if wanted and not _all_numbers(value):
        probe.expect(name, ok=False, expected=f"a number at {rule.path}", found=value)
    return in_unit_of(value, rule.unit, wanted)


def _all_numbers(value: object) -> bool:
    if isinstance(value, list):
        return all(_all_numbers(item) for item in value)
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(probe: Journey, name: str, check: Check, answer: object) -> object:
    """Whether one thing about the answer is true; returns what was looked at."""
    value = _found(check.path, answer)
    expected = _expected(check)
    if isinstance(value, str) and check.kind == "instant":
        _check_instant(probe, name, check, value)
    else:
        probe.expect(name, _holds(check, value), expected=expected, found=value)
    return value


def _holds(check: Check, value: object) -> bool:
    """Every condition of the check that needs no clock."""
    rules = [_is_kind(check.kind, value)]
    if check.equals is not None:
        rules.append(value == check.equals and isinstance(value, bool) == isinstance(check.equals, bool))
    if check.one_of:
        rules.append(value in check.one_of)
    if check.matches:
        rules.append(isinstance(value, str) and re.search(check.matches, value) is not None)
    if check.least is not None or check.most is not None:
        low = -math.inf if check.least is None else check.least
        high = math.inf if check.most is None else check.most
        rules.append(isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high)
    return all(rules)


def _is_kind(kind: str, value: object) -> bool:
    is_kind = {
        "any": value is not None,
        "text": isinstance(value, str) and bool(value),
        "number": not isinstance(value, list) and _all_numbers(value),
        "true_or_false": isinstance(value, bool),
        "object": isinstance(value, dict),
        "list": isinstance(value, list),
    }
    return is_kind.get(kind, False)


def _expected(check: Check) -> str:
    """The check in words."""
    words = [] if check.kind == "any" else [check.kind.replace("_", " ")]
    words += [repr(check.equals)] if check.equals is not None else []
    words += [f"one of {', '.join(check.one_of)}"] if check.one_of else []
    words += [f"text that matches {check.matches}"] if check.matches else []
    words += [f"at least {check.least:g}"] if check.least is not None else []
    words += [f"at most {check.most:g}"] if check.most is not None else []
    return f"{' and '.join(words) or 'a value'} at {check.path}"


def _check_instant(probe: Journey, name: str, check: Check, value: str) -> None:
    """An instant that can be read and is near our own clock."""
    at = instant_of(value)
    if at is None:
        probe.expect(name, ok=False, expected=f"an instant at {check.path}", found=value)
        return
    if check.within_s is not None:
        off_s = (at - probe.clock.now()).total_seconds()
        probe.expect(
            name,
            abs(off_s) <= check.within_s,
            expected=f"within {check.within_s:g} s of this probe's clock",
            found=f"{value} ({off_s:+.1f} s)",
        )


def instant_of(text: str) -> datetime | None:
    """An ISO 8601 instant with a time zone, or None."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _refusal_message(probe: Journey, response: HttpResponse) -> str:
    """What a refusal tells the customer; empty when it tells nothing in the place that the description names."""
    value = _found(probe.target.refusal.message, _json_or_none(response))
    return value.strip() if isinstance(value, str) else ""
