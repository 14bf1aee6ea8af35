"""The fleet's settings: built-in defaults, then a person's file, then `PROBE_FLEET_...` variables; the later wins.

Strict: an unknown key or variable is an error that names it, its place and the nearest known one. Nothing is read from
the command line here; the runner's options are laid over by the wiring. Called once, at start.
"""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError

from probes.errors import OperatorError
from probes.forms import form
from probes.secret_source import SecretSource, find_secret
from probes.settings_alerts import AlertsFile, AlertsSettings, alerts_of
from probes.settings_exports import ExportsFile, ExportsSettings, exports_of
from probes.settings_pages import PagesFile, PagesSettings, pages_of
from probes.settings_releases import ReleasesFile, ReleasesSettings, releases_of
from probes.settings_words import NAME_FORM, NAME_WORDS, Endpoint, HttpOrNone, Name, NameOrNone, Strict, folder_of
from probes.toml_file import TomlFile, dotted, nearest, problems_of, read_toml
from probes.toml_positions import KeyPath

__all__ = [
    "BUILT_IN_SETTINGS",
    "ENVIRONMENT_PREFIX",
    "BrokerSettings",
    "CollectorSettings",
    "Settings",
    "WorkerSettings",
    "load_settings",
]

BUILT_IN_SETTINGS: Final = Path(__file__).resolve().parent.parent / "config" / "fleet.toml"
ENVIRONMENT_PREFIX: Final = "PROBE_FLEET_"
SETTINGS_VARIABLE: Final = "PROBE_FLEET_SETTINGS"
"""Names a person's settings file; the only variable of the prefix that is not itself a setting."""


class _State(Strict):
    dir: str
    parts_dir: str


class _EvidenceKept(Strict):
    dir: str
    mode: Literal["never", "failures", "always"]
    keep_days: Annotated[float, Field(gt=0)]
    keep_mib: Annotated[int, Field(gt=0)]


class _BrowserChosen(Strict):
    path: str
    sandbox: Literal["auto", "on", "off"]


class _Broker(Strict):
    url: Annotated[str, form(r"embedded|mqtts?://.+", "`embedded`, or an address that begins with mqtt:// or mqtts://")]
    port: Annotated[int, Field(ge=0, le=65_535)]
    username: str
    ca_file: str
    certificate_file: str
    key_file: str
    probes: list[Annotated[str, form(f"{NAME_FORM}/{NAME_FORM}", f"REGION/PROBE, each {NAME_WORDS}")]]
    collectors: Annotated[list[Name], Field(min_length=1)]
    operators: list[Name]


class _Collector(Strict):
    name: NameOrNone
    database: str
    health: Endpoint
    keep_days: Annotated[float, Field(ge=0)]
    keep_mib: Annotated[int, Field(ge=0)]


class _Worker(Strict):
    health: Endpoint
    control_url: HttpOrNone
    http_places: Annotated[int, Field(ge=1, le=100)]
    browser_places: Annotated[int, Field(ge=1, le=100)]
    stop_s: Annotated[float, Field(ge=0, le=3_600)]
    outbox_mib: Annotated[int, Field(ge=1)]
    outbox_days: Annotated[float, Field(gt=0)]
    maintenance: list[str]


class _ServiceLevels(Strict):
    dir: str


class _SettingsFile(Strict):
    """The keys of `config/fleet.toml`, which has the default of each; nothing has a second default here."""

    fleet: Name
    regions: Annotated[list[Name], Field(min_length=1)]
    region: Name
    probe: NameOrNone
    target: str
    targets_dir: str
    scenarios_dir: str
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)]
    state: _State
    evidence: _EvidenceKept
    browser: _BrowserChosen
    schedule: Mapping[str, str]
    broker: _Broker
    collector: _Collector
    worker: _Worker
    slo: _ServiceLevels
    pages: PagesFile
    alerts: AlertsFile
    exports: ExportsFile
    releases: ReleasesFile
    secrets: Mapping[str, SecretSource] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker is and who we are to it; `url` is "embedded" for the one that comes with the install."""

    url: str
    port: int
    username: str
    ca_file: Path | None
    certificate_file: Path | None
    key_file: Path | None
    probes: tuple[str, ...]
    collectors: tuple[str, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """What is the collector's own. `database` is a file or an address, `health` HOST:PORT or empty, 0 keeps without bound."""

    name: str
    database: str
    health: str
    keep_days: float
    keep_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What is the worker's own; `health` is HOST:PORT or empty."""

    health: str
    control_url: str
    http_places: int
    browser_places: int
    stop_s: float
    outbox_bytes: int
    outbox_days: float
    maintenance: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with folders resolved. `target` is empty when none is configured.

    `targets_dir`, `scenarios_dir` and `slo_dir` are None when there is no folder of one's own, `browser_sandbox` is None for
    "auto".
    `secret_places` says where each of `secret_sources` is described, `sources` what was read, for a person who wonders where a
    value comes from.
    """

    fleet: str
    regions: tuple[str, ...]
    region: str
    probe: str
    target: str
    targets_dir: Path | None
    scenarios_dir: Path | None
    max_in_flight: int
    state_dir: Path
    parts_dir: Path
    evidence_dir: Path
    evidence_mode: str
    evidence_keep_days: float
    evidence_keep_bytes: int
    browser_path: str
    browser_sandbox: bool | None
    schedule: Mapping[str, str]
    broker: BrokerSettings
    collector: CollectorSettings
    worker: WorkerSettings
    slo_dir: Path | None
    pages: PagesSettings
    alerts: AlertsSettings
    exports: ExportsSettings
    releases: ReleasesSettings
    secret_sources: Mapping[str, SecretSource]
    secret_places: Mapping[str, str]
    environ: Mapping[str, str] = field(repr=False)
    sources: tuple[str, ...]

    def secret(self, name: str) -> SecretStr:
        """The secret called `name` of `[secrets]`; `OperatorError` that says what to set when it is missing."""
        source = self.secret_sources.get(name)
        if source is None:
            remedy = (
                f'Write {name} = {{ env = "A_VARIABLE" }} or {{ file = "PATH" }} below [secrets] of a settings file'
            )
            raise OperatorError(f"no secret {name!r} is described", where=f"secrets.{name}", remedy=remedy)
        return find_secret(source, name=name, where=self.secret_places[name], folder=Path.cwd(), environ=self.environ)


@dataclass(frozen=True, slots=True)
class _Layer:
    """One source of settings; `where` says in words of its own where a key stands in it."""

    name: str
    data: Mapping[str, object]
    file: TomlFile | None = None

    def has(self, path: KeyPath) -> bool:
        here: Any = self.data
        try:
            for part in path:
                here = here[part]
        except (KeyError, IndexError, TypeError):
            return False
        return True

    def where(self, path: KeyPath) -> str:
        return self.file.where(path) if self.file else _variable(path)


def load_settings(*, environ: Mapping[str, str], path: Path | None = None) -> Settings:
    """Read the settings. `path` is a person's file; without it `PROBE_FLEET_SETTINGS` and then the XDG folder are looked at.

    `OperatorError` for a file that is named and missing, and for whatever is wrong in a file or a variable.
    """
    layers = [_Layer(str(BUILT_IN_SETTINGS), (built_in := read_toml(BUILT_IN_SETTINGS)).data, built_in)]
    if (own := _own_file(path, environ)) is not None:
        layers.append(_Layer(str(own), (read := read_toml(own)).data, read))
    if from_environment := _from_environment(environ, built_in.data):
        layers.append(_Layer("the environment", from_environment))
    data: dict[str, object] = {}
    for layer in layers:
        data = _laid_over(data, layer.data)
    try:
        return _resolved(_SettingsFile.model_validate(data), environ, layers)
    except ValidationError as error:
        raise _refusal(error, data, layers) from error


def _own_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """A file that somebody named must exist; the one in the XDG folder may."""
    if path is not None:
        return path
    if named := environ.get(SETTINGS_VARIABLE):
        return Path(named).expanduser()
    usual = _xdg(environ, "XDG_CONFIG_HOME", ".config") / "fleet.toml"
    return usual if usual.is_file() else None


def _xdg(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """Our folder below one of the base directories. Source: XDG Base Directory Specification 0.8."""
    base = environ.get(variable, "")
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return (Path(base) if base.startswith("/") else home / default) / "probe-fleet"


def _leaves(data: Mapping[str, object], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _variable(path: KeyPath) -> str:
    """The variable of a key; a place in a list is in the variable of the whole list."""
    return ENVIRONMENT_PREFIX + "_".join(part for part in path if isinstance(part, str)).upper()


def _from_environment(environ: Mapping[str, str], defaults: Mapping[str, object]) -> dict[str, object]:
    """The variables of our prefix as settings; their type is that of the default."""
    known = {_variable(path): (path, default) for path, default in _leaves(defaults)}
    data: dict[str, object] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == SETTINGS_VARIABLE:
            continue
        if variable not in known:
            raise OperatorError("no setting has this name", where=variable, remedy=nearest(variable, known))
        path, default = known[variable]
        leaf: dict[str, object] = {path[-1]: _typed(variable, text, default)}
        for part in reversed(path[:-1]):
            leaf = {part: leaf}
        data = _laid_over(data, leaf)
    return data


def _typed(variable: str, text: str, default: object) -> object:
    """The text as what the default is; a list is written with commas."""
    if isinstance(default, str):
        return text
    if isinstance(default, list):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"{text!r} is not a number", where=variable) from error


def _laid_over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """`below` with the keys of `above` in place of its own, table by table."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _laid_over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _refusal(error: ValidationError, data: Mapping[str, object], layers: list[_Layer]) -> OperatorError:
    """The first problem, at its place in the layer that brought it."""
    problem = problems_of(error, data, _SettingsFile)[0]
    layer = next((layer for layer in reversed(layers) if layer.has(problem.path)), layers[-1])
    return OperatorError(
        f"{dotted(problem.path)}: {problem.message}", where=layer.where(problem.path), remedy=problem.remedy
    )


def _resolved(file: _SettingsFile, environ: Mapping[str, str], layers: Sequence[_Layer]) -> Settings:
    state_dir = folder_of(file.state.dir) or _xdg(environ, "XDG_STATE_HOME", ".local/state")
    return Settings(
        fleet=file.fleet,
        regions=tuple(dict.fromkeys(file.regions)),
        region=file.region,
        probe=file.probe or _host_name(),
        target=file.target,
        targets_dir=folder_of(file.targets_dir),
        scenarios_dir=folder_of(file.scenarios_dir),
        max_in_flight=file.max_in_flight,
        state_dir=state_dir,
        parts_dir=folder_of(file.state.parts_dir) or _xdg(environ, "XDG_CACHE_HOME", ".cache") / "parts",
        evidence_dir=folder_of(file.evidence.dir) or state_dir / "evidence",
        evidence_mode=file.evidence.mode,
        evidence_keep_days=file.evidence.keep_days,
        evidence_keep_bytes=file.evidence.keep_mib * 1024 * 1024,
        browser_path=file.browser.path,
        browser_sandbox={"auto": None, "on": True, "off": False}[file.browser.sandbox],
        schedule=file.schedule,
        broker=_broker(file.broker),
        collector=_collector(file.collector, state_dir),
        worker=_worker(file.worker),
        slo_dir=folder_of(file.slo.dir),
        pages=pages_of(file.pages),
        alerts=alerts_of(file.alerts),
        exports=exports_of(file.exports),
        releases=releases_of(file.releases),
        secret_sources=file.secrets,
        secret_places={
            name: f"{layer.where(('secrets', name))}: secrets.{name}"
            for layer in layers
            for name in file.secrets
            if layer.has(("secrets", name))
        },
        environ=environ,
        sources=tuple(layer.name for layer in layers),
    )


def _broker(file: _Broker) -> BrokerSettings:
    return BrokerSettings(
        url=file.url,
        port=file.port,
        username=file.username,
        ca_file=folder_of(file.ca_file),
        certificate_file=folder_of(file.certificate_file),
        key_file=folder_of(file.key_file),
        probes=tuple(file.probes),
        collectors=tuple(dict.fromkeys(file.collectors)),
        operators=tuple(dict.fromkeys(file.operators)),
    )


def _collector(file: _Collector, state_dir: Path) -> CollectorSettings:
    return CollectorSettings(
        name=file.name or _host_name(),
        database=file.database or str(state_dir / "collector.db"),
        health=file.health,
        keep_days=file.keep_days,
        keep_bytes=file.keep_mib * 1024 * 1024,
    )


def _worker(file: _Worker) -> WorkerSettings:
    return WorkerSettings(
        health=file.health,
        control_url=file.control_url,
        http_places=file.http_places,
        browser_places=file.browser_places,
        stop_s=file.stop_s,
        outbox_bytes=file.outbox_mib * 1024 * 1024,
        outbox_days=file.outbox_days,
        maintenance=tuple(file.maintenance),
    )


def _host_name() -> str:
    """The host's name as a word that a topic can hold."""
    return re.sub(r"[^a-z0-9.-]+", "-", platform.node().lower())[:63].strip("-.") or "probe"
