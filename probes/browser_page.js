// Runs in every document of a session before the page's own scripts: the page's clock, read where things happen.
//
// Marks go out at once through the binding `report`; everything else waits in `state` until it is asked for, after the
// timed window. All instants are milliseconds of Unix time on the page's monotonic clock (timeOrigin + now), so that the
// documents of a page, which may live in different processes, share one axis.
// `SETTINGS` is replaced by the session; read by probes/browser_script.py and nobody else.
(() => {
  const KEY = Symbol.for("probe-fleet");
  const page = window[KEY] ?? {};
  // A frame's first empty document may hand its window, with all that is in it, to the document that follows.
  if (page.document === document) return;
  const isFirst = page.document === undefined;
  page.document = document;
  Object.defineProperty(window, KEY, { value: page, enumerable: false, configurable: true });

  const settings = SETTINGS;
  const report = window[settings.binding];
  const clock = performance; // a page may replace window.performance; we keep the real one
  const instant = (at = clock.now()) => clock.timeOrigin + at;
  const later = window.setTimeout.bind(window);
  const POLL_MS = 10;
  const ANSWER_RETRY_MS = 20;

  if (window === window.top) report({ what: "origin", at: clock.timeOrigin });

  // --- What the document measured -------------------------------------------------------------------------------------
  const seen = { fcp: null, lcp: null, cls: 0 };
  let shiftWindow = { value: 0, first: 0, last: 0 };
  const observe = (type, take) => {
    if (!PerformanceObserver.supportedEntryTypes.includes(type)) return;
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(take));
    observer.observe({ type, buffered: true });
    collectors.push(() => observer.takeRecords().forEach(take));
  };
  const collectors = [];
  observe("paint", (entry) => {
    if (entry.name === "first-contentful-paint") seen.fcp = instant(entry.startTime);
  });
  observe("largest-contentful-paint", (entry) => {
    seen.lcp = { at: instant(entry.startTime), size: entry.size };
  });
  // Session windows: shifts less than 1 s apart, at most 5 s in all; the worst window counts. Source: https://web.dev/articles/cls
  observe("layout-shift", (entry) => {
    if (entry.hadRecentInput) return;
    const at = entry.startTime;
    const joins = shiftWindow.value > 0 && at - shiftWindow.last < 1000 && at - shiftWindow.first < 5000;
    shiftWindow = joins
      ? { value: shiftWindow.value + entry.value, first: shiftWindow.first, last: at }
      : { value: entry.value, first: at, last: at };
    seen.cls = Math.max(seen.cls, shiftWindow.value);
  });

  page.snapshot = () => {
    collectors.forEach((collect) => collect());
    const [navigation] = clock.getEntriesByType("navigation");
    const mark = (name) => (navigation && navigation[name] > 0 ? instant(navigation[name]) : null);
    const body = document.body;
    return {
      origin: clock.timeOrigin,
      now: instant(),
      ttfb: mark("responseStart"),
      domContentLoaded: mark("domContentLoadedEventEnd"),
      load: mark("loadEventEnd"),
      ...seen,
      readyState: document.readyState,
      isEmpty: !body || (body.innerText.trim() === "" && !body.querySelector(VISIBLE_TAGS)),
      missing: ready.missing,
      answerError: ready.answerError,
      ready: ready.at,
    };
  };
  const VISIBLE_TAGS = "input,button,select,textarea,img,svg,canvas,video,iframe,object,embed";

  // --- Conditions -----------------------------------------------------------------------------------------------------
  // A change of the document is looked at in the same task; what changes without one (a style, a variable) within POLL_MS.
  const watch = (check) => {
    let isOver = false;
    const look = () => {
      if (!isOver && check()) {
        isOver = true;
        observer.disconnect();
      }
    };
    const observer = new MutationObserver(look);
    observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    const poll = () => {
      look();
      if (!isOver) later(poll, POLL_MS);
    };
    poll();
    return () => {
      isOver = true;
      observer.disconnect();
    };
  };

  // A file input is often hidden behind a button of the page's own, and works all the same.
  const isUsable = (element) =>
    !element.matches(":disabled") &&
    element.getAttribute("aria-disabled") !== "true" &&
    (element.type === "file" || element.checkVisibility({ visibilityProperty: true }));
  page.isUsable = isUsable;

  const ready = { at: null, missing: [], answerError: "" };
  let answering = false;
  let nextAnswer = 0;
  const ask = (answer) => {
    if (answering || clock.now() < nextAnswer) return;
    answering = true;
    nextAnswer = clock.now() + ANSWER_RETRY_MS;
    const done = (isAnswer) => {
      answering = false;
      if (isAnswer && ready.at === null) {
        ready.at = instant();
        report({ what: "ready", at: ready.at });
      } else if (!isAnswer && !ready.answerError) ready.answerError = "the answer was not truthy";
    };
    const failed = (error) => {
      ready.answerError = String(error);
      answering = false;
    };
    try {
      const result = answer();
      // Without a promise the mark is taken in this very task.
      if (result && typeof result.then === "function") result.then(done, failed);
      else done(result);
    } catch (error) {
      failed(error);
    }
  };

  page.armReady = (check) => {
    if (check.inFrame === (window === window.top)) return;
    watch(() => {
      // A later load of the session brings its own check, and the one that armed last is the one that counts.
      if (ready.at !== null || page.check !== check) return true;
      if (check.controls.length === 0 && document.readyState === "loading") return false;
      try {
        ready.missing = check.controls.filter((selector) => {
          const element = document.querySelector(selector);
          return !element || !isUsable(element);
        });
      } catch (error) {
        report({ what: "invalid", message: String(error) });
        return true;
      }
      if (ready.missing.length === 0) ask(check.answer);
      return ready.at !== null;
    });
  };
  if (page.check) page.armReady(page.check);

  // --- Driven steps -----------------------------------------------------------------------------------------------------
  // The clock starts with the first event that the action causes in this document, as it would for a person.
  const ACTION_EVENTS = ["pointerdown", "mousedown", "click", "keydown", "input", "change", "submit", "drop"];
  const untilAction = (started) => {
    const stop = () => ACTION_EVENTS.forEach((name) => window.removeEventListener(name, note, true));
    const armedAt = clock.now();
    const note = (event) => {
      stop();
      // The event's own time stamp is when it was made; a busy page runs this listener later.
      const isPlausible = event.timeStamp >= armedAt && event.timeStamp <= clock.now();
      started(instant(isPlausible ? event.timeStamp : clock.now()));
    };
    ACTION_EVENTS.forEach((name) => window.addEventListener(name, note, true));
    return stop;
  };

  page.until = (id, prepare, test, afterAction) => {
    const before = prepare();
    const met = (value) => {
      report({ what: "met", id, at: instant(), value: value === true ? true : JSON.stringify(value) ?? null });
    };
    // Something that is not there yet may well throw; it is told once and tried again.
    let isTold = false;
    const attempt = () => {
      try {
        return test(before);
      } catch (error) {
        if (!isTold) report({ what: "broken", id, message: String(error) });
        isTold = true;
        return null;
      }
    };
    const first = attempt();
    if (first) {
      if (!afterAction) {
        met(first);
        return { at: instant(), wasTrue: false };
      }
      return { at: instant(), wasTrue: true };
    }
    let isActed = !afterAction;
    if (afterAction) {
      untilAction((at) => {
        isActed = true;
        report({ what: "started", id, at });
      });
    }
    page.stop = watch(() => {
      const value = isActed && attempt();
      if (value) met(value);
      return Boolean(value);
    });
    return { at: instant(), wasTrue: false };
  };

  // --- Trace context ----------------------------------------------------------------------------------------------------
  // Only on requests that the page's scripts make, and only where that costs no CORS preflight or is declared to be allowed.
  const names = Object.keys(settings.headers);
  const isTraced = (url) => {
    try {
      const origin = new URL(url, document.baseURI).origin;
      return settings.origins.length ? settings.origins.includes(origin) : origin === location.origin;
    } catch {
      return false;
    }
  };
  if (isFirst && names.length && location.origin !== "null") {
    const { fetch: ownFetch, Request: OwnRequest, Headers: OwnHeaders } = window;
    window.fetch = function (input, init) {
      const url = input instanceof OwnRequest ? input.url : String(input);
      const mode = init?.mode ?? (input instanceof OwnRequest ? input.mode : "cors");
      if (!isTraced(url) || mode === "no-cors") return Reflect.apply(ownFetch, this, arguments);
      const headers = new OwnHeaders(init?.headers ?? (input instanceof OwnRequest ? input.headers : undefined));
      names.forEach((name) => headers.has(name) || headers.set(name, settings.headers[name]));
      return Reflect.apply(ownFetch, this, [input, { ...init, headers }]);
    };
    const { open, send, setRequestHeader } = XMLHttpRequest.prototype;
    const traced = new WeakMap();
    XMLHttpRequest.prototype.open = function (method, url) {
      traced.set(this, isTraced(url));
      return Reflect.apply(open, this, arguments);
    };
    XMLHttpRequest.prototype.setRequestHeader = function (name) {
      // A page's own trace context wins: setting it twice would join the two values.
      if (traced.get(this) && names.some((own) => own.toLowerCase() === String(name).toLowerCase())) traced.set(this, false);
      return Reflect.apply(setRequestHeader, this, arguments);
    };
    XMLHttpRequest.prototype.send = function () {
      if (traced.get(this)) names.forEach((name) => Reflect.apply(setRequestHeader, this, [name, settings.headers[name]]));
      return Reflect.apply(send, this, arguments);
    };
  }
})();
