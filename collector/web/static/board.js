/* Keeps the board of the overview fresh from the stream of changes; without it the page is as it was when it was loaded. */
"use strict";
(() => {
  const board = document.getElementById("board");
  const state = document.getElementById("board-state");
  const ago = (seconds) => {
    if (seconds < 1) return "now";
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit} ago`;
    }
    return `${Math.floor(seconds)} s ago`;
  };
  // A release that somebody told of goes to the head of the list; what it says is text and nothing else.
  const releases = document.getElementById("releases");
  const say = (parent, kind, text, classes = "") => {
    const made = document.createElement(kind);
    made.textContent = text;
    if (classes) made.className = classes;
    parent.append(made);
    return made;
  };
  const showRelease = (told) => {
    const isHere = !releases.dataset.target || releases.dataset.target === told.target;
    if (!isHere || [...releases.children].some((one) => one.dataset.release === told.identity)) return;
    const line = document.createElement("li");
    line.dataset.release = told.identity;
    line.className = "fresh";
    say(line, "strong", told.name);
    line.append(told.environment ? ` (${told.environment}) ` : " ");
    say(line, "span", told.word, `badge ${told.tone}`);
    line.append(" ");
    say(line, "time", `${told.at.slice(0, 16).replace("T", " ")} UTC`).dateTime = told.at;
    if (told.by) line.append(` by ${told.by}`);
    if (/^https?:\/\//.test(told.link)) {
      line.append(", ");
      const link = say(line, "a", "report");
      link.href = told.link;
      link.rel = "noopener noreferrer";
      say(link, "span", ` of ${told.name}`, "hidden-text");
    }
    if (told.cause) { line.append(document.createElement("br")); say(line, "span", told.cause, "soft"); }
    const earlier = [...releases.children].find((one) => one.querySelector("time").dateTime <= told.at);
    releases.insertBefore(line, earlier ?? null);
    while (releases.children.length > Number(releases.dataset.most)) releases.lastElementChild.remove();
    releases.closest("section").hidden = false;
  };
  if (!board || !window.EventSource) return;
  const cells = new Map();
  for (const cell of board.querySelectorAll("[data-cell]")) cells.set(cell.dataset.cell, cell);

  // The host's clock decides how old something is, not the viewer's.
  let ahead = Date.now() - Date.parse(document.querySelector("footer time").dateTime);
  const refreshAges = () => {
    for (const age of board.querySelectorAll(".age[data-at]")) {
      age.textContent = ago(Math.max(0, (Date.now() - ahead - Date.parse(age.dataset.at)) / 1000));
    }
  };
  const show = (told) => {
    const cell = cells.get(`${told.scenario}/${told.region}`);
    if (!cell) { location.reload(); return; }
    const isNew = cell.querySelector(".age").dataset.at !== (told.at || undefined);
    cell.className = `cell ${told.state}`;
    cell.querySelector(".word").textContent = told.word;
    cell.querySelector(".detail").textContent = told.detail;
    cell.querySelector(".cover").textContent = told.due ? `${told.ran}/${told.due}` : "–";
    if (told.at) cell.querySelector(".age").dataset.at = told.at;
    if (isNew) { void cell.offsetWidth; cell.classList.add("fresh"); }
  };
  // The sentence above the board, as the server says it.
  const sum = document.getElementById("board-sum");
  const showSum = () => {
    const bad = new Map();
    for (const [name, cell] of cells) {
      if (!cell.classList.contains("bad")) continue;
      const border = name.lastIndexOf("/"), scenario = name.slice(0, border), region = name.slice(border + 1);
      bad.set(scenario, [...(bad.get(scenario) || []), region]);
    }
    const failed = [...bad.values()].reduce((count, regions) => count + regions.length, 0);
    const whole = `${cells.size} cell${cells.size === 1 ? "" : "s"}`;
    const where = (regions) => (regions.length <= 4 ? regions.join(", ") : `${regions.length} regions`);
    const told = [...bad].slice(0, 6).map(([scenario, regions]) => `${scenario} in ${where(regions)}`);
    const more = bad.size > 6 ? `; and ${bad.size - 6} more scenario${bad.size === 7 ? "" : "s"}` : "";
    sum.textContent = failed ? `${failed} of ${whole} failed: ${told.join("; ")}${more}.` : `None of ${whole} failed.`;
  };
  const source = new EventSource(`/live?since=${board.dataset.since}`);
  source.addEventListener("open", () => { state.textContent = "Live."; });
  source.addEventListener("error", () => { state.textContent = "Not live: trying again."; });
  source.addEventListener("cells", (event) => {
    const told = JSON.parse(event.data);
    ahead = Math.min(ahead, Date.now() - Date.parse(told.at));
    told.cells.forEach(show);
    showSum();
    refreshAges();
  });
  source.addEventListener("look", () => document.dispatchEvent(new Event("look")));
  source.addEventListener("releases", (event) => JSON.parse(event.data).releases.forEach(showRelease));
  source.addEventListener("reload", () => location.reload());
  setInterval(refreshAges, 1000);
  refreshAges();
})();
