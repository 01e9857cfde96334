// Opens the palette by its button or Ctrl-K. The first thing found is chosen, arrows choose another, Enter goes there.
export function next(items, current, step) {
  if (!items.length) return null;
  const place = items.indexOf(current);
  return items[place === -1 ? (step > 0 ? 0 : items.length - 1) : (place + step + items.length) % items.length];
}

/** Marks one of the links as the one that Enter follows, and says so to screen readers, whose focus is in the input. */
export function choose(links, chosen, input) {
  for (const link of links) link.classList.toggle("chosen", link === chosen);
  if (chosen) input.setAttribute("aria-activedescendant", chosen.id);
  else input.removeAttribute("aria-activedescendant");
  chosen?.scrollIntoView({ block: "nearest" });
}

export function mount(button) {
  const dialog = document.getElementById("palette");
  const input = dialog.querySelector("input");
  const links = () => [...dialog.querySelectorAll("a")];
  const chosen = () => dialog.querySelector("a.chosen");
  const chooseFirst = () => choose(links(), links()[0], input);
  const open = () => {
    dialog.showModal();
    input.select();
    chooseFirst();
  };
  button.addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  // After it has settled: htmx first gives elements of the same id their former classes back.
  dialog.addEventListener("htmx:afterSettle", chooseFirst);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      input.focus();
      choose(links(), next(links(), chosen(), event.key === "ArrowDown" ? 1 : -1), input);
    } else if (event.key === "Enter" && document.activeElement === input) {
      event.preventDefault();
      chosen()?.click();
    }
  });
}
