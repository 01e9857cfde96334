// Opens the palette by its button or Ctrl-K; arrows walk through what it found, Enter goes there.
export function next(items, current, step) {
  if (!items.length) return null;
  const place = items.indexOf(current);
  return items[place === -1 ? (step > 0 ? 0 : items.length - 1) : (place + step + items.length) % items.length];
}

export function mount(button) {
  const dialog = document.getElementById("palette");
  const input = dialog.querySelector("input");
  const open = () => {
    dialog.showModal();
    input.select();
  };
  button.addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    const links = [...dialog.querySelectorAll("a")];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      next(links, document.activeElement, event.key === "ArrowDown" ? 1 : -1)?.focus();
    } else if (event.key === "Enter" && document.activeElement === input) {
      event.preventDefault();
      links[0]?.click();
    }
  });
}
