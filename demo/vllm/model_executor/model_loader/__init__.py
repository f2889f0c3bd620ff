# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader


def get_model_loader(load_config):
    return DefaultModelLoader(load_config)
