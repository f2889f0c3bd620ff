#!/bin/sh
# All comparisons, side by side in one run: see pairs.py.
cd "$(dirname "$0")/.." && exec python3 bench/pairs.py "$@"
