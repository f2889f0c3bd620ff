# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A start-up of about five seconds with the shape of vLLM's, for a first run of ramtrack-bpf and for its tests.

This is a stand-in. It serves no model and contains nothing of vLLM: it has vLLM's process tree (API server,
EngineCore, Worker), the names of its files, classes and functions and the wording of the statements that a phase
profile looks for, so that the profile written for vLLM matches it unchanged. Memory is real, only smaller: tens of
MiB are filled, half of them by a helper thread, released, filled again; a file is mapped and unmapped. It needs
Python 3.8 or newer and nothing else, and ends by itself with status 0.

    ramtrack-bpf -- python3 demo/start.py
"""

import sys

from vllm.entrypoints.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
