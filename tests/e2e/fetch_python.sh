#!/bin/sh
# fetch_python.sh SUITE X.Y DIR: the CPython X.Y of a Debian suite in DIR/root, to be run by chroot; this system stays as it is. Once it is there nothing is
# fetched again. Packages come from the mirror that this machine's apt uses, signatures checked. Exit status 77 and a reason if it cannot be had.
set -eu
suite=$1 version=$2 dir=$3
[ ! -e "$dir/ready-2" ] || exit 0
skip() {
	echo "CPython $version of Debian $suite: $1" >&2
	exit 77
}
command -v apt-get >/dev/null || skip "no apt-get here"
mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -E '/debian/?$' | sort -u | head -n 1)
[ -n "$mirror" ] || skip "apt knows no Debian mirror (run apt-get update)"
rm -rf "$dir"
mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$dir/debs" "$dir/root/tmp" "$dir/root/proc" "$dir/root/dev"
dir=$(cd "$dir" && pwd)
: > "$dir/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$dir/sources"
cat > "$dir/apt.conf" <<X
Dir::State "$dir"; Dir::State::status "$dir/status"; Dir::Cache "$dir";
Dir::Etc::sourcelist "$dir/sources"; Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none"; APT::Sandbox::User "root";
X
APT_CONFIG=$dir/apt.conf
export APT_CONFIG
apt-get -qq update >"$dir/log" 2>&1 || skip "apt-get update failed: $(tail -n 1 "$dir/log")"
cd "$dir/debs"
apt-get -qq download "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib" libc6 libexpat1 zlib1g libgcc-s1 \
	>>"$dir/log" 2>&1 || skip "its packages cannot be downloaded: $(tail -n 1 "$dir/log")"
# What only some releases are linked with, and the headers, for tests/unit/check_pyoff.py.
for extra in libcrypt1 libffi7 libffi8 libzstd1 "libpython$version-dev"; do
	apt-get -qq download "$extra" >>"$dir/log" 2>&1 || true
done
for deb in *.deb; do
	dpkg-deb -x "$deb" "$dir/root"
done
rm -f "$dir"/root/usr/lib/*/libpython*.a "$dir"/root/usr/lib/python*/config-*/libpython*.a
for link in lib lib64; do
	[ -e "$dir/root/$link" ] || ln -s "usr/$link" "$dir/root/$link"
done
rm -rf "$dir/debs"
chroot "$dir/root" "/usr/bin/python$version" -c 'import ctypes, mmap, threading' || skip "it does not run here"
touch "$dir/ready-2"
