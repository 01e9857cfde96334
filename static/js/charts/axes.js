// The x axes: how a number that Studio sends is drawn, and how a place in a drawing is told to Studio.
const UNITS = [[3_600_000, " h"], [60_000, " min"], [1000, " s"], [1, " ms"]];

/** @returns {{show: (x: number) => number, read: (drawn: number|string) => number, layout: object, told: string}}
 *  `told`: Plotly's template of a point's x. */
export function axisOf(axis, by, largest) {
  if (axis === "time") {
    return { show: local, read: fromLocal, layout: { type: "date" }, told: "%{x|%Y-%m-%d %H:%M:%S}" };
  }
  if (axis === "relative") {
    const [size, unit] = UNITS.find(([least]) => Math.abs(largest) >= 2 * least) ?? UNITS.at(-1);
    const layout = { type: "linear", ticksuffix: unit, showticksuffix: "all" };
    return { show: (x) => x / size, read: (drawn) => Number(drawn) * size, layout, told: `%{x:.4~g}${unit}` };
  }
  const told = axis === "metric" ? "%{x:.6~g}" : "step %{x:,}";
  return { show: Number, read: Number, layout: { type: "linear" }, told };
}

/** Plotly draws dates as if they were in UTC: those of the reader's own clock are moved there. */
function local(milliseconds) {
  return milliseconds - new Date(milliseconds).getTimezoneOffset() * 60_000;
}

/** Plotly tells dates as "2026-01-31 12:00:00.5": without a zone, such a text is read by the reader's clock. */
function fromLocal(drawn) {
  if (typeof drawn === "number") return drawn + new Date(drawn).getTimezoneOffset() * 60_000;
  const [day, time = "00:00"] = drawn.split(" ");
  return new Date(`${day}T${time.slice(0, 12)}`).getTime();
}
