"""What tests of the stand-in platform share: the real process on free ports, and a plain client of the standard library.

Refuses to know anything of the platform's insides: it talks HTTP, as a probe does. Used by tests named platform.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fixtures.cad.catalog import open_catalog
from probes.parts import Part

__all__ = ["Answer", "StandIn", "command", "part", "start_stand_in", "until"]

ROOT = Path(__file__).resolve().parents[1]
START_DEADLINE_S = 90.0
STOP_DEADLINE_S = 60.0
ANSWER_DEADLINE_S = 100.0
PASSWORD = "probe-password"
FORM_BOUNDARY = "stand-in-test-boundary"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body as a JSON object."""
        found = json.loads(self.body)
        assert isinstance(found, dict), found
        return found

    def at(self, path: str) -> object:
        """The value at a dotted path in the JSON body."""
        found: object = self.json
        for key in path.split("."):
            found = found[int(key)] if isinstance(found, list) else found[key]  # type: ignore[index]
        return found

    def text(self, path: str) -> str:
        """As `at`, for a string."""
        return str(self.at(path))

    def number(self, path: str) -> float:
        """As `at`, for a number."""
        found = self.at(path)
        assert isinstance(found, int | float), found
        return float(found)


@dataclass(slots=True)
class StandIn:
    """The running platform and how to talk to it."""

    process: subprocess.Popen[str]
    urls: Mapping[str, str]
    pid: int
    ca_file: str
    spki: Sequence[str]
    tokens: list[str] = field(default_factory=list)

    def connection(self, site: str) -> http.client.HTTPConnection:
        """A fresh connection to a site; a certificate is checked against the platform's own authority."""
        url = urlsplit(self.urls[site])
        assert url.hostname
        if url.scheme == "https":
            trust = ssl.create_default_context(cafile=self.ca_file)
            return http.client.HTTPSConnection(url.hostname, url.port, timeout=ANSWER_DEADLINE_S, context=trust)
        return http.client.HTTPConnection(url.hostname, url.port, timeout=ANSWER_DEADLINE_S)

    def call(
        self,
        method: str,
        site: str,
        path: str,
        *,
        body: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        signed_in: bool = False,
    ) -> Answer:
        """One request on a connection of its own; `body` goes as JSON, `data` as it is."""
        sent = dict(headers or {})
        if signed_in:
            sent["Authorization"] = f"Bearer {self.token()}"
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        with contextlib.closing(self.connection(site)) as connection:
            connection.request(method, path, body=data, headers=sent)
            found = connection.getresponse()
            return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())

    def token(self) -> str:
        """A Bearer token of the test account, the same one for the whole test."""
        if not self.tokens:
            answer = self.sign_in(PASSWORD)
            assert answer.status == 200, answer.body
            self.tokens.append(answer.text("session.access_token"))
        return self.tokens[0]

    def sign_in(self, password: str, email: str = "probe@example.test") -> Answer:
        """`POST /api/auth/signin`."""
        return self.call("POST", "api", "/api/auth/signin", body={"email": email, "password": password})

    def upload(self, content: bytes | Path, name: str) -> Answer:
        """`POST /storage/upload` with one file."""
        data = content.read_bytes() if isinstance(content, Path) else content
        form = form_of(data, name)
        return self.call("POST", "api", "/storage/upload", data=form, headers=form_headers())

    def uploaded(self, content: bytes | Path, name: str) -> str:
        """Upload a file that is taken; its path."""
        answer = self.upload(content, name)
        assert answer.status == 201, answer.body
        return answer.text("file.path")

    def analyse(self, path: str) -> Answer:
        """Start an analysis and poll it to its end."""
        started = self.call("POST", "cad", "/analyze/", body={"file_id": path, "file_url": self.file_url(path)})
        if started.status != 200:
            return started
        task = started.text("task_id")
        return self.poll(lambda: self.call("GET", "cad", f"/analyze/{task}"), lambda answer: answer.status != 202)

    def dfm(self, path: str) -> Answer:
        """Have the file checked; the result, or the status when it ended with an error."""
        made = self.call("POST", "api", "/dfm/requests", body={"file_id": path, "material": "alu-6061"})
        assert made.status == 201, made.body
        place = f"/dfm/requests/{made.text('id')}"
        ended = {"Complete", "Error"}
        self.poll(lambda: self.call("GET", "api", f"{place}/status"), lambda answer: answer.json["status"] in ended)
        return self.call("GET", "api", f"{place}/result")

    def price(self, **changes: object) -> Answer:
        """A price preview of a fixed part, with some of its fields changed."""
        described: dict[str, object] = {
            "external_id": "one",
            "process_code": "CNC-MILL-3AX",
            "material_code": "ALU-6061-T6",
            "quantity": 10,
            "quantities": [1, 10, 100],
            "volume_cc": 27.694885,
            "surface_area_cm2": 99.1303,
            "finish_codes": [],
            "features": {"holes": 5, "pockets": 0, "slots": 0, "faces": 15},
        }
        body = {"currency": "USD", "parts": [described | changes]}
        return self.call("POST", "api", "/api/quotes/preview-multipart", body=body, signed_in=True)

    def quote(self, path: str, *, quantity: int = 10, signed_in: bool = True) -> Answer:
        """A quote for an uploaded file."""
        wanted = {
            "file_id": path,
            "process_type": "cnc_milling",
            "material_id": "alu-6061",
            "finish_ids": [],
            "quantities": [1, quantity],
            "selected_quantity": quantity,
        }
        return self.call("POST", "api", "/api/quotes", body={"currency": "USD", "parts": [wanted]}, signed_in=signed_in)

    def file_url(self, path: str) -> str:
        """Where an uploaded file can be read back."""
        return f"{self.urls['api']}/storage/files/{path}"

    def stats(self) -> Answer:
        """`GET /stats` of the control site."""
        return self.call("GET", "control", "/stats")

    def set_faults(self, *faults: Mapping[str, object], seed: int = 1) -> Answer:
        """Replace the fault plan."""
        answer = self.call("PUT", "control", "/faults", body={"seed": seed, "faults": list(faults)})
        assert answer.status == 200, answer.body
        return answer

    @contextlib.contextmanager
    def fault(self, name: str, *, rate: float = 1.0, seed: int = 1, **args: object) -> Iterator[None]:
        """One fault for the length of the block."""
        self.set_faults({"name": name, "rate": rate, "args": args}, seed=seed)
        try:
            yield
        finally:
            assert self.call("DELETE", "control", "/faults").status == 200

    def poll(self, ask: Callable[[], Answer], done: Callable[[Answer], bool]) -> Answer:
        """Ask until done; the last answer."""
        answers: list[Answer] = []

        def asked() -> bool:
            answers[:] = [ask()]
            return done(answers[0])

        until(asked, "an answer that is final", deadline_s=ANSWER_DEADLINE_S)
        return answers[0]


def form_headers() -> dict[str, str]:
    """The header that goes with `form_of`."""
    return {"Content-Type": f"multipart/form-data; boundary={FORM_BOUNDARY}"}


def form_of(content: bytes, name: str, *, field_name: str = "file") -> bytes:
    """A form with one file in it."""
    head = (
        f'--{FORM_BOUNDARY}\r\nContent-Disposition: form-data; name="{field_name}"; filename="{name}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{FORM_BOUNDARY}--\r\n".encode()


def part(part_id: str) -> Part:
    """A reference part, made when it has to be."""
    return open_catalog().get(part_id)


def until(done: Callable[[], bool], what: str, *, deadline_s: float = 60.0) -> None:
    """Wait for the condition; fail with its name when it does not come."""
    end_s = time.monotonic() + deadline_s
    while not done():
        assert time.monotonic() < end_s, f"there was no {what} within {deadline_s:g} s"
        time.sleep(0.02)


def command(*arguments: str) -> list[str]:
    """The stand-in's command line, on free ports."""
    return [sys.executable, "-m", "fixtures.platform", "--port", "0", *arguments]


@contextlib.contextmanager
def start_stand_in(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[StandIn]:
    """The platform, ready; stopped by its own pid afterwards."""
    env = {**os.environ, "STAND_IN_PASSWORD": PASSWORD, **(environ or {})}
    errors = ROOT / ".pytest_cache" / f"stand-in-{uuid.uuid4().hex}.log"
    errors.parent.mkdir(exist_ok=True)
    with errors.open("w") as log:
        process = subprocess.Popen(
            command(*arguments), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the stand-in did not start: {errors.read_text()}"
        ready = json.loads(line)
        yield StandIn(process, ready["urls"], ready["pid"], ready["ca_file"] or "", ready["spki"])
    finally:
        process.terminate()
        process.wait(STOP_DEADLINE_S)
        if process.stdout is not None:
            process.stdout.close()
        written = errors.read_text()
        errors.unlink()
    assert not written, f"the stand-in wrote to stderr: {written}"
