import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.mjs";

const follow = await load("follow-log");
const search = await load("search-log");
const { same } = await load("live");

test("of a log that is followed the beginning is dropped, of one that is read nothing", () => {
  assert.equal(follow.surplus(follow.MOST + 7, true), 7);
  assert.equal(follow.surplus(follow.MOST, true), 0);
  assert.equal(follow.surplus(follow.MOST + 7, false), 0);
});

const here = { working: true, following: true, hidden: false, lines: 10 };
for (const [what, given, looks] of [
  ["while work goes on", {}, true],
  ["while work goes on and the reader has scrolled up", { following: false }, true],
  ["of a live one that nobody follows", { working: false, following: false }, false],
  ["of a live one that is followed", { working: false }, true],
  ["while nobody looks", { hidden: true }, false],
  ["when who has scrolled up has twice as much below", { following: false, lines: 2 * follow.MOST }, false],
  ["when who follows has as much", { lines: 2 * follow.MOST }, true],
]) {
  test(`${looks ? "new" : "no"} lines are asked for ${what}`, () => {
    assert.equal(follow.looks({ ...here, ...given }), looks);
  });
}

test("the button says what it does, and what was missed", () => {
  assert.equal(follow.label(true, 0), "Pause");
  assert.equal(follow.label(false, 0), "Follow");
  assert.equal(follow.label(false, 12), "Follow · 12 new");
});

test("the line that failed stands in the middle of the log", () => {
  const log = { offsetTop: 1000, clientHeight: 300 };
  assert.equal(follow.middle(log, { offsetTop: 3000, offsetHeight: 20 }), 1860);
  assert.equal(follow.middle(log, { offsetTop: 1010, offsetHeight: 20 }), 0);
});

for (const [text, words, places] of [
  ["an error, an Error, ERROR", "error", [[3, 8], [13, 18], [20, 25]]],
  ["aaa", "aa", [[0, 2]]],
  ["a.c abc a+c", "a.c", [[0, 3]]],
  ["$1 (x) [y] \\z {2} ^ | ?*", "[y] \\z {2} ^ | ?*", [[7, 24]]],
  ["İstanbul hata", "hata", [[9, 13]]],
  ["", "x", []],
  ["anything", "", []],
]) {
  test(`"${words}" is found in "${text}" at ${JSON.stringify(places)}`, () => {
    assert.deepEqual(search.places(text, words), places);
  });
}

test("from one place found to the next, round and round", () => {
  assert.equal(search.next(3, 0, 1), 1);
  assert.equal(search.next(3, 2, 1), 0);
  assert.equal(search.next(3, 0, -1), 2);
  assert.equal(search.next(3, -1, 1), 0);
  assert.equal(search.next(3, -1, -1), 2);
  assert.equal(search.next(0, -1, 1), -1);
});

test("what was found is counted", () => {
  assert.equal(search.told(17, 2), "3 of 17");
  assert.equal(search.told(5000, 0), "1 of 5000+");
  assert.equal(search.told(0, -1), "none");
});

test("a part of the page becomes another only if it is of the same thing", () => {
  const element = (nodeName, id = "", module = null) => ({ nodeType: 1, nodeName, id, getAttribute: () => module });
  assert.equal(same(element("TR", "a"), element("TR", "a")), true);
  assert.equal(same(element("TR", "a"), element("TR", "b")), false);
  assert.equal(same(element("TD"), element("TH")), false);
  assert.equal(same(element("SPAN", "", "elapsed"), element("SPAN")), false);
  assert.equal(same({ nodeType: 3, nodeName: "#text" }, { nodeType: 3, nodeName: "#text" }), true);
});
