"""The bundles of a gate's failed runs: of each check that failed rounds the first one, a few at most.

Refuses to fail the report: what cannot be kept is a note in it. Called by `console.smoke_command`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from console.bundle import BundleHead, write_bundle
from console.circumstances import Circumstances, inputs_of
from console.desk import Desk
from console.gate_story import GateStory, failing_runs, headline, passing_beside
from probes.errors import FleetError
from probes.records import Run
from probes.registry import Registry

__all__ = ["keep_bundles"]

_MOST: Final = 5
_KEPT: Final = 50
_FOLDER: Final = "bundles"


def keep_bundles(story: GateStory, desk: Desk, registry: Registry, circumstances: Circumstances | None) -> GateStory:
    """The story with where its bundles are; the oldest bundles of earlier gates are forgotten."""
    folder = desk.settings.state_dir / _FOLDER
    paths: list[str] = []
    notes: list[str] = []
    firsts: dict[str, Run] = {}
    for run in failing_runs(story, [state.name for state in story.gate.checks.values() if state.failures]):
        firsts.setdefault(run.identity.scenario, run)
    for run in list(firsts.values())[:_MOST]:
        if circumstances is None:
            break
        try:
            paths.append(str(_keep(folder, story, desk, registry, circumstances, run)))
        except (FleetError, OSError) as error:
            notes.append(f"no bundle of {run.run_id}: {error}")
    for old in sorted(folder.glob("*.zip"), key=lambda path: path.name.rpartition("-")[2])[:-_KEPT]:
        old.unlink(missing_ok=True)
    return replace(story, bundles=tuple(paths), notes=(*story.notes, *notes))


def _keep(
    folder: Path, story: GateStory, desk: Desk, registry: Registry, circumstances: Circumstances, run: Run
) -> Path:
    spec = registry.get(run.identity.scenario)
    seed = run.attributes.get("run.seed")
    passing, _ = passing_beside(story, run)
    head = BundleHead(
        made_at=run.started_at,
        scenario=spec.name,
        scenario_version=run.scenario_version,
        scenario_file=spec.path.name,
        seed=seed if isinstance(seed, int) else 0,
        headline=headline(story),
        inputs=inputs_of(run, desk.settings),
        circumstances=circumstances,
    )
    return write_bundle(
        folder / f"{spec.name}-{run.run_id}.zip",
        head,
        run,
        passing=passing,
        files={f"scenario/{spec.path.name}": spec.path},
        evidence=desk.arguments.evidence_dir or desk.settings.evidence_dir,
    )
