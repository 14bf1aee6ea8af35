"""How a run ended, in the words and tones of the pages. Called by the modules of pages; refuses everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from probes.records import Outcome

__all__ = ["STATES", "WORDS"]

STATES: Final[Mapping[Outcome, str]] = {Outcome.PASS: "good", Outcome.FAIL: "bad", Outcome.INCONCLUSIVE: "warn"}
WORDS: Final[Mapping[Outcome, str]] = {
    Outcome.PASS: "passed",
    Outcome.FAIL: "failed",
    Outcome.INCONCLUSIVE: "says nothing",
}
