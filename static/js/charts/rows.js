// The rows of the run table beside its charts: a dot shows or hides a run, a pointer on the row brings its lines forward.

/** @param {ParentNode} page @param panel see panel.js @param on.toggle(id), on.hover(place or null) */
export function linkRows(page, panel, on) {
  const rows = new Map();
  for (const dot of page.querySelectorAll("[data-run]")) {
    const run = panel.runs.find(({ id }) => id === dot.dataset.run);
    if (!run) continue;
    dot.dataset.colour = run.colour;
    const row = dot.closest("tr");
    if (!row) continue; // the heading of the run's own page
    rows.set(run.place, row);
    dot.addEventListener("click", () => {
      dot.setAttribute("aria-pressed", String(panel.hidden.has(run.id)));
      on.toggle(run.id);
    });
    row.addEventListener("pointerenter", () => on.hover(run.place));
    row.addEventListener("pointerleave", () => on.hover(null));
    dot.addEventListener("focus", () => on.hover(run.place));
    dot.addEventListener("blur", () => on.hover(null));
  }
  return (place) => {
    for (const [at, row] of rows) row.classList.toggle("lit", at === place);
  };
}
