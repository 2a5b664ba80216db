// A small table of numbers, each row with its name first.

import { h } from "../core/dom";
import { number } from "../core/words";

export function figures(
  title: string,
  columns: readonly string[],
  rows: readonly (readonly [string, ...number[]])[],
  said: (value: number) => string = number,
): HTMLElement {
  const heads = columns.map((name) => h("th", { scope: "col" }, name));
  const lines = rows.map(([name, ...values]) =>
    h("tr", {}, h("th", { scope: "row" }, name), ...values.map((value) => h("td", {}, said(value)))),
  );
  return h(
    "table",
    { class: "figures" },
    h("caption", {}, title),
    h("thead", {}, h("tr", {}, h("td"), ...heads)),
    h("tbody", {}, ...lines),
  );
}
