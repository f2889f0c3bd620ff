# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The formats besides log and NDJSON: read as their readers read them, and held against the NDJSON of the same run."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata

import pytest

from harness import PATIENCE, TARGETS, phase, read_ndjson, trace, write_profile

FILE = "shapes.py"
PHASES = [phase(name, name, FILE) for name in ("plain", "decorated", "generating", "managed")]
PHASES += [phase("box", "Box.__init__", FILE), phase("main", "main", FILE)]
UNSAFE = {chr(code) for code in (0x61C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)}


def is_safe(text):
    return not any(unicodedata.category(c) in ("Cc", "Cs") or c in UNSAFE for c in text)


def gained(entry, key="gained_bytes"):
    """What is charged to a process: its outermost phases, and outside of phases. Other causes are net figures."""
    return sum(row[key] for row in entry["phases"] if len(row["path"]) == 1) + sum(row[key] for row in entry["outside"])


def cache_folder():
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ramtrack-bpf")


# ---- perfetto ----


@pytest.fixture(scope="session")
def perfetto_python():
    """An interpreter with the package perfetto, from the package index, kept for later runs; or a skip that says why there is none."""
    cache = os.path.join(cache_folder(), "perfetto-venv")
    python = os.path.join(cache, "bin", "python")
    probe = [python, "-c", "from perfetto.protos.perfetto.trace import perfetto_trace_pb2"]
    if os.path.exists(python) and not subprocess.run(probe, capture_output=True).returncode:
        return python
    shutil.rmtree(cache, ignore_errors=True)
    for command in ([sys.executable, "-m", "venv", cache], [python, "-m", "pip", "install", "-q", "perfetto"], probe):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the package perfetto cannot be had: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return python


def read_perfetto(python, path):
    reader = os.path.join(os.path.dirname(os.path.abspath(__file__)), "perfetto_read.py")
    done = subprocess.run([python, reader, path], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    read = json.loads(done.stdout)
    read["tracks"] = {int(uuid): one for uuid, one in read["tracks"].items()}
    return read


def slices(read):
    """All slices as (pid, tid, begin, end, name, depth), as a reader makes them: events of a track by time, those of one time as they stand in the file."""
    found = []
    by_track = {}
    for event in read["events"]:
        assert event["clock"] == 3, event
        if event["type"] in ("begin", "end"):
            by_track.setdefault(event["track"], []).append(event)
    for uuid, events in by_track.items():
        track, stack = read["tracks"][uuid], []
        assert track["kind"] == "thread" and read["tracks"][track["parent"]]["pid"] == track["pid"], track
        for event in sorted(events, key=lambda one: one["ts"]):
            if event["type"] == "begin":
                stack.append(event)
                continue
            assert stack, f"an end without a begin: {event}"
            begin = stack.pop()
            assert not stack or stack[-1]["ts"] <= begin["ts"] <= event["ts"]
            found.append((track["pid"], track["tid"], begin["ts"], event["ts"], begin["name"], len(stack), event["notes"]))
        assert not stack, f"slices without an end: {stack}"
    return found


def counters(read):
    """(pid, kind) -> samples (time, value) in the file's order."""
    found = {}
    for event in read["events"]:
        if event["type"] == "counter":
            track = read["tracks"][event["track"]]
            assert track["kind"] == "counter" and track["unit"] == 3, track
            found.setdefault((read["tracks"][track["parent"]]["pid"], track["name"].split()[-1]), []).append((event["ts"], event["value"]))
    return found


def check_perfetto(said, read):
    told = slices(read)
    wanted = sorted((r["pid"], r["tid"], r["start_ns"], r["end_ns_max"], r["label"], len(r["path"]) - 1) for r in said.of("phase"))
    assert sorted(one[:6] for one in told) == wanted
    by_key = {one[:6]: one[6] for one in told}
    for r in said.of("phase"):
        notes = by_key[(r["pid"], r["tid"], r["start_ns"], r["end_ns_max"], r["label"], len(r["path"]) - 1)]
        assert notes.keys() >= {"rss_delta_bytes", "own_bytes", "gained_bytes", "released_bytes", "peak_rss_bytes", "end_ns"}
    edges = {("begin", r["ts_ns"], r["tid"]) for r in said.of("checkpoint", edge="enter") if r["phase"] in {one["phase"] for one in said.of("phase")}}
    assert edges == {("begin", one[2], one[1]) for one in told}
    lines = counters(read)
    for entry in said.summary["processes"]:
        ends = {kind: lines[(entry["pid"], kind)] for kind in ("anon", "file", "shmem")}
        assert sum(samples[-1][1] for samples in ends.values()) == entry["rss_end_bytes"], entry["pid"]
        for samples in ends.values():
            assert [ts for ts, _ in samples] == sorted(ts for ts, _ in samples)
            assert all(value >= 0 for _, value in samples) and samples[-1][0] <= entry["end_ns"]
    # At each edge the counters say what the checkpoint says: the RSS before the change that its look came with, which may have the same time.
    for r in said.of("checkpoint"):
        for kind in ("anon", "file", "shmem"):
            before = [value for ts, value in lines[(r["pid"], kind)] if ts < r["ts_ns"]][-1:]
            then = [value for ts, value in lines[(r["pid"], kind)] if ts == r["ts_ns"]]
            assert r[f"{kind}_bytes"] in before + then, (r, kind)
    start = said.records[0]
    assert read["clocks"] == {"primary": 3, "3": start["ts_ns"], "1": start["wall_ns"]}
    return told, lines


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_perfetto(tool, python, perfetto_python, mode):
    path = os.path.join(tool.directory, "trace.pftrace")
    said = trace(tool, python, FILE, mode=mode, phases=PHASES, options=["--perfetto", path])
    read = read_perfetto(perfetto_python, path)
    told, lines = check_perfetto(said, read)
    assert len(told) > 10 and max(one[5] for one in told) >= 1
    # One sample a millisecond and two at each edge, not one for each of the changes.
    edges, ms = len(said.of("checkpoint")) + len(said.of("process")), said.summary["duration_ns"] / 1e6
    assert all(len(samples) <= ms + 2 * edges for samples in lines.values()), {key: len(samples) for key, samples in lines.items()}


def test_perfetto_of_a_family(tool, python, perfetto_python):
    path = os.path.join(tool.directory, "trace.pftrace")
    said = trace(tool, python, "children.py", "every_kind", phases=[phase("main", "main", "children.py")], options=["--perfetto", path], check=False)
    read = read_perfetto(perfetto_python, path)
    check_perfetto(said, read)
    assert len({track["pid"] for track in read["tracks"].values() if track["kind"] == "process"}) == len(said.summary["processes"]) > 2


# ---- folded ----


def read_folded(path):
    """As flamegraph.pl and speedscope do: frames, `;` between them, a blank, a number. Returns [(frames, value)]."""
    with open(path, "rb") as file:
        lines = file.read().decode("utf-8").split("\n")
    assert lines.pop() == ""
    found = []
    for line in lines:
        match = re.fullmatch(r"(.*)\s+?(\d+(?:\.\d*)?)", line)
        assert match and is_safe(line) and not line.startswith("#"), line
        frames = match[1].split(";")
        assert all(frames) and int(match[2]) > 0, line
        found.append((frames, int(match[2])))
    assert len({tuple(frames) for frames, _ in found}) == len(found), "a stack stands there twice"
    return found


def of_pid(lines, pid):
    return [(frames, value) for frames, value in lines if f"(pid {pid})" in frames[0]]


@pytest.mark.parametrize("value", ["gained", "released", "held"])
def test_folded(tool, python, value):
    path = os.path.join(tool.directory, "stacks.folded")
    options = ["--folded", path, "--json-growth"] + (["--value", value] if value != "gained" else [])
    said = trace(tool, python, FILE, phases=PHASES, options=options)
    lines = read_folded(path)
    note = re.search(r"(\d+) stacks gave back (\d+) bytes more than they gained", said.errors)
    left_out = int(note[2]) if note else 0
    assert not left_out or value == "held"
    entries = said.summary["processes"]
    if value == "held":  # the note is of all processes together
        charged = sum(gained(entry) - gained(entry, "released_bytes") + sum(entry["causes"].values()) for entry in entries)
        assert sum(size for _, size in lines) - left_out == charged
        if all(len(said.of("process", pid=entry["pid"], event="exec")) == 1 for entry in entries):  # a further one leaves memory behind without a charge
            assert charged == sum(entry["rss_end_bytes"] - entry["rss_start_bytes"] for entry in entries)
    for entry in entries:
        if value != "held" and not any(entry["causes"].values()):
            assert sum(size for _, size in of_pid(lines, entry["pid"])) == gained(entry, f"{value}_bytes")
    if value == "held":
        # Each stack's sum is that of its changes in the NDJSON, by an own addition.
        true, told = sums_of_growth(said), told_by_frames(lines)
        wrong = {key: (true.get(key), told.get(key)) for key in true.keys() | told.keys() if true.get(key) != told.get(key)}
        assert not wrong, "\n".join(f"{';'.join(key)}: {sizes}" for key, sizes in wrong.items())


def tail(path):
    return re.sub(r".*/(?:site-packages|dist-packages)/|.*/lib/python[\d.]+/", "", path)


def sums_of_growth(said):
    """Function names outermost first -> bytes, of stacks that grew. Names that are escaped are not compared: this target has none."""
    def told(frame):
        """A line is not known where the code object's table is longer than what is kept of it."""
        place = tail(frame["file"]) + (f":{frame['line']}" if frame["line"] else "")
        return f"{frame['function']} ({place})" if frame["file"] else frame["function"]

    frames = {r["id"]: tuple(told(frame) for frame in reversed(r["frames"])) for r in said.of("stack")}
    sums = {}
    for r in said.of("growth"):
        if r["stack"]:
            key = frames[r["stack"]]
            sums[key] = sums.get(key, 0) + r["anon_bytes"] + r["file_bytes"] + r["shmem_bytes"]
    return {key: value for key, value in sums.items() if value > 0}


def told_by_frames(lines):
    """Without the process, mappings added up. Words are no stacks."""
    sums = {}
    for frames, value in lines:
        key = tuple(frames[1:-1])
        if key and not key[0].startswith("[") and (len(key) > 1 or "(" in key[0]):
            sums[key] = sums.get(key, 0) + value
    return sums


def test_folded_names_helpers_phases(tool, python):
    """Threads without Python frames: a word, below the phase that they worked for."""
    path = os.path.join(tool.directory, "stacks.folded")
    trace(tool, python, FILE, phases=PHASES, options=["--folded", path, "--no-mappings"])
    frames = [frames for frames, _ in read_folded(path)]
    assert any(one[-1] == "<interpreter start>" and len(one) == 2 for one in frames)
    assert not any(one[-1].startswith("[anon]") for one in frames)


# ---- prom ----

LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def read_metrics(path):
    """Strictly, after OpenMetrics: families in one piece, HELP and TYPE before them, no series twice, EOF last. Returns {(name, labels): value}."""
    with open(path, "rb") as file:
        lines = file.read().decode("utf-8").split("\n")
    assert lines[-2:] == ["# EOF", ""]
    found, family, families = {}, None, set()
    for line in lines[:-2]:
        assert is_safe(line), line
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            assert re.fullmatch("ramtrack_[a-z_]+", family) and family not in families and line.split(" ", 3)[3]
            families.add(family)
            continue
        if line.startswith("# TYPE "):
            assert line == f"# TYPE {family} gauge"
            continue
        match = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (-?\d+(?:\.\d+)?)", line)
        assert match and match[1] == family, line
        labels = LABEL.findall(match[2] or "")
        assert ",".join(f'{name}="{value}"' for name, value in labels) == (match[2] or ""), line
        key = (family, tuple(sorted((name, re.sub(r"\\(.)", r"\1", value)) for name, value in labels)))
        assert key not in found and len({name for name, _ in labels}) == len(labels), line
        found[key] = float(match[3]) if "." in match[3] else int(match[3])
    return found


def metric(found, name, **labels):
    return found[(name, tuple(sorted((key, str(value)) for key, value in labels.items())))]


def check_metrics(said, found):
    for entry in said.summary["processes"]:
        who = {"role": entry["name"], "pid": entry["pid"]}
        kinds = ("anon", "file", "shmem")
        assert sum(metric(found, "ramtrack_process_rss_bytes", kind=kind, **who) for kind in kinds) == entry["rss_end_bytes"]
        assert sum(metric(found, "ramtrack_process_rss_start_bytes", kind=kind, **who) for kind in kinds) == entry["rss_start_bytes"]
        assert metric(found, "ramtrack_process_rss_peak_bytes", **who) == entry["rss_peak_bytes"]
        assert metric(found, "ramtrack_process_outside_rss_bytes", **who) == entry["outside_bytes"]
        for name in {row["phase"] for row in entry["phases"]}:
            rows = [row for row in entry["phases"] if row["phase"] == name]
            for kind in kinds:
                assert metric(found, "ramtrack_phase_rss_bytes", phase=name, kind=kind, **who) == sum(row[f"{kind}_bytes"] for row in rows)
            for key in ("gained", "released", "reused"):
                assert metric(found, f"ramtrack_phase_{key}_bytes", phase=name, **who) == sum(row[f"{key}_bytes"] for row in rows)
            assert metric(found, "ramtrack_phase_rss_peak_bytes", phase=name, **who) == max(row["peak_rss_bytes"] for row in rows)
            assert metric(found, "ramtrack_phase_calls", phase=name, **who) == sum(row["calls"] for row in rows)
            seconds = sum(row["duration_ns"] for row in rows) / 1e9
            assert abs(metric(found, "ramtrack_phase_duration_seconds", phase=name, **who) - seconds) < 1e-8
    assert metric(found, "ramtrack_unaccounted_bytes") == said.summary["unaccounted_bytes"]


def test_prom(tool, python):
    path = os.path.join(tool.directory, "ram.prom")
    said = trace(tool, python, FILE, phases=PHASES, options=["--prom", path])
    check_metrics(said, read_metrics(path))
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~umask()
    assert sorted(name for name in os.listdir(tool.directory) if "prom" in name) == ["ram.prom"]


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.fixture(scope="session")
def promtool():
    """Prometheus's own checker: what is installed, else out of Debian's package, kept for later runs; or a skip that says why there is none."""
    if shutil.which("promtool"):
        return shutil.which("promtool")
    kept = os.path.join(cache_folder(), "promtool", "promtool")
    if os.path.exists(kept):
        return kept
    with tempfile.TemporaryDirectory() as folder:
        for command in ("apt-get -q download prometheus", "dpkg-deb -x prometheus_*.deb ."):
            done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"promtool cannot be had, {command}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        shutil.copy(os.path.join(folder, "usr", "bin", "promtool"), kept)
    return kept


def test_prom_by_promtool(tool, python, promtool):
    path = os.path.join(tool.directory, "ram.prom")
    trace(tool, python, FILE, phases=PHASES, options=["--prom", path])
    with open(path, "rb") as file:
        done = subprocess.run([promtool, "check", "metrics"], stdin=file, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout and not done.stderr, (done.returncode, done.stdout, done.stderr)


def test_prom_takes_the_place_of_what_was_there(run_tool, directory, sleeper):
    """A link stays a link, a mode stays, a device stays a device, and while the tool runs the old file is whole."""
    profile = write_profile(os.path.join(directory, "p.yaml"), [phase("a", "f")])
    real, link = os.path.join(directory, "real.prom"), os.path.join(directory, "link.prom")
    with open(real, "w") as file:
        file.write("old\n")
    os.chmod(real, 0o640)
    os.symlink("real.prom", link)
    command = [run_tool.path, "-P", profile, "-d", "2", "-o", "/dev/null", "--prom", link, "-p", str(sleeper.pid)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        with open(real) as file:
            text = file.read()
        assert text == "old\n" or text.endswith("# EOF\n")
    with open(real) as file:
        assert running.returncode == 0 and file.read().endswith("# EOF\n")
    assert os.path.islink(link) and os.stat(real).st_mode & 0o777 == 0o640
    done = run_tool("-P", profile, "-d", "0.3", "-o", real, "--prom", "/dev/null", "-p", sleeper.pid)
    assert done.returncode == 0 and not os.path.isfile("/dev/null"), done.stderr


# ---- all of them ----


def test_hostile_names(run_tool, directory, perfetto_python, promtool):
    """Of the process, its command line, functions, files, mappings, labels: each format's own reader reads them, nothing in them acts."""
    label = "</script>\"';\u202ex"  # a profile with control characters is refused
    profile = write_profile(os.path.join(directory, "p.yaml"), [phase("fill", "fill", label={"zh": label, "en": label})])
    paths = {name: os.path.join(directory, f"out.{name}") for name in ("perfetto", "folded", "prom")}
    options = [word for name, path in paths.items() for word in (f"--{name}", path)]
    ndjson = os.path.join(directory, "out.ndjson")
    hostile = b"</script>\";\n\x1b\xe2\x80\xae\xff\\"
    done = run_tool("-P", profile, "-o", os.path.join(directory, "log"), "-j", ndjson, *options, "--", "/usr/bin/python3", os.path.join(TARGETS, "hostile.py"), directory,
                    os.fsdecode(hostile))  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = read_ndjson(ndjson)
    entry = records[-1]["processes"][0]
    lines = read_folded(paths["folded"])
    assert sum(size for _, size in lines) == gained(entry)
    text = "\n".join(";".join(frames) for frames, _ in lines)
    for word in ("<script>alert(1)<script>\"'\\x3b|", "\\x0a\\x09\\x1b[2J\\x07\\u{202e}gnp\\u{2066}\\u{200b}\\u{85}"):
        assert word in text, text
    assert lines[0][0][0].startswith("</p>\"\\x3b\\x0a\\x1b\\u{202e}\ufffd"), lines[0][0][0]
    assert any(frames[-1].endswith(" 7") and frames[-1].startswith(directory) for frames, _ in lines), "the mapped file"
    found = read_metrics(paths["prom"])
    roles = {dict(labels).get("role") for _, labels in found} - {None}
    assert roles == {'</p>";\\x0a\\x1b\\u{202e}\ufffd\\'}, roles
    read = read_perfetto(perfetto_python, paths["perfetto"])
    names = [track["name"] for track in read["tracks"].values()] + [word for track in read["tracks"].values() for word in track["cmdline"]]
    names += [event["name"] for event in read["events"] if event["name"]]
    assert all(is_safe(name) for name in names), names
    assert "</script>\"';\\u{202e}x" in names
    with open(paths["prom"], "rb") as file:
        assert subprocess.run([promtool, "check", "metrics"], stdin=file, capture_output=True, timeout=PATIENCE).returncode == 0


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_all_at_once_and_nothing_changes(tool, python, mode):
    """The log and the NDJSON are the same with all of them as they are without, but for what a line table makes known."""
    paths = [word for name in ("perfetto", "folded", "prom") for word in (f"--{name}", os.path.join(tool.directory, name))]
    said = trace(tool, python, FILE, mode=mode, phases=PHASES, options=paths)
    assert all(os.path.getsize(os.path.join(tool.directory, name)) > 100 for name in ("perfetto", "folded", "prom"))
    assert {record["phase"] for record in said.of("phase")} >= {"plain", "decorated", "generating", "managed", "box"}
