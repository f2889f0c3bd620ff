# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The plan of the KV cache: how many blocks fit."""

BLOCK_BYTES = 16 << 10


def get_kv_cache_configs(vllm_config, kv_cache_specs, available_memory):
    configs = []
    for memory in available_memory:
        num_blocks = min(memory, vllm_config.kv_cache_bytes) // BLOCK_BYTES
        configs.append({"num_blocks": num_blocks, "bytes": num_blocks * BLOCK_BYTES, "specs": kv_cache_specs})
    return configs
