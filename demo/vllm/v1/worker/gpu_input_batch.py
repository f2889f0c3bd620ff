# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The input batch: host buffers of max_num_reqs x max_model_len."""

import torch

from vllm.config import MIB


class InputBatch:

    def __init__(self, max_num_reqs, max_model_len, device, pin_memory):
        self.max_num_reqs = max_num_reqs
        self.max_model_len = max_model_len
        self.device = device
        self.pin_memory = pin_memory

        self.token_ids_cpu_tensor = torch.zeros(
            (max_num_reqs, max_model_len),
            device="cpu",
            dtype=torch.int32,
            pin_memory=False,
        )
        self.token_ids_cpu = self.token_ids_cpu_tensor.numpy()
        self.is_token_ids_tensor = torch.zeros(
            (max_num_reqs, max_model_len),
            device="cpu",
            dtype=torch.bool_,
            pin_memory=False,
        )
        self.is_token_ids = self.is_token_ids_tensor.numpy()
        self.num_computed_tokens_cpu_tensor = torch.zeros(
            (max_num_reqs,),
            device="cpu",
            dtype=torch.int32,
            pin_memory=pin_memory,
        )
        self.num_computed_tokens_cpu = self.num_computed_tokens_cpu_tensor.numpy()
        self.block_table = torch.zeros(2 * MIB, dtype=torch.int8)
