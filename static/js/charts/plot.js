// Draws by Plotly, which is loaded once and only by a page that draws something.
let loading;

export function plotly(source) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => reject(new Error("Plotly was not loaded."));
    document.head.append(script);
  });
  return loading;
}

const CONFIG = { displayModeBar: false, doubleClick: false, showTips: false };
const sizes = new Map(); // of canvases, as last drawn
const watcher = globalThis.ResizeObserver && new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const size = `${contentRect.width} ${contentRect.height}`;
    const before = sizes.get(target);
    sizes.set(target, size);
    if (before && before !== size && contentRect.width) globalThis.Plotly.Plots.resize(target);
  }
});

/** A place to draw in. `on.zoom(ends)`: somebody has chosen a range of x, as it is drawn, or null for all of it;
 *  `on.hover(place)`: a run's place, or null. */
export function createCanvas(parent, on) {
  const canvas = document.createElement("div");
  parent.replaceChildren(canvas);
  let listening = false;

  return {
    canvas,
    async draw(library, traces, layout) {
      await library.react(canvas, traces, layout, CONFIG);
      if (listening) return;
      listening = true;
      watcher.observe(canvas);
      canvas.on("plotly_relayout", (change) => {
        if ("xaxis.range[0]" in change) on.zoom([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
      });
      canvas.on("plotly_doubleclick", () => on.zoom(null));
      canvas.on("plotly_hover", ({ points: [point] }) => on.hover(placeOf(point.fullData)));
      canvas.on("plotly_unhover", () => on.hover(null));
    },
    /** Makes one run's traces stand out; null: none. */
    light(place) {
      canvas.toggleAttribute("data-lit", place !== null);
      for (const trace of canvas.querySelectorAll(".scatterlayer .trace")) {
        trace.classList.toggle("lit", place !== null && [`traceline${place}`, `tracebehind${place}`].some((name) => trace.classList.contains(name)));
      }
    },
  };
}

function placeOf({ uid }) {
  return Number(uid.replace(/^\D+/, ""));
}

let queue = Promise.resolve();

/** Draws one after the other, and lets the page answer between two. */
export function inTurn(work) {
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  queue = queue.then(frame).then(work);
  return queue;
}
