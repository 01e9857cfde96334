import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.mjs";

const { band, label, layout, summary, toTraces } = await load("charts/lines");
const { axisOf } = await load("charts/axes");
const { createSource } = await load("charts/source");

const COLOURS = { runs: ["rgb(0, 0, 0)", "rgb(1, 1, 1)"], line: "gray", faint: "silver", font: "sans", surface: "white", text: "black" };
const VIEW = { axis: "step", by: "", smooth: 0, log: false };
const RUNS = [{ id: "a", name: "one", colour: 1, place: 0 }, { id: "b", name: "two", colour: 0, place: 1 }];
const numbers = (values) => Float64Array.from(values);
const whole = (run, x, y) => ({ run, key: "k", whole: true, total: x.length, not_finite: 0, x: numbers(x), y: numbers(y), low: null, high: null });
const thinned = (run) => ({ ...whole(run, [4, 9], [2, 3]), whole: false, total: 100, low: numbers([1, 2]), high: numbers([5, 6]) });

test("a short series is one line over its steps, in the colour of its run, as SVG", () => {
  const [trace, ...more] = toTraces([whole("a", [0, 10], [1.5, 2])], RUNS, VIEW, COLOURS);
  assert.deepEqual(more, []);
  assert.deepEqual([[...trace.x], [...trace.y]], [[0, 10], [1.5, 2]]);
  assert.deepEqual([trace.type, trace.mode, trace.line.color], ["scatter", "lines", "rgb(1, 1, 1)"]);
});

test("lines stand in the order of the runs, bands behind all of them", () => {
  const traces = toTraces([thinned("b"), thinned("a")], RUNS, VIEW, COLOURS);
  assert.deepEqual(traces.map(({ uid }) => uid), ["behind0", "behind1", "line0", "line1"]);
});

test("the values themselves stay behind a smoothed line", () => {
  const [behind, line] = toTraces([whole("a", [0, 1], [0, 3])], RUNS, { ...VIEW, smooth: 0.5 }, COLOURS);
  assert.deepEqual([[...behind.y], [...line.y]], [[0, 3], [0, 2]]);
  assert.equal(behind.hoverinfo, "skip");
});

test("a run that is not shown has no trace", () => {
  assert.deepEqual(toTraces([whole("a", [0, 1], [0, 3])], RUNS.slice(1), VIEW, COLOURS), []);
});

for (const values of [[5], [NaN, 5, Infinity]]) {
  test(`a single value is a marker, since a line through it would be nothing (${values})`, () => {
    const [trace] = toTraces([whole("a", values.map((_, place) => place), values)], RUNS, VIEW, COLOURS);
    assert.equal(trace.mode, "markers");
  });
}

test("what is not finite is a gap in the line", () => {
  const [trace] = toTraces([whole("a", [0, 1, 2, 3, 4], [1, NaN, Infinity, -Infinity, 4])], RUNS, VIEW, COLOURS);
  assert.deepEqual([...trace.y], [1, NaN, NaN, NaN, 4]);
});

test("a band goes along the highest values and back along the lowest, once for each stretch", () => {
  const series = { x: numbers([0, 1, 2, 3]), low: numbers([1, 2, NaN, 4]), high: numbers([5, 6, NaN, 8]) };
  const made = band(series, axisOf("step"), false);
  assert.deepEqual(made, { x: [0, 1, 1, 0, 3, 3, 3], y: [5, 6, 2, 1, null, 8, 4] });
});

test("where a logarithm has no place for the lowest value the band is closed", () => {
  const series = { x: numbers([0, 1, 2]), low: numbers([-1, 2, -3]), high: numbers([5, 6, -2]) };
  assert.deepEqual(band(series, axisOf("step"), true).y, [5, 6, 2, 5]);
});

for (const [series, told] of [
  [[], "0 points"],
  [[whole("a", [1], [1])], "1 point"],
  [[whole("a", [1, 2], [1, 2])], "2 points"],
  [[{ ...thinned("a"), total: 50000 }], "50,000 points, 2 drawn"],
  [[{ ...whole("a", [1, 2], [1, NaN]), not_finite: 1 }], "2 points, 1 not finite"],
  [[whole("a", [1], [1]), { ...thinned("b"), not_finite: 3 }], "2 runs, 3 not finite"],
]) {
  test(`the heading says "${told}"`, () => assert.equal(summary(series), told));
}

test("a name is no markup to Plotly, and not too long", () => {
  assert.equal(label('<a href="x">&amp;</a>'), '&lt;a href="x"&gt;&amp;amp;&lt;/a&gt;');
  assert.equal(label("x".repeat(80)).length, 48);
});

test("the layout takes its colours from the page, and has no paper of its own", () => {
  const made = layout(VIEW, axisOf("step"), null, COLOURS);
  assert.deepEqual([made.xaxis.gridcolor, made.yaxis.tickfont.color, made.font.family], ["gray", "silver", "sans"]);
  assert.equal(made.paper_bgcolor, "rgba(0,0,0,0)");
  assert.equal(made.xaxis.autorange, true);
});

test("a range is shown as its axis draws it", () => {
  const made = layout({ ...VIEW, log: true }, axisOf("relative", "", 600_000), [60_000, 120_000], COLOURS);
  assert.deepEqual([made.xaxis.range, made.yaxis.type], [[1, 2], "log"]);
});

function recorder() {
  const [sent, due] = [[], []];
  const send = async (question, signal) => {
    sent.push({ question, signal });
    if (question.keys.includes("broken")) throw new Error("refused");
    return question.keys.map((key) => ({ key, run: "a" }));
  };
  return { sent, flush: () => due.splice(0).forEach((work) => work()), load: createSource(send, (work) => due.push(work)) };
}

const QUESTION = { runs: ["a"], axis: "step", from: null, to: null, buckets: 300 };
const waits = () => new AbortController().signal;

test("charts that come into view together are one request", async () => {
  const { sent, flush, load: ask } = recorder();
  const answers = [ask("x", QUESTION, waits()), ask("y", { ...QUESTION }, waits())];
  flush();
  assert.deepEqual((await Promise.all(answers)).map(([{ key }]) => key), ["x", "y"]);
  assert.deepEqual(sent.map(({ question }) => question.keys), [["x", "y"]]);
});

test("another range is another request, and so are more series than one request may bring", async () => {
  const { sent, flush, load: ask } = recorder();
  const many = { ...QUESTION, runs: Array.from({ length: 150 }, String) };
  const answers = [ask("x", QUESTION, waits()), ask("x", { ...QUESTION, from: 5 }, waits())];
  for (const key of "abc") answers.push(ask(key, many, waits()));
  flush();
  await Promise.all(answers);
  assert.deepEqual(sent.map(({ question }) => question.keys.join("")), ["x", "x", "ab", "c"]);
});

test("a request is given up when nobody waits for it, and not before", () => {
  const { sent, flush, load: ask } = recorder();
  const waiting = [new AbortController(), new AbortController()];
  waiting.forEach(({ signal }, place) => ask(`k${place}`, QUESTION, signal));
  flush();
  waiting[0].abort();
  assert.equal(sent[0].signal.aborted, false);
  waiting[1].abort();
  assert.equal(sent[0].signal.aborted, true);
});

test("who waits for what is refused is told why", async () => {
  const { flush, load: ask } = recorder();
  const answer = ask("broken", QUESTION, waits());
  flush();
  await assert.rejects(answer, /refused/);
});
