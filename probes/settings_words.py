"""What the groups of settings share: strict models, names, endpoints, folders.

Refuses to know any setting. Called by the modules `probes.settings*`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict

from probes.forms import form

__all__ = ["NAME_FORM", "NAME_WORDS", "Endpoint", "HttpOrNone", "Name", "NameOrNone", "Strict", "folder_of"]

NAME_FORM: Final = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
NAME_WORDS: Final = (
    "a name of 1 to 63 lower-case letters, digits, dots and hyphens that begins and ends with a letter or a digit"
)
Name = Annotated[str, form(NAME_FORM, NAME_WORDS)]
"""A word that can stand in a topic and in a file name."""
NameOrNone = Annotated[str, form(f"({NAME_FORM})?", f"nothing, or {NAME_WORDS}")]
Endpoint = Annotated[str, form(r"([^:/]+:[0-9]{1,5})?", "HOST:PORT, or nothing")]
"""`HOST:PORT`, or nothing."""
HttpOrNone = Annotated[
    str,
    form(
        r"(https?://[^\s/@]+(/\S*)?)?",
        "an address that begins with http:// or https:// and has no user in it, or nothing",
    ),
]
"""An address of the web without a user in it, or nothing."""


class Strict(BaseModel):
    """A group of settings: no unknown key, no conversion."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def folder_of(text: str) -> Path | None:
    """The folder that a setting names, None for an empty one."""
    return Path(text).expanduser() if text else None
