// One metric of a run as a line. Fetched and drawn when it comes into view; drawn again when the theme changes.

/** @param {{steps: number[], values: (number|null)[]}} series */
export function toTraces({ steps, values }, colour) {
  const single = values.filter((value) => value !== null).length === 1;
  return [{
    type: "scatter",
    mode: single ? "markers" : "lines",
    x: steps,
    y: values,
    line: { color: colour, width: 1.6 },
    marker: { color: colour, size: 7 },
    hovertemplate: "step %{x}<br>%{y:.6g}<extra></extra>",
  }];
}

/** What the heading says beside the metric's name. */
export function summary({ steps, total, not_finite }) {
  const points = `${total.toLocaleString("en")} point${total === 1 ? "" : "s"}`;
  const shown = steps.length < total ? `, ${steps.length.toLocaleString("en")} drawn` : "";
  return points + shown + (not_finite ? `, ${not_finite} not finite` : "");
}

export function layout(colours) {
  const axis = { gridcolor: colours.line, zeroline: false, linecolor: colours.line, tickfont: { color: colours.faint, size: 10 } };
  return {
    margin: { t: 8, r: 8, b: 28, l: 46 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colours.font },
    xaxis: { ...axis, nticks: 6 },
    yaxis: { ...axis, nticks: 5 },
    hoverlabel: { bgcolor: colours.surface, bordercolor: colours.line, font: { color: colours.text, size: 12 } },
    showlegend: false,
  };
}

/** The colours of the page as it is now: light-dark() is resolved by asking for a real colour. */
function pageColours(element) {
  const probe = document.createElement("span");
  element.append(probe);
  const resolve = (token) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const colours = {
    accent: resolve("--c0"), line: resolve("--line"), faint: resolve("--faint"),
    surface: resolve("--surface"), text: resolve("--text"), font: getComputedStyle(element).fontFamily,
  };
  probe.remove();
  return colours;
}

let loading;

/** Plotly, loaded once and only by a page that draws something. */
function plotly(source) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => reject(new Error("Plotly was not loaded"));
    document.head.append(script);
  });
  return loading;
}

async function draw(element, canvas, series) {
  const library = await plotly(element.dataset.plotly);
  const colours = pageColours(element);
  const config = { responsive: true, displayModeBar: false, doubleClick: "reset" };
  return library.react(canvas, toTraces(series, colours.accent), layout(colours), config);
}

async function show(element) {
  try {
    const response = await fetch(element.dataset.src);
    if (!response.ok) throw new Error(String(response.status));
    const series = await response.json();
    element.parentElement.querySelector("small").textContent = summary(series);
    const canvas = document.createElement("div");
    element.replaceChildren(canvas);
    await draw(element, canvas, series);
    document.addEventListener("studio:theme", () => draw(element, canvas, series));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(element, canvas, series));
    element.dataset.drawn = "";
  } catch (failure) {
    element.textContent = `Could not load this chart (${failure.message}). Reload the page to try again.`;
  }
}

export function mount(element) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    show(element);
  }, { rootMargin: "200px" });
  observer.observe(element);
}
