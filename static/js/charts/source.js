// Asks for the series of charts: those that come into view together are asked for together.
import { groupBy } from "./groups.js";
import { decode } from "./wire.js";

const TOGETHER = 16; // ms
const MOST = 300; // series of one request: the first charts are not to wait for the last, nor others for all of them

/** @param {(question: object, signal: AbortSignal) => Promise<Series[]>} send
 *  @returns a function (key, question, signal) that promises the series of one metric. `question`: runs, axis, by, from, to,
 *  buckets. A request that nobody waits for any more is given up. */
export function createSource(send, later = (work) => setTimeout(work, TOGETHER)) {
  let waiting = [];

  const flush = () => {
    const asked = groupBy(waiting, ({ question }) => JSON.stringify(question));
    waiting = [];
    for (const members of asked.values()) askInTurn(send, members);
  };
  return (key, question, signal) => new Promise((resolve, reject) => {
    if (!waiting.length) later(flush);
    waiting.push({ key, question, signal, resolve, reject });
  });
}

async function askInTurn(send, members) {
  const most = Math.max(1, Math.floor(MOST / members[0].question.runs.length));
  for (let start = 0; start < members.length; start += most) await ask(send, members.slice(start, start + most));
}

async function ask(send, members) {
  const controller = new AbortController();
  const check = () => members.every(({ signal }) => signal.aborted) && controller.abort();
  for (const { signal } of members) signal.addEventListener("abort", check);
  check();
  try {
    const keys = [...new Set(members.map(({ key }) => key))];
    const found = await send({ ...members[0].question, keys }, controller.signal);
    const byKey = groupBy(found, ({ key }) => key);
    for (const { key, resolve } of members) resolve(byKey.get(key) ?? []);
  } catch (failure) {
    for (const { reject } of members) reject(failure);
  } finally {
    for (const { signal } of members) signal.removeEventListener("abort", check);
  }
}

/** Sends a question to Studio. Throws an Error that says why there is no answer. */
export function sender(address, token) {
  return async (question, signal) => {
    const headers = { "Content-Type": "application/json", "X-CSRFToken": token, "HX-Request": "true" };
    const response = await fetch(address, { method: "POST", headers, body: JSON.stringify(question), signal });
    if (!response.ok) throw new Error(await reason(response));
    return decode(await response.arrayBuffer());
  };
}

/** What a refused request says: Studio answers with a fragment of HTML, for which the header HX-Request asks. */
async function reason(response) {
  const told = new DOMParser().parseFromString(await response.text(), "text/html").body.textContent.trim();
  return told.length < 300 ? told : `Studio answered ${response.status}.`;
}
