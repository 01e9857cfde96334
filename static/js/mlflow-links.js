// MLflow's clients print links to MLflow's own pages ("/#/experiments/1/runs/…"): they lead to Studio's.

/** @returns {string} the path of Studio's page, or "" when the fragment names none */
export function toStudio(fragment) {
  const [, kind, first, second, third] = fragment.split("/");
  if (kind === "experiments" && second === "runs" && third) return `/runs/${third.split("?")[0]}/`;
  if (kind === "experiments" && /^\d+$/.test(first ?? "")) return `/experiments/${first}/`;
  if (kind === "models" && second === "versions" && /^\d+$/.test(third ?? "")) return `/models/${first}/versions/${third}/`;
  return kind === "models" && first ? `/models/${first}/` : "";
}

/** @returns {string} where to go after signing in: who was on the way to a page of MLflow's own UI wants that one */
export function afterSignIn(next, fragment) {
  return /^\/mlflow(\/|$)/.test(next) ? next + fragment : toStudio(fragment) || next;
}

export function mount(element) {
  if (element instanceof HTMLInputElement) {
    element.value = afterSignIn(element.value, location.hash);
    return;
  }
  const follow = () => {
    const path = toStudio(location.hash);
    if (path) location.replace(path);
  };
  addEventListener("hashchange", follow); // a link opened where this page already is
  follow();
}
