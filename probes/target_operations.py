"""The operations that scenarios know: what each is given, what it must find, and whose results it may use.

A table, so that a description is checked when it is read and not in the middle of a run. A new operation is a row here,
a method in `scenarios.platform` and a script that calls it. Called by `probes.target_checks` and `probes.targets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ALWAYS_GIVEN", "AMOUNTS", "OPERATIONS", "OperationRule"]

ALWAYS_GIVEN: Final = ("run_id", "trace_id", "now")
"""Placeholders that every operation may use: the run, its trace, and the instant in ISO 8601."""

_FILE: Final = ("file_name", "file_bytes", "media_type", "extension", "sha256")
_MARKER: Final = ("marker", "event_id", "event_uuid", "dsn_url", "dsn_project", "dsn_key")
AMOUNTS: Final = (
    "volume_mm3",
    "volume_cm3",
    "area_mm2",
    "area_cm2",
    "bbox_x_mm",
    "bbox_y_mm",
    "bbox_z_mm",
)
"""Placeholders for what the platform measured."""
_ORDER: Final = ("quantity", "quantities", "part_id", *AMOUNTS)


@dataclass(frozen=True, slots=True)
class OperationRule:
    """One row: placeholders it is given, results it must name, one of `any_of` too, operations whose results it sees."""

    summary: str
    given: tuple[str, ...] = ()
    must_find: tuple[str, ...] = ()
    any_of: tuple[tuple[str, ...], ...] = ()
    sees: tuple[str, ...] = ()
    takes_file: bool = False


OPERATIONS: Final[dict[str, OperationRule]] = {
    "api_health": OperationRule("the API says that it is well"),
    "cad_health": OperationRule("the CAD service says that it is well"),
    "web_health": OperationRule("the web site says that it is well"),
    "sign_in": OperationRule("sign in with the probe's own account", must_find=("token",)),
    "wrong_password": OperationRule("the same with a password that is wrong", given=("wrong_password",)),
    "session": OperationRule("the token works", sees=("sign_in",)),
    "upload": OperationRule("send a CAD file", given=_FILE, sees=("sign_in",), takes_file=True),
    "read_upload": OperationRule("read the file back", given=_FILE, sees=("sign_in", "upload")),
    "delete_upload": OperationRule("delete the file", given=_FILE, sees=("sign_in", "upload")),
    "analyse": OperationRule(
        "have the part measured",
        given=_FILE,
        must_find=("volume_mm3", "area_mm2"),
        any_of=(("bbox_mm",), ("bbox_min_mm", "bbox_max_mm")),
        sees=("sign_in", "upload"),
    ),
    "dfm": OperationRule(
        "have the part checked for manufacturability",
        given=_FILE,
        must_find=("findings",),
        sees=("sign_in", "upload", "analyse"),
    ),
    "price": OperationRule(
        "ask what the part costs",
        given=_ORDER,
        must_find=("currency", "unit_price", "total_price"),
        sees=("sign_in", "upload", "analyse"),
    ),
    "quote": OperationRule(
        "make a quote",
        given=_ORDER,
        must_find=("quote_id", "currency", "total"),
        sees=("sign_in", "upload", "analyse", "price"),
    ),
    "read_quote": OperationRule("read the quote back", must_find=("quote_id", "total"), sees=("sign_in", "quote")),
    "delete_quote": OperationRule("delete the quote", sees=("sign_in", "quote")),
    "checkout": OperationRule(
        "open a payment",
        must_find=("order_id", "amount", "currency"),
        sees=("sign_in", "quote"),
    ),
    "settle": OperationRule(
        "approve the payment in test mode and wait until it is settled",
        must_find=("status", "amount", "currency"),
        sees=("sign_in", "quote", "checkout"),
    ),
    "service_health": OperationRule("the service address answers, whoever stands behind it"),
    "standby_health": OperationRule("the standby says that it could take over"),
    "send_errors": OperationRule("send a marker to error tracking", given=_MARKER),
    "read_errors": OperationRule("read it back from there", given=_MARKER, must_find=("marker_found",)),
    "send_events": OperationRule("send a marker to product analytics", given=_MARKER),
    "read_events": OperationRule("read it back from there", given=_MARKER, must_find=("marker_found",)),
}
"""Operation name -> its rule."""
