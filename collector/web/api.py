"""The JSON API: operations become routes, and one document describes them all; both come from the same models, so it is true.

Refuses to know any operation (the parts bring theirs). Called by `collector.web.server`.

Source: OpenAPI Specification 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from collector.web.registry import Access, Handler, Operation, Parameter, Route

__all__ = ["API_PATH", "FILE", "OPENAPI", "Answer", "Body", "ErrorAnswer", "Figure", "render_openapi", "route_of"]

API_PATH: Final = "/api/v1"
OPENAPI: Final = web.AppKey("openapi", dict[str, JsonValue])
_REFERENCE: Final = "#/components/schemas/{model}"
FILE: Final = "application/octet-stream"
_ERRORS: Final = {
    400: "What was asked makes no sense.",
    401: "No token, or none of this fleet's.",
    403: "The token may not do this, or the form was not ours.",
    404: "There is no such thing.",
    409: "It contradicts what is known already.",
    413: "Too much was sent.",
    429: "Too many requests; wait as `Retry-After` says.",
    503: "Not now; try again as `Retry-After` says.",
}


def _finite(number: object) -> object:
    """JSON has no word for what is no number."""
    return None if isinstance(number, float) and not math.isfinite(number) else number


Figure = Annotated[float | None, BeforeValidator(_finite)]
"""A number that somebody else worked out; null where it is none."""


class Answer(BaseModel):
    """What an operation answers; instants are ISO 8601 with their zone. May be read off a value that has the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class Body(BaseModel):
    """What an operation is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ErrorAnswer(Answer):
    """What is wrong, in words, and the status once more."""

    error: str
    detail: str
    status: int


def route_of(operation: Operation) -> Route:
    """The operation as a route."""
    path = f"{API_PATH}{operation.path}"
    return Route(operation.method, path, _handler(operation), operation.access)


def _handler(operation: Operation) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        if operation.body is None:
            answer = await operation.handler(request)
        else:
            answer = await operation.handler(request, await _body(request, operation.body))
        if isinstance(answer, web.StreamResponse):
            return answer
        kept = {"Cache-Control": f"public, max-age={operation.max_age_s}"} if operation.max_age_s else None
        return web.Response(text=answer.model_dump_json(), content_type="application/json", headers=kept)

    return handler


async def _body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    """The body as the model has it; 400 with what is wrong with it."""
    raw = await request.read()
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise web.HTTPBadRequest(text=f"{where}: {first['msg']}") from None


def render_openapi(operations: Sequence[Operation]) -> dict[str, JsonValue]:
    """The document that describes all of them."""
    models: list[type[BaseModel]] = [ErrorAnswer]
    for operation in operations:
        if operation.answer is not None:
            models.append(operation.answer)
        if operation.body is not None:
            models.append(operation.body)
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation" if issubclass(model, Body) else "serialization") for model in dict.fromkeys(models)
    ]
    names, schemas = models_json_schema(wanted, ref_template=_REFERENCE)
    references: dict[Any, dict[str, JsonValue]] = {model: reference for (model, _), reference in names.items()}
    paths: dict[str, JsonValue] = {}
    for operation in operations:
        methods = paths.setdefault(f"{API_PATH}{operation.path}", {})
        assert isinstance(methods, dict)  # noqa: S101 - made above
        methods[operation.method.lower()] = _described(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Probe fleet",
            "version": "1",
            "description": "What the pages show, as JSON. On the collector's own host no token is needed to read.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _described(operation: Operation, references: Mapping[Any, dict[str, JsonValue]]) -> dict[str, JsonValue]:
    if operation.answer is None:
        content: dict[str, JsonValue] = {FILE: {"schema": {"type": "string", "format": "binary"}}}
    else:
        content = _content(references[operation.answer])
    described: dict[str, JsonValue] = {
        "operationId": f"{operation.method.lower()}{operation.path.title()}".translate(
            {ord(c): None for c in "/{}-_."}
        ),
        "summary": operation.summary,
        "parameters": [_parameter(one) for one in operation.parameters],
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{
                str(status): {"description": words, "content": _content(references[ErrorAnswer])}
                for status, words in _ERRORS.items()
            },
        },
        "x-scope": operation.access.value,
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(references[operation.body])}
    if operation.access is Access.PUBLIC:
        described["security"] = []
    return described


def _content(reference: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"application/json": {"schema": reference}}


def _parameter(one: Parameter) -> dict[str, JsonValue]:
    return {
        "name": one.name,
        "in": "path" if one.is_in_path else "query",
        "required": one.is_in_path,
        "description": one.description,
        "schema": dict(one.schema),
    }
