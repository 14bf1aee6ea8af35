"""One running Chromium: launched with flags that each have a reason, handing out cold contexts, ended for certain.

Refuses to know pages and journeys. A Chromium that fails is a DependencyError, whatever it was doing. Called by
`probes.browser`.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, CDPSession, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from probes.browser_find import BrowserChoice
from probes.browser_process import ProcessGroup, watch_end
from probes.errors import DependencyError

__all__ = ["FLAGS", "Chromium", "Viewport", "launch_chromium"]

LAUNCH_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 5.0
# Playwright 1.65's own list of features that are off, once more: of two such lists Chromium obeys the last alone. That none of
# Playwright's is missing here is held by tests/integration/browser/test_browser_flags.py, which fails when its list grows.
PLAYWRIGHTS_FEATURES_OFF = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
    "msForceBrowserSignIn",
    "msEdgeUpdateLaunchServicesPreferredVersion",
)
# Chromium 156 loads both popups of its address bar in a renderer of theirs beside the first page of each context: half a second
# of CPU time while ours is measured. To be deleted when a browser without a window does so no more.
FEATURES_OFF = (*PLAYWRIGHTS_FEATURES_OFF, "WebUIOmniboxAimPopup", "WebUIOmniboxPopup")
# What else Playwright itself passes is not repeated: no first run, no sync, no component updates, no background throttling.
FLAGS = (
    # No GPU in a container; looking for one costs start time and a process that may crash.
    "--disable-gpu",
    # The same transport in every run: a second run would otherwise learn of HTTP/3 and measure something else.
    "--disable-quic",
    # The way that the HTTP probes take, too: a proxy of this host's surroundings would be timed, and charged, as the target.
    "--no-proxy-server",
    # Nothing of the browser's own on the network or on the processor while a page is timed.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-pings",
    # Notices of certificates and crashes of ours are no business of the browser's maker.
    "--disable-client-side-phishing-detection",
    "--metrics-recording-only",
    f"--disable-features={','.join(FEATURES_OFF)}",
)
SANDBOX_SIGNS = ("No usable sandbox", "sandbox_linux", "setuid sandbox", "Failed to move to new namespace")

# What the browser itself complained about, in Playwright's log of the launch.
BROWSER_SAID = re.compile(r"\[pid=\d+\]\[err\] (.{1,300})")


@dataclass(frozen=True, slots=True)
class Viewport:
    """The size of the page, in CSS pixels."""

    width: int = 1280
    height: int = 800


class Chromium:
    """A browser with a driver of its own. `opened` counts contexts since launch, `live` those not yet closed."""

    def __init__(
        self,
        driver: Playwright,
        browser: Browser,
        devtools: CDPSession,
        *,
        group: ProcessGroup,
        user_agent: str,
        folder: Path,
    ) -> None:
        self._driver = driver
        self._devtools = devtools
        self._folder = folder
        profile = group.path_argument("--user-data-dir=")
        self._profile = profile if profile is not None and profile.name.startswith("playwright") else None
        self._browser = browser
        self.group = group
        self.user_agent = user_agent
        self.version = browser.version
        self.opened = 0
        self.live = 0
        self.is_retired = False
        self._first_memory_bytes = 0
        self._at_end: set[Callable[[], None]] = set()
        self._stop_watch = watch_end((group.pid, group.driver_pid), self._tell_end)

    @property
    def is_alive(self) -> bool:
        """True while it can be asked for a context: it runs, and so does its driver."""
        return self._browser.is_connected() and self.group.is_driven()

    @property
    def contexts(self) -> int:
        """How many contexts the browser itself holds."""
        return len(self._browser.contexts)

    def on_end(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call the listener when the browser or its driver ends, whoever ended it; returns what takes it off."""
        self._at_end.add(listener)
        return lambda: self._at_end.discard(listener)

    async def answers(self, deadline_s: float) -> bool:
        """True when the browser's own process, which no page can keep busy, answers a question within the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._devtools.send("Browser.getVersion")
        except (PlaywrightError, TimeoutError):
            return False
        return True

    async def open_context(self, *, viewport: Viewport, user_agent: str) -> BrowserContext:
        """A context with nothing in it: no cache, no cookies, no workers of an earlier run.

        Raises DependencyError when Chromium does not give one.
        """
        opening = asyncio.ensure_future(
            self._browser.new_context(
                viewport={"width": viewport.width, "height": viewport.height},
                user_agent=user_agent,
                accept_downloads=False,
                locale="en-US",
                timezone_id="UTC",
            )
        )
        try:
            context = await asyncio.wait_for(asyncio.shield(opening), LAUNCH_TIMEOUT_S)
        except (PlaywrightError, TimeoutError) as error:
            self.retire()
            raise DependencyError(f"Chromium gave no fresh context ({first_line(error)})", remedy=TRY_AGAIN) from error
        except asyncio.CancelledError:
            # It may still come, and nobody would close it: this browser takes no more runs.
            self.retire()
            opening.add_done_callback(forget)
            raise
        self.opened += 1
        self.live += 1
        return context

    def is_worn(self, *, max_contexts: int, max_growth_bytes: int) -> bool:
        """True when it has had its share of runs, or holds that much more than after its first."""
        memory_bytes = self.group.memory_bytes()
        self._first_memory_bytes = self._first_memory_bytes or memory_bytes
        return self.opened >= max_contexts or memory_bytes - self._first_memory_bytes > max_growth_bytes

    def retire(self) -> None:
        """Hand out no more contexts; whoever closes the last one ends the browser."""
        self.is_retired = True

    async def close_context(self, context: BrowserContext, deadline_s: float = CLOSE_TIMEOUT_S) -> None:
        """The context is gone when this returns, if need be with the whole browser, and also when it is cancelled."""
        is_closed = False
        try:
            async with asyncio.timeout(deadline_s):
                await context.close()
            is_closed = True
        except (PlaywrightError, TimeoutError):
            is_closed = not self.is_alive
        finally:
            self.live -= 1
            if not is_closed:
                self.retire()
                self.group.kill()

    async def close(self) -> None:
        """Politely, then by force; no process of it is left when this returns, and also when it is cancelled."""
        self.retire()
        self._stop_watch()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._browser.close()
        except (PlaywrightError, TimeoutError):
            self.group.kill()
        except BaseException:
            self.group.kill()
            raise
        finally:
            await self._stop_driver()
        if not await self.group.wait_gone(KILL_TIMEOUT_S):
            self.group.kill()
            await self.group.wait_gone(KILL_TIMEOUT_S)
        # The driver removes the profile, too, unless it was stopped or killed before it came to that.
        for folder in (self._folder, self._profile):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _tell_end(self) -> None:
        for listener in tuple(self._at_end):
            listener()

    async def _stop_driver(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._driver.stop()
        except (PlaywrightError, TimeoutError, OSError):
            # The driver ends by itself when its input closes, at the latest with this process.
            self.group.kill()


TRY_AGAIN = "The next run starts a new browser; if it happens again, look at this host's memory and /dev/shm"


async def launch_chromium(choice: BrowserChoice, *, trusted_spki: tuple[str, ...], sandbox: bool | None) -> Chromium:
    """Start the chosen browser. `sandbox` None: on, unless this is root, for whom Chromium's own does not work.

    Source of that limit: https://crbug.com/638180. Raises DependencyError when it does not start.
    """
    has_sandbox = os.geteuid() != 0 if sandbox is None else sandbox
    try:
        driver = await asyncio.wait_for(async_playwright().start(), LAUNCH_TIMEOUT_S)
    except (PlaywrightError, TimeoutError, OSError) as error:
        raise DependencyError(
            f"Playwright's driver does not start ({first_line(error)})", remedy="Type `make setup`"
        ) from error
    folder = Path(tempfile.mkdtemp(prefix="probe-browser-"))
    try:
        return await _launch(driver, choice, folder, trusted_spki, has_sandbox=has_sandbox)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        # Ends the browser, too, if there is one by now: it lives no longer than its driver.
        await driver.stop()
        if isinstance(error, PlaywrightError):
            raise launch_error(choice, str(error)) from error
        raise


async def _launch(
    driver: Playwright, choice: BrowserChoice, folder: Path, trusted_spki: tuple[str, ...], *, has_sandbox: bool
) -> Chromium:
    flags = list(FLAGS)
    if trusted_spki:
        # Errors of certificates with these very keys are ignored, expiry included; `probes.browser_session` looks at the dates.
        flags.append(f"--ignore-certificate-errors-spki-list={','.join(trusted_spki)}")
    browser = await driver.chromium.launch(
        executable_path=choice.path,
        args=flags,
        headless=True,
        chromium_sandbox=has_sandbox,
        # A signal is ours to handle: a browser that ends before us takes evidence and clean-up with it.
        handle_sigint=False,
        handle_sigterm=False,
        handle_sighup=False,
        # Else what runs that ended badly leave behind would pile up in the system's folder for temporary files.
        traces_dir=folder,
        artifacts_dir=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        timeout=LAUNCH_TIMEOUT_S * 1000,
    )
    devtools = await browser.new_browser_cdp_session()
    processes: Mapping[str, list[dict[str, object]]] = await devtools.send("SystemInfo.getProcessInfo")
    version = await devtools.send("Browser.getVersion")
    pid = next(entry["id"] for entry in processes["processInfo"] if entry["type"] == "browser")
    group = ProcessGroup(int(str(pid)))
    return Chromium(driver, browser, devtools, group=group, user_agent=str(version["userAgent"]), folder=folder)


def launch_error(choice: BrowserChoice, text: str) -> DependencyError:
    """Why a browser did not start, with what to type."""
    if any(sign in text for sign in SANDBOX_SIGNS):
        return DependencyError(
            f"{choice.path} did not start: its sandbox does not work here",
            remedy="Allow unprivileged user namespaces (in a container: --cap-add=SYS_ADMIN or a seccomp profile that "
            "allows clone), or switch the browser's sandbox off in the settings",
        )
    missing = [line.strip() for line in text.splitlines() if "error while loading shared libraries" in line]
    if missing:
        return DependencyError(
            f"{choice.path} did not start: {missing[0]}",
            remedy="Type `python -m playwright install-deps chromium` as root, or install the distribution's chromium",
        )
    said = BROWSER_SAID.findall(text)
    return DependencyError(f"{choice.path} did not start ({said[-1] if said else first_line(text)})", remedy=TRY_AGAIN)


def first_line(error: BaseException | str) -> str:
    """The first line of a message, which in Playwright's is the one for people."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def forget(opening: asyncio.Future[BrowserContext]) -> None:
    """Take note of a result that nobody waits for any more."""
    if not opening.cancelled():
        opening.exception()
