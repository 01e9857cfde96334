// A run's colour: the same wherever the run is shown, and the tokens as the page shows them now.
export const COLOURS = 8; // --c0 to --c7

/** Which of the colours a run has, by its id (FNV-1a). */
export function colourOf(id) {
  let hash = 0x811c9dc5;
  for (let place = 0; place < id.length; place += 1) hash = Math.imul(hash ^ id.charCodeAt(place), 0x01000193) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) % COLOURS;
}

/** @param {string} colour as a browser computes it, "rgb(1, 2, 3)" */
export function faded(colour, opacity) {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}

/** The colours of the page as it is now: light-dark() is resolved by asking for a real colour. */
export function pageColours(element) {
  const probe = document.createElement("span");
  element.append(probe);
  const resolve = (token) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const colours = {
    runs: Array.from({ length: COLOURS }, (_, place) => resolve(`--c${place}`)),
    line: resolve("--line"), faint: resolve("--faint"), surface: resolve("--surface"), text: resolve("--text"),
    font: getComputedStyle(element).fontFamily,
  };
  probe.remove();
  return colours;
}
