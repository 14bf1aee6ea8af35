"""What pages fetch besides themselves: style sheets, scripts and Plotly's script from its package; all held in memory.

An address carries the digest of its content, so that browsers keep it for ever and never show an old one. Refuses paths: a
name is looked up among those that are known. Called by `collector.web.server` and, for addresses, by the templates.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from aiohttp import web

__all__ = ["ASSETS", "Assets", "serve_asset"]

FOLDER: Final = Path(__file__).resolve().parent / "static"
PLOTLY: Final = "plotly.js"
_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_WORTH_PACKING_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    digest: str
    kind: str
    body: bytes
    packed: bytes


class Assets:
    """The files of the folder `static`, read once, and Plotly's script, read when first asked for."""

    def __init__(self) -> None:
        self._known = {
            file.name: _asset(file.read_bytes(), file.suffix)
            for file in sorted(FOLDER.iterdir())
            if file.suffix in _TYPES
        }
        self._plotly_file = _plotly_file()
        self._plotly_digest = hashlib.sha256(version("plotly").encode()).hexdigest()[:16]
        self._reading = asyncio.Lock()

    def url(self, name: str) -> str:
        """The address of a file; KeyError for one that is not there, for that is a mistake in a template."""
        digest = self._plotly_digest if name == PLOTLY else self._known[name].digest
        return f"/static/{digest}/{name}"

    async def find(self, digest: str, name: str) -> Asset | None:
        """The file at such an address, None when there is none."""
        if name == PLOTLY and digest == self._plotly_digest and name not in self._known:
            async with self._reading:
                if name not in self._known:
                    self._known[name] = await asyncio.to_thread(self._read_plotly)
        found = self._known.get(name)
        return found if found is not None and found.digest == digest else None

    def _read_plotly(self) -> Asset:
        body = self._plotly_file.read_bytes()
        return Asset(self._plotly_digest, _TYPES[".js"], body, gzip.compress(body, 6, mtime=0))


ASSETS: Final = web.AppKey("assets", Assets)


async def serve_asset(request: web.Request) -> web.StreamResponse:
    """A file, packed for whoever takes that; 404 for any other address."""
    info = request.match_info
    found = await request.app[ASSETS].find(info["digest"], info["name"])
    if found is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
    body = found.body
    if found.packed and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = found.packed
    return web.Response(body=body, content_type=found.kind, charset="utf-8", headers=headers)


def _asset(body: bytes, suffix: str) -> Asset:
    packed = gzip.compress(body, 9, mtime=0) if len(body) > _WORTH_PACKING_BYTES else b""
    return Asset(hashlib.sha256(body).hexdigest()[:16], _TYPES[suffix], body, packed)


def _plotly_file() -> Path:
    """Where the package has its script; the package itself is never imported, for that costs a second."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("no module named 'plotly'", name="plotly")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"
