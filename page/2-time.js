/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* RSS over time with phases below it, and the strip that shows the whole run. */
const M = { left: 66, right: 24, top: 8 };
const CHART_H = 250, LANE = 19, STRIP_H = 34;
let cursor = null, view = null, moving = false;
const win = () => S.span || [0, END];

/* What a process's RSS is made of, by moment. Pinned memory is a part of the shared memory and is drawn apart from it; who has none has no such series. */
const kindsOf = p => {
  const r = PROC[p].rss, rest = r.pinned ? r.shmem.map((v, i) => v - r.pinned[i]) : r.shmem;
  return [['anon', r.anon], ['file', r.file], ['shmem', rest], ['pinned', r.pinned]].filter(([k, v]) => v && (k !== 'shmem' || v.some(n => n)))
    .map(([k, v]) => ({ kind: k, v, label: t(k === 'shmem' && r.pinned ? 'shmemRest' : k), color: css('--' + k) }));
};

/* Series to stack: a process's kinds, or processes. */
const series = () => {
  if (S.proc) return kindsOf(S.proc);
  return GROUPS.filter(list => list.length).map(list => ({ procs: list, color: procColor(list[0]), label: groupOf[list[0]] === GROUPS.length - 1 ? '+ ' + list.length : safe(PROC[list[0]].name, 40) + (list.length > 1 ? ' × ' + list.length : ' ' + PROC[list[0]].pid) }));
};

/* Rows of moments within the window: [us, value of each series...], and the highest total of each. */
const moments = (list, width) => {
  const [a, b] = win(), rows = [];
  if (S.proc) {
    const r = PROC[S.proc].rss;
    const from = Math.max(0, stepAt(r.t, a)), push = (us, i) => rows.push([us, list.map(s => s.v[i] * U), r.top[i] * U]);
    for (let i = from; i < r.t.length && r.t[i] <= b; i++) push(Math.max(a, r.t[i]), i);
    if (rows.length && !PROC[S.proc].ended && rows[rows.length - 1][0] < b) rows.push([b, rows[rows.length - 1][1], rows[rows.length - 1][2]]);
    return rows;
  }
  /* columns of a pixel: the value of each process at its end; the highest sum is exact, from SUM */
  const n = Math.max(2, Math.round(width));
  for (let x = 0; x <= n; x++) {
    const us = a + (b - a) * x / n, before = a + (b - a) * (x - 1) / n, values = list.map(() => 0);
    let top = 0;
    list.forEach((s, k) => { for (const p of s.procs) { const v = rssAt(p, us); if (v) values[k] += v[0] + v[1] + v[2]; } });
    for (let i = Math.max(0, stepAt(SUM.t, before)); i < SUM.t.length && SUM.t[i] <= us; i++) top = Math.max(top, SUM.v[i] * U);
    rows.push([us, values, top]);
  }
  return rows;
};

/* Calls of phases, each in a lane: one below the other by nesting, threads apart. */
const CALLS = (() => {
  const c = D.calls, by = PROC.map(() => []);
  for (let i = 0; i < c.proc.length; i++) by[c.proc[i]].push({ path: c.path[i], tid: c.tid[i], call: c.call[i], a: c.start[i] / 1000, b: (c.start[i] + c.time[i]) / 1000, r0: c.rss_start[i] * U, r1: c.rss_end[i] * U, exact: c.flags[i] & 1, open: c.flags[i] >> 1 & 1 });
  for (const list of by) list.sort((x, y) => x.a - y.a || pathDepth[x.path] - pathDepth[y.path]);
  return by;
})();
const lanesOf = (p, depthMax) => {
  const groups = new Map();
  for (const c of CALLS[p]) {
    if (pathDepth[c.path] > depthMax) continue;
    if (!groups.has(c.tid)) groups.set(c.tid, []);
    groups.get(c.tid).push(c);
  }
  return [...groups].sort((x, y) => (y[0] === PROC[p].pid) - (x[0] === PROC[p].pid) || x[0] - y[0]);
};

/* Bytes of a round size on the axis: powers of two times 1, 2, 5 of a unit. */
const sizeTicks = (max, n) => {
  const unit = max >= 1073741824 ? 1073741824 : max >= 1048576 ? 1048576 : 1024;
  return d3.ticks(0, max / unit, n).map(v => v * unit);
};
const tickSize = (v, max) => !v ? '0' : max >= 1073741824 ? +(v / 1073741824).toFixed(2) + ' GiB' : max >= 1048576 ? +(v / 1048576).toFixed(1) + ' MiB' : +(v / 1024).toFixed(0) + ' KiB';

let pen = null;
const fit = (text, width) => {
  pen = pen || document.createElement('canvas').getContext('2d');
  pen.font = '11.5px ' + getComputedStyle(document.body).fontFamily;
  if (pen.measureText(text).width <= width) return text;
  let lo = 0, hi = Math.min(text.length, Math.ceil(width / 3));
  while (lo < hi) { const m = (lo + hi + 1) >> 1; if (pen.measureText(text.slice(0, m) + '…').width <= width) lo = m; else hi = m - 1; }
  return lo > 1 ? text.slice(0, lo) + '…' : '';
};

const drawLanes = (g, x, width, y0) => {
  const list = S.proc ? [S.proc] : byPeak.filter(p => CALLS[p].length).slice(0, 6), [a, b] = win();
  let y = y0;
  for (const p of list) {
    const groups = lanesOf(p, S.proc ? 99 : 2);
    groups.slice(0, S.proc ? 12 : 1).forEach(([tid, calls]) => {
      if (!S.proc || groups.length > 1) {
        g.append('text').attr('class', 'group').attr('x', M.left).attr('y', y + 12).text(fit(S.proc ? 'tid ' + tid : safe(PROC[p].name, 60) + ' ' + PROC[p].pid, width));
        y += 17;
      }
      const depth = d3.max(calls, c => pathDepth[c.path]), last = new Array(depth + 1).fill(-1);
      for (const c of calls) {
        if (c.b < a || c.a > b) continue;
        const d = pathDepth[c.path], x0 = x(Math.max(a, c.a)), x1 = Math.max(x(Math.min(b, c.b)), x0 + 1);
        if (x1 - last[d] < 0.7) continue; /* drawn already */
        last[d] = x1;
        const lane = g.append('g').attr('class', 'lane').datum({ p, c });
        const chosen = S.path && S.path[1] === c.path && (!S.path[0] || S.path[0] === p);
        lane.append('rect').attr('x', x0).attr('y', y + (d - 1) * LANE).attr('width', Math.max(x1 - x0 - 0.5, 0.8)).attr('height', LANE - 2).attr('rx', x1 - x0 > 6 ? 3 : 0).attr('fill', phaseColor(c.path))
          .attr('stroke', chosen ? css('--ink') : 'none').attr('stroke-width', 1.5);
        if (x1 - x0 > 26) lane.append('text').attr('x', x0 + 5).attr('y', y + (d - 1) * LANE + 12.5).style('fill', 'var(--ink)').text(fit(safe(pathLabel(c.path), 80), x1 - x0 - 9));
      }
      y += depth * LANE + 3;
    });
  }
  return y - y0;
};

const drawChart = () => {
  const box = $('chart'), W = Math.max(320, box.clientWidth), width = W - M.left - M.right, [a, b] = win(), list = series();
  const x = d3.scaleLinear().domain([a, b]).range([M.left, W - M.right]), rows = moments(list, width);
  const max = d3.max(rows, r => Math.max(r[2], d3.sum(r[1]))) || U;
  const y = d3.scaleLinear().domain([0, max * 1.06]).range([M.top + CHART_H, M.top]);
  d3.select(box).select('svg').remove();
  const svg = d3.select(box).append('svg').attr('role', 'img').attr('aria-label', t('over', safe(procName(S.proc), 80)));
  const seconds = d3.ticks(a / 1e6, b / 1e6, Math.max(3, Math.floor(width / 110))), digits = Math.max(0, Math.ceil(-Math.log10((seconds[1] - seconds[0]) || 1) - 1e-9));
  svg.append('g').attr('class', 'grid').attr('transform', `translate(${M.left},0)`).call(d3.axisLeft(y).tickValues(sizeTicks(max, 5)).tickSize(-width).tickFormat(''));

  /* bands: the outermost phases of the process; the chosen phase stands out */
  const bands = svg.append('g');
  if (S.proc) for (const c of CALLS[S.proc]) {
    if (c.b < a || c.a > b || pathDepth[c.path] !== 1 || x(c.b) - x(c.a) < 1) continue;
    bands.append('rect').attr('x', x(Math.max(a, c.a))).attr('y', M.top).attr('width', x(Math.min(b, c.b)) - x(Math.max(a, c.a))).attr('height', CHART_H).attr('fill', phaseColor(c.path)).attr('opacity', dark() ? 0.34 : 0.3);
  }
  const stack = d3.stack().keys(d3.range(list.length)).value((r, k) => r[1][k])(rows);
  const area = d3.area().x(r => x(r.data[0])).y0(r => y(r[0])).y1(r => y(r[1])).curve(d3.curveStepAfter);
  svg.append('g').selectAll('path').data(stack).enter().append('path').attr('class', 'area').attr('d', area).attr('fill', s => list[s.index].color).attr('opacity', 0.93);
  svg.append('path').attr('class', 'top').attr('fill', 'none').attr('stroke', css('--top')).attr('stroke-width', 1).attr('opacity', 0.75).attr('d', d3.line().x(r => x(r[0])).y(r => y(Math.max(r[2], d3.sum(r[1])))).curve(d3.curveStepAfter)(rows));
  if (S.path) for (const p of S.proc ? [S.proc] : S.path[0] ? [S.path[0]] : []) for (const c of CALLS[p]) {
    if (c.path !== S.path[1] || c.b < a || c.a > b) continue;
    svg.append('rect').attr('class', 'sel').attr('x', x(Math.max(a, c.a))).attr('y', M.top).attr('width', Math.max(1, x(Math.min(b, c.b)) - x(Math.max(a, c.a)))).attr('height', CHART_H);
  }
  svg.append('g').attr('class', 'axis').attr('transform', `translate(${M.left},0)`).call(d3.axisLeft(y).tickValues(sizeTicks(max, 5)).tickSize(0).tickPadding(8).tickFormat(v => tickSize(v, max))).select('.domain').remove();
  svg.append('g').attr('class', 'axis').attr('transform', `translate(0,${M.top + CHART_H})`).call(d3.axisBottom(x).tickValues(seconds.map(s => s * 1e6)).tickSize(5).tickFormat(us => (us / 1e6).toFixed(digits) + ' s'));
  const laneTop = M.top + CHART_H + 28, lanes = svg.append('g'), laneH = drawLanes(lanes, x, width, laneTop);

  const cross = svg.append('line').attr('class', 'cross').attr('y1', M.top).attr('y2', laneTop + laneH).style('display', 'none');
  const brush = d3.brushX().extent([[M.left, M.top], [W - M.right, M.top + CHART_H]]).on('end', () => {
    const s = d3.event.selection;
    if (!s || !d3.event.sourceEvent) return;
    const from = x.invert(s[0]), to = x.invert(s[1]);
    zoomTo(from, to);
  });
  const layer = svg.append('g').attr('class', 'brush').call(brush);
  layer.on('mousemove.tip', () => { const us = x.invert(d3.mouse(layer.node())[0]); show(us); tip(d3.event, readRows(us)); }).on('mouseleave.tip', () => tip(null));
  layer.on('dblclick', () => set({ span: null }));
  lanes.selectAll('.lane').on('mousemove', d => tip(d3.event, callRows(d.p, d.c))).on('mouseleave', () => tip(null)).on('click', d => choose(d.p, d.c.path));

  /* the strip: all of the run, the window on it */
  const sTop = laneTop + laneH + 6, sx = d3.scaleLinear().domain([0, END]).range([M.left, W - M.right]), strip = svg.append('g');
  const thin = list => { /* the highest of each pixel is enough */
    if (list.length < 2 * width) return list;
    const out = [];
    for (const d of list) { const l = out[out.length - 1]; if (l && sx(d[0]) - sx(l[0]) < 0.5) l[1] = Math.max(l[1], d[1]); else out.push([d[0], d[1]]); }
    return out;
  };
  const sAll = S.proc ? PROC[S.proc].rss.t.map((us, i) => [us, PROC[S.proc].rss.top[i]]) : SUM.t.map((us, i) => [us, SUM.v[i]]);
  if (sAll.length && (!S.proc || !PROC[S.proc].ended)) sAll.push([END, sAll[sAll.length - 1][1]]);
  const sy = d3.scaleLinear().domain([0, d3.max(sAll, d => d[1]) || 1]).range([sTop + STRIP_H, sTop + 2]);
  strip.append('rect').attr('x', M.left).attr('y', sTop).attr('width', width).attr('height', STRIP_H).attr('fill', css('--faint')).attr('rx', 4);
  strip.append('path').attr('fill', css('--rest')).attr('opacity', 0.7).attr('d', d3.area().x(d => sx(d[0])).y0(sTop + STRIP_H).y1(d => sy(d[1])).curve(d3.curveStepAfter)(thin(sAll)));
  const sBrush = d3.brushX().extent([[M.left, sTop], [W - M.right, sTop + STRIP_H]]).on('end', () => {
    if (!d3.event.sourceEvent || moving) return; /* moved by us */
    const s = d3.event.selection;
    if (s) zoomTo(sx.invert(s[0]), sx.invert(s[1])); else set({ span: null });
  });
  const sLayer = strip.append('g').attr('class', 'strip').call(sBrush);
  moving = true; /* a brush that is moved inside another one's event has a source, too */
  if (S.span) sLayer.call(sBrush.move, [sx(a), sx(b)]);
  moving = false;
  svg.attr('height', sTop + STRIP_H + 4).attr('viewBox', `0 0 ${W} ${sTop + STRIP_H + 4}`);

  const show = us => { cursor = us; cross.style('display', null).attr('x1', x(us)).attr('x2', x(us)); };
  view = { x, show, list, rows };
  if (cursor !== null && cursor >= a && cursor <= b) show(cursor);
  const legend = $('time-legend');
  legend.replaceChildren(...list.map(s => { const i = el('i'); i.style.background = s.color; return el('span', null, i, el('bdi', null, s.label)); }));
  $('time-h').textContent = t('over', S.proc ? safe(procName(S.proc), 60) + ' (' + t('pid') + ' ' + PROC[S.proc].pid + ')' : t('all') + ', ' + t('sum'));
};

const zoomTo = (from, to) => {
  from = Math.max(0, from);
  to = Math.min(END, to);
  if (to - from < 20) { const m = (from + to) / 2; from = Math.max(0, m - 10); to = Math.min(END, from + 20); }
  set({ span: from <= 0 && to >= END ? null : [Math.round(from), Math.round(to)] });
};
const zoomBy = (factor, about) => {
  const [a, b] = win(), c = about === null || about === undefined || about < a || about > b ? (a + b) / 2 : about;
  zoomTo(c - (c - a) * factor, c + (b - c) * factor);
};

/* The innermost phases at a moment, one a thread. */
const phasesAt = (p, us) => {
  const best = new Map();
  for (const c of CALLS[p]) if (c.a <= us && c.b >= us && (!best.has(c.tid) || pathDepth[best.get(c.tid)] < pathDepth[c.path])) best.set(c.tid, c.path);
  return [...best.values()];
};
const readRows = us => {
  const rows = [[null, at(us), 'b']];
  if (S.proc) {
    const v = rssAt(S.proc, us), i = stepAt(PROC[S.proc].rss.t, us);
    if (v) {
      rows.push([null, t('rss'), 'p', size(v[0] + v[1] + v[2])]);
      for (const s of kindsOf(S.proc)) if (s.v[i] || s.kind === 'anon' || s.kind === 'file') rows.push([s.color, s.label, '', size(s.v[i] * U)]);
      if (v[3] > v[0] + v[1] + v[2]) rows.push([null, t('topLine'), '', size(v[3])]);
    }
    for (const p of phasesAt(S.proc, us).slice(0, 3)) rows.push([phaseColor(p), safe(pathLabel(p), 60), '']);
    return rows;
  }
  const list = [];
  let sum = 0;
  for (let p = 1; p < PROC.length; p++) { const v = rssAt(p, us); if (v) { const s = v[0] + v[1] + v[2]; sum += s; list.push([p, s]); } }
  rows.push([null, t('sum'), 'p', size(sum)]);
  list.sort((m, n) => n[1] - m[1]).slice(0, 8).forEach(([p, s]) => { rows.push([procColor(p), safe(PROC[p].name, 40) + ' ' + PROC[p].pid, '', size(s)]); });
  if (list.length > 8) rows.push([null, '+ ' + (list.length - 8), '', size(d3.sum(list.slice(8), d => d[1]))]);
  return rows;
};
const callRows = (p, c) => [[phaseColor(c.path), safe(pathLabel(c.path), 80), 'b'], [null, t('time'), 'p', time((c.b - c.a) * 1000) + (c.open ? ' (' + t('open') + ')' : '')], [null, t('delta'), 'p', size(c.r1 - c.r0, true)], [null, t('rss'), 'p', size(c.r0) + ' → ' + size(c.r1)], [null, t('callN', c.call), 'p', at(c.a) + ' – ' + at(c.b)]];

/* rows: [color, text, class, value] */
const tip = (event, rows) => {
  const box = $('tip');
  if (!event) { box.style.display = 'none'; return; }
  box.replaceChildren(...rows.map(([color, text, cls, value]) => el('div', { class: 'r' }, el('span', { class: cls === 'p' ? 'p' : null }, color ? swatch(color) : null, color ? ' ' : null, el(cls === 'b' ? 'b' : 'bdi', null, text)), value ? el('span', null, value) : null)));
  box.style.display = 'block';
  const w = box.offsetWidth, h = box.offsetHeight;
  box.style.left = Math.max(4, event.clientX + 16 + w > innerWidth ? event.clientX - w - 14 : event.clientX + 16) + 'px';
  box.style.top = Math.max(4, Math.min(innerHeight - h - 6, event.clientY + 14)) + 'px';
};

const chartKeys = e => {
  const [a, b] = win(), step = (b - a) / 60;
  if (e.key === '+' || e.key === '=') zoomBy(0.5, cursor);
  else if (e.key === '-') zoomBy(2, cursor);
  else if (e.key === '0' || e.key === 'Home') set({ span: null });
  else if ((e.key === 'ArrowLeft' || e.key === 'ArrowRight') && e.shiftKey) {
    const d = Math.max(-a, Math.min(END - b, (e.key === 'ArrowLeft' ? -1 : 1) * (b - a) / 5));
    if (S.span) zoomTo(a + d, b + d);
  } else if (e.key === 'ArrowLeft' || e.key === 'ArrowRight') {
    const us = Math.max(a, Math.min(b, (cursor === null ? a : cursor) + (e.key === 'ArrowLeft' ? -step : step)));
    view.show(us);
    $('readout').textContent = readRows(us).map(r => r[1] + (r[3] ? ' ' + r[3] : '')).join(' · ');
  } else return;
  e.preventDefault();
};
on('proc path span lang theme', drawChart);
