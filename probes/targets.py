"""What is probed: a target description, read from a TOML file, checked, and with its base URLs and values looked up.

Everything that differs between deployments (paths, bodies, the places of results, limits, permissions) is data here, so
that another deployment takes a file and no code. It makes no request: `scenarios.platform` does. Called by the wiring,
which hands the `Target` to every journey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from probes.dsn import DSN_PARTS, DSN_VALUE, parse_dsn
from probes.errors import OperatorError
from probes.secret_source import SecretSource, find_secret
from probes.target_behind import Backups, Drill, Failover
from probes.target_checks import check_target
from probes.target_model import (
    Operation,
    PartChoice,
    Permissions,
    Refusal,
    Sourced,
    TargetFile,
    Widget,
)
from probes.target_operations import OPERATIONS
from probes.templates import fill_text, names_in
from probes.toml_file import TomlFile, nearest, read_toml

__all__ = ["BUILT_IN_TARGETS", "Target", "list_targets", "load_target"]

BUILT_IN_TARGETS: Final = Path(__file__).resolve().parent.parent / "config" / "targets"
"""The descriptions that come with the fleet: `stand-in` and `cnc-quote`."""

BEHIND: Final = ("backups", "drill", "failover")
"""Needs that are tables of the description."""


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment, ready to be probed: base URLs and values are there, secrets are looked up when they are used.

    `bases` and `values` are name -> text. `ca_file` and `trusted_spki` say which certificates to trust besides the system's
    (`trusted_spki`: base64 SHA-256 of public keys, for a browser). `path` is the file that describes it. `unset`: the
    placeholders whose optional variable is not set -> that variable.
    """

    name: str
    path: Path
    bases: Mapping[str, str]
    summary: str = ""
    is_stand_in: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    allows: Permissions = field(default_factory=Permissions)
    refusal: Refusal = field(default_factory=Refusal)
    quantities: tuple[int, ...] = (1, 10, 100)
    parts: PartChoice = field(default_factory=PartChoice)
    operations: Mapping[str, Operation] = field(default_factory=dict)
    widget: Widget | None = None
    backups: Backups | None = None
    drill: Drill | None = None
    failover: Failover | None = None
    unset: Mapping[str, str] = field(default_factory=dict)
    ca_file: Path | None = None
    trusted_spki: tuple[str, ...] = ()
    secret_sources: Mapping[str, SecretSource] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    source: TomlFile | None = field(default=None, repr=False)

    def base(self, name: str) -> str:
        """The base URL called `name`, without a slash at its end; `OperatorError` when there is none."""
        if name not in self.bases:
            raise OperatorError(f"the target has no base {name!r}", where=self.where("bases"), remedy="Add it there")
        return self.bases[name]

    def has(self, operation: str) -> bool:
        """True when the description says how `operation` is done, and every optional variable that it uses is set."""
        return operation in self.operations and not self.unset_variables(operation)

    def operation(self, name: str) -> Operation:
        """How `name` is done here; `OperatorError` when the description does not say."""
        if name not in self.operations:
            known = nearest(name, self.operations)
            raise OperatorError(
                f"the target {self.name!r} does not say how to do {name!r}",
                where=self.where("operations"),
                remedy=f"Describe it as [operations.{name}]" if name in OPERATIONS else known,
            )
        return self.operations[name]

    def lacks(self, needs: Iterable[str]) -> tuple[str, ...]:
        """Those of a scenario's needs that this target does not meet: operations, `widget`, or lists like `parts.over_limit`."""
        return tuple(need for need in needs if not self._meets(need))

    def _meets(self, need: str) -> bool:
        if need == "widget":
            return self.widget is not None
        if need.startswith("parts."):
            return bool(getattr(self.parts, need.removeprefix("parts."), ()))
        if need in BEHIND:
            return getattr(self, need) is not None and not self.unset_variables(need)
        return self.has(need)

    def unset_variables(self, need: str) -> tuple[str, ...]:
        """The optional variables that a need uses and nobody has set."""
        if not self.unset:
            return ()
        used = {f"value.{DSN_VALUE}" if name in DSN_PARTS else name for name in self._placeholders(need)}
        return tuple(sorted({self.unset[name] for name in used if name in self.unset}))

    def _placeholders(self, need: str) -> frozenset[str]:
        if need in self.operations:
            return self.operations[need].placeholders()
        behind = self.backups if need == "backups" else self.drill if need == "drill" else None
        return frozenset() if behind is None else behind.placeholders()

    def fill(self, text: str) -> str:
        """A text of the description with bases, values and secrets in it."""
        names = [name.removeprefix("secret.") for name in names_in(text) if name.startswith("secret.")]
        secrets = {f"secret.{name}": self.secret(name).get_secret_value() for name in names}
        return fill_text(text, {**self.bases, **{f"value.{name}": at for name, at in self.values.items()}, **secrets})

    def secret(self, name: str) -> SecretStr:
        """The secret called `name`; `OperatorError` that names the variable, file and key when it is missing."""
        source = self.secret_sources.get(name)
        if source is None:
            raise OperatorError(
                f"no secret {name!r} is described", where=self.where("secrets"), remedy="Add it to [secrets]"
            )
        where = self.where("secrets", name)
        return find_secret(source, name=name, where=where, folder=self.path.parent, environ=self.environ)

    def missing_secret(self, needs: Iterable[str]) -> OperatorError | None:
        """The error for the first secret that these operations need and nobody has set, so that it is told before a run."""
        used = {name for need in needs if self._meets(need) for name in self._placeholders(need)}
        if self.has("sign_in") and any(name.startswith("sign_in.") for name in used):
            used |= self.operations["sign_in"].placeholders()
        for name in sorted(name for name in used if name.startswith("secret.")):
            try:
                self.secret(name.removeprefix("secret."))
            except OperatorError as error:
                return error
        return None

    def known_secrets(self) -> tuple[str, ...]:
        """The secrets that are present, so that they can be masked wherever they turn up; missing ones are no error yet."""
        found: list[str] = []
        for name in self.secret_sources:
            with suppress(OperatorError):
                found.append(self.secret(name).get_secret_value())
        return tuple(found)

    def where(self, *path: str | int) -> str:
        """`file:line` of a key of the description."""
        return self.source.where(path) if self.source is not None else str(self.path)


def load_target(
    name_or_path: str | Path,
    *,
    environ: Mapping[str, str],
    folders: Sequence[Path] = (),
    base_overrides: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    trusted_spki: tuple[str, ...] = (),
) -> Target:
    """Read a description by its name (in `folders`, then among the built-in ones) or by the path of its file.

    `base_overrides` replace base URLs (the runner's own stand-in has ports of its own). `OperatorError` for an unknown
    name, a file that is wrong, and variables that are missing.
    """
    path = _find(name_or_path, (*folders, BUILT_IN_TARGETS))
    source = read_toml(path)
    described = source.validate(TargetFile)
    if problems := check_target(described):
        raise source.refusal(problems)
    bases = _looked_up(source, "bases", described.bases, environ, dict(base_overrides or {}))
    values = _looked_up(source, "values", described.values, environ, {})
    _check_dsn(source, values.get(DSN_VALUE, ""))
    if described.tls.ca_file and ca_file is None:
        ca_file = (path.parent / Path(described.tls.ca_file).expanduser()).resolve()
    return Target(
        name=described.name,
        path=path,
        summary=described.summary,
        is_stand_in=described.is_stand_in,
        bases={name: url.rstrip("/") for name, url in bases.items()},
        values=values,
        limits=described.limits,
        allows=described.allows,
        refusal=described.refusal,
        quantities=described.quantities,
        parts=described.parts,
        operations=described.operations,
        widget=described.widget,
        backups=described.backups,
        drill=described.drill,
        failover=described.failover,
        unset=_unset(described.bases, bases, "") | _unset(described.values, values, "value."),
        ca_file=ca_file,
        trusted_spki=trusted_spki or described.tls.trusted_spki,
        secret_sources=described.secrets,
        environ=environ,
        source=source,
    )


def list_targets(folders: Sequence[Path] = ()) -> tuple[tuple[str, Path], ...]:
    """Name and file of every description in `folders` and among the built-in ones; the first of a name wins."""
    found: dict[str, Path] = {}
    for folder in (*folders, BUILT_IN_TARGETS):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return tuple(sorted(found.items()))


def _find(name_or_path: str | Path, folders: Sequence[Path]) -> Path:
    asked = Path(name_or_path).expanduser()
    if asked.suffix == ".toml" or len(asked.parts) > 1:
        if asked.is_file():
            return asked
        raise OperatorError(f"there is no target description {str(name_or_path)!r}", where="--target")
    known = dict(list_targets(folders))
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    raise OperatorError(f"unknown target {str(name_or_path)!r}", where="--target", remedy=nearest(asked.name, known))


def _looked_up(
    source: TomlFile, table: str, wanted: Mapping[str, Sourced], environ: Mapping[str, str], overrides: dict[str, str]
) -> dict[str, str]:
    """The text of each entry; one `OperatorError` that names every missing variable."""
    if unknown := [name for name in overrides if name not in wanted]:
        raise OperatorError(
            f"the target has no base {unknown[0]!r}", where=source.where((table,)), remedy=nearest(unknown[0], wanted)
        )
    texts = {
        name: overrides.get(name) or entry.value or environ.get(entry.env, "") or entry.default
        for name, entry in wanted.items()
    }
    texts = {name: text for name, text in texts.items() if text or not wanted[name].optional}
    if missing := [name for name, text in texts.items() if not text]:
        raise OperatorError(
            f"no value for {', '.join(f'{table}.{name}' for name in missing)}",
            where=source.where((table, missing[0])),
            remedy=f"Set the environment variable {', '.join(wanted[name].env for name in missing)}",
        )
    for name, text in texts.items():
        if table == "bases" and not text.startswith(("http://", "https://")):
            raise OperatorError(
                f"bases.{name} is {text!r}, which is not a URL",
                where=source.where((table, name)),
                remedy="It starts with http:// or https://",
            )
    return texts


def _unset(wanted: Mapping[str, Sourced], found: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {f"{prefix}{name}": entry.env for name, entry in wanted.items() if name not in found}


def _check_dsn(source: TomlFile, text: str) -> None:
    if not text:
        return
    try:
        parse_dsn(text)
    except ValueError as error:
        raise OperatorError(
            f"values.{DSN_VALUE} is no DSN: {error}",
            where=source.where(("values", DSN_VALUE)),
            remedy="It reads https://PUBLIC_KEY@HOST/PROJECT",
        ) from error
