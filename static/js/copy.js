// A button that puts its data-text on the clipboard, and says so.
export async function copy(text, clipboard = navigator.clipboard) {
  if (clipboard) return clipboard.writeText(text);
  // Plain HTTP on another machine has no clipboard interface: the old way still works.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function mount(button) {
  button.addEventListener("click", async () => {
    await copy(button.dataset.text);
    const before = button.innerHTML;
    button.textContent = "Copied";
    setTimeout(() => { button.innerHTML = before; }, 1200);
  });
}
