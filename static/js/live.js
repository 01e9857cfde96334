// A part of the page that asks for itself again and again (htmx), changed in place: what has the focus, is open,
// chosen or scrolled stays so, and nothing is drawn anew that has not changed. Nobody looks: nothing is asked.

/** Whether `old` can become `fresh` by changing it: the same element of the same thing. */
export function same(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return false;
  if (old.nodeType !== 1) return true;
  return old.id === fresh.id && old.getAttribute("data-module") === fresh.getAttribute("data-module");
}

export function morph(old, fresh) {
  if (old.nodeType !== 1) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  attributes(old, fresh);
  if (old.getAttribute("data-module") === "elapsed") return; // it counts by itself
  const names = new Set([...fresh.children].map(({ id }) => id));
  for (const child of [...old.children]) if (!names.has(child.id)) child.remove(); // gone, so nothing need move
  let here = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const known = child.id && (here?.id === child.id ? here : [...old.children].find(({ id }) => id === child.id));
    if (known && known !== here && same(known, child)) {
      old.insertBefore(known, here); // a thing with a name is known again wherever it went
      here = known;
    }
    if (here && same(here, child)) {
      morph(here, child);
      here = here.nextSibling;
    } else {
      old.insertBefore(child, here);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

function attributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (name !== "hx-swap-oob" && name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name); // who opened it closes it
  }
}

export function mount(part, htmx = window.htmx) {
  part.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target === part && document.hidden) event.preventDefault();
  });
  part.addEventListener("htmx:beforeSwap", (event) => {
    const { detail } = event;
    if (event.target !== part || !detail.shouldSwap || detail.isError) return;
    const told = document.createElement("template");
    told.innerHTML = detail.serverResponse;
    if (told.content.firstElementChild?.id !== part.id) return;
    detail.shouldSwap = false;
    const focused = document.activeElement;
    for (const fresh of [...told.content.children]) {
      const old = document.getElementById(fresh.id);
      if (old) morph(old, fresh);
    }
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
    htmx.process(part);
    part.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true, detail: { elt: part } }));
  });
}
