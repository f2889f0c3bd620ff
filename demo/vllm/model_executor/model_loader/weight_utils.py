# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Reads the checkpoint: each shard is mapped while its weights are handed out, then unmapped."""

import mmap

PARAMETER_BYTES = 6 << 20


def safetensors_weights_iterator(hf_weights_files):
    for path in hf_weights_files:
        with open(path, "rb") as file, mmap.mmap(
            file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE
        ) as mapping:
            whole = memoryview(mapping)
            for start in range(0, len(whole), PARAMETER_BYTES):
                yield f"{path}:{start}", whole[start : start + PARAMETER_BYTES]
            whole.release()
