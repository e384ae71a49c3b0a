// SPDX-License-Identifier: MIT
// The node's status, asked for every two seconds. What it says is text and nothing else; a token stays in this tab.
"use strict";

const EVERY_MS = 2000, PATIENCE_MS = 5000, EVENTS = 25;
const byId = (id) => document.getElementById(id);
let lastOk = null;

function say(id, text, state) {
  const e = byId(id);
  e.textContent = text;
  if (state !== undefined) e.dataset.state = state;
}

function make(tag, text, attributes) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  Object.assign(e.dataset, attributes || {});
  return e;
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i === 0 ? n : n.toFixed(1)} ${units[i]}`;
}

function span(ms) {
  const s = Math.floor(ms / 1000), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
}

function bar(name, value, of, tier) {
  const box = make("div"), line = make("p"), progress = make("progress", undefined, tier ? { tier } : {});
  line.append(make("span", name), make("span", of > 0 ? `${bytes(value)}, ${Math.round(100 * value / of)} %` : bytes(value)));
  progress.max = Math.max(of, 1);
  progress.value = Math.min(value, progress.max);
  progress.setAttribute("aria-label", name);
  box.append(line, progress);
  return box;
}

function figures(pairs) {
  return pairs.flatMap(([name, value]) => [make("dt", name), make("dd", String(value))]);
}

function showPlane(s) {
  const c = s.control_plane;
  if (c.state === undefined) {
    say("plane", s.mode === "standalone" ? "alone" : "gossip only", "");
    say("plane-about", s.mode === "standalone" ? "no other nodes are configured" : "no control plane is configured");
    byId("plane-figures").replaceChildren();
    return;
  }
  say("plane", c.state.replace("_", " "), c.connected && c.state === "connected" ? "good" : "warn");
  say("plane-about", c.connected ? `${c.best_endpoint}, ${c.latency_ms.toFixed(1)} ms` :
    `retrying${c.best_endpoint ? " " + c.best_endpoint : ""}; the node works on by gossip`);
  byId("plane-figures").replaceChildren(...figures([["index", `epoch ${c.epoch}, digest ${c.digest}`],
    ["reports behind", c.lag], ["nodes", c.cluster_size], ["last answer", c.last_ok || "never"],
    ...(c.last_error && !c.connected ? [["last error", c.last_error]] : [])]));
}

function showGiven(s) {
  const tiers = s.proxy.tiers || {}, names = { memory: "memory", disk: "disk", peer: "other nodes", origin: "origin" };
  const all = Object.values(tiers).reduce((sum, t) => sum + t.bytes, 0);
  const spared = all - (tiers.origin ? tiers.origin.bytes : 0);
  say("given", bytes(all));
  say("given-about", all > 0 ? `${Math.round(100 * spared / all)} % of it without the origin; ${s.proxy.busy} requests run` : "nothing yet");
  byId("tiers").replaceChildren(...Object.keys(names).map((t) => bar(names[t], tiers[t] ? tiers[t].bytes : 0, all, t)));
}

function showCache(s) {
  const m = s.cache.memory, stores = s.cache.disk.stores, heat = s.cache.heat;
  say("cached", `${s.cache.objects} objects`);
  say("cached-about", `chunks in memory: ${heat.hot} hot, ${heat.warm} warm, ${heat.cold} cold`);
  byId("stores").replaceChildren(bar("memory", m.used_bytes, m.limit_bytes, "memory"),
    ...stores.map((d) => bar(d.state === "normal" ? d.dir : `${d.dir} (${d.state})`, d.used_bytes, d.limit_bytes)));
}

function showPeers(s) {
  const rows = (s.peers || []).filter((p) => !p.self).map((p) => {
    const row = make("tr"), state = make("td", p.state);
    state.dataset.state = p.state === "active" ? "good" : p.state === "dead" ? "bad" : "warn";
    const link = p.quarantined ? "quarantined" : p.linked ? p.via === "http" ? "by its node API" : "yes" : "";
    row.append(make("td", p.name || p.node_id.slice(0, 16)), make("td", p.zone), make("td", `${p.address}:${p.p2p_port}`), state,
      make("td", link), make("td", p.rate_bytes_s ? (p.rate_bytes_s / 1048576).toFixed(1) : ""));
    return row;
  });
  byId("peers").replaceChildren(...rows);
}

function showEvents(s) {
  byId("events").replaceChildren(...s.events.slice(-EVENTS).reverse().map(({ ts, level, event, ...rest }) => {
    const line = make("li", `${ts} ${event} ${Object.entries(rest).map(([k, v]) => `${k}=${v}`).join(" ")}`);
    line.dataset.state = level === "error" ? "bad" : level === "warn" ? "warn" : "";
    return line;
  }));
}

function show(s) {
  document.title = `${s.node_id} - elionode`;
  say("name", s.node_id);
  say("ready", s.ready ? "ready" : "not ready", s.ready ? "good" : "warn");
  say("about", `${s.mode.replace("_", " ")}, ${s.version}, up ${span(s.uptime_ms)}, ${bytes(s.process.rss_bytes)} resident`);
  showPlane(s);
  showGiven(s);
  showCache(s);
  showPeers(s);
  showEvents(s);
}

async function ask() {
  const token = sessionStorage.getItem("token");
  const answer = await fetch("/api/v1/status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS),
    headers: token ? { Authorization: `Bearer ${token}` } : {} });
  byId("token").hidden = answer.status !== 401 && answer.status !== 403;
  if (!answer.ok) throw new Error(answer.status === 401 ? "a token is wanted" : `status ${answer.status}`);
  return answer.json();
}

async function once() {
  try {
    show(await ask());
    lastOk = new Date();
    delete document.body.dataset.stale;
  } catch (e) {
    document.body.dataset.stale = "";
    const since = lastOk ? `no answer since ${lastOk.toTimeString().slice(0, 8)}` : "no answer";
    say("ready", byId("token").hidden ? `${since}, retrying` : e.message, "bad");
  }
}

async function forever() {
  for (;;) {
    if (!document.hidden) await once();
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
}

byId("token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token-value").value);
  byId("token-value").value = "";
  once();
});
forever();
