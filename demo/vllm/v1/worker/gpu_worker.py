# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The worker: device, model, KV cache, warm-up, each when it is told."""

import os

from vllm.config import take_time
from vllm.distributed.cpu_communicator import init_shm
from vllm.v1.worker.gpu_model_runner import GPUModelRunner as GPUModelRunnerV1
from vllm.v1.worker.workspace import init_workspace_manager


class Worker:

    def __init__(self, vllm_config):
        self.vllm_config = vllm_config
        self.device = "cpu"
        self.model_runner = None

    def init_device(self):
        self.init_worker_distributed_environment()

        # Initialize workspace manager
        num_ubatches = 1
        init_workspace_manager(self.device, num_ubatches)

        # Construct the model runner
        self.model_runner = GPUModelRunnerV1(self.vllm_config, self.device)

    def init_worker_distributed_environment(self):
        take_time(self.vllm_config)  # a library's functions are watched some milliseconds after it was loaded
        init_shm(f"ramtrack-demo-{os.getpid()}")

    def load_model(self):
        self.model_runner.load_model()

    def get_kv_cache_spec(self):
        return {"layers.0": "full attention"}

    def determine_available_memory(self):
        self.model_runner.profile_run()
        return self.vllm_config.kv_cache_bytes

    def initialize_from_config(self, kv_cache_config):
        self.model_runner.initialize_kv_cache(kv_cache_config)

    def compile_or_warm_up_model(self):
        self.model_runner.capture_model()
