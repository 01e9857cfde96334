// What can be done with one chart: its menu, and the dialog in which it fills the window.
import { plotly } from "./plot.js";
import { saveCsv, savePicture, toCsv } from "./save.js";

/** The one menu that all charts share: it moves to the chart whose button was pressed. */
export function createMenu(menu, perform) {
  let [opener, chart] = [null, null];

  const close = () => {
    menu.hidden = true;
    opener?.setAttribute("aria-expanded", "false");
  };
  menu.addEventListener("click", ({ target }) => {
    const action = target.closest("[data-action]")?.dataset.action;
    if (!action) return;
    close();
    opener.focus();
    perform(action, chart);
  });
  menu.parentElement.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || menu.hidden) return;
    close();
    opener.focus();
  });
  for (const leaving of ["click", "focusin"]) {
    document.addEventListener(leaving, ({ target }) => {
      if (!menu.hidden && !menu.contains(target) && !opener.contains(target)) close();
    });
  }
  return (button, of) => {
    const again = opener === button && !menu.hidden;
    close();
    if (again) return;
    [opener, chart] = [button, of];
    button.after(menu);
    menu.hidden = false;
    button.setAttribute("aria-expanded", "true");
    menu.querySelector("button").focus();
  };
}

/** Shows a chart as large as the window; the card keeps its place. */
export function createDialog(dialog) {
  let chart = null;
  dialog.addEventListener("close", () => {
    chart.full = false;
    chart.card.append(chart.plot);
    chart.ask();
  });
  return (of) => {
    chart = of;
    dialog.querySelector("h2").textContent = chart.key;
    dialog.append(chart.plot);
    chart.full = true;
    dialog.showModal();
    chart.ask();
  };
}

export async function savedAs(action, chart, panel) {
  const drawing = chart.drawing();
  const names = new Map(panel.runs.map(({ id, name }) => [id, name]));
  if (action === "csv") return saveCsv(toCsv(drawing.shown, chart.key, panel.state.by || panel.state.axis, names), chart.key);
  return savePicture(await plotly(panel.plotly), drawing, chart.key, action, panel.colours.surface);
}
