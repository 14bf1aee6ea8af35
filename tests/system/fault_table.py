"""The one table: which named fault of the stand-in fails which scenario, at which step and with which failure kind.

What a row does not name must pass. `test_named_faults` holds the stand-in and the scenarios to it, and
`docs/reference/fault-table.md` shows it: `python -m tests.system.fault_table` writes it there. Data and its rendering only; runs
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from probes.records import FailureKind

__all__ = ["DOCUMENT", "FIRST_STEPS", "ROWS", "Ending", "FaultRow", "StatusAlone", "documented", "render"]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "fault-table.md"
BEGIN = "<!-- table: written by `python -m tests.system.fault_table` -->"
END = "<!-- end of the table -->"

NOTICES, PASSES, NOTHING = "notices", "passes", "-"
StatusAlone = str
"""What a check of nothing but statuses makes of the same requests: it notices, it passes, or there is nothing to notice."""


@dataclass(frozen=True, slots=True, order=True)
class Ending:
    """The step in which a run fails, and the kind of its failure.

    `then`: a later step that fails the same way, of a scenario that goes on to ask somebody else.
    """

    step: str
    kind: FailureKind
    then: str = ""


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One row. `fault` is as the command line takes it.

    `waits`: its runs mostly wait, so they may do so at the same time. `waits_for` are the operations that get no answer, so
    that only a deadline ends them. `often` rows are for every CI run; the others differ from one of them by an argument only.
    """

    fault: str
    fails: Mapping[str, Ending] = field(default_factory=dict)
    status_alone: StatusAlone = NOTHING
    tls: bool = False
    waits: bool = False
    waits_for: tuple[str, ...] = ()
    often: bool = True
    passes_because: str = "the runs pass, and their times break the service levels"

    def __str__(self) -> str:
        return (self.fault or "none") + ("-over-tls" if self.tls else "")

    @property
    def name(self) -> str:
        """The fault without its arguments."""
        return self.fault.partition(":")[0]


FIRST_STEPS: Mapping[str, str] = {
    "api-health": "api-health",
    "backups": "list",
    "cad-invalid": "sign-in",
    "cad-large": "upload",
    "cad-over-limit": "refuse",
    "cad-small": "upload",
    "failover": "failover",
    "payment": "sign-in",
    "quote": "sign-in",
    "restore-drill": "fetch",
    "sign-in": "sign-in",
    "telemetry-canary": "send-errors",
    "web-health": "web-health",
    "widget-load": "load",
    "widget-quote": "load",
}
"""Every built-in scenario and the step that meets the platform first."""

THEN = {"failover": "standby", "telemetry-canary": "send-events"}
"""Where a scenario goes on after its first step has failed, to ask somebody else."""

VALID_PARTS = ("cad-large", "cad-small", "payment", "quote", "widget-quote")
"""Those that send a valid part and have it measured."""

MONEY = ("payment", "quote", "widget-quote")
BEHIND = ("backups", "failover", "restore-drill", "telemetry-canary")
"""Those that look behind the platform and never at it."""

WIDGET = ("widget-load", "widget-quote")


def at(step: str, kind: FailureKind, *scenarios: str) -> dict[str, Ending]:
    """The scenarios that fail in this step."""
    return dict.fromkeys(scenarios, Ending(step, kind))


def at_once(kind: FailureKind, *, but: tuple[str, ...] = ()) -> dict[str, Ending]:
    """Every scenario fails in its first step."""
    return {name: Ending(step, kind, THEN.get(name, "")) for name, step in FIRST_STEPS.items() if name not in but}


def uploading(kind: FailureKind) -> dict[str, Ending]:
    """Every scenario that uploads fails while it does; the file over the limit is refused before its body is read."""
    return at("upload", kind, *VALID_PARTS) | at("upload", kind, "cad-over-limit") | at("reject", kind, "cad-invalid")


def analysing(kind: FailureKind) -> dict[str, Ending]:
    """Every scenario fails that has a part measured, whatever part it is."""
    return at("analyse", kind, *VALID_PARTS) | at("reject", kind, "cad-invalid")


CONNECT, TLS, TIMEOUT, STATUS = FailureKind.CONNECT, FailureKind.TLS, FailureKind.TIMEOUT, FailureKind.STATUS
ASSERTION, BROWSER, RATE_LIMITED = FailureKind.ASSERTION, FailureKind.BROWSER, FailureKind.RATE_LIMITED

ROWS: tuple[FaultRow, ...] = (
    FaultRow("slow", waits=True),
    FaultRow(
        "slow:route=health,ms=15000",
        at("api-health", TIMEOUT, "api-health") | at("web-health", TIMEOUT, "web-health"),
        NOTICES,
        waits=True,
        waits_for=("api_health", "web_health"),
    ),
    FaultRow("error-5xx", at_once(STATUS), NOTICES),
    FaultRow("error-5xx:route=price", at("price", STATUS, *MONEY), NOTICES),
    FaultRow("error-5xx:route=payment", at("checkout", STATUS, "payment"), NOTICES),
    FaultRow(
        "error-5xx:route=upload", uploading(STATUS) | at("refuse", STATUS, "cad-over-limit"), NOTICES, often=False
    ),
    FaultRow(
        "error-5xx:route=dfm",
        at("dfm", STATUS, "payment", "quote") | at("analyse", STATUS, "widget-quote"),
        NOTICES,
        often=False,
    ),
    FaultRow(
        "error-5xx:route=quote", at("quote", STATUS, *MONEY) | at("reject", STATUS, "cad-invalid"), NOTICES, often=False
    ),
    FaultRow("error-5xx:route=files", at("read-back", STATUS, "cad-small"), NOTICES, often=False),
    FaultRow("refuse", at_once(CONNECT), NOTICES),
    FaultRow("refuse:site=cad", analysing(CONNECT) | at("cad-health", CONNECT, "api-health"), NOTICES),
    FaultRow(
        "refuse:site=api",
        at_once(CONNECT, but=("web-health", *WIDGET, *BEHIND)) | at("upload", CONNECT, "widget-quote"),
        NOTICES,
        often=False,
    ),
    FaultRow(
        "refuse:site=web",
        at("web-health", CONNECT, "web-health") | at("load", BROWSER, *WIDGET),
        NOTICES,
        waits=True,
        often=False,
    ),
    FaultRow("refuse:site=host", at("load", CONNECT, *WIDGET), NOTICES),
    FaultRow("reset-mid-upload", uploading(CONNECT), NOTICES),
    FaultRow("stall", uploading(TIMEOUT), NOTICES, waits=True, waits_for=("upload",)),
    FaultRow("health-lies", at_once(STATUS, but=("api-health", "web-health")), NOTICES),
    FaultRow("null-health", at("api-health", ASSERTION, "api-health"), PASSES),
    FaultRow("null-health:site=cad", at("cad-health", ASSERTION, "api-health"), PASSES),
    FaultRow("wrong-geometry", at("analyse", ASSERTION, *VALID_PARTS), PASSES),
    FaultRow("wrong-geometry:factor=1.01", at("analyse", ASSERTION, *VALID_PARTS), PASSES),
    FaultRow("stub-geometry", at("analyse", ASSERTION, *VALID_PARTS), PASSES),
    FaultRow("never-finishes", analysing(TIMEOUT), PASSES, waits=True, waits_for=("analyse",)),
    FaultRow("zero-price", at("price", ASSERTION, *MONEY), PASSES),
    FaultRow("wrong-price", at("price", ASSERTION, *MONEY), PASSES),
    FaultRow("wrong-price:mode=tiers", at("price", ASSERTION, *MONEY), PASSES),
    FaultRow("widget-blank", at("load", BROWSER, *WIDGET), PASSES, waits=True),
    FaultRow("widget-refused", at("load", BROWSER, *WIDGET), PASSES),
    FaultRow("widget-js-error", at("load", BROWSER, "widget-load"), PASSES),
    FaultRow("rate-limit", at("price", RATE_LIMITED, *MONEY), NOTICES),
    FaultRow("accepts-garbage", at("reject", ASSERTION, "cad-invalid"), PASSES),
    FaultRow("rejects-valid", at("analyse", STATUS, *VALID_PARTS), NOTICES),
    FaultRow("limit-off-by-one", at("refuse", ASSERTION, "cad-over-limit"), PASSES),
    FaultRow("limit-off-by-one:limit_bytes=52428799", at("upload", STATUS, "cad-over-limit"), NOTICES),
    FaultRow("limit-off-by-one:limit_bytes=52428798", at("upload", STATUS, "cad-over-limit", "cad-large"), NOTICES),
    FaultRow("auth-fallback", at("wrong-password", ASSERTION, "sign-in"), PASSES),
    FaultRow("empty-backup", at("verify", ASSERTION, "backups") | at("restore", ASSERTION, "restore-drill"), PASSES),
    FaultRow("empty-backup:days_ago=7", at("verify", ASSERTION, "backups"), PASSES, often=False),
    FaultRow("missing-backup", at("list", ASSERTION, "backups"), PASSES),
    FaultRow("missing-backup:days_ago=29", at("list", ASSERTION, "backups"), PASSES, often=False),
    FaultRow(
        "refuse:site=backups",
        at("list", CONNECT, "backups") | at("fetch", CONNECT, "restore-drill"),
        NOTICES,
        often=False,
    ),
    FaultRow("refuse:site=service", at("failover", CONNECT, "failover"), NOTICES, often=False),
    FaultRow("refuse:site=standby", at("standby", CONNECT, "failover"), NOTICES, often=False),
    FaultRow("flap", at("failover", CONNECT, "failover"), NOTICES),
    FaultRow("one-region-down", passes_because="the probes of the other regions pass"),
    FaultRow("one-region-down:region=local", at_once(CONNECT), NOTICES),
    FaultRow("slow-telemetry", waits=True),
    FaultRow(
        "lost-telemetry",
        at("visible-errors", TIMEOUT, "telemetry-canary"),
        NOTICES,
        waits=True,
        waits_for=("read_errors",),
    ),
    FaultRow(
        "lost-telemetry:which=events",
        at("visible-events", TIMEOUT, "telemetry-canary"),
        PASSES,
        waits=True,
        waits_for=("read_events",),
        often=False,
    ),
    FaultRow("tls-expired", at_once(TLS), NOTICES, tls=True),
)


def render() -> str:
    """The table in Markdown, between its marks."""
    first = "; ".join(f"`{name}`: `{step}`" for name, step in FIRST_STEPS.items())
    return "\n".join((BEGIN, "", *_lines(), "", f"First steps: {first}.", "", END))


def documented(text: str) -> str:
    """The table that a document shows, its marks included. Raises ValueError where there is none."""
    start, end = text.index(BEGIN), text.index(END)
    return text[start : end + len(END)]


def _lines() -> Iterator[str]:
    yield "| fault | kind | what fails (step: scenarios) | statuses alone |"
    yield "|---|---|---|---|"
    for row in ROWS:
        fault = f"`{row.fault}`" + (" (with `--tls`)" if row.tls else "")
        if not row.fails:
            yield f"| {fault} | - | nothing: {row.passes_because} | {row.status_alone} |"
        for kind in sorted({ending.kind for ending in row.fails.values()}):
            yield f"| {fault} | `{kind.value}` | {_cell(row, kind)} | {row.status_alone} |"


def _cell(row: FaultRow, kind: FailureKind) -> str:
    if row.fails == at_once(kind):
        return "every scenario, in its first step"
    if row.fails == at_once(kind, but=("api-health", "web-health")):
        return "every scenario but `api-health` and `web-health`, in its first step"
    by_step = sorted((ending.step, name) for name, ending in row.fails.items() if ending.kind is kind)
    groups = groupby(by_step, key=lambda pair: pair[0])
    return "; ".join(f"`{step}`: {', '.join(f'`{name}`' for _, name in names)}" for step, names in groups)


def main() -> None:
    """Write the table into its document."""
    text = DOCUMENT.read_text("utf-8")
    DOCUMENT.write_text(text.replace(documented(text), render()), "utf-8")


if __name__ == "__main__":
    main()
