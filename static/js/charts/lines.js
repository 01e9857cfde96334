// Series as Plotly draws them: a line through the values, and where not all points were sent a band of what they span.
import { axisOf } from "./axes.js";
import { faded } from "./colours.js";
import { smooth } from "./smooth.js";

const NAME = 48; // characters of a run's name beside a point

/** @param {Series[]} series @param {{id: string, name: string, colour: number, place: number}[]} runs in the order of their lines
 *  @param {{axis: string, by: string, smooth: number, log: boolean}} view */
export function toTraces(series, runs, view, colours) {
  const ofRun = new Map(series.map((one) => [one.run, one]));
  const axis = axisFor(series, view);
  const shown = runs.filter(({ id }) => ofRun.has(id));
  const behind = shown.flatMap((run) => background(ofRun.get(run.id), run, view, axis, colours));
  return [...behind, ...shown.map((run) => line(ofRun.get(run.id), run, view, axis, colours))];
}

export function axisFor(series, view) {
  return axisOf(view.axis, view.by, Math.max(...series.map(({ x }) => Math.abs(x.at(-1) ?? 0)), 0));
}

function line({ x, y }, run, view, axis, colours) {
  const values = view.smooth ? smooth(y, view.smooth) : finite(y);
  const colour = colours.runs[run.colour];
  return {
    type: "scatter", // as SVG: WebGL is silent under the content policy
    mode: values.filter(Number.isFinite).length === 1 ? "markers" : "lines",
    uid: `line${run.place}`,
    name: label(run.name),
    x: x.map(axis.show),
    y: values,
    line: { color: colour, width: 1.6 },
    marker: { color: colour, size: 7 },
    hovertemplate: `%{fullData.name}<br>${axis.told}<br>%{y:.6~g}<extra></extra>`,
  };
}

function background(series, run, view, axis, colours) {
  const colour = colours.runs[run.colour];
  const usual = { type: "scatter", mode: "lines", uid: `behind${run.place}`, hoverinfo: "skip", showlegend: false };
  if (series.low) {
    const fill = { fill: "toself", fillcolor: faded(colour, 0.16), line: { width: 0 } };
    return [{ ...usual, ...band(series, axis, view.log), ...fill }];
  }
  if (!view.smooth) return [];
  return [{ ...usual, x: series.x.map(axis.show), y: finite(series.y), line: { color: faded(colour, 0.25), width: 1 } }];
}

/** The outline of what buckets span: there along their highest values, back along the lowest. One for each stretch that has
 *  values, with a gap between. A logarithm has no place for a lowest value of 0 or less: there the band is closed. */
export function band({ x, low, high }, axis, log) {
  const outline = { x: [], y: [] };
  const add = (place, value) => {
    outline.x.push(axis.show(x[place]));
    outline.y.push(value);
  };
  const holds = (place) => Number.isFinite(high[place]) && (!log || high[place] > 0);
  for (let start = 0; start < x.length; start += 1) {
    if (!holds(start)) continue;
    let end = start;
    while (end < x.length && holds(end)) end += 1;
    if (outline.x.length) add(start, null);
    for (let place = start; place < end; place += 1) add(place, high[place]);
    for (let place = end - 1; place >= start; place -= 1) add(place, log && low[place] <= 0 ? high[place] : low[place]);
    start = end;
  }
  return outline;
}

function finite(values) {
  return values.map((value) => (Number.isFinite(value) ? value : NaN));
}

/** Plotly reads markup in names. */
export function label(name) {
  const short = name.length > NAME ? `${name.slice(0, NAME - 1)}…` : name;
  return short.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** What the heading says beside the metric's name. */
export function summary(series) {
  const sum = (count) => series.reduce((total, one) => total + count(one), 0);
  const [total, drawn, odd] = [sum((one) => one.total), sum(({ x }) => x.length), sum((one) => one.not_finite)];
  const notFinite = odd ? `, ${odd.toLocaleString("en")} not finite` : "";
  if (series.length > 1) return `${series.length} runs${notFinite}`;
  const points = `${total.toLocaleString("en")} point${total === 1 ? "" : "s"}`;
  return points + (drawn < total ? `, ${drawn.toLocaleString("en")} drawn` : "") + notFinite;
}

/** @param {?[number, number]} range of x as Studio tells it, where not all is shown */
export function layout(view, axis, range, colours) {
  const usual = { gridcolor: colours.line, zeroline: false, linecolor: colours.line, tickfont: { color: colours.faint, size: 10 } };
  const shown = range ? { range: range.map(axis.show), autorange: false } : { autorange: true };
  return {
    margin: { t: 8, r: 10, b: 26, l: 46 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colours.font, color: colours.text },
    xaxis: { ...usual, ...axis.layout, ...shown, nticks: 5 },
    yaxis: { ...usual, type: view.log ? "log" : "linear", nticks: 5, autorange: true, fixedrange: true, exponentformat: "power" },
    hovermode: "closest",
    hoverlabel: { bgcolor: colours.surface, bordercolor: colours.line, font: { color: colours.text, size: 12 }, align: "left" },
    dragmode: "zoom",
    showlegend: false,
  };
}
