"""Hiding secrets in what is kept: first every value that the run knows, then whatever has the name of a secret.

What is hidden: known values in any text; headers such as Authorization and Cookie; JSON members and form or query parameters
called password, token and the like; bearer and basic credentials. In archives every member is rewritten; one that is not
text and holds a known value is emptied. What cannot be hidden: the pixels of a screenshot. Called by `probes.evidence`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

__all__ = ["MASKED", "SECRET_HEADERS", "mask_archive", "mask_bytes", "mask_text"]

MASKED = "***"
Mask = Callable[[str], str]
SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-auth-token",
        "x-csrf-token",
        "x-amz-security-token",
    }
)
NAMES = (
    r"(?:(?:access|refresh|id|auth|session|csrf|bearer|api)[_-]?)?token|pass(?:word|wd|phrase)?|secret|client[_-]?secret"
    r"|api[_-]?key|private[_-]?key|authorization|session[_-]?id|otp|x-amz-(?:signature|credential|security-token)|signature|sig"
)
HEADERS = "|".join(sorted(SECRET_HEADERS))
# Quotes may be escaped any number of times: JSON carried as a text within JSON.
QUOTE = r'\\*"'
RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            rf"({QUOTE}name{QUOTE}\s*:\s*{QUOTE}(?:{HEADERS}){QUOTE}\s*,\s*{QUOTE}value{QUOTE}\s*:\s*{QUOTE}).*?({QUOTE})",
            re.IGNORECASE,
        ),
        rf"\1{MASKED}\2",
    ),
    (
        re.compile(
            rf"({QUOTE}(?:{NAMES}|{HEADERS}){QUOTE}\s*:\s*{QUOTE})[^\"\\]+(?:\\+[^\"\\]+)*({QUOTE})", re.IGNORECASE
        ),
        rf"\1{MASKED}\2",
    ),
    (re.compile(rf"([?&;](?:{NAMES})=)[^&\s\"'<>#\\]+", re.IGNORECASE), rf"\1{MASKED}"),
    (re.compile(rf"^((?:{NAMES})=)[^&\s\"'<>#\\]+", re.IGNORECASE), rf"\1{MASKED}"),
    (re.compile(rf"^((?:{HEADERS})\s*:\s*).+$", re.IGNORECASE | re.MULTILINE), rf"\1{MASKED}"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASKED}"),
)


def mask_text(text: str, mask: Mask) -> str:
    """The text without known secrets and without what is called like one."""
    text = mask(text)
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return text


def mask_bytes(data: bytes, mask: Mask) -> bytes:
    """The same for bytes. What is not UTF-8 stays as it is, unless it holds a known secret: then nothing of it is kept."""
    try:
        return mask_text(data.decode("utf-8"), mask).encode("utf-8")
    except UnicodeDecodeError:
        as_text = data.decode("latin-1")
        return data if mask(as_text) == as_text else b""


def mask_archive(data: bytes, mask: Mask) -> bytes:
    """A zip archive with every member masked. Raises `zipfile.BadZipFile` when it is none."""
    masked = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(masked, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            if not info.is_dir():
                target.writestr(mask_text(info.filename, mask), mask_bytes(source.read(info), mask))
    return masked.getvalue()
