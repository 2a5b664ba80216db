"""How long frames take in a page: `time(act, rounds, pause)`, and tasks that were long, `long`."""

FRAMES = """
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
  const long = [];
  new PerformanceObserver((list) => list.getEntries().forEach((e) => long.push(e.duration)))
    .observe({ entryTypes: ["longtask"] });
  const time = async (act, rounds, pause) => {
    const times = [];
    for (let i = 0; i < rounds; i++) {
      await sleep(pause);
      await frame();
      const start = performance.now();
      act(i);
      await frame();
      times.push(performance.now() - start);
    }
    return median(times);
  };
"""
