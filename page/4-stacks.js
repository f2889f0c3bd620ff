/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Growth by stack: the second block of data, cut to process, phase and span of time; an icicle of it. */
let X = null, tree = null, cut = null, boxes = [], focus = 0;
const ROW = 20;

const readStacks = () => {
  X = JSON.parse(document.getElementById('stacks').textContent);
  const n = X.up.length, cells = X.cells;
  X.parent = new Int32Array(n);
  for (let i = 0; i < n; i++) X.parent[i] = i - X.up[i];
  let node = 0;
  X.node = Int32Array.from(cells.node, d => node += d);
  X.n = n;
};

/* The trie as it is shown: without the frames of importlib if they are hidden; equal frames of one caller are one. Node 0 is the root. */
const trees = {};
const showTree = hide => {
  if (trees[hide]) return trees[hide];
  const machinery = X.file.map(f => /^<frozen importlib/.test(X.texts[f])), n = X.n, to = new Int32Array(n), parent = [0], frame = [-2], by = new Map(), F = X.file.length + 2;
  for (let i = 1; i < n; i++) {
    const f = X.frame[i], up = to[X.parent[i]];
    if (i >= X.roots && hide && f >= 0 && machinery[f]) { to[i] = up; continue; }
    const key = i < X.roots ? -i : up * F + f + 1;
    let d = by.get(key);
    if (d === undefined) { d = parent.length; by.set(key, d); parent.push(i < X.roots ? 0 : up); frame.push(i < X.roots ? -2 - i : f); }
    to[i] = d;
  }
  return trees[hide] = { to, parent: Int32Array.from(parent), frame: Int32Array.from(frame), n: parent.length };
};

/* What each node and mapping has of the chosen value in the chosen scope. */
const cutTree = () => {
  tree = showTree(S.hide);
  const c = X.cells, n = tree.n, self = new Map(), maps = X.maps.length, inside = S.path ? D.paths.map((q, i) => S.path[1] ? pathInside(i, S.path[1]) : i === 0) : null;
  const from = S.span ? Math.floor((S.span[0] - X.first_us) / X.slice_us) : -1, to = S.span ? Math.floor((S.span[1] - X.first_us) / X.slice_us) : 1e9;
  let gained = 0, released = 0;
  for (let i = 0; i < X.node.length; i++) {
    if (S.proc && c.proc[i] !== S.proc) continue;
    if (inside && !inside[c.path[i]]) continue;
    if (c.slice[i] < from || c.slice[i] > to) continue;
    const g = c.gained[i], r = c.released[i], v = S.value === 'gained' ? g : S.value === 'released' ? r : g - r;
    gained += g;
    released += r;
    if (v) { const key = tree.to[X.node[i]] * maps + c.map[i]; self.set(key, (self.get(key) || 0) + v); }
  }
  const own = new Float64Array(n), total = new Float64Array(n), leaf = new Map();
  let under = 0;
  for (const [key, v] of self) {
    const d = Math.floor(key / maps);
    if (v < 0) { under -= v; continue; } /* held: given back here, gained elsewhere */
    own[d] += v * U;
    if (!leaf.has(d)) leaf.set(d, []);
    leaf.get(d).push([key % maps, v * U]);
  }
  for (let d = n - 1; d >= 0; d--) { total[d] += own[d]; if (d) total[tree.parent[d]] += total[d]; }
  const kids = new Map();
  for (let d = 1; d < n; d++) if (total[d] > 0) { const p = tree.parent[d]; if (!kids.has(p)) kids.set(p, []); kids.get(p).push(d); }
  for (const list of kids.values()) list.sort((a, b) => total[b] - total[a] || a - b);
  cut = { own, total, kids, leaf, under: under * U, gained: gained * U, released: released * U };
  if (S.zoom && !(total[S.zoom] > 0)) S.zoom = 0;
  if (focus >= n || !(total[focus] > 0)) focus = S.zoom;
};

/* ---- names of nodes; a mapping below node d is {d, m} ---- */
const nodeName = d => {
  const f = tree.frame[d];
  if (!d) return t('root');
  if (f <= -2) { const r = -2 - f; return r === 1 ? t('noStack') : t('c' + (r - 2)); }
  if (f === -1) return '(' + t('folded') + ')';
  const s = X.texts[X.function[f]];
  return s[0] === '<' && !X.texts[X.file[f]] && WORDS.en[s] ? t(s) : s; /* what stands in the place of a stack */
};
/* The body of a module is named by its file. */
const nodeLabel = d => {
  const s = nodeName(d);
  return s === '<module>' && tree.frame[d] >= 0 ? '<module> ' + shortFile(d) : s;
};
const nodeWhere = d => { const f = tree.frame[d]; return f >= 0 ? X.texts[X.file[f]] + (X.line[f] ? ':' + X.line[f] : '') : ''; };
const shortFile = d => { const parts = X.texts[X.file[tree.frame[d]]].split('/'); return parts.slice(/^__(init|main)__\.py$/.test(parts[parts.length - 1]) ? -2 : -1).join('/'); };
const mapText = m => m && X.maps[m] ? (X.maps[m][0].split('/').pop() || X.maps[m][0]) + ' (' + mapKindName(X.maps[m][1]) + ')' : t('noMap');
/* Package of a file: what colours mean. */
const packageOf = f => {
  if (f < 0) return '';
  const s = X.texts[X.file[f]], m = /(?:site|dist)-packages\/([^/.]+)/.exec(s);
  if (m) return m[1];
  if (/^<frozen /.test(s) || /\/python3[\d.t]*\//.test(s)) return 'stdlib';
  return s.split('/').pop().replace(/\.py$/, '');
};
const HUES = { light: ['#f2c894', '#a9cbf5', '#a8dcc5', '#d9c4f0', '#f3bcc4', '#b5dbe6', '#dcd893', '#efc3dd', '#c3d79b', '#d2d6dc'], dark: ['#7a5423', '#2e507f', '#235f4c', '#573f7e', '#793b47', '#275a6b', '#625c1d', '#6c3a5f', '#465a29', '#474f59'] };
let packages = null;
const colorOf = d => {
  const f = tree.frame[d], list = HUES[dark() ? 'dark' : 'light'];
  if (f < 0 || !X.texts[X.file[f]]) return dark() ? '#3a424c' : '#dfe3e8';
  const i = packages.get(packageOf(f));
  return list[i === undefined ? 9 : i];
};
const rankPackages = () => {
  const sum = new Map();
  for (let d = 1; d < tree.n; d++) if (cut.own[d] > 0 && tree.frame[d] >= 0 && X.texts[X.file[tree.frame[d]]]) { const p = packageOf(tree.frame[d]); sum.set(p, (sum.get(p) || 0) + cut.own[d]); }
  const names = [...sum].sort((a, b) => b[1] - a[1]).map(e => e[0]);
  if (!packages) packages = new Map();
  for (const p of names) if (!packages.has(p) && packages.size < 9) packages.set(p, packages.size); /* a colour stays while the page is open */
};

/* ---- drawing ---- */
const layout = width => {
  boxes = [];
  const base = S.zoom, path = [];
  for (let d = base; ; d = tree.parent[d]) { path.unshift(d); if (!d) break; }
  path.forEach((d, i) => boxes.push({ d, m: -1, x: 0, w: width, y: i, above: d !== base }));
  const scale = width / (cut.total[base] || 1);
  (function down(d, x, y) {
    if (y > 400) return;
    const list = (cut.kids.get(d) || []).map(k => [k, -1, cut.total[k]]);
    if (cut.leaf.has(d)) for (const [m, v] of cut.leaf.get(d)) list.push([d, m, v]);
    list.sort((a, b) => b[2] - a[2]);
    for (const [k, m, v] of list) {
      const w = v * scale;
      if (w < 0.7) break; /* sorted: the rest is narrower */
      boxes.push({ d: k, m, x, w, y });
      if (m < 0) down(k, x, y + 1);
      x += w;
    }
  })(base, 0, path.length);
};
const paint = () => {
  const box = $('icicle'), canvas = box.firstElementChild, c = canvas.getContext('2d'), k = devicePixelRatio || 1, width = box.clientWidth;
  if (!cut.total[0]) boxes = []; else layout(width);
  const rows = boxes.length ? d3.max(boxes, b => b.y) + 1 : 2, height = Math.min(rows * ROW + 2, 16000);
  canvas.width = Math.round(width * k);
  canvas.height = Math.round(height * k);
  canvas.style.width = width + 'px';
  canvas.style.height = height + 'px';
  c.scale(k, k);
  c.font = '12px ' + getComputedStyle(document.body).fontFamily;
  c.textBaseline = 'middle';
  const ink = css('--ink'), soft = css('--soft'), card = css('--card'), mark = css('--accent'), needle = S.find.toLowerCase();
  if (!boxes.length) { c.fillStyle = soft; c.fillText(t('none'), 6, ROW); }
  for (const b of boxes) {
    const hit = needle && b.m < 0 && matches(b.d, needle);
    c.globalAlpha = b.above ? 0.55 : needle && !hit ? 0.35 : 1;
    c.fillStyle = b.m >= 0 ? (dark() ? '#222932' : '#f0f2f5') : colorOf(b.d);
    c.fillRect(b.x, b.y * ROW, Math.max(b.w - (b.w > 3 ? 1 : 0), 0.6), ROW - 1);
    c.globalAlpha = b.above || (needle && !hit) ? 0.75 : 1;
    if (hit) { c.fillStyle = mark; c.fillRect(b.x, b.y * ROW + ROW - 4, Math.max(b.w - 1, 1), 3); }
    if (b.w > 30) {
      c.save();
      c.beginPath();
      c.rect(b.x, b.y * ROW, b.w - 3, ROW);
      c.clip();
      c.fillStyle = b.m >= 0 ? soft : ink;
      const text = safe(b.m >= 0 ? mapText(b.m) : nodeLabel(b.d), 120);
      c.fillText(text, b.x + 5, b.y * ROW + ROW / 2);
      const room = b.w - 16 - c.measureText(text).width, value = size(b.m >= 0 ? leafValue(b) : cut.total[b.d]);
      if (room > c.measureText(value).width + 6) { c.fillStyle = soft; c.fillText(value, b.x + 13 + c.measureText(text).width, b.y * ROW + ROW / 2); }
      c.restore();
    }
    if (b.d === focus && b.m < 0) { c.globalAlpha = 1; c.strokeStyle = ink; c.lineWidth = 2; c.strokeRect(b.x + 1, b.y * ROW + 1, Math.max(b.w - 3, 1), ROW - 3); }
  }
  c.globalAlpha = 1;
  box.setAttribute('aria-label', t('stacks') + ': ' + safe(nodeName(focus), 80) + ', ' + size(cut.total[focus]));
};
const leafValue = b => { const l = cut.leaf.get(b.d).find(e => e[0] === b.m); return l ? l[1] : 0; };
const matches = (d, needle) => d > 0 && (nodeName(d).toLowerCase().includes(needle) || nodeWhere(d).toLowerCase().includes(needle));

const drawDetail = () => {
  const total = cut.total[0], d = focus, rows = [[t('total'), size(cut.total[d]), percent(cut.total[d], total)], [t('self'), size(cut.own[d]), percent(cut.own[d], total)]];
  const kids = (cut.kids.get(d) || []).slice(0, 6);
  $('detail').replaceChildren(
    el('h3', null, name(nodeName(d), 160)), el('p', { class: 'path' }, name(nodeWhere(d), 300)),
    el('dl', null, ...rows.flatMap(r => [el('dt', null, r[0]), el('dd', null, r[1] + (r[2] ? '  ·  ' + r[2] : ''))])),
    ...(cut.leaf.get(d) || []).sort((a, b) => b[1] - a[1]).slice(0, 4).map(([m, v]) => el('div', { class: 'path' }, name(mapText(m), 90), ' ' + size(v))),
    el('dl', null, ...kids.flatMap(k => [el('dt', null, name(nodeLabel(k), 60)), el('dd', null, size(cut.total[k]))])));
};

const chip = (text, clear) => el('span', { class: 'chip' + (clear ? '' : ' fixed') }, el('span', null, text), clear ? el('button', { type: 'button', 'aria-label': t('clear') + ': ' + text, on: { click: clear } }, '×') : null);
const drawScope = () => {
  const chips = [S.proc ? chip(t('scopeProc', safe(procName(S.proc), 60) + ' ' + PROC[S.proc].pid), () => set({ proc: 0, path: null, zoom: 0 })) : chip(t('scopeAllProcs'))];
  if (S.path) chips.push(chip(S.path[1] ? t('scopePhase', safe(pathLabel(S.path[1]), 80)) : t('noPhase'), () => set({ path: null, zoom: 0 })));
  if (S.span) chips.push(chip(t('scopeTime', at(S.span[0]), at(S.span[1])), () => set({ span: null })));
  if (S.zoom && tree) chips.push(chip(t('scopeZoom', safe(nodeLabel(S.zoom), 60)), () => set({ zoom: 0 })));
  if (cut) chips.push(el('span', { class: 'note', id: 'scope-sum' }, `${t('gained')} ${size(cut.gained)} · ${t('released')} ${size(cut.released)} · ${t('held')} ${size(cut.gained - cut.released, true)}`));
  if (packages) for (const [p, i] of packages) chips.push(el('span', { class: 'note' }, swatch(HUES[dark() ? 'dark' : 'light'][i]), name(p, 24)));
  $('scope').replaceChildren(...chips);
};
const drawNotes = () => {
  const notes = [];
  if (S.span) { const f = Math.floor((S.span[0] - X.first_us) / X.slice_us), l = Math.floor((S.span[1] - X.first_us) / X.slice_us) + 1; notes.push(t('sliceNote', time(X.slice_us * 1000), at(Math.max(0, X.first_us + f * X.slice_us)), at(Math.min(END, X.first_us + l * X.slice_us)))); }
  if (S.value === 'held' && cut.under) notes.push(t('heldNote', size(cut.under)));
  if (X.folded) notes.push(t('foldedNote', count(X.folded), size(X.folded_below)));
  if (S.find) { let sum = 0; const needle = S.find.toLowerCase(), seen = new Uint8Array(tree.n); for (let d = 1; d < tree.n; d++) { seen[d] = seen[tree.parent[d]]; if (!seen[d] && cut.total[d] > 0 && matches(d, needle)) { seen[d] = 1; sum += cut.total[d]; } } notes.push(t('matches', size(sum), percent(sum, cut.total[0]) || '0')); }
  $('stacks-note').textContent = notes.join(' ');
};
const drawHeaviest = () => {
  const by = new Map(), base = S.zoom;
  const within = new Uint8Array(tree.n);
  within[base] = 1;
  for (let d = 1; d < tree.n; d++) {
    if (within[tree.parent[d]]) within[d] = 1;
    if (!within[d] || !(cut.own[d] > 0)) continue;
    const f = tree.frame[d], key = f < 0 ? 'x' + f : X.function[f] + '/' + X.file[f];
    const row = by.get(key) || { d, v: 0, lines: new Set() };
    row.v += cut.own[d];
    if (f >= 0 && X.line[f]) row.lines.add(X.line[f]);
    by.set(key, row);
  }
  const rows = [...by.values()].sort((a, b) => b.v - a.v).slice(0, 20);
  $('heaviest').tHead.rows[0].replaceChildren(...[['function', 'l'], ['where', 'l'], [S.value, ''], ['share', '']].map(([k, cls]) => el('th', { scope: 'col', class: cls }, el('span', null, t(k)))));
  $('heaviest').tBodies[0].replaceChildren(...rows.map(r => el('tr', null, el('td', { class: 'f' }, name(nodeName(r.d), 120)),
    el('td', { class: 'l f q' }, name(tree.frame[r.d] >= 0 ? X.texts[X.file[tree.frame[r.d]]].split('/').slice(-3).join('/') + (r.lines.size ? ':' + [...r.lines].sort((a, b) => a - b).slice(0, 3).join(',') + (r.lines.size > 3 ? ',…' : '') : '') : '', 120)),
    el('td', null, size(r.v)), el('td', null, percent(r.v, cut.total[base])))));
};

const drawStacks = () => {
  for (const b of $('value').children) { const is = b.dataset.v === S.value; b.setAttribute('aria-checked', String(is)); b.tabIndex = is ? 0 : -1; }
  if (!X) { $('stacks-note').textContent = t('nothingYet'); return; }
  cutTree();
  rankPackages();
  paint();
  drawDetail();
  drawScope();
  drawNotes();
  drawHeaviest();
};
on('proc path span value zoom hide find lang theme', drawStacks);

const boxAt = e => {
  const r = $('icicle').firstElementChild.getBoundingClientRect(), x = e.clientX - r.left, y = Math.floor((e.clientY - r.top) / ROW);
  return boxes.find(b => b.y === y && x >= b.x && x < b.x + b.w);
};
const look = d => { focus = d; paint(); drawDetail(); };
const icicleKeys = e => {
  if (!cut) return;
  const kids = cut.kids.get(focus) || [], up = tree.parent[focus], same = focus ? cut.kids.get(up) || [] : [], i = same.indexOf(focus);
  if (e.key === 'ArrowDown' && kids.length) look(kids[0]);
  else if (e.key === 'ArrowUp' && focus) look(up);
  else if (e.key === 'ArrowRight' && i >= 0 && i + 1 < same.length) look(same[i + 1]);
  else if (e.key === 'ArrowLeft' && i > 0) look(same[i - 1]);
  else if (e.key === 'Enter') set({ zoom: focus });
  else if (e.key === 'Escape' || e.key === 'Backspace') { if (S.zoom) { const z = tree.parent[S.zoom]; focus = z; set({ zoom: z }); } }
  else if (e.key === 'Home') { focus = 0; set({ zoom: 0 }); }
  else if (!/^Arrow/.test(e.key)) return;
  const b = boxes.find(q => q.d === focus && q.m < 0), box = $('icicle');
  if (b && (b.y * ROW < box.scrollTop || (b.y + 2) * ROW > box.scrollTop + box.clientHeight)) box.scrollTop = (b.y - 3) * ROW;
  e.preventDefault();
};
