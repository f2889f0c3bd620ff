#!/usr/bin/python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Compares nativeprobe with binutils: instructions with objdump, names with c++filt, symbols with nm and readelf.

    compare_native.py NATIVEPROBE

Also what the process that reads files may do, with /proc. On C++ libraries compiled here (tests/unit/data/native: with and without endbr64, stripped, with a separate debug file, with libstdc++'s own symbols linked in)
and on libraries of the system. The samples are the same at every run. Exit status 1: there are differences.
"""
import bisect
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "data", "native")
CXX = os.environ.get("CXX", "g++")
SHOWN = 20
STEPPED, NO_ARGS, FALLBACK, CLONE, LOOP = 1, 2, 4, 8, 16
FOUND, STANDS_IN, NOT_FOUND = 1, 2, 3
ARGUMENTS = {"di", "si", "d", "c", "8", "9", "sp"} # x86-64's registers for them, and the stack's
NO_INSTRUCTION = re.compile(r"\(bad\)|\.byte|^(rex|data16|addr32|lock|rep|repz|repnz|cs|ds|es|fs|gs|ss)[.A-Z]*( rex\S*)*$")


def run(*args, data=None, check=True):
    result = subprocess.run(args, input=data, capture_output=True, text=True, errors="surrogateescape", check=False)
    if check and result.returncode:
        raise SystemExit("%s: exit status %d: %s" % (" ".join(args), result.returncode, result.stderr[-2000:]))
    return result.stdout


class Library:
    """What binutils say of a file, and of a debug file of it."""

    def __init__(self, path, debug=None):
        self.path = path
        self.loads = [] # offset, address, size in the file, executable
        self.entries = {} # offset in the file of a function: its names in the symbol tables
        self.local = set() # offsets that only local symbols have
        self.instructions = {} # offset: (length, text, bytes)
        for line in run("readelf", "-lW", path).split("\n"):
            m = re.match(r"\s*LOAD\s+0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ ([R ][W ][E ])", line)
            if m:
                self.loads.append((int(m[1], 16), int(m[2], 16), int(m[3], 16), "E" in m[4]))
        lines = run("readelf", "-sW", path).split("\n") + (run("readelf", "-sW", debug).split("\n") if debug else [])
        exported = set()
        for line in lines:
            m = re.match(r"\s*\d+: (\w{16})\s+\S+ FUNC\s+(\w+)\s+\w+(?:\s+\[.*\])?\s+(\w+) (\S+)", line)
            if not m or m[3] in ("UND", "ABS") or not int(m[1], 16):
                continue
            offset = self.offset(int(m[1], 16))
            if offset is not None:
                self.entries.setdefault(offset, set()).add(re.sub(r"@.*", "", m[4]))
                if m[2] != "LOCAL":
                    exported.add(offset)
        self.local = set(self.entries) - exported

    def offset(self, address, code=True):
        for offset, start, size, executable in self.loads:
            if start <= address < start + size and (executable or not code):
                return offset + address - start
        return None

    def address(self, offset):
        return next(start + offset - at for at, start, size, executable in self.loads if executable and at <= offset < at + size)

    def disassemble(self):
        if self.instructions:
            return self.instructions
        self.jumps = [] # targets, as offsets, and where from
        for line in run("objdump", "-d", "-w", "--insn-width=16", self.path).split("\n"):
            m = re.match(r"\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(.*)", line)
            if not m:
                continue
            at = self.offset(int(m[1], 16))
            code = bytes.fromhex(m[2])
            self.instructions[at] = (len(code), m[3].strip(), code)
            jump = re.match(r"(?:bnd |notrack )?(?:j\w+|call)\s+([0-9a-f]+) ", m[3] + " ")
            if jump:
                target = self.offset(int(jump[1], 16))
                if target is not None:
                    self.jumps.append((target, at, int(jump[1], 16) - int(m[1], 16) - len(code)))
        self.jumps.sort()
        return self.instructions


class Comparison:
    def __init__(self, probe, folder):
        self.probe = probe
        self.folder = folder
        self.counts = {}
        self.differences = []
        self.random = random.Random(6)

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + n

    def expect(self, good, what, *values):
        if not good:
            self.differences.append("%s: %s" % (what, " | ".join(repr(v) for v in values)))

    def find(self, path, rules, root="-", status=0):
        """rules: lists of YAML keys. Returns sites {offset: (rule, flags, entry, name)}, rules {index: (found, reason)}, and the other lines."""
        profile = os.path.join(self.folder, "profile.yaml")
        with open(profile, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("phases:\n- {id: a, function: f, label: x}\nnative:\n")
            for rule in rules:
                file.write("- kind: k\n  library: '*%s'\n" % os.path.basename(path))
                for key, value in rule.items():
                    file.write("  %s: %s\n" % (key, value if isinstance(value, bool) else "[%s]" % ", ".join("'%s'" % v.replace("'", "''") for v in value)))
        result = subprocess.run([self.probe, "find", profile, root, path], capture_output=True, text=True, errors="surrogateescape", check=False)
        self.expect(result.returncode == status, "%s: exit status" % path, rules, result.returncode, result.stderr)
        sites, states, more = {}, {}, {}
        for line in result.stdout.split("\n"):
            word, _, rest = line.partition(" ")
            if word == "site":
                rule, flags, entry, offset, name = rest.split(" ", 4)
                sites[int(offset, 16)] = (int(rule, 16), int(flags, 16), int(entry, 16), name)
            elif word == "rule":
                index, found, reason = rest.split(" ", 2)
                states[int(index, 16)] = (int(found, 16), reason)
            else:
                more[word] = rest
        more["error"] = result.stderr
        return sites, states, more

    # ---- instructions ----

    def decode(self, library):
        unique = {}
        for at, (length, text, code) in library.disassemble().items():
            if not NO_INSTRUCTION.search(text):
                unique.setdefault(code, (at, text))
        answers = run(self.probe, "decode", data="".join(code.hex() + "cc" * 16 + "\n" for code in unique)).split("\n")
        rels = {at: rel for _, at, rel in library.jumps}
        refused = 0
        for (code, (at, text)), answer in zip(unique.items(), answers):
            if answer == "-":
                refused += 1
                continue
            length, flow, rel, _, _ = (int(v) for v in answer.split())
            self.expect(length == len(code), "%s: length of an instruction" % library.path, hex(at), text, length)
            if at in rels:
                self.expect(rel == rels[at] and flow == (1 if text.startswith("call") else 2), "%s: a jump's target" % library.path, hex(at), text, flow, rel)
            elif re.match(r"(bnd |notrack )?jmp", text):
                self.expect(flow == 3, "%s: an indirect jump" % library.path, hex(at), text, flow)
        self.count("instructions", len(unique))
        self.count("instructions refused", refused)
        self.expect(refused <= len(unique) // 200, "%s: instructions that are not known" % library.path, refused, len(unique))

    def quiet(self, text):
        """Does it, in objdump's words, leave memory, arguments and the stack pointer alone?"""
        if re.match(r"(endbr64|nop|xchg +%ax,%ax|cs nop|data16.* nop|test|cmp)", text):
            return True
        m = re.match(r"(?:mov\w*|lea|xor|add|sub|and|or)\s+.*[,$]%([a-z0-9]+)(\s|$)", text)
        return bool(m) and re.sub(r"^[re](?=[a-ds])|^r(?=\d)|(?<=[a-d])x$|[dw]$(?<=\d[dw])", "", m[1]) not in ARGUMENTS

    def sites(self, library, sites):
        """Every site is an instruction, and as good as the function's first."""
        code = library.disassemble()
        for offset, (_, flags, entry, name) in sites.items():
            self.count("sites")
            self.expect(entry in library.entries, "%s: no function" % library.path, name, hex(entry))
            if not self.good(offset in code and entry in code, "%s: no instruction" % library.path, name, hex(offset)):
                continue
            text = code[offset][1]
            emulated = bool(re.match(r"(push +%r|nop$|xchg +%ax,%ax|(jmp|call) +[0-9a-f]|j(?!mp|r?cxz|ecxz)\w+ +[0-9a-f])", text))
            self.expect(emulated == (not flags & STEPPED), "%s: emulated or stepped" % library.path, name, text, flags)
            at = entry
            while at < offset:
                self.expect(self.quiet(code[at][1]), "%s: before a site" % library.path, name, code[at][1])
                at += code[at][0]
            self.expect(at == offset, "%s: in the middle of an instruction" % library.path, name, hex(offset))
            if offset > entry:
                self.count("sites moved")
                i = bisect.bisect(library.jumps, (entry + 1,))
                self.expect(i == len(library.jumps) or library.jumps[i][0] > offset, "%s: a jump leads to a moved site" % library.path, name)

    def good(self, value, what, *values):
        self.expect(value, what, *values)
        return value

    # ---- names ----

    def names(self, library):
        """All names of a library with what c++filt says of them: {name: (whole, without parameters)}. Copies and made-up names are left out."""
        names = sorted({n for some in library.entries.values() for n in some if "." not in n and n != "site_data" and not re.match("_Z[TG]", n)})
        whole = run("c++filt", "-i", data="\n".join(names)).split("\n")
        bare = run("c++filt", "-i", "-p", data="\n".join(names)).split("\n")
        return {n: (w, b) for n, w, b in zip(names, whole, bare) if not w.startswith("_Z")}

    def match(self, pattern, names):
        lines = ["%s\t%s\n" % (n, w if w != n else "") for n, (w, _) in names.items()]
        answers = run(self.probe, "match", pattern, data="".join(lines)).split("\n")
        return {n for n, a in zip(names, answers) if a == "1"}

    def meant(self, pattern, names):
        """The same by another way: only for exact patterns without template arguments and operators."""
        result = set()
        for n, (w, b) in names.items():
            b = re.sub(r"\(anonymous namespace\)", "@", b)
            w = re.sub(r"\(anonymous namespace\)", "@", w)
            p = re.sub(r"\(anonymous namespace\)", "@", pattern)
            if p in (n, w, b) or ("::" + b).endswith("::" + p):
                result.add(n)
            elif b and w.find(b + "(") >= 0 and ("::" + b + w[w.find(b + "(") + len(b):]).endswith("::" + p):
                result.add(n)
        return result

    def simple(self, names):
        return {n: v for n, v in names.items() if not re.search(r"[<>\[{]|operator|\{|decltype", v[1]) and "::" not in re.sub(r".*\)", "", v[0])}

    def match_all(self, library, samples):
        names = self.names(library)
        simple = self.simple(names)
        for n in self.random.sample(sorted(simple), min(samples, len(simple))):
            whole, bare = simple[n]
            parts = re.sub(r"\(anonymous namespace\)", "@", bare).split("::")
            patterns = [n, whole, bare, parts[-1]] + ["::".join(parts[-2:])] * (len(parts) > 2)
            for pattern in patterns:
                pattern = pattern.replace("@", "(anonymous namespace)")
                found, meant = self.match(pattern, simple), self.meant(pattern, simple)
                self.count("patterns")
                self.expect(found == meant, "%s: what a name means" % library.path, pattern, sorted(found - meant)[:4], sorted(meant - found)[:4])

    def globs(self, names):
        """Patterns out of names, with pieces put out by * and ?."""
        for n in self.random.sample(sorted(names), min(200, len(names))):
            text = self.random.choice((n, names[n][0], names[n][1], names[n][1].split("::")[-1]))
            for _ in range(self.random.randrange(3)):
                i = self.random.randrange(len(text))
                text = text[:i] + self.random.choice("*?") + text[min(len(text), i + self.random.choice((1, 1, 4, 12))):]
            text = text.strip()
            if re.search(r"[A-Za-z0-9_]{3}", text) and len(text) < 400 and text:
                yield text

    def search(self, library, root="-"):
        """What the search over symbol tables finds is what a look at each name finds."""
        names = self.names(library)
        patterns = list(self.globs(names))
        of = {}
        for offset, some in library.entries.items():
            for n in some:
                of.setdefault(n, set()).add(offset)
        for pattern in patterns:
            meant = {o for n in self.match(pattern, names) for o in of[n]}
            copies = {o for o, some in library.entries.items() if any("." in n for n in some)}
            sites, states, _ = self.find(library.path, [{"symbol": [pattern]}], root)
            if len(meant) > 60:
                continue
            self.count("searches")
            found = {entry for _, _, entry, _ in sites.values()}
            self.expect(found - copies == meant - copies, "%s: what is found" % library.path, pattern, [hex(o) for o in found ^ meant][:6])
            self.expect((states[0][0] == FOUND) == bool(sites), "%s: found or not" % library.path, pattern, states)
            self.sites(library, sites)


def build(folder, name, *flags, sources=("lib.cpp", "shapes.s")):
    path = os.path.join(folder, name)
    run(CXX, "-std=c++17", "-shared", "-fPIC", "-g", "-O2", "-Wl,--build-id", *flags, "-o", path, *(os.path.join(DATA, s) for s in sources))
    return path


def separate(path, root):
    """A stripped copy, and its debug file where debuggers look for it in `root`."""
    stripped = path.replace(".so", "-stripped.so")
    build_id = re.search(r"Build ID: (\w+)", run("readelf", "-n", path))[1]
    debug = os.path.join(root, "usr/lib/debug/.build-id", build_id[:2], build_id[2:] + ".debug")
    os.makedirs(os.path.dirname(debug), exist_ok=True)
    run("objcopy", "--only-keep-debug", path, debug)
    run("strip", "-o", stripped, path)
    return stripped, debug


def shapes(c, library):
    """Copies, parts, sites: what this file is made of is known."""
    def names_of(symbol):
        sites, states, _ = c.find(library.path, [{"symbol": [symbol]}])
        c.sites(library, sites)
        return {n for _, _, e, _ in sites.values() for n in library.entries[e]}, sites, states

    for symbol, want in (("reached", {"_Z7reachedi"}), ("alone", {"_Z5alonei.part.0"}), ("apart", {"_Z5apartv", "_Z5apartv.part.0"}),
                         ("coldly(int)", {"_Z6coldlyi" + s for s in ("", ".constprop.0", ".constprop.1.isra.0", ".lto_priv.0", ".llvm.1234567890")}),
                         ("coldly*", {"_Z6coldlyi" + s for s in ("", ".constprop.0", ".constprop.1.isra.0", ".lto_priv.0", ".llvm.1234567890")}),
                         ("_Z6coldlyi.constprop.0", {"_Z6coldlyi.constprop.0"}), ("_Z6coldlyi.cold", set()),
                         ("my_malloc", {"my_malloc", "my_malloc_alias"}), ("my_malloc_alias", {"my_malloc", "my_malloc_alias"}),
                         ("my_malloc_data", set()), ("my_malloc_tls", set()), ("my_malloc_ifunc", set()), ("site_data", set()),
                         ("pool::Both::put", {"_ZN4pool4Both3putEPv"}), ("*Both::put*", {"_ZN4pool4Both3putEPv"}),
                         ("_ZThn8_N4pool4Both3putEPv", {"_ZThn8_N4pool4Both3putEPv"}),
                         ("pool::take", {"_ZN4pool4takeIiEEPT_m", "_ZN4pool4takeINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEEEPT_m"}),
                         ("pool::take<int>", {"_ZN4pool4takeIiEEPT_m"}), ("int* pool::take<int>(unsigned long)", {"_ZN4pool4takeIiEEPT_m"})):
        found, sites, states = names_of(symbol)
        c.expect(found == want, "%s: functions of %s" % (library.path, symbol), sorted(found), states)
        for _, flags, entry, name in sites.values():
            some = library.entries[entry]
            altered = all(re.search(r"\.(constprop|isra|part)\.", n) for n in some)
            c.expect(bool(flags & CLONE) == all("." in n for n in some) or symbol.endswith(".constprop.0"), "%s: marked as a copy" % library.path, symbol, some, flags)
            c.expect(bool(flags & NO_ARGS) == altered or symbol.endswith(".constprop.0"), "%s: arguments" % library.path, symbol, some, flags)
            c.expect("." not in name.replace("...", "") or symbol.endswith(".constprop.0"), "%s: a site's name" % library.path, symbol, name)
    for symbol, moved, flags in (("site_endbr_push", 4, 0), ("site_endbr_loop", 0, STEPPED), ("site_endbr_entered", 0, STEPPED), ("site_endbr_switch", 0, STEPPED),
                                 ("site_sub", 0, STEPPED), ("site_argument", 0, STEPPED), ("site_store", 0, STEPPED), ("site_test", 18, 0), ("site_byte", 0, STEPPED),
                                 ("site_xchg", 0, STEPPED), ("site_self", 0, LOOP), ("site_jump", 0, 0), ("site_push_r12", 0, 0)):
        _, sites, _ = names_of(symbol)
        c.expect([(o - e, f) for o, (_, f, e, _) in sites.items()] == [(moved, flags)], "%s: where the site is" % library.path, symbol, sites)


def variants(c, folder, flags, name):
    """The functions of vLLM's shape, in all the forms that a library comes in."""
    path = build(folder, name, *flags)
    root = os.path.join(folder, "root")
    stripped, debug = separate(path, root)
    rules = [{"symbol": ["SHMManager::init_shm", "*SHMManager::init_shm(int)"], "fallback": ["init_shm_manager", "join_shm_manager"]},
             {"symbol": ["destroy_shm"]}, {"symbol": ["pool_grow"]}, {"symbol": ["_Z16init_shm_manager*"]}, {"symbol": ["no_such_function"]}]
    full, bare, apart = Library(path), Library(stripped), Library(stripped, debug)
    shapes(c, full)
    for library, given in ((full, "-"), (apart, root)):
        sites, states, more = c.find(library.path, rules, given)
        c.sites(library, sites)
        c.expect([states[i][0] for i in range(5)] == [FOUND] * 4 + [NOT_FOUND], "%s: rules" % library.path, states)
        c.expect(more["symtab"] == "1" and bool(more["debug"]) == (given != "-"), "%s: symbols" % library.path, more)
        want = {o: n for o, some in library.entries.items() for n in some if re.search(r"10SHMManager(8init_shm|11destroy_shm)E|9pool_growE|^_Z16init_shm_manager", n) and ".cold" not in n}
        c.expect({e for _, _, e, _ in sites.values()} == set(want), "%s: vLLM's shapes" % library.path, want, sites)
        c.expect(any("init_shm(int)" in s[3] for s in sites.values()), "%s: names" % library.path, sites)
    # without its symbols: what is exported stands in
    sites, states, more = c.find(stripped, rules[:2])
    c.sites(bare, sites)
    c.expect(states[0][0] == STANDS_IN and "stripped" in states[0][1] and "init_shm_manager, join_shm_manager" in states[0][1], "%s: fallback" % stripped, states)
    c.expect(states[1][0] == NOT_FOUND and "stripped" in states[1][1] and more["symtab"] == "0", "%s: stripped" % stripped, states, more)
    c.expect(sorted(bare.entries[e].pop()[:8] for _, _, e, _ in sites.values()) == ["_Z16init", "_Z16join"], "%s: fallback" % stripped, sites)
    c.expect(all(f & (FALLBACK | NO_ARGS) == FALLBACK | NO_ARGS and r == 0 for r, f, _, _ in sites.values()), "%s: marked as a fallback" % stripped, sites)
    # one rule has the place, the first, be it as a fallback; one that means too much is refused alone
    for first, second, want, found in ((0, 3, [0, 0], [STANDS_IN, FOUND]), (3, 0, [0, 1], [FOUND, STANDS_IN])):
        sites, states, _ = c.find(stripped, [rules[first], rules[second]])
        c.expect(sorted(r for r, _, _, _ in sites.values()) == want and [states[0][0], states[1][0]] == found, "%s: two rules for one place" % stripped, sites, states)
    sites, states, _ = c.find(path, [{"symbol": ["my_free", "my_malloc"]}, {"symbol": ["my_malloc_alias"]}])
    c.expect(len(sites) == 2 and states[1] == (FOUND, "its functions belong to entries before it"), "%s: an alias" % path, sites, states)
    # a debug file of another build
    with open(debug, "r+b") as file:
        note = file.read().find(bytes.fromhex(re.search(r"Build ID: (\w+)", run("readelf", "-n", path))[1]))
        file.seek(note)
        file.write(b"\0\0")
    sites, states, _ = c.find(stripped, rules[:1], root)
    c.expect(states[0][0] == STANDS_IN, "%s: another build's debug file" % stripped, states)
    # cut short
    cut = os.path.join(folder, "cut.so")
    shutil.copy(path, cut)
    os.truncate(cut, 3000)
    _, _, more = c.find(cut, rules[:1], status=1)
    c.expect("cut.so" in more["error"] and not more["error"].startswith("0"), "cut short", more)
    return full


def jail(c):
    """What the kernel says of the process that reads files, and what it may do."""
    for what, answer, status in (("read", "done", 0), ("open", "Operation not permitted", 0), ("socket", "", -31), ("signal", "", -31), ("exec", "", -31),
                                 ("memory", "Cannot allocate memory", 0)):
        with subprocess.Popen([c.probe, "jail", what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            c.expect(child.stdout.readline() == "ready\n", "jail", what)
            with open("/proc/%d/status" % child.pid, encoding="ascii", errors="replace") as file:
                state = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            for key, value in (("CapEff", "0000000000000000"), ("CapPrm", "0000000000000000"), ("NoNewPrivs", "1"), ("Seccomp", "2")):
                c.expect(state[key] == value, "jail: %s" % key, state[key])
            if not os.geteuid():
                c.expect(set(state["Uid"].split() + state["Gid"].split()) == {"65534"} and not state["Groups"].strip(), "jail: user", state)
                c.expect(sorted(os.listdir("/proc/%d/fd" % child.pid)) == ["0", "1"], "jail: files", what)
            out, _ = child.communicate("go\n")
        c.expect(out.strip() == answer and child.returncode == status, "jail: %s" % what, out, child.returncode)
        c.count("attempts")


SHAPES = ("site_endbr_push", "site_endbr_entered", "site_sub", "site_argument", "site_store", "site_test", "site_byte", "site_push_r12", "site_jump", "reached", "apart",
          "coldly", "alone")


def hits(c, library):
    """The kernel's own counters at the sites, while a program makes calls that are counted here; some throw."""
    driver = os.path.join(c.folder, "driver")
    run(CXX, "-std=c++17", "-O1", "-o", driver, os.path.join(DATA, "driver.cpp"), "-ldl")
    sites, _, _ = c.find(library.path, [{"symbol": list(SHAPES)}, {"symbol": ["init_shm"]}, {"symbol": ["init_shm_manager"]}])
    want, calls = {}, []
    for offset, (rule, _, entry, _) in sites.items():
        want[offset] = 2500 if rule else 100 + 7 * len(calls)
        if not rule:
            calls.append("%x:%d" % (library.address(entry), want[offset]))
    of = {name: offset for offset, (_, _, _, name) in sites.items()}
    want[of["site_sub"]] += want[of["site_jump"]] # which jumps there
    result = subprocess.run([c.probe, "hits", library.path, *("%x" % o for o in sites), "--", driver, library.path, *calls], capture_output=True, text=True, check=False)
    if result.returncode == 77:
        print("native_truth: no probes here, hits are not counted: %s" % result.stderr.strip())
        return
    found = dict(line.split(" ") for line in result.stdout.strip().split("\n"))
    c.expect(found.pop("status", "") == "0", "%s: the program under probes" % library.path, result.stdout, result.stderr)
    c.expect(len(sites) > len(SHAPES) and {int(o, 16): int(n) for o, n in found.items()} == want, "%s: hits" % library.path, found, {hex(o): n for o, n in want.items()}, sites)
    c.count("probes hit as often as called", len(want))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        c = Comparison(os.path.abspath(sys.argv[1]), folder)
        jail(c)
        plain = variants(c, folder, ["-fcf-protection=none"], "plain.so")
        guarded = variants(c, folder, ["-fcf-protection=full"], "guarded.so")
        large = Library(build(folder, "large.so", "-static-libstdc++", "-Wl,--whole-archive", "-l:libstdc++.a", "-Wl,--no-whole-archive", sources=("lib.cpp",)))
        system = [Library(os.path.realpath(run(CXX, "-print-file-name=" + n).strip())) for n in ("libstdc++.so.6", "libc.so.6")]
        for library in (plain, guarded):
            hits(c, library)
        for library in (plain, guarded, *system):
            c.decode(library)
        c.match_all(plain, 60)
        c.match_all(system[0], 60)
        for library in (plain, guarded, system[0], large):
            c.search(library)
        many, states, _ = c.find(system[0].path, [{"symbol": ["*basic_string*"]}, {"symbol": ["std::terminate"]}])
        c.expect(states[0][0] == NOT_FOUND and "narrower" in states[0][1] and states[1][0] == FOUND and len(many) == 1, "a rule that means too much", states)
    for difference in c.differences[:SHOWN]:
        print(difference)
    print("native_truth: %s; %d differences" % (", ".join("%d %s" % (n, w) for w, n in c.counts.items()), len(c.differences)))
    return 1 if c.differences else 0


if __name__ == "__main__":
    sys.exit(main())
