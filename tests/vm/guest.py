# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Runs in the guest: asks the tool which sources of RSS changes this kernel has, measures each, runs the end-to-end
tests, and says the results on standard output, one line each: RESULT and a JSON object, with "kind"

    kernel  release
    check   name, outcome (passed, failed, skipped), detail, and seconds if it is a test of pytest's
    source  source, and either refused (the tool's own message) and kernel_has, or what was measured
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TREE, "tests", "e2e"))
os.environ.setdefault("RT_PATIENCE", "6")
os.environ["RT_NATIVE"] = os.path.join(TREE, "build", "native")

import harness  # noqa: E402

TOOL = os.path.join(TREE, "build", "ramtrack-bpf")
FAULTS = os.path.join(TREE, "build", "faults")
SOURCES = ("rss_stat", "fexit", "kprobe", "tracepoint")
# Sources that promise every fault and every page. The page-fault tracepoint comes before the fault is served.
EXACT = ("rss_stat", "fexit", "kprobe")
NO_FEATURE = 5  # exit status

# What runs of the end-to-end tests: WHOLE with the source that the tool takes by itself, and with each other source the
# targets whose phases are hardest to tell apart. Under emulation a test takes ten seconds; the whole matrix is to take
# less than twenty minutes.
PHASES = ("test_every_shape", "test_frames_of_one_size")  # the tests that say whether phases are right
WHOLE = ["test_shapes.py", "test_adversary.py", "test_children.py", "test_live.py", "test_native.py", "test_mappings.py", "test_ledger.py", "test_ending.py", "test_oom.py"]
WHOLE_ONLY = """
    (test_every_shape and attach)
    or (test_frames_of_one_size and launch and auto)
    or (test_every_kind_of_child and launch)
    or (test_20_children and launch)
    or (test_totals_equal and attach)
    or test_four_threads
    or (test_sizes_phases_and_pages and none)
    or test_checkpoints
    or test_other_stacks
    or (test_another_profile and shapes)
    or test_every_page_is_accounted
    or (test_every_mapping and launch)
    or (test_killed and main)
"""
FORCED = ["test_shapes.py", "test_adversary.py"]
FORCED_ONLY = "launch and (test_every_shape or (test_frames_of_one_size and auto))"

PAGES, ROUNDS = 2048, 8  # of the measuring program, for one thread
TIMED = 3  # runs of it untraced, and traced with the source that the tool takes by itself; one with each other source


def result(kind, **what):
    print("RESULT", json.dumps({"kind": kind, **what}), flush=True)


def check(name, good, detail=""):
    """Says how it went and gives back whether it was good."""
    result("check", name=name, outcome="passed" if good else "failed", detail="" if good else str(detail))
    return good


def read_line(process, what):
    line = process.stdout.readline().decode()
    if not line:
        raise AssertionError(f"{what}: {process.stderr.read().decode() if process.stderr else 'no output'}")
    return line


class Source:
    """A source of RSS changes, as options of the tool."""

    def __init__(self, name, options):
        self.name, self.options = name, options
        self.told = self.refused = None  # what the start record calls it, or why it is refused


def first_sentence(text):
    lines = [line for line in text.strip().splitlines() if line]
    return lines[-1] if lines else "no message"


def ask(source):
    """Tries the source on a program that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "j")
        profile = harness.write_profile(os.path.join(folder, "p"), [harness.phase("never", "never_called")])
        done = subprocess.run(
            [TOOL, "-P", profile, "-o", "/dev/null", "-j", out, *source.options, "--", "/bin/true"],
            capture_output=True,
            text=True,
            timeout=harness.PATIENCE,
        )
        records = harness.read_ndjson(out)
    if done.returncode == 0:
        source.told = records[0]["mm_source"]
    else:
        source.refused = first_sentence(done.stderr)
    return done.returncode


def find_sources():
    """The sources, and the one that the tool takes by itself (None: it refuses this kernel)."""
    auto = Source("auto", [])
    status = ask(auto)
    if status not in (0, NO_FEATURE):
        auto.refused = f"exit status {status}: {auto.refused}"
    found = []
    for name in SOURCES:
        source = Source(name, ["--mm-source", name])
        if auto.told and auto.told.split()[0] == name:
            source.told = auto.told
            status = 0
        else:
            status = ask(source)
        if status not in (0, NO_FEATURE):
            check(f"{name}: works or is refused as a missing feature", False, f"exit status {status}: {source.refused}")
        found.append(source)
    best = next((one for one in found if auto.told and one.told == auto.told), None)
    if auto.told and not best:
        check("what auto takes is one of the sources", False, auto.told)
    return found, best, auto.refused


def kernel_has(name):
    """What the kernel itself shows of a source, apart from the tool: a refusal where this is true is a defect."""
    tracing = "/sys/kernel/tracing"
    if name == "fexit":
        try:
            with open(f"{tracing}/available_filter_functions") as file:
                return any(line.split()[0] == "handle_mm_fault" for line in file)
        except OSError:
            return False
    if name == "rss_stat":  # per-CPU counters
        return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 2)
    return os.path.exists(f"{tracing}/" + {"kprobe": "kprobe_events", "tracepoint": "events/exceptions/page_fault_user"}[name])


# ---- the measuring program ----


@contextlib.contextmanager
def faults(threads, pages, rounds):
    """The measuring program when it is ready."""
    process = subprocess.Popen(
        [FAULTS, *map(str, (threads, pages, rounds))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        read_line(process, "faults")
        yield process
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        if process.wait(harness.PATIENCE):
            raise AssertionError(process.stderr.read().decode())


def work(process):
    """Lets it work; its figures. It stands still afterwards."""
    process.stdin.write(b"g")
    process.stdin.flush()
    return json.loads(read_line(process, "faults"))


@contextlib.contextmanager
def attached(source, pid):
    """(the tool attached to a process, seconds until the attach record was there)"""
    with tempfile.TemporaryDirectory() as folder:
        tool = harness.Tool(TOOL, folder)
        profile = harness.write_profile(os.path.join(folder, "p"), [harness.phase("never", "never_called")])
        start = time.monotonic()
        tool.start([*source.options, "-p", pid], profile=profile)
        try:
            tool.wait_attached([pid])
            yield tool, time.monotonic() - start
        finally:
            harness.kill_hard(tool.process)


def measure(source, threads):
    """The program traced from its standing start to its standing end."""
    with faults(threads, PAGES // threads, ROUNDS) as process, attached(source, process.pid) as (tool, seconds):
        said = work(process)
        true = harness.rollup(process.pid)["rss"] // harness.PAGE
        tool.process.send_signal(signal.SIGINT)
        status = tool.wait()
        summary = tool.records()[-1]
        errors = tool.text(tool.errors)
    if status or summary["type"] != "summary":
        raise AssertionError(f"exit status {status}: {errors}")
    told = next(one for one in summary["processes"] if one["pid"] == process.pid)
    return {
        "page_error": told["rss_end_bytes"] // harness.PAGE - said["rss_pages"],
        "seen_from_outside": true - said["rss_pages"],
        "unaccounted": summary["unaccounted_bytes"],
        "lost": sum(summary["lost"].values()),
        "missed": sum(program["missed"] for program in summary["self"].get("programs", [])),
        "events_per_fault": summary.get("counters", {}).get("rss_events", 0) / said["faults"],
        "ns_per_fault": said["ns_per_fault"],
        "attach_s": seconds,
    }


def launched_error(source, threads):
    """Pages between what the exit record says of the program and what it read itself before it ended."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "j")
        profile = harness.write_profile(os.path.join(folder, "p"), [harness.phase("never", "never_called")])
        done = subprocess.run(
            [TOOL, "-P", profile, "-o", "/dev/null", "-j", out, *source.options, "--", FAULTS]
            + [str(threads), str(PAGES // threads), "2"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * harness.PATIENCE,
        )
        records = harness.read_ndjson(out)
    if done.returncode:
        raise AssertionError(f"exit status {done.returncode}: {done.stderr}")
    said = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    end = next(one for one in records if one["type"] == "process" and one["event"] == "exit")
    return end["rss_bytes"] // harness.PAGE - said["rss_pages"]


def untraced():
    with faults(1, PAGES, ROUNDS) as process:
        return work(process)["ns_per_fault"]


COUNTING = """
import mmap, resource, sys
def taken():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt
def counted(memory, pages):
    first = taken()
    for offset in range(0, pages * 4096, 4096):
        memory[offset] = 1
    return taken() - first
def around(pages):
    memory = mmap.mmap(-1, pages * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return counted(memory, pages), memory
kept = [around(300) for _ in range(3)]
number, memory = around(1500)
print("taken", number)
"""


def fault_count(source):
    """(faults that the tool counts in the last call of a phase, the program's own count, events that the kernel left out)"""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "j")
        profile = harness.write_profile(os.path.join(folder, "p"), [harness.phase("counted", "counted")])
        script = os.path.join(folder, "counting.py")
        with open(script, "w") as file:
            file.write(COUNTING)
        done = subprocess.run(
            [TOOL, "-P", profile, "-o", "/dev/null", "-j", out, *source.options, "--", "/usr/bin/python3", "-B", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * harness.PATIENCE,
        )
        records = harness.read_ndjson(out)
        calls = [one for one in records if one["type"] == "phase"]
    own = re.search(r"^taken (\d+)$", done.stdout, re.M)
    if done.returncode or not own or not calls:
        raise AssertionError(f"exit status {done.returncode}, {len(calls)} calls: {done.stdout}{done.stderr}")
    left_out = sum(program["missed"] for program in records[-1]["self"].get("programs", []) if program["name"].startswith("rss_stat"))
    return calls[-1]["minor_faults"] + calls[-1]["major_faults"], int(own[1]), left_out


def measure_source(source, strict):
    """All figures of one source; what must be exact is checked. `strict`: the source that the tool takes by itself."""
    figures, name = {"source": source.name, "told": source.told}, source.name
    exact = strict or name in EXACT
    for threads in (1, 4):
        found = measure(source, threads)
        figures[f"page_error_{threads}"] = found["page_error"]
        figures[f"missed_{threads}"] = found["missed"]
        figures[f"events_per_fault_{threads}"] = found["events_per_fault"]
        good = not (found["page_error"] or found["unaccounted"] or found["lost"] or found["seen_from_outside"])
        check(f"{name}: {threads} threads, attached: page error 0, nothing lost", good or not exact, found)
        if threads == 1:
            traced, waits = [found["ns_per_fault"]], [found["attach_s"]]
    if strict:
        pages = launched_error(source, 4)
        check(f"{name}: 4 threads, launched: page error 0", pages == 0, f"{pages} pages")
    told, own, left_out = fault_count(source)
    figures["faults_told"], figures["faults_own"] = told, own
    # Where the programs of tracepoints can be preempted, the kernel leaves some out and says how many: a phase that begins with such an event lacks its fault.
    good = own - left_out <= told <= own
    check(f"{name}: faults of a phase are the program's own", good or not exact, f"tool {told}, program {own}, left out {left_out}")
    plain = [untraced()]
    for _ in range(TIMED - 1):
        plain.append(untraced())
        if not strict:
            continue
        found = measure(source, 1)
        traced.append(found["ns_per_fault"])
        waits.append(found["attach_s"])
    figures["ns_per_fault"] = [min(plain), min(traced)]
    figures["ratio"] = min(traced) / min(plain)
    figures["attach_s"] = min(waits)
    return figures


# ---- the end-to-end tests ----


def run_tests(label, paths, keyword=None, source=None):
    """Every test as a check. True if those that tell phases apart passed."""
    report = os.path.join(tempfile.gettempdir(), "report.xml")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(report)
    env = {**os.environ, **({"RT_MM_SOURCE": source} if source else {})}
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["-k", keyword] if keyword else []
    subprocess.run([*command, *paths], cwd=os.path.join(TREE, "tests", "e2e"), env=env, stderr=subprocess.STDOUT)
    try:
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        return check(f"{label}: pytest", False, f"it left no report: {error}")
    right = []
    for case in cases:
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        skip = case.find("skipped")
        outcome = "failed" if bad is not None else "skipped" if skip is not None else "passed"
        why = bad if bad is not None else skip
        detail = "" if why is None else why.get("message", "")[:2000]
        result("check", name=f"{label}: {case.get('name')}", outcome=outcome, detail=detail, seconds=float(case.get("time") or 0))
        if case.get("name").startswith(PHASES):
            right.append(outcome == "passed")
    return bool(right) and all(right)


def main():
    release = os.uname().release
    result("kernel", release=release)
    sources, best, refusal = find_sources()
    check("the tool works on this kernel", best, refusal)
    for source in sources:
        if source.refused:
            has = kernel_has(source.name)
            result("source", source=source.name, refused=source.refused, kernel_has=has)
            outcome = "failed" if has else "skipped"
            result("check", name=f"source {source.name}", outcome=outcome, detail=source.refused)
            continue
        try:
            figures = measure_source(source, source is best)
        except Exception as error:  # the other sources have a right to be measured
            figures = {"source": source.name, "told": source.told}
            check(f"{source.name}: measuring", False, f"{type(error).__name__}: {error}")
        if source is best:
            figures["best"] = True
            keyword = " ".join(WHOLE_ONLY.split())
            figures["phases_right"] = run_tests("auto", WHOLE, keyword)
        else:
            tests = FORCED if source.name in EXACT else FORCED[:1]  # the others want equality to the page
            figures["phases_right"] = run_tests(source.name, tests, FORCED_ONLY, source.name)
        result("source", **figures)


if __name__ == "__main__":
    main()
