#!/bin/sh
# fetch_interpreter.sh [NAME]: one of the CPythons that the tests know, fetched on demand into ${XDG_CACHE_HOME:-~/.cache}/ramtrack-bpf. Its last line on
# standard output is how to run it: EXE, or chroot:ROOT:EXE (tests/e2e/README.md). Exit status 77 and a reason if it cannot be had. Without NAME: all names.
#
#   debian-X.Y   from a Debian suite, run by chroot; 3.11 is this system's own where it is Debian 12
#   wheel-X.Y[t] statically linked interpreters that come in wheels of cx_Freeze and freeze-core, with a standard library out of the Debian package of the
#                same minor version, or the next one that works; they run here directly
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ramtrack-bpf
python=${PYTHON:-/usr/bin/python3}

# name, suite or package==version, whose standard library
table='debian-3.9 bullseye -
debian-3.11 bookworm -
debian-3.13 trixie -
debian-3.14 forky -
debian-3.15 sid -
wheel-3.8 cx_Freeze==7.2.10 debian-3.9
wheel-3.10 freeze-core==0.6.1 debian-3.9
wheel-3.12 freeze-core==0.8.1 debian-3.11
wheel-3.13 freeze-core==0.8.1 debian-3.13
wheel-3.13t freeze-core==0.6.1 debian-3.13
wheel-3.14 freeze-core==0.8.1 debian-3.14
wheel-3.14t freeze-core==0.8.1 debian-3.14
wheel-3.15 freeze-core==0.8.1 debian-3.15
wheel-3.15t freeze-core==0.8.1 debian-3.15'

if [ $# = 0 ]; then
	echo "$table" | cut -d' ' -f1
	exit 0
fi
name=$1 version=${1#*-}
row=$(echo "$table" | grep "^$name ") || { echo "fetch_interpreter.sh: $name: not one of: $("$0" | tr '\n' ' ')" >&2; exit 2; }
source=$(echo "$row" | cut -d' ' -f2) library=$(echo "$row" | cut -d' ' -f3)
mkdir -p "$cache"
# One at a time: several test runs may want the same one.
if [ -z "${RT_FETCH_LOCKED:-}" ] && command -v flock >/dev/null; then
	RT_FETCH_LOCKED=1 exec flock "$cache/fetch.lock" "$0" "$name"
fi

skip() {
	echo "$name: $1" >&2
	exit 77
}

debian() {
	if [ "$version" = 3.11 ] && /usr/bin/python3.11 -c 'import ctypes, mmap, threading' 2>/dev/null; then
		echo /usr/bin/python3.11
		return
	fi
	"$here/fetch_python.sh" "$source" "$version" "$cache/python$version" >&2
	echo "chroot:$cache/python$version/root:/usr/bin/python$version"
}

# What stands in for a command line: these programs know none. They call run() of one of two modules, with or without an argument.
startup() {
	cat <<'X'
import sys


def init():
    pass


def run(_name=None):
    words = sys.argv[1:]
    while words and words[0] in ("-B", "-S", "-s", "-E"):
        sys.dont_write_bytecode |= words.pop(0) == "-B"
    if not words:
        sys.exit("give -c PROGRAM or a script")
    if words[0] == "-c":
        file, text, sys.argv = "<string>", words[1], ["-c"] + words[2:]
    else:
        file, sys.argv = words[0], words
        sys.path.insert(0, file.rpartition("/")[0] or ".")
        with open(file, "rb") as source:
            text = source.read()
    main = sys.modules["__main__"]
    main.__dict__["__file__"] = file
    exec(compile(text, file, "exec", dont_inherit=True), main.__dict__)
X
}

# A neighbour's standard library: the few places that do not fit.
adapt() {
	case $version in
	3.8)
		# "from types import GenericAlias" and what is as new as that.
		sed -i 's/GenericAlias = type(list\[int\])/class GenericAlias:\n    def __init__(self, *args):\n        pass\n/' "$1/_collections_abc.py" "$1/types.py"
		grep -l 'GenericAlias = type(list\[int\])' "$1"/*.py | xargs -r sed -i 's/GenericAlias = type(list\[int\])/GenericAlias = lambda *args: None/'
		;;
	3.12) sed -i '/^MAGIC = /s/=.*/= __import__("_sre").MAGIC/' "$1/re/_constants.py" ;;
	esac
}

wheel() {
	dir=$cache/wheel$version digits=$(echo "$version" | tr -d .)
	exe=$dir/bin/python$digits
	if [ -e "$dir/ready" ]; then
		echo "$exe"
		return
	fi
	spec=$(unset RT_FETCH_LOCKED; RT_FETCH_LOCKED=1 "$0" "$library") || skip "no standard library: $library cannot be had"
	case $spec in
	chroot:*) root=$(echo "$spec" | cut -d: -f2) ;;
	*) root= ;;
	esac
	rm -rf "$dir"
	mkdir -p "$dir/wheel" "$dir/bin/lib"
	"$python" -m pip download -q --no-deps --only-binary :all: --python-version "${version%t}" --abi "cp$digits" --platform manylinux_2_17_x86_64 \
		--platform manylinux2014_x86_64 -d "$dir" "$source" >"$dir/log" 2>&1 || skip "pip download $source failed: $(tail -n 1 "$dir/log")"
	"$python" -m zipfile -e "$dir"/*.whl "$dir/wheel"
	# Where there is one with its start-up code frozen in and one without, the latter.
	program=$(find "$dir/wheel" -name "console-cpython-$digits-x86_64-linux-gnu" | sort | tail -n 1)
	[ -n "$program" ] || skip "no interpreter in $source"
	cp "$program" "$exe"
	chmod 755 "$exe"
	(cd "$root/usr/lib/python${library#debian-}" && find . -name '*.py' ! -path './test/*' ! -path './idlelib/*' -print0 | tar -cf - --null -T -) |
		tar -C "$dir/bin/lib" -xf -
	adapt "$dir/bin/lib"
	# Extension modules look for their libraries where the wheel had them, relative to themselves.
	find "$dir/wheel" -name "*.cpython-$digits-x86_64-linux-gnu.so" -exec cp {} "$dir/bin/lib" \;
	[ ! -d "$(dirname "$program")/lib" ] || cp "$(dirname "$program")"/lib/*.so* "$dir/bin/lib"
	if [ -d "$dir/wheel/freeze_core.libs" ]; then
		cp -r "$dir/wheel/freeze_core.libs" "$dir/"
		cp "$dir"/freeze_core.libs/libcrypt-* "$dir/bin/lib" 2>/dev/null || true
	fi
	startup > "$dir/bin/lib/__startup__.py"
	cp "$dir/bin/lib/__startup__.py" "$dir/bin/lib/__init__python$digits.py"
	rm -rf "$dir/wheel" "$dir"/*.whl
	"$exe" -c 'import ctypes, mmap, threading, re, json, queue, contextlib, functools' 2>"$dir/log" || skip "it does not run here: $(tail -n 3 "$dir/log")"
	chmod -R go+rX "$dir"
	touch "$dir/ready"
	echo "$exe"
}

case $name in
debian-*) debian ;;
wheel-*) wheel ;;
esac
