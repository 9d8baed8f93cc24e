"use strict";
// Draws the JSON endpoints of this server every other second. Everything from outside is put in
// as text, never as markup. A part that could not be fetched says so and keeps nothing old.

const base = document.body.dataset.base;
const PERIOD_MS = 2000;
const HISTORY = 150;
// A name of its own, so that this page's intervals are nobody else's.
const viewer = "page-" + Math.random().toString(36).slice(2, 8);
const colors = ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
const curves = {
  receive_to_send: "read → sent",
  receive_to_send_across: "read → sent, other core",
  publish_to_ack: "publish → ack",
  deliver_to_ack: "deliver → ack",
  outbound_wait: "waiting for receivers",
  log_flush: "log flush",
  turn: "turn of a core",
};
const seen = [];
let span = "interval";
let last = {};
let answered = null;

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

function shape(tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function show(id, ...children) {
  byId(id).replaceChildren(...children);
}

const note = (text) => element("p", { class: "note" }, text);

// ---- numbers as people read them

function count(value) {
  const steps = [[1e9, "G"], [1e6, "M"], [1e4, "k"]];
  const found = steps.find(([least]) => value >= least);
  if (!found) return value >= 100 || Number.isInteger(value) ? Math.round(value).toString() : value.toFixed(1);
  const scaled = value / (found[1] === "k" ? 1e3 : found[0]);
  return scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0) + " " + found[1];
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return (at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)) + " " + units[at];
}

function time(ns) {
  const steps = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
  const [least, unit] = steps.find(([step]) => ns >= step) || [1, "ns"];
  const scaled = ns / least;
  return (scaled < 10 && unit !== "ns" ? scaled.toFixed(1).replace(/\.0$/, "") : Math.round(scaled)) + " " + unit;
}

// ---- charts

function frame(width, height, margin) {
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  return { svg, left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom };
}

function gridLine(chart, y, label) {
  chart.svg.append(
    shape("line", { class: "grid", x1: chart.left, x2: chart.right, y1: y, y2: y }),
    shape("text", { x: chart.left - 6, y: y + 4, "text-anchor": "end" }, label),
  );
}

function line(chart, points, color) {
  const text = points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  chart.svg.append(shape("path", { d: text, stroke: `var(${color})` }));
}

function legend(rows) {
  const items = rows.map(([name, color]) =>
    element("li", {}, element("i", { style: `background: var(${color})` }), name));
  return element("ul", { class: "legend" }, ...items);
}

/** The next round number, so that an axis ends on one. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function drawRates() {
  const rows = seen.filter((row) => row.rates);
  if (rows.length < 2) return show("rates", note("Rates need a few seconds of looking."));
  const width = Math.max(byId("rates").clientWidth, 260);
  const chart = frame(width, 190, { left: 52, right: 8, top: 8, bottom: 22 });
  const most = roundUp(Math.max(...rows.flatMap((row) => [row.rates.in, row.rates.out]), 10));
  const y = (value) => chart.bottom - (chart.bottom - chart.top) * (value / most);
  const seconds = (HISTORY * PERIOD_MS) / 1000;
  const now = rows[rows.length - 1].at;
  const x = (at) => chart.right - (chart.right - chart.left) * ((now - at) / 1000 / seconds);
  for (const part of [0, 0.25, 0.5, 0.75, 1]) gridLine(chart, y(most * part), count(most * part));
  for (const back of [0, 1, 2, 3, 4, 5]) {
    const label = back ? `−${back} min` : "now";
    const anchor = back ? "middle" : "end";
    chart.svg.append(shape("text", { x: x(now - back * 60000), y: chart.bottom + 16, "text-anchor": anchor }, label));
  }
  const shown = rows.filter((row) => x(row.at) >= chart.left);
  line(chart, shown.map((row) => [x(row.at), y(row.rates.in)]), "--c0");
  line(chart, shown.map((row) => [x(row.at), y(row.rates.out)]), "--c1");
  show("rates", chart.svg, legend([["published per second", "--c0"], ["delivered per second", "--c1"]]));
}

/** Percentiles on an axis of 1 / (1 − share), so that each nine has the same room. */
function drawCurves() {
  const page = last.latencyz;
  if (!page) return show("curves", note("/latencyz did not answer."));
  const rows = page.stages
    .filter((stage) => curves[stage.name] && (stage[span].curve || []).length > 1)
    .map((stage, at) => ({ name: stage.name, points: stage[span].curve, color: colors[at % colors.length] }));
  if (!rows.length) return show("curves", note("Nothing was measured in this span."));
  const width = Math.max(byId("curves").clientWidth, 260);
  const chart = frame(width, 260, { left: 52, right: 14, top: 8, bottom: 22 });
  const values = rows.flatMap((row) => row.points.map(([, value]) => Math.max(value, 100)));
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values))), low + 1);
  const y = (value) => chart.bottom - (chart.bottom - chart.top) * ((Math.log10(Math.max(value, 100)) - low) / (high - low));
  const nines = (share) => Math.min(-Math.log10(1 - Math.min(share, 99.999) / 100), 5);
  const x = (share) => chart.left + (chart.right - chart.left) * (nines(share) / 5);
  for (let power = low; power <= high; power += 1) gridLine(chart, y(10 ** power), time(10 ** power));
  for (const share of [0, 50, 90, 99, 99.9, 99.99, 99.999]) {
    // A phone has no room for all names.
    if (width < 420 && (share === 50 || share === 99.99)) continue;
    chart.svg.append(
      shape("line", { class: "grid", x1: x(share), x2: x(share), y1: chart.top, y2: chart.bottom }),
      shape("text", { x: x(share), y: chart.bottom + 16, "text-anchor": share > 99.99 ? "end" : "middle" }, share === 0 ? "p0" : "p" + share),
    );
  }
  for (const row of rows) {
    // The largest is drawn where the last message of so many stands.
    const points = row.points.filter(([share]) => share < 100);
    line(chart, points.map(([share, value]) => [x(share), y(value)]), row.color);
  }
  show("curves", chart.svg, legend(rows.map((row) => [curves[row.name], row.color])));
}

function drawCores() {
  const page = last.latencyz;
  if (!page) return show("cores", note("/latencyz did not answer."));
  const bars = page.cores.map((core) => {
    const percent = (core.busy * 100).toFixed(core.busy < 0.1 ? 1 : 0);
    const fill = element("u", { style: `width: ${percent}%`, class: percent >= 90 ? "hot" : "" });
    const text = `${core.connections} connections, ${count(core.in_msgs_rate)}/s in, ${count(core.out_msgs_rate)}/s out`;
    return element("div", { class: "bar", title: text }, element("span", {}, "core " + core.shard), element("i", {}, fill), element("b", {}, percent + " %"));
  });
  show("cores", ...bars);
}

// ---- tables

function table(heads, rows) {
  const cell = (tag, [text, kind]) => element(tag, kind ? { class: kind } : {}, text);
  const head = element("tr", {}, ...heads.map((it) => cell("th", it)));
  const body = rows.map((row) => element("tr", {}, ...row.map((text, at) => cell("td", [text, heads[at][1]]))));
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

const STAGE_HEADS = [["stage", "text"], ["count"], ["p50"], ["p90"], ["p99"], ["p99.9"], ["max"]];

function drawStages() {
  const page = last.latencyz;
  if (!page) return show("stages", note("/latencyz did not answer."));
  const rows = page.stages.filter((stage) => stage[span].count).map((stage) => {
    const figures = stage[span];
    const format = { ns: time, bytes, messages: count }[stage.unit];
    const points = ["p50", "p90", "p99", "p99.9", "max"].map((key) => format(figures[key]));
    return [stage.name.replaceAll("_", " "), count(figures.count), ...points];
  });
  show("stages", rows.length ? table(STAGE_HEADS, rows) : note("Nothing was measured in this span."));
}

const connection = (row) => `${row.cid}${row.name ? " " + row.name : ""}`;

function drawSlow() {
  const page = last.latencyz;
  if (!page) return show("slow", note("/latencyz did not answer."));
  const parts = [];
  if (page.slow_consumers.length) {
    const heads = [["connection", "text"], ["address", "text"], ["owed"], ["waiting"], ["stalls"], ["since", "text"], ["subscribed to", "text long"]];
    parts.push(table(heads, page.slow_consumers.map((row) => [
      connection(row), `${row.ip}:${row.port}`, bytes(row.pending_bytes), time(row.waiting_ns), row.stalls_asked,
      row.crowded_since ? clock(row.crowded_since) : "–", row.subjects.join(", "),
    ])));
  } else {
    parts.push(note("Every connection takes what it is sent."));
  }
  const cut = ((last.closed || {}).connections || []).filter((row) => (row.reason || "").startsWith("Slow Consumer"));
  if (!last.closed) parts.push(note("Ended connections could not be fetched."));
  if (cut.length) {
    parts.push(element("h2", {}, "Cut lately"));
    const heads = [["connection", "text"], ["address", "text"], ["owed"], ["at", "text"], ["reason", "text long"]];
    parts.push(table(heads, cut.slice(0, 10).map((row) => [
      connection(row), `${row.ip}:${row.port}`, bytes(row.pending_bytes), clock(row.stop), row.reason,
    ])));
  }
  show("slow", ...parts);
}

const clock = (text) => new Date(text).toLocaleTimeString();

function drawHot() {
  const page = last.latencyz;
  if (!page) return show("hot", note("/latencyz did not answer."));
  const rate = (row) => count(row.rate) + (row.rate_error > row.rate / 20 ? " (at most)" : "");
  const subjects = page.top_subjects.slice(0, 10).map((row) => [row.subject, rate(row)]);
  const publishers = page.top_publishers.slice(0, 5).map((row) => [row.cid, rate(row)]);
  if (!subjects.length) return show("hot", note("Nothing was published lately."));
  show("hot",
    table([["subject", "text long"], ["messages per second"]], subjects),
    table([["connection", "text"], ["published per second"]], publishers));
}

function drawConnections() {
  const page = last.connz;
  if (!page) return show("connections", note("/connz did not answer."));
  if (!page.connections.length) return show("connections", note("Nobody is connected."));
  const heads = [["connection", "text"], ["client", "text"], ["core"], ["owed"], ["in"], ["out"], ["subscriptions"], ["round trip"]];
  const rows = page.connections.map((row) => [
    connection(row), [row.lang, row.version].filter(Boolean).join(" ") || "–", row.weft ? row.weft.shard : "–",
    bytes(row.pending_bytes), count(row.in_msgs), count(row.out_msgs), row.subscriptions, row.rtt,
  ]);
  const rest = page.total - rows.length;
  show("connections", table(heads, rows), ...(rest > 0 ? [note(`and ${count(rest)} more; these are owed most.`)] : []));
}

function drawStreams() {
  const page = last.jsz;
  if (!page) return show("streams", note("/jsz did not answer."));
  if (page.disabled || page.config === undefined) return show("streams", note("JetStream is off."));
  const streams = (page.account_details || []).flatMap((account) => account.stream_detail || []);
  if (!streams.length) {
    return show("streams", note(page.streams ? `${page.streams} streams, of which /jsz tells no details.` : "There are no streams."));
  }
  const heads = [["stream or consumer", "text long"], ["messages"], ["bytes"], ["lag"], ["unacknowledged"], ["waiting pulls"]];
  const rows = [];
  for (const stream of streams.slice(0, 50)) {
    rows.push([stream.name, count(stream.state.messages), bytes(stream.state.bytes), "", "", ""]);
    for (const consumer of (stream.consumer_detail || []).slice(0, 20)) {
      rows.push(["↳ " + consumer.name, "", "", count(consumer.num_pending || 0), count(consumer.num_ack_pending || 0), consumer.num_waiting || 0]);
    }
  }
  const rest = streams.length - 50;
  show("streams", table(heads, rows), ...(rest > 0 ? [note(`and ${rest} more streams.`)] : []));
}

function drawTiles() {
  const { varz } = last;
  if (!varz) return show("tiles", note("/varz did not answer."));
  const rates = (seen[seen.length - 1] || {}).rates;
  const behind = last.latencyz ? last.latencyz.slow_consumers.length : null;
  const tiles = [
    ["published per second", rates ? count(rates.in) : "–"],
    ["delivered per second", rates ? count(rates.out) : "–"],
    ["bytes in per second", rates ? bytes(rates.inBytes) : "–"],
    ["bytes out per second", rates ? bytes(rates.outBytes) : "–"],
    ["connections", count(varz.connections)],
    ["subscriptions", count(varz.subscriptions)],
    ["slow now", behind === null ? "–" : behind, behind > 0],
    ["cut as slow", count(varz.slow_consumers)],
    ["CPU", varz.cpu + " %"],
    ["memory", bytes(varz.mem)],
  ];
  show("tiles", ...tiles.map(([name, text, bad]) =>
    element("div", { class: bad ? "tile bad" : "tile" }, element("b", {}, text), element("span", {}, name))));
  byId("name").textContent = `${varz.server_name} · weft ${varz.weft ? varz.weft.version : "?"} · NATS ${varz.version} · up ${varz.uptime}`;
}

// ---- the round

async function fetched(path) {
  const answer = await fetch(base + path, { cache: "no-store", signal: AbortSignal.timeout(8000) });
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  return answer.json();
}

function recordRates(varz) {
  const before = seen[seen.length - 1];
  const row = { at: Date.now(), varz };
  if (before && before.varz.server_id === varz.server_id) {
    const seconds = (new Date(varz.now) - new Date(before.varz.now)) / 1000;
    const rate = (key) => Math.max(varz[key] - before.varz[key], 0) / Math.max(seconds, 0.001);
    row.rates = { in: rate("in_msgs"), out: rate("out_msgs"), inBytes: rate("in_bytes"), outBytes: rate("out_bytes") };
  }
  seen.push(row);
  if (seen.length > HISTORY + 1) seen.shift();
}

async function look() {
  const paths = {
    varz: "varz",
    latencyz: `latencyz?curve=1&viewer=${viewer}`,
    connz: "connz?sort=pending&limit=20",
    closed: "connz?state=closed&sort=stop&limit=64",
    jsz: "jsz?streams=1&consumers=1&limit=50",
  };
  const names = Object.keys(paths);
  const answers = await Promise.allSettled(names.map((name) => fetched(paths[name])));
  last = {};
  names.forEach((name, at) => {
    if (answers[at].status === "fulfilled") last[name] = answers[at].value;
  });
  if (last.varz) {
    answered = Date.now();
    recordRates(last.varz);
  }
  draw();
}

function draw() {
  const live = Boolean(last.varz);
  const since = answered ? ` since ${new Date(answered).toLocaleTimeString()}` : "";
  byId("state").textContent = live ? "● live" : `○ no answer${since}`;
  byId("state").className = live ? "live" : "lost";
  byId("main").className = live ? "" : "stale";
  if (!live) return;
  drawTiles(); drawRates(); drawCores(); drawCurves(); drawStages();
  drawSlow(); drawHot(); drawStreams(); drawConnections();
  document.body.dataset.rounds = Number(document.body.dataset.rounds || 0) + 1;
}

for (const button of document.querySelectorAll("button[data-span]")) {
  button.addEventListener("click", () => {
    span = button.dataset.span;
    for (const other of document.querySelectorAll("button[data-span]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    if (last.varz) { drawCurves(); drawStages(); }
  });
}
window.addEventListener("resize", () => { if (last.varz) { drawRates(); drawCurves(); } });

async function rounds() {
  for (;;) {
    // A page that nobody looks at asks for nothing.
    if (!document.hidden) await look();
    await new Promise((done) => setTimeout(done, PERIOD_MS));
  }
}
rounds();
