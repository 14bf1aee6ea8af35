"""Where a secret comes from: a variable, a credential of systemd or a file, never the command line and never a settings file.

A missing secret is an error only when it is used, and the error names the variable, the credential, the file and the key.
Called by `probes.targets` and `probes.settings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from probes.errors import OperatorError
from probes.forms import form

__all__ = ["CREDENTIALS_VARIABLE", "SecretSource", "find_secret"]

CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
"""Where systemd puts what a unit loads with `LoadCredential=`. Source: systemd.exec(5)."""


class SecretSource(BaseModel):
    """Where to look.

    `credential` is a name in the folder that systemd makes for one unit alone; `public_default` is for a stand-in whose
    password is known to everybody.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    env: str = ""
    credential: Annotated[
        str,
        form(
            r"([A-Za-z0-9][A-Za-z0-9_.-]*)?",
            "a name of letters, digits, dots, hyphens and underscores that begins with a letter or a digit, and no path",
        ),
    ] = ""
    file: str = ""
    public_default: str = ""

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if not (self.env or self.credential or self.file):
            raise ValueError(
                "a secret needs env = the name of an environment variable, credential = the name of a credential of "
                "systemd, or file = the path of a file"
            )
        return self


def find_secret(source: SecretSource, *, name: str, where: str, folder: Path, environ: Mapping[str, str]) -> SecretStr:
    """The secret, the environment first, then the credential; `OperatorError` when it is nowhere or a file cannot be read.

    `file` is relative to `folder`; white space around its content is not part of the secret.
    """
    if source.env and environ.get(source.env):
        return SecretStr(environ[source.env])
    for path in _files_of(source, folder, environ):
        if text := _text_of(path, name=name, where=where):
            return SecretStr(text)
    if source.public_default:
        return SecretStr(source.public_default)
    ways = [f"Set the environment variable {source.env}"] if source.env else []
    ways += [f"load the credential {source.credential} (LoadCredential= in the unit)"] if source.credential else []
    ways += [f"put it into the file {(folder / Path(source.file).expanduser()).resolve()}"] if source.file else []
    raise OperatorError(f"the secret {name!r} is missing", where=where, remedy=" or ".join(ways))


def _files_of(source: SecretSource, folder: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if source.credential and environ.get(CREDENTIALS_VARIABLE):
        yield Path(environ[CREDENTIALS_VARIABLE]) / source.credential
    if source.file:
        yield (folder / Path(source.file).expanduser()).resolve()


def _text_of(path: Path, *, name: str, where: str) -> str:
    """The file's text; a file that does not exist is the same as a variable that is not set."""
    if not path.exists():
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"the secret {name!r} cannot be read from {path} ({error})", where=where) from error
