"""The commands of the how-to for scenario authors, typed as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=tmp_path,
        env={**os.environ, "PROBE_FLEET_STATE_DIR": str(tmp_path / "state"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it-answers" in done.stdout
    assert "PASSED" in done.stdout
