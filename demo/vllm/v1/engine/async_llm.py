# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The engine client in the API server's process."""

from vllm.v1.engine.utils import CoreEngineProcManager


class AsyncLLM:

    def __init__(self, vllm_config, executor_class=None):
        self.vllm_config = vllm_config
        self.tokenizer = self._init_tokenizer()
        self.engine_core = CoreEngineProcManager(vllm_config)
        self.engine_core.wait_for_engine_startup()

    @classmethod
    def from_vllm_config(cls, vllm_config):
        return cls(vllm_config)

    def _init_tokenizer(self):
        """A vocabulary, as a tokenizer keeps one."""
        return {f"token_{number}": number for number in range(60000)}

    def shutdown(self):
        return self.engine_core.shutdown()
