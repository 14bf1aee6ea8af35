"""`broker-config`: writes what a mosquitto broker needs for this fleet: TLS, a password for each probe, access rules.

Refuses to start the broker and to make certificates. Called by `console.app`.
"""

from __future__ import annotations

import os
import ssl
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
    _check_files(arguments.certificate_file, arguments.key_file, arguments.client_authority_file)
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
    if os.geteuid() == 0:
        desk.say(
            "  (started by root it becomes the user mosquitto: chown -R mosquitto that folder, and the key, first)"
        )
    for user, file in written.credential_files.items():
        desk.say(f"  {user}: its password is in {file}")
    return ExitCode.PASSED


def _check_files(certificate_file: Path, key_file: Path, authority_file: Path | None) -> None:
    """Refuse what the broker would not start with: a file that runs must not be overwritten by one that does not."""
    for option, file in (
        ("--certificate", certificate_file),
        ("--key", key_file),
        ("--client-authority", authority_file),
    ):
        if file is not None and not file.is_file():
            raise OperatorError(f"there is no file {file}", where=option)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A broker that starts by itself has nobody to ask for a password either.
        context.load_cert_chain(certificate_file, key_file, password=lambda: "")
    except (OSError, ValueError) as error:
        remedy = "Name a certificate and its own key, both PEM, the key without a password"
        message = f"the certificate and the key do not go together: {error}"
        raise OperatorError(message, where="--certificate, --key", remedy=remedy) from error
    try:
        context.load_verify_locations(authority_file or certificate_file)
    except OSError as error:
        raise OperatorError(
            f"the authority cannot be read: {error}", where="--client-authority", remedy="It must be a certificate, PEM"
        ) from error


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
