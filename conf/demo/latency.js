// Latencies: their figures and their picture (an SVG: one dot a message, and a histogram beside it).

import { formatCount, formatMs, tickMs } from './format.js';

/* samples: milliseconds, may have holes. Returns null when there is none. */
export function latencyFigures(samples) {
  const sorted = samples.filter(() => true).sort((a, b) => a - b);

  if (sorted.length === 0)
    return null;
  // nearest rank: always a latency that was really measured
  const at = part => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)];
  return { count: sorted.length, min: sorted[0], median: at(0.5), p95: at(0.95), max: sorted[sorted.length - 1] };
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find(factor => factor * power >= rough * 0.999) * power;
}

function svgElement(name, attributes, text) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes))
    element.setAttribute(key, value);
  if (text !== undefined)
    element.textContent = text;
  return element;
}

const MARGIN = { top: 26, right: 12, bottom: 26, left: 48 };

export class LatencyPlot {
  #svg;
  #read;
  #samples = [];
  #figures = null;
  #scale = null;
  #cursor = null;

  /* read: the element that tells the dot under the pointer. */
  constructor(svg, read) {
    this.#svg = svg;
    this.#read = read;
    new ResizeObserver(() => this.#draw()).observe(svg.parentElement);
    svg.addEventListener('pointermove', event => this.#point(event));
    svg.addEventListener('pointerdown', event => this.#point(event));
    svg.addEventListener('pointerleave', () => this.#unpoint());
  }

  /* Returns how many dots lie above the picture's scale. */
  show(samples, figures) {
    this.#samples = samples;
    this.#figures = figures;
    this.#svg.dataset.points = figures.count;
    this.#svg.setAttribute('aria-label', `Latencies of ${figures.count} messages: least ${formatMs(figures.min)}, ` +
      `median ${formatMs(figures.median)}, 95th percentile ${formatMs(figures.p95)}, most ${formatMs(figures.max)}`);
    return this.#draw();
  }

  #draw() {
    const figures = this.#figures;
    const { width, height } = this.#svg.parentElement.getBoundingClientRect();
    const plotHeight = height - MARGIN.top - MARGIN.bottom;
    const inner = width - MARGIN.left - MARGIN.right;

    this.#unpoint();
    this.#svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    if (figures === null || inner < 80 || plotHeight < 40)
      return 0;

    // A few stragglers must not press all others flat: what is far above the rest is drawn on the top edge.
    const highest = Math.max(figures.max > 3 * figures.p95 ? 2 * figures.p95 : figures.max, 2 * tickMs);
    const step = niceStep(highest / 4);
    const top = Math.ceil(highest / step - 0.001) * step;
    const barWidth = Math.min(110, inner * 0.16);
    const dotWidth = inner - barWidth - 14;
    const length = Math.max(this.#samples.length - 1, 1);
    const x = number => MARGIN.left + 6 + (this.#samples.length === 1 ? 0.5 : number / length) * (dotWidth - 12);
    const y = ms => MARGIN.top + plotHeight * (1 - Math.min(ms, top) / top);
    const bottom = y(0);
    const dotEnd = MARGIN.left + dotWidth;
    this.#scale = { x, y, top, dotWidth };

    const parts = [];
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 0.001));
    for (let ms = 0; ms < top + step / 2; ms += step) {
      parts.push(svgElement('path', { class: 'grid', d: `M${MARGIN.left} ${y(ms)}H${width - MARGIN.right}` }));
      parts.push(svgElement('text', { x: MARGIN.left - 8, y: y(ms) + 4, 'text-anchor': 'end' }, ms.toFixed(digits)));
    }
    parts.push(svgElement('text', { x: MARGIN.left - 8, y: 14, 'text-anchor': 'end' }, 'ms'));
    parts.push(svgElement('text', { x: MARGIN.left + 6, y: height - 8 }, '1'));
    parts.push(svgElement('text', { x: dotEnd - 6, y: height - 8, 'text-anchor': 'end' },
      `message ${formatCount(this.#samples.length)}`));

    let dots = '';
    let triangles = '';
    let above = 0;
    this.#samples.forEach((ms, number) => {
      if (ms <= top) {
        dots += `M${x(number).toFixed(1)} ${y(ms).toFixed(1)}h0`;
      } else {
        triangles += `M${(x(number) - 4).toFixed(1)} ${MARGIN.top + 1}h8l-4 -8z`;
        above += 1;
      }
    });
    parts.push(...this.#levelLines(y, dotEnd));
    parts.push(svgElement('path', { class: this.#samples.length > 1500 ? 'dots many' : 'dots', d: dots }));
    parts.push(svgElement('path', { class: 'above', d: triangles }));
    parts.push(this.#bars(plotHeight, top, bottom, dotEnd + 14, barWidth));
    parts.push(...this.#levelWords(y, dotEnd));

    this.#cursor = svgElement('circle', { class: 'cursor', r: 6, visibility: 'hidden' });
    this.#svg.replaceChildren(...parts, this.#cursor);
    return above;
  }

  #bars(plotHeight, top, bottom, left, width) {
    const bins = new Array(Math.min(40, Math.max(8, Math.round(top / tickMs)))).fill(0);

    this.#samples.forEach(ms => {
      if (ms <= top)
        bins[Math.min(bins.length - 1, Math.floor(ms / top * bins.length))] += 1;
    });
    const most = Math.max(...bins);
    const thick = plotHeight / bins.length;
    return svgElement('path', {
      class: 'bars',
      d: bins.map((count, bin) => count === 0 ? '' :
        `M${left} ${bottom - bin * thick - 0.5}h${Math.max(1.5, count / most * width)}v${1 - thick}H${left}z`).join(''),
    });
  }

  #levelLines(y, end) {
    return ['median', 'p95'].map(name =>
      svgElement('path', { class: name, d: `M${MARGIN.left} ${y(this.#figures[name])}H${end}` }));
  }

  /* The words stay apart where the lines do not. */
  #levelWords(y, end) {
    const { median, p95 } = this.#figures;
    const below = y(median) - y(p95) < 18;
    const word = (className, text, top) =>
      svgElement('text', { class: `level ${className}`, x: end - 4, y: top, 'text-anchor': 'end' }, text);

    return [
      word('median-text', `Median ${formatMs(median)}`, y(median) + (below ? 14 : -5)),
      word('p95-text', `p95 ${formatMs(p95)}`, y(p95) - 5),
    ];
  }

  #point(event) {
    const scale = this.#scale;
    const count = this.#samples.length;

    if (scale === null)
      return;
    const across = event.clientX - this.#svg.getBoundingClientRect().left - MARGIN.left - 6;
    const number = Math.min(count - 1, Math.max(0, Math.round(across / (scale.dotWidth - 12) * (count - 1))));
    const ms = this.#samples[number];
    if (ms === undefined)
      return this.#unpoint();
    this.#cursor.setAttribute('cx', scale.x(number));
    this.#cursor.setAttribute('cy', scale.y(ms));
    this.#cursor.setAttribute('visibility', 'visible');
    this.#read.textContent = `Message ${formatCount(number + 1)}: ${formatMs(ms)}`;
    this.#read.hidden = false;
  }

  #unpoint() {
    this.#read.hidden = true;
    this.#cursor?.setAttribute('visibility', 'hidden');
  }
}
