"""The databases that all contracts are held on."""

from tests.databases import postgres, url

__all__ = ["postgres", "url"]
