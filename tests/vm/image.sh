#!/bin/bash
# image.sh DIR: DIR/initramfs with the tool and what tests it: the tree's built tool, profiles and tests, this Debian's Python with pytest and
# the part of its standard library that the tests need, static test programs, busybox. One image serves all kernels: it holds no modules.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
root=$out/root
rm -rf "$root"
mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,root,etc,lib64,usr/bin,usr/lib/python3/dist-packages} "$root"/tree/{build,tests}
fail() {
	echo "image.sh: $1" >&2
	exit 1
}

# busybox, without a shell of another name: tests look at what `sh` is.
busybox=$(command -v busybox) || fail "busybox is missing: install busybox-static"
! ldd "$busybox" >/dev/null 2>&1 || fail "$busybox is not static: install busybox-static"
cp "$busybox" "$root/bin/busybox"
for name in $("$busybox" --list); do
	[ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
done
ln -s /bin/busybox "$root/usr/bin/env"

# The tree, at /tree.
cp build/ramtrack-bpf "$root/tree/build/"
cp -r profiles "$root/tree/"
cp -r tests/e2e tests/vm "$root/tree/tests/"
gcc -O2 -Wall -Wextra -Werror -static -pthread -o "$root/tree/build/faults" tests/vm/faults.c
# What the end-to-end tests compile on the spot elsewhere: there is no compiler in the guest.
mkdir -p "$root/tree/build/native"
gcc -O1 -Wall -Wextra -static -o "$root/tree/build/native/kid" tests/e2e/targets/kid.c
g++ -O2 -Wall -Wextra -shared -fPIC -pthread -static-libstdc++ -static-libgcc -o "$root/tree/build/native/libnatives.so" tests/e2e/targets/natives.cpp

# Python: what runs tests, and what the targets import.
python=$(readlink -f "${PYTHON:-/usr/bin/python3}")
version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
cp "$python" "$root/usr/bin/"
ln -s "$(basename "$python")" "$root/usr/bin/python3"
tar -C /usr/lib -cf - --exclude='config-*' --exclude='test' --exclude='idlelib' --exclude='tkinter' --exclude='turtledemo' --exclude='ensurepip' \
	--exclude='lib2to3' --exclude='pydoc_data' --exclude='*.opt-?.pyc' "$version" | tar -C "$root/usr/lib" -xf -
for module in pytest _pytest pluggy iniconfig packaging attr attrs py; do
	place=$("$python" -c "import importlib.util as u; s = u.find_spec('$module'); print((s.submodule_search_locations or [s.origin])[0] if s else '')")
	if [ -n "$place" ]; then
		cp -r "$place" "$root/usr/lib/python3/dist-packages/"
	elif [ "$module" = pytest ]; then
		fail "Python's pytest is missing: install python3-pytest"
	fi # which of the others it needs depends on its version
done

# The libraries of everything that is dynamic; ldd fails on what is not.
find "$root" -type f \( -perm /111 -o -name '*.so*' \) -print0 | { xargs -0 -n 1 ldd 2>/dev/null || true; } | grep -oE '/[^ ()]+' | sort -u |
	while read -r library; do
		case $library in "$root"*) continue ;; esac
		[ -f "$library" ] || continue
		mkdir -p "$root$(dirname "$library")"
		cp -Ln "$library" "$root$library"
	done
cp tests/vm/init "$root/init"
chmod 755 "$root/init"
# Not compressed: decompression is what costs under emulation.
(cd "$root" && find . -print0 | cpio -0 -o -H newc -R 0:0 --quiet) > "$out/initramfs.part"
mv "$out/initramfs.part" "$out/initramfs"
rm -rf "$root"
