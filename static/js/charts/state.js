// How charts are looked at, as the address says it: it can be sent to others, and a reload keeps it.
export const AXES = ["step", "relative", "time"];
export const VIEWS = ["table", "both", "charts"];
const USUAL = { view: "both", axis: "step", by: "", smooth: 0, log: false, together: true, find: "" };

/** @param {URLSearchParams} query */
export function read(query) {
  const smooth = Number(query.get("smooth"));
  const by = query.get("by") ?? "";
  return {
    view: VIEWS.includes(query.get("view")) ? query.get("view") : USUAL.view,
    axis: by ? "metric" : AXES.includes(query.get("axis")) ? query.get("axis") : USUAL.axis,
    by,
    smooth: smooth > 0 && smooth <= 0.99 ? smooth : USUAL.smooth,
    log: query.get("log") === "1",
    together: query.get("together") !== "0",
    find: query.get("find") ?? "",
  };
}

/** Writes a state into a query, and leaves alone what else is there. */
export function write(state, query) {
  const told = {
    view: state.view,
    axis: state.axis === "metric" ? USUAL.axis : state.axis,
    by: state.by,
    smooth: state.smooth,
    log: state.log ? "1" : USUAL.log,
    together: state.together ? USUAL.together : "0",
    find: state.find,
  };
  for (const [name, value] of Object.entries(told)) {
    if (value === USUAL[name]) query.delete(name);
    else query.set(name, String(value));
  }
  return query;
}
