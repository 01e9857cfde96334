// Finds [data-module] in the page and in what htmx puts into it, and mounts each module on its element.
const mounted = new WeakSet();

export async function mountAll(root) {
  const found = [...root.querySelectorAll("[data-module]")];
  if (root.matches?.("[data-module]")) found.unshift(root);
  for (const element of found) {
    if (mounted.has(element)) continue;
    mounted.add(element);
    const module = await MODULES[element.dataset.module]();
    module.mount(element);
  }
}

const MODULES = {
  charts: () => import("./charts/panel.js"),
  copy: () => import("./copy.js"),
  elapsed: () => import("./elapsed.js"),
  "follow-log": () => import("./follow-log.js"),
  live: () => import("./live.js"),
  menu: () => import("./menu.js"),
  "mlflow-links": () => import("./mlflow-links.js"),
  palette: () => import("./palette.js"),
  "search-log": () => import("./search-log.js"),
  slash: () => import("./slash.js"),
  submit: () => import("./submit.js"),
  theme: () => import("./theme.js"),
};

await mountAll(document.body);
document.documentElement.dataset.mounted = ""; // every control answers from now on
document.addEventListener("htmx:load", (event) => mountAll(event.detail.elt));
