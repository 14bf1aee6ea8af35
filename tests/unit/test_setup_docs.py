"""The check of the documents finds what it promises to find, and nothing in pages that are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.check_docs import problems_in

RIGHT = {
    "README.md": "# Project\n[map](docs/README.md) [site](https://example.test/nowhere)\n",
    "docs/README.md": "# Map\n[one](how-to/one.md#the-first-step) [decision](adr/0001-a.md)\n",
    "docs/how-to/one.md": "# One\n## The first step\n```sh\n# no title\n[no](link.md)\n```\n",
    "docs/adr/0001-a.md": "# 0001: A\n",
}


def problems(root: Path, changes: dict[str, str]) -> list[str]:
    """What is found in the right pages with some of them changed."""
    for name, text in {**RIGHT, **changes}.items():
        page = root / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text)
    return list(problems_in(root))


def test_pages_that_are_right_have_no_problem(tmp_path: Path) -> None:
    """Links to other sites and whatever stands in a code block are left alone."""
    assert problems(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("page", "text", "finding"),
    [
        ("README.md", "# Project\n\n[gone](docs/gone.md)\n", "README.md:3: docs/gone.md leads to no file"),
        (
            "docs/README.md",
            "# Map\n[one](how-to/one.md#second) [d](adr/0001-a.md)",
            "docs/README.md:2: how-to/one.md#second leads to no heading",
        ),
        ("docs/how-to/two.md", "# Two\n", "docs/how-to/two.md:1: no other page links to it"),
        ("docs/how-to/one.md", "# One\n# Two\n## The first step\n", "docs/how-to/one.md:1: has 2 titles"),
        ("docs/adr/0001-b.md", "# 0001: B\n[a](0001-a.md)\n", "docs/adr/0001-b.md:1: the number is taken by 0001-a.md"),
    ],
    ids=["dead link", "dead anchor", "off the map", "two titles", "number taken"],
)
def test_a_wrong_page_is_found_at_its_line(tmp_path: Path, page: str, text: str, finding: str) -> None:
    """Each finding names the file, the line and what is wrong."""
    assert any(problem.startswith(finding) for problem in problems(tmp_path, {page: text}))
