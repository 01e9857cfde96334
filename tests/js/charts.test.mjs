import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.mjs";

const { decode } = await load("charts/wire");
const { smooth } = await load("charts/smooth");
const { COLOURS, colourOf, faded } = await load("charts/colours");
const { grouped, isFound } = await load("charts/groups");
const { read, write } = await load("charts/state");
const { axisOf } = await load("charts/axes");
const { fileName, toCsv } = await load("charts/save");

/** The bytes of an answer, as the server writes them. */
function packed(series, numbers) {
  const header = new TextEncoder().encode(JSON.stringify({ series }));
  const start = Math.ceil((4 + header.length) / 8) * 8;
  const bytes = new Uint8Array(start + numbers.length * 8).fill(32);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, start - 4);
  bytes.set(header, 4);
  numbers.forEach((number, place) => view.setFloat64(start + place * 8, number));
  return bytes.buffer;
}

test("series are read one after the other: pairs of a whole one, four numbers of each bucket of another", () => {
  const told = [
    { run: "a", key: "größe 🚀", whole: true, points: 2, total: 2, not_finite: 2 },
    { run: "b", key: "x", whole: false, points: 1, total: 9, not_finite: 0 },
  ];
  const [whole, thinned, ...more] = decode(packed(told, [0, NaN, 1, -Infinity, 7, -1.5, 2.5, 0.25]));
  assert.deepEqual(more, []);
  assert.deepEqual([[...whole.x], [...whole.y], whole.low, whole.key], [[0, 1], [NaN, -Infinity], null, "größe 🚀"]);
  assert.deepEqual([thinned.x, thinned.low, thinned.high, thinned.y].map(([only]) => only), [7, -1.5, 2.5, 0.25]);
  assert.deepEqual([thinned.run, thinned.total], ["b", 9]);
});

for (const name of ["", "a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg"]) {
  test(`the points are found behind a header of any length (${name.length})`, () => {
    const [one] = decode(packed([{ run: name, key: "k", whole: true, points: 1, total: 1, not_finite: 0 }], [3, 4]));
    assert.deepEqual([one.x[0], one.y[0]], [3, 4]);
  });
}

test("no series is an empty answer", () => assert.deepEqual(decode(packed([], [])), []));

test("a smoothed line starts where the line starts, and not near 0", () => {
  assert.deepEqual([...smooth([5, 5, 5], 0.9)].map((value) => value.toFixed(9)), ["5.000000000", "5.000000000", "5.000000000"]);
});

test("each value counts as its age says", () => {
  const [, second] = smooth([0, 3], 0.5);
  assert.equal(second, 2); // (0 * 1/4 + 3 * 1/2) / (3/4)
});

test("what is not finite is a gap of a smoothed line, and spoils nothing after it", () => {
  const [, gap, infinite, last] = smooth([1, NaN, Infinity, 1], 0.6);
  assert.deepEqual([gap, infinite], [NaN, NaN]);
  assert.ok(Math.abs(last - 1) < 1e-12);
});

test("a run has one colour of the palette, and runs share them out", () => {
  const ids = Array.from({ length: 800 }, (_, place) => place.toString(16).padStart(32, "0"));
  const counts = Array(COLOURS).fill(0);
  for (const id of ids) counts[colourOf(id)] += 1;
  assert.equal(counts.length, COLOURS);
  assert.ok(counts.every((count) => count > 60 && count < 140), String(counts));
  assert.equal(colourOf("0123456789abcdef"), colourOf("0123456789abcdef"));
});

test("a colour fades", () => assert.equal(faded("rgb(1, 2, 3)", 0.25), "rgba(1, 2, 3, 0.25)"));

test("metrics are in sections by what stands before the first slash", () => {
  assert.deepEqual(grouped(["val/a", "loss", "train/x/10", "train/x/9", "/odd", "val/b"]), [
    ["", ["/odd", "loss"]], ["train", ["train/x/9", "train/x/10"]], ["val", ["val/a", "val/b"]],
  ]);
});

test("names that objects have of their own are names like others", () => {
  assert.deepEqual(grouped(["__proto__/a", "constructor"]), [["", ["constructor"]], ["__proto__", ["__proto__/a"]]]);
});

for (const [key, text, found] of [["val/Loss", "loss VAL", true], ["val/Loss", "acc", false], ["a.b*", ".b*", true], ["x", "", true]]) {
  test(`"${text}" ${found ? "finds" : "does not find"} "${key}"`, () => assert.equal(isFound(key, text), found));
}

test("what the address says is what the address is told", () => {
  const address = "filter=a%3D1&view=charts&axis=time&smooth=0.6&log=1&together=0&find=val";
  const state = read(new URLSearchParams(address));
  assert.deepEqual(state, { view: "charts", axis: "time", by: "", smooth: 0.6, log: true, together: false, find: "val" });
  assert.equal(write(state, new URLSearchParams("filter=a%3D1")).toString(), address);
});

test("a metric as the axis is kept by its name", () => {
  const state = read(new URLSearchParams("by=train%2Flr&axis=time"));
  assert.deepEqual([state.axis, state.by], ["metric", "train/lr"]);
  assert.equal(write(state, new URLSearchParams()).toString(), "by=train%2Flr");
});

test("nonsense in the address is as if it said nothing", () => {
  const usual = read(new URLSearchParams());
  assert.deepEqual(read(new URLSearchParams("view=x&axis=y&smooth=7&log=yes")), usual);
  assert.equal(write(usual, new URLSearchParams("axis=time&smooth=0.5")).toString(), "");
});

test("time is drawn by the reader's clock, and a drawn range is told in the world's", () => {
  const axis = axisOf("time", "", 0);
  const moment = Date.UTC(2026, 6, 1, 12, 30, 15, 250);
  const here = new Date(moment);
  const drawn = new Date(axis.show(moment));
  assert.deepEqual([drawn.getUTCHours(), drawn.getUTCMinutes()], [here.getHours(), here.getMinutes()]);
  const pad = (number, width = 2) => String(number).padStart(width, "0");
  const day = `${here.getFullYear()}-${pad(here.getMonth() + 1)}-${pad(here.getDate())}`;
  const text = `${day} ${pad(here.getHours())}:${pad(here.getMinutes())}:${pad(here.getSeconds())}.2503`;
  assert.equal(axis.read(text), moment);
  assert.equal(axis.read(axis.show(moment)), moment);
});

for (const [largest, unit, drawn] of [[500, " ms", 500], [5000, " s", 5], [300_000, " min", 5], [36_000_000, " h", 10]]) {
  test(`${largest} ms after the run began is drawn as ${drawn}${unit}`, () => {
    const axis = axisOf("relative", "", largest);
    assert.deepEqual([axis.show(largest), axis.layout.ticksuffix, axis.read(drawn)], [drawn, unit, largest]);
  });
}

test("a file of values says of each point whose it is", () => {
  const series = [
    { run: "r1", x: [0, 1], y: [0.5, NaN], low: null, high: null },
    { run: "r2", x: [9], y: [2], low: [1], high: [3] },
  ];
  const names = new Map([["r1", 'a "b", c'], ["r2", "two\nlines"]]);
  assert.equal(toCsv(series, "val/loss", "step", names), [
    "run_id,run,metric,step,value,lowest,highest",
    'r1,"a ""b"", c",val/loss,0,0.5,,', 'r1,"a ""b"", c",val/loss,1,NaN,,', 'r2,"two\nlines",val/loss,9,2,1,3', "",
  ].join("\r\n"));
});

for (const [key, name] of [["val/loss", "val_loss.csv"], ["../../x", ".._.._x.csv"], ["größe 🚀", "größe_.csv"], ["", "chart.csv"]]) {
  test(`a file of "${key}" is called "${name}"`, () => assert.equal(fileName(key, "csv"), name));
}
