// Imports a script of static/js as the ES module that browsers take it for, whatever Node thinks of ".js".
import { readFileSync } from "node:fs";

const ROOT = new URL("../../static/js/", import.meta.url);

export function load(name) {
  return import(asData(new URL(`${name}.js`, ROOT)));
}

/** The script as a data: address, where "./other.js" would be next to nothing: what it imports is put into it. */
function asData(file) {
  const source = readFileSync(file, "utf8");
  const whole = source.replace(/(?<=^import .* from ")(\.\/[^"]+)(?=";$)/gm, (path) => asData(new URL(path, file)));
  return `data:text/javascript,${encodeURIComponent(whole)}`;
}
