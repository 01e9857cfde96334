// MLflow's clients print links to MLflow's own pages ("/#/experiments/1/runs/…"): they lead to Studio's.

/** @returns {string} the path of Studio's page, or "" when the fragment names none */
export function toStudio(fragment) {
  const [, kind, first, second, third] = fragment.split("/");
  if (kind === "experiments" && second === "runs" && third) return `/runs/${third.split("?")[0]}/`;
  if (kind === "experiments" && /^\d+$/.test(first ?? "")) return `/experiments/${first}/`;
  if (kind === "models" && second === "versions" && /^\d+$/.test(third ?? "")) return `/models/${first}/versions/${third}/`;
  return kind === "models" && first ? `/models/${first}/` : "";
}

export function mount(element) {
  const follow = () => {
    const path = toStudio(location.hash);
    if (!path) return;
    if (element instanceof HTMLInputElement) element.value = path; // signing in first: go there afterwards
    else location.replace(path);
  };
  addEventListener("hashchange", follow); // a link opened where this page already is
  follow();
}
