# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The scheduler: its pool has an object for each block of the KV cache."""


class SchedulerInterface:
    pass


class KVCacheBlock:

    def __init__(self, block_id):
        self.block_id = block_id
        self.ref_count = 0
        self.block_hash = None


class Scheduler(SchedulerInterface):

    def __init__(self, vllm_config, kv_cache_config, log_stats):
        self.blocks = [KVCacheBlock(number) for number in range(kv_cache_config["num_blocks"] * 4)]
        self.waiting = []
