"""The image as its files describe it; `make image-test` builds it."""

from __future__ import annotations

import re

from deploy.image_test import NOT_IN_THE_IMAGE
from tests.deploy_kit import DEPLOY

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
LOCK = (DEPLOY.parent / "requirements" / "run.lock").read_text(encoding="utf-8")


def test_the_locked_packages_of_the_image_are_none_that_it_must_not_hold() -> None:
    """Else the image test fails, and says so only when somebody builds."""
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", LOCK, re.MULTILINE)}
    assert {"pydantic", "sqlalchemy"} <= locked
    assert locked.isdisjoint(name.lower() for name in NOT_IN_THE_IMAGE)


def test_whatever_code_is_copied_into_the_image_is_compiled_there() -> None:
    """Its user may write nothing: what was forgotten would be compiled at every start."""
    copied = {path.partition("/")[0] for path in re.findall(r"^COPY (?:LICENSE )?(\S+) ", DOCKERFILE, re.MULTILINE)}
    (compiled,) = re.findall(r"^RUN \S+ -m compileall .*checked-hash (.*)$", DOCKERFILE, re.MULTILINE)
    assert copied - {"requirements", "config"} == set(compiled.split())
