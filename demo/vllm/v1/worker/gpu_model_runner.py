# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The model runner: input batch, model, KV cache."""

import torch

from vllm.config import MIB, take_time
from vllm.model_executor.model_loader import get_model_loader
from vllm.v1.worker.gpu_input_batch import InputBatch


class GPUModelRunner:

    def __init__(self, vllm_config, device):
        self.vllm_config = vllm_config
        self.device = device
        self.model = None
        self.kv_caches = None
        take_time(vllm_config)
        self.input_batch = InputBatch(
            max_num_reqs=vllm_config.max_num_reqs,
            max_model_len=vllm_config.max_model_len,
            device=device,
            pin_memory=False,
        )

    def load_model(self):
        model_loader = get_model_loader(self.vllm_config)
        self.model = model_loader.load_model(
            vllm_config=self.vllm_config,
        )

    def profile_run(self):
        """A dummy run: what it takes it gives back."""
        activations = torch.zeros(12 * MIB, dtype=torch.int8)
        take_time(self.vllm_config)
        activations.free()

    def initialize_kv_cache(self, kv_cache_config):
        kv_caches = self.initialize_kv_cache_tensors(kv_cache_config)
        self.kv_caches = kv_caches

    def initialize_kv_cache_tensors(self, kv_cache_config):
        tensor = torch.zeros(
            kv_cache_config["bytes"],
            dtype=torch.int8,
            device=self.device,
        )
        return {"layers.0": tensor}

    def capture_model(self):
        self.profile_run()
        self.model.warm_cache = torch.zeros(6 * MIB, dtype=torch.int8)
        take_time(self.vllm_config)
