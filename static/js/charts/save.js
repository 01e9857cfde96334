// What is drawn, as a file.
import { label } from "./lines.js";

const MOST_NAMED = 24; // runs in a picture's legend
const SIZE = { width: 1200, height: 675 };

/** A name that every system takes for a file. */
export function fileName(key, ending) {
  return `${key.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) || "chart"}.${ending}`;
}

function cell(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The points of these series as CSV, one in a row. @param {Map<string, string>} names of runs, by their ids */
export function toCsv(series, key, axis, names) {
  const rows = [["run_id", "run", "metric", axis, "value", "lowest", "highest"]];
  for (const { run, x, y, low, high } of series) {
    for (let place = 0; place < x.length; place += 1) {
      rows.push([run, names.get(run), key, x[place], y[place], low?.[place] ?? "", high?.[place] ?? ""]);
    }
  }
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function save(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

export function saveCsv(text, key) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  save(address, fileName(key, "csv"));
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** @param {"png"|"svg"} format */
export async function savePicture(library, { traces, layout }, key, format, paper) {
  const named = traces.filter(({ hoverinfo }) => hoverinfo !== "skip").length <= MOST_NAMED;
  const picture = {
    data: traces.map((trace) => ({ ...trace })),
    layout: {
      ...layout, title: { text: label(key), font: { size: 16 } }, margin: { t: 48, r: 16, b: 40, l: 64 },
      paper_bgcolor: paper, plot_bgcolor: paper, showlegend: named,
    },
  };
  save(await library.toImage(picture, { format, ...SIZE, scale: format === "png" ? 2 : 1 }), fileName(key, format));
}
