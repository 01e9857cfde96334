// Adds a log's new lines while its deployment is on its way, or as long as the reader follows it. Who scrolls up
// or presses Pause is left where he is; who scrolls to the end or presses Follow is kept there.
const BUSY = 700; // ms between two looks while something is on its way
const CALM = 2000; // ms, of a log that may go on
export const MOST = 5000; // lines in the page: more make it slow

export function atEnd({ scrollTop, clientHeight, scrollHeight }) {
  return scrollHeight - scrollTop - clientHeight < 40;
}

/** How many of the first lines to drop: none under the eyes of who reads them. */
export function surplus(lines, following) {
  return following ? Math.max(0, lines - MOST) : 0;
}

/** Whether to look for new lines now. Who reads an old place gets as many as the page can bear. */
export function looks({ working, following, hidden, lines }) {
  return !hidden && (following || (working && lines < 2 * MOST));
}

/** What the button says. */
export function label(following, missed) {
  if (following) return "Pause";
  return missed ? `Follow · ${missed} new` : "Follow";
}

export function line(text, mark) {
  const span = document.createElement("span");
  span.textContent = `${text}\n`;
  if (mark) span.className = mark;
  return span;
}

/** Where to scroll a log to, so that one of its lines stands in its middle. */
export function middle(log, { offsetTop, offsetHeight }) {
  return Math.max(0, offsetTop - log.offsetTop - (log.clientHeight - offsetHeight) / 2);
}

export function mount(log) {
  const card = log.closest(".card");
  const [button, cut] = [card.querySelector("[data-follow]"), card.querySelector("[data-cut]")];
  const error = log.querySelector("#error");
  let { after } = log.dataset;
  let working = !("settled" in log.dataset);
  let [following, missed] = [working, 0];

  const show = () => {
    if (!button) return;
    button.toggleAttribute("data-on", following);
    button.lastElementChild.textContent = label(following, missed);
  };
  const follow = (wanted) => {
    following = wanted;
    missed = 0;
    if (following) log.scrollTop = log.scrollHeight;
    show();
  };
  const add = ({ lines, marks }) => {
    log.append(...lines.map((text, place) => line(text, marks[place])));
    if (!following) missed += lines.length;
    const dropped = surplus(log.children.length, following);
    for (let count = dropped; count > 0; count -= 1) log.firstElementChild.remove();
    if (dropped) cut.hidden = false;
    if (following) log.scrollTop = log.scrollHeight;
  };
  const look = async () => {
    if (!log.isConnected) return;
    let over = false;
    if (looks({ working, following, hidden: document.hidden, lines: log.children.length })) {
      try {
        const source = new URL(log.dataset.src, location.href);
        source.searchParams.set("after", after);
        const response = await fetch(source);
        if (!response.ok) throw new Error(String(response.status));
        const news = await response.json();
        after = news.after;
        add(news);
        over = news.over;
        if (working && news.settled) [working, following] = [false, false];
        show();
      } catch {
        // Studio may be starting again: the next look tells.
      }
    }
    if (over && button) button.hidden = true;
    if (!over) setTimeout(look, working ? BUSY : CALM);
  };

  log.scrollTop = error ? middle(log, error) : log.scrollHeight;
  if ("over" in log.dataset) return;
  button.addEventListener("click", () => follow(!following));
  log.addEventListener("scroll", () => {
    const end = atEnd(log);
    if (following && !end) follow(false);
    else if (!following && end && working) follow(true);
  });
  show();
  setTimeout(look, working ? BUSY : CALM);
}
