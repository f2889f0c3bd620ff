# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Holds the worker and hands calls on to it."""

from vllm.v1.worker.gpu_worker import Worker


class WorkerWrapperBase:

    def __init__(self):
        self.worker = None

    def init_worker(self, vllm_config):
        self.worker = Worker(vllm_config)

    def init_device(self):
        self.worker.init_device()

    def initialize_from_config(self, kv_cache_configs):
        self.worker.initialize_from_config(kv_cache_configs[0])

    def __getattr__(self, name):
        return getattr(self.worker, name)
