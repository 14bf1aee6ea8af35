"""What was asked for on the command line: one frozen record, which every command reads.

Its fields have the names under which `console.command_line` keeps the options. Refuses to parse or to judge. Used all over
`console`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from console.alert_options import AlertOptions
from console.gate_options import GateOptions
from console.release_options import ReleaseOptions

__all__ = ["Arguments"]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was asked for. `command` is empty for a run; `rest` are the words after the command."""

    command: str = ""
    rest: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    target: str = ""
    repeat: int | None = None
    every_s: float | None = None
    json_file: str = ""
    junit_file: Path | None = None
    evidence_mode: str = ""
    evidence_dir: Path | None = None
    scenario_dirs: tuple[Path, ...] = ()
    settings_file: Path | None = None
    quiet: bool = False
    seed: int | None = None
    region: str = ""
    broker: str = ""
    database: str = ""
    for_s: float | None = None
    last_s: float | None = None
    with_parent: bool = False
    certificate_file: Path | None = None
    key_file: Path | None = None
    client_authority_file: Path | None = None
    month: str = ""
    plan_file: Path | None = None
    window: str = ""
    objectives: tuple[str, ...] = ()
    format: str = ""
    what_if: str = ""
    check_only: bool = False
    starts: str = ""
    duration_s: float | None = None
    rrule: str = ""
    reason: str = ""
    objective_globs: tuple[str, ...] = ()
    region_globs: tuple[str, ...] = ()
    gate: GateOptions | None = None
    alerts: AlertOptions | None = None
    release: ReleaseOptions | None = None

    @property
    def json_to_stdout(self) -> bool:
        """True when stdout belongs to the JSON, so that whatever a person reads must go to stderr."""
        return self.json_file == "-"
