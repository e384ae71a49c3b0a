/* SPDX-License-Identifier: MIT */
/*
 * dashboard: what the API says, drawn. One look at a time for each source, as often as it changes;
 * events come by WebSocket, or by polling where that does not get through, and have the rest looked
 * at anew. Whatever comes from outside becomes text (textContent), never markup.
 *
 *   API --get()--> sources (every few seconds) --> draw*()      events --> feed --> a list, hurry()
 */
'use strict';
(function () {
  const SOURCES = ['memory', 'disk', 'peer', 'origin'];
  const LABELS = { memory: 'Memory', disk: 'Disk', peer: 'Peers', origin: 'Origin' };
  const PAGE_ROWS = 50;
  const MAX_EVENTS = 200;
  const MAX_LANES = 16;
  const ANSWER_MS = 10000;
  const KEPT_TOKEN = 'elio-token';

  const $ = (id) => document.getElementById(id);

  const state = {
    token: kept(sessionStorage, KEPT_TOKEN) || '',
    range: 300, by: 'object',
    timeline: null, nodes: [], map: null, swarms: [],
    sort: 'name', descending: false, page: 0, shown: null,
    names: new Map(), skew: 0, failures: 0, lostSince: 0, isSignedOut: false, isLetIn: false, session: 0, retryAt: 0, alerts: 0, health: null, origin: null, store: null,
  };

  /* ---- small things ---- */

  function kept(storage, key) {
    try { return storage.getItem(key); } catch (e) { return null; }
  }

  function keep(storage, key, value) {
    try {
      if (value) storage.setItem(key, value); else storage.removeItem(key);
    } catch (e) { /* it lasts as long as the page, then */ }
  }

  /* el('td', {class: 'n'}, 'text', node, ...) */
  function el(tag, attributes, ...children) {
    const e = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value !== undefined && value !== null) e.setAttribute(key, value);
    }
    e.append(...children.filter((c) => c !== null && c !== undefined));
    return e;
  }

  function say(id, text, value) {
    const e = $(id);
    if (e.textContent !== text) e.textContent = text;
    if (value !== undefined) e.dataset.value = value;
  }

  /* A figure whose unit is set smaller. */
  function sayBig(id, text, value) {
    const at = text.lastIndexOf(' ');
    const e = $(id);
    e.dataset.value = value;
    if (at < 0) { e.textContent = text; return; }
    e.replaceChildren(text.slice(0, at), el('span', { class: 'unit' }, text.slice(at + 1)));
  }

  function scaled(v, units, step) {
    let i = 0;
    while (v >= step * 0.9995 && i < units.length - 1) { v /= step; i++; }
    const digits = i === 0 || v >= 100 ? 0 : v >= 10 ? 1 : 2;
    return v.toFixed(digits) + ' ' + units[i];
  }
  const bytes = (v) => scaled(v, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], 1024);
  const rate = (v) => scaled(v, ['B/s', 'KiB/s', 'MiB/s', 'GiB/s', 'TiB/s'], 1024);
  const megabits = (v) => scaled(v * 1e6, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'], 1000);
  const count = (v) => v.toLocaleString('en');
  const percent = (v) => (v * 100).toFixed(v >= 0.9995 || v === 0 ? 0 : 1) + ' %';
  const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

  function duration(ms) {
    const s = ms / 1000;
    if (s < 10) return s.toFixed(1) + ' s';
    if (s < 120) return Math.round(s) + ' s';
    if (s < 7200) return Math.round(s / 60) + ' min';
    if (s < 172800) return Math.round(s / 3600) + ' h';
    return Math.round(s / 86400) + ' d';
  }

  function clock(at) {
    const d = new Date(at);
    return isNaN(d) ? '' : d.toLocaleTimeString('en-GB');
  }

  function sum(o) { return SOURCES.reduce((n, k) => n + (o[k] || 0), 0); }
  function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function nodeName(n) { return n.name || n.node_id; }
  function shortId(id) { return id.length > 20 ? id.slice(0, 16) + '\u2026' : id; }

  function objectName(o) {
    return (o.name || '').replace(/^https?:\/\//, '') || o.object || 'without a name';
  }

  /* Its end is what differs: so the beginning is cut off where there is no room. */
  function nameOfObject(o) {
    const name = objectName(o), at = o.name && name.indexOf('/') >= 0 ? name.indexOf('/') + 1 : 0;
    return el('span', { class: 'name', title: o.name || o.object },
      el('bdi', {}, el('span', { class: 'host' }, name.slice(0, at)), el('span', { class: 'path' }, name.slice(at))));
  }

  /* "replicate <32 digits>-0000000a" in words, where the name is known. */
  function chunkNames(text) {
    return text.replace(/([0-9a-f]{32})-([0-9a-f]{8})/g, (all, object, chunk) => {
      const name = state.names.get(object);
      return name ? `chunk ${count(parseInt(chunk, 16))} of ${objectName({ name })}` : all;
    });
  }

  function keepNames(list) {
    for (const o of list) if (o.object && o.name) state.names.set(o.object, o.name);
    if (state.names.size > 5000) state.names.clear();
  }

  function track(share, kind, marks) {
    const e = el('span', { class: 'track' + (kind ? ' ' + kind : ''), role: 'img', 'aria-label': percent(share) });
    const inner = el('span');
    inner.style.width = Math.max(0, Math.min(1, share)) * 100 + '%';
    e.append(inner);
    if (marks !== undefined) {
      const mark = el('i', { title: 'where it would be at B' });
      mark.style.left = Math.max(0, Math.min(1, marks)) * 100 + '%';
      e.append(mark);
    }
    return e;
  }

  /* Four parts of one bar. */
  function mix(o) {
    const e = el('span', { class: 'mix' });
    const all = sum(o);
    e.title = SOURCES.map((k) => `${LABELS[k]} ${bytes(o[k])}`).join('\n');
    for (const k of SOURCES) {
      if (!all || !o[k]) continue;
      const part = el('span', { class: k });
      part.style.width = 100 * o[k] / all + '%';
      e.append(part);
    }
    return e;
  }

  /* ---- asking ---- */

  class Refused extends Error {
    constructor(status, text) { super(text); this.status = status; }
  }

  async function get(path, ms) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), ms || ANSWER_MS);
    try {
      const fields = { Accept: 'application/json' };
      if (state.token) fields.Authorization = 'Bearer ' + state.token;
      const answer = await fetch(path, { headers: fields, signal: stop.signal, cache: 'no-store' });
      const body = await answer.json().catch(() => null);
      if (!answer.ok) throw new Refused(answer.status, (body && body.text) || 'HTTP ' + answer.status);
      return body;
    } finally {
      clearTimeout(timer);
    }
  }

  const sources = [
    { path: () => '/api/v1/swarms', every: 2000, draw: drawSwarms }, /* the first: for readers only */
    { path: () => '/api/v1/metrics', every: 2000, draw: drawMetrics },
    { path: () => '/api/v1/timeline', every: 5000, draw: drawTimeline },
    { path: () => '/api/v1/nodes', every: 4000, draw: drawNodes },
    { path: () => '/health/nodes', every: 2000, draw: (a) => { state.health = a; drawHealth(); } },
    { path: () => '/health/origin', every: 5000, draw: drawOrigin },
    { path: () => '/api/v1/alerts', every: 3000, draw: drawAlerts },
    { path: () => '/api/v1/operations?limit=20', every: 3000, draw: drawOperations },
    { path: () => '/api/v1/chunks/copies', every: 5000, draw: drawCopies },
    { path: () => `/api/v1/chunks/map?by=${state.by}&limit=20`, every: 5000, draw: drawMap },
    { path: () => '/api/v1/status', every: 5000, draw: drawStatus },
  ].map((s) => ({ ...s, due: 0, isAsked: false }));

  async function look(source) {
    const session = state.session;
    let answer = null;
    source.isAsked = true;
    try {
      answer = await get(source.path());
    } catch (e) {
      if (session === state.session) failed(e);
    }
    if (session !== state.session) return; /* somebody else is signed in by now */
    source.isAsked = false;
    source.due = Date.now() + source.every;
    if (!answer) return;
    reached();
    source.draw(answer);
  }

  /* Before anything has answered, and while nothing does, the first one is asked, less and less often. */
  function lookAtAll() {
    const now = Date.now();
    if (state.isSignedOut || (document.hidden && !state.lostSince)) return;
    if (state.lostSince || !state.isLetIn) {
      if (now >= state.retryAt && !sources[0].isAsked) {
        state.retryAt = now + Math.min(10000, 500 * 2 ** Math.min(state.failures, 5));
        look(sources[0]);
      }
      return;
    }
    for (const s of sources) if (!s.isAsked && s.due <= now) look(s);
  }

  function hurry() { for (const s of sources) s.due = 0; }

  function reached() {
    const wasAway = state.lostSince !== 0 || !state.isLetIn;
    state.failures = 0;
    state.lostSince = 0;
    state.isLetIn = true;
    $('sign-in').hidden = true;
    $('board').hidden = false;
    say('updated', clock(Date.now()));
    if (wasAway) {
      hurry();
      setTimeout(lookAtAll, 0);
      feed.retry();
    }
    drawHealth();
  }

  function failed(e) {
    if (e instanceof Refused && (e.status === 401 || e.status === 403)) {
      signedOut(e);
      return;
    }
    if (e instanceof Refused && e.status < 500) {
      console.warn(e.message);
      return;
    }
    state.failures++;
    if (!state.lostSince) {
      state.lostSince = Date.now();
      state.retryAt = Date.now() + 500;
    }
    drawHealth();
  }

  /* ---- signing in ---- */

  function signedOut(e) {
    const had = state.token !== '';
    if (state.isSignedOut) return;
    state.isSignedOut = true;
    state.isLetIn = false;
    state.session++;
    state.token = '';
    keep(sessionStorage, KEPT_TOKEN, '');
    feed.stop();
    $('board').hidden = true;
    $('sign-in').hidden = false;
    $('sign-out').hidden = true;
    $('sign-in-error').hidden = !had;
    say('sign-in-error', e.status === 403
      ? 'That token is good, but not for this page: its role has to be reader or operator.'
      : 'That token is not known here, or it has ended.');
    say('cluster', '');
    drawHealth();
    $('token').focus();
  }

  function signIn(token) {
    state.token = token;
    keep(sessionStorage, KEPT_TOKEN, token);
    $('token').value = '';
    begin();
  }

  function begin() {
    state.isSignedOut = false;
    state.session++;
    state.retryAt = 0;
    for (const s of sources) s.isAsked = false;
    $('sign-in-error').hidden = true;
    $('sign-out').hidden = state.token === '';
    lookAtAll();
  }

  /* ---- health ---- */

  function drawHealth() {
    const lost = $('lost');
    let kind = 'wait', text = 'Connecting';
    if (state.isSignedOut) {
      text = 'Signed out';
    } else if (state.lostSince) {
      kind = 'lost';
      text = 'Not reachable';
    } else if (state.health) {
      const why = troubles();
      kind = why.length ? 'degraded' : 'ok';
      text = why.length ? 'Degraded: ' + why.join(', ') : 'Healthy';
    }
    $('health').dataset.state = kind;
    say('health-text', text);
    lost.hidden = !state.lostSince || state.isSignedOut;
    if (!lost.hidden)
      say('lost', `The control plane does not answer since ${clock(state.lostSince)}. What is shown is from before; nodes go on without it. Trying again.`);
    $('board').classList.toggle('stale', state.lostSince !== 0);
    document.title = (kind === 'ok' ? '' : kind === 'wait' ? '' : '\u25cf ') + 'ElioP2P' + (state.cluster ? ' / ' + state.cluster : '');
  }

  function troubles() {
    const h = state.health, why = [];
    if (h.dead) why.push(plural(h.dead, 'node dead', 'nodes dead'));
    if (h.suspect) why.push(`${h.suspect} suspect`);
    if (h.disk_faults) why.push(plural(h.disk_faults, 'disk', 'disks'));
    if (h.not_ready) why.push(`${h.not_ready} not ready`);
    if (state.origin && state.origin.failing.length) why.push('origin');
    if (state.store && !state.store.up) why.push('store');
    if (!why.length && state.alerts) why.push(plural(state.alerts, 'alert', 'alerts'));
    return why;
  }

  function drawOrigin(a) {
    state.origin = a;
    say('origin-hint', a.failing.length
      ? `origin fails at ${plural(a.failing.length, 'node', 'nodes')}`
      : a.reaching ? `origin reached by ${plural(a.reaching, 'node', 'nodes')}` : '');
    drawHealth();
  }

  function drawStatus(a) {
    state.skew = Date.parse(a.timestamp) - Date.now();
    state.cluster = a.cluster_id;
    state.store = a.store;
    say('cluster', a.cluster_id);
    $('foot').replaceChildren(...[
      `eliocp ${a.version}`, `up ${duration(a.uptime_seconds * 1000)}`, `${bytes(a.rss_bytes)} resident`,
      `${count(a.requests)} requests`, `store ${a.store.kind}${a.store.up ? '' : ' is away'}`,
      a.store.pending ? `${count(a.store.pending)} records not durable yet` : null,
      a.has_duty ? 'holds the duty' : 'another one holds the duty',
      a.open ? 'open: no token exists, only this machine reaches it' : null,
    ].filter(Boolean).map((t) => el('span', {}, t)));
    drawHealth();
  }

  /* ---- tiles ---- */

  function drawMetrics(a) {
    const c = a.metrics.cache, p = a.metrics.p2p, s = a.metrics.storage;
    const all = c.memory_bytes + c.disk_bytes + p.peer_bytes + s.origin_bytes;
    const saved = s.origin_bytes_saved;
    const share = (v) => (all ? percent(v / all) : '\u2013');

    say('saved-ratio', share(saved), all ? saved / all : '');
    say('saved-sub', all ? `${bytes(saved)} of ${bytes(all)}` : 'nothing was served yet');
    say('hit-ratio', share(c.memory_bytes + c.disk_bytes), all ? c.hit_ratio : '');
    say('hit-sub', all ? `memory ${share(c.memory_bytes)} \u00b7 disk ${share(c.disk_bytes)}` : 'nothing was served yet');
    say('chunks', count(a.total_chunks), a.total_chunks);
    say('chunks-sub', a.total_chunks
      ? `${(p.locations / a.total_chunks).toFixed(1)} copies each \u00b7 ${p.low_chunks ? count(p.low_chunks) + ' too few' : 'none too few'}`
      : 'none reported yet');
    say('sum-served', bytes(all), all);
    say('sum-origin', bytes(s.origin_bytes), s.origin_bytes);
    say('sum-saved', bytes(saved), saved);
  }

  function drawStates(nodes) {
    const order = ['active', 'joining', 'draining', 'suspect', 'dead'], by = {};
    for (const n of nodes) by[n.state] = (by[n.state] || 0) + 1;
    const active = (by.active || 0) + (by.joining || 0) + (by.draining || 0);
    const told = order.filter((k) => by[k]).map((k) => `${count(by[k])} ${k}`);
    sayBig('nodes-active', count(active), active);
    say('nodes-total', count(nodes.length), nodes.length);
    say('nodes-sub', told.join(' \u00b7 ') || 'none has registered yet');
    $('nodes-states').setAttribute('aria-label', told.join(', ') || 'no nodes');
    $('nodes-states').replaceChildren(...order.filter((k) => by[k]).map((k) => {
      const part = el('span', { class: k });
      part.style.flexGrow = by[k];
      return part;
    }));
  }

  /* ---- charts ---- */

  const charts = {};

  function axis(more) {
    return { grid: { color: css('--line'), drawBorder: false, tickLength: 0 }, border: { display: false },
      ticks: { color: css('--faint'), padding: 8, maxRotation: 0, autoSkipPadding: 24, font: { size: 11 } }, ...more };
  }

  function tooltip(label) {
    return { backgroundColor: css('--raised'), titleColor: css('--text'), bodyColor: css('--text'), borderColor: css('--line-strong'),
      borderWidth: 1, padding: 10, boxPadding: 4, usePointStyle: true, callbacks: label };
  }

  /* Marks at whole minutes, or whatever makes about five of them. */
  function timeAxis(from, to) {
    const step = [10, 30, 60, 180, 300, 600, 1800].find((s) => (to - from) / 1000 / s <= 6) * 1000 || 3600000;
    const marks = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) marks.push({ value: at });
    return axis({ type: 'linear', min: from, max: to, grid: { display: false }, afterBuildTicks: (a) => { a.ticks = marks; },
      ticks: { ...axis().ticks, autoSkip: false, callback: (v) => clock(v).slice(0, step < 60000 ? 8 : 5) } });
  }

  function options(x, y, label, mode) {
    return { animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true,
      interaction: { mode: mode || 'index', intersect: false }, layout: { padding: { top: 6 } },
      plugins: { legend: { display: false }, tooltip: tooltip(label) }, scales: { x, y } };
  }

  /* The chart of that canvas, with other data. */
  function draw(id, type, datasets, opts, labels) {
    const c = charts[id];
    if (!c) {
      charts[id] = new Chart($(id), { type, data: { labels, datasets }, options: opts });
      return;
    }
    c.data.labels = labels;
    datasets.forEach((d, i) => { c.data.datasets[i] = Object.assign(c.data.datasets[i] || {}, d); });
    c.data.datasets.length = datasets.length;
    c.options = opts;
    c.update('none');
  }

  /* Bytes a second at moments `step` apart, each the mean of the `window` before it. */
  function rates(points, from, to, step, window) {
    const out = [];
    for (let at = to; at > from && at >= points[0].ms; at -= step) {
      const some = points.filter((p) => p.ms > at - window && p.ms <= at);
      const one = { ms: at };
      for (const k of SOURCES) one[k] = some.reduce((n, p) => n + p[k], 0) * 1000 / window;
      out.unshift(one);
    }
    return out;
  }

  function areas(all) {
    return SOURCES.slice().reverse().map((k, i) => ({ label: LABELS[k], data: all.map((p) => ({ x: p.ms, y: p[k] })),
      fill: i === 0 ? 'origin' : '-1', stack: 'all', borderColor: css('--' + k), backgroundColor: css('--' + k) + '66', pointStyle: 'rectRounded',
      borderWidth: 1.5, pointRadius: 0, pointHitRadius: 8, tension: 0.25, cubicInterpolationMode: 'monotone' }));
  }

  const rateTip = {
    title: (items) => (items.length ? clock(items[0].parsed.x) : ''),
    label: (i) => ` ${i.dataset.label}  ${rate(i.parsed.y)}`,
    footer: (items) => 'together ' + rate(items.reduce((n, i) => n + i.parsed.y, 0)),
  };

  /* Steps of 1, 2 or 5 of a binary unit. */
  function rateAxis(all) {
    const most = Math.max(1024, ...all.map(sum)), unit = 1024 ** Math.floor(Math.log(most) / Math.log(1024));
    const step = unit * [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 256, 512].find((s) => most / unit / s <= 4);
    return axis({ stacked: true, min: 0, max: Math.ceil(most / step) * step,
      ticks: { ...axis().ticks, stepSize: step, callback: (v) => rate(v).replace(/\.0+ | (?=B\/s)/, ' ').replace(/(\.\d)0 /, '$1 ') } });
  }

  function stamped(points) { return points.map((p) => ({ ...p, length: p.ms, ms: Date.parse(p.at) })); }

  function drawTimeline(a) {
    if (a) state.timeline = { points: stamped(a.points), step: a.step_ms };
    if (!state.timeline || !state.timeline.points.length) return;
    const t = state.timeline, points = t.points, to = points[points.length - 1].ms;
    const from = to - state.range * 1000, window = Math.max(15000, state.range * 1000 / 60);
    const all = rates(points, from, to, Math.max(t.step, state.range * 1000 / 60), window);
    const now = sum(all[all.length - 1]);

    sayBig('rate', rate(now), now);
    say('rate-sub', `mean of ${duration(window)}`);
    draw('chart-sources', 'line', areas(all), options(timeAxis(from, to), rateAxis(all), rateTip));
    drawSavedOverTime(all, from, to);
    drawLegend(points.filter((p) => p.ms > from));
    $('sources-empty').hidden = all.some((p) => sum(p) > 0);
  }

  function drawSavedOverTime(all, from, to) {
    const data = all.map((p) => ({ x: p.ms, y: sum(p) > 0 ? 1 - p.origin / sum(p) : null }));
    const y = axis({ min: 0, max: 1, ticks: { ...axis().ticks, maxTicksLimit: 5, callback: (v) => Math.round(v * 100) + ' %' } });
    draw('chart-saved', 'line', [{ label: 'Saved', data, borderColor: css('--good'), backgroundColor: css('--good') + '22', fill: true,
      borderWidth: 1.75, pointRadius: 0, pointHitRadius: 8, spanGaps: true }],
      options(timeAxis(from, to), y, { title: rateTip.title, label: (i) => ' saved  ' + percent(i.parsed.y) }));
  }

  function drawLegend(points) {
    const all = {};
    for (const k of SOURCES) all[k] = points.reduce((n, p) => n + p[k], 0);
    const total = sum(all);
    $('legend').replaceChildren(...SOURCES.map((k) => el('li', { 'data-source': k, 'data-value': all[k] },
      el('span', { class: 'swatch ' + k }), LABELS[k], el('strong', {}, bytes(all[k])),
      el('span', { class: 'share' }, total ? percent(all[k] / total) : ''))));
  }

  function drawCopies(a) {
    let last = a.copies.length;
    while (last > Math.max(6, a.max_copies + 1) && !a.copies[last - 1].chunks) last--;
    const shown = a.copies.slice(0, last), good = css('--disk'), low = css('--warn'), many = css('--idle');
    const max = a.copies.length;
    const name = (c) => c + (c === max ? ' or more' : '');
    draw('chart-copies', 'bar', [{ label: 'Chunks', data: shown.map((c) => ({ x: name(c.copies), y: c.chunks })), borderRadius: 3, maxBarThickness: 34,
      backgroundColor: shown.map((c) => (c.copies < a.min_copies ? low : c.copies > a.max_copies ? many : good)) }],
      options(axis({ grid: { display: false } }), axis({ beginAtZero: true, ticks: { ...axis().ticks, precision: 0, maxTicksLimit: 6 } }),
        { title: (i) => `${i[0].label} ${i[0].label === '1' ? 'copy' : 'copies'}`, label: (i) => ' ' + plural(i.parsed.y, 'chunk', 'chunks') }),
      shown.map((c) => name(c.copies)));
    say('copies-hint', `wanted: ${a.min_copies} to ${a.max_copies}`);
    $('copies-hint').title = 'unless a policy says otherwise';
    $('chart-copies').dataset.value = JSON.stringify(a.copies.map((c) => c.chunks));
    $('copies-empty').hidden = a.copies.some((c) => c.chunks);
  }

  /* ---- downloads ---- */

  function lane(d) {
    const share = d.done_bytes / d.total_bytes, missing = d.total_bytes - d.had_bytes, came = d.done_bytes - d.had_bytes;
    const ratio = d.bound_ms && came > 0 ? d.elapsed_ms * missing / came / d.bound_ms : 0;
    const best = d.bound_ms ? (d.had_bytes + missing * Math.min(1, d.elapsed_ms / d.bound_ms)) / d.total_bytes : undefined;
    const e = el('li', { class: 'lane', 'data-node': d.node_id, 'data-done': d.done_bytes, 'data-total': d.total_bytes },
      el('span', { class: 'who', title: d.node_id }, nameOf(d.node_id)),
      track(share, '', best),
      el('span', { class: 'n' }, percent(share)),
      el('span', { class: 'n rate' }, rate(d.rate_bytes_s)),
      el('span', { class: 'n ratio', title: d.bound_ms ? `since ${duration(d.elapsed_ms)}; the bound is ${duration(d.bound_ms)}` : 'no bound is known' },
        ratio ? (ratio < 10 ? ratio.toFixed(2) : ratio < 100 ? ratio.toFixed(0) : '> 99') + '\u00d7' : '\u2013'));
    return e;
  }

  function nameOf(id) {
    const n = state.nodes.find((x) => x.node_id === id);
    return n ? nodeName(n) : shortId(id);
  }

  function swarm(list) {
    const first = list[0], done = list.reduce((n, d) => n + d.done_bytes, 0), all = list.reduce((n, d) => n + d.total_bytes, 0);
    const bound = list.reduce((n, d) => Math.max(n, d.bound_ms), 0);
    const slowest = list.slice().sort((a, b) => a.done_bytes - b.done_bytes).slice(0, MAX_LANES)
      .sort((a, b) => (nameOf(a.node_id) < nameOf(b.node_id) ? -1 : 1));
    return el('article', { class: 'swarm', 'data-object': first.object },
      el('div', { class: 'top' },
        nameOfObject(first),
        el('span', { class: 'end' }, [bytes(first.total_bytes), plural(list.length, 'node', 'nodes'), all ? percent(done / all) : '',
          bound ? `bound ${duration(bound)}` : ''].filter(Boolean).join(' \u00b7 '))),
      el('ul', { class: 'lanes' }, ...slowest.map(lane)),
      list.length > MAX_LANES ? el('p', { class: 'fine' }, `and ${count(list.length - MAX_LANES)} more that are further`) : null);
  }

  function drawSwarms(a) {
    const by = new Map();
    keepNames(a.downloads);
    for (const d of a.downloads) {
      if (!d.total_bytes) continue;
      if (!by.has(d.object)) by.set(d.object, []);
      by.get(d.object).push(d);
    }
    const lists = [...by.values()].sort((x, y) => y.length - x.length);
    say('swarm-hint', lists.length ? `${plural(a.downloads.length, 'download', 'downloads')} of ${plural(lists.length, 'object', 'objects')}` : '');
    $('swarms').replaceChildren(...(lists.length ? lists.map(swarm)
      : [el('p', { class: 'empty' }, 'No node fetches anything from others right now.')]));
  }

  /* ---- alerts, operations ---- */

  function drawAlerts(a) {
    state.alerts = a.alerts.length;
    say('alerts-count', count(a.alerts.length), a.alerts.length);
    say('alerts-sub', a.alerts.length ? `${a.alerts[0].alert.replace(/_/g, ' ')}: ${nameOf(a.alerts[0].subject)}` : 'nothing to look at');
    $('alerts-tile').classList.toggle('raised', a.alerts.length > 0);
    $('alerts').replaceChildren(...(a.alerts.length ? a.alerts.map((x) => el('li', {},
      el('div', { class: 'top' }, el('span', { class: 'badge bad' }, x.alert.replace(/_/g, ' ')), el('strong', {}, nameOf(x.subject)),
        el('time', { class: 'end', datetime: x.since }, 'since ' + clock(x.since))),
      el('p', { class: 'text' }, x.text)))
      : [el('li', {}, el('div', { class: 'top' }, el('span', { class: 'badge good' }, 'no alerts'), el('span', { class: 'text' }, 'Nothing needs attention.')))]));
    drawHealth();
  }

  const KINDS = { running: 'run', done: 'good', failed: 'bad', cancelled: '' };

  function drawOperations(a) {
    $('operations').replaceChildren(...(a.operations.length ? a.operations.map((o) => {
      const share = o.total ? (o.done + o.failed) / o.total : o.state === 'running' ? 0 : 1;
      return el('li', { 'data-operation': o.operation_id },
        el('div', { class: 'top' }, el('span', { class: 'badge ' + (KINDS[o.state] || '') }, o.state), el('strong', {}, o.kind),
          el('span', { class: 'text' }, o.scope === 'all' ? 'everything' : `${o.scope} ${o.entity_id}`),
          el('span', { class: 'end' }, `${count(o.done)} of ${count(o.total)}` + (o.failed ? `, ${count(o.failed)} failed` : '') + ` \u00b7 ${clock(o.created_at)}`)),
        o.state === 'running' ? track(share) : o.failed ? track(share, 'bad') : null,
        o.message ? el('p', { class: 'text' }, o.message) : null);
    }) : [el('li', {}, el('div', { class: 'top' }, el('span', { class: 'badge' }, 'no operations'),
      el('span', { class: 'text' }, 'Snapshots, replays, drains and backups appear here.')))]));
  }

  /* ---- the map ---- */

  function columnAt(canvas, x, n) {
    return Math.max(0, Math.min(n - 1, Math.floor(x / canvas.clientWidth * n)));
  }

  function tell(row, column) {
    const n = state.map.nodes[column], of = row.looked || 0;
    say('map-tip', `${nodeName(n)}${n.zone ? ' \u00b7 ' + n.zone : ''} \u00b7 ${n.state} \u00b7 has ${count(row.held[column])} of ${plural(of, 'chunk', 'chunks')} of ${objectName(row)}`);
  }

  /* One column for each node, as dark as its share of the chunks. Zones are a pixel apart. */
  function drawStrip(canvas, row) {
    const nodes = state.map.nodes, box = canvas.parentNode.clientWidth, wide = Math.min(box, nodes.length * 28);
    const scale = window.devicePixelRatio || 1, g = canvas.getContext('2d');
    canvas.style.width = wide + 'px';
    canvas.width = Math.max(1, Math.round(wide * scale));
    canvas.height = Math.round(16 * scale);
    const each = canvas.width / nodes.length, gap = each > 6 * scale ? 2 * scale : 0, cell = css('--cell'), full = css('--disk');
    nodes.forEach((n, i) => {
      const share = row.looked ? row.held[i] / row.looked : 0;
      const newZone = i > 0 && nodes[i - 1].zone !== n.zone ? scale : 0;
      g.globalAlpha = 1;
      g.fillStyle = cell;
      g.fillRect(i * each + newZone, 0, Math.max(each - gap - newZone, 0.5), canvas.height);
      if (!share) return;
      g.globalAlpha = 0.2 + 0.8 * share;
      g.fillStyle = full;
      g.fillRect(i * each + newZone, 0, Math.max(each - gap - newZone, 0.5), canvas.height);
    });
  }

  function mapRow(row, hottest) {
    const canvas = el('canvas', { height: 16, role: 'img',
      'aria-label': `held by ${row.held.filter((h) => h > 0).length} of ${state.map.nodes.length} nodes` });
    canvas.addEventListener('mousemove', (e) => {
      if (state.map.nodes.length) tell(row, columnAt(canvas, e.offsetX, state.map.nodes.length));
    });
    const copies = row.min_copies === row.max_copies ? row.min_copies : `${row.min_copies}\u2013${row.max_copies}`;
    const tr = el('tr', { class: 'can', 'data-object': row.object || row.name, 'data-held': row.held.join(',') },
      el('td', {}, nameOfObject(row),
        state.by === 'prefix' ? el('span', { class: 'small' }, plural(row.objects, 'object', 'objects')) : null),
      el('td', { class: 'heat', title: row.heat.toFixed(1) }, track(hottest ? row.heat / hottest : 0)),
      el('td', { class: 'n' }, row.bytes ? bytes(row.bytes) : '\u2013'),
      el('td', { class: 'n' }, count(row.chunks)), el('td', { class: 'n' }, String(copies)), el('td', { class: 'strip' }, canvas));
    return { tr, canvas, row };
  }

  function drawMap(a) {
    if (a) {
      state.map = a;
      keepNames(a.rows);
    }
    if (!state.map) return;
    const hottest = state.map.rows.reduce((n, r) => Math.max(n, r.heat), 0), body = document.querySelector('#map tbody');
    const rows = state.map.rows.map((r) => mapRow(r, hottest));
    say('map-name', state.by === 'prefix' ? 'Prefix' : 'Object');
    say('h-objects', state.by === 'prefix' ? 'Hottest prefixes' : 'Hottest objects');
    say('map-hint', `and which of ${plural(state.map.nodes.length, 'node', 'nodes')} have how much of them`);
    body.replaceChildren(...(rows.length ? rows.map((r) => r.tr)
      : [el('tr', {}, el('td', { colspan: 6, class: 'empty' }, 'No node has reported a chunk yet.'))]));
    for (const r of rows) drawStrip(r.canvas, r.row);
  }

  /* ---- nodes ---- */

  const SORTS = {
    name: (n) => nodeName(n).toLowerCase(), zone: (n) => n.zone, state: (n) => n.state,
    memory: (n) => fullness(n.memory_used_mb, n.memory_capacity_mb), disk: (n) => fullness(n.disk_used_mb, n.disk_capacity_mb),
    chunks: (n) => n.total_chunks, hit: (n) => n.cache_hit_rate, up: (n) => n.upload_speed_mbps, down: (n) => n.download_speed_mbps,
    connections: (n) => n.active_connections, served: (n) => sum(n.bytes), seen: (n) => n.last_seen_ms,
  };

  function fullness(used, capacity) { return capacity ? used / capacity : 0; }

  function fill(used, capacity, kind, note) {
    if (!capacity) return el('span', { class: 'small' }, note || 'none');
    return el('span', { class: 'fill ' + kind, title: percent(fullness(used, capacity)) }, track(fullness(used, capacity)),
      el('span', {}, `${bytes(used * 1048576)} `, el('span', { class: 'small' }, 'of ' + bytes(capacity * 1048576) + (note ? ' \u00b7 ' + note : ''))));
  }

  function nodeRow(n, now) {
    const open = el('button', { type: 'button' }, el('span', { class: 'title' }, nodeName(n)),
      el('span', { class: 'small mono' }, `${shortId(n.node_id)} \u00b7 ${n.address}`));
    open.title = n.node_id;
    open.addEventListener('click', () => showNode(n.node_id));
    const note = n.disk_state === 'degraded' || n.disk_state === 'down' ? n.disk_state : '';
    return el('tr', { class: 'can', 'data-node': n.node_id, 'data-state': n.state },
      el('td', {}, open),
      el('td', {}, n.zone || '\u2013'),
      el('td', {}, el('span', { class: 'state', 'data-state': n.state }, el('span', { class: 'dot', 'aria-hidden': 'true' }), n.state,
        n.ready || n.state !== 'active' ? null : el('span', { class: 'badge warn' }, 'not ready'),
        n.origin_ok ? null : el('span', { class: 'badge bad' }, 'origin'))),
      el('td', {}, fill(n.memory_used_mb, n.memory_capacity_mb, 'memory')),
      el('td', {}, fill(n.disk_used_mb, n.disk_state === 'none' ? 0 : n.disk_capacity_mb, 'disk', note)),
      el('td', { class: 'n' }, count(n.total_chunks)),
      el('td', { class: 'n' }, percent(n.cache_hit_rate)),
      el('td', { class: 'n' }, megabits(n.download_speed_mbps)),
      el('td', { class: 'n' }, megabits(n.upload_speed_mbps)),
      el('td', { class: 'n' }, count(n.active_connections)),
      el('td', {}, el('span', { class: 'served' }, mix(n.bytes), bytes(sum(n.bytes)))),
      el('td', { class: 'n' }, duration(Math.max(0, now - Date.parse(n.last_seen))) + ' ago'));
  }

  function fits(n) {
    const text = $('nodes-filter').value.trim().toLowerCase(), zone = $('nodes-zone').value, life = $('nodes-state').value;
    return (!life || n.state === life) && (!zone || n.zone === zone) &&
      (!text || [n.name, n.node_id, n.address, n.zone].some((t) => t.toLowerCase().includes(text)));
  }

  function sorted(list) {
    const key = SORTS[state.sort], sign = state.descending ? -1 : 1;
    return list.map((n) => [key(n), nodeName(n), n]).sort((a, b) =>
      (a[0] < b[0] ? -sign : a[0] > b[0] ? sign : a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0)).map((x) => x[2]);
  }

  function drawZones() {
    const select = $('nodes-zone'), zones = [...new Set(state.nodes.map((n) => n.zone).filter(Boolean))].sort();
    const had = [...select.options].slice(1).map((o) => o.value);
    if (zones.join('\n') === had.join('\n')) return;
    const chosen = select.value;
    select.replaceChildren(el('option', { value: '' }, 'any zone'), ...zones.map((z) => el('option', { value: z }, z)));
    select.value = zones.includes(chosen) ? chosen : '';
  }

  function drawNodes(a) {
    if (a) {
      state.nodes = a.nodes;
      drawStates(a.nodes);
      drawZones();
    }
    const list = sorted(state.nodes.filter(fits)), pages = Math.max(1, Math.ceil(list.length / PAGE_ROWS)), now = Date.now() + state.skew;
    const held = document.activeElement && document.activeElement.closest('#nodes tbody tr');
    state.page = Math.max(0, Math.min(state.page, pages - 1));
    const rows = list.slice(state.page * PAGE_ROWS, (state.page + 1) * PAGE_ROWS);
    document.querySelector('#nodes tbody').replaceChildren(...(rows.length ? rows.map((n) => nodeRow(n, now))
      : [el('tr', {}, el('td', { colspan: 12, class: 'empty' }, state.nodes.length ? 'No node fits the filter.' : 'No node has registered yet.'))]));
    if (held) focusRow(held.dataset.node);
    say('nodes-hint', list.length === state.nodes.length ? count(list.length) : `${count(list.length)} of ${count(state.nodes.length)}`);
    say('page-text', pages > 1 ? `page ${state.page + 1} of ${pages}` : '');
    $('page-back').hidden = $('page-on').hidden = pages < 2;
    $('page-back').disabled = state.page === 0;
    $('page-on').disabled = state.page === pages - 1;
    if (state.shown) drawFacts();
  }

  /* The table is drawn anew while somebody goes through it by keyboard. */
  function focusRow(id) {
    const row = [...document.querySelectorAll('#nodes tbody tr')].find((r) => r.dataset.node === id);
    if (row) row.querySelector('button').focus({ preventScroll: true });
  }

  function sortBy(th) {
    const key = th.dataset.sort;
    state.descending = state.sort === key ? !state.descending : !['name', 'zone', 'state', 'seen'].includes(key);
    state.sort = key;
    markSort();
    drawNodes();
  }

  function markSort() {
    for (const th of document.querySelectorAll('#nodes th')) {
      if (th.dataset.sort === state.sort) th.setAttribute('aria-sort', state.descending ? 'descending' : 'ascending');
      else th.removeAttribute('aria-sort');
    }
  }

  /* ---- one node ---- */

  function showNode(id) {
    state.shown = id;
    drawFacts();
    $('node-dialog').showModal();
    lookAtNode();
  }

  function drawFacts() {
    const n = state.nodes.find((x) => x.node_id === state.shown);
    if (!n) return;
    const facts = { Id: n.node_id, State: n.state, Zone: n.zone || '\u2013', Address: `${n.address}, p2p ${n.p2p_port}, http ${n.http_port}`, Version: n.version || '\u2013',
      Health: `${n.health} of 100`, Disk: n.disk_state, Origin: n.origin_ok ? `well, ${count(n.origin_errors)} errors` : `fails, ${count(n.origin_errors)} errors`,
      ...(n.probe ? { Asked: n.probe.ok ? `answers in ${n.probe.ms} ms` : `no answer, ${count(n.probe.failures)} times` } : {}),
      Clock: n.clock_skew_ms ? `${n.clock_skew_ms} ms beside ours` : 'as ours', Groups: n.groups.join(', ') || '\u2013',
      Labels: Object.entries(n.labels).map(([k, v]) => `${k}=${v}`).join(', ') || '\u2013', Registered: new Date(n.registered_at).toLocaleString('en-GB'),
      ...Object.fromEntries(SOURCES.map((k) => ['From ' + LABELS[k].toLowerCase(), bytes(n.bytes[k])])) };
    say('node-title', nodeName(n));
    $('node-facts').replaceChildren(...Object.entries(facts).map(([k, v]) => el('div', {}, el('dt', {}, k), el('dd', {}, String(v)))));
  }

  async function lookAtNode() {
    const id = state.shown;
    if (!id) return;
    try {
      const a = await get(`/api/v1/nodes/${encodeURIComponent(id)}/timeline`);
      if (state.shown === id) drawNodeChart(stamped(a.points));
    } catch (e) {
      failed(e);
    }
  }

  /* Each point is as long as the node took from beat to beat. */
  function drawNodeChart(points) {
    const list = points.filter((p) => p.length > 0), to = list.length ? list[list.length - 1].ms : Date.now();
    const from = Math.min(to - 60000, list.length ? list[0].ms : to);
    const all = list.map((p) => ({ ms: p.ms, ...Object.fromEntries(SOURCES.map((k) => [k, p[k] * 1000 / p.length])) }));
    $('node-empty').hidden = all.some((p) => sum(p) > 0);
    draw('chart-node', 'line', areas(all), options(timeAxis(from, to), rateAxis(all), rateTip));
  }

  /* ---- events ---- */

  const GOOD = ['node_up'], BAD = ['node_down', 'alert'];
  const STRUCTURE = ['node_up', 'node_down', 'node_state', 'node_changed', 'operation', 'alert'];

  function eventText(e) {
    if (e.type === 'commands_available') return plural(e.count || 1, 'command waits', 'commands wait');
    return chunkNames(e.text) + (e.count > 1 ? ` (${count(e.count)})` : '');
  }

  function addEvent(e) {
    const list = $('events'), kind = GOOD.includes(e.type) ? ' good' : BAD.includes(e.type) ? ' bad' : '';
    const who = e.node_id ? nameOf(e.node_id) : e.subject || '';
    list.querySelectorAll('.empty').forEach((x) => x.remove());
    list.prepend(el('li', { 'data-seq': e.seq, 'data-type': e.type },
      el('time', { datetime: e.at }, clock(e.at)), el('span', {}, el('span', { class: 'badge' + kind }, e.type.replace(/_/g, ' '))),
      el('span', { class: 'who', title: e.node_id || e.subject || '' }, who),
      el('span', { class: 'text' }, eventText(e))));
    while (list.children.length > MAX_EVENTS) list.lastChild.remove();
    if (STRUCTURE.includes(e.type)) hurry();
  }

  function addMark(text) {
    $('events').prepend(el('li', {}, el('time', {}, clock(Date.now())), el('span', {}, el('span', { class: 'badge warn' }, 'gap')),
      el('span', { class: 'who' }), el('span', { class: 'text' }, text)));
  }

  /* A position in the stream of events, and whatever brings what comes after it. */
  const feed = {
    after: null, stream: null, ws: null, generation: 0, isPaused: false, waiting: [], tryAgain: 0,

    start() {
      this.stop();
      this.follow(this.generation);
    },

    stop() {
      this.generation++;
      clearTimeout(this.tryAgain);
      if (this.ws) this.ws.close();
      this.ws = null;
      this.say('wait', 'no events');
    },

    /* At once, where it would wait. */
    retry() { if (!this.ws) this.start(); },

    say(kind, text) {
      $('feed').dataset.state = kind;
      say('feed-text', text);
    },

    async follow(g) {
      try {
        if (this.after === null) await this.beginAtNow();
        if (g === this.generation) this.open(g);
      } catch (e) {
        if (g !== this.generation) return;
        failed(e);
        this.later(g, 2000);
      }
    },

    later(g, ms) {
      if (g !== this.generation || state.isSignedOut) return;
      this.tryAgain = setTimeout(() => { if (g === this.generation) this.start(); }, ms);
    },

    /* The last hundred, and their stream. */
    async beginAtNow() {
      const s = await get('/api/v1/status');
      await this.catchUp(Math.max(0, s.events - 100), null);
    },

    async catchUp(after, stream) {
      const a = await get(`/api/v1/events?after=${after}&limit=1000` + (stream ? `&stream=${encodeURIComponent(stream)}` : ''));
      this.take(a);
    },

    take(a) {
      if (this.stream && (a.gap || a.stream !== this.stream)) this.lost();
      this.stream = a.stream;
      for (const e of a.events) this.on(e);
      this.after = a.next;
    },

    lost() {
      addMark('Events before this were not seen: the control plane was restarted, or this page was away for too long.');
      hurry();
    },

    on(e) {
      this.after = e.seq;
      if (this.isPaused) this.waiting.push(e);
      else addEvent(e);
      if (this.waiting.length > MAX_EVENTS) this.waiting.shift();
      drawPaused();
    },

    open(g) {
      const ws = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws');
      let isGreeted = false, pong = Date.now();
      const pinger = setInterval(() => {
        if (Date.now() - pong > 45000) ws.close();
        else if (isGreeted) ws.send('{"type":"ping"}');
      }, 15000);
      const impatient = setTimeout(() => { if (!isGreeted) ws.close(); }, 6000);
      this.ws = ws;
      ws.onopen = () => ws.send(JSON.stringify({ type: 'hello', after: this.after, stream: this.stream, ...(state.token ? { token: state.token } : {}) }));
      ws.onmessage = (m) => {
        if (g !== this.generation) return;
        const e = JSON.parse(m.data);
        pong = Date.now();
        if (e.type === 'hello') {
          isGreeted = true;
          if (!e.resumed) this.lost();
          this.stream = e.stream;
          this.say('live', 'live');
        } else if (e.seq !== undefined) {
          this.on(e);
        } else if (e.type === 'error') {
          ws.close();
        }
      };
      ws.onclose = () => {
        clearInterval(pinger);
        clearTimeout(impatient);
        if (g !== this.generation) return;
        this.ws = null;
        if (isGreeted) this.later(g, 500);
        else this.poll(g, Date.now() + 30000);
      };
    },

    /* Until the WebSocket is tried again. */
    async poll(g, until) {
      while (g === this.generation && Date.now() < until) {
        try {
          const a = await get(`/api/v1/events?after=${this.after}&stream=${encodeURIComponent(this.stream)}&wait_ms=15000`, 25000);
          if (g !== this.generation) return;
          this.say('polling', 'polling');
          this.take(a);
        } catch (e) {
          if (g !== this.generation) return;
          this.say('lost', 'no events');
          failed(e);
          await new Promise((done) => setTimeout(done, 2000));
        }
      }
      if (g === this.generation && !state.isSignedOut) this.start();
    },
  };

  function drawPaused() {
    say('events-hint', feed.isPaused ? `paused, ${plural(feed.waiting.length, 'event', 'events')} waiting` : 'newest first');
  }

  function pause() {
    feed.isPaused = !feed.isPaused;
    $('events-pause').setAttribute('aria-pressed', feed.isPaused);
    say('events-pause', feed.isPaused ? 'Go on' : 'Pause');
    if (!feed.isPaused) for (const e of feed.waiting.splice(0)) addEvent(e);
    drawPaused();
  }

  /* ---- colours, and what people do ---- */

  function press(buttons, pressed) { for (const b of buttons) b.setAttribute('aria-pressed', b === pressed); }

  function redraw() {
    drawTimeline();
    drawMap();
    for (const s of sources) if (s.draw === drawCopies) s.due = 0;
    if (state.shown) lookAtNode();
    lookAtAll();
  }

  function chooseTheme(choice) {
    if (choice === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    try {
      if (choice === 'auto') localStorage.removeItem('elio-theme'); else localStorage.setItem('elio-theme', choice);
    } catch (e) { /* it lasts as long as the page, then */ }
    redraw();
  }

  function choice(attribute, chosen, act) {
    const buttons = [...document.querySelectorAll(`button[${attribute}]`)];
    for (const b of buttons) {
      if (b.getAttribute(attribute) === chosen) press(buttons, b);
      b.addEventListener('click', () => {
        press(buttons, b);
        act(b.getAttribute(attribute));
      });
    }
  }

  function listen() {
    choice('data-theme-choice', document.documentElement.dataset.theme || 'auto', chooseTheme);
    choice('data-range', '300', (v) => { state.range = Number(v); drawTimeline(); });
    choice('data-by', 'object', (v) => { state.by = v; for (const s of sources) if (s.draw === drawMap) s.due = 0; lookAtAll(); });
    $('events-kind').addEventListener('input', () => { $('events').className = 'events ' + $('events-kind').value; });
    for (const id of ['nodes-filter', 'nodes-state', 'nodes-zone'])
      $(id).addEventListener('input', () => { state.page = 0; drawNodes(); });
    for (const th of document.querySelectorAll('#nodes th[data-sort]')) th.firstElementChild.addEventListener('click', () => sortBy(th));
    $('page-back').addEventListener('click', () => { state.page--; drawNodes(); });
    $('page-on').addEventListener('click', () => { state.page++; drawNodes(); });
    $('events-pause').addEventListener('click', pause);
    $('node-close').addEventListener('click', () => $('node-dialog').close());
    $('node-dialog').addEventListener('close', () => { state.shown = null; });
    $('sign-in').addEventListener('submit', (e) => { e.preventDefault(); signIn($('token').value.trim()); });
    $('sign-out').addEventListener('click', () => { state.token = ''; keep(sessionStorage, KEPT_TOKEN, ''); signedOut(new Refused(401, '')); $('sign-in-error').hidden = true; });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
    document.addEventListener('visibilitychange', lookAtAll);
    let resized = 0;
    addEventListener('resize', () => { clearTimeout(resized); resized = setTimeout(drawMap, 150); });
  }

  Chart.defaults.font.family = css('--sans');
  Chart.defaults.font.size = 11;
  markSort();
  listen();
  begin();
  setInterval(lookAtAll, 500);
  setInterval(() => { if (state.shown && !state.lostSince && !document.hidden) lookAtNode(); }, 5000);
})();
