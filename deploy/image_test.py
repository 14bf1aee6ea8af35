"""Build the image for real and let it probe: a scenario in the image against a stand-in platform beside it.

    .venv/bin/python -m deploy.image_test [--base-image IMAGE] [--scenario NAME]...

What it shows: the image builds from a bare Debian; its user is not root; it holds nothing that only the stand-in needs and
nothing that the build was lent; no module has still to be compiled when it starts; its entry point walks a journey and passes;
with a fault in the platform the same journey fails. Not part of `make check`: it takes minutes and gigabytes. Called by
`make image-test`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from deploy.container_engine import Engine, EngineError, choose_engine, lend_settings

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
TAG = "probe-fleet"
PYTHON = "/opt/probe-fleet/.venv/bin/python"
NOT_IN_THE_IMAGE = ("OCP", "trimesh", "numpy", "lxml", "cryptography", "pytest", "fixtures.platform")
PASSED, FAILED, INCONCLUSIVE = 0, 1, 3
"""Exit codes of the runner."""
ATTEMPTS = 4
NOT_COMPILED = """
from importlib.util import cache_from_source
from pathlib import Path
modules = [path for path in Path("/opt/probe-fleet").rglob("*.py") if path.parent.name != "bin"]
print([str(path) for path in modules if not Path(cache_from_source(path)).exists()])
"""
# Without Chromium's sandbox: no process in a chroot may make the namespaces that it is built of.
DRAW_A_PAGE = """
from playwright.sync_api import sync_playwright
from probes.browser_find import find_browser
with sync_playwright() as driver:
    browser = driver.chromium.launch(executable_path=find_browser().path, chromium_sandbox=False)
    page = browser.new_page()
    page.set_content("<p>drawn by " + browser.version + "</p>")
    print(page.inner_text("p"))
    browser.close()
"""


class NotShownError(Exception):
    """The image does not do what this test is there to show."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, run, say what was shown; 0, 1 when the image is wrong, 3 when it cannot be tested here."""
    parser = argparse.ArgumentParser(prog="python -m deploy.image_test", description="Build the image and run it.")
    parser.add_argument("--base-image", default="", help="instead of the engine's own choice of a Debian")
    parser.add_argument("--scenario", action="append", help="what to run in it; default: quote, widget-load")
    options = parser.parse_args(arguments)
    try:
        with closing(choose_engine(ROOT / "var" / "image-test", tag=TAG)) as engine:
            _show(engine, options.base_image, options.scenario or ["quote", "widget-load"])
    except EngineError as error:
        print(f"image-test: {error}", file=sys.stderr)
        return 3
    except NotShownError as error:
        print(f"image-test: FAILED: {error}", file=sys.stderr)
        return 1
    except subprocess.TimeoutExpired as error:
        print(f"image-test: {error}", file=sys.stderr)
        return 3
    except subprocess.CalledProcessError as error:
        print(f"{error.stdout[-4000:]}\n{error.stderr[-4000:]}\nimage-test: FAILED: {error}", file=sys.stderr)
        return 1
    print("image-test: passed")
    return 0


def _show(engine: Engine, base_image: str, scenarios: Sequence[str]) -> None:
    """Build, look inside, run."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"image-test: building with {engine.name}; this takes minutes", flush=True)
        engine.build(ROOT, base_image=base_image, lent=lend_settings(Path(folder)))
    _check_content(engine)
    _check_journeys(engine, scenarios)


def _check_content(engine: Engine) -> None:
    """The user, what must not be there, and a browser that draws."""
    user = engine.run(["-u"], program="/usr/bin/id").strip()
    if user == "0":
        message = "the image runs as root"
        raise NotShownError(message)
    code = (
        "import importlib.util, pathlib;"
        f"print([name for name in {NOT_IN_THE_IMAGE!r} if importlib.util.find_spec(name)]"
        " + [name for name in ('/etc/pip.conf', '/run/secrets/ca_bundle') if pathlib.Path(name).exists()])"
    )
    surplus = engine.run(["-c", code], program=PYTHON).strip()
    if surplus != "[]":
        message = f"the image holds what it should not: {surplus}"
        raise NotShownError(message)
    print(f"image-test: runs as user {user}, holds only what a probe needs", flush=True)
    slow = engine.run(["-c", NOT_COMPILED], program=PYTHON).strip()
    if slow != "[]":
        message = f"the image compiles at every start: {slow[:1000]}"
        raise NotShownError(message)
    print("image-test: every module is compiled already", flush=True)
    drawn = engine.run(["-c", DRAW_A_PAGE], program=PYTHON).strip()
    if not drawn.startswith("drawn by"):
        message = f"the browser in the image draws no page: {drawn}"
        raise NotShownError(message)
    print(f"image-test: a page was {drawn}", flush=True)


def _check_journeys(engine: Engine, scenarios: Sequence[str]) -> None:
    """Each scenario passes against a platform that works, and `quote` fails against one that prices at zero."""
    with _stand_in():
        for name in scenarios:
            _expect(engine, name, PASSED)
            print(f"image-test: {name} passed in the image", flush=True)
    with _stand_in("--fault", "zero-price"):
        _expect(engine, "quote", FAILED)
        print("image-test: quote fails in the image when the platform prices at zero", flush=True)


def _expect(engine: Engine, scenario: str, wanted: int) -> None:
    """Run until the run says something about the platform; on a busy host it may say that it cannot."""
    code, said = INCONCLUSIVE, ""
    for _ in range(ATTEMPTS):
        try:
            said = engine.run(["--target", "stand-in", "--scenario", scenario])
            code = PASSED
        except subprocess.CalledProcessError as error:
            code, said = error.returncode, f"{error.stdout}\n{error.stderr}"
        if code != INCONCLUSIVE:
            break
    if code != wanted:
        message = f"{scenario} ended with exit code {code}, not {wanted}:\n{said[-4000:]}"
        raise NotShownError(message)


@contextmanager
def _stand_in(*options: str) -> Iterator[None]:
    """The stand-in platform on its default ports, where the built-in target description expects it."""
    command = [sys.executable, "-m", "fixtures.platform", "--exit-with-parent", *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as platform:
        try:
            if not (platform.stdout and platform.stdout.readline()):
                message = "the stand-in platform did not start; are its ports taken?"
                raise EngineError(message)
            yield
        finally:
            platform.terminate()


if __name__ == "__main__":
    sys.exit(main())
