/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Data, texts, units, state. All files of page/ are joined into one function by tools/page.py. Nothing of the data is ever parsed as markup: text() and
   textContent only. */
const D = JSON.parse(document.getElementById('data').textContent);
const PROC = D.procs, U = D.page;
const $ = id => document.getElementById(id);

const WORDS = {
  en: {
    skip: 'Skip to stacks', language: 'Language', theme: 'Theme', auto: 'Auto', light: 'Light', dark: 'Dark', figures: 'Figures of the run',
    processes: 'Processes', all: 'All processes', sum: 'sum', zoom: 'Zoom', zoomIn: 'Zoom in', zoomOut: 'Zoom out', wholeRun: 'Whole run',
    chartHelp: 'Drag to zoom into a span of time; the stacks below then count that span alone. Keys: ← → move the cursor, + − zoom, Shift ← → shift, 0 whole run.',
    phases: 'Phases', rows: 'Rows', unfold: 'Unfold all', fold: 'Fold', stacks: 'Growth by stack', value: 'Value', gained: 'Gained', released: 'Released', held: 'Held',
    hideImports: 'Hide import machinery', find: 'Find function or file',
    icicleHelp: 'Callers above, what they call below; the last row is the mapping that the pages belong to. Click or Enter: zoom in; Esc: out; arrows move; hover for figures.',
    heaviest: 'Heaviest functions', family: 'Process family', sharedFiles: 'Mapped in more than one process', completeness: 'Completeness', licences: 'Chart library: d3 and its licence',
    phase: 'Phase', calls: 'Calls', time: 'Time', delta: 'RSS change', own: 'Own', anon: 'Anonymous', file: 'File', shmem: 'Shared', pinned: 'Pinned', shmemRest: 'Other shared', natives: 'Native functions (C/C++)', library: 'Library', nativeKind: 'Kind', asked: 'Asked', given: 'Given back', free: 'free', inner: 'inner', reused: 'Reused', peak: 'Peak', helper: 'By helpers', faults: 'Faults + major', byMapping: 'by mapping',
    rss: 'RSS', title: 'memory of', pid: 'pid', pidPeak: 'pid · peak RSS', outside: 'Outside any phase', open: 'open', end: 'End', start: 'Start', name: 'Process', kind: 'Kind',
    tilePeak: 'highest sum of RSS, at {0}', tileEnd: 'sum of RSS at the end', tileProcs: 'processes, {0} with phases', tileTime: 'observed', tileUn: 'unaccounted', tileLost: 'records or stacks lost',
    over: 'RSS over time: {0}', topLine: 'highest within a slot', nothingYet: 'reading stacks …', none: 'nothing', share: 'Share', self: 'Itself', total: 'With callees', line: 'line',
    nativesInner: 'A call contains the calls made inside it: what is marked “inner” is part of another row of its kind.', nativesMore: 'The first {0} of {1} rows in this order.', nativesOut: '{0} rows of the smallest sizes were left out.',
    root: 'All stacks', noStack: 'Stack not known', '<helper threads>': 'Helper threads (no Python stack)', '<interpreter start>': 'Start of the interpreter', '<stack unreadable>': 'Stack that could not be read', '<no Python>': 'Programs without Python', c1: 'Reclaim', c2: 'khugepaged', c3: 'From outside (ptrace, migration, …)', folded: 'smaller stacks', noMap: 'mapping not told apart',
    scopeProc: 'Process: {0}', scopeAllProcs: 'All processes', scopePhase: 'Phase: {0}', scopeTime: 'Time: {0} to {1}', scopeZoom: 'Within: {0}', clear: 'Clear', noPhase: 'Outside any phase',
    largest: 'Largest', procsN: 'Processes', between: 'Physical memory', function: 'Function', where: 'Where', matches: '{0} in matching frames ({1})',
    heldNote: 'Held is what a stack gained less what it released. {0} were given back here that other stacks had gained; they are not drawn.',
    foldedNote: '{0} small stacks, each with less than {1} moved, are added up as “smaller stacks” of their callers.',
    sliceNote: 'Times of stacks are known to {0}; the span was widened to {1} to {2}.',
    sharedNote: 'A page that several processes have mapped counts in the RSS of each, so the sums above are upper bounds. The record tells what each process has of a mapping, not which pages are the same: the physical memory of a file lies between the largest single process and the sum. Of processes that ran at the highest moment, what each held last; what a forked child inherited is not told apart by mapping.',
    sharedNone: 'No file or shared memory is held by more than one process.',
    unGood: 'Every page is accounted for: the sum of all charges is the exact change of RSS.', unBad: '{0} of RSS change are not accounted for.',
    lostGood: 'No record and no stack was lost.', lostBad: '{0} records and {1} stacks were lost; totals stay exact, attribution does not.', late: '{0} records came late: their pages count, their phase may be wrong.',
    callsOut: '{0} short calls with little change are not drawn one by one; the table has their sums.', slots: 'Timelines: at most {0} between two moments are joined; first, last and highest moments are exact.',
    roomBad: 'There was no memory for {0} gained and {1} released of the stacks.', treeBad: 'Memory was short while stacks were collected: some have no frames.', inexact: 'The source of RSS changes ({0}) is not exact to the page.', foldGood: 'All stacks are shown.',
    restNote: '{0}: {1} of its change are charged to no stack here (changes after its end, or told anew by the kernel).', notHit: 'Phases of the profile that were never seen', cost: 'Tracing cost {0} of BPF time and {1} of CPU time in ramtrack-bpf.', exitCode: 'exit {0}', signal: 'signal {0}', running: 'running', muted: 'tracking switched off', from: 'from', mappings: 'mapping', callN: 'call {0}', atCall: 'RSS {0} → {1}', held0: 'Held at the end by stacks seen here'
  },
  zh: {
    skip: '跳到调用栈', language: '语言', theme: '主题', auto: '自动', light: '浅色', dark: '深色', figures: '概况',
    processes: '进程', all: '所有进程', sum: '合计', zoom: '缩放', zoomIn: '放大', zoomOut: '缩小', wholeRun: '全程',
    chartHelp: '拖动选择一段时间放大; 下方调用栈随之只统计该时段。按键: ← → 移动光标, + − 缩放, Shift ← → 平移, 0 全程。',
    phases: '阶段', rows: '行', unfold: '全部展开', fold: '收起', stacks: '按调用栈的增长', value: '数值', gained: '增加', released: '释放', held: '持有',
    hideImports: '隐藏导入机制', find: '查找函数或文件',
    icicleHelp: '上方是调用者, 下方是被调用者; 最后一行是页面所属的映射。单击或回车: 放大; Esc: 返回; 方向键移动; 悬停查看数值。',
    heaviest: '增长最多的函数', family: '进程家族', sharedFiles: '被多个进程映射', completeness: '完整性', licences: '图表库 d3 及其许可证',
    phase: '阶段', calls: '次数', time: '时间', delta: 'RSS变化', own: '自身', anon: '匿名', file: '文件', shmem: '共享', pinned: '锁页内存', shmemRest: '其他共享', natives: '本地函数 (C/C++)', library: '库', nativeKind: '种类', asked: '申请', given: '归还', free: '释放', inner: '内层', reused: '重用', peak: '峰值', helper: '辅助线程', faults: '缺页 + 主', byMapping: '按映射',
    rss: 'RSS', title: '的内存', pid: 'pid', pidPeak: 'pid · RSS峰值', outside: '阶段之外', open: '未结束', end: '结束', start: '开始', name: '进程', kind: '类别',
    tilePeak: 'RSS合计最高, 在 {0}', tileEnd: '结束时RSS合计', tileProcs: '个进程, {0} 个有阶段', tileTime: '观察时长', tileUn: '未入账', tileLost: '丢失的记录或调用栈',
    over: 'RSS随时间: {0}', topLine: '时隙内最高', nothingYet: '正在读取调用栈…', none: '无', share: '占比', self: '自身', total: '含被调用者', line: '行',
    nativesInner: '调用的大小包含其内部的调用: 标为“内层”的已含在同种类的另一行中。', nativesMore: '按此顺序的前 {0} 行, 共 {1} 行。', nativesOut: '未列出大小最小的 {0} 行。',
    root: '全部调用栈', noStack: '未知的调用栈', '<helper threads>': '辅助线程 (无Python栈)', '<interpreter start>': '解释器启动', '<stack unreadable>': '无法读取的调用栈', '<no Python>': '非Python程序', c1: '内存回收', c2: 'khugepaged', c3: '来自外部 (ptrace, 迁移等)', folded: '较小的调用栈', noMap: '未区分映射',
    scopeProc: '进程: {0}', scopeAllProcs: '所有进程', scopePhase: '阶段: {0}', scopeTime: '时间: {0} 至 {1}', scopeZoom: '范围: {0}', clear: '清除', noPhase: '阶段之外',
    largest: '最大', procsN: '进程数', between: '物理内存', function: '函数', where: '位置', matches: '匹配的帧共 {0} ({1})',
    heldNote: '持有 = 该栈增加的减去其释放的。另有 {0} 由其他栈增加而在此释放, 未画出。',
    foldedNote: '{0} 个小调用栈 (各自变动不到 {1}) 在其调用者处合计为“较小的调用栈”。',
    sliceNote: '调用栈的时间精度为 {0}; 时段已扩至 {1} 到 {2}。',
    sharedNote: '多个进程映射的同一页计入每个进程的RSS, 所以上面的合计是上限。记录知道每个进程在一个映射中有多少页, 不知道哪些页相同: 一个文件的物理内存介于单个进程的最大值与合计之间。只计在最高时刻运行的进程, 取其最后的持有量; fork出的子进程继承的部分未按映射区分。',
    sharedNone: '没有被多个进程持有的文件或共享内存。',
    unGood: '每一页都已入账: 所有记账之和等于RSS的精确变化。', unBad: '有 {0} 的RSS变化未入账。',
    lostGood: '没有丢失记录和调用栈。', lostBad: '丢失 {0} 条记录和 {1} 个调用栈; 总量仍精确, 归属不全。', late: '{0} 条记录迟到: 页数有效, 阶段可能不对。',
    callsOut: '{0} 次变化很小的短调用未逐个画出; 表中有其合计。', slots: '时间线: 相距不到 {0} 的时刻可能合并; 首个, 最后和最高时刻精确。',
    roomBad: '调用栈中有 {0} 增加和 {1} 释放因内存不足未记。', treeBad: '收集调用栈时内存不足: 部分没有帧。', inexact: 'RSS变化的来源 ({0}) 不精确到页。', foldGood: '显示了全部调用栈。',
    restNote: '{0}: 其变化中有 {1} 未归入此处的任何栈 (结束之后的变化, 或内核重新告知)。', notHit: '配置中从未出现的阶段', cost: '跟踪花费BPF时间 {0}, ramtrack-bpf的CPU时间 {1}。', exitCode: '退出码 {0}', signal: '信号 {0}', running: '运行中', muted: '跟踪已关闭', from: '从', mappings: '映射', callN: '第 {0} 次', atCall: 'RSS {0} → {1}', held0: '此处所见调用栈在结束时持有'
  }
};
const KINDS = ['file', 'anon', 'shmem'];
const MAPKIND = ['unknown', 'file', 'heap', 'stack', 'anon', 'shmem', 'others'];

const S = { lang: D.lang, theme: 'auto', proc: 0, path: null, span: null, value: 'gained', zoom: 0, hide: true, find: '' };
const t = (key, ...args) => {
  let s = WORDS[S.lang][key];
  args.forEach((a, i) => { s = s.split('{' + i + '}').join(a); });
  return s;
};

/* Names of the target: control characters, and those that turn the direction of writing or cannot be seen, are shown by their number. */
const ODD = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const safe = (text, max = 200) => {
  let s = String(text);
  if (s.length > max) s = s.slice(0, max).replace(/[\ud800-\udbff]$/, '') + '…';
  return s.replace(ODD, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
};

const MINUS = '\u2212', NB = '\u00a0';
const size = (bytes, sign) => {
  const a = Math.abs(bytes), lead = bytes < 0 ? MINUS : sign && bytes > 0 ? '+' : '';
  if (!a) return '0';
  if (a < 1024) return lead + a + NB + 'B';
  const i = a < 1048576 * 0.9995 ? 0 : a < 1073741824 * 0.9995 ? 1 : a < 1099511627776 * 0.9995 ? 2 : 3;
  const v = a / [1024, 1048576, 1073741824, 1099511627776][i];
  return lead + v.toFixed(v < 9.995 ? (i ? 2 : 1) : v < 99.95 ? 1 : 0).replace(/\.0$/, i ? '.0' : '') + NB + ['KiB', 'MiB', 'GiB', 'TiB'][i];
};
const mib = bytes => { /* in columns: one unit, so that digits line up */
  const v = (Math.abs(bytes) / 1048576).toFixed(2);
  return !bytes ? '0' : v === '0.00' ? (bytes < 0 ? MINUS : '') + '<0.01' : (bytes < 0 ? MINUS : '') + v.replace(/\B(?=(\d{3})+\.)/g, NB);
};
const time = ns => {
  const a = Math.abs(ns);
  if (a < 1e6) return (ns / 1e3).toFixed(0) + NB + 'µs';
  if (a < 1e9) return (ns / 1e6).toFixed(a < 1e8 ? 1 : 0) + NB + 'ms';
  if (a < 6e10) return (ns / 1e9).toFixed(a < 1e10 ? 2 : 1) + NB + 's';
  const s = Math.round(ns / 1e9);
  return s < 3600 ? Math.floor(s / 60) + 'm' + String(s % 60).padStart(2, '0') + 's' : Math.floor(s / 3600) + 'h' + String(Math.floor(s / 60) % 60).padStart(2, '0') + 'm';
};
const at = us => { /* a moment of the run, exact enough for the window shown */
  const w = S.span ? S.span[1] - S.span[0] : END, d = w < 2e4 ? 4 : w < 2e6 ? 3 : 2;
  return us >= 6e8 ? Math.floor(us / 6e7) + 'm' + (us % 6e7 / 1e6).toFixed(Math.max(d - 1, 0)).padStart(d + 2, '0') + 's' : (us / 1e6).toFixed(d) + NB + 's';
};
const percent = (a, b) => b ? (100 * a / b).toFixed(a / b < 0.0995 ? 1 : 0) + NB + '%' : '';
const count = n => String(n).replace(/\B(?=(\d{3})+$)/g, NB);

/* ---- making elements ---- */
const el = (tag, attrs, ...kids) => {
  const e = document.createElement(tag);
  for (const k in attrs || {}) {
    if (k === 'on') for (const ev in attrs.on) e.addEventListener(ev, attrs.on[ev]);
    else if (attrs[k] !== null && attrs[k] !== undefined) e.setAttribute(k, attrs[k]);
  }
  for (const kid of kids) if (kid !== null && kid !== undefined) e.append(kid);
  return e;
};
const name = (text, max) => el('bdi', { title: String(text).length > (max || 200) ? safe(text, 2000) : null }, safe(text, max));
const swatch = color => { const s = el('span', { class: 'sw', 'aria-hidden': 'true' }); s.style.background = color; return s; };
const css = v => getComputedStyle(document.documentElement).getPropertyValue(v).trim();

/* ---- processes and phases ---- */
PROC[0] = null;
const procName = p => p ? PROC[p].name || '?' : t('all');
const phaseLabel = i => D.phases[i][S.lang === 'zh' ? 1 : 2] || D.phases[i][0];
const pathLabel = i => i ? phaseLabel(D.paths[i][1]) : t('noPhase');
const pathDepth = D.paths.map(() => 0);
for (let i = 1; i < D.paths.length; i++) pathDepth[i] = pathDepth[D.paths[i][0]] + 1; /* parents come first */
const pathInside = (i, outer) => { for (; i; i = D.paths[i][0]) if (i === outer) return true; return outer === 0; };
let END = 1000; /* µs */
for (let p = 1; p < PROC.length; p++) {
  const r = PROC[p].rss;
  if (r.t.length) END = Math.max(END, r.t[r.t.length - 1]);
}

const PHASE_COLORS = {
  light: ['#bcd4f7', '#bfe3d3', '#f7d9b0', '#dccbf2', '#f6c9cf', '#c6e2ea', '#e4dfa6', '#d6d9de', '#c9d8a8', '#efcbe3'],
  dark: ['#2f4f7f', '#23604e', '#77521f', '#563f7d', '#7a3a45', '#27596a', '#625c1c', '#474f59', '#46592a', '#6c3a5e']
};
const dark = () => getComputedStyle(document.documentElement).colorScheme === 'dark';
const phaseColor = path => PHASE_COLORS[dark() ? 'dark' : 'light'][path ? (D.paths[path][1] - 1) % 10 : 7];
const PROC_COLORS = {
  light: ['#3f78cf', '#2f9e83', '#d98a29', '#9c5fc9', '#c94f5d', '#3a9fb5', '#98902a', '#6d7884', '#7fa03c', '#c05a9c'],
  dark: ['#5d93e6', '#3fb498', '#e0a04b', '#b98be0', '#e0727f', '#55b7cc', '#b5ad48', '#8c97a4', '#9bbd56', '#d67db6']
};
const colors = () => PROC_COLORS[dark() ? 'dark' : 'light'];

/* Index of the last moment at or before `us`, -1 before the first. */
const stepAt = (ts, us) => {
  let lo = 0, hi = ts.length;
  while (lo < hi) { const m = (lo + hi) >> 1; if (ts[m] <= us) lo = m + 1; else hi = m; }
  return lo - 1;
};
const alive = (p, us) => us <= PROC[p].rss.t[PROC[p].rss.t.length - 1] || !PROC[p].ended;
const rssAt = (p, us) => {
  const r = PROC[p].rss, i = stepAt(r.t, us);
  return i < 0 || !alive(p, us) ? null : [r.anon[i] * U, r.file[i] * U, r.shmem[i] * U, r.top[i] * U];
};

/* The sum over all processes at every moment of any: the highest is the family's peak. */
const SUM = (() => {
  const events = [];
  for (let p = 1; p < PROC.length; p++) {
    const r = PROC[p].rss;
    let last = 0;
    for (let i = 0; i < r.t.length; i++) {
      const v = r.anon[i] + r.file[i] + r.shmem[i];
      if (v !== last) events.push([r.t[i], v - last]);
      last = v;
    }
    if (r.t.length && PROC[p].ended) events.push([r.t[r.t.length - 1] + 1, -last]);
  }
  events.sort((a, b) => a[0] - b[0]);
  const ts = [], v = [];
  let sum = 0, peak = 0, when = 0;
  for (const e of events) {
    sum += e[1];
    if (ts.length && ts[ts.length - 1] === e[0]) v[v.length - 1] = sum; else { ts.push(e[0]); v.push(sum); }
  }
  for (let i = 0; i < v.length; i++) if (v[i] > peak) { peak = v[i]; when = ts[i]; }
  return { t: ts, v, peak: peak * U, when };
})();
const byPeak = d3.range(1, PROC.length).sort((a, b) => PROC[b].peak - PROC[a].peak || a - b);
/* What has a colour of its own in the sum: the largest processes, then the largest names of several. The last group is all others. */
const GROUPS = (() => {
  const large = byPeak.filter((p, i) => i < 9 && (PROC[p].peak > SUM.peak / 30 || (i < 2 && PROC.length < 12))), names = new Map(), own = new Set(large);
  for (const p of byPeak) if (!own.has(p)) { if (!names.has(PROC[p].name)) names.set(PROC[p].name, []); names.get(PROC[p].name).push(p); }
  const weight = list => d3.sum(list, p => PROC[p].peak), more = [...names.values()].filter(list => weight(list) > SUM.peak / 50).sort((a, b) => weight(b) - weight(a)).slice(0, 9 - large.length);
  const groups = [...large.map(p => [p]), ...more];
  for (const list of groups) for (const p of list) own.add(p);
  groups.push(byPeak.filter(p => !own.has(p)));
  return groups;
})();
const groupOf = PROC.map(() => GROUPS.length - 1);
GROUPS.forEach((list, i) => { for (const p of list) groupOf[p] = i; });
const procColor = p => p && groupOf[p] < GROUPS.length - 1 ? colors()[groupOf[p]] : css('--rest');

/* ---- state ---- */
const renders = []; /* [what it depends on, function] */
const set = change => {
  Object.assign(S, change);
  for (const [keys, draw] of renders) if (keys.some(k => k in change)) draw();
};
const on = (keys, draw) => renders.push([keys.split(' '), draw]);
