"""What the kernel says about this host: CPU times, pressure stall information, memory. One reading a call.

Pressure is read for the whole host and, in a container, for the container's own group as well, because a limit of the
group (a CPU quota) stalls us while the host idles. What cannot be read here is None and speaks for nothing.

Refuses to judge (`probes.fitness_host`). Source: proc_stat(5), proc_meminfo(5), and Documentation/accounting/psi.rst and
Documentation/admin-guide/cgroup-v2.rst of the Linux kernel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from probes.fitness import CpuTimes, parse_cpu_times

__all__ = ["KernelFiles", "KernelReading", "parse_available_ratio", "parse_stalled_us", "read_kernel"]

SOME_TOTAL = re.compile(r"^some .*\btotal=(\d{1,20})$", re.MULTILINE)
MEMORY_LINE = re.compile(r"^(MemTotal|MemAvailable): +(\d{1,18}) kB$", re.MULTILINE)
MAX_FILE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class KernelFiles:
    """Where to read; a test has files of its own."""

    stat: Path = Path("/proc/stat")
    memory: Path = Path("/proc/meminfo")
    cpu_pressure: tuple[Path, ...] = (Path("/proc/pressure/cpu"), Path("/sys/fs/cgroup/cpu.pressure"))
    memory_pressure: tuple[Path, ...] = (Path("/proc/pressure/memory"), Path("/sys/fs/cgroup/memory.pressure"))


@dataclass(frozen=True, slots=True)
class KernelReading:
    """The counters of one moment; stalled time in microseconds since boot, by the file that said it."""

    cpu: CpuTimes | None
    cpu_stalled_us: Mapping[Path, int]
    memory_stalled_us: Mapping[Path, int]
    available_ratio: float | None


def read_kernel(files: KernelFiles) -> KernelReading:
    """Read everything once."""
    return KernelReading(
        cpu=parse_cpu_times(text_of(files.stat)),
        cpu_stalled_us=stalled_us(files.cpu_pressure),
        memory_stalled_us=stalled_us(files.memory_pressure),
        available_ratio=parse_available_ratio(text_of(files.memory)),
    )


def parse_stalled_us(text: str) -> int | None:
    """The `total` of the `some` line: time in which at least one task wanted the resource in vain; None in another form."""
    match = SOME_TOTAL.search(text)
    return int(match[1]) if match else None


def parse_available_ratio(text: str) -> float | None:
    """The share of memory that new work could have without swapping; None when the kernel does not say."""
    found = {name: int(kib) for name, kib in MEMORY_LINE.findall(text)}
    if not found.get("MemTotal") or "MemAvailable" not in found:
        return None
    return min(found["MemAvailable"] / found["MemTotal"], 1.0)


def stalled_us(paths: tuple[Path, ...]) -> dict[Path, int]:
    """The stalled time in each file that has one."""
    found = {path: parse_stalled_us(text_of(path)) for path in paths}
    return {path: total for path, total in found.items() if total is not None}


def text_of(path: Path) -> str:
    """The beginning of the file; empty when it cannot be read (psi=0 and some containers refuse with EOPNOTSUPP)."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
