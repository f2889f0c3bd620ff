#!/bin/sh
# fetch_kernel.sh SUITE VERSION DIR: the newest cloud kernel of Debian's SUITE whose version begins with VERSION, into DIR/vmlinuz, its
# release name into DIR/version. Once it is there nothing is fetched again. Packages come from the mirror that this machine's apt uses,
# signatures checked, with lists of their own: this system stays as it is. Exit status 77 and a reason if it cannot be had.
set -eu
suite=$1 version=$2 dir=$3
[ ! -e "$dir/ready" ] || exit 0
skip() {
	echo "Linux $version of Debian $suite: $1"
	exit 77
}
command -v apt-get >/dev/null || skip "no apt-get here"
mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -E '/debian/?$' | sort -u | head -n 1)
[ -n "$mirror" ] || skip "apt knows no Debian mirror (run apt-get update)"
rm -rf "$dir"
mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$dir/debs"
dir=$(cd "$dir" && pwd)
: > "$dir/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg arch=amd64] $mirror $suite main" > "$dir/sources"
cat > "$dir/apt.conf" <<X
Dir::State "$dir"; Dir::State::status "$dir/status"; Dir::Cache "$dir";
Dir::Etc::sourcelist "$dir/sources"; Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64"; APT::Architectures "amd64"; Acquire::Languages "none"; APT::Sandbox::User "root";
X
APT_CONFIG=$dir/apt.conf
export APT_CONFIG
apt-get -qq update >"$dir/log" 2>&1 || skip "apt-get update failed: $(tail -n 1 "$dir/log")"
names=$(apt-cache pkgnames linux-)
pattern="^linux-image-$(echo "$version" | sed 's/\./\\./g')[.+-][0-9.+a-z~-]*cloud-amd64\$"
release=$(echo "$names" | grep -E "$pattern" | sort -V | tail -n 1 | sed 's/^linux-image-//')
[ -n "$release" ] || skip "the suite has no such cloud kernel"
# From 7.2 on linux-image-* only depends on the packages that hold something.
wanted=
for part in image binary base; do
	if echo "$names" | grep -qx "linux-$part-$release"; then wanted="$wanted linux-$part-$release"; fi
done
cd "$dir/debs"
# shellcheck disable=SC2086
apt-get -qq download $wanted >>"$dir/log" 2>&1 || skip "$release cannot be downloaded: $(tail -n 1 "$dir/log")"
for deb in *.deb; do
	dpkg-deb -x "$deb" root
done
vmlinuz=$(find root \( -name "vmlinuz-$release" -o -path "*/$release/vmlinuz" \) -type f | head -n 1)
[ -n "$vmlinuz" ] || skip "$release: no vmlinuz in $wanted"
cp "$vmlinuz" "$dir/vmlinuz"
echo "$release" > "$dir/version"
cd "$dir"
rm -rf debs lists archives ./*.bin
touch ready
