# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Device memory (my_malloc, my_free) and pinned host memory, by the shipped profile's own native entries. There is no GPU: the driver and the runtime
library are stand-ins (targets/standin_cuda.c); vLLM's allocator is the real one of its CUDA wheel and, besides, one with the same declarations."""

import contextlib
import json
import os
import re

import pytest

import gpu_libraries
import harness

STANDIN = "stand-in driver, no GPU"
FILE = "gpu.py"
PHASES = [harness.phase(name, name, FILE) for name in "load_weights make_cache give_back pin_by_runtime pin_by_driver register unpin".split()]
PHASES.append(harness.phase("warm", ["warm_device", "warm_pinned"], FILE))
# What the runtime calls in the driver for each of its functions: a call inside of the call.
INNER = {
    "cudaHostAlloc": "cuMemHostAlloc",
    "cudaMallocHost": "cuMemHostAlloc",
    "cudaHostRegister": "cuMemHostRegister_v2",
    "cudaFreeHost": "cuMemFreeHost",
    "cudaHostUnregister": "cuMemHostUnregister",
}


@pytest.fixture
def gpu(request, compile_native, directory):
    """The arguments of gpu.py: scenario, directory of the libraries, names. Parametrized with (scenario, module)."""
    scenario, module = request.param
    folder = os.path.join(directory, "lib")
    os.mkdir(folder)
    try:
        order = gpu_libraries.build(compile_native, folder, module)
    except gpu_libraries.Missing as why:
        pytest.skip(str(why))
    return [scenario, folder, *order]


CASES = [("device", "real"), ("device", "alike"), ("pinned", None)]
IDS = [f"device memory, vLLM's own module over a {STANDIN}", f"device memory, a module alike over a {STANDIN}", f"pinned memory of a {STANDIN}"]
every_case = pytest.mark.parametrize("gpu", CASES, ids=IDS, indirect=True)


def shipped_native():
    """The native entries as they are shipped, as text."""
    with open(os.path.join(harness.TREE, "profiles", "vllm.yaml"), encoding="utf-8") as file:
        text = file.read()
    return text[text.index("\nnative:\n") :]


def write_profile(path):
    """The target's phases and the shipped profile's native entries."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("name: test\nphases: " + json.dumps(PHASES, ensure_ascii=False) + shipped_native())
    return path


@every_case
def test_target_is_what_it_says(gpu):
    """Untraced: the allocator asks the driver for what fits, gives back what it says, and the pages are there."""
    python = harness.Interpreter(gpu_libraries.PYTHON)
    with python.stage() as stage, contextlib.closing(harness.Target(python, stage, "gpu.py", gpu)) as target:
        target.start()
        target.serve(target.process)
        assert target.process.wait(30) == 0, target.output()
        calls = target.truths()[target.pid]["facts"]["calls"]
    assert len(calls) == (11 if gpu[0] == "device" else 27), calls


LIBRARIES = {"device": ["cumem_allocator.abi3.so"], "pinned": [gpu_libraries.DRIVER_FILE, gpu_libraries.RUNTIME]}
LIBRARIES["paced"] = LIBRARIES["pinned"]


def run(tool, gpu, mode, options=(), out=None):
    """Traces gpu.py with the shipped native entries; it goes on when the probes are there, which takes some milliseconds from a library's loading on."""
    python = harness.Interpreter(gpu_libraries.PYTHON)
    profile = write_profile(os.path.join(tool.directory, "gpu.yaml"))

    def probed():
        said = tool.text(tool.errors)
        return all(re.search(rf"{re.escape(name)}: probes at \d+ places", said) for name in LIBRARIES[gpu[0]])

    def on_stop(name, pid):
        if name == "loaded":
            assert harness.wait_until(probed), tool.text(tool.errors)

    return harness.trace(tool, python, FILE, *gpu, mode=mode, options=["-v", *options], profile=profile, on_stop=on_stop, out=out)


def wanted_calls(truth):
    """The target's own account, with what the runtime calls in the driver, which ends first: (symbol, op, bytes, phase, pages, is it such an inner call)."""
    out = []
    for call in truth["facts"]["calls"]:
        size = call["asked"]
        if call["op"] == "free" and call["symbol"] != "my_free":  # these are told an address only: what they unmap
            size = -call["pages"] * harness.PAGE
        for symbol, inner in ((INNER.get(call["symbol"]), True), (call["symbol"], False)):
            if symbol:
                out.append((symbol, call["op"], size, call["phase"], pages_of(call["phase"], call["pages"]), inner))
    return out


def pages_of(phase, pages):
    return None if phase == "warm" else pages


def told_calls(said, pid):
    records = [r for r in said.of("native", pid=pid) if r["symbol"] != "shm_open"]
    return [(r["symbol"], r["op"], r["bytes"], r["phase"], pages_of(r["phase"], r["rss_delta_bytes"] // harness.PAGE), r["inner"]) for r in records]


KINDS = {"device": "device", "pinned": "pinned"}


@pytest.mark.parametrize("mode", ["launch", "attach"])
@every_case
def test_sizes_and_phases_are_what_was_asked(tool, gpu, mode):
    """Every call, in order: function, bytes, phase, and its pages, exactly."""
    said = run(tool, gpu, mode)
    assert told_calls(said, said.pid) == wanted_calls(said.truth), said.errors
    assert {r["kind"] for r in said.of("native", pid=said.pid) if r["symbol"] != "shm_open"} == {KINDS[gpu[0]]}
    check_summary(said)


def check_summary(said):
    """The summary's rows are the calls, added up by function and phase."""
    rows = {(r["symbol"], r["op"], r["phase"], r["inner"]): r for r in said.summary_of(said.pid)["native"] if r["symbol"] != "shm_open"}
    wanted = {}
    for symbol, op, size, phase, pages, inner in wanted_calls(said.truth):
        row = wanted.setdefault((symbol, op, phase, inner), [0, 0, 0])
        row[:] = row[0] + 1, row[1] + size, pages_of(phase, (row[2] or 0) + (pages or 0))
    told = {key: [r["calls"], r["bytes"], pages_of(key[2], r["rss_delta_bytes"] // harness.PAGE)] for key, r in rows.items()}
    assert told == wanted


def mib(size):
    return f"{size / (1 << 20):.2f}"


@pytest.mark.parametrize("gpu", [("pinned", None)], ids=[f"pinned memory of a {STANDIN}"], indirect=True)
def test_summary_says_what_was_pinned(tool, gpu):
    """By phase: asked, resident, given back. What the runtime has the driver do for it is not counted twice."""
    with open(os.path.join(tool.directory, "stdout"), "w+", encoding="utf-8") as out:
        said = run(tool, gpu, "launch", ["--lang", "en"], out)
        out.seek(0)
        lines = dict(re.findall(r"^ +(?:pinned: )?phase (\w+): (asked .*)$", out.read(), re.M))
    for name in ("pin_by_runtime", "pin_by_driver", "register", "unpin"):
        calls = [call for call in said.truth["facts"]["calls"] if call["phase"] == name]
        asked = sum(call["asked"] for call in calls if call["op"] == "alloc")
        pages = sum(call["pages"] for call in calls) * harness.PAGE
        if name == "unpin":
            wanted = f"asked 0.00, resident 0.00 (shmem 0.00), given back {mib(-pages)} (resident: {mib(-pages)} less)"
        else:
            wanted = f"asked {mib(asked)}, resident +{mib(pages)} (shmem {'0.00' if name == 'register' else '+' + mib(pages)}), given back 0.00 (resident: 0.00 less)"
        assert lines[name] == wanted, lines
