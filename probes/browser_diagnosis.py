"""Why a page is not ready: what was seen, put into one failure with a kind and a sentence. Pure rules over looks and logs.

Refuses to guess beyond what was seen: without a better reason it is a timeout that says what was still missing. Called by
`probes.browser_session`.
"""

from __future__ import annotations

from collections.abc import Sequence

from playwright.async_api import Frame

from probes.browser_failure import failure_of_net_error, status_failure
from probes.browser_log import BrowserLog, DocumentFailure
from probes.browser_look import DocumentState, Look
from probes.browser_script import ReadyCheck
from probes.records import Failure, FailureKind

__all__ = ["diagnose", "document_failure", "with_errors"]

MAX_NAMED = 3


def diagnose(check: ReadyCheck, look: Look, log: BrowserLog, main: Frame, *, waited_s: float) -> Failure:
    """The reason why the page was not ready when `waited_s` had passed, or why it cannot become ready any more."""
    top = look.state(main)
    busy = f"did not answer: its script keeps it busy (waited {waited_s:.1f} s)"
    if not top.answered or look.element == "unknown":
        return timeout(f"the page {busy}", log)
    if look.selected is None:
        return no_frame(check, look.element, top, log, waited_s=waited_s)
    what = f"the frame {check.frame_selector}" if check.frame_selector else "the page"
    failed = log.documents.get(look.selected)
    if failed is not None:
        return document_failure(what, failed, log)
    state = look.state(look.selected)
    if not state.answered:
        return timeout(f"{what} {busy}", log)
    return of_document(what, state, log, waited_s=waited_s)


def document_failure(what: str, failed: DocumentFailure, log: BrowserLog) -> Failure:
    """Why a document did not come. Raises DependencyError when this host is to blame."""
    named = f"{what} ({log.mask(failed.url)})"
    if failed.status:
        return status_failure(named, failed.status, retry_after=failed.retry_after)
    if failed.error.startswith(("ERR_BLOCKED_BY_RESPONSE", "ERR_BLOCKED_BY_CSP")):
        said = log.refusal()
        why = f"Chromium says: {said}" if said else f"its answer forbids to be framed here ({failed.error})"
        return Failure(FailureKind.BROWSER, f"{named} was refused: {why}", refusal_type(said, failed.error))
    return failure_of_net_error(failed.error, named)


def refusal_type(said: str, error: str) -> str:
    """What refused the frame, for `error.type`."""
    if "X-Frame-Options" in said:
        return "x-frame-options"
    if "frame-ancestors" in said:
        return "csp-frame-ancestors"
    if "Content Security Policy" in said:
        return "csp"
    return f"net::{error}"


def no_frame(check: ReadyCheck, element: str, top: DocumentState, log: BrowserLog, *, waited_s: float) -> Failure:
    """The element that holds the frame is not there, or holds none."""
    if element == "no frame":
        return browser(f"{check.frame_selector} matches an element that holds no frame", "no-frame", log)
    if top.text("readyState") != "complete":
        return timeout(
            f"no frame {check.frame_selector} after {waited_s:.1f} s: the page itself was still loading{pending(log)}",
            log,
        )
    return browser(
        f"the frame never appeared: nothing in the page matches {check.frame_selector} after {waited_s:.1f} s",
        "frame-missing",
        log,
    )


def of_document(what: str, state: DocumentState, log: BrowserLog, *, waited_s: float) -> Failure:
    """The document is there and answers, but its controls are not ready."""
    missing = state.texts("missing")
    lacks = f"missing or not usable: {', '.join(missing)}" if missing else "its controls are there but do not answer"
    if not missing and (error := state.text("answerError")):
        lacks += f" ({error})"
    if state.text("readyState") == "loading":
        return timeout(f"{what} was still loading after {waited_s:.1f} s ({lacks}{pending(log)})", log)
    if state.is_empty and not log.errors:
        if waiting := pending(log):
            return timeout(f"{what} is blank after {waited_s:.1f} s{waiting}", log)
        return browser(f"{what} is blank: its document came and shows nothing ({lacks})", "blank", log)
    if log.errors:
        return browser(f"{what} is not ready after {waited_s:.1f} s: {lacks}", "uncaught-error", log)
    return timeout(f"{what} is not ready after {waited_s:.1f} s: {lacks}{pending(log)}", log)


def pending(log: BrowserLog) -> str:
    """Which requests have had no answer yet."""
    waiting = log.pending()
    return f"; still waiting for {named(waiting)}" if waiting else ""


def timeout(message: str, log: BrowserLog) -> Failure:
    """A failure whose only sure cause is the time that passed."""
    return Failure(FailureKind.TIMEOUT, with_errors(message, log), "timeout")


def browser(message: str, error_type: str, log: BrowserLog) -> Failure:
    """A failure that was seen in the page."""
    return Failure(FailureKind.BROWSER, with_errors(message, log), error_type)


def with_errors(message: str, log: BrowserLog) -> str:
    """The message, and what else went wrong meanwhile, which is often the cause."""
    if log.errors:
        message += f"; uncaught in the page: {named(log.errors)}"
    if log.failed:
        message += f"; failed requests: {named(log.failed)}"
    return message


def named(texts: Sequence[str]) -> str:
    """The first few and how many more."""
    more = f" and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return ", ".join(texts[:MAX_NAMED]) + more
