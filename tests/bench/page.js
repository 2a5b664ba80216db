// What every page is asked, whichever tool drew it. It is in the page before the page's own scripts.
// Required: the same questions, asked in the same way, of all tools; what is particular to one is in use.js.

window.bench = (() => {
  // The frame is handed to the compositor before the task after it starts.
  const endOfFrame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

  /** Every element below a root, those in shadow roots included. */
  function* everything(root = document) {
    for (const element of root.querySelectorAll("*")) {
      yield element;
      if (element.shadowRoot) yield* everything(element.shadowRoot);
    }
  }

  /** The first match below a root, also in shadow roots. */
  function find(selector, root = document) {
    for (const element of everything(root)) if (element.matches(selector)) return element;
    return null;
  }

  function pixels(canvas) {
    if (!canvas?.width || !canvas.height) return new Uint32Array();
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Uint32Array(data.buffer);
  }

  function differ(one, other) {
    if (one.length !== other.length) return true;
    for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return true;
    return false;
  }

  /** Whether marks are there: a line of an SVG, or a canvas of more than one colour. */
  function hasMarks(root = document) {
    for (const element of everything(root)) {
      if (element.localName === "line") return true;
      if (element.localName !== "canvas") continue;
      const image = pixels(element);
      if (image.length > 0 && differ(image, image.slice().fill(image[0]))) return true;
    }
    return false;
  }

  /** The time at which the first frame with marks had been painted and the next but one began. */
  async function painted(marks = hasMarks) {
    const frame = () => new Promise(requestAnimationFrame);
    do await frame();
    while (!marks());
    await frame();
    await frame();
    return performance.now();
  }

  function happen(target, type, options) {
    const Kind = { key: KeyboardEvent, poi: PointerEvent, mou: MouseEvent, cli: MouseEvent }[type.slice(0, 3)];
    target.dispatchEvent(new (Kind ?? Event)(type, { bubbles: true, composed: true, ...options }));
  }

  /**
   * Milliseconds from an event to the end of the frame that shows it, and of its handlers alone, and how
   * many frames that were; several times, for as long as `patience` lasts. `surface` is the canvas that
   * has to look different afterwards; where there is none, the next frame is taken to show it.
   */
  async function time(act, { rounds = 11, pause = 100, patience = 12_000, surface = () => null } = {}) {
    const began = performance.now();
    const times = [];
    while (times.length < rounds && (times.length === 0 || performance.now() - began < patience)) {
      const [target, type, options] = act(times.length) ?? [];
      if (!target) return times;
      await sleep(pause);
      await endOfFrame();
      const before = pixels(surface());
      await endOfFrame();
      const start = performance.now();
      happen(target, type, options);
      const handler = performance.now() - start;
      let took = 0;
      let frames = 0;
      do {
        await endOfFrame();
        took = performance.now() - start;
        frames++;
      } while (surface() && took < patience && !differ(before, pixels(surface())));
      times.push({ took, handler, frames });
    }
    return times;
  }

  /** The longest task of a walk through everything, in which no pixel is read. */
  async function longestTask(tool) {
    const long = [];
    const observer = new PerformanceObserver((list) => long.push(...list.getEntries()));
    observer.observe({ entryTypes: ["longtask"] });
    const times = {};
    for (const [name, rounds] of [["hover", 32], ["head", 12], ["layer", 22]]) {
      times[name] = await time(tool[name], { rounds, pause: 30 });
    }
    await sleep(200);
    observer.disconnect();
    return { longest: Math.max(0, ...long.map((entry) => entry.duration)), times };
  }

  return { everything, find, hasMarks, longestTask, painted, time };
})();
