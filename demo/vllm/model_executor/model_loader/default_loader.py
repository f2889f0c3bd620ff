# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Loads weights from the files of the checkpoint."""

from vllm.config import take_time
from vllm.model_executor.model_loader.base_loader import BaseModelLoader
from vllm.model_executor.model_loader.weight_utils import safetensors_weights_iterator


class DefaultModelLoader(BaseModelLoader):

    def get_all_weights(self, vllm_config):
        yield from safetensors_weights_iterator(vllm_config.shards)

    def load_weights(self, model, vllm_config):
        for name, view in self.get_all_weights(vllm_config):
            model.load_parameter(name, view)
            view.release()
            take_time(vllm_config)
