// Imports a script of static/js as the ES module that browsers take it for, whatever Node thinks of ".js".
import { readFileSync } from "node:fs";

export function load(name) {
  const source = readFileSync(new URL(`../../static/js/${name}.js`, import.meta.url), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
}
