# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The API server of the demo: builds the engine client, says that it is ready, and ends."""

from vllm.config import VllmConfig, model_directory, take_time, write_checkpoint
from vllm.v1.engine.async_llm import AsyncLLM


def build_async_engine_client(vllm_config):
    return AsyncLLM.from_vllm_config(vllm_config)


def run_server():
    with model_directory() as path:
        vllm_config = VllmConfig(model_dir=path)
        write_checkpoint(vllm_config)
        engine = build_async_engine_client(vllm_config)
        print("demo: application startup complete", flush=True)
        take_time(vllm_config)
        return engine.shutdown()
