// The controls of the charts, and the address that keeps what they say.
import { write } from "./state.js";

const OWN = ["view", "axis", "by", "smooth", "log", "together", "find"];

/** @param on.redraw, on.ask: what was drawn must be drawn anew, or fetched anew; on.find(text) */
export function linkControls(element, panel, keys, on) {
  const form = element.querySelector("form");
  const split = element.closest("[data-view]");
  const views = document.querySelectorAll("input[name=view]");
  const fields = form.elements;
  for (const key of keys) fields.by.append(new Option(key, key));

  const show = () => {
    const { state } = panel;
    for (const field of form.querySelectorAll("[name=axis]")) field.checked = field.value === state.axis;
    fields.by.value = state.by;
    fields.smooth.value = state.smooth;
    form.querySelector("output").textContent = state.smooth ? state.smooth.toFixed(2) : "off";
    fields.log.checked = state.log;
    fields.together.checked = state.together;
    for (const field of views) field.checked = field.value === state.view;
    if (split) split.dataset.view = state.view;
  };
  const change = (changes) => {
    Object.assign(panel.state, changes);
    show();
    keep(panel.state);
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target: { name, value, checked } }) => {
    if (name === "axis") change({ axis: value, by: "" });
    if (name === "by") change({ axis: value ? "metric" : "step", by: value });
    if (name === "smooth") change({ smooth: Number(value) });
    if (name === "log" || name === "together") change({ [name]: checked });
    if (name === "find") change({ find: value });
    if (name === "axis" || name === "by") on.ask();
    else if (name === "find") on.find(value.trim());
    else if (name !== "together") on.redraw();
  });
  for (const field of views) field.addEventListener("change", () => change({ view: field.value }));
  fields.find.value = panel.state.find;
  if (!keys.includes(panel.state.by)) Object.assign(panel.state, { by: "", axis: panel.state.axis === "metric" ? "step" : panel.state.axis });
  show();
  keepInLinks(panel.state);
  if (panel.state.find) on.find(panel.state.find);
}

function keep(state) {
  const address = new URL(location.href);
  address.search = write(state, address.searchParams);
  history.replaceState(history.state, "", address);
  keepInLinks(state);
}

/** Links and forms that change the table keep how the charts are looked at. */
function keepInLinks(state) {
  for (const link of document.querySelectorAll("main a[href]")) {
    const here = link.origin === location.origin && link.pathname === location.pathname && !link.hash;
    if (here) link.search = write(state, new URLSearchParams(link.search));
  }
  const form = document.querySelector("form.filters");
  if (!form) return;
  const told = write(state, new URLSearchParams());
  for (const name of OWN) form.querySelector(`input[type=hidden][name=${name}]`)?.remove();
  for (const [name, value] of told) form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
}
