"""Signs requests to an S3 API (Signature Version 4); botocore does it, this hides that it is optional.

It makes no request and reads no credentials: both are its caller's. Called by the scenarios that look after backups.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from probes.errors import DependencyError

__all__ = ["S3Signer"]


class S3Signer:
    """Signs for one access key in one region. Raises DependencyError where botocore is not installed."""

    def __init__(self, key_id: str, secret_key: str, region: str) -> None:
        self._requests = _load("botocore.awsrequest")
        credentials = _load("botocore.credentials").Credentials(key_id, secret_key)
        self._auth = _load("botocore.auth").S3SigV4Auth(credentials, "s3", region)

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """`headers` with the signature among them, for a request without a body that is sent now."""
        request = self._requests.AWSRequest(method=method, url=url, headers=dict(headers))
        self._auth.add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}


def _load(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise DependencyError(
            "requests for backups are signed by botocore, which is not installed",
            remedy="Install the extra: pip install 'probe-fleet[backups]'",
        ) from error
