# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Memory that ranks share, made by C++ (demo/shm.cpp). Without its library, which `make demo` builds, the demo goes without."""

import ctypes
import os

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
LIBRARY = os.path.join(TREE, "build", "demo", "vllm", "_C.abi3.so")
_library = ctypes.CDLL(LIBRARY) if os.path.exists(LIBRARY) else None


def init_shm(identifier):
    if _library:
        _library.demo_share(identifier.encode())
