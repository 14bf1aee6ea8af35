"""A mapping read key by key, so that every refusal names the key and says what to do: the strict reader behind objective files.

A refusal is noted and reading goes on with a stand-in value, so that one pass finds everything that is wrong; whoever reads must
look at `Problems` before using what was read. Refuses: keys nobody asked for, with the nearest that is allowed. Pure; called by
the `slo.document_...` modules only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import Final, TypeVar

__all__ = ["SECOND_NS", "Fields", "ObjectiveError", "Problems"]

SECOND_NS: Final = 1_000_000_000
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")

_Choice = TypeVar("_Choice", bound=StrEnum)


class ObjectiveError(ValueError):
    """A key that cannot be read: `key` is its dotted path, `reason` what is wrong there, `remedy` what to write instead."""

    def __init__(self, key: str, reason: str, remedy: str = "") -> None:
        head = f"{key}: {reason}" if key else reason
        super().__init__(f"{head}. {remedy}" if remedy else head)
        self.key = key
        self.reason = reason
        self.remedy = remedy


class Problems:
    """What was refused in one document, in the order in which it was read."""

    def __init__(self) -> None:
        self.found: list[ObjectiveError] = []

    def add(self, key: str, reason: str, remedy: str) -> None:
        """Note one refusal."""
        self.found.append(ObjectiveError(key, reason, remedy))

    def raise_first(self) -> None:
        """ObjectiveError with the first refusal, if there is one."""
        if self.found:
            raise self.found[0]


class Fields:
    """One mapping at a dotted path, whose keys must all be among `allowed`."""

    def __init__(self, value: object, at: str, *, allowed: Sequence[str], problems: Problems) -> None:
        self._at = at
        self.problems = problems
        self._values: Mapping[object, object] = value if isinstance(value, Mapping) else {}
        if not isinstance(value, Mapping):
            problems.add(
                at, f"must be a mapping, not {value!r}", f"Write keys and values; known are {', '.join(allowed)}"
            )
            # Everything below it would be missing too, which is no news.
            self.problems = Problems()
        for key in self._values:
            if key not in allowed:
                self._refuse_key(str(key), allowed)

    def _refuse_key(self, key: str, allowed: Sequence[str]) -> None:
        near = difflib.get_close_matches(key, allowed, n=1)
        self.refuse(
            key,
            "is not a key that is known here" + (f"; did you mean {near[0]!r}?" if near else ""),
            f"Rename it to {near[0]!r}" if near else f"Remove it; known are {', '.join(allowed)}",
        )

    def refuse(self, key: str, reason: str, remedy: str) -> None:
        """Note that the value under `key` cannot stay as it is."""
        self.problems.add(self.path(key), reason, remedy)

    def path(self, key: str) -> str:
        """The dotted path of `key`."""
        return f"{self._at}.{key}" if self._at else key

    def has(self, key: str) -> bool:
        """True when the key is there."""
        return key in self._values

    def raw(self, key: str) -> object:
        """The value as it was read, or None."""
        return self._values.get(key)

    def absent(self, *keys: str, why: str) -> None:
        """Refuse keys that say nothing in this place; `why` says which place this is."""
        for key in keys:
            if key in self._values:
                self.refuse(key, f"does not belong here: {why}", "Remove it")

    def fields(self, key: str, *, allowed: Sequence[str]) -> Fields:
        """The mapping under `key`."""
        if self._is_missing(key):
            self._refuse_missing(key, f"Write it with the keys {', '.join(allowed)}")
            return Fields({}, self.path(key), allowed=(), problems=Problems())
        return Fields(self._values[key], self.path(key), allowed=allowed, problems=self.problems)

    def only_item(self, key: str, *, allowed: Sequence[str], remedy: str = "Leave one entry") -> Fields:
        """The one mapping in the list under `key`; `remedy` says where further entries go."""
        value = self._values.get(key)
        if isinstance(value, list) and len(value) == 1:
            return Fields(value[0], f"{self.path(key)}[0]", allowed=allowed, problems=self.problems)
        if self._is_missing(key):
            self._refuse_missing(key, "Write a list of one entry, beginning with '- '")
        else:
            self.refuse(key, "must be a list of exactly one entry", remedy)
        return Fields({}, f"{self.path(key)}[0]", allowed=(), problems=Problems())

    def items(self, key: str, *, allowed: Sequence[str]) -> tuple[Fields, ...]:
        """The mappings in the list under `key`, one at least."""
        value = self._values.get(key)
        if not isinstance(value, list) or not value:
            self.refuse(key, "must be a list of at least one entry", f"Write '- ' and the keys {', '.join(allowed)}")
            return ()
        return tuple(
            Fields(entry, f"{self.path(key)}[{place}]", allowed=allowed, problems=self.problems)
            for place, entry in enumerate(value)
        )

    def text(self, key: str) -> str:
        """A text that is not empty."""
        if self._is_missing(key):
            return self._refuse_missing(key, "Write a text")
        value = self._values[key]
        if isinstance(value, str) and value.strip():
            return value
        remedy = "Put it in quotes, as YAML reads it as something else" if value != "" else "Write a text"
        self.refuse(key, f"must be a text, not {_shown(value)}; quote it if it looks like something else", remedy)
        return ""

    def name(self, key: str) -> str:
        """A text that can stand in topics, addresses and file names."""
        value = self.text(key)
        if value and not _NAME.fullmatch(value):
            remedy = "Use lower-case letters, digits, dots and hyphens, 63 at most: 'api-p95'"
            self.refuse(key, f"{value!r} is not a name", remedy)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of at least one text."""
        if self._is_missing(key):
            self._refuse_missing(key, "Write a list of texts: [a, b]")
            return ()
        value = self._values[key]
        if isinstance(value, list) and value and all(isinstance(entry, str) and entry for entry in value):
            return tuple(value)
        self.refuse(key, f"must be a list of texts, not {_shown(value)}", "Write it in brackets: [a, b]")
        return ()

    def literal(self, key: str, expected: str) -> None:
        """Exactly this text."""
        if self._is_missing(key):
            self._refuse_missing(key, f"Write {expected!r}")
        elif self._values[key] != expected:
            self.refuse(key, f"must be {expected!r}, not {_shown(self._values[key])}", f"Write {expected!r}")

    def choice(self, key: str, choices: type[_Choice]) -> _Choice:
        """One word of a closed list."""
        words = list(choices)
        if self._is_missing(key):
            self._refuse_missing(key, f"Write one of {', '.join(words)}")
        elif (value := self._values[key]) in words:
            return choices(str(value))
        else:
            near = difflib.get_close_matches(str(value), words, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Write one of {', '.join(words)}"
            self.refuse(key, f"{_shown(value)} is not one of {', '.join(words)}", remedy)
        return words[0]

    def flag(self, key: str) -> bool:
        """True or false, also as a text (OpenSLO's annotations are texts); absent is false."""
        value = self._values.get(key, False)
        if value in ("true", "false"):
            return value == "true"
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, not {_shown(value)}", "Write true or false")
            return False
        return value

    def count(self, key: str) -> int:
        """A whole number of at least 1, also when it is written as a text (OpenSLO's annotations are texts)."""
        if self._is_missing(key):
            self._refuse_missing(key, "Write a whole number such as 1")
            return 1
        value = self._values[key]
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value) else value
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            self.refuse(key, f"must be a whole number of at least 1, not {_shown(value)}", "Write 1, 2, 3, ...")
            return 1
        return number

    def positive(self, key: str) -> Fraction:
        """A number above 0, exactly as it was written: 0.95 becomes 19/20 and not its nearest binary float."""
        if self._is_missing(key):
            self._refuse_missing(key, "Write a number above 0")
            return Fraction(1, 2)
        value = self._values[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            remedy = "Write a plain number, without unit or quotes"
            self.refuse(key, f"must be a number above 0, not {_shown(value)}", remedy)
            return Fraction(1, 2)
        return Fraction(repr(value))

    def share(self, key: str) -> Fraction:
        """A number strictly between 0 and 1."""
        value = self.positive(key)
        if value < 1:
            return value
        percent = "100 % is an Obligation, of which none may be bad"
        remedy = f"Write {float(value) / 100:g}" if 1 < value < 100 else percent
        self.refuse(key, f"must be a share below 1 such as 0.95, not {float(value):g}", remedy)
        return Fraction(1, 2)

    def share_text(self, key: str) -> Fraction:
        """A share that stands in a text, as OpenSLO's annotations do."""
        value = self.text(key)
        if not value:
            return Fraction(1, 2)
        if _NUMBER.fullmatch(value) and 0 < Fraction(value) < 1:
            return Fraction(value)
        self.refuse(key, f"must be a share between 0 and 1, not {value!r}", 'Write it as a text: "0.99"')
        return Fraction(1, 2)

    def duration_s(self, key: str) -> int:
        """Seconds of a text such as 30s, 15m, 4h, 30d."""
        value = self.text(key)
        if not value:
            return 1
        if found := _DURATION.fullmatch(value):
            return int(found[1]) * _SECONDS[found[2]]
        reason = f"{value!r} is not a duration"
        if value.endswith("M"):
            reason += "; 'M' is a month, a minute is 'm'"
        self.refuse(key, reason, "Write a whole number and a unit: 30s, 15m, 4h, 30d")
        return 1

    def duration_minutes(self, key: str) -> int:
        """Whole minutes of such a text."""
        value_s = self.duration_s(key)
        if value_s > 1 and value_s % 60:
            self.refuse(key, f"{value_s} s are not whole minutes", "Write whole minutes: 5m, 1h")
        return max(1, value_s // 60)

    def instant(self, key: str) -> datetime | None:
        """An instant with its offset, on a whole minute; None when it was refused."""
        if self._is_missing(key):
            self._refuse_missing(key, 'Write an instant: "2026-10-01T00:00:00Z"')
            return None
        value = self._values[key]
        if isinstance(value, date):
            self.refuse(key, "was read by YAML as a date, and its zone is lost", f'Put it in quotes: "{_iso(value)}"')
            return None
        try:
            found = datetime.fromisoformat(self.text(key))
        except ValueError:
            self.refuse(key, f"{value!r} is not an instant", 'Write date, time and offset: "2026-10-01T00:00:00Z"')
            return None
        if found.tzinfo is None:
            self.refuse(key, f"{value!r} does not say in which zone", f'Add the offset: "{_iso(found)}"')
        elif found.second or found.microsecond:
            self.refuse(
                key, f"{value!r} is not on a whole minute", "Minutes are what is scored: leave the seconds at 00"
            )
        else:
            return found
        return None

    def _is_missing(self, key: str) -> bool:
        return self._values.get(key) is None

    def _refuse_missing(self, key: str, remedy: str) -> str:
        self.refuse(key, "is missing", remedy)
        return ""


def _shown(value: object) -> str:
    """The value as a message shows it, not longer than a line."""
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _iso(value: date) -> str:
    """The same as it should have been written."""
    at = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001 - its zone is unknown
    return f"{at.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
