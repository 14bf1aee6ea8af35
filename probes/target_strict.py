"""What all tables of a target description share: strict fields, no unknown keys, lists as tuples. Called by their models."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Items", "Seconds", "Strict"]

ItemT = TypeVar("ItemT")
Items = Annotated[tuple[ItemT, ...], Field(strict=False)]
"""A list of the file as a tuple: strict pydantic would refuse the list that TOML gives."""

Seconds = Annotated[float, Field(gt=0, le=3600)]


class Strict(BaseModel):
    """A table without unknown keys, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
