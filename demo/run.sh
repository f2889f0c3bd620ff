#!/bin/sh
# The tracer on a small start-up with vLLM's shape (demo/start.py: no vLLM, no GPU, standard library only).
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "demo: tracing needs root: run it as: sudo make demo" >&2
	exit 4
fi
echo "demo: build/ramtrack-bpf -z 64K -- python3 demo/start.py"
exec build/ramtrack-bpf -z 64K -- "${PYTHON:-/usr/bin/python3}" demo/start.py
