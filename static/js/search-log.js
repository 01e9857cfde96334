// Searches within a log: every place is marked and counted, Enter and Shift+Enter go from one to the next.
// The marks are the browser's own highlights, so the log itself is not touched.
const MOST = 5000; // places that are marked
const PAUSE = 120; // ms after the last key

/** Where in a text the words stand, whatever their case: [start, end) pairs. */
export function places(text, words) {
  if (!words) return [];
  const pattern = new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
  return [...text.matchAll(pattern)].map((found) => [found.index, found.index + found[0].length]);
}

/** The number of the place after or before the one at `at`, round and round; -1 where there is none. */
export function next(count, at, step) {
  if (!count) return -1;
  return at < 0 ? (step > 0 ? 0 : count - 1) : (at + step + count) % count;
}

export function told(count, at) {
  if (!count) return "none";
  return `${at + 1} of ${count}${count >= MOST ? "+" : ""}`;
}

export function mount(box) {
  const log = box.closest(".card").querySelector("pre.log");
  const [input, output] = [box.querySelector("input"), box.querySelector("output")];
  const buttons = [...box.querySelectorAll("button")];
  let [found, at, waiting] = [[], -1, 0];

  const draw = () => {
    const marks = globalThis.CSS?.highlights;
    marks?.set("log-found", new Highlight(...found));
    marks?.set("log-here", new Highlight(...(at < 0 ? [] : [found[at]])));
    output.textContent = input.value ? told(found.length, at) : "";
    for (const button of buttons) button.disabled = !found.length;
  };
  const scroll = () => {
    if (at < 0) return;
    const [place, frame] = [found[at].getBoundingClientRect(), log.getBoundingClientRect()];
    if (place.top < frame.top || place.bottom > frame.bottom) {
      log.scrollTop += place.top - frame.top - frame.height / 2;
    }
  };
  const look = () => {
    const here = found[at];
    found = [];
    for (const { firstChild: text } of log.children) {
      for (const [start, end] of text ? places(text.data, input.value) : []) {
        if (found.length < MOST) found.push(range(text, start, end));
      }
    }
    at = here ? found.findIndex((one) => one.startContainer === here.startContainer && one.startOffset === here.startOffset) : -1;
    draw();
  };
  const go = (step) => {
    at = next(found.length, at, step);
    draw();
    scroll();
  };
  const typed = () => {
    at = -1;
    look();
    const top = log.getBoundingClientRect().top;
    at = Math.max(found.findIndex((one) => one.getBoundingClientRect().top >= top), found.length ? 0 : -1);
    draw();
    scroll();
  };

  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(typed, PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      go(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      input.value = "";
      typed();
    }
  });
  for (const button of buttons) button.addEventListener("click", () => go(Number(button.dataset.step)));
  new MutationObserver(() => input.value && look()).observe(log, { childList: true });
}

function range(text, start, end) {
  const made = document.createRange();
  made.setStart(text, start);
  made.setEnd(text, end);
  return made;
}
