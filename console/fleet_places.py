"""Where the parts of a fleet find each other and keep their files: broker, database, outboxes, names.

Answers come from the settings and, before them, from the command line. Refuses to connect and to open anything. Called by the
commands of the fleet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from probes.errors import OperatorError
from probes.messages import Address
from probes.mqtt import BrokerAddress
from probes.settings import Settings

__all__ = [
    "EMBEDDED",
    "FLEET_KEY",
    "broker_address",
    "broker_url",
    "database_login",
    "database_of",
    "outbox_path",
    "sqlite_file",
]

EMBEDDED: Final = "embedded"
FLEET_KEY: Final = "fleet_key"
"""The secret that commands to probes are signed with."""
_SECRET: Final = "broker"  # noqa: S105 - the name of a secret
_DATABASE_SECRET: Final = "database"  # noqa: S105 - the name of a secret
_SQLITE: Final = "sqlite:///"
_SERVERS: Final = ("postgresql", "postgres")


def broker_url(asked: str, settings: Settings) -> str:
    """What was asked for or is configured; `embedded` stays that word."""
    return asked or settings.broker.url


def broker_address(asked: str, settings: Settings) -> BrokerAddress:
    """The broker with our credentials; the embedded one is where the settings have it on this host.

    Raises OperatorError for an address that is none, and for a password that is described and not there.
    """
    url, chosen = broker_url(asked, settings), settings.broker
    if url == EMBEDDED:
        if not chosen.port:
            remedy = "Set broker.port, or give the collector and the workers the same --broker URL"
            raise OperatorError("an embedded broker on a free port cannot be found", where="broker.port", remedy=remedy)
        return BrokerAddress(url=f"mqtt://127.0.0.1:{chosen.port}")
    address = BrokerAddress(
        url=url,
        username=chosen.username,
        password=settings.secret(_SECRET) if _SECRET in settings.secret_sources else SecretStr(""),
        ca_file=chosen.ca_file,
        certificate_file=chosen.certificate_file,
        key_file=chosen.key_file,
    )
    address.endpoint()
    return address


def database_of(asked: str, settings: Settings) -> str:
    """The collector's database: what was asked for, or what is configured."""
    return asked or settings.collector.database


def database_login(database: str, settings: Settings) -> str:
    """The address with the password of the secret `database` in it, where both call for one; not to be shown to anybody.

    Raises OperatorError for a password that is described and not there, and for one that belongs to nobody.
    """
    parts = urlsplit(database)
    if parts.scheme not in _SERVERS or parts.password or _DATABASE_SECRET not in settings.secret_sources:
        return database
    user, _, place = parts.netloc.rpartition("@")
    if not user:
        message = "the address of the database names no user whom the secret `database` could belong to"
        raise OperatorError(message, where="collector.database", remedy="Write postgresql://USER@HOST/NAME")
    password = quote(settings.secret(_DATABASE_SECRET).get_secret_value(), safe="")
    return parts._replace(netloc=f"{user}:{password}@{place}").geturl()


def sqlite_file(database: str) -> Path | None:
    """The file of the database, None when it is no file."""
    if database.startswith(_SQLITE):
        return Path(database.removeprefix(_SQLITE))
    return None if "://" in database else Path(database)


def outbox_path(folder: Path, address: Address) -> Path:
    """The outbox of a probe; no name contains a slash or an underscore."""
    return folder / "outboxes" / f"{address.fleet}_{address.region}_{address.probe}.db"
