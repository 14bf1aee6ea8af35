"""The version of this fleet, for the `User-Agent` and for records; a test keeps it equal to the one in `pyproject.toml`.

Refuses to ask the installed package: a checkout that was never installed has no metadata.
"""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
