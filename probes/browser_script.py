"""What runs inside a page: the script of every document, the ready check, and the conditions of driven steps.

Expressions are compiled with the script that carries them, so that a page whose policy forbids `eval` is measured like any
other. Refuses to talk to a browser: it makes text and reads what comes back. Called by `probes.browser_session`; scenario
scripts make `ReadyCheck` and `Condition`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

__all__ = ["BINDING", "Condition", "ReadyCheck", "arm_script", "page_script", "until_expression"]

BINDING = "__probeFleetReport"
KEY = 'window[Symbol.for("probe-fleet")]'
# Filled in below; a page script without it would be a page script that reports nothing.
PLACEHOLDER = "= SETTINGS;"


@dataclass(frozen=True, slots=True)
class ReadyCheck:
    """When a page counts as ready: every control is there, visible and enabled, and then `answer` is truthy.

    `controls` are plain CSS selectors (none: the document has been parsed); a file input need not be visible, because pages
    hide it behind a button of theirs.
    `frame_selector` names the frame (in the page's own document) whose document has the controls; empty: the page itself.
    `answer` is a JavaScript expression (or an arrow function, or a promise) that tries something harmless and says whether it
    worked; it is asked again every 20 ms until it does. Empty: the controls alone decide.
    """

    frame_selector: str = ""
    controls: tuple[str, ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that becomes true in a document, watched by the document itself.

    `expression` is JavaScript; truthy: the condition is met and the value is handed back. `before` in it is the value that
    `prepare` had when the watch was armed. `describes` completes the sentence "waited for ...".
    """

    expression: str
    describes: str
    prepare: str = "null"

    @classmethod
    def text(cls, text: str, *, within: str = "body") -> Condition:
        """The rendered text of the first element matching the CSS selector `within` contains `text`."""
        element = f"document.querySelector({json.dumps(within)})"
        return cls(f"{element}?.innerText.includes({json.dumps(text)})", f"the text {text!r} in {within}")

    @classmethod
    def usable(cls, selector: str) -> Condition:
        """An element matching the CSS selector is there, visible and enabled."""
        element = f"document.querySelector({json.dumps(selector)})"
        expression = f"(() => {{ const e = {element}; return e !== null && {KEY}.isUsable(e); }})()"
        return cls(expression, f"a usable {selector}")

    @classmethod
    def changed(cls, selector: str, *, to_contain: str = "") -> Condition:
        """The text of the first element matching the CSS selector is another than before, and contains `to_contain`.

        An element that was not there before counts as changed when it comes. The value handed back is its new text.
        """
        now = f"document.querySelector({json.dumps(selector)})?.innerText ?? null"
        expression = (
            f"(() => {{ const now = {now}; "
            f'return now !== null && now !== before && now.includes({json.dumps(to_contain)}) ? now || " " : false; }})()'
        )
        wanted = f" to a text with {to_contain!r}" if to_contain else ""
        return cls(expression, f"{selector} to change{wanted}", prepare=now)

    @classmethod
    def script(cls, expression: str, describes: str, *, prepare: str = "null") -> Condition:
        """Any JavaScript expression; `describes` says in words what it waits for."""
        return cls(expression, describes, prepare)

    def both(self, other: Condition) -> Condition:
        """Met when this and another condition are, at the same moment; the other's value is handed back."""
        expression = f"(((before) => ({self.expression}))(before[0]) && ((before) => ({other.expression}))(before[1]))"
        prepare = f"[({self.prepare}), ({other.prepare})]"
        return Condition(expression, f"{self.describes} and {other.describes}", prepare)


def page_script(*, headers: Mapping[str, str], traced_origins: Sequence[str]) -> str:
    """The script that every document of a session runs first."""
    source = resources.files("probes").joinpath("browser_page.js").read_text("utf-8")
    settings = {"binding": BINDING, "headers": dict(headers), "origins": list(traced_origins)}
    return source.replace(PLACEHOLDER, f"= {json.dumps(settings)};", 1)


def arm_script(check: ReadyCheck) -> str:
    """The script that arms the ready check in every document from now on; order with `page_script` does not matter."""
    answer = check.answer.strip() or "true"
    return f"""(() => {{
  const key = Symbol.for("probe-fleet");
  const page = window[key] ?? {{}};
  if (!window[key]) Object.defineProperty(window, key, {{ value: page, enumerable: false, configurable: true }});
  page.check = {{
    inFrame: {json.dumps(bool(check.frame_selector))},
    controls: {json.dumps(list(check.controls))},
    answer: () => {{ const result = ({answer}); return typeof result === "function" ? result() : result; }},
  }};
  page.armReady?.(page.check);
}})();"""


def until_expression(condition: Condition) -> str:
    """A function of `{id, afterAction}` for `Frame.evaluate` that arms the watch and says when, and whether it was true."""
    return (
        f"(wait) => {KEY}.until(wait.id, () => ({condition.prepare}), (before) => ({condition.expression}), "
        "wait.afterAction)"
    )
