/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The table of native functions: the summary's rows, with its words. */
const NATIVE_ROWS = 400; /* drawn at most; sorting takes all */
const NATIVES = (() => {
  const n = D.natives;
  return !n ? [] : n.proc.map((p, i) => {
    const free = n.flags[i] & 1, bytes = n.bytes[i];
    return { key: 'n' + i, p, symbol: n.texts[n.symbol[i]], library: n.texts[n.library[i]], kind: n.texts[n.kind[i]], phase: n.phase[i], free, inner: n.flags[i] >> 1 & 1, calls: n.calls[i], time: n.time[i],
      asked: free ? undefined : bytes, delta: n.delta[i], own: n.own[i], shmem: n.shmem[i], given: free && bytes ? bytes : n.released[i] };
  });
})();
const NATIVE_COLUMNS = [
  ['function', r => r.symbol, null], ['name', r => PROC[r.p].name + ' ' + PROC[r.p].pid, r => name(PROC[r.p].name + ' ' + PROC[r.p].pid, 60), 'l'], ['library', r => r.library, r => name(r.library, 60), 'l'],
  ['nativeKind', r => r.kind, r => name(r.kind, 40), 'l'], ['phase', r => nativePhase(r), r => name(nativePhase(r), 80), 'l'],
  ['calls', r => r.calls, r => count(r.calls)], ['time', r => r.time, r => time(r.time)], ['asked', r => r.asked, r => mib(r.asked)], ['delta', r => r.delta, r => mib(r.delta)],
  ['own', r => r.own, r => mib(r.own)], ['shmem', r => r.shmem, r => mib(r.shmem)], ['given', r => r.given, r => mib(r.given)]
];
const nativePhase = r => r.phase ? phaseLabel(r.phase) : t('noPhase');
/* The phase of a row as one to choose: where it is nested in one way only. */
const nativePath = r => {
  const found = r.phase ? PROC[r.p].phases.filter(f => D.paths[f.path][1] === r.phase) : [];
  return found.length === 1 ? found[0].path : 0;
};
const nativeOrder = { by: null, up: false };

const nativeCells = (row, columns) => columns.map(([key, value, show, cls]) => {
  if (key === 'function') {
    const remark = [row.free && t('free'), row.inner && t('inner')].filter(w => w).join(', ');
    return el('td', { role: 'gridcell', title: safe(row.symbol, 600) }, name(row.symbol, 120), remark ? el('span', { class: 'q' }, ' (' + remark + ')') : null);
  }
  return el('td', { role: 'gridcell', class: cls }, value(row) === undefined ? null : show(row));
});
const drawNatives = () => {
  const rows = NATIVES.filter(r => !S.proc || r.p === S.proc), columns = NATIVE_COLUMNS.filter(c => c[0] !== 'name' || !S.proc), focusKey = focusedRow('natives');
  $('natives-card').hidden = !rows.length;
  if (!rows.length) return;
  if (!columns.some(c => c[0] === nativeOrder.by)) nativeOrder.by = null;
  sortHeads('natives', columns, nativeOrder, drawNatives);
  putRows('natives', sorted(rows, columns, nativeOrder).slice(0, NATIVE_ROWS).map(r => {
    const chosen = S.path && S.path[0] === r.p && S.path[1] === nativePath(r) && (S.path[1] || !r.phase);
    return el('tr', { role: 'row', 'aria-selected': String(!!chosen), tabindex: '-1', 'data-k': r.key }, ...nativeCells(r, columns));
  }), focusKey);
  $('natives-note').textContent = ['MiB' + (S.proc ? '' : ' · ' + t('all')), rows.some(r => r.inner) ? t('nativesInner') : '', rows.length > NATIVE_ROWS ? t('nativesMore', NATIVE_ROWS, count(rows.length)) : '', D.natives.left_out ? t('nativesOut', count(D.natives.left_out)) : ''].filter(s => s).join(' · ');
};
const actNative = tr => {
  const row = NATIVES[+tr.dataset.k.slice(1)], path = nativePath(row);
  if (path) choose(row.p, path); else set({ proc: row.p, path: null, zoom: 0 });
};
const nativeKeys = e => {
  const tr = rowOf(e);
  if (!tr) return;
  if (!moveRow(e, tr)) { if (e.key === 'Enter' || e.key === ' ') actNative(tr); else return; }
  e.preventDefault();
};
on('proc path lang', drawNatives);
