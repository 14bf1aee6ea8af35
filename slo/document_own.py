"""Documents of our own, for what OpenSLO cannot say: obligations, maintenance, alert presets, lines that nothing measures.

Refuses keys that would say nothing for a duty, so that nobody believes in a limit that is never looked at. Pure; called by
`slo.document`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from slo.burn_tiers import AlertPreset, AlertTier, Severity
from slo.document_parts import TOP_KEYS, Heading, read_heading, read_window
from slo.fields import SECOND_NS, Fields
from slo.maintenance import MaintenanceWindow
from slo.objective import Tier
from slo.obligation import Duty, Obligation, ObservationSelector, ObservationSource

__all__ = [
    "FLEET",
    "TOP_KEYS",
    "NotMeasured",
    "read_alert_preset",
    "read_maintenance",
    "read_not_measured",
    "read_obligation",
]

FLEET: Final = "fleet/v1"
_OBLIGATION_KEYS: Final = (
    "description", "service", "duty", "observations", "timeWindow", "deadline", "limit", "keep"
)  # fmt: skip
_DUTY_KEYS: Final = {
    Duty.PERIODIC: ("deadline",),
    Duty.RETENTION: ("keep",),
    Duty.DURATION: ("limit",),
    Duty.GAUGE: ("limit",),
}
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A line that nothing measures, and why: an honest gap."""

    name: str
    title: str
    line: str
    tier: Tier
    because: str


def read_obligation(top: Fields) -> Obligation:
    """The document as an obligation, which is only worth something when `top.problems` stays empty."""
    heading = read_heading(top)
    spec = top.fields("spec", allowed=_OBLIGATION_KEYS)
    duty = spec.choice("duty", Duty)
    _check_duty(spec, duty)
    keep_s = spec.duration_s("keep") if duty is Duty.RETENTION else 0
    if keep_s > 1 and keep_s % _DAY_S:
        spec.refuse("keep", f"{spec.raw('keep')!r} is not a number of days", "Write days: 30d")
    return Obligation(
        name=heading.name,
        title=heading.title,
        line=heading.line,
        version=heading.version,
        duty=duty,
        selector=_read_observations(spec, duty),
        window=read_window(spec),
        tier=heading.tier,
        effective_from=heading.effective_from,
        limit_ns=spec.duration_s("limit") * SECOND_NS if duty in (Duty.DURATION, Duty.GAUGE) else None,
        deadline_minutes=spec.duration_minutes("deadline") if duty is Duty.PERIODIC else None,
        keep_days=max(1, keep_s // _DAY_S) if duty is Duty.RETENTION else None,
        service=spec.text("service"),
    )


def _check_duty(spec: Fields, duty: Duty) -> None:
    """Refuse a bound that this duty never looks at."""
    all_keys = {key for keys in _DUTY_KEYS.values() for key in keys}
    others = sorted(all_keys.difference(_DUTY_KEYS[duty]))
    spec.absent(*others, why=f"the duty {duty.value!r} looks at {_DUTY_KEYS[duty][0]!r} alone")


def _read_observations(spec: Fields, duty: Duty) -> ObservationSelector:
    """Where the facts come from."""
    of_runs, of_alerts = ("scenarios", "steps", "subject", "value"), ("severity",)
    facts = spec.fields("observations", allowed=("source", *of_runs, *of_alerts))
    source = facts.choice("source", ObservationSource)
    if source is ObservationSource.ALERTS:
        facts.absent(*of_runs, why="alerts have no scenarios and steps")
        if duty is not Duty.DURATION:
            facts.refuse("source", f"alerts do not go with the duty {duty.value!r}", "Write duty: duration")
        return ObservationSelector(source, severity=facts.choice("severity", Severity).value)
    facts.absent(*of_alerts, why="runs have no severity")
    if duty is not Duty.DURATION and not facts.has("subject"):
        reason = f"is missing: the duty {duty.value!r} must know what each fact is about"
        facts.refuse("subject", reason, "Name the attribute of the step that says it: backup.day")
    return ObservationSelector(
        source,
        scenarios=facts.texts("scenarios"),
        steps=facts.texts("steps"),
        subject=facts.text("subject") if facts.has("subject") else "",
        value=facts.text("value") if facts.has("value") else "",
    )


def read_maintenance(top: Fields) -> MaintenanceWindow | None:
    """The document as a maintenance window; None when one of its instants was refused."""
    name = top.fields("metadata", allowed=("name", "displayName")).name("name")
    allowed = ("startsAt", "duration", "rrule", "scope", "announcedAt", "reason")
    spec = top.fields("spec", allowed=allowed)
    starts_at, announced_at = spec.instant("startsAt"), spec.instant("announcedAt")
    duration_minutes = spec.duration_minutes("duration")
    reason = spec.text("reason")
    scope = spec.fields("scope", allowed=("scenarios", "objectives", "regions")) if spec.has("scope") else None
    globs = {
        key: scope.texts(key) if scope is not None and scope.has(key) else ("*",)
        for key in ("scenarios", "objectives", "regions")
    }
    if starts_at is None or announced_at is None:
        return None
    rule = spec.text("rrule") if spec.has("rrule") else ""
    try:
        return MaintenanceWindow(name, starts_at, duration_minutes, announced_at, reason, rule, **globs)
    except ValueError as error:
        if not spec.problems.found:  # a field that was refused has its own words
            spec.refuse("rrule" if rule else "duration", str(error), "Write it as RFC 5545 does: FREQ=WEEKLY;BYDAY=SU")
        return None


def read_alert_preset(top: Fields) -> AlertPreset:
    """The document as burn-rate tiers under a name."""
    name = top.fields("metadata", allowed=("name", "displayName")).name("name")
    spec = top.fields("spec", allowed=("description", "tiers"))
    tiers = tuple(_read_tier(tier) for tier in spec.items("tiers", allowed=("severity", "long", "short", "budget")))
    twice = [tier.severity for tier in tiers if sum(other.severity is tier.severity for other in tiers) > 1]
    if twice and not spec.problems.found:
        spec.refuse("tiers", f"severity {twice[0].value!r} stands twice", "Give each severity one tier")
    return AlertPreset(name, tiers)


def _read_tier(fields: Fields) -> AlertTier:
    tier = AlertTier(
        severity=fields.choice("severity", Severity),
        long_minutes=fields.duration_minutes("long"),
        short_minutes=fields.duration_minutes("short"),
        budget=fields.share("budget"),
    )
    if tier.short_minutes >= tier.long_minutes and fields.has("short") and fields.has("long"):
        reason = "is not shorter than the long window, so that an alert would go on long after the trouble"
        fields.refuse("short", reason, "Write a twelfth of the long window: 5m of 1h")
    return tier


def read_not_measured(top: Fields) -> NotMeasured:
    """The document as an honest gap."""
    heading: Heading = read_heading(top)
    because = top.fields("spec", allowed=("because",)).text("because")
    return NotMeasured(heading.name, heading.title, heading.line, heading.tier, because)
