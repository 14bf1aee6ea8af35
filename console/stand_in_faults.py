"""Switches the faults of a stand-in that runs: all at once, by its control address.

Refuses anything but loopback, where stand-ins are. Called by the demo.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Final

from probes.errors import DependencyError

__all__ = ["set_faults"]

_DEADLINE_S: Final = 5.0


async def set_faults(control_url: str, names: Sequence[str]) -> None:
    """From now on these named faults hit every request that they are about, and no others do; DependencyError when refused."""
    await asyncio.to_thread(_put, control_url, names)


def _put(control_url: str, names: Sequence[str]) -> None:
    faults = [{"name": name, "rate": 1.0, "args": {}} for name in names]
    request = urllib.request.Request(  # noqa: S310 - an address of our own stand-in
        f"{control_url}/faults",
        data=json.dumps({"seed": 1, "faults": faults}).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=_DEADLINE_S):  # noqa: S310 - the same
            return
    except (OSError, urllib.error.HTTPError) as error:
        raise DependencyError(f"the stand-in would not switch its faults: {error}", where=control_url) from error
