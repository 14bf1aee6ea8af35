"""`broker-config`: writes what a mosquitto broker needs for this fleet: TLS, a password for each probe, access rules.

Refuses to start the broker and to make certificates. Called by `console.app`.
"""

from __future__ import annotations

from pathlib import Path

from collector.mosquitto import MosquittoPlan, write_mosquitto_config
from console.desk import Desk
from console.verdict import ExitCode
from probes.errors import OperatorError
from probes.messages import Address
from probes.settings import Settings

__all__ = ["addresses_of", "write_broker_config"]


async def write_broker_config(desk: Desk) -> ExitCode:
    """Write the files into the folder that was named, and say how to use them."""
    arguments = desk.arguments
    if arguments.certificate_file is None or arguments.key_file is None:
        remedy = "Name the broker's own: --certificate FILE --key FILE"
        raise OperatorError("a broker for a fleet needs a certificate", where="--certificate", remedy=remedy)
    given = (arguments.certificate_file, arguments.key_file, arguments.client_authority_file)
    for file in given:
        if file is not None and not file.is_file():
            raise OperatorError(f"there is no file {file}", where="broker-config")
    plan = MosquittoPlan(
        probes=addresses_of(desk.settings),
        certificate_file=arguments.certificate_file.absolute(),
        key_file=arguments.key_file.absolute(),
        client_authority_file=arguments.client_authority_file and arguments.client_authority_file.absolute(),
        collectors=desk.settings.broker.collectors,
        operators=desk.settings.broker.operators,
    )
    written = write_mosquitto_config(plan, Path(arguments.rest[0]))
    desk.say(f"wrote {written.config_file}; start the broker with: mosquitto -c {written.config_file}")
    for user, file in written.credential_files.items():
        desk.say(f"  {user}: its password is in {file}")
    return ExitCode.PASSED


def addresses_of(settings: Settings) -> tuple[Address, ...]:
    """Every probe of the fleet: those of the settings, else this probe's name in each region."""
    names = settings.broker.probes or tuple(f"{region}/{settings.probe}" for region in settings.regions)
    pairs = [name.partition("/") for name in dict.fromkeys(names)]
    unknown = sorted({region for region, _, _ in pairs} - set(settings.regions))
    if unknown:
        raise OperatorError(
            f"{unknown[0]!r} is not a region of this fleet", where="broker.probes", remedy="See `regions`"
        )
    return tuple(Address(settings.fleet, region, probe) for region, _, probe in pairs)
