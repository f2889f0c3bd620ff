# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Runs ramtrack-bpf on a target, by launch or by attach, and gives back what it said, parsed and checked for form."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import schema

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
TARGETS = os.path.join(HERE, "targets")
PAGE = os.sysconf("SC_PAGE_SIZE")
TOLERANCE = 16 * PAGE
# Seconds for what takes less than one. RT_PATIENCE is a factor for machines that are slow by design (emulated ones).
PATIENCE = 30 * float(os.environ.get("RT_PATIENCE", "1"))
# RT_MM_SOURCE forces a source of RSS changes on every run.
FORCED = ["--mm-source", os.environ["RT_MM_SOURCE"]] if os.environ.get("RT_MM_SOURCE") else []

# Keys that the interface promises, by type of record. Keys it promises for later versions are not listed.
KEYS = {
    "start": "version schema kernel profile mm_source python_entry wall_ns ts_ns targets",
    "process": "ts_ns event pid ppid name exe cmdline python exit_code signal rss_bytes",
    "checkpoint": "ts_ns pid tid phase edge label delta_bytes total_bytes rss_bytes anon_bytes file_bytes shmem_bytes",
    "phase": "pid tid phase label path call start_ns end_ns rss_start_bytes rss_end_bytes rss_delta_bytes own_bytes "
    "anon_bytes file_bytes shmem_bytes gained_bytes released_bytes reused_bytes helper_bytes peak_rss_bytes "
    "minor_faults major_faults tree_delta_bytes",
    "growth": "ts_ns pid tid anon_bytes file_bytes shmem_bytes stack phase",
    "stack": "id frames",
    "oom": "ts_ns pid phase rss_bytes",
    "summary": "duration_ns processes phases_not_hit lost unaccounted_bytes self entries",
}
SUMMARY_PROCESS_KEYS = (
    "pid ppid name python rss_start_bytes rss_end_bytes rss_peak_bytes phases outside_bytes native".split()
)


class Interpreter:
    """A Python to run targets with: this system's, or one in another root that is entered by chroot."""

    def __init__(self, spec):
        self.root, self.exe = None, spec
        if spec.startswith("chroot:"):
            self.root, self.exe = spec[len("chroot:") :].rsplit(":", 1)
        self.label = f"{os.path.basename(self.exe)}{'-chroot' if self.root else ''}"
        self._version = None

    def missing(self):
        """Why it cannot be used, or None."""
        if not os.path.exists((self.root or "") + self.exe):
            return f"{self.exe} not found" + (f" under {self.root}" if self.root else "")
        done = subprocess.run(
            self.command(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]), capture_output=True, text=True
        )
        if done.returncode:
            return f"{self.label} does not run: {done.stderr.strip()}"
        self._version = tuple(int(part) for part in done.stdout.split("."))
        return None if self._version >= (3, 8) else f"{self.label} is Python {done.stdout.strip()}, older than 3.8"

    @property
    def version(self):
        """(3, 11)"""
        if self._version is None:
            self.missing()
        return self._version

    def command(self, args):
        """A chroot gets /proc and /dev in a mount namespace of its own, so nothing stays mounted."""
        if self.root is None:
            return [self.exe, "-B", *args]
        script = 'mount --bind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, self.root, self.exe, "-B", *args]

    @contextlib.contextmanager
    def stage(self):
        """A directory that host and target share: (its path here, its path there)."""
        base = os.path.join(self.root, "tmp") if self.root else None
        if base:
            os.makedirs(base, exist_ok=True)
        path = tempfile.mkdtemp(prefix="ramtrack-e2e-", dir=base)
        os.chmod(path, 0o755)
        try:
            yield path, path[len(self.root) :] if self.root else path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def phase(id, function, file=None, statement=None, **more):
    """One entry of a profile."""
    entry = {"id": id, "function": function, "label": {"zh": f"阶段{id}", "en": f"phase {id}"}}
    if file:
        entry["file"] = file
    if statement:
        entry["statement"] = statement
    return {**entry, **more}


def write_profile(path, phases, **more):
    """JSON is YAML's flow style."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"name": "test", "phases": phases, **more}, file, ensure_ascii=False, indent=1)
    return path


def rollup(pid):
    """RSS and anonymous part of a process in bytes, by the kernel's page-table walk."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return parse_rollup(file.read())


def parse_rollup(text):
    sizes = {key: int(value) * 1024 for key, value in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}
    return {"rss": sizes["Rss"], "anon": sizes["Anonymous"]}


def wait_until(condition, timeout=PATIENCE, step=0.01):
    """The condition's first true value, or its last false one."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(step)


def kill_hard(process):
    if process and process.poll() is None:
        process.kill()
        process.wait()


class Target:
    """A target program with its stops, which need an answer each: `on_stop(name, pid)` is called before it goes on."""

    def __init__(self, interpreter, stage, script, args=(), env=None):
        self.here, there = stage
        for source in os.listdir(TARGETS):
            if source.endswith(".py"):
                shutil.copy(os.path.join(TARGETS, source), self.here)
        for fifo in ("from_target", "to_target"):
            os.mkfifo(os.path.join(self.here, fifo))
        self._from = os.open(os.path.join(self.here, "from_target"), os.O_RDWR | os.O_NONBLOCK)
        self._to = os.open(os.path.join(self.here, "to_target"), os.O_RDWR)
        self.script_there = os.path.join(there, script)
        self.command = interpreter.command([self.script_there, there, *(str(arg) for arg in args)])
        self.env = {**clean_environment(), **(env or {})}
        self.pid = self.process = None
        self.notes = []
        self._pending = b""
        self._said = []

    def start(self):
        with open(os.path.join(self.here, "target.out"), "wb") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=self.env
            )

    def _next_line(self):
        """The next line as words, or None."""
        with contextlib.suppress(BlockingIOError):
            self._pending += os.read(self._from, 65536)
        *done, self._pending = self._pending.split(b"\n")
        self._said += [line.decode().split() for line in done]
        return self._said.pop(0) if self._said else None

    def next_stop(self, process, timeout=PATIENCE):
        """Name of the next stop, or None when `process` ended without one."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            words = self._next_line()
            if words is None:
                if process.poll() is not None:
                    return None
                select.select([self._from], [], [], 0.02)
            elif words[0] == "note":
                self.notes.append((words[1], int(words[2])))
            else:
                self.pid = self.pid or int(words[2])
                return words[1]
        raise AssertionError(f"target made no stop within {timeout} s; it said:\n{self.output()}")

    def go(self):
        os.write(self._to, b"g")

    def serve(self, process, on_stop=None, timeout=PATIENCE):
        """Answers all stops till the process ends."""
        end = time.monotonic() + timeout
        while (name := self.next_stop(process, max(0.1, end - time.monotonic()))) is not None:
            if on_stop:
                on_stop(name, self.pid)
            self.go()

    def output(self):
        with contextlib.suppress(OSError), open(os.path.join(self.here, "target.out"), errors="replace") as file:
            return file.read()
        return ""

    def truths(self):
        found = {}
        for name in os.listdir(self.here):
            if re.fullmatch(r"truth\.\d+\.json", name):
                with open(os.path.join(self.here, name)) as file:
                    truth = json.load(file)
                found[truth["pid"]] = truth
        return found

    def close(self):
        kill_hard(self.process)
        os.close(self._from)
        os.close(self._to)


class Said:
    """What the tool said in one run."""

    def __init__(self, records, log, errors, status, truths=None, pid=None, notes=()):
        self.records, self.log, self.errors, self.status = records, log, errors, status
        self.truths, self.pid, self.notes = truths or {}, pid, list(notes)

    def of(self, kind, **wanted):
        return [
            record
            for record in self.records
            if record["type"] == kind and all(record.get(key) == value for key, value in wanted.items())
        ]

    @property
    def summary(self):
        return self.of("summary")[-1]

    @property
    def truth(self):
        return self.truths[self.pid]

    def summary_of(self, pid):
        return next(entry for entry in self.summary["processes"] if entry["pid"] == pid)


def clean_environment():
    """Nothing of the caller's that changes what the tool or a target does."""
    drop = ("SUDO_", "VLLM_ENABLE_RAM_TRACKING", "PYTHON", "NO_COLOR", "CLICOLOR", "RAMTRACK")
    forced = {"RAMTRACK_BPF_OBJECT": os.environ["RT_BPF_OBJECT"]} if os.environ.get("RT_BPF_OBJECT") else {}
    return {**{key: value for key, value in os.environ.items() if not key.startswith(drop)}, **forced}


def read_ndjson(path):
    """Complete lines as objects; a line that the tool is just writing is left for later."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


class Tool:
    """ramtrack-bpf with its output files in a directory of their own."""

    def __init__(self, path, directory):
        self.path, self.directory = path, str(directory)
        self.json = os.path.join(self.directory, "out.ndjson")
        self.log = os.path.join(self.directory, "out.log")
        self.errors = os.path.join(self.directory, "stderr")
        self.process = None

    def start(self, args, env=None, profile=None, out=None):
        command = [self.path, *(["-P", profile] if profile else []), "-o", self.log, "-j", self.json, *FORCED, *map(str, args)]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out or subprocess.DEVNULL,
                stderr=errors,
                env={**clean_environment(), **(env or {})},
            )
        return self.process

    def records(self):
        return read_ndjson(self.json)

    def text(self, path):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
        return ""

    def wait_attached(self, pids):
        """Till the tool follows these processes."""
        wanted = set(pids)

        def followed():
            if self.process.poll() is not None:
                return True
            return wanted <= {r["pid"] for r in self.records() if r["type"] == "process" and r["event"] == "attach"}

        assert wait_until(followed), f"no attach record for {wanted} within {PATIENCE} s\n{self.text(self.errors)}"
        assert (
            self.process.poll() is None
        ), f"tool ended ({self.process.returncode}) at attach:\n{self.text(self.errors)}"

    def wait(self, timeout=PATIENCE):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"tool did not end within {timeout} s:\n{self.text(self.errors)}") from None

    def said(self, target=None):
        truths, pid, notes = (target.truths(), target.pid, target.notes) if target else (None, None, ())
        return Said(
            self.records(), self.text(self.log), self.text(self.errors), self.process.returncode, truths, pid, notes
        )

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)


def trace(
    tool,
    interpreter,
    script,
    *args,
    mode="launch",
    phases=(),
    options=(),
    on_stop=None,
    env=None,
    tool_env=None,
    timeout=2 * PATIENCE,
    status=0,
    check=True,
    prepare=None,
    collect=None,
    native=(),
    profile=None,
    out=None,
):
    """One target from its start to its end. Returns Said, whose form has been checked. `prepare` and `collect` are
    called with the work directory before the start and after the end. `profile`: a file in place of one with `phases`
    and `native`. `out`: a file for the tool's standard output."""
    profile = profile or write_profile(
        os.path.join(tool.directory, "profile.yaml"), list(phases) or [phase("never", "never_called")], **({"native": native} if native else {})
    )
    with interpreter.stage() as stage, contextlib.closing(Target(interpreter, stage, script, args, env)) as target:
        try:
            if prepare:
                prepare(target.here)
            if mode == "launch":
                tool.start([*options, "--", *target.command], {**(env or {}), **(tool_env or {})}, profile, out)
                target.serve(tool.process, on_stop, timeout)
            else:
                target.start()
                assert target.next_stop(target.process) == "start", f"target did not start:\n{target.output()}"
                tool.start([*options, "-p", target.pid], tool_env, profile, out)
                tool.wait_attached([target.pid])
                target.go()
                target.serve(target.process, on_stop, timeout)
            tool.wait()
        finally:
            kill_hard(tool.process)
        said = tool.said(target)
        assert (
            said.status == status
        ), f"exit status {said.status}, not {status}\nstderr: {said.errors}\ntarget: {target.output()}"
        if collect:
            collect(target.here)
    if check:
        check_form(said)
        check_schema(said)
        check_conservation(said)
    return said


def check_form(said):
    """Types, keys and the arithmetic that the interface promises for every run."""
    types = [record["type"] for record in said.records]
    assert types and types[0] == "start" and types[-1] == "summary" and types.count("summary") == 1, (
        types[:3] + types[-3:]
    )
    assert said.records[0]["schema"] == 1
    for record in said.records:
        missing = set(KEYS.get(record["type"], "").split()) - record.keys()
        assert record["type"] in KEYS or record["type"] == "native", record
        assert not missing, f"{record['type']} lacks {sorted(missing)}: {record}"
    for entry in said.summary["processes"]:
        missing = set(SUMMARY_PROCESS_KEYS) - entry.keys()
        assert not missing, f"summary's process lacks {sorted(missing)}: {entry}"
    for record in said.of("phase"):
        kinds = record["anon_bytes"] + record["file_bytes"] + record["shmem_bytes"]
        assert record["rss_delta_bytes"] == record["rss_end_bytes"] - record["rss_start_bytes"] == kinds, record
        assert record["path"][-1] == record["phase"] and record["start_ns"] <= record["end_ns"], record
        assert record["peak_rss_bytes"] >= max(record["rss_start_bytes"], record["rss_end_bytes"]), record
    for pid in {record["pid"] for record in said.of("checkpoint")}:
        total = 0
        for record in said.of("checkpoint", pid=pid):
            assert (
                record["total_bytes"] == total + record["delta_bytes"]
            ), f"total(n) != total(n-1) + growth(n): {record}, before: {total}"
            total = record["total_bytes"]
            assert record["rss_bytes"] == record["anon_bytes"] + record["file_bytes"] + record["shmem_bytes"], record


SCHEMA_RECORDS = 100  # of each type that are checked in each run; test_schema.py checks all of a few runs


def check_schema(said):
    """Where jsonschema is at hand."""
    if schema.missing():
        return
    checker, seen = schema.Checker(), {}
    for record in said.records:
        seen[record["type"]] = seen.get(record["type"], 0) + 1
        wrong = checker.errors(record) if seen[record["type"]] <= SCHEMA_RECORDS else []
        assert not wrong, f"{wrong}\n{record}"


def check_conservation(said):
    """Nothing lost, nothing unaccounted."""
    summary = said.summary
    off = [entry for entry in summary["processes"] if entry.get("unaccounted_bytes")]
    life = [record for entry in off for record in said.of("process", pid=entry["pid"])]
    assert (
        summary["unaccounted_bytes"] == 0
    ), f"unaccounted: {summary['unaccounted_bytes']}\n{off}\n{life}\n{summary.get('counters')}\n{said.errors}"
    assert not any(summary["lost"].values()), f"lost: {summary['lost']}\n{said.errors}"


def calls_of(truth, name):
    return [
        {kind: call["after"][kind] - call["before"][kind] for kind in ("rss", "anon")}
        for call in truth["calls"]
        if call["phase"] == name
    ]


def told_of(said, pid, name):
    records = sorted(said.of("phase", pid=pid, phase=name), key=lambda record: record["start_ns"])
    return [{"rss": record["rss_delta_bytes"], "anon": record["anon_bytes"]} for record in records]


def compare(said, truth, names, tolerance=TOLERANCE, what="target"):
    """Tool against truth, call by call where both count the same calls, else by the sum (the interface: sums never
    depend on how back-to-back calls are cut). Fails with a table of everything that was compared."""
    rows, wrong = [], []
    for name in names:
        told, true = told_of(said, truth["pid"], name), calls_of(truth, name)
        assert true, f"the target wrote no truth for {name}"
        if len(told) != len(true):
            told, true = [total(told)] if told else [], [total(true)]
        if not told:
            wrong.append(f"{name:20} not reported")
            continue
        for number, (ours, theirs) in enumerate(zip(told, true)):
            row = f"{name:20} {number:3} " + " ".join(
                f"{kind}: tool {ours[kind]:>10} truth {theirs[kind]:>10} "
                f"off {(ours[kind] - theirs[kind]) // PAGE:>5} pages"
                for kind in ("rss", "anon")
            )
            rows.append(row)
            if any(abs(ours[kind] - theirs[kind]) > tolerance for kind in ours):
                wrong.append(row)
    unhit = [entry for entry in said.summary["phases_not_hit"] if entry["phase"] in names]
    assert not wrong, f"{what} (pid {truth['pid']}), off by more than {tolerance // PAGE} pages:\n" + "\n".join(
        [*wrong, "all that was compared:", *rows, f"not hit: {unhit}", said.errors]
    )


def total(deltas):
    return {kind: sum(delta[kind] for delta in deltas) for kind in ("rss", "anon")}


def pages_by_phase(said, pid):
    """Sum of RSS changes by phase in pages, from the phase records."""
    sums = {}
    for record in said.of("phase", pid=pid):
        sums[record["phase"]] = sums.get(record["phase"], 0) + record["rss_delta_bytes"] // PAGE
    return sums
