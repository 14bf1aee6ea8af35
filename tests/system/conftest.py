"""The databases that whole programs are run with."""

from tests.databases import postgres, url

__all__ = ["postgres", "url"]
