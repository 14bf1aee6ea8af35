"""The waterfall of a run as SVG: a line for each step and each request, its phases as stretches of one colour each.

Every number that counts stands in the table beside it too; here are only shapes and our own words. Colours are classes of the
style sheet. Refuses text from a probe. Called by the templates.
"""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from collector.texts.figures import duration_text
from collector.web.run_view import Bar, RunView

__all__ = ["draw_bar"]

WIDTH: Final = 1000
HEIGHT: Final = 14
LEAST_WIDTH: Final = 2.0


def draw_bar(bar: Bar, view: RunView) -> Markup:
    """One line of the waterfall, on the scale of the whole run."""
    shapes = []
    for piece in bar.pieces:
        x = piece.start_ns / view.end_ns * WIDTH
        width = max(LEAST_WIDTH, piece.length_ns / view.end_ns * WIDTH)
        kind = f"whole {bar.state}" if piece.kind == "step" else f"phase-{piece.kind}"
        shapes.append(f'<rect class="{kind}" x="{min(x, WIDTH - width):.1f}" width="{width:.1f}" height="{HEIGHT}"/>')
    words = ", ".join(
        f"{piece.kind} {duration_text(piece.length_ns)}" for piece in bar.pieces[:8] if piece.kind != "step"
    )
    begun = duration_text(min((piece.start_ns for piece in bar.pieces), default=0))
    title = f"from {begun} for {duration_text(bar.length_ns)}{f': {words}' if words else ''}"
    return Markup(
        '<svg class="picture waterfall" viewBox="0 0 {} {}" role="img" preserveAspectRatio="none">'
        "<title>{}</title>{}</svg>"
    ).format(WIDTH, HEIGHT, title, Markup("".join(shapes)))  # noqa: S704 - made above, of numbers
