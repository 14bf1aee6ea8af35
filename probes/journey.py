"""What a scenario script is handed: steps, requests, expectations, parts, a browser, and clean-up that always runs.

A script reads like the journey that it measures. Everything that takes time happens in a step; a check belongs to the open
step, or, after its border, to the step that ended last. What the target does wrong raises `StepFailed` and ends the
journey; anything else that is raised is a fault of the script or of ours, and is recorded as such.

Refuses requests outside a step and steps inside steps, and makes no retries: a retried request would be a time that no
customer saw. Built by `probes.execute`, used by scenario scripts and by `scenarios.platform`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from probes.answers import check_path, find
from probes.clock import Clock
from probes.errors import BugError, DependencyError
from probes.evidence import EvidenceMode, EvidenceSink, EvidenceStore
from probes.finding import StepFailed
from probes.geometry import MeasuredGeometry, compare_geometry
from probes.http import Body, HttpClient, HttpResponse
from probes.ids import make_traceparent
from probes.masking import Mask
from probes.outcome import bounded
from probes.parts import Part, PartCatalog
from probes.records import Attribute, Expectation, Failure, FailureKind, PageLoad, SideEffect
from probes.steps import OpenStep, StepHandle, StepLog
from probes.targets import Target
from probes.traffic import Traffic
from probes.version import VERSION

if TYPE_CHECKING:
    # Only for types: it loads Playwright, which a probe that opens no browser can do without.
    from probes.browser import BrowserEngine, BrowserSession

__all__ = ["Journey", "MeasuredGeometry", "SideEffectHandle", "StepFailed", "StepHandle"]

MAX_SHOWN = 300
MAX_SHOWN_ANSWER = 200
NO_HEADERS: Mapping[str, str] = {}
OK = (200,)
USER_AGENT = f"probe-fleet/{VERSION}"


@dataclass(slots=True)
class SideEffectHandle:
    """Something that this run made on the platform; the script keeps its fate up to date until the run ends.

    `fate` is `deleted`, `kept` (the platform offers no way to delete it), `failed` or `unknown`; `read_back` says whether it was
    read again and found intact.
    """

    kind: str
    name: str
    sha256: str = ""
    read_back: bool | None = None
    fate: str = "unknown"
    detail: str = ""

    def freeze(self) -> SideEffect:
        """The record of it, as it stands."""
        return SideEffect(self.kind, self.name, self.sha256, self.read_back, self.fate, self.detail)


@dataclass(frozen=True, slots=True)
class CleanupAction:
    """Something to undo after the journey, and what it undoes."""

    name: str
    action: Callable[[], Awaitable[None]]
    effect: SideEffectHandle | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a journey works with; assembled by `probes.execute`."""

    client: HttpClient
    catalog: PartCatalog | None
    browser_engine: BrowserEngine | None
    evidence: EvidenceStore
    platform_factory: Callable[[Journey], object] | None


class Journey:
    """One run as its script sees it. `seed` is for scripts that draw at random: the same seed, the same journey."""

    def __init__(
        self,
        *,
        run_id: str,
        trace_id: str,
        target: Target,
        seed: int,
        log: StepLog,
        around: Surroundings,
        region: str = "",
    ) -> None:
        self.run_id = run_id
        self.trace_id = trace_id
        self.target = target
        self.seed = seed
        self.target_release = ""
        self.attributes: dict[str, Attribute] = {}
        self.marks: list[str] = []
        self.side_effects: list[SideEffectHandle] = []
        self.cleanups: list[CleanupAction] = []
        self.traffic = Traffic() if around.evidence.mode is not EvidenceMode.NEVER else None
        self._log = log
        self._around = around
        self._agent = f"{USER_AGENT} ({region})" if region else USER_AGENT
        self._platform: Any = None
        self.sink: EvidenceSink | None = None

    @property
    def clock(self) -> Clock:
        """Time, as everything in this run sees it."""
        return self._log.clock

    @property
    def mask(self) -> Mask:
        """Replaces every secret known to this run; `hide` teaches it more."""
        return self._log.mask

    @property
    def platform(self) -> Any:  # noqa: ANN401 - scenarios own its type: `scenarios.platform.Platform`
        """The platform as a client, made on first use by what the wiring chose."""
        if self._platform is None:
            if self._around.platform_factory is None:
                raise BugError("no platform client was wired for this run")
            self._platform = self._around.platform_factory(self)
        return self._platform

    def hide(self, secret: str) -> str:
        """The same value; from now on it is masked in whatever this run records or keeps."""
        self.mask.hide(secret)
        return secret

    def secret(self, name: str) -> str:
        """The target's secret of that name, masked from now on; OperatorError that says where to put a missing one."""
        return self.hide(self.target.secret(name).get_secret_value())

    def remaining_s(self) -> float:
        """Seconds until the nearest deadline, of the open step or of the run; never below zero."""
        return max(self._log.remaining_s(), 0.0)

    async def sleep(self, duration_s: float) -> None:
        """Wait, but not beyond the nearest deadline: when that comes first, the step fails with kind `timeout`."""
        remaining_s = self._log.require_time_s()
        await self.clock.sleep(min(duration_s, remaining_s))
        if duration_s >= remaining_s:
            raise self._log.out_of_time()

    def step(
        self, name: str, /, *, deadline_s: float | None = None, keep_going: bool = False, **attributes: Attribute
    ) -> OpenStep:
        """A timed step: `async with probe.step("upload", deadline_s=60) as step:`.

        Its time is the time between its borders. `deadline_s` is its own limit within that of the run. `keep_going`: if the
        target fails this step the journey continues, and the run fails all the same. Names may repeat; attributes
        (`**{"cad.part": part.id}`) tell such steps apart.
        """
        handle = StepHandle(name, keep_going=keep_going, cleanup=False, attributes=attributes)
        return OpenStep(self._log, handle, deadline_s)

    async def request(  # noqa: PLR0913 - one word each for what a request may differ in; all but two are optional
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        body: Body | None = None,
        deadline_s: float | None = None,
        follow_redirects: int = 0,
        accept: Collection[int] = OK,
        on_sent: Callable[[int, int], None] | None = None,
        keep_body: bool = True,
    ) -> HttpResponse:
        """Make a timed request in the open step and return an answer whose status is one of `accept`.

        Every hop is recorded. Its deadline is the nearest of `deadline_s`, the step's and the run's. Raises StepFailed for a
        failure on the way, for any other status (kind `status`) and for 429 (kind `rate_limited`), unless accepted.
        `keep_body=False` keeps the answer's body out of the run's evidence: for what is nobody's business, such as a backup.
        """
        step = self._log.require_open(f"a request ({method} {url})")
        limit_s = self._log.require_time_s()
        outgoing = self._outgoing_headers(headers)
        response = await self._around.client.request(
            method,
            url,
            headers=outgoing,
            body=body,
            deadline_s=limit_s if deadline_s is None else min(deadline_s, limit_s),
            follow_redirects=follow_redirects,
            on_sent=None if body is None else self._on_sent(on_sent),
        )
        self._log.record_exchanges(step, response.exchanges)
        if self.traffic is not None:
            self.traffic.note(response, outgoing, keep_body=keep_body)
        failure = response.failure or self._status_failure(method, response, accept)
        if failure is not None:
            raise StepFailed(failure)
        return response

    def json(self, response: HttpResponse, path: str = "") -> Any:  # noqa: ANN401 - whatever the target answered
        """The answer's JSON, or the value at a JMESPath in it; an answer without it fails the step (kind `assertion`)."""
        try:
            document = response.json()
        except ValueError as error:
            self.expect("answer is JSON", ok=False, expected="a JSON document", found=str(error))
            raise StepFailed(self._log.last_failure()) from error  # only after a step that may fail
        value = self._value_at(path, document) if path else document
        if value is None:
            self.expect(
                path or "answer", ok=False, expected=f"a value at {path!r}" if path else "a value", found=document
            )
            raise StepFailed(self._log.last_failure())
        return value

    def expect(self, name: str, ok: bool, *, expected: object, found: object) -> None:  # noqa: FBT001 - it reads as `expect("total", total > 0, ...)`
        """Record a check; when it does not hold, fail the open step (or the last one) with kind `assertion`."""
        shown = Expectation(name, self._shown(expected), self._shown(found), bool(ok))
        self._check((shown,))

    def expect_equal(self, name: str, found: object, expected: object) -> None:
        """Check that `found` equals `expected`, type included where a bool could pass for a number."""
        ok = found == expected and isinstance(found, bool) == isinstance(expected, bool)
        self.expect(name, ok, expected=repr(expected), found=repr(found))

    def expect_close(
        self, name: str, found: object, expected: float, *, rel_tol: float = 0.0, abs_tol: float = 0.0
    ) -> None:
        """Check that `found` is a number within either tolerance of `expected`; `rel_tol` is a share of `expected`."""
        tolerance = max(abs_tol, rel_tol * abs(expected))
        is_number = isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)
        ok = is_number and abs(found - expected) <= tolerance  # type: ignore[operator] # is_number says that it can
        self.expect(name, ok, expected=f"{expected!r} ± {tolerance:.6g}", found=repr(found))

    def expect_geometry(self, analysis: MeasuredGeometry, part: Part) -> None:
        """Check volume, area and bounding box against the part's true ones, within the part's own tolerances."""
        if part.geometry is None:
            raise BugError(f"the part {part.id!r} has no known geometry", remedy="Choose a part that is valid")
        checks = compare_geometry(analysis, part.geometry)
        if not checks:
            self.expect("geometry", ok=False, expected="a volume, an area or a bounding box", found="none of them")
        self._check(checks)

    def fail(self, kind: FailureKind, message: str) -> NoReturn:
        """End the journey: the open step (or the last one) failed with this kind."""
        failure = Failure(kind, bounded(self.mask(message)), kind.value)
        self._log.open_or_last("a failure")
        self._log.check_failed(failure)
        raise StepFailed(failure)

    def part(self, part_id: str) -> Part:
        """A reference part, its file present and checked; take it before the step, it may have to be made first."""
        if self._log.open is not None:
            raise BugError(
                f"probe.part({part_id!r}) inside step {self._log.open.name!r}",
                remedy="Take the part before the step: checking or making its file would be timed as the platform's",
            )
        return self._catalog().get(part_id)

    def part_ids(self, **filters: Any) -> tuple[str, ...]:  # noqa: ANN401 - the filters of `PartCatalog.ids`
        """The ids of the parts that match (`tier="smoke"`, `format="step"`, ...)."""
        return self._catalog().ids(**filters)

    @asynccontextmanager
    async def browser(self, **options: Any) -> AsyncIterator[BrowserSession]:  # noqa: ANN401 - those of the engine
        """A fresh, cold browser context of this run; closed whatever happens. Open it outside of steps.

        A browser may have to be started for it, which takes seconds: they are not counted against the scenario's time limit.
        """
        if self._log.open is not None:
            raise BugError(
                f"probe.browser() inside step {self._log.open.name!r}",
                remedy="Open the browser before the step: starting it would be timed as the platform's",
            )
        engine = self._around.browser_engine
        if engine is None:
            raise DependencyError("this run was given no browser", remedy="Mark the scenario with browser=True")
        about = {
            "origin_ns": self._log.origin_ns,
            "headers": self._outgoing_headers(NO_HEADERS),
            "evidence": self.evidence,
        }
        trusted = {"trusted_spki": self.target.trusted_spki} if self.target.trusted_spki else {}
        asked_ns = self.clock.monotonic_ns()
        async with engine.session(**{**about, **trusted, **options}) as session:
            self._log.give_back(self.clock.monotonic_ns() - asked_ns)
            yield session
            # A step that may fail has let the script go on; its evidence is wanted all the same.
            session.has_failed = session.has_failed or self._log.has_failed

    @property
    def evidence(self) -> EvidenceSink:
        """Where this run's evidence goes; masked as everything else."""
        if self.sink is None:
            self.sink = self._around.evidence.sink(self.run_id, mask=self.mask)
        return self.sink

    def record_page(self, page: PageLoad) -> None:
        """Add what a page measured to the open step, or to the last one; later figures of the same URL replace earlier."""
        self._log.open_or_last("a page").record_page(page)

    def mark(self, word: str) -> None:
        """Add a plain word about the measurement itself, such as `http-timing-excess`."""
        if word not in self.marks:
            self.marks.append(word)

    def made(self, kind: str, name: str, *, sha256: str = "") -> SideEffectHandle:
        """Note something that now exists on the platform because of this run; it is listed in the record."""
        handle = SideEffectHandle(kind, name, sha256)
        self.side_effects.append(handle)
        return handle

    def on_cleanup(
        self, name: str, action: Callable[[], Awaitable[None]], *, undoes: SideEffectHandle | None = None
    ) -> None:
        """Run `action` after the journey, however it ends; the last one registered runs first, each as a step of its own.

        `undoes`: its fate becomes `deleted` or `failed` by how the action ends, unless the action set one itself.
        """
        self.cleanups.append(CleanupAction(name, action, undoes))

    def _catalog(self) -> PartCatalog:
        if self._around.catalog is None:
            raise BugError("this run was given no reference parts")
        return self._around.catalog

    def _value_at(self, path: str, document: object) -> object:
        """What the path finds; nothing where a function of it cannot be applied. BugError for a path that is none."""
        try:
            check_path(path)
        except ValueError as error:
            raise BugError(str(error), remedy="Correct the path in the script") from error
        try:
            return find(path, document)
        except ValueError:
            return None

    def _outgoing_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            "User-Agent": self._agent,
            "traceparent": make_traceparent(self.trace_id),
            "x-request-id": self.run_id,
            **headers,
        }

    def _on_sent(self, on_sent: Callable[[int, int], None] | None) -> Callable[[int, int], None]:
        def sent(sent_bytes: int, total_bytes: int) -> None:
            self._log.tell(lambda observer: observer.sent(sent_bytes, total_bytes))
            if on_sent is not None:
                on_sent(sent_bytes, total_bytes)

        return sent

    def _status_failure(self, method: str, response: HttpResponse, accept: Collection[int]) -> Failure | None:
        status = response.status
        if status in accept:
            return None
        beginning = bounded(response.body[: 4 * MAX_SHOWN_ANSWER].decode("utf-8", "replace").strip(), MAX_SHOWN_ANSWER)
        answer = f"{method} {response.url} answered {status}"
        if status == 429:
            wait = response.headers.get("Retry-After")
            message = f"{answer} (too many requests{f'; Retry-After: {wait}' if wait else ', without Retry-After'})"
            return Failure(FailureKind.RATE_LIMITED, bounded(self.mask(message)), "429")
        expected = " or ".join(str(code) for code in accept)
        message = f"{answer}, expected {expected}: {beginning or 'an empty body'}"
        return Failure(FailureKind.STATUS, bounded(self.mask(message)), str(status))

    def _check(self, checks: tuple[Expectation, ...]) -> None:
        self._log.record_checks(self._log.open_or_last("an expectation"), checks)
        broken = [check for check in checks if not check.ok]
        if broken:
            text = "; ".join(f"{check.name}: expected {check.expected}, found {check.found}" for check in broken)
            self._log.check_failed(Failure(FailureKind.ASSERTION, bounded(text), "assertion"))

    def _shown(self, value: object) -> str:
        return bounded(self.mask(value if isinstance(value, str) else repr(value)), MAX_SHOWN)
