"""What a session will do, decided before anything runs: which target, which scenarios, and what is left out and why.

A scenario that was named and may not run is an error; one that a glob chose is left out with its reason. Secrets that a chosen
scenario needs are looked for now, because an hour of runs must not end in a missing variable. Refuses to run anything.
Called by `console.session` and `console.demo`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from console.stand_in import StandIn, start_stand_in
from probes.admission import refusal
from probes.errors import OperatorError
from probes.registry import Registry, ScenarioSpec, is_glob
from probes.settings import Settings
from probes.target_model import Request
from probes.targets import Target, load_target
from probes.templates import names_in, names_in_json

__all__ = ["Choice", "ChosenTarget", "choose_scenarios", "open_stand_in", "open_target", "own_folders"]

_STAND_IN = "stand-in"
Say = Callable[[str], None]
"""Prints a line; what is probed is said before it is started or asked."""


@dataclass(frozen=True, slots=True)
class ChosenTarget:
    """What is probed, who chose it, and the stand-in if one was started for it."""

    target: Target
    chosen_by: str
    stand_in: StandIn | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The scenarios that will run, and the others with the reason why not."""

    specs: tuple[ScenarioSpec, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def own_folders(folder: Path | None) -> tuple[Path, ...]:
    """The folder of one's own that the settings name, if they do."""
    return (folder,) if folder is not None else ()


@asynccontextmanager
async def open_target(
    asked: str, settings: Settings, specs: Iterable[ScenarioSpec], *, say: Say
) -> AsyncIterator[ChosenTarget]:
    """The target that was asked for or is configured; with neither, a stand-in fit for `specs` for the length of the block.

    Says which.
    """
    folders = own_folders(settings.targets_dir)
    name = asked or settings.target
    if name:
        target = load_target(name, folders=folders, environ=settings.environ)
        chosen_by = "--target" if asked else "the settings"
        say(f"Probing {target.name} at {_address(target)}")
        yield ChosenTarget(target, chosen_by)
        return
    say("Probing a stand-in that is started for it: no target is configured (--target names one)")
    async with open_stand_in(settings, specs, say=say) as chosen:
        yield chosen


@asynccontextmanager
async def open_stand_in(settings: Settings, specs: Iterable[ScenarioSpec], *, say: Say) -> AsyncIterator[ChosenTarget]:
    """A stand-in of our own for the length of the block, on which `specs` will run.

    Where none of them writes no part will be measured: nobody waits for the kernels, and no run is timed beside their start.
    """
    options = () if any(spec.writes for spec in specs) else ("--warm", "0")
    async with start_stand_in(options) as stand_in:
        target = load_target(
            _STAND_IN,
            environ=settings.environ,
            base_overrides=stand_in.urls,
            ca_file=stand_in.ca_file,
            trusted_spki=stand_in.trusted_spki,
        )
        say(f"the stand-in is ready: {_address(target)}")
        yield ChosenTarget(target, "none configured", stand_in)


def _address(target: Target) -> str:
    return target.bases.get("api") or next(iter(target.bases.values()), "nowhere")


def choose_scenarios(globs: Sequence[str], registry: Registry, target: Target) -> Choice:
    """The scenarios of the names and globs that may run against `target`.

    Raises OperatorError for an unknown name, a named scenario that may not run, a missing secret, and when nothing is left.
    """
    named = {word for word in globs if not is_glob(word)}
    chosen, left_out = [], []
    for spec in registry.select(globs):
        refused = refusal(spec, target)
        if refused is None:
            chosen.append(spec)
        elif spec.name in named:
            raise refused
        else:
            left_out.append((spec.name, str(refused)))
    if not chosen:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out)
        raise OperatorError(f"none of the chosen scenarios may run against {target.name!r}: {reasons}")
    for spec in chosen:
        _require_secrets(spec, target)
    return Choice(tuple(chosen), tuple(left_out))


def _require_secrets(spec: ScenarioSpec, target: Target) -> None:
    """Look up every secret that the operations of `spec` use; the first that is missing raises OperatorError."""
    seen: set[str] = set()
    wanted = [need for need in spec.needs if target.has(need)]
    while wanted:
        operation = wanted.pop()
        seen.add(operation)
        for request in target.operation(operation).requests:
            for name in _names_of(request):
                owner, _, rest = name.partition(".")
                if owner == "secret":
                    target.secret(rest)
                elif target.has(owner) and owner not in seen:
                    wanted.append(owner)


def _names_of(request: Request) -> Iterator[str]:
    """Every placeholder of a request."""
    for text in (request.url, *request.headers.values(), *(part.value for part in request.multipart)):
        yield from names_in(text)
    yield from names_in_json(request.json_body)
