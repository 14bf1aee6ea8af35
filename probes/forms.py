"""Texts of a fixed form in settings and descriptions: a slip is told by the rule in words, and never by an expression.

Refuses to know any rule. Called by the models of settings, targets and plans.
"""

from __future__ import annotations

import re

from pydantic import AfterValidator

__all__ = ["form"]


def form(pattern: str, words: str) -> AfterValidator:
    """A check that the whole text is of this form; `words` complete "expected ...". What may hold a password is not repeated."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text):
            return text
        found = "" if "@" in text else f", found {text!r}"
        raise ValueError(f"expected {words}{found}")

    return AfterValidator(check)
