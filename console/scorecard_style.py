"""The style sheet of the HTML report: system fonts, both colour schemes, stacked tables on a phone, plain on paper.

Text reaches a contrast of 4.5 to 1 in both schemes. Refuses anything that is fetched. Called by `console.scorecard_html`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #ffffff; --ink: #1c2126; --soft: #59636e; --rule: #d9dee3;
  --good: #116329; --good-back: #ddf4e4; --bad: #a40e26; --bad-back: #ffe3e6; --warn: #7a4d00; --warn-back: #fff1cc;
  --none-back: #eceff2; --link: #0757ba; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --ink: #e8eaed; --soft: #a3adb8; --rule: #343b42;
  --good: #7ee2a0; --good-back: #12351f; --bad: #ff9aa5; --bad-back: #48151d; --warn: #f5cf7a; --warn-back: #3b2d0b;
  --none-back: #2a3036; --link: #8ab8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 68rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0 0 .75rem; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 0; display: flex; flex-wrap: wrap; gap: .25rem .6rem; align-items: baseline; }
a { color: var(--link); }
a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
dl { margin: .25rem 0; }
dl div { display: grid; grid-template-columns: 9rem 1fr; gap: .75rem; padding: .1rem 0; }
dt { color: var(--soft); }
dd { margin: 0; }
.headline { font-size: 1.1rem; font-weight: 600; }
.what-if { border: 2px solid var(--warn); background: var(--warn-back); color: var(--warn); padding: .6rem .8rem;
  border-radius: .4rem; }
.note { border-left: .25rem solid var(--rule); padding-left: .8rem; color: var(--soft); }
.name { margin: 0 0 .25rem; color: var(--soft); font-size: .9rem; }
.notes { margin: .5rem 0 0; padding-left: 1.2rem; color: var(--soft); }
table { width: 100%; border-collapse: collapse; margin: .5rem 0; background: var(--card); font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--rule); font-weight: 400;
  vertical-align: baseline; }
thead th { color: var(--soft); font-size: .85rem; }
.figure { text-align: right; }
thead th:nth-child(n+4), .regions thead th:nth-child(n+3) { text-align: right; }
.badge { display: inline-block; padding: 0 .5rem; border-radius: .6rem; font-size: .9rem; font-weight: 600; white-space: nowrap;
  background: var(--none-back); }
.badge.good { color: var(--good); background: var(--good-back); }
.badge.bad { color: var(--bad); background: var(--bad-back); }
.badge.warn { color: var(--warn); background: var(--warn-back); }
article { background: var(--card); border: 1px solid var(--rule); border-radius: .4rem; padding: .75rem .9rem; margin: .75rem 0; }
article table { background: none; font-size: .92rem; }
@media (max-width: 40rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, th, td { display: block; }
  tr { padding: .5rem .6rem; border-bottom: 1px solid var(--rule); }
  th, td { border: 0; padding: .05rem 0; }
  th { font-weight: 600; }
  .figure { text-align: left; }
  td[data-label] { display: grid; grid-template-columns: 7rem 1fr; }
  td[data-label]::before { content: attr(data-label); color: var(--soft); }
  .badge { justify-self: start; }
  .lines .number { float: left; min-width: 2rem; color: var(--soft); }
  dl div { grid-template-columns: 1fr; gap: 0; padding: .2rem 0; }
}
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --good: #000; --bad: #000; --warn: #000;
    --good-back: #fff; --bad-back: #fff; --warn-back: #fff; --none-back: #fff; --link: #000; }
  body { max-width: none; font-size: 10pt; padding: 0; }
  .badge { border: 1px solid #000; }
  article, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  a { text-decoration: none; }
}
"""
