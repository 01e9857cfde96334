// The charts of the runs of a page: fetches what comes into view, and keeps how it is looked at in the address.
import { createDialog, createMenu, savedAs } from "./actions.js";
import { createChart } from "./chart.js";
import { colourOf, pageColours } from "./colours.js";
import { linkControls } from "./controls.js";
import { linkRows } from "./rows.js";
import { createSections } from "./sections.js";
import { createSource, sender } from "./source.js";
import { read } from "./state.js";

const PULSE = 1500; // ms between two looks at runs that are running
const BUCKETS = { least: 100, most: 2000, step: 50 };

/** @param {{runs: {id: string, name: string, running: boolean}[], keys: string[]}} about */
export function mount(element) {
  const { runs, keys } = JSON.parse(document.getElementById(element.dataset.about).textContent);
  const panel = {
    plotly: element.dataset.plotly,
    source: createSource(sender(element.dataset.points, element.dataset.token)),
    runs: runs.map((run, place) => ({ ...run, place, colour: colourOf(run.id) })),
    hidden: new Set(),
    lit: null,
    state: read(new URLSearchParams(location.search)),
    colours: pageColours(element),
    question: (chart, asked) => question(panel.state, chart, asked),
    on: { zoom, hover },
  };
  const charts = [];
  const every = (act) => charts.forEach(act);

  function zoom(chart, range) {
    for (const one of panel.state.together ? charts : [chart]) {
      one.range = range;
      one.ask();
    }
  }
  function hover(place) {
    const hidden = place !== null && panel.hidden.has(panel.runs[place].id);
    panel.lit = hidden ? null : place;
    every((chart) => chart.light(panel.lit));
    lightRow(place);
  }
  function toggle(id) {
    if (!panel.hidden.delete(id)) panel.hidden.add(id);
    hover(panel.runs.findIndex((run) => run.id === id));
    every((chart) => chart.redraw());
  }
  function retheme() {
    panel.colours = pageColours(element);
    every((chart) => chart.redraw());
  }

  const full = createDialog(element.querySelector("dialog"));
  const perform = (action, chart) => (action === "full" ? full(chart) : savedAs(action, chart, panel));
  const openMenu = createMenu(element.querySelector("[data-menu]"), perform);
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const chart = charts.find(({ card }) => card === target);
      chart.inView = isIntersecting;
      chart.update();
    }
  }, { root: element.closest("main"), rootMargin: "200px" });

  const lightRow = linkRows(document, panel, { toggle, hover });
  const sections = createSections(element, keys, (card, key) => {
    const chart = createChart(card, key, panel);
    charts.push(chart);
    card.querySelector("button").addEventListener("click", ({ currentTarget }) => openMenu(currentTarget, chart));
    observer.observe(card);
  });
  linkControls(element, panel, keys, {
    find: (text) => sections.find(text),
    redraw: () => every((chart) => chart.redraw()),
    ask: () => every((chart) => {
      chart.range = null; // of another axis
      chart.ask();
    }),
  });
  document.addEventListener("studio:theme", retheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", retheme);
  const running = panel.runs.filter((run) => run.running);
  if (running.length) setInterval(() => document.hidden || every((chart) => chart.refresh(running)), PULSE);
}

function question({ axis, by }, { range, plot }, runs) {
  const width = Math.ceil(plot.clientWidth / BUCKETS.step) * BUCKETS.step;
  return {
    runs: runs.map(({ id }) => id),
    axis, by,
    from: range?.[0] ?? null,
    to: range?.[1] ?? null,
    buckets: Math.min(BUCKETS.most, Math.max(BUCKETS.least, width)),
  };
}
