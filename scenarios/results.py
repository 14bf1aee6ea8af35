"""What the platform's operations bring back, typed: uploads, analyses, prices, quotes, orders.

Data only. `results` holds whatever else the target's description names, for later operations of the same journey. Made by
`scenarios.platform`, handed from step to step by scenario scripts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from probes.journey import SideEffectHandle
from probes.parts import Part

__all__ = ["Analysis", "Order", "Price", "Quote", "Upload"]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that the platform took."""

    part: Part
    name: str
    results: Mapping[str, object]
    effect: SideEffectHandle


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the platform measured. `warnings` is None where the target's description has no place for them."""

    upload: Upload
    volume_mm3: float
    area_mm2: float
    bbox_mm: tuple[float, float, float]
    warnings: tuple[str, ...] | None
    results: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Price:
    """What `quantity` pieces cost, in currency units."""

    quantity: int
    currency: str
    unit_price: float
    total_price: float
    results: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote that exists on the platform until it is deleted."""

    id: str
    currency: str
    total: float
    results: Mapping[str, object]
    effect: SideEffectHandle


@dataclass(frozen=True, slots=True)
class Order:
    """A payment in test mode."""

    quote: Quote
    amount: float
    currency: str
    results: Mapping[str, object]
