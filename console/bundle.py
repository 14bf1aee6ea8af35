"""The bundle of a failed run: one zip file with all that it takes to understand it and to make it again.

`bundle.json` (circumstances, seed, inputs by hash), `run.json` and, where there is one, `passing.json` (wire records), the
scenario's file as it was, and the evidence (screenshot, trace, HAR, console, bodies). Reading unpacks
nothing: only the three JSON files are looked at, each up to a limit. Called by `console.smoke_command` and
`console.replay_command`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from console.atomic_file import write_atomically
from console.circumstances import Circumstances
from probes.errors import OperatorError
from probes.records import Run
from probes.wire import WireError, parse_run, render_run

__all__ = ["Bundle", "BundleHead", "read_bundle", "write_bundle"]

_HEAD: Final = "bundle.json"
_RUN: Final = "run.json"
_PASSING: Final = "passing.json"
_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_EVIDENCE_BYTES: Final = 64 * 1024 * 1024
_SEED: Final = "run.seed"


class BundleHead(BaseModel):
    """What `bundle.json` says. `inputs`: reference part to SHA-256; `headline`: what the gate said."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_: Literal["probe-fleet/bundle"] = "probe-fleet/bundle"
    schema_version: Literal[1] = 1
    made_at: datetime
    scenario: str
    scenario_version: str
    scenario_file: str
    seed: int
    headline: str
    inputs: dict[str, str]
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read: the failed run, and the nearest one that passed."""

    head: BundleHead
    run: Run
    passing: Run | None


def write_bundle(
    path: Path, head: BundleHead, run: Run, *, passing: Run | None, files: Mapping[str, Path], evidence: Path
) -> Path:
    """Write the bundle whole or not at all; evidence that has gone is left out. Raises DependencyError when the disk refuses.

    `files` are further files by their names in the bundle; `evidence` is the folder that the run's paths are relative to.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_HEAD, head.model_dump_json(indent=2))
        archive.writestr(_RUN, render_run(run))
        if passing is not None:
            archive.writestr(_PASSING, render_run(passing))
        for name, file in files.items():
            if file.is_file():
                archive.write(file, name)
        held_bytes = 0
        for item in run.evidence:
            file = evidence / item.path
            held_bytes += item.file_bytes
            if file.is_file() and held_bytes <= _MOST_EVIDENCE_BYTES:
                archive.write(file, f"evidence/{Path(item.path).name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
    path.chmod(0o600)
    return path


def read_bundle(path: Path) -> Bundle:
    """The bundle in this file; raises OperatorError that says what is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            head = BundleHead.model_validate_json(_member(archive, _HEAD))
            run = parse_run(_member(archive, _RUN))
            passing = parse_run(_member(archive, _PASSING)) if _PASSING in archive.namelist() else None
    except FileNotFoundError as error:
        raise OperatorError(
            "there is no such bundle", where=str(path), remedy="Failed gates say where theirs are"
        ) from error
    except (
        OSError,
        zipfile.BadZipFile,
        KeyError,
        ValidationError,
        WireError,
        ValueError,
        NotImplementedError,
    ) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OperatorError(f"this is no bundle of a run: {told}", where=str(path)) from error
    return Bundle(head, run, passing)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of the archive, refused when it is larger than any honest one, whatever its heading says."""
    with archive.open(name) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        message = f"{name} is larger than {_MOST_BYTES} bytes"
        raise ValueError(message)
    return data
