"""A DSN as Sentry hands it out: `https://PUBLIC_KEY@HOST[/PREFIX]/PROJECT`, taken apart. Pure.

Called by `probes.targets`, which checks it when a description is read, and by the scenario `telemetry-canary`.

Source: https://develop.sentry.dev/sdk/overview/#parsing-the-dsn
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["DSN_PARTS", "DSN_VALUE", "Dsn", "parse_dsn"]

DSN_VALUE = "errors_dsn"
"""The value of a target description that holds one; requests may then use its parts."""

DSN_PARTS = ("dsn_url", "dsn_project", "dsn_key")
"""The placeholders for its parts."""


@dataclass(frozen=True, slots=True)
class Dsn:
    """`url` is where the API begins, without a slash at its end."""

    url: str
    project: str
    key: str

    def placeholders(self) -> dict[str, str]:
        """Its parts under the names that requests use."""
        return dict(zip(DSN_PARTS, (self.url, self.project, self.key), strict=True))


def parse_dsn(text: str) -> Dsn:
    """The parts of a DSN; ValueError that says what is missing, and never repeats the text."""
    url = urlsplit(text)
    prefix, _, project = url.path.rpartition("/")
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("it does not start with http:// or https:// and a host")
    if not url.username:
        raise ValueError("it has no public key before the @")
    if not project:
        raise ValueError("it has no project at its end")
    place = url.netloc.rpartition("@")[2]
    return Dsn(f"{url.scheme}://{place}{prefix}", project, url.username)
