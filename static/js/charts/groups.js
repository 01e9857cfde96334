// Metrics in sections, by what stands before the first "/" of their keys.

/** @param {string[]} keys @returns {[string, string[]][]} sections and their keys by name, first what has no prefix */
export function grouped(keys) {
  const groups = groupBy(keys, (key) => (key.includes("/") ? key.slice(0, key.indexOf("/")) : ""));
  const order = new Intl.Collator("en", { numeric: true }).compare;
  return [...groups].sort(([one], [other]) => order(one, other)).map(([name, found]) => [name, found.toSorted(order)]);
}

/** Whether a chart is among those that are looked for: every word is a part of its name. */
export function isFound(key, text) {
  const name = key.toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => name.includes(word));
}

/** Map.groupBy, which browsers of 2023 lack. */
export function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (groups.has(key)) groups.get(key).push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
