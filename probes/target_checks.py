"""What no single field of a target description can know: unknown operations, placeholders without a value, wrong units.

Pure: a `TargetFile` in, a list of problems with the path of each out. It judges only what the file says, not whether the
environment has the values. Called by `probes.targets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from probes.answers import UNITS, unit_of_name
from probes.dsn import DSN_PARTS, DSN_VALUE
from probes.target_behind import BACKUP_SECRETS
from probes.target_model import Operation, Request, ResultRule, Sourced, TargetFile
from probes.target_operations import ALWAYS_GIVEN, OPERATIONS, OperationRule
from probes.templates import TemplateError, is_name, names_in
from probes.toml_file import TomlProblem, nearest
from probes.toml_positions import KeyPath

__all__ = ["check_target"]


def check_target(target: TargetFile) -> list[TomlProblem]:
    """Everything wrong with the description that its types could not show."""
    problems = list(_check_names(target))
    constants = set(target.bases) | {f"value.{name}" for name in target.values}
    known = constants | {f"secret.{name}" for name in target.secrets}
    for name, source in {**target.bases, **target.values}.items():
        problems += _check_constant(("bases" if name in target.bases else "values", name), source)
    problems += _check_behind(target, constants, known)
    if target.widget is not None:
        problems += _check_text(("widget", "page"), target.widget.page, constants)
    for name, operation in target.operations.items():
        if (rule := OPERATIONS.get(name)) is None:
            problems.append(TomlProblem(("operations", name), "unknown operation", nearest(name, OPERATIONS)))
        else:
            problems += _check_operation(target, name, operation, rule, known)
    return problems


def _check_names(target: TargetFile) -> Iterator[TomlProblem]:
    """A name must mean one thing: a base called like something an operation is given would hide it."""
    given = {name for rule in OPERATIONS.values() for name in rule.given} | set(ALWAYS_GIVEN)
    for name in target.bases:
        if name in given:
            yield TomlProblem(("bases", name), "this name is taken: it already means something else in a request")
    for table, names in (("bases", target.bases), ("values", target.values), ("secrets", target.secrets)):
        for name in names:
            if not is_name(name):
                yield TomlProblem((table, name), "a name has lower-case letters, digits and underscores")
    if target.allows.payment == "test" and not target.allows.writes:
        yield TomlProblem(("allows", "payment"), "a test payment makes a quote, so it needs allows.writes = true too")


def _check_behind(target: TargetFile, constants: set[str], known: set[str]) -> Iterator[TomlProblem]:
    """Backups, drill and failover: their placeholders, and what they cannot do without."""
    if (backups := target.backups) is not None:
        for key in ("endpoint", "bucket", "region"):
            yield from _check_text(("backups", key), getattr(backups, key), constants)
        for name in BACKUP_SECRETS:
            if name not in target.secrets:
                yield TomlProblem(("backups",), f"the secret {name} is not described", f"Add [secrets.{name}]")
    if (drill := target.drill) is not None:
        yield from _check_text(("drill", "server"), drill.server, known)
        if backups is None:
            yield TomlProblem(("drill",), "a drill restores a backup, and [backups] is missing")
    if target.failover is not None and "service_health" not in target.operations:
        yield TomlProblem(
            ("failover",), "there is no operation service_health to ask", "Add [[operations.service_health.requests]]"
        )


def _check_constant(path: KeyPath, source: Sourced) -> Iterator[TomlProblem]:
    for text in (source.value, source.default):
        if path[0] == "bases" and text and not text.startswith(("http://", "https://")):
            yield TomlProblem(path, f"{text!r} is not a base URL; it starts with http:// or https://")


def _check_operation(
    target: TargetFile, name: str, operation: Operation, rule: OperationRule, constants: set[str]
) -> Iterator[TomlProblem]:
    path: KeyPath = ("operations", name)
    known = constants | set(ALWAYS_GIVEN) | set(rule.given) | _seen(target, rule)
    if DSN_VALUE not in target.values:
        known -= set(DSN_PARTS)
    found: set[str] = set()
    for index, request in enumerate(operation.requests):
        yield from _check_request((*path, "requests", index), request, known | found, rule)
        found |= set(request.results)
    missing = [result for result in rule.must_find if result not in found]
    if rule.any_of and not any(found.issuperset(choice) for choice in rule.any_of):
        missing.append(" or ".join(" and ".join(choice) for choice in rule.any_of))
    for result in missing:
        yield TomlProblem(path, f"no request says where the result {result} stands", "Add it to a [..results] table")


def _seen(target: TargetFile, rule: OperationRule) -> set[str]:
    """The results of other operations, as `operation.result`, that this one may use."""
    return {
        f"{other}.{result}"
        for other in rule.sees
        if other in target.operations
        for request in target.operations[other].requests
        for result in request.results
    }


def _check_request(path: KeyPath, request: Request, known: set[str], rule: OperationRule) -> Iterator[TomlProblem]:
    yield from _check_text((*path, "url"), request.url, known)
    if not request.url.startswith("{"):
        yield TomlProblem(
            (*path, "url"), f"{request.url!r} does not start with a base", "Write for example {api}/health"
        )
    for header, text in request.headers.items():
        yield from _check_text((*path, "headers", header), text, known)
    yield from _check_body(path, request, known, rule)
    for result, where in request.results.items():
        yield from _check_result((*path, "results", result), result, where, known)
    if request.poll is not None and request.answer == "none":
        yield TomlProblem((*path, "poll"), 'polling needs an answer to look at, but answer is "none"')
    for check, wanted in request.checks.items():
        if wanted.moves and wanted.kind != "instant":
            yield TomlProblem((*path, "checks", check), 'moves needs kind = "instant"')


def _check_body(path: KeyPath, request: Request, known: set[str], rule: OperationRule) -> Iterator[TomlProblem]:
    if request.json_body is not None:
        yield from _check_json((*path, "json"), request.json_body, known)
    yield from _check_json((*path, "json_lines"), request.json_lines, known)
    sends_file = request.file or any(part.file for part in request.multipart)
    if sends_file and not rule.takes_file:
        yield TomlProblem((*path, "file" if request.file else "multipart"), "this operation has no file to send")
    for index, part in enumerate(request.multipart):
        for key, text in (("value", part.value), ("file_name", part.file_name), ("media_type", part.media_type)):
            if part.file or key == "value":
                yield from _check_text((*path, "multipart", index, key), text, known)


def _check_json(path: KeyPath, value: object, known: set[str]) -> Iterator[TomlProblem]:
    """Each text of the body, so that a problem points at its own line."""
    match value:
        case str():
            yield from _check_text(path, value, known)
        case Mapping():
            for key, inner in value.items():
                yield from _check_json((*path, key), inner, known)
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from _check_json((*path, index), inner, known)
        case _:
            return


def _check_text(path: KeyPath, text: str, known: Iterable[str]) -> Iterator[TomlProblem]:
    try:
        names = names_in(text)
    except TemplateError as error:
        yield TomlProblem(path, str(error))
        return
    for name in names:
        if name not in known:
            yield TomlProblem(path, f"unknown placeholder {{{name}}}", nearest(name, known))


def _check_result(path: KeyPath, name: str, rule: ResultRule, known: set[str]) -> Iterator[TomlProblem]:
    if not is_name(name):
        yield TomlProblem(path, "a name has lower-case letters, digits and underscores")
    if name in known:
        yield TomlProblem(path, "this name is taken: it already means something else in this request")
    wanted = unit_of_name(name)
    if rule.unit and not wanted:
        yield TomlProblem((*path, "unit"), f"{name} has no unit of its own, so {rule.unit} cannot be converted")
    elif rule.unit and UNITS[rule.unit][0] != UNITS[wanted][0]:
        yield TomlProblem((*path, "unit"), f"{rule.unit} is not a unit of {UNITS[wanted][0]}, which {name} needs")
