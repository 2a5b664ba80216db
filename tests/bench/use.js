// How each tool is used: for the how-manieth time, which event goes to which element.
// Required: what is looked up or set here is not part of the time that is taken.

window.benchUse = (() => {
  // Among the tokens at the top, which every tool has in sight.
  const token = (i) => (3 * i + 8) % 16;
  const region = () =>
    window.bench.find(
      '[role=region][aria-label="jtviz attention"]',
      document.querySelector(".jp-Notebook") ?? document,
    );

  const bertviz = {
    surface: () => null,
    root: () => document,
    layer(i) {
      const select = document.querySelector("#layer");
      select.value = String((i + 1) % select.options.length);
      return [select, "change"];
    },
    head: () => [document.querySelectorAll("#vis > svg > g:last-of-type > rect")[3], "click"],
    hover: (i) => [document.querySelectorAll("#left > g:last-of-type rect")[token(i)], "mouseover"],
  };

  // One layer is all that a page of CircuitsVis has. A head is seen alone rather than with others.
  const maps = () => document.querySelectorAll("canvas");
  const circuitsvis = {
    surface: () => [...maps()].at(-1) ?? null,
    root: () => document,
    layer: () => null,
    head: (i) => [maps()[3 + (i % 2)], "click"],
    hover(i) {
      const zoomed = [...maps()].at(-1);
      const { x, y, width, height } = zoomed.getBoundingClientRect();
      return [zoomed, "mousemove", { clientX: x + width * (0.2 + 0.04 * token(i)), clientY: y + height / 2 }];
    },
  };

  const within = (selector) => window.bench.find(selector, region().getRootNode());
  const jtviz = {
    surface: () => within("canvas"),
    root: () => region()?.getRootNode() ?? null,
    layer: (i) => [within("[role=slider]"), "keydown", { key: i % 22 < 11 ? "ArrowRight" : "ArrowLeft" }],
    head: () => [within("[data-head='3']"), "click"],
    hover: (i) => [within(`[data-side=query][data-index='${token(i)}']`), "pointerover"],
  };

  // What a frame takes in which nothing changes.
  const idle = () => [document.body, "benchidle"];

  return { bertviz, circuitsvis, idle, jtviz };
})();

// What a page draws in spite of an error counts; where it draws nothing, the error says why.
addEventListener("error", ({ message }) => {
  if (message && !message.startsWith("ResizeObserver")) window.benchError ??= message;
});

// Some pages are one long task until their first frame: look from the start.
if (location.protocol === "file:") {
  window.bench.painted().then((at) => {
    window.benchPaintedAt = at;
  });
}
