"""How a module of pages says what it serves: routes, who may ask for them, its place in the navigation, what it starts.

A module holds one `Part` and has one line in `collector.web.parts`; so several people add pages without meeting. Refuses to serve
anything. Called by `collector.web.server` and the modules `collector.web.routes_*`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web
from pydantic import BaseModel, JsonValue

__all__ = ["Access", "Handler", "NavLink", "Operation", "Parameter", "Part", "Route"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(StrEnum):
    """Who may ask: anybody; who may read; who may operate."""

    PUBLIC = "public"
    READ = "read"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Route:
    """A path of aiohttp's form (`/levels/{name}`) and who answers there. A GET route answers HEAD too.

    Every method but GET changes something and needs proof that no other site sent the request; `is_signed` says that the
    path itself is that proof: a link whose holder may do this one thing.
    `is_long`: its answer goes on, and is bounded by whoever gives it.
    """

    method: str
    path: str
    handler: Handler
    access: Access = Access.READ
    is_signed: bool = False
    is_long: bool = False


@dataclass(frozen=True, slots=True)
class NavLink:
    """An entry of the navigation; `order` sorts them."""

    order: int
    label: str
    path: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation; `schema` is its JSON schema. One in the path is always required."""

    name: str
    schema: Mapping[str, JsonValue]
    description: str
    is_in_path: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the JSON API, below `/api/v1`: what it takes, and the model of what it answers.

    The handler gets the request and, where there is a `body`, the parsed body; it returns the answer and knows no HTTP but
    its errors. Without an `answer` it is a file, and the handler sends it. Caches may keep an answer for `max_age_s`.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[BaseModel | web.StreamResponse]]
    summary: str
    answer: type[BaseModel] | None
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    access: Access = Access.READ
    max_age_s: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What one module adds. `begin` may put what it keeps into the application and register its own beginning and end."""

    routes: tuple[Route, ...]
    nav: tuple[NavLink, ...] = ()
    api: tuple[Operation, ...] = ()
    begin: Callable[[web.Application], None] | None = None
