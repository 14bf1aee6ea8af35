"""The settings of the collector's pages and API, group `[pages]`.

Refuses to open anything; the tokens themselves are secrets. Called by `probes.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.settings_words import Endpoint, Name, Strict

__all__ = ["PagesFile", "PagesSettings", "pages_of"]


class PagesFile(Strict):
    """The keys of the group."""

    listen: Endpoint
    public_url: str
    read_tokens: list[Name]
    operate_tokens: list[Name]


@dataclass(frozen=True, slots=True)
class PagesSettings:
    """`listen` is HOST:PORT or empty for no pages; `public_url` is how people reach them, empty: as they listen.

    The tokens are names of secrets: who has one of the first may read, who has one of the second may also operate.
    """

    listen: str
    public_url: str
    read_tokens: tuple[str, ...]
    operate_tokens: tuple[str, ...]


def pages_of(file: PagesFile) -> PagesSettings:
    """The group as the rest of the program reads it."""
    return PagesSettings(
        listen=file.listen,
        public_url=file.public_url.rstrip("/"),
        read_tokens=tuple(dict.fromkeys(file.read_tokens)),
        operate_tokens=tuple(dict.fromkeys(file.operate_tokens)),
    )
