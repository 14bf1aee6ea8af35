"""What the groups of settings share: strict models, names, endpoints, folders.

Refuses to know any setting. Called by the modules `probes.settings*`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["NAME_FORM", "Endpoint", "HttpOrNone", "Name", "NameOrNone", "Strict", "folder_of"]

NAME_FORM: Final = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
Name = Annotated[str, Field(pattern=f"^{NAME_FORM}$")]
"""A word that can stand in a topic and in a file name."""
NameOrNone = Annotated[str, Field(pattern=f"^({NAME_FORM})?$")]
Endpoint = Annotated[str, Field(pattern=r"^([^:/]+:[0-9]{1,5})?$")]
"""`HOST:PORT`, or nothing."""
HttpOrNone = Annotated[str, Field(pattern=r"^(https?://[^\s/@]+(/\S*)?)?$")]
"""An address of the web without a user in it, or nothing."""


class Strict(BaseModel):
    """A group of settings: no unknown key, no conversion."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def folder_of(text: str) -> Path | None:
    """The folder that a setting names, None for an empty one."""
    return Path(text).expanduser() if text else None
