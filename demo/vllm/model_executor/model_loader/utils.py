# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The model's structure, and what is done to it when its weights are there."""

import torch


class Model:

    def __init__(self, vllm_config):
        self.vllm_config = vllm_config
        self.parameters = {}
        self.layers = {f"layers.{number}.{part}": bytes(700) for number in range(900) for part in ("attn", "mlp")}
        self.warm_cache = None

    def load_parameter(self, name, view):
        """Keeps half of the bytes, as a rank of two would."""
        kept = len(view) // 2
        tensor = torch.empty(kept, dtype=torch.int8)
        tensor.memory[:kept] = view[:kept]
        view[-1:].tobytes()
        for offset in range(kept, len(view), 4096):
            view[offset]
        self.parameters[name] = tensor


def initialize_model(vllm_config):
    return Model(vllm_config)


def process_weights_after_loading(model, vllm_config):
    """Repacks each parameter: a new one is made, the old one given back."""
    for name, old in list(model.parameters.items()):
        packed = torch.empty(old.nbytes, dtype=torch.int8)
        packed.memory[: old.nbytes] = old.memory[: old.nbytes]
        old.free()
        model.parameters[name] = packed
