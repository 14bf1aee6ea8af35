"""A mapping read key by key, so that every refusal names the key: the small strict reader behind `slo.objective`.

Refuses: keys nobody asked for, with the nearest that is allowed. Pure; called by `slo.objective` only.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

__all__ = ["Fields", "ObjectiveError"]

_Choice = TypeVar("_Choice", bound=StrEnum)


class ObjectiveError(ValueError):
    """An objective that cannot be read: `key` is the dotted path of the key, `reason` what is wrong there."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}" if key else reason)
        self.key = key
        self.reason = reason


class Fields:
    """One mapping at a dotted path, whose keys must all be among `allowed`."""

    def __init__(self, value: object, at: str, *, allowed: Sequence[str]) -> None:
        self._at = at
        if not isinstance(value, Mapping):
            raise ObjectiveError(at, f"must be a mapping, not {value!r}")
        self._values: Mapping[str, object] = value
        for key in value:
            if key not in allowed:
                near = difflib.get_close_matches(str(key), allowed, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; allowed are {', '.join(allowed)}"
                raise ObjectiveError(self.path(str(key)), f"is not a key that is known here{hint}")

    def path(self, key: str) -> str:
        """The dotted path of `key`."""
        return f"{self._at}.{key}" if self._at else key

    def has(self, key: str) -> bool:
        """True when the key is there."""
        return key in self._values

    def absent(self, *keys: str) -> None:
        """Refuse keys that say nothing in this place."""
        for key in keys:
            if key in self._values:
                raise ObjectiveError(self.path(key), "does not belong to this kind of objective")

    def fields(self, key: str, *, allowed: Sequence[str]) -> Fields:
        """The mapping under `key`."""
        return Fields(self._required(key), self.path(key), allowed=allowed)

    def only_item(self, key: str, *, allowed: Sequence[str]) -> Fields:
        """The one mapping in the list under `key`."""
        value = self._required(key)
        if not isinstance(value, list) or len(value) != 1:
            raise ObjectiveError(self.path(key), "must be a list of exactly one entry")
        return Fields(value[0], f"{self.path(key)}[0]", allowed=allowed)

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self._required(key)
        if not isinstance(value, str) or not value.strip():
            raise ObjectiveError(
                self.path(key), f"must be a text, not {value!r}; quote it if it looks like something else"
            )
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of at least one text."""
        value = self._required(key)
        if not isinstance(value, list) or not value or not all(isinstance(entry, str) and entry for entry in value):
            raise ObjectiveError(self.path(key), f"must be a list of texts, not {value!r}")
        return tuple(value)

    def literal(self, key: str, expected: str) -> None:
        """Exactly this text."""
        value = self._required(key)
        if value != expected:
            raise ObjectiveError(self.path(key), f"must be {expected!r}, not {value!r}")

    def choice(self, key: str, choices: type[_Choice]) -> _Choice:
        """One word of a closed list."""
        value = self.text(key)
        if value not in list(choices):
            raise ObjectiveError(self.path(key), f"{value!r} is not one of {', '.join(choices)}")
        return choices(value)

    def flag(self, key: str) -> bool:
        """True or false; absent is false."""
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise ObjectiveError(self.path(key), f"must be true or false, not {value!r}")
        return value

    def count(self, key: str) -> int:
        """A whole number of at least 1, also when it is written as a text (OpenSLO's annotations are texts)."""
        value = self._required(key)
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ObjectiveError(self.path(key), f"must be a whole number of at least 1, not {value!r}")
        return number

    def positive(self, key: str) -> Fraction:
        """A number above 0, exactly as it was written: 0.95 becomes 19/20 and not its nearest binary float."""
        value = self._required(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ObjectiveError(self.path(key), f"must be a number above 0, not {value!r}")
        return Fraction(repr(value))

    def share(self, key: str) -> Fraction:
        """A number strictly between 0 and 1."""
        value = self.positive(key)
        if value >= 1:
            raise ObjectiveError(self.path(key), f"must be a share below 1 such as 0.95, not {float(value):g}")
        return value

    def _required(self, key: str) -> object:
        if key not in self._values or self._values[key] is None:
            raise ObjectiveError(self.path(key), "is missing")
        return self._values[key]
