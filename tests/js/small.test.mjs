import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.mjs";

const { next } = await load("palette");
const { atEnd } = await load("follow-log");
const { other } = await load("theme");
const { copy } = await load("copy");
const elapsed = await load("elapsed");
const { afterSignIn, toStudio } = await load("mlflow-links");

test("the arrows walk through what the palette found, round and round", () => {
  const items = ["a", "b", "c"];
  assert.equal(next(items, "a", 1), "b");
  assert.equal(next(items, "c", 1), "a");
  assert.equal(next(items, "b", -1), "a");
  assert.equal(next(items, "a", -1), "c");
});

test("from the search box the arrows enter at the nearer end", () => {
  assert.equal(next(["a", "b", "c"], null, 1), "a");
  assert.equal(next(["a", "b", "c"], null, -1), "c");
});

test("where nothing was found the arrows lead nowhere", () => {
  assert.equal(next([], null, 1), null);
  assert.equal(next(["a"], "a", 1), "a");
});

test("a reader at the end of a log is kept there", () => {
  const log = { clientHeight: 300, scrollHeight: 1000 };
  assert.equal(atEnd({ ...log, scrollTop: 700 }), true);
  assert.equal(atEnd({ ...log, scrollTop: 661 }), true);
});

test("a reader who has scrolled up is left alone", () => {
  const log = { clientHeight: 300, scrollHeight: 1000 };
  assert.equal(atEnd({ ...log, scrollTop: 660 }), false);
  assert.equal(atEnd({ ...log, scrollTop: 0 }), false);
});

test("a log that is shorter than its box is at its end", () => {
  assert.equal(atEnd({ scrollTop: 0, clientHeight: 300, scrollHeight: 300 }), true);
});

test("the other theme is the one that is not shown", () => {
  assert.equal(other("dark"), "light");
  assert.equal(other("light"), "dark");
});

for (const [seconds, text] of [[0, "0 s"], [9.9, "9 s"], [59.99, "59 s"], [60, "1 min 0 s"], [3599, "59 min 59 s"], [7325, "2 h 2 min"]]) {
  test(`what has run for ${seconds} seconds says "${text}"`, () => assert.equal(elapsed.told(seconds), text));
}

test("a clock goes on from what the server said, and stops with its element", async () => {
  let now = 5000;
  const element = { dataset: { seconds: "61.5" }, isConnected: true, textContent: "" };
  const later = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (tick) => later.push(tick);
  elapsed.mount(element, { now: () => now });
  assert.equal(element.textContent, "1 min 1 s");
  now += 10_000;
  later.pop()();
  assert.equal(element.textContent, "1 min 11 s");
  element.isConnected = false;
  later.pop()();
  assert.deepEqual(later, []);
  globalThis.setTimeout = setTimeout;
});

test("the text goes to the clipboard as it is", async () => {
  const written = [];
  await copy("a\nb", { writeText: async (text) => written.push(text) });
  assert.deepEqual(written, ["a\nb"]);
});

const RUN = "0123456789abcdef0123456789abcdef";
for (const [fragment, path] of [
  [`#/experiments/1/runs/${RUN}`, `/runs/${RUN}/`],
  [`#/experiments/1/runs/${RUN}/artifacts`, `/runs/${RUN}/`],
  [`#/experiments/1/runs/${RUN}?tab=x`, `/runs/${RUN}/`],
  ["#/experiments/12", "/experiments/12/"],
  ["#/models/churn", "/models/churn/"],
  ["#/models/churn/versions/3", "/models/churn/versions/3/"],
  ["#/models/churn/versions/x", "/models/churn/"],
  ["#/experiments/x", ""],
  ["#/experiments/", ""],
  ["#/models/", ""],
  ["#/nowhere/1", ""],
  ["#main", ""],
  ["", ""],
]) {
  test(`a link of MLflow's to "${fragment}" leads to "${path}"`, () => assert.equal(toStudio(fragment), path));
}

for (const [next, fragment, path] of [
  ["/mlflow/", "#/experiments/1/traces", "/mlflow/#/experiments/1/traces"],
  ["/mlflow", "#/prompts", "/mlflow#/prompts"],
  ["/mlflow/", "", "/mlflow/"],
  ["/", "#/experiments/12", "/experiments/12/"],
  ["/models/", "#main", "/models/"],
  ["/models/", "", "/models/"],
  ["", "#/experiments/12", "/experiments/12/"],
  ["/mlflows/", "#/prompts", "/mlflows/"],
]) {
  test(`who was going to "${next}${fragment}" is at "${path}" after signing in`, () => {
    assert.equal(afterSignIn(next, fragment), path);
  });
}

test("a link of MLflow's never leads to another site", () => {
  for (const fragment of ["#//evil.example", "#/models//evil.example", "#/experiments/1/runs//evil.example"]) {
    assert.match(toStudio(fragment), /^$|^\/(runs|models|experiments)\//);
  }
});
