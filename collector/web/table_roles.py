"""Tables that are stacked on a phone stay tables to a screen reader: their roles are written out in every template.

Browsers take `display: block` for a word about meaning and drop the table; explicit roles stay. Costs nothing when a page is
made. Refuses tables of other classes, which are never stacked. Called by `collector.web.render`.

Source: WAI-ARIA 1.2, table, row, rowgroup, columnheader, rowheader, cell.
"""

from __future__ import annotations

import re
from typing import Final

from jinja2.ext import Extension

__all__ = ["TableRoles", "with_roles"]

_TABLE: Final = re.compile(r'<table class="stack.*?</table>', re.DOTALL)
_ROLES: Final = (
    (re.compile(r"<table(?=[ >])"), '<table role="table"'),
    (re.compile(r"<(thead|tbody)(?=[ >])"), r'<\1 role="rowgroup"'),
    (re.compile(r"<tr(?=[ >])"), '<tr role="row"'),
    (re.compile(r"<td(?=[ >])"), '<td role="cell"'),
    (re.compile(r'<th scope="row"'), '<th scope="row" role="rowheader"'),
    (re.compile(r'<th scope="col"'), '<th scope="col" role="columnheader"'),
)


class TableRoles(Extension):
    """Writes the roles into the source of a template."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The source with roles in its stacked tables."""
        del name, filename
        return with_roles(source)


def with_roles(source: str) -> str:
    """The same template with a role on every part of each table of the class `stack`."""
    return _TABLE.sub(_one, source)


def _one(found: re.Match[str]) -> str:
    text = found[0]
    for pattern, written in _ROLES:
        text = pattern.sub(written, text)
    return text
