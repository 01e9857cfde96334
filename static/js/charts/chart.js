// One chart: fetched and drawn while it is in view, and again when what it shows has changed.
import { axisFor, layout, summary, toTraces } from "./lines.js";
import { createCanvas, inTurn, plotly } from "./plot.js";

/** @param {HTMLElement} card @param panel what all charts share: source, runs, hidden, state, colours, on */
export function createChart(card, key, panel) {
  const plot = card.querySelector(".plot");
  const note = card.querySelector("h2 small");
  let canvas = null;
  let controller = new AbortController();
  const chart = { key, card, plot, series: [], range: null, inView: false, full: false };
  let [stale, dirty, asking] = [true, true, false];

  /** Brings the chart up to date, if somebody sees it. */
  chart.update = () => {
    if (!chart.inView && !chart.full) return;
    if (stale) load(panel.runs);
    else if (dirty) inTurn(draw);
  };
  /** What is drawn is no longer what was asked for. */
  chart.ask = () => {
    stale = true;
    controller.abort();
    chart.update();
  };
  chart.redraw = () => {
    dirty = true;
    chart.update();
  };
  /** Asks again for runs that may have logged more. */
  chart.refresh = (runs) => {
    if (chart.inView || chart.full) load(stale ? panel.runs : runs);
  };
  chart.light = (place) => canvas?.light(place);
  chart.drawing = () => {
    const shown = chart.series.filter(({ run }) => !panel.hidden.has(run));
    const axis = axisFor(shown, panel.state);
    return {
      shown, axis, traces: toTraces(shown, panel.runs, panel.state, panel.colours),
      layout: layout(panel.state, axis, chart.range, panel.colours),
    };
  };

  async function load(runs) {
    if (asking && !controller.signal.aborted) return;
    controller = new AbortController();
    const { signal } = controller;
    asking = true;
    try {
      const found = await panel.source(key, panel.question(chart, runs), signal);
      if (signal.aborted) return;
      dirty ||= stale || hasMore(chart.series, found);
      merge(found, runs);
      stale = false;
      if (dirty) inTurn(draw);
    } catch (failure) {
      if (!signal.aborted && stale) say(`Could not load this chart. ${failure.message} Reload the page to try again.`);
    } finally {
      if (controller.signal === signal) asking = false;
    }
  }

  function merge(found, asked) {
    const again = new Set(asked.map(({ id }) => id));
    chart.series = [...chart.series.filter(({ run }) => !again.has(run)), ...found];
  }

  async function draw() {
    if (!dirty || stale) return;
    dirty = false;
    try {
      const library = await plotly(panel.plotly);
      const { shown, axis, traces, layout: made } = chart.drawing();
      if (!canvas || !canvas.canvas.isConnected) {
        canvas = createCanvas(plot, { zoom: (ends) => panel.on.zoom(chart, ends && ends.map(chart.axis.read)), hover: panel.on.hover });
      }
      chart.axis = axis;
      await canvas.draw(library, traces, made);
      canvas.light(panel.lit);
      note.textContent = summary(shown);
      plot.dataset.drawn = "";
    } catch (failure) {
      say(`Could not draw this chart. ${failure.message}`);
    }
  }

  function say(text) {
    canvas = null;
    plot.textContent = text;
    delete plot.dataset.drawn;
  }
  return chart;
}

/** Whether any of these series has more points than it had. (None ever has fewer.) */
function hasMore(before, found) {
  const totals = new Map(before.map(({ run, total }) => [run, total]));
  return found.some(({ run, total }) => total !== totals.get(run));
}
