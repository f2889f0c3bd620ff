/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The family, what is not shown, and the beginning. */
const table = (id, heads, rows) => {
  $(id).tHead.rows[0].replaceChildren(...heads.map(([text, cls]) => el('th', { scope: 'col', class: cls }, el('span', null, text))));
  $(id).tBodies[0].replaceChildren(...rows.map(cells => el('tr', null, ...cells)));
};
const drawFamily = () => {
  table('family', [[t('name')], [t('start')], [t('end')], [t('anon')], [t('file')], [t('shmem')], [t('peak')]].map(h => [h[0] + (h[0] === t('name') ? '' : ' MiB')]), d3.range(1, PROC.length).map(p => {
    const q = PROC[p], first = el('td', null, name(q.name || '?', 60), el('span', { class: 'q' }, ' ' + q.pid + (q.python ? ' · Python ' + safe(q.python, 20) : '') + (q.muted ? ' · ' + t('muted') : '') + (q.ended ? ' · ' + (q.signal !== undefined ? t('signal', q.signal) : t('exitCode', q.exit)) : '')));
    first.style.paddingLeft = 9 + Math.min(q.depth, 10) * 18 + 'px';
    return [first, ...[d3.sum(q.rss_start), d3.sum(q.rss_end), ...q.rss_end, q.peak].map(v => el('td', null, mib(v)))];
  }));
  if (!X) return;
  /* what each process holds of a mapping, by name: what it held when it was attached to, and what it has gained since */
  const held = new Map(), put = (map, kind, p, bytes) => {
    const key = kind + map;
    if (!held.has(key)) held.set(key, { map, kind, by: new Map() });
    const by = held.get(key).by;
    by.set(p, (by.get(p) || 0) + bytes);
  };
  const c = X.cells;
  for (let i = 0; i < X.node.length; i++) if (c.map[i] && c.kind[i] !== 1 && c.proc[i] && X.maps[c.map[i]][0][0] !== '<') put(X.maps[c.map[i]][0], c.kind[i], c.proc[i], (c.gained[i] - c.released[i]) * U);
  for (let p = 1; p < PROC.length; p++) for (const [map, kind, bytes] of PROC[p].opening) if (kind !== 1 && map[0] !== '<' && map[0] !== '[') put(map, kind, p, bytes);
  const rows = [];
  for (const h of held.values()) {
    const sizes = [...h.by].filter(([p, v]) => v > 0 && rssAt(p, SUM.when)).map(e => e[1]);
    if (sizes.length > 1) rows.push({ map: h.map, kind: h.kind, n: sizes.length, sum: d3.sum(sizes), max: d3.max(sizes) });
  }
  rows.sort((a, b) => b.sum - a.sum);
  table('shared', [[t('mappings').replace(/^./, x => x.toUpperCase()), 'l'], [t('kind'), 'l'], [t('procsN')], [t('sum').replace(/^./, x => x.toUpperCase()) + ' MiB'], [t('largest') + ' MiB'], [t('between')]], rows.slice(0, 40).map(r => [el('td', { class: 'f' }, name(r.map, 160)), el('td', { class: 'l q' }, t(KINDS[r.kind])), el('td', null, String(r.n)), el('td', null, mib(r.sum)), el('td', null, mib(r.max)), el('td', null, size(r.max) + ' – ' + size(r.sum))]));
  $('shared-note').textContent = t('sharedNote') + (rows.length ? '' : ' ' + t('sharedNone'));
};
on('lang theme', drawFamily);

const drawComplete = () => {
  const li = (cls, text) => el('li', { class: cls }, text), list = [];
  list.push(D.unaccounted ? li('bad', t('unBad', size(D.unaccounted))) : li('good', t('unGood')));
  list.push(D.lost_records + D.lost_stacks ? li('bad', t('lostBad', count(D.lost_records), count(D.lost_stacks))) : li('good', t('lostGood')));
  if (D.late_records) list.push(li('bad', t('late', count(D.late_records))));
  if (!D.mm_exact) list.push(li('bad', t('inexact', D.mm_source)));
  let left = 0, slot = 0;
  for (let p = 1; p < PROC.length; p++) { left += PROC[p].calls_left_out; slot = Math.max(slot, PROC[p].rss.slot_us); }
  if (left) list.push(li('', t('callsOut', count(left))));
  list.push(li('', t('slots', time(slot * 1000))));
  if (X) {
    list.push(X.folded ? li('', t('foldedNote', count(X.folded), size(X.folded_below))) : li('good', t('foldGood')));
    if (X.no_room_gained || X.no_room_released) list.push(li('bad', t('roomBad', size(X.no_room_gained), size(X.no_room_released))));
    if (X.failed) list.push(li('bad', t('treeBad')));
    const rest = PROC.map(q => q ? d3.sum(q.rss_end) - d3.sum(q.rss_start) : 0);
    for (let i = 0; i < X.node.length; i++) rest[X.cells.proc[i]] -= (X.cells.gained[i] - X.cells.released[i]) * U;
    rest.forEach((v, p) => { if (p && v && !PROC[p].muted) list.push(li('', t('restNote', safe(PROC[p].name, 60) + ' ' + PROC[p].pid, size(v, true)))); });
  }
  list.push(li('', t('cost', time(D.bpf_ns), time(D.cpu_ns))));
  if (D.not_hit.length) list.push(el('li', null, el('details', null, el('summary', null, t('notHit') + ': ' + D.not_hit.length), el('ul', null, ...D.not_hit.map(n => el('li', null, name(n[S.lang === 'zh' ? 1 : 2] || n[0], 80), el('span', { class: 'q' }, ' – ' + n[S.lang === 'zh' ? 3 : 4] + (n[5] ? ': ' + safe(n[5], 200) : ''))))))));
  $('complete').replaceChildren(...list);
  $('licence').textContent = LICENCE;
};
on('lang theme', drawComplete);

const listen = () => {
  $('lang-zh').onclick = () => set({ lang: 'zh' });
  $('lang-en').onclick = () => set({ lang: 'en' });
  for (const k of ['auto', 'light', 'dark']) $('theme-' + k).onclick = () => { if (k === 'auto') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = k; set({ theme: k }); };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { if (S.theme === 'auto') set({ theme: 'auto' }); });
  $('zoom-in').onclick = () => zoomBy(0.5, cursor);
  $('zoom-out').onclick = () => zoomBy(2, cursor);
  $('zoom-reset').onclick = () => set({ span: null });
  $('chart').addEventListener('keydown', chartKeys);
  $('chart').addEventListener('wheel', e => {
    if (!e.ctrlKey && !e.metaKey) return;
    zoomBy(e.deltaY < 0 ? 0.8 : 1.25, view.x.invert(e.clientX - $('chart').getBoundingClientRect().left));
    e.preventDefault();
  }, { passive: false });
  $('phases').tBodies[0].addEventListener('click', e => { const tr = e.target.closest('tr'); if (tr) actRow(tr, !!e.target.closest('.tog')); });
  $('phases').addEventListener('keydown', phaseKeys);
  $('natives').tBodies[0].addEventListener('click', e => { const tr = rowOf(e); if (tr) actNative(tr); });
  $('natives').addEventListener('keydown', nativeKeys);
  $('unfold').onclick = () => foldAll(true);
  $('fold').onclick = () => foldAll(false);
  for (const b of $('value').children) b.onclick = () => set({ value: b.dataset.v });
  $('value').addEventListener('keydown', e => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    if (!step) return;
    const list = [...$('value').children], b = list[(list.findIndex(x => x.dataset.v === S.value) + step + list.length) % list.length];
    set({ value: b.dataset.v });
    b.focus();
    e.preventDefault();
  });
  $('hide-imports').onchange = e => { focus = 0; set({ hide: e.target.checked, zoom: 0 }); };
  let typing = 0;
  $('find').oninput = e => { clearTimeout(typing); typing = setTimeout(() => set({ find: e.target.value }), 120); };
  const canvas = $('icicle').firstElementChild;
  canvas.addEventListener('mousemove', e => {
    const b = X && boxAt(e);
    if (!b) { tip(null); return; }
    const v = b.m >= 0 ? leafValue(b) : cut.total[b.d];
    tip(e, [[b.m >= 0 ? null : colorOf(b.d), safe(b.m >= 0 ? (b.m ? X.maps[b.m][0] : t('noMap')) : nodeName(b.d), 160), 'b'], [null, b.m >= 0 ? mapKindName(X.maps[b.m][1]) : safe(nodeWhere(b.d), 160), 'p'], [null, t(S.value), 'p', size(v) + ' · ' + percent(v, cut.total[0])], ...(b.m < 0 ? [[null, t('self'), 'p', size(cut.own[b.d])]] : [])]);
  });
  canvas.addEventListener('mouseleave', () => tip(null));
  canvas.addEventListener('click', e => { const b = X && boxAt(e); if (b) { focus = b.d; set({ zoom: b.d }); } });
  $('icicle').addEventListener('keydown', icicleKeys);
  let width = 0;
  new ResizeObserver(() => { if (document.body.clientWidth === width) return; width = document.body.clientWidth; drawChart(); if (cut) paint(); }).observe(document.body);
  addEventListener('beforeprint', () => { drawChart(); if (cut) paint(); });
};

const first = byPeak.find(p => CALLS[p].length) || byPeak[0] || 0;
S.proc = PROC.length > 2 ? 0 : first;
listen();
drawTop();
drawProcs();
drawChart();
drawPhases();
drawNatives();
drawFamily();
drawComplete();
drawStacks();
performance.mark('first');
addEventListener('DOMContentLoaded', () => setTimeout(() => {
  readStacks();
  drawStacks();
  drawFamily();
  drawComplete();
  performance.mark('stacks');
  document.documentElement.dataset.ready = '1';
}, 0));
/* For scripts that drive the page: what is chosen, and what is drawn where. */
window.ramtrack = { state: S, set, data: D, boxes: () => boxes.map(b => ({ name: b.m >= 0 ? X.maps[b.m][0] : nodeName(b.d), where: b.m >= 0 ? '' : nodeWhere(b.d), map: b.m >= 0, x: b.x, y: b.y * ROW, w: b.w, h: ROW, bytes: b.m >= 0 ? leafValue(b) : cut.total[b.d] })), sums: () => ({ gained: cut.gained, released: cut.released, under: cut.under, total: cut.total[0], focus: nodeName(focus) }) };
