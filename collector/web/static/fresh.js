/* Keeps the parts of a page that are marked as such fresh: when the server says that figures may be newer, the page is fetched
   again and what differs is put in its place. What somebody works in (a focus, a changed field, an opened detail) stays. */
"use strict";
(() => {
  const SPREAD_MS = 5000;
  const SOON_MS = 3000;
  const parts = () => [...document.querySelectorAll("[data-fresh]")];
  if (!parts().length || !window.EventSource) return;

  const isChanged = (field) => field.type !== "hidden" && field.value !== field.defaultValue;
  const isUsed = (part) =>
    part.contains(document.activeElement)
    || part.querySelector("details[open]") !== null
    || [...part.querySelectorAll("input, textarea")].some(isChanged);
  const put = (fresh) => {
    if (!document.getElementById("board") && fresh.getElementById("board")) { location.reload(); return; }
    for (const part of parts()) {
      const found = fresh.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
      if (found && found.innerHTML !== part.innerHTML && !isUsed(part)) part.replaceChildren(...found.childNodes);
    }
  };
  let isWaiting = false;
  const look = async () => {
    isWaiting = false;
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer && answer.ok && !answer.redirected) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  };
  const lookSoon = () => {
    if (isWaiting) return;
    isWaiting = true;
    setTimeout(look, Math.random() * SPREAD_MS);
  };
  document.addEventListener("look", lookSoon);
  if (document.querySelector("[data-soon]")) setTimeout(look, SOON_MS); // figures of long ago: newer ones are being worked out
  document.addEventListener("visibilitychange", () => { if (!document.hidden) lookSoon(); });
  if (document.getElementById("board")) return; // its own stream tells
  new EventSource("/live?only=looks").addEventListener("look", lookSoon);
})();
