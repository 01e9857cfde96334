// A button that puts its data-text on the clipboard, and says so: by its icon and its title, never by its width.
const SHOWN = 1200; // ms

export async function copy(text, clipboard = navigator.clipboard) {
  if (clipboard) return clipboard.writeText(text);
  // Plain HTTP on another machine has no clipboard interface: the old way still works.
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  area.style.position = "fixed"; // where the page is now: to select it must not scroll there
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  before?.focus({ preventScroll: true });
}

export function mount(button) {
  const title = button.title;
  const said = document.createElement("span"); // to who does not see the icon
  said.className = "visually-hidden";
  said.setAttribute("aria-live", "polite");
  button.append(said);
  const show = (copied) => {
    button.toggleAttribute("data-copied", copied);
    button.title = copied ? "Copied" : title;
    said.textContent = copied ? "Copied" : "";
  };
  button.addEventListener("click", async () => {
    await copy(button.dataset.text);
    show(true);
    setTimeout(show, SHOWN, false);
  });
}
