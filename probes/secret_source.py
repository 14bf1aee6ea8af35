"""Where a secret comes from: an environment variable or a file, never the command line and never a settings file.

A missing secret is an error only when it is used, and the error names the variable, the file and the key. Called by
`probes.targets` and `probes.settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from probes.errors import OperatorError

__all__ = ["SecretSource", "find_secret"]


class SecretSource(BaseModel):
    """Where to look. `public_default` is for a stand-in whose password is known to everybody."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    env: str = ""
    file: str = ""
    public_default: str = ""

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if not (self.env or self.file):
            raise ValueError("a secret needs env = the name of an environment variable or file = the path of a file")
        return self


def find_secret(source: SecretSource, *, name: str, where: str, folder: Path, environ: Mapping[str, str]) -> SecretStr:
    """The secret, the environment first; `OperatorError` when it is nowhere or its file cannot be read.

    `file` is relative to `folder`; white space around its content is not part of the secret.
    """
    if source.env and environ.get(source.env):
        return SecretStr(environ[source.env])
    if source.file:
        path = (folder / Path(source.file).expanduser()).resolve()
        if text := _text_of(path, name=name, where=where):
            return SecretStr(text)
    if source.public_default:
        return SecretStr(source.public_default)
    ways = [f"Set the environment variable {source.env}"] if source.env else []
    ways += [f"put it into the file {source.file}"] if source.file else []
    raise OperatorError(f"the secret {name!r} is missing", where=where, remedy=" or ".join(ways))


def _text_of(path: Path, *, name: str, where: str) -> str:
    """The file's text; a file that does not exist is the same as a variable that is not set."""
    if not path.exists():
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"the secret {name!r} cannot be read from {path} ({error})", where=where) from error
