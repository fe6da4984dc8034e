/** The style of a report's page; the script reads the colours of its plots from here, so dark mode is stated once. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --page: #ffffff; --card: #f6f7f9; --text: #1b1f24; --quiet: #57606a; --line: #d0d7de;
  /* After Okabe and Ito (2008), which colour-blind readers can tell apart; some darker here, for 3:1 against the card. */
  --series-1: #0072b2; --series-2: #c27100; --series-3: #008a64; --series-4: #b0588c; --series-5: #d55e00; --series-6: #3b86b8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1419; --card: #1a2027; --text: #e6edf3; --quiet: #9ba7b4; --line: #333c46;
    --series-1: #4aa8e0; --series-2: #e69f00; --series-3: #2fc39a; --series-4: #cc79a7; --series-5: #ff8c42; --series-6: #a5d8f6;
  }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem; background: var(--page); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; }
h2 { margin: 0; font-size: 1.05rem; }
header p, figcaption p { margin: .25rem 0 .75rem; color: var(--quiet); max-width: 80ch; }
dl { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 .75rem; }
dl div { padding: .4rem .8rem; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
dt { color: var(--quiet); font-size: .8rem; }
dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; align-items: start; }
.charts { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; }
figure, .numbers { margin: 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
.plot { position: relative; }
.numbers { overflow: auto; padding-top: 0; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .45rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: bottom; }
td { white-space: nowrap; }
th.right, td.right { text-align: right; }
thead th { position: sticky; top: 0; padding-top: 1rem; background: var(--card); }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 14ch; }
tbody tr:hover { background: color-mix(in srgb, var(--series-1) 12%, transparent); }
@media (min-width: 1480px) {
  main { grid-template-columns: minmax(24rem, 1fr) fit-content(65%); }
  .numbers { position: sticky; top: 1rem; max-height: calc(100vh - 2rem); }
}
`;
