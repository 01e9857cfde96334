// What the server sends for charts: a header of JSON, and after it the points of its series.

/** @typedef {{run: string, key: string, whole: boolean, total: number, not_finite: number,
 *  x: Float64Array, y: Float64Array, low: ?Float64Array, high: ?Float64Array}} Series
 *  `low` and `high`: the ends of the finite values of each bucket, where not all points were sent. */

const WIDTH = 8; // bytes of a number

/** @param {ArrayBuffer} buffer @returns {Series[]} */
export function decode(buffer) {
  const view = new DataView(buffer);
  const length = view.getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = Math.ceil((4 + length) / WIDTH) * WIDTH;
  return header.series.map(({ points, ...told }) => {
    const names = told.whole ? ["x", "y"] : ["x", "low", "high", "y"];
    const columns = names.map((_, place) => column(view, at + place * WIDTH, points, names.length * WIDTH));
    at += points * names.length * WIDTH;
    return { ...told, low: null, high: null, ...Object.fromEntries(names.map((name, place) => [name, columns[place]])) };
  });
}

function column(view, start, length, stride) {
  return Float64Array.from({ length }, (_, row) => view.getFloat64(start + row * stride));
}
