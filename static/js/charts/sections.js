// The cards of charts in their sections: made from the page's templates, those of a section when it is first opened.
import { grouped, isFound } from "./groups.js";

const OPEN = 3; // sections

/** @param {(card: HTMLElement, key: string) => void} made called for each card */
export function createSections(element, keys, made) {
  const place = element.querySelector("[data-sections]");
  const nothing = element.querySelector("[data-nothing]");
  const groups = grouped(keys);
  const sections = groups.map(([name, found], position) => {
    const section = copyOf(element.querySelector("template[data-section]"));
    section.querySelector("b").textContent = name || (groups.length > 1 ? "Without a prefix" : "Metrics");
    section.querySelector("small").textContent = found.length;
    const cards = new Map();
    const build = () => {
      if (cards.size) return;
      for (const key of found) {
        const card = cardOf(element.querySelector("template[data-chart]"), key);
        cards.set(key, card);
        section.querySelector(".charts").append(card);
        made(card, key);
      }
    };
    section.addEventListener("toggle", () => section.open && build());
    section.open = position < OPEN;
    place.append(section);
    return { section, found, cards, build };
  });

  return {
    /** Shows only the charts whose names hold this text. */
    find(text) {
      let shown = 0;
      for (const { section, found, cards, build } of sections) {
        const matching = new Set(found.filter((key) => isFound(key, text)));
        section.hidden = !matching.size;
        section.querySelector("small").textContent = text ? `${matching.size} of ${found.length}` : found.length;
        if (text && matching.size) {
          build();
          section.open = true;
        }
        for (const [key, card] of cards) card.hidden = !matching.has(key);
        shown += matching.size;
      }
      nothing.hidden = shown > 0;
    },
  };
}

function cardOf(template, key) {
  const card = copyOf(template);
  card.querySelector("h2 span").textContent = key;
  card.querySelector("h2 span").title = key;
  card.querySelector("button").setAttribute("aria-label", `What to do with the chart of ${key}`);
  const plot = card.querySelector(".plot");
  plot.dataset.name = key;
  plot.setAttribute("aria-label", `Chart of ${key}`);
  return card;
}

function copyOf(template) {
  return template.content.firstElementChild.cloneNode(true);
}
