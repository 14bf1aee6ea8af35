"""Check the documents: every link leads somewhere, every page has one title, every page is on the map.

    .venv/bin/python -m deploy.check_docs

Looks at the checkout only: links to other sites are not fetched. Exit code 1 and one line per finding (file:line). Called
by `make docs`, which is part of `make check`.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["main", "problems_in"]

ROOT = Path(__file__).resolve().parent.parent
MAP = Path("docs/README.md")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*$")
_NUMBERED = re.compile(r"^\d{4}-")


def main() -> int:
    """Print what is wrong; 0 when nothing is."""
    found = list(problems_in(ROOT))
    for problem in found:
        print(problem)
    return 1 if found else 0


def problems_in(root: Path) -> Iterator[str]:
    """One line per finding, over the pages at the top of `root` and below its `docs`."""
    pages = sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])
    linked: set[Path] = set()
    for page in pages:
        yield from _problems_of_page(page, root, linked)
    for page in pages:
        if page.is_relative_to(root / "docs") and page != root / MAP and page.resolve() not in linked:
            yield f"{page.relative_to(root)}:1: no other page links to it; put it on the map, {MAP}"
    yield from _numbers_used_twice(root)


def _problems_of_page(page: Path, root: Path, linked: set[Path]) -> Iterator[str]:
    where = page.relative_to(root)
    titles = 0
    for number, line in _prose(page):
        if (heading := _HEADING.match(line)) and len(heading[1]) == 1:
            titles += 1
        for target in _LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page.resolve()
            if not file.exists():
                yield f"{where}:{number}: {target} leads to no file"
            elif anchor and anchor not in _anchors(file):
                yield f"{where}:{number}: {target} leads to no heading"
            if file != page.resolve():
                linked.add(file)
    if titles != 1:
        yield f"{where}:1: has {titles} titles (lines that begin with a single #); a page has one"


def _prose(page: Path) -> Iterator[tuple[int, str]]:
    """The lines outside of code blocks, with their numbers."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def _anchors(page: Path) -> set[str]:
    """What a heading is called in a link: lower case, punctuation gone, spaces to hyphens."""
    headings = (heading[2] for _, line in _prose(page) if (heading := _HEADING.match(line)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _numbers_used_twice(root: Path) -> Iterator[str]:
    names = sorted(page.name for page in (root / "docs" / "adr").glob("*.md") if _NUMBERED.match(page.name))
    for before, after in itertools.pairwise(names):
        if before[:4] == after[:4]:
            yield f"docs/adr/{after}:1: the number is taken by {before}"


if __name__ == "__main__":
    sys.exit(main())
