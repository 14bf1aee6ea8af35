"""May this scenario run against this target? What the target does not allow or does not describe is refused before it runs.

Pure: a heading and a description in, a reason out. Refuses to look at a scenario's code. Called by `probes.execute` before each
run, and by the wiring, which skips a scenario that was chosen by a glob and stops for one that was named.
"""

from __future__ import annotations

from probes.errors import OperatorError
from probes.registry import ScenarioSpec
from probes.targets import Target

__all__ = ["refusal"]


def refusal(spec: ScenarioSpec, target: Target) -> OperatorError | None:
    """Why the scenario must not run against the target, ready to be shown or raised; None when it may."""
    if spec.writes and not target.allows.writes:
        return OperatorError(
            f"scenario {spec.name!r} writes, and the target {target.name!r} does not allow that",
            where=target.where("allows", "writes"),
            remedy="Set writes = true under [allows] if its owner agrees",
        )
    if spec.payment and target.allows.payment != "test":
        return OperatorError(
            f"scenario {spec.name!r} pays, and the target {target.name!r} declares no test mode for payments",
            where=target.where("allows", "payment"),
            remedy='Set payment = "test" under [allows] only where no real money can move',
        )
    lacking = target.lacks(spec.needs)
    if lacking:
        variables = sorted({variable for need in lacking for variable in target.unset_variables(need)})
        if variables:
            return OperatorError(
                f"scenario {spec.name!r} needs {', '.join(lacking)}, which is not configured for {target.name!r}",
                where=target.where("operations"),
                remedy=f"Set the environment variable {', '.join(variables)}",
            )
        return OperatorError(
            f"scenario {spec.name!r} needs {', '.join(lacking)}, which the target {target.name!r} does not describe",
            where=target.where("operations"),
            remedy="Describe it there, or choose another scenario",
        )
    return target.missing_secret(spec.needs)
