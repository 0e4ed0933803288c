// How the page words numbers.

const utf8 = new TextEncoder();
const counts = new Intl.NumberFormat('en');

/* Browsers coarsen their clock, some to whole milliseconds: no figure is shown finer than the clock ticks. */
export const tickMs = (() => {
  let tick = Infinity;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    let now = start;
    while (now === start)
      now = performance.now();
    tick = Math.min(tick, now - start);
  }
  return tick;
})();
const decimals = tickMs > 0.5 ? 0 : tickMs > 0.05 ? 1 : 2;

/* The length of a string on the wire. */
export const byteLength = text => utf8.encode(text).length;

export const formatCount = count => counts.format(count);

export const formatBytes = count => `${counts.format(count)} B`;

export function formatMs(ms) {
  const step = 10 ** -decimals;

  if (ms < step / 2)
    return `< ${step.toFixed(decimals)} ms`;
  return `${ms.toFixed(ms >= 100 ? 0 : decimals)} ms`;
}
