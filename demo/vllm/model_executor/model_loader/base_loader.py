# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The order of loading: structure, weights, what follows the weights."""

from vllm.config import take_time
from vllm.model_executor.model_loader.utils import initialize_model, process_weights_after_loading


class BaseModelLoader:

    def __init__(self, load_config):
        self.load_config = load_config

    def load_model(self, vllm_config):
        model = initialize_model(
            vllm_config=vllm_config,
        )
        take_time(vllm_config)
        self.load_weights(model, vllm_config)
        process_weights_after_loading(model, vllm_config)
        return model
