"""What tests of the command share: calling it, here or in a process of its own; a target file for an address; broken servers.

Used by the system tests named runner. Nothing here knows how the command works inside.
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import runner

__all__ = ["ROOT", "UNFIT", "Outcome", "Runner", "broken_server", "run_process", "write_target"]

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 45.0
UNFIT = "the host was not fit to measure"
UNCLEAR = "could not measure; the platform is not charged"
"""All that `--quiet` says of it."""
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


def run_process(command: Sequence[str | Path], *, cwd: Path, environ: Mapping[str, str]) -> Outcome:
    """A command in a process of its own, run to its end; again when this host was too busy to measure, see `while_unfit`."""

    def once() -> Outcome:
        done = subprocess.run(
            command, cwd=cwd, env=dict(environ), capture_output=True, text=True, check=False, timeout=100
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return while_unfit(once, UNFIT)


def while_unfit(once: Callable[[], Outcome], words: str) -> Outcome:
    """What became of it; again, for a while at most, when `words` say that it decided nothing because the host was too busy."""
    give_up_s = time.monotonic() + PATIENCE_S
    while (outcome := once()).code in (3, 4) and words in outcome.said and time.monotonic() < give_up_s:
        pass
    return outcome


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
        """Run it to its end; again when this host was too busy to measure, see `while_unfit`."""
        return while_unfit(lambda: self._once(*arguments), UNCLEAR if "--quiet" in arguments else UNFIT)

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
