"""The style sheet of the report: one column, light and dark, from a telephone to a desk."""

STYLE = """
:root {
  --paper: #faf9f6; --card: #fff; --ink: #1d1c22; --soft: #67646f; --line: #e4e1da; --accent: #5a3fa8;
  --alarm: #a8340f; --c0: #5a3fa8; --c1: #d1620a; --c2: #00806a; --c3: #b3256e; --c4: #1f6fc4; --c5: #8a6d00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #141318; --card: #1d1c23; --ink: #eceaf1; --soft: #a09cab; --line: #34323c; --accent: #b9a3ff;
    --alarm: #ff9f7a; --c0: #b09aff; --c1: #ff9d4d; --c2: #3ed0b2; --c3: #ff7fbb; --c4: #6fb4ff; --c5: #e2c044;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0 auto; max-width: 60rem; padding: clamp(1.2rem, 4vw, 3.5rem) clamp(1rem, 4vw, 2rem) 3rem;
  background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1, h2, h3 { line-height: 1.2; font-weight: 650; letter-spacing: -.015em; text-wrap: balance; }
h1 { margin: .2rem 0 1.4rem; font-size: clamp(1.8rem, 5.5vw, 2.9rem); }
h1 span {
  display: block; margin-top: .35em; color: var(--soft); font-size: .55em; font-weight: 400; letter-spacing: 0;
}
h2 { margin: 0 0 1rem; font-size: 1.4rem; }
h3 { margin: 1.8rem 0 .7rem; font-size: 1.05rem; }
h2 + h3 { margin-top: 0; }
h3 small { color: var(--soft); font-weight: 400; font-size: .9em; letter-spacing: 0; }
p { margin: .6rem 0; max-width: 42rem; }
code, pre, .run { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
code { font-size: .9em; }
.run { margin: 0; color: var(--accent); font-size: .9rem; }
.aside, footer, figcaption { color: var(--soft); font-size: .85rem; }
section { margin-top: 3.2rem; scroll-margin-top: 1rem; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); }

dl { display: flex; flex-wrap: wrap; gap: .9rem clamp(1.5rem, 5vw, 3rem); margin: 0 0 1.4rem; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-size: 1.45rem; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; padding: .6rem 0; border-block: 1px solid var(--line); }
nav a { color: var(--soft); text-decoration: none; font-size: .88rem; padding: .2rem 0; }
nav a:hover, nav a:focus-visible { color: var(--accent); text-decoration: underline; }

img { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 3px; }
.large {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: clamp(.4rem, 2vw, 1rem);
}
.large img { margin: 0 auto; }
.strip img { image-rendering: auto; }
.strip {
  display: grid; grid-template-columns: repeat(4, 1fr); gap: .8rem; list-style: none; margin: 1rem 0 0; padding: 0;
}
.strip li:last-child img { outline: 2px solid var(--accent); outline-offset: 2px; }
.strip span {
  display: block; margin-top: .3rem; color: var(--soft); font-size: .8rem; font-variant-numeric: tabular-nums;
}

table { width: 100%; border-collapse: collapse; }
th, td { padding: .45rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
tr:last-child > * { border-bottom: 0; }
th { width: 11rem; padding-right: 1rem; color: var(--soft); font-weight: 400; }
.size { width: 6rem; text-align: right; color: var(--soft); font-variant-numeric: tabular-nums; white-space: nowrap; }
.files th { color: var(--ink); width: 13rem; }
details { margin-top: .8rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
summary { padding: .6rem .9rem; cursor: pointer; }
details table { margin: 0 .9rem .6rem; width: calc(100% - 1.8rem); font-size: .92rem; }
h4 { margin: 1rem 0 .2rem; font-size: 1rem; } h4 code { color: var(--soft); font-weight: 400; }
details > :is(h4, p) { margin-inline: .9rem; } details > p { margin-block: .2rem .6rem; max-width: none; }
pre {
  margin: .6rem 0; padding: .9rem 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  white-space: pre-wrap;
}

.scores { margin: .2rem 0 .4rem; }
.scores tr:first-child th { color: var(--soft); font-size: .82rem; font-weight: 400; padding-top: 0; width: auto; }
.scores th { color: var(--ink); font-weight: 600; width: auto; padding-right: 1.5rem; }
.scores small { display: block; color: var(--soft); font-size: .82rem; font-weight: 400; line-height: 1.4; }
.scores td { padding-right: 1.2rem; font-variant-numeric: tabular-nums; } .scores td:last-child { padding-right: 0; }
.floor b { font-weight: 400; }
.scores .value { width: 9.5rem; } .scores .line { width: 12rem; padding-top: 1.05rem; } .scores .floor { width: 13rem; }
.scale { display: block; position: relative; height: 2px; background: var(--line); }
.scale span { position: absolute; }
.gap { height: 2px; background: var(--accent); opacity: .5; }
.stroke { top: -.4rem; width: 2px; height: calc(.8rem + 2px); margin-left: -1px; background: var(--ink); }
.dot {
  top: calc(1px - .32rem); width: .64rem; height: .64rem; margin-left: -.32rem; border-radius: 50%;
  background: var(--accent);
}
.stale, .alarm { color: var(--alarm); } h3 .stale { color: var(--alarm); }
.alarm a { color: inherit; } header .alarm { margin: 0 0 1.2rem; }
.out { margin: .4rem 0; padding-left: 1.2rem; }
.findings { list-style: none; margin: 0; padding: 0; }
.findings li { position: relative; margin: 0 0 1.4rem; padding-left: 2.4rem; }
.findings li > b {
  position: absolute; left: 0; top: -.15rem; width: 1.6rem; border: 1px solid var(--alarm); border-radius: 1rem;
  color: var(--alarm); font-size: .85rem; line-height: 1.5rem; text-align: center;
}
.findings h3 { margin: 0 0 .3rem; } .findings p { margin: .3rem 0; } .back { color: var(--soft); }

.wide { overflow-x: auto; }
.compared th, .compared td { padding-right: 1.2rem; width: auto; font-variant-numeric: tabular-nums; }
.compared td { min-width: 5.5rem; } .compared th:first-child { min-width: 13rem; }
.side { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 1.4rem; }
.side figure { margin: 0; } .side figcaption { margin-bottom: .4rem; }

.chart { margin: 1.2rem 0 1.8rem; }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; margin-bottom: .5rem; font-size: .88rem; }
.key em { font-style: normal; color: var(--soft); }
.key i {
  display: inline-block; width: 1.1rem; height: .2rem; margin-right: .4rem; border-radius: 2px; vertical-align: middle;
}
.key b { font-weight: 600; font-variant-numeric: tabular-nums; }
.plot { position: relative; height: clamp(11rem, 34vw, 17rem); margin: .4rem 1.2rem 1.9rem 3.6rem; }
.plot svg { display: block; width: 100%; height: 100%; overflow: hidden; border-bottom: 1px solid var(--soft); }
.plot span {
  position: absolute; color: var(--soft); font-size: .78rem; line-height: 1; font-variant-numeric: tabular-nums;
}
.plot .y { right: calc(100% + .5rem); transform: translateY(-50%); white-space: nowrap; }
.plot .x { top: calc(100% + .5rem); transform: translateX(-50%); white-space: nowrap; }
path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; stroke-linecap: round; }
.rule { stroke: var(--line); stroke-width: 1; }
.level { stroke: var(--alarm); stroke-width: 1; stroke-dasharray: 4 4; }
.plot .mark { top: .2rem; margin-left: .3rem; color: var(--alarm); white-space: nowrap; }
.raw { stroke-width: 1; opacity: .38; }
.mean { stroke-width: 2.2; }
.chart figcaption {
  display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin: -.4rem 1.2rem 0 3.6rem;
}
.c0 { stroke: var(--c0); background: var(--c0); } .c1 { stroke: var(--c1); background: var(--c1); }
.c2 { stroke: var(--c2); background: var(--c2); } .c3 { stroke: var(--c3); background: var(--c3); }
.c4 { stroke: var(--c4); background: var(--c4); } .c5 { stroke: var(--c5); background: var(--c5); }
details .chart { margin-inline: .9rem; }

@media (max-width: 34rem) {
  .strip { gap: .5rem; }
  table:not(.files) th { width: 7.2rem; }
  .files tr { display: grid; grid-template-columns: 1fr auto; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .files th, .files td { border: 0; padding: 0; width: auto; }
  .files th { grid-row: 1; } .files td:not(.size) { grid-column: 1 / -1; color: var(--soft); font-size: .92rem; }
  .files .size { grid-row: 1; grid-column: 2; }
}
@media (max-width: 46rem) {
  .scores tr:first-child { display: none; }
  .scores tr { display: block; padding: .8rem 0; border-bottom: 1px solid var(--line); }
  .scores tr:last-child { border-bottom: 0; }
  .scores tr > * { display: block; border: 0; padding: 0; width: auto !important; }
  .scores .value { margin-top: .2rem; } .scores .value small { display: inline; margin-left: .5rem; }
  .scores .line { padding: .8rem .3rem .7rem; } .scores .line:empty { display: none; }
  .scores .floor::before { content: "Floor "; color: var(--soft); font-size: .82rem; }
  .scores .floor small { display: inline; margin-left: .5rem; }
}
@media print { body { max-width: none; } nav { display: none; } section { break-inside: avoid; } }
"""
