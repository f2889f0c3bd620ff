/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Processes, tiles, the table of phases; what tables that are sorted and moved in have in common. */
const sparkline = (canvas, p) => {
  const w = 64, h = 30, k = devicePixelRatio || 1, c = canvas.getContext('2d');
  canvas.width = w * k;
  canvas.height = h * k;
  c.scale(k, k);
  const ts = p ? PROC[p].rss.t : SUM.t, v = p ? PROC[p].rss.top : SUM.v, max = d3.max(v) || 1;
  if (!ts.length) return;
  c.fillStyle = procColor(p);
  c.beginPath();
  const x = us => us / END * w, y = s => h - s / max * (h - 3);
  let lastX = x(ts[0]), top = v[0];
  c.moveTo(lastX, h);
  c.lineTo(lastX, y(v[0]));
  for (let i = 1; i < ts.length; i++) {
    const nx = x(ts[i]);
    if (nx - lastX < 0.5 && i < ts.length - 1) { top = Math.max(top, v[i]); continue; }
    c.lineTo(x(ts[i - 1]), y(v[i - 1]));
    c.lineTo(nx, y(v[i - 1]));
    c.lineTo(nx, y(Math.max(v[i], nx - lastX < 0.5 ? top : 0)));
    lastX = nx;
    top = v[i];
  }
  const endX = p && PROC[p].ended ? Math.max(lastX, x(ts[0]) + 1.5) : w;
  c.lineTo(endX, y(v[v.length - 1]));
  c.lineTo(endX, h);
  c.fill();
};
const procButton = p => {
  const q = PROC[p], canvas = el('canvas', { 'aria-hidden': 'true', width: 64, height: 30 });
  const state = p ? (q.ended ? (q.signal !== undefined ? t('signal', q.signal) : t('exitCode', q.exit)) : t('running')) : '';
  const b = el('button', { type: 'button', 'data-p': p, 'aria-pressed': String(S.proc === p), on: { click: () => set({ proc: p, zoom: 0, path: S.path && p && S.path[0] && S.path[0] !== p ? null : S.path }) } },
    el('span', { class: 'n' }, p ? name(q.name || '?', 60) : t('all')),
    canvas,
    el('span', { class: 'm' }, p ? `${q.pid} · ${size(q.peak)}` + (q.ended && q.exit !== 0 ? ' · ' + state : '') : `${PROC.length - 1} · ${size(SUM.peak)}`));
  if (p) b.style.paddingLeft = 8 + Math.min(q.depth, 8) * 13 + 'px';
  b.title = p ? safe(q.cmdline || q.exe || '', 400) : '';
  return [b, canvas];
};
const drawProcs = () => {
  const list = $('procs'), later = [];
  list.replaceChildren(...d3.range(0, PROC.length).map(p => { const [b, canvas] = procButton(p); later.push([canvas, p]); return el('li', null, b); }));
  const watch = new IntersectionObserver(seen => {
    for (const s of seen) if (s.isIntersecting) { sparkline(s.target, +s.target.closest('button').dataset.p); watch.unobserve(s.target); }
  });
  later.forEach(([canvas]) => watch.observe(canvas));
};
on('lang theme', drawProcs);
on('proc', () => { for (const b of $('procs').querySelectorAll('button')) b.setAttribute('aria-pressed', String(+b.dataset.p === S.proc)); });

const drawTop = () => {
  const first = PROC[1], main = first ? first.name : '';
  document.documentElement.lang = S.lang;
  document.title = 'ramtrack-bpf: ' + safe(main, 60);
  $('title').replaceChildren(...(S.lang === 'zh' ? [name(main, 80), ' ' + t('title').trim()] : [t('title').replace(/^./, c => c.toUpperCase()) + ' ', name(main, 80)]));
  $('about').textContent = [new Date(D.wall_ms).toLocaleString(S.lang === 'zh' ? 'zh-CN' : 'en-GB'), time(END * 1000), 'Linux ' + safe(D.kernel, 60), (S.lang === 'zh' ? '配置 ' : 'profile ') + safe(D.profile, 60), D.mm_source, 'ramtrack-bpf ' + D.version].join(' · ');
  for (const e of document.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
  for (const e of document.querySelectorAll('[data-l]')) e.setAttribute('aria-label', t(e.dataset.l));
  for (const e of document.querySelectorAll('[data-p]')) if (e.tagName === 'INPUT') e.placeholder = t(e.dataset.p);
  for (const e of document.querySelectorAll('[id^=zoom-][data-l]')) e.title = t(e.dataset.l);
  let end = 0, phased = 0;
  for (let p = 1; p < PROC.length; p++) { if (!PROC[p].ended) end += d3.sum(PROC[p].rss_end); phased += PROC[p].phases.length > 0; }
  const lost = D.lost_records + D.lost_stacks;
  const tile = (big, small, cls) => el('div', { class: 'tile ' + (cls || '') }, el('b', null, big), el('span', null, small));
  $('tiles').replaceChildren(tile(size(SUM.peak), t('tilePeak', at(SUM.when))), tile(size(end), t('tileEnd')), tile(count(PROC.length - 1), t('tileProcs', phased)), tile(time(END * 1000), t('tileTime')),
    tile(D.unaccounted ? size(D.unaccounted) : '0 B', t('tileUn'), D.unaccounted ? 'bad' : 'good'), tile(count(lost), t('tileLost'), lost ? 'bad' : 'good'));
  $('lang-zh').setAttribute('aria-pressed', String(S.lang === 'zh'));
  $('lang-en').setAttribute('aria-pressed', String(S.lang === 'en'));
  for (const k of ['auto', 'light', 'dark']) $('theme-' + k).setAttribute('aria-pressed', String(S.theme === k));
};
on('lang theme', drawTop);

/* ---- phases ---- */
const COLUMNS = [
  ['phase', r => r.text, null], ['calls', r => r.calls, r => count(r.calls)], ['time', r => r.time, r => time(r.time)], ['delta', r => r.delta, null], ['own', r => r.own, r => mib(r.own)],
  ['anon', r => r.kinds[0], r => mib(r.kinds[0])], ['file', r => r.kinds[1], r => mib(r.kinds[1])], ['shmem', r => r.kinds[2], r => mib(r.kinds[2])], ['gained', r => r.gained, r => mib(r.gained)], ['released', r => r.released, r => mib(r.released)],
  ['reused', r => r.reused, r => mib(r.reused)], ['peak', r => r.peak, r => mib(r.peak)], ['helper', r => r.helper, r => mib(r.helper)], ['faults', r => r.minor === undefined ? undefined : r.minor + r.major, r => count(r.minor) + (r.major ? ' + ' + count(r.major) : '')]
];
const order = { by: null, up: false };
const openRows = new Set();

/* The rows as a tree; each: {key, text, p, path, kids, ...figures}. Figures of a process are not phases' and stay empty. */
const phaseTree = p => {
  const roots = [], by = new Map([[0, { kids: roots }]]);
  for (const f of PROC[p].phases) {
    const row = Object.assign({}, f, { key: p + '/' + f.path, p, kids: [], text: pathLabel(f.path) });
    by.set(f.path, row);
    (by.get(D.paths[f.path][0]) || by.get(0)).kids.push(row);
  }
  for (const f of PROC[p].phases) { /* below the phases nested in it: what its pages belong to */
    const row = by.get(f.path), kids = f.maps.filter(m => m[2]).map((m, i) => ({ key: row.key + '/m' + i, sub: true, text: m[0], mapKind: m[1], delta: m[2], kids: [] }));
    if (kids.length) row.kids.push({ key: row.key + '/m', sub: true, text: t('byMapping'), delta: d3.sum(kids, k => k.delta), kids });
  }
  const out = PROC[p].outside;
  if (out.length) {
    const row = { key: p + '/o', p, path: 0, out: true, text: t('outside'), delta: PROC[p].outside_net, own: PROC[p].outside_net, gained: d3.sum(out, o => o.gained), released: d3.sum(out, o => o.released), kinds: [0, 1, 2].map(k => d3.sum(out, o => o.kinds[k])), kids: [] };
    out.forEach((o, i) => row.kids.push({ key: row.key + i, sub: true, text: o.module, delta: o.net, kinds: o.kinds, gained: o.gained, released: o.released, kids: [] }));
    roots.push(row);
  }
  return roots;
};
const phaseRows = () => {
  if (S.proc) return phaseTree(S.proc);
  return d3.range(1, PROC.length).filter(p => PROC[p].phases.length).map(p => ({ key: 'p' + p, p, proc: true, text: PROC[p].name + ' ' + PROC[p].pid, delta: d3.sum(PROC[p].rss_end) - d3.sum(PROC[p].rss_start), kinds: [0, 1, 2].map(k => PROC[p].rss_end[k] - PROC[p].rss_start[k]), peak: PROC[p].peak, time: (PROC[p].end - PROC[p].start), kids: phaseTree(p) }));
};
/* Rows in the order of a column; `order` is {by, up}, a column [key, value of a row, ...]. A value that is not there comes last. */
const sorted = (rows, columns, order) => {
  if (!order.by) return rows;
  const f = columns.find(c => c[0] === order.by)[1], value = r => { try { return f(r); } catch (e) { return undefined; } }, s = order.up ? 1 : -1;
  return rows.slice().sort((a, b) => {
    if (!!a.sub !== !!b.sub) return !!a.sub - !!b.sub;
    const x = value(a), y = value(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return typeof x === 'string' ? s * x.localeCompare(y) : s * (x - y);
  });
};
/* Heads that sort: by a column of texts upwards first, by one of figures downwards; the other way; not at all. */
const TEXTS = ['phase', 'function', 'name', 'library', 'nativeKind'];
const sortHeads = (id, columns, order, draw) => $(id).tHead.rows[0].replaceChildren(...columns.map(([key, , , cls]) => el('th', { scope: 'col', role: 'columnheader', class: cls, 'data-c': key, 'aria-sort': order.by === key ? (order.up ? 'ascending' : 'descending') : null }, el('button', { type: 'button', on: { click: () => {
  const up = TEXTS.includes(key);
  if (order.by !== key) { order.by = key; order.up = up; } else if (order.up === up) order.up = !up; else { order.by = null; order.up = false; }
  draw();
  $(id).querySelector('th[data-c=' + key + '] button').focus();
} } }, t(key)))));
/* One row of a table is reached by Tab, the others by arrows. */
const rowOf = e => e.target.closest('tbody tr');
const goRow = (tr, to) => { if (to) { tr.tabIndex = -1; to.tabIndex = 0; to.focus(); } };
const moveRow = (e, tr) => {
  const to = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[e.key], end = { Home: 'firstElementChild', End: 'lastElementChild' }[e.key];
  if (to || end) goRow(tr, to ? tr[to] : tr.parentNode[end]);
  return !!(to || end);
};
const focusedRow = id => { const tr = document.activeElement && document.activeElement.closest ? document.activeElement.closest('#' + id + ' tbody tr') : null; return tr && tr.dataset.k; };
const putRows = (id, rows, focusKey) => {
  $(id).tBodies[0].replaceChildren(...rows);
  const row = rows.find(r => r.dataset.k === focusKey) || rows[0];
  if (row) { row.tabIndex = 0; if (focusKey && row.dataset.k === focusKey) row.focus({ preventScroll: true }); }
};
const choose = (p, path) => {
  const same = S.path && S.path[0] === p && S.path[1] === path;
  set({ path: same ? null : [p, path], proc: p, zoom: 0 });
};
const bar = (delta, max) => {
  const i = el('i'), b = el('span', { class: 'bar', 'aria-hidden': 'true' }, i), w = Math.max(delta ? 1 : 0, Math.min(32, Math.abs(delta) / max * 32));
  i.style.width = w + 'px';
  i.style[delta < 0 ? 'right' : 'left'] = '50%';
  i.style.background = css(delta < 0 ? '--minus' : '--plus');
  return b;
};
const phaseCells = (row, depth, max) => {
  const first = el('td', { role: 'gridcell' }), wide = row.sub ? mapLabel(row) : safe(row.text, 120);
  first.style.paddingLeft = 9 + depth * 18 + 'px';
  first.append(row.kids.length ? el('button', { type: 'button', class: 'tog', tabindex: '-1', 'aria-label': t('unfold') }) : el('span', { class: 'gap' }));
  if (row.path && !row.sub) first.append(swatch(phaseColor(row.path)), ' ');
  first.append(el('bdi', null, wide));
  if (row.open) first.append(el('span', { class: 'q' }, ' (' + t('open') + ')'));
  first.title = safe(row.text, 600);
  return [first, ...COLUMNS.slice(1).map(([key, value, show]) => {
    let v;
    try { v = value(row); } catch (e) { v = undefined; }
    if (v === undefined) return el('td', { role: 'gridcell' });
    return key === 'delta' ? el('td', { role: 'gridcell' }, mib(v), bar(v, max)) : el('td', { role: 'gridcell' }, show(row));
  })];
};
const mapLabel = row => row.mapKind === undefined ? safe(row.text, 100) : safe(row.text.split('/').pop() || row.text, 90) + ' (' + mapKindName(row.mapKind) + ')';
const mapKindName = k => ({ en: ['not known', 'file', 'heap', 'stack', 'private', 'shared', 'others'], zh: ['未知', '文件', '堆', '栈', '私有', '共享', '其余'] })[S.lang][k] || '?';

const drawPhases = () => {
  const focusKey = focusedRow('phases');
  sortHeads('phases', COLUMNS, order, drawPhases);
  const rows = phaseRows(), out = [];
  let max = 1;
  (function biggest(list) { for (const r of list) { max = Math.max(max, Math.abs(r.delta || 0)); biggest(r.kids); } })(rows);
  if (!drawPhases.begun) { /* what a reader looks for first: open */
    drawPhases.begun = true;
    for (let p = 1; p < PROC.length; p++) for (const f of PROC[p].phases) if (pathDepth[f.path] < 3 && PROC[p].phases.some(g => D.paths[g.path][0] === f.path)) openRows.add(p + '/' + f.path);
    if (PROC.filter(q => q && q.phases.length).length <= 6) for (let p = 1; p < PROC.length; p++) openRows.add('p' + p);
  }
  (function walk(list, depth) {
    for (const row of sorted(list, COLUMNS, order)) {
      const open = openRows.has(row.key), chosen = S.path && !row.sub && !row.proc && S.path[0] === row.p && S.path[1] === row.path;
      out.push(el('tr', { role: 'row', class: row.sub ? 'sub' : row.proc ? 'proc' : null, 'aria-level': depth + 1, 'aria-expanded': row.kids.length ? String(open) : null, 'aria-selected': row.sub ? null : String(!!chosen), tabindex: '-1', 'data-k': row.key, 'data-path': row.sub || row.proc ? null : row.path, 'data-p': row.p }, ...phaseCells(row, depth, max)));
      if (open) walk(row.kids, depth + 1);
    }
  })(rows, 0);
  putRows('phases', out, focusKey);
  $('phases-note').textContent = 'MiB' + (S.proc ? '' : ' · ' + t('all'));
};
const actRow = (tr, toggle) => {
  const key = tr.dataset.k;
  if (toggle || tr.classList.contains('sub')) {
    if (tr.getAttribute('aria-expanded') === null) return;
    if (!openRows.delete(key)) openRows.add(key);
    drawPhases();
  } else if (tr.classList.contains('proc')) set({ proc: +tr.dataset.p, zoom: 0, path: null });
  else choose(+tr.dataset.p, +tr.dataset.path);
};
const phaseKeys = e => {
  const tr = rowOf(e);
  if (!tr) return;
  const open = tr.getAttribute('aria-expanded');
  if (moveRow(e, tr)) ;
  else if (e.key === 'ArrowRight' && open === 'false') actRow(tr, true);
  else if (e.key === 'ArrowLeft' && open === 'true') actRow(tr, true);
  else if (e.key === 'ArrowLeft') { let up = tr; while (up && +up.getAttribute('aria-level') >= +tr.getAttribute('aria-level')) up = up.previousElementSibling; goRow(tr, up); }
  else if (e.key === 'Enter' || e.key === ' ') actRow(tr, false);
  else return;
  e.preventDefault();
};
const foldAll = open => {
  openRows.clear();
  if (open) (function all(list) { for (const r of list) if (r.kids.length) { openRows.add(r.key); all(r.kids); } })(phaseRows());
  drawPhases();
};
on('proc path lang theme', drawPhases);
