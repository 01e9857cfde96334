// Adds a log's new lines while its deployment is on its way, and stays at the end if the reader is there.
const PAUSE = 700; // ms

export function atEnd({ scrollTop, clientHeight, scrollHeight }) {
  return scrollHeight - scrollTop - clientHeight < 40;
}

export function mount(log) {
  log.scrollTop = log.scrollHeight;
  let after = log.dataset.after;
  const look = async () => {
    if (!log.isConnected) return;
    try {
      const source = new URL(log.dataset.src, location.href);
      source.searchParams.set("after", after);
      const response = await fetch(source);
      if (!response.ok) throw new Error(String(response.status));
      const news = await response.json();
      const following = atEnd(log);
      if (news.lines.length) log.append(`${news.lines.join("\n")}\n`);
      if (following) log.scrollTop = log.scrollHeight;
      after = news.after;
      if (news.settled) return;
    } catch {
      // Studio may be starting again: the next look tells.
    }
    setTimeout(look, PAUSE);
  };
  if (!("settled" in log.dataset)) setTimeout(look, PAUSE);
}
