/* <ui-chart data-config>: uPlot drawn from this JSON, in the colours of the theme, when the page is idle.
   It is an attribute because htmx takes every script element out of what it swaps in, those of JSON too. */
import uPlot from "uplot";

const probe = document.createElement("i");
probe.hidden = true;
document.documentElement.append(probe);
/* light-dark() only resolves through a real property, so each colour is painted on a probe first. */
const colour = name => {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
};
const fade = (paint, alpha) => paint.replace(/\)$/, ` / ${alpha})`).replace(/^rgb\((\d+), (\d+), (\d+)/, "rgb($1 $2 $3");
const language = document.documentElement.lang || "en";
// Room for the longest label: amounts of money may be long.
const room = (plot, labels) => Math.max(62, ...(labels ?? []).map(label => 16 + 6.5 * String(label).length));

const number = options => value => (value == null ? "–" : new Intl.NumberFormat(language, options).format(value));
const bytes = value => {
  if (value == null) return "–";
  const power = value > 0 ? Math.min(4, Math.floor(Math.log2(value) / 10)) : 0;
  return `${number({ maximumFractionDigits: power ? 1 : 0 })(value / 1024 ** power)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
};
const units = cfg => ({
  money: number({ style: "currency", currency: cfg.currency || "EUR", maximumFractionDigits: cfg.digits ?? 2 }),
  percent: value => (value == null ? "–" : `${Math.round(value)} %`),
  celsius: value => (value == null ? "–" : `${Math.round(value)} °C`),
  bytes, rate: value => (value == null ? "–" : `${bytes(value)}/s`),
  number: value => number(Math.abs(value) < 1 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 1 })(value),
})[cfg.unit || "number"];

// Values without a neighbour: no line is drawn through them, so they get a dot.
const lonely = values => values.flatMap((value, at) => (value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []));

class UiChart extends HTMLElement {
  connectedCallback() {
    this.cfg = JSON.parse(this.dataset.config);
    this.redraw = () => requestAnimationFrame(() => this.isConnected && this.draw());
    (window.requestIdleCallback ?? setTimeout)(this.redraw);
    this.size = new ResizeObserver(([entry]) => this.plot && Math.abs(entry.contentRect.width - this.plot.width) > 1 && this.plot.setSize({ width: entry.contentRect.width, height: this.tall() }));
    this.size.observe(this);
    addEventListener("themechange", this.redraw);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.redraw);
  }

  disconnectedCallback() {
    this.size?.disconnect();
    removeEventListener("themechange", this.redraw);
    this.dark?.removeEventListener("change", this.redraw);
    this.plot?.destroy();
    this.plot = null;
  }

  tall() {
    return this.classList.contains("tall") ? 256 : 200;
  }

  /* Stacked: each series is drawn on the sum of those before it, the highest first. */
  values() {
    if (!this.cfg.stack) return this.cfg.data;
    const [times, ...rows] = this.cfg.data;
    let sum = times.map(() => 0);
    return [times, ...rows.map(row => (sum = sum.map((value, at) => value + (row[at] || 0)))).reverse()];
  }

  line(series, first) {
    const paint = colour(`--${series.color}`), points = { show: true, size: 6, width: 0, fill: paint, filter: (plot, at) => lonely(plot.data[at]) };
    const base = { label: series.label, points: this.cfg.kind === "bars" ? { show: false } : points, stroke: paint };
    if (this.cfg.kind === "bars") return { ...base, fill: paint, width: 0, paths: uPlot.paths.bars({ size: [0.62, 26], radius: first ? 0.12 : 0, gap: 1 }) };
    if (!series.fill) return { ...base, width: 1.5 };
    return { ...base, width: 1.5, fill: plot => {
      const ground = plot.ctx.createLinearGradient(0, plot.bbox.top, 0, plot.bbox.top + plot.bbox.height);
      ground.addColorStop(0, fade(paint, 0.16));
      ground.addColorStop(1, fade(paint, 0));
      return ground;
    } };
  }

  time(value, long) {
    const options = this.cfg.days ? { day: "numeric", month: "short", timeZone: "UTC" }
      : { hour: "2-digit", minute: "2-digit", ...(this.cfg.weekday && { weekday: "short" }), ...(long && { second: "2-digit" }), timeZone: this.cfg.zone };
    return new Date(value * 1000).toLocaleString(language, options);
  }

  draw() {
    this.plot?.destroy();
    this.querySelector(".u-tip")?.remove();
    if (!this.clientWidth) return;
    const { cfg } = this, bars = cfg.kind === "bars", show = units(cfg), quiet = colour("--ink-3"), font = "11px Geist, sans-serif";
    this.names = cfg.stack ? [...cfg.series].reverse() : cfg.series;
    const axis = { stroke: quiet, font, ticks: { show: false } };
    this.tip = document.createElement("div");
    this.tip.className = "u-tip";
    this.tip.hidden = true;
    this.append(this.tip);
    const wide = (plot, from, to) => {
      const step = (to - from) / (cfg.data[0].length - 1 || 1) || 86400;
      return [from - step * 0.6, to + step * 0.6];
    };
    this.plot = new uPlot({
      width: this.clientWidth, height: this.tall(), padding: [8, 4, 0, 0], legend: { show: false },
      cursor: { points: { show: !bars, size: 6 }, y: false, drag: { x: false, y: false } },
      series: [{}, ...this.names.map((series, at) => this.line(series, at === 0))],
      scales: { x: { time: true, ...(bars && { range: wide }) }, y: { range: (plot, low, high) => [0, cfg.max || (high || 1) * 1.12] } },
      axes: [{ ...axis, grid: { show: false }, gap: 6, size: 26, space: 64, values: (plot, ticks) => ticks.map(tick => this.time(tick)) },
        { ...axis, grid: { stroke: colour("--line"), width: 1 }, gap: 8, size: room, space: 44, values: (plot, ticks) => ticks.map(show) }],
      hooks: { setCursor: [plot => this.point(plot, show)] },
    }, this.values(), this);
  }

  /* The tip stands beside the pointer and never over the bar it describes. */
  point(plot, show) {
    const at = plot.cursor.idx, { tip, cfg } = this;
    if (at == null || plot.cursor.left < 0) return void (tip.hidden = true);
    tip.hidden = false;
    const rows = this.names.map(series => [series, cfg.data[1 + cfg.series.indexOf(series)][at]]);
    const row = (mark, label, value) => {
      const line = document.createElement("div"), key = document.createElement("span"), amount = document.createElement("b");
      if (mark) key.className = `sw sw-${mark}`;
      amount.textContent = value;
      line.append(key, label, amount);
      return line;
    };
    const when = document.createElement("div");
    when.className = "t";
    when.textContent = this.time(cfg.data[0][at], true);
    tip.replaceChildren(when, ...rows.map(([series, value]) => row(series.color, series.label, show(value))));
    if (cfg.stack && rows.length > 1) tip.append(row("", cfg.total || "Total", show(rows.reduce((sum, [, value]) => sum + (value || 0), 0))));
    const x = plot.valToPos(cfg.data[0][at], "x") + plot.over.offsetLeft, width = tip.offsetWidth;
    tip.style.left = `${x + 22 + width > this.clientWidth ? Math.max(0, x - width - 22) : x + 22}px`;
    tip.style.top = "4px";
  }
}
customElements.get("ui-chart") || customElements.define("ui-chart", UiChart);
