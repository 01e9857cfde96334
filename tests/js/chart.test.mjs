import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.mjs";

const { layout, summary, toTraces } = await load("chart");
const COLOURS = { line: "gray", faint: "silver", font: "sans", surface: "white", text: "black" };

test("a series is one line over its steps, in the colour of the page", () => {
  const [trace, ...more] = toTraces({ steps: [0, 10], values: [1.5, 2] }, "rebeccapurple");
  assert.deepEqual(more, []);
  assert.deepEqual([trace.x, trace.y], [[0, 10], [1.5, 2]]);
  assert.equal(trace.mode, "lines");
  assert.equal(trace.line.color, "rebeccapurple");
});

test("it is drawn as SVG: WebGL is silent under the content policy", () => {
  assert.equal(toTraces({ steps: [0, 1], values: [1, 2] }, "red")[0].type, "scatter");
});

test("a single point is a marker, since a line through it would be nothing", () => {
  for (const values of [[5], [null, 5, null]]) {
    const steps = values.map((_, place) => place);
    assert.equal(toTraces({ steps, values }, "red")[0].mode, "markers");
  }
});

test("what is not finite is a gap in the line", () => {
  const [trace] = toTraces({ steps: [0, 1, 2, 3], values: [1, null, 3, 4] }, "red");
  assert.deepEqual(trace.y, [1, null, 3, 4]);
  assert.equal(trace.mode, "lines");
});

test("a series without points is drawn empty", () => {
  assert.deepEqual(toTraces({ steps: [], values: [] }, "red")[0].x, []);
});

for (const [series, told] of [
  [{ steps: [], total: 0, not_finite: 0 }, "0 points"],
  [{ steps: [1], total: 1, not_finite: 0 }, "1 point"],
  [{ steps: [1, 2], total: 2, not_finite: 0 }, "2 points"],
  [{ steps: Array(1996), total: 50000, not_finite: 0 }, "50,000 points, 1,996 drawn"],
  [{ steps: [1, 2], total: 2, not_finite: 1 }, "2 points, 1 not finite"],
]) {
  test(`the heading says "${told}"`, () => assert.equal(summary(series), told));
}

test("the layout takes its colours from the page, and has no paper of its own", () => {
  const made = layout(COLOURS);
  assert.equal(made.xaxis.gridcolor, "gray");
  assert.equal(made.yaxis.tickfont.color, "silver");
  assert.equal(made.hoverlabel.font.color, "black");
  assert.equal(made.font.family, "sans");
  assert.equal(made.paper_bgcolor, "rgba(0,0,0,0)");
  assert.equal(made.showlegend, false);
});

test("the axes do not share an object that Plotly writes into", () => {
  const made = layout(COLOURS);
  assert.notEqual(made.xaxis, made.yaxis);
});
