# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Ledgers: the report is the live run's, byte by byte; other profiles find their phases in it; torn, killed, full, and with nothing of the target left."""

import contextlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time
import zlib

import pytest

import harness
import test_children
import test_shapes
import test_statements
from harness import Said, Target, check_conservation, check_form, compare, phase, read_ndjson, wait_until, write_profile

NEVER = [phase("never", "never_called")]
# zh and en, tags, sizes, times: what the log's form depends on.
FORMS = [["--lang", "en", "-T"], ["--lang", "zh", "--tag", "", "-z", "64K"]]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def record(tool, python, script, *args, phases, options=(), mode="launch", prepare=None):
    """One live run with --record. Returns (what was said, path of the ledger, path of the live summary)."""
    ledger, summary = (os.path.join(tool.directory, name) for name in ("run.ledger", "live.summary"))
    profile = write_profile(os.path.join(tool.directory, "profile.yaml"), phases)
    with python.stage() as stage, contextlib.closing(Target(python, stage, script, args)) as target, open(summary, "wb") as out:
        options = ["--record", ledger, *options]
        if mode == "launch":
            tool.start([*options, "--", *target.command], profile=profile, out=out)
            target.serve(tool.process)
        else:
            target.start()
            assert target.next_stop(target.process) == "start"
            tool.start([*options, "-p", target.pid], profile=profile, out=out)
            tool.wait_attached([target.pid])
            target.go()
            target.serve(target.process)
        tool.wait()
        said = tool.said(target)
    assert said.status == 0, said.errors
    return said, ledger, summary


def report(run_tool, directory, ledger, *options, status=0):
    """The report of a ledger: (records, log, summary as text, diagnostics)."""
    log, ndjson = (os.path.join(directory, name) for name in ("report.log", "report.ndjson"))
    done = run_tool("report", "-o", log, "-j", ndjson, *options, ledger, timeout=4 * harness.PATIENCE)
    assert done.returncode == status, (done.returncode, done.stderr)
    return read_ndjson(ndjson), log, done.stdout, done.stderr


def said_again(run_tool, directory, ledger, profile, live):
    """A report by another profile as if it were a live run, with the truth of the run that was recorded."""
    records, log, _, errors = report(run_tool, directory, ledger, "-P", profile)
    said = Said(records, read(log).decode(), errors, 0, live.truths, live.pid, live.notes)
    check_form(said)
    check_conservation(said)
    return said


def plain_names(errors):
    """Phases that are told by a plain name only, which is all that Python up to 3.10 has where its source does not help: said live and by the report."""
    return re.findall(r"^ramtrack-bpf: phase (\w+): Python up to 3.10 does not tell the class", errors, re.M)


@pytest.mark.parametrize("form", FORMS, ids=["en", "zh"])
@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_report_is_the_live_run(tool, run_tool, python, mode, form):
    """Phases, children of every kind and threads; the target and its sources are gone by then."""
    said, ledger, summary = record(
        tool, python, "children.py", "every_kind", phases=test_children.PHASES, options=["--json-growth", *form], mode=mode
    )
    check_form(said)
    check_conservation(said)
    _, log, text, errors = report(run_tool, tool.directory, ledger, "--json-growth", *form)
    assert plain_names(errors) == plain_names(said.errors) and len(errors.splitlines()) == len(plain_names(errors)), (errors, said.errors)
    assert read(os.path.join(tool.directory, "report.ndjson")) == read(tool.json)
    assert read(log) == read(tool.log) and len(read(log)) > 500
    assert text.encode() == read(summary) and said.of("growth") and said.of("stack")


def test_formats_of_a_report(tool, run_tool, python):
    """Each format made of the ledger is the file that the live run wrote; --format writes the same to standard output, or to -o."""
    names = ("html", "perfetto", "folded", "prom")
    live = {name: os.path.join(tool.directory, f"live.{name}") for name in names}
    options = [word for name in names for word in (f"--{name}", live[name])]
    said, ledger, _ = record(tool, python, "children.py", "every_kind", phases=test_children.PHASES, options=options)
    out = os.path.join(tool.directory, "out")
    for name in names:
        done = run_tool("report", "--format", name, "-o", out, ledger)
        assert (done.returncode, done.stdout) == (0, "") and read(out) == read(live[name]) and len(read(out)) > 500, (name, done.stderr)
        other = os.path.join(tool.directory, "beside")
        assert run_tool("report", f"--{name}", other, ledger).returncode == 0 and read(other) == read(out)
        if name != "perfetto":  # no text
            assert run_tool("report", "--format", name, ledger).stdout.encode() == read(out)
    assert json.loads(run_tool("report", "--format", "json", ledger).stdout) == said.summary
    text = run_tool("report", "--format", "text", ledger).stdout
    assert text == run_tool("report", ledger).stdout and text.encode().startswith(read(tool.log))
    for words, message in (
        (["--format", "xml", ledger], "--format: 'xml' is not allowed; give text, json, html, perfetto, folded or prom"),
        (["--format", "json", ledger, ledger], "--format json takes one ledger at a time"),
        (["--format", "prom", "--prom", out, ledger], "--format prom and --prom FILE are the same"),
        (["--format", "html", "-j", "-", ledger], "-j/--json and --format both write to '-'"),
        (["--value", "held", ledger], "--value needs --folded FILE, or report --format folded"),
    ):
        done = run_tool("report", *words)
        assert done.returncode == 2 and message in done.stderr and not done.stdout, done.stderr


def test_statements_come_out_the_same(tool, run_tool, python):
    """What the core read of sources live comes back at the same place; a profile of the same content changes nothing."""
    said, ledger, summary = record(tool, python, "statements.py", phases=test_statements.PHASES)
    for options in ([], ["-P", os.path.join(tool.directory, "profile.yaml")]):
        _, log, text, errors = report(run_tool, tool.directory, ledger, *options)
        assert plain_names(errors) == plain_names(said.errors) and len(errors.splitlines()) == len(plain_names(errors)), (errors, said.errors)
        assert read(os.path.join(tool.directory, "report.ndjson")) == read(tool.json)
        assert read(log) == read(tool.log) and text.encode() == read(summary)


def test_recording_changes_no_line(tool, run_tool, python):
    """The same program with and without --record: the same phases in the same order, within the target's own truth both times."""
    lines = []
    for options in ([], ["--record", os.path.join(tool.directory, "run.ledger")]):
        said = harness.trace(tool, python, "shapes.py", phases=test_shapes.PHASES, options=options)
        compare(said, said.truth, [*test_shapes.FUNCTIONS, *test_shapes.STATEMENTS])
        main = said.truth["pid"]
        lines.append([(r["phase"], r["edge"]) for r in said.of("checkpoint", pid=main, tid=main)])
    assert lines[0] == lines[1] and len(lines[0]) > 50


@pytest.mark.parametrize("script, phases", [("shapes.py", test_shapes.PHASES), ("statements.py", test_statements.PHASES)], ids=["shapes", "statements"])
def test_another_profile(tool, run_tool, python, script, phases):
    """Recorded with a profile that names nothing in it: every phase is found afterwards, within the target's own truth, although nothing of the sources is left."""
    live, ledger, _ = record(tool, python, script, phases=NEVER)
    assert not live.of("phase")
    other = write_profile(os.path.join(tool.directory, "other.yaml"), phases)
    said = said_again(run_tool, tool.directory, ledger, other, live)
    names = [entry["id"] for entry in phases]
    if script == "statements.py":  # not all versions have all statements
        names = [name for name in live.truth["facts"]["names"] if name != "if_test"]
    unhit = {entry["phase"] for entry in said.summary["phases_not_hit"]} & set(names)
    assert not unhit, said.summary["phases_not_hit"]
    compare(said, live.truth, names)
    if script == "shapes.py":
        test_shapes.check_kinds(said)
        test_shapes.check_helpers(said)
        test_shapes.check_nesting(said)
        test_shapes.check_sums(said)


def test_children_by_another_profile(tool, run_tool, python):
    live, ledger, _ = record(tool, python, "children.py", "every_kind", phases=NEVER)
    said = said_again(run_tool, tool.directory, ledger, write_profile(os.path.join(tool.directory, "other.yaml"), test_children.PHASES), live)
    for kind in ("fork", "spawn", "forkserver", "exec", "inside"):
        compare(said, live.truths[live.truth["facts"]["children"][kind][1]], ["child_phase"], what=f"child by {kind}")
    test_children.check_tree_delta(said, live.truth["facts"]["children"]["inside"][1])


SMALL = """
def small():
    x = 1
    return x

def large():
    y = bytearray(1 << 20)
    return y

import other
small(), large(), other.tiny()
"""


def test_source_that_was_not_kept(tool, run_tool, directory):
    """Files below whose functions little grew are not in the ledger, and phases in them say so."""
    with open(os.path.join(directory, "main.py"), "w") as file:
        file.write(SMALL)
    with open(os.path.join(directory, "other.py"), "w") as file:
        file.write("def tiny():\n    z = [0] * 3000\n    return z\n")
    ledger, never, other = (os.path.join(directory, name) for name in ("l", "never.yaml", "other.yaml"))
    write_profile(never, NEVER)
    write_profile(other, [phase("y", "large", "main.py", "^y ="), phase("z", "tiny", "other.py", "^z ="), phase("gone", "nowhere", "main.py")])
    done = run_tool("record", "-o", ledger, "-P", never, "--", "/usr/bin/python3", "-B", os.path.join(directory, "main.py"))
    assert done.returncode == 0 and not done.stdout, done.stderr
    assert f"read it with: ramtrack-bpf report {ledger}" in done.stderr
    records, *_ = report(run_tool, directory, ledger, "-P", other)
    assert sum(r["rss_delta_bytes"] for r in records if r["type"] == "phase" and r["phase"] == "y") >= 1 << 20
    reasons = {entry["phase"]: entry["reason"] for entry in records[-1]["phases_not_hit"]}
    assert reasons == {"z": "its source was not kept in the ledger", "gone": "function not seen"}, reasons


def blocks_of(data):
    """Where each block of a ledger begins, its type, and that its checksums are right: read by what docs/ledger.md says."""
    magic, version, abi = struct.unpack_from("<8sII", data)
    assert (magic, version) == (b"\x89RTL\r\n\x1a\n", 1), (magic, version, abi)
    at, number, found = 16, 0, []
    while at < len(data):
        block, kind, flags, stored, raw, count, reserved, crc, head_crc = struct.unpack_from("<IHHIIIIII", data, at)
        assert (block, count, reserved) == (0x6B424C52, number, 0) and flags in (0, 1) and raw <= 20 << 20, (at, block, count)
        assert head_crc == zlib.crc32(data[at : at + 28]) and crc == zlib.crc32(data[at + 32 : at + 32 + stored]), f"checksum at {at}"
        found.append((at, kind))
        at += 32 + stored
        number += 1
    assert at == len(data)
    return found


def test_torn_tail(tool, run_tool, python, directory):
    """Cut anywhere, the part before the tear is read, and the tear is said; under --strict that is an error."""
    _, ledger, _ = record(tool, python, "shapes.py", phases=test_shapes.PHASES)
    data = read(ledger)
    found = blocks_of(data)
    assert found[0][1] == 1 and found[-1][1] == 7 and [kind for _, kind in found].count(3) > 1
    whole = report(run_tool, directory, ledger)[0]
    torn = os.path.join(directory, "torn")
    streams = [at for at, kind in found if kind == 3]
    last_stream = streams[-1]
    for cut in (*streams[1:-1], last_stream + 100, found[-1][0] + 10, found[-1][0]):
        with open(torn, "wb") as file:
            file.write(data[:cut])
        records, _, _, errors = report(run_tool, directory, torn)
        assert "the recording has no end" in errors
        where = max(at for at, _ in found if at <= cut)
        assert (f"read up to byte {where} only: the last block is cut short" in errors) == (where != cut), errors
        phases = [r for r in records if r["type"] == "phase"]
        # What was over by the tear is as it was.
        told = [{key: r[key] for key in r if key != "mappings"} for r in whole if r["type"] == "phase"]
        same = [r for r in phases if {key: r[key] for key in r if key != "mappings"} in told]
        # What happens is sent when it is 80 ms old, and sorted within 200 ms.
        start, summary = records[0]["ts_ns"], records[-1]
        over = [r for r in told if r["end_ns_max"] < start + summary["duration_ns"] - 400_000_000]
        assert all(any(one.items() <= r.items() for r in same) for one in over), cut
        assert cut < found[-1][0] or len(same) >= len(told) - 2, (len(same), len(told), len(phases))
        report(run_tool, directory, torn, "--strict", status=6)
    with open(torn, "wb") as file:
        file.write(data[:last_stream] + bytes(100) + data[last_stream + 100 :])
    assert f"read up to byte {last_stream} only: a block's header is damaged" in report(run_tool, directory, torn)[3]
    for damaged in (b"", b"\x89RTL\r\n\x1a\n", data[:16], data[:60], b"no ledger at all, but long enough to be one"):
        with open(torn, "wb") as file:
            file.write(damaged)
        done = run_tool("report", torn)
        assert done.returncode == 1 and not done.stdout and torn in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_killed_tool_leaves_a_ledger(tool, run_tool, python, directory):
    """Written at least once a second: SIGKILL costs the last moment, not the run."""
    profile = write_profile(os.path.join(directory, "profile.yaml"), [phase("made", "<module>", "main.py")])
    script = os.path.join(directory, "main.py")
    with open(script, "w") as file:
        file.write("import time\nkept = []\nfor i in range(600):\n    kept.append(bytearray(1 << 20))\n    time.sleep(0.05)\n")
    ledger = os.path.join(directory, "killed")
    target = subprocess.Popen(["/usr/bin/python3", "-B", script])
    try:
        process = tool.start(["--record", ledger, "-p", target.pid], profile=profile)
        tool.wait_attached([target.pid])
        time.sleep(2.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    finally:
        harness.kill_hard(target)
    records, _, _, errors = report(run_tool, directory, ledger)
    assert "the recording has no end" in errors and "read up to byte" not in errors, errors
    summary = records[-1]
    entry = next(p for p in summary["processes"] if p["pid"] == target.pid)
    assert entry["phases"][0]["phase"] == "made" and entry["phases"][0]["open"]
    assert killed - entry["end_ns"] < 1_000_000_000 * max(1, harness.PATIENCE / 30), (killed, entry["end_ns"])
    assert entry["phases"][0]["gained_bytes"] >= 20 << 20, entry["phases"]


def test_full_disk(tool, run_tool, directory):
    """The ledger ends, with one error; log and summary go on, and what was written is read."""
    profile = write_profile(os.path.join(directory, "profile.yaml"), [phase("made", "<module>", "main.py")])
    script, ledger = os.path.join(directory, "main.py"), os.path.join(directory, "small", "full")
    with open(script, "w") as file:
        file.write("import time\ntime.sleep(2)\nimport json, email.message, decimal, asyncio, xml.dom.minidom, sqlite3, http.server, unittest\nx = bytearray(5 << 20)\n")
    os.mkdir(os.path.dirname(ledger))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", os.path.dirname(ledger)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    try:
        done = run_tool("-P", profile, "--lang", "en", "--record", ledger, "--", "/usr/bin/python3", "-B", script)
        assert done.returncode == 1 and "phase made after: " in done.stdout and "RAM summary" in done.stdout, (done.returncode, done.stdout, done.stderr)
        assert done.stderr.count("No space left on device: free some space, or write to another disk; the run goes on") == 1, done.stderr
        again = run_tool("report", "--lang", "en", ledger)
        assert again.returncode == 0 and "the recording has no end" in again.stderr, again.stderr
        assert again.stdout.startswith("INFO: phase made before:") and "read up to byte" not in again.stderr, again.stdout
    finally:
        subprocess.run(["umount", os.path.dirname(ledger)], check=False)


def test_file_and_owner(run_tool, directory):
    """0600, of the user who called sudo; a ledger that is there becomes .old, anything else is left alone; a run that does not start leaves no file."""
    profile = write_profile(os.path.join(directory, "profile.yaml"), NEVER)
    os.chmod(directory, 0o777)
    ledger = os.path.join(directory, "ramtrack.ledger")
    sudo = {"SUDO_UID": "12345", "SUDO_GID": "12346"}
    done = run_tool("record", "-P", profile, "--", "/bin/true", env=sudo, cwd=directory)
    assert done.returncode == 0, done.stderr
    status = os.stat(ledger)
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o600, 12345, 12346)
    first = read(ledger)
    assert run_tool("record", "-P", profile, "--", "/bin/true", env=sudo, cwd=directory).returncode == 0
    assert read(ledger + ".old") == first != read(ledger)
    second = read(ledger)
    for args, status in ((["--", "/no/such/command"], 127), (["-p", "4194304"], 3), (["-d", "1", "--wait", "never-such-a-command-line"], 3)):
        done = run_tool("record", "-P", profile, *args, cwd=directory)
        assert done.returncode == status, (args, done.returncode, done.stderr)
        assert read(ledger) == second, "a run without a process replaced a ledger"
    for name, make in (("text", lambda path: shutil.copy(profile, path)), ("link", lambda path: os.symlink(ledger, path)), ("fifo", os.mkfifo)):
        path = os.path.join(directory, name)
        make(path)
        done = run_tool("record", "-P", profile, "-o", path, "--", "/bin/true")
        assert done.returncode == 1 and "it is left as it is" in done.stderr and os.path.lexists(path) and not os.path.lexists(path + ".old"), done.stderr
    done = run_tool("record", "-P", profile, "-o", "/no/such/directory/l", "--", "/bin/true")
    assert done.returncode == 1 and "/no/such/directory" in done.stderr


def test_report_needs_no_root(run_tool, directory):
    profile = write_profile(os.path.join(directory, "profile.yaml"), NEVER)
    ledger = os.path.join(directory, "l")
    assert run_tool("record", "-o", ledger, "-P", profile, "--", "/usr/bin/python3", "-c", "pass").returncode == 0
    os.chmod(ledger, 0o644)
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    done = run_tool("report", "--lang", "en", ledger, prefix=as_nobody)
    if "Permission denied" in done.stderr and not done.stdout:
        pytest.skip("the tool itself lies where others may not look")
    assert done.returncode == 0 and "RAM summary" in done.stdout, done.stderr


def test_wrong_use(run_tool, directory):
    for args, said in (
        (["report", "-p", "1"], "--pid is for a live run"),
        (["report", "--record", "x"], "--record is for a live run"),
        (["report", "-j", "-", "a", "b"], "takes one ledger at a time"),
        (["record", "--record", "x", "--", "true"], "record writes one ledger"),
        (["record", "-o", "-", "--", "true"], "cannot go to standard output"),
        (["--record", "x", "-j", "x", "--", "true"], "both write to 'x'"),
        (["record"], "no target"),
    ):
        done = run_tool(*args, cwd=directory)
        assert done.returncode == 2 and said in done.stderr, (args, done.stderr)
    done = run_tool("report", cwd=directory)
    assert done.returncode == 1 and "ramtrack.ledger: No such file or directory" in done.stderr, done.stderr


def test_several_ledgers(run_tool, directory):
    profile = write_profile(os.path.join(directory, "profile.yaml"), NEVER)
    for name in "ab":
        assert run_tool("record", "-o", os.path.join(directory, name), "-P", profile, "--", "/bin/true").returncode == 0
    done = run_tool("report", "--lang", "en", "a", "b", cwd=directory)
    assert done.returncode == 0 and done.stdout.count("RAM summary") == 2
    assert done.stdout.startswith("==> a <==\n") and "\n==> b <==\n" in done.stdout


def test_wait_records_from_the_match_on(run_tool, directory):
    """Nothing of what did not match is in the ledger."""
    profile = write_profile(os.path.join(directory, "profile.yaml"), NEVER)
    ledger = os.path.join(directory, "l")
    tool = subprocess.Popen([run_tool.path, "record", "-o", ledger, "-P", profile, "--wait", "the-one-that-is-meant"], stderr=subprocess.PIPE, text=True, env=harness.clean_environment())
    try:
        assert "waiting" in tool.stderr.readline()
        for _ in range(5):
            subprocess.run(["/bin/sh", "-c", "true not-it"], check=True)
        subprocess.run(["/usr/bin/python3", "-c", "x = bytearray(1 << 20)", "the-one-that-is-meant"], check=True)
        assert tool.wait(harness.PATIENCE) == 0, tool.stderr.read()
    finally:
        harness.kill_hard(tool)
    records, *_ = report(run_tool, directory, ledger)
    assert len(records[0]["targets"]) == 1
    assert {entry["pid"] for entry in records[-1]["processes"]} == set(records[0]["targets"]), records[-1]["processes"]
    check_conservation(Said(records, "", "", 0))


def test_facts_of_the_host(run_tool, directory):
    """Kernel, processors, the recording command, and build ids of what was mapped, as file(1)'s readers know them."""
    profile = write_profile(os.path.join(directory, "profile.yaml"), NEVER)
    ledger = os.path.join(directory, "l")
    # The files are read while the process lives: it stays for a moment.
    assert run_tool("record", "-o", ledger, "-P", profile, "--", "/usr/bin/python3", "-c", "import ssl, time; time.sleep(1)").returncode == 0
    if not shutil.which("zstd") or not shutil.which("readelf"):
        pytest.skip("zstd or readelf is not installed")
    data, found = read(ledger), {}
    for at, kind in blocks_of(data):
        flags, stored = struct.unpack_from("<HI", data, at + 6)
        payload = data[at + 32 : at + 32 + stored]
        if flags:
            payload = subprocess.run(["zstd", "-dc"], input=payload, capture_output=True, check=True).stdout
        found.setdefault(kind, []).append(payload)
    facts = json.loads(found[1][0])
    assert facts["host"]["node"] == os.uname().nodename and facts["host"]["cpus"] == os.cpu_count() and facts["page_size"] == os.sysconf("SC_PAGE_SIZE")
    assert facts["command"][1:3] == ["record", "-o"]
    assert found[8][0].endswith(read(profile))
    builds = {entry["path"]: entry["build_id"] for payload in found[6] for entry in json.loads(payload)}
    exe = os.path.realpath("/usr/bin/python3")
    assert exe in builds and any("libssl" in path for path in builds), builds
    for path, build_id in builds.items():
        if os.path.exists(path):
            assert build_id in subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout, path
