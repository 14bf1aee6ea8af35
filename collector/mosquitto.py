"""Makes the configuration of a mosquitto broker for a fleet: TLS, a password for each probe, and what each may say and hear.

A probe may write its own results, status, progress and questions about time, and read its own acknowledgements, clock, its
region's commands and the collectors' hello; nothing else. The password file is made here, in mosquitto's own form, so that no
password is ever on a command line. Running it again keeps the passwords that exist, adds new probes and shuts out those that
are gone from the settings.

Refuses to start the broker, to make certificates and to leave a listener without TLS. Called by `broker-config`.
Source: mosquitto.conf(5) and mosquitto_passwd(1) of mosquitto 2.0.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from probes.errors import DependencyError, OperatorError
from probes.messages import MAX_PAYLOAD_BYTES, Address, Channel

__all__ = [
    "MosquittoPlan",
    "WrittenConfig",
    "client_name",
    "hashed_password",
    "probe_username",
    "render_mosquitto_config",
    "write_mosquitto_config",
]

CONFIG_FILE: Final = "mosquitto.conf"
PASSWORD_FILE: Final = "passwords"  # noqa: S105 - the name of a file
ACCESS_FILE: Final = "acl"
CREDENTIALS: Final = "credentials"
PASSWORD_BYTES: Final = 32
SALT_BYTES: Final = 12
HASH_BYTES: Final = 64
# A password of 256 random bits needs no slow hash, and the broker has one thread: a fleet that reconnects pays this each time.
HASH_ITERATIONS: Final = 101
QUEUED_MESSAGES: Final = 100_000
QUEUED_BYTES: Final = 256 << 20
NAME_FORM: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")
ROLES: Final = ("collector", "operator")
PROBE_WRITES: Final[tuple[Channel, ...]] = ("results", "status", "live", "time")
OWNER_ONLY: Final = 0o600
OWNER_ONLY_FOLDER: Final = 0o700


@dataclass(frozen=True, slots=True)
class MosquittoPlan:
    """A fleet's broker. `certificate_file` and `key_file` are the broker's own, as it will find them.

    A user name holds one connection at a time, so give each collector and each person at a console a name of its own.
    With `client_authority_file` every client must show a certificate of that authority whose common name is its user name,
    and no passwords are used. `bind` empty listens on all interfaces. `run_as` empty leaves mosquitto's own choice of a user.
    """

    probes: tuple[Address, ...]
    certificate_file: Path
    key_file: Path
    collectors: tuple[str, ...] = ("collector",)
    operators: tuple[str, ...] = ("operator",)
    client_authority_file: Path | None = None
    bind: str = ""
    port: int = 8883
    run_as: str = ""


@dataclass(frozen=True, slots=True)
class WrittenConfig:
    """What was written: start the broker with `config_file`; each user's password is in `credential_files`."""

    config_file: Path
    credential_files: Mapping[str, Path]


def probe_username(address: Address) -> str:
    """The user name of a probe; no name contains a slash, so it is the probe's alone."""
    return f"{address.region}/{address.probe}"


def client_name(role: str, name: str) -> str:
    """The user name of a `collector` or an `operator`."""
    return f"{role}/{name}"


def write_mosquitto_config(plan: MosquittoPlan, folder: Path, *, installed_at: Path | None = None) -> WrittenConfig:
    """Write everything into `folder`, readable for its owner alone, each file whole or not at all.

    `installed_at` is where the broker will find the folder, if elsewhere. Raises OperatorError for a plan that makes no
    sense, DependencyError when the folder cannot be written.
    """
    users = usernames(plan)
    credential_files = {user: folder / CREDENTIALS / user for user in users} if not plan.client_authority_file else {}
    try:
        passwords = {user: kept_or_new_password(file) for user, file in credential_files.items()}
        for user, file in credential_files.items():
            write_private(file, passwords[user])
        rendered = render_mosquitto_config(plan, passwords, (installed_at or folder).absolute())
        for name, text in rendered.items():
            write_private(folder / name, text)
    except OSError as error:
        message = f"the broker's configuration cannot be written: {error.strerror or error}"
        raise DependencyError(message, where=str(folder), remedy="Choose a folder that you may write to") from error
    return WrittenConfig(folder / CONFIG_FILE, credential_files)


def render_mosquitto_config(plan: MosquittoPlan, passwords: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The text of each file by its name; pure but for the salts. Raises OperatorError for a plan that makes no sense."""
    users = usernames(plan)
    files = {CONFIG_FILE: rendered_settings(plan, folder), ACCESS_FILE: rendered_access(plan)}
    if not plan.client_authority_file:
        files[PASSWORD_FILE] = "".join(f"{user}:{hashed_password(passwords[user])}\n" for user in users)
    return files


def usernames(plan: MosquittoPlan) -> tuple[str, ...]:
    """Everybody who may connect; refuses names that could mean somebody else, and paths that could add a line."""
    if len({probe.fleet for probe in plan.probes}) != 1:
        raise OperatorError("a broker's configuration is for the probes of one fleet", where="broker-config")
    for region in sorted({probe.region for probe in plan.probes} & set(ROLES)):
        message = f"a region cannot be called {region!r}: user names of that form belong to {region}s"
        raise OperatorError(message, where="fleet.regions", remedy="Choose another name for the region")
    for name in (*plan.collectors, *plan.operators):
        if not NAME_FORM.fullmatch(name):
            message = f"{name!r} is not a name: use 1 to 64 lower-case letters, digits, dots and hyphens"
            raise OperatorError(message, where="broker-config")
    given = (plan.bind, plan.run_as, str(plan.certificate_file), str(plan.key_file), str(plan.client_authority_file))
    if any(character in text for text in given for character in "\r\n\0"):
        raise OperatorError("a setting of the broker has a line break in it", where="broker-config")
    users = [probe_username(probe) for probe in plan.probes]
    users += [client_name("collector", name) for name in plan.collectors]
    users += [client_name("operator", name) for name in plan.operators]
    if len(set(users)) != len(users):
        raise OperatorError("two of the broker's users have the same name", where="broker-config")
    return tuple(users)


def rendered_settings(plan: MosquittoPlan, folder: Path) -> str:
    """mosquitto.conf, with the reason beside each line that has one."""
    if plan.client_authority_file:
        identity = [
            f"cafile {plan.client_authority_file}",
            "require_certificate true",
            "# The common name of the certificate is the user name of the rules below.",
            "use_identity_as_username true",
        ]
    else:
        identity = [f"password_file {folder / PASSWORD_FILE}"]
    lines = [
        "# Made by `broker-config`; running that again overwrites this file.",
        *([f"user {plan.run_as}"] if plan.run_as else []),
        "per_listener_settings false",
        "allow_anonymous false",
        f"acl_file {folder / ACCESS_FILE}",
        "# Nothing needs to survive here: probes keep every result until the collector has committed it, and collectors",
        "# and probes say their retained messages again when they reconnect.",
        "persistence false",
        "# With Nagle's delay a stream of batches has a third of its throughput.",
        "set_tcp_nodelay true",
        "# The largest record of a probe; a packet is a little more than its payload.",
        f"message_size_limit {MAX_PAYLOAD_BYTES}",
        f"max_packet_size {MAX_PAYLOAD_BYTES + 4_096}",
        "max_inflight_messages 100",
        "# The default of 1,000 drops in silence what a collector that pauses has not taken yet; probes would send it again,",
        "# but only once their patience has ended. What may wait is bounded in bytes.",
        f"max_queued_messages {QUEUED_MESSAGES}",
        f"max_queued_bytes {QUEUED_BYTES}",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "connection_messages true",
        f"listener {plan.port} {plan.bind}".rstrip(),
        f"certfile {plan.certificate_file}",
        f"keyfile {plan.key_file}",
        "tls_version tlsv1.2",
        "# A client id proves nothing: without this a probe could cut off another one by connecting under its id.",
        "use_username_as_clientid true",
        *identity,
    ]
    return "\n".join(lines) + "\n"


def rendered_access(plan: MosquittoPlan) -> str:
    """The access rules: what is not allowed here is denied."""
    topics = f"fleet/v1/{plan.probes[0].fleet}"
    blocks = []
    for probe in plan.probes:
        own = [("write", probe.topic(channel)) for channel in PROBE_WRITES]
        heard = [("read", probe.topic("acks")), ("read", probe.topic("clock"))]
        shared = [("read", f"{topics}/commands/{probe.region}"), ("read", f"{topics}/hello")]
        blocks.append((probe_username(probe), [*own, *heard, *shared]))
    collector = [("read", f"{topics}/{channel}/+/+") for channel in PROBE_WRITES]
    collector += [("write", f"{topics}/acks/+/+"), ("write", f"{topics}/clock/+/+"), ("write", f"{topics}/hello")]
    collector += [("write", f"{topics}/commands/+")]  # what it asks is signed: without the fleet's key nobody obeys
    blocks += [(client_name("collector", name), collector) for name in plan.collectors]
    operator = [("write", f"{topics}/commands/+"), ("read", f"{topics}/hello")]
    operator += [("read", f"{topics}/{channel}/+/+") for channel in ("status", "live")]
    blocks += [(client_name("operator", name), operator) for name in plan.operators]
    return "\n".join(
        f"user {user}\n" + "".join(f"topic {access} {topic}\n" for access, topic in rules) for user, rules in blocks
    )


def hashed_password(password: str, salt: bytes = b"") -> str:
    """A password as mosquitto keeps it: `$7$iterations$salt$hash`, PBKDF2 with SHA-512. Source: mosquitto_passwd(1)."""
    salt = salt or secrets.token_bytes(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, HASH_ITERATIONS, HASH_BYTES)
    return f"$7${HASH_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def kept_or_new_password(file: Path) -> str:
    """The password in the file if there is one, else a new one of 256 random bits."""
    try:
        kept = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        kept = ""
    return kept or secrets.token_urlsafe(PASSWORD_BYTES)


def write_private(file: Path, text: str) -> None:
    """Replace a file as a whole; it and its folders are made for the owner alone."""
    file.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w", encoding="utf-8"
        ) as output:
            output.write(text)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
