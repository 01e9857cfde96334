// Switches between light and dark, and remembers it in a cookie that the server reads.
const YEAR = 60 * 60 * 24 * 365; // seconds

export function other(shown) {
  return shown === "dark" ? "light" : "dark";
}

export function mount(button, root = document.documentElement) {
  button.addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const theme = other(root.dataset.theme || system);
    root.dataset.theme = theme;
    document.cookie = `studio_theme=${theme}; path=/; max-age=${YEAR}; samesite=lax`;
    document.dispatchEvent(new Event("studio:theme"));
  });
}
