# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Device memory (my_malloc, my_free) and pinned host memory, by the shipped profile's own native entries. There is no GPU: the driver and the runtime
library are stand-ins (targets/standin_cuda.c); vLLM's allocator is the real one of its CUDA wheel and, besides, one with the same declarations."""

import contextlib
import os

import pytest

import gpu_libraries
import harness

STANDIN = "stand-in driver, no GPU"


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


@every_case
def test_target_is_what_it_says(gpu):
    """Untraced: the allocator asks the driver for what fits, gives back what it says, and the pages are there."""
    python = harness.Interpreter(gpu_libraries.PYTHON)
    with python.stage() as stage, contextlib.closing(harness.Target(python, stage, "gpu.py", gpu)) as target:
        target.start()
        target.serve(target.process)
        assert target.process.wait(30) == 0, target.output()
        calls = target.truths()[target.pid]["facts"]["calls"]
    assert len(calls) == (9 if gpu[0] == "device" else 13), calls
