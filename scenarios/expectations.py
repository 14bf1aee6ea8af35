"""What must be true of a platform's answers beyond one request: prices that are fair, refusals that are polite, findings.

Each function checks through `Journey.expect`, so that a broken rule ends the step that it is about and stands in the record
with what was expected and found. Geometry is compared by the journey itself. Called by scenario scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from probes.journey import Journey
from probes.parts import Part
from scenarios.calls import Refused, instant_of
from scenarios.results import Analysis, Price

__all__ = [
    "CENT",
    "expect_fair",
    "expect_fair_units",
    "expect_findings",
    "expect_moved",
    "expect_outcome",
    "expect_refusal",
    "expect_sum",
]

CENT = 0.01


def expect_moved(probe: Journey, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Check that each instant is later than it was: an answer that never changes is a constant, not a check."""
    for name, old in before.items():
        was, now = instant_of(old), instant_of(after.get(name, ""))
        moved = was is not None and now is not None and now > was
        probe.expect(f"{name} moves", moved, expected=f"later than {old}", found=after.get(name, ""))


def expect_refusal(probe: Journey, answer: object, what: str) -> None:
    """Check that the platform declined, and told the customer why."""
    refused = isinstance(answer, Refused)
    probe.expect(f"{what} refused", refused, expected="a refusal", found="accepted" if not refused else answer)
    if isinstance(answer, Refused):
        message = answer.message or "no message"
        probe.expect("message", bool(answer.message), expected="words for the customer", found=message)


def expect_outcome(probe: Journey, answer: Analysis | Refused, part: Part) -> None:
    """Check what became of a bad file: a refusal must be polite, an answer must be right for what the file is.

    A warning counts only where the description has a place for warnings (the result `warnings` of `analyse`).
    """
    if isinstance(answer, Refused):
        expect_refusal(probe, answer, part.upload_name)
        return
    if part.outcome == "reject":
        found = f"measured: {answer.volume_mm3:g} mm3"
        probe.expect(part.upload_name, ok=False, expected="a refusal", found=found)
    if part.outcome == "reject_or_warn" and answer.warnings is not None:
        probe.expect(part.upload_name, bool(answer.warnings), expected="a warning", found="no warning")
    if part.geometry is not None:
        probe.expect_geometry(answer, part)


def expect_findings(probe: Journey, found: tuple[str, ...], part: Part) -> None:
    """Compare the findings with what is known of the part, as strictly as its policy says."""
    if part.dfm is None or part.dfm.policy == "ignore":
        return
    missing = [code for code in part.dfm.expected if code not in found]
    allowed = part.dfm.expected if part.dfm.policy == "exact" else found
    wrong = [code for code in found if code not in allowed or code in part.dfm.forbidden]
    expected = f"{part.dfm.policy} {list(part.dfm.expected)}" + (
        f", none of {list(part.dfm.forbidden)}" if part.dfm.forbidden else ""
    )
    probe.expect("findings", not missing and not wrong, expected=expected, found=sorted(found))


def expect_fair(probe: Journey, prices: Sequence[Price], again: Price) -> None:
    """Check that more pieces never cost more each, and that the same question has the same answer."""
    expect_fair_units(probe, [(price.quantity, price.unit_price) for price in prices])
    first = next(price for price in prices if price.quantity == again.quantity)
    probe.expect_equal("same part, same price", again.total_price, first.total_price)


def expect_fair_units(probe: Journey, units: Sequence[tuple[int, float]]) -> None:
    """Check that more pieces never cost more each; `units` are quantities with their unit prices."""
    for (fewer, dearer), (more, cheaper) in pairwise(sorted(units)):
        expected = f"at most {dearer} (that of {fewer})"
        probe.expect(f"unit price of {more}", cheaper <= dearer, expected=expected, found=cheaper)


def expect_sum(probe: Journey, name: str, total: float, unit_price: float, quantity: int) -> None:
    """Check that a total is unit price times quantity; either of them may have been rounded to the cent."""
    rounding = CENT / 2 * (quantity + 1)
    probe.expect_close(name, total, unit_price * quantity, abs_tol=rounding + 1e-9)
