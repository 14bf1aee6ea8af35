"""What the kernel's files say, what two readings say against a host, and what another system's files do not say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.fitness import CpuTimes, FitnessLimits
from probes.fitness_host import troubles_between
from probes.fitness_kernel import (
    KernelFiles,
    KernelReading,
    parse_available_ratio,
    parse_stalled_us,
    read_kernel,
)

PRESSURE = "some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
MEMORY = "MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:    4000000 kB\n"
HOST, GROUP = Path("/host"), Path("/group")
WINDOW_S = 10.0


def reading(
    *,
    total: int = 0,
    steal: int = 0,
    idle: int = 0,
    host_us: int = 0,
    group_us: int = 0,
    memory_us: int = 0,
    available: float = 0.5,
) -> KernelReading:
    """A reading with these counters."""
    return KernelReading(
        cpu=CpuTimes(total, steal, idle),
        cpu_stalled_us={HOST: host_us, GROUP: group_us},
        memory_stalled_us={HOST: memory_us},
        available_ratio=available,
    )


def kinds(after: KernelReading) -> list[str]:
    """What speaks against a host between a reading of zeros and this one, 10 s later."""
    return [one.kind for one in troubles_between(reading(), after, window_s=WINDOW_S, limits=FitnessLimits())]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (reading(total=2000, idle=1000), []),
        (reading(total=2000, idle=100), []),
        (reading(total=2000, idle=99), ["busy"]),
        (reading(total=2000, idle=1000, steal=400), []),
        (reading(total=2000, idle=1000, steal=401), ["steal"]),
        (reading(total=2000, idle=1000, host_us=6_000_000), []),
        (reading(total=2000, idle=1000, host_us=6_000_001), ["cpu_pressure"]),
        (reading(total=2000, idle=1000, group_us=6_000_001), ["cpu_pressure"]),
        (reading(total=2000, idle=1000, memory_us=1_500_001), ["memory_pressure"]),
        (reading(total=2000, idle=1000, available=0.05), []),
        (reading(total=2000, idle=1000, available=0.049), ["memory"]),
        (reading(total=40, idle=0), []),
        (
            reading(total=2000, steal=2000, host_us=10**7, memory_us=10**7, available=0.0),
            ["steal", "busy", "cpu_pressure", "memory_pressure", "memory"],
        ),
    ],
)
def test_a_host_is_unfit_beyond_each_limit(after: KernelReading, expected: list[str]) -> None:
    """Up to the limit it is fit; everything that is wrong is said at once."""
    assert kinds(after) == expected


def test_a_reason_has_its_figure_and_its_limit() -> None:
    """A person sees by how much."""
    [one] = troubles_between(
        reading(), reading(total=2000, idle=1000, host_us=9_000_000), window_s=WINDOW_S, limits=FitnessLimits()
    )
    assert one.reason == "work waited for a CPU 90% of the time (limit 60%)"


def test_what_cannot_be_read_speaks_for_nothing(tmp_path: Path) -> None:
    """A kernel without pressure information, or another system: no reading, no reason."""
    missing = KernelFiles(tmp_path / "a", tmp_path / "b", (tmp_path / "c",), (tmp_path / "d",))
    nothing = read_kernel(missing)
    assert nothing == KernelReading(None, {}, {}, None)
    assert troubles_between(nothing, nothing, window_s=WINDOW_S, limits=FitnessLimits()) == []


def test_this_kernel_is_understood() -> None:
    """The real files of the host that runs the tests; pressure may be switched off, the rest is always there."""
    found = read_kernel(KernelFiles())
    assert found.cpu is not None
    assert 0 < found.cpu.idle <= found.cpu.total
    assert found.available_ratio is not None
    assert 0 < found.available_ratio <= 1
    if Path("/proc/pressure/cpu").exists():
        assert found.cpu_stalled_us[Path("/proc/pressure/cpu")] > 0


def test_the_figures_of_the_files() -> None:
    """`total` of the line `some`, and the available share of memory."""
    assert parse_stalled_us(PRESSURE) == 58_761_459
    assert parse_available_ratio(MEMORY) == pytest.approx(0.25)


@given(st.text(max_size=200))
def test_any_other_text_is_unknown_or_a_share(text: str) -> None:
    """Nothing is made up, and nothing crashes."""
    ratio = parse_available_ratio(text)
    assert ratio is None or 0 <= ratio <= 1
    assert parse_stalled_us(text) is None or text.startswith("some") or "\nsome" in text
