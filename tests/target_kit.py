"""A description of a small target, for whoever needs no server of ours beside it: lanes start faster without one.

Used by tests named journey and worker.
"""

from __future__ import annotations

from pathlib import Path

from probes.targets import Target

__all__ = ["target_at"]


def target_at(url: str) -> Target:
    """A description with one base and nothing else."""
    return Target(name="small", path=Path("small.toml"), bases={"api": url})
