"""The tables of a page as a person reads them: by row what each column says. Used by tests that compare pages with the API."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["rows_of", "text_of"]


class Tables(HTMLParser):
    """Collects the rows of all tables, each by the words above its columns; a row's own heading is that of its column too."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, str]] = []
        self.words: list[str] = []
        self._heads: list[str] = []
        self._cells: list[str] = []
        self._cell: list[str] | None = None
        self._in_head = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parser's own form
        """Begin what it begins."""
        match tag:
            case "thead":
                self._heads, self._in_head = [], True
            case "tr":
                self._cells = []
            case "td" | "th":
                self._cell = []

    def handle_endtag(self, tag: str) -> None:
        """End what it ends."""
        match tag:
            case "thead":
                self._in_head = False
            case "td" | "th" if self._cell is not None:
                said = " ".join("".join(self._cell).split())
                (self._heads if self._in_head else self._cells).append(said)
                self._cell = None
            case "tr" if self._cells and not self._in_head:
                self.rows.append(dict(zip(self._heads, self._cells, strict=False)))

    def handle_data(self, data: str) -> None:
        """What is said."""
        self.words.append(data)
        if self._cell is not None:
            self._cell.append(data)


def rows_of(page: str, *columns: str) -> list[dict[str, str]]:
    """The rows of those tables that have all these columns."""
    found = Tables()
    found.feed(page)
    return [row for row in found.rows if set(columns) <= set(row)]


def text_of(page: str) -> str:
    """All that a page says, on one line."""
    found = Tables()
    found.feed(page)
    return " ".join(" ".join(found.words).split())
