"""The bucket of backups as a client: lists it, and reads an object in pieces that fit into memory. Every request is signed.

It works in the open step of its journey, opens none itself, and never writes. A large object is asked for range by range, each
time only if it is still the same object, so that neither memory nor disk of the probe has to hold it. Called by
`scenarios.backups` and `scenarios.restore_drill`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import NoReturn
from urllib.parse import quote, urlencode, urlsplit

from probes.errors import DependencyError, OperatorError
from probes.finding import StepFailed
from probes.http import HttpResponse
from probes.journey import Journey
from probes.records import Failure, FailureKind
from probes.s3_signer import S3Signer
from probes.target_behind import BACKUP_SECRETS, DAY, Backups
from scenarios.backup_listing import StoredBackup, parse_listing

__all__ = ["PIECE_BYTES", "BackupStore", "open_store"]

PIECE_BYTES = 4 * 1024 * 1024
MOST_PAGES = 20
NO_HEADERS: Mapping[str, str] = {}
REFUSED = 403
GONE = 404
CODE = re.compile(rb"<Code>\s*(\w+)\s*</Code>")
CLOCK_IS_OFF = "RequestTimeTooSkewed"
KEY_REFUSED = frozenset({
    "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity", "InvalidToken", "SignatureDoesNotMatch",
    "TokenRefreshRequired",
})  # fmt: skip
"""What S3 says of a key that is wrong, expired, or may not read. Source: Amazon S3 API reference, "Error responses"."""


async def open_store(probe: Journey, described: Backups) -> BackupStore:
    """The bucket that the target describes, with the credentials of its secrets; nothing is sent yet."""
    key_id, secret_key = (probe.secret(name) for name in BACKUP_SECRETS)
    # The first time it loads a library, which would hold up whatever else is measured on this loop.
    signer = await asyncio.to_thread(S3Signer, key_id, secret_key, probe.target.fill(described.region))
    return BackupStore(probe, described, signer)


class BackupStore:
    """One bucket, for one run."""

    def __init__(self, probe: Journey, described: Backups, signer: S3Signer) -> None:
        self._probe = probe
        self._described = described
        self._signer = signer
        endpoint, bucket = probe.target.fill(described.endpoint).rstrip("/"), probe.target.fill(described.bucket)
        if described.addressing == "host":
            url = urlsplit(endpoint)
            self._url = f"{url.scheme}://{bucket}.{url.netloc}{url.path}"
        else:
            self._url = f"{endpoint}/{quote(bucket, safe='')}"

    async def list(self) -> tuple[StoredBackup, ...]:
        """All backups, the newest day first; objects of other names are passed over."""
        prefix = self._described.key.partition(DAY)[0]
        found: list[StoredBackup] = []
        token = ""
        for page_number in range(MOST_PAGES + 1):
            if page_number == MOST_PAGES:
                self._probe.fail(
                    FailureKind.ASSERTION, f"the listing of {prefix!r} does not end after {MOST_PAGES} pages"
                )
            words = {"list-type": "2", "max-keys": "1000", "prefix": prefix}
            if token:
                words["continuation-token"] = token
            response = await self._get(f"{self._url}/?{urlencode(words, quote_via=quote)}", NO_HEADERS, (200,))
            try:
                page = parse_listing(response.body, self._described)
            except ValueError as error:
                self._probe.fail(FailureKind.ASSERTION, str(error))
            found += page.backups
            token = page.next_token
            if not token:
                break
        return tuple(sorted(found, key=lambda backup: backup.day, reverse=True))

    async def part(self, backup: StoredBackup, first: int, length: int) -> bytes:
        """So many bytes from `first` on; an answer of another length fails the step."""
        last = min(first + length, backup.size_bytes) - 1
        headers = {"Range": f"bytes={first}-{last}"}
        if backup.etag:
            headers["If-Match"] = backup.etag
        whole = (200,) if length >= backup.size_bytes else ()
        response = await self._get(self._url_of(backup), headers, (206, *whole), keep_body=False)
        wanted = last - first + 1
        self._probe.expect(
            f"length of {backup.key}",
            len(response.body) == wanted,
            expected=f"{wanted} bytes, as listed",
            found=f"{len(response.body)} bytes",
        )
        return response.body

    async def is_there(self, backup: StoredBackup) -> bool:
        """False when it was removed since it was listed."""
        response = await self._get(self._url_of(backup), {"Range": "bytes=0-0"}, (200, 206, GONE), keep_body=False)
        return response.status != GONE

    async def pieces(self, backup: StoredBackup) -> AsyncIterator[bytes]:
        """The whole object, piece by piece."""
        for first in range(0, backup.size_bytes, PIECE_BYTES):
            yield await self.part(backup, first, PIECE_BYTES)

    def _url_of(self, backup: StoredBackup) -> str:
        return f"{self._url}/{quote(backup.key)}"

    async def _get(
        self, url: str, headers: Mapping[str, str], accept: tuple[int, ...], *, keep_body: bool = True
    ) -> HttpResponse:
        """A signed request; what is in a backup never goes into evidence: it is the platform's customers' data."""
        signed = self._signer.headers("GET", url, headers)
        response = await self._probe.request("GET", url, headers=signed, accept=(*accept, REFUSED), keep_body=keep_body)
        if response.status == REFUSED:
            self._explain_refusal(response)
        return response

    def _explain_refusal(self, response: HttpResponse) -> NoReturn:
        """The key is the probe's own, and nobody else's work depends on it: that it is refused says nothing of the backups."""
        match = CODE.search(response.body)
        code = match[1].decode() if match else ""
        if code == CLOCK_IS_OFF:
            raise DependencyError(f"the bucket finds this host's clock too far off ({code})", remedy="Set the clock")
        if code in KEY_REFUSED:
            raise OperatorError(
                f"the bucket refuses the key of this probe ({code})",
                where=" and ".join(f"secret {name}" for name in BACKUP_SECRETS),
                remedy="Give it a key that may list and read the bucket",
            )
        said = f"GET {response.url} answered {response.status} {code}".rstrip()
        raise StepFailed(Failure(FailureKind.STATUS, said, str(response.status)))
