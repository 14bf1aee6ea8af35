"""The commands of the how-to for scenario authors, typed as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from tests.runner_kit import ROOT, run_process

GUIDE = (ROOT / "docs" / "how-to" / "write-a-scenario.md").read_text(encoding="utf-8")


def test_the_first_scenario_of_the_guide_runs_as_the_guide_says(tmp_path: Path) -> None:
    """A reader who copies the first block into a file and types the command sees it pass, against the stand-in."""
    [first, *_] = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    [command] = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    [place] = re.findall(r"^Put this into `(.*)`:$", GUIDE, re.MULTILINE)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text(first, encoding="utf-8")
    program, script, *arguments = shlex.split(command)
    assert (program, script) == ("python", "runner.py")
    done = run_process(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=tmp_path,
        environ={**os.environ, "PROBE_FLEET_STATE_DIR": str(tmp_path / "state"), "NO_COLOR": "1"},
    )
    assert done.code == 0, done.out + done.err
    assert "it-answers" in done.out
    assert "PASSED" in done.out
