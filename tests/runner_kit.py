"""What tests of the command share: calling it in this process, a target file for a given address, small broken servers.

Used by the system tests named runner. Nothing here knows how the command works inside.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import runner

__all__ = ["ROOT", "Outcome", "Runner", "broken_server", "write_target"]

ROOT = Path(__file__).resolve().parents[1]
TRIES = 5
UNFIT = "the host was not fit to measure"
BUILT_IN = ROOT / "config" / "targets" / "stand-in.toml"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call of the command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams on one line, for looking up a phrase wherever lines were broken."""
        return " ".join(f"{self.out} {self.err}".split())


class Runner:
    """Calls the command with a state folder of its own, so that nothing of the person's machine is read or written."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._capsys = capsys
        monkeypatch.setenv("XDG_STATE_HOME", str(self.state))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        monkeypatch.setenv("COLUMNS", "200")

    def __call__(self, *arguments: str) -> Outcome:
        """Run it to its end; again, a few times at most, when this host was too busy to measure, as the command itself says."""
        for _ in range(TRIES):
            outcome = self._once(*arguments)
            if UNFIT not in outcome.out:
                break
        return outcome

    def _once(self, *arguments: str) -> Outcome:
        try:
            code = runner.main(list(arguments))
        except SystemExit as left:  # argparse's way
            code = left.code if isinstance(left.code, int) else 2
        captured = self._capsys.readouterr()
        return Outcome(int(code), captured.out, captured.err)


def write_target(folder: Path, urls: Mapping[str, str], *changes: tuple[str, str]) -> Path:
    """The built-in description of the stand-in with other addresses and `changes` (old text, new text); returns its path."""
    text = BUILT_IN.read_text(encoding="utf-8")
    for name, url in urls.items():
        text, count = re.subn(rf'(?m)^{name} = "http://127[^"]*"', f'{name} = "{url}"', text)
        assert count == 1, f"the built-in target has no base {name}"
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "target.toml"
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def broken_server(answer: Callable[[socket.socket], None], *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server on loopback that does `answer` with every connection and closes it; yields its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, answer, tls), daemon=True)
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)


def _serve(listener: socket.socket, answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the listener was shut down: the test is over
            return
        with connection:
            connection.settimeout(10)
            try:
                if tls is None:
                    answer(connection)
                else:
                    with tls.wrap_socket(connection, server_side=True) as secure:
                        answer(secure)
            except OSError:  # the client went away, as clients of broken servers do
                continue
