# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""EngineCore: makes the executor (which starts the worker), asks it for its memory, makes the scheduler."""

from vllm.config import take_time
from vllm.process_title import set_process_title
from vllm.v1.core.kv_cache_utils import get_kv_cache_configs
from vllm.v1.core.sched.scheduler import Scheduler as DefaultScheduler
from vllm.v1.core.sched.scheduler import SchedulerInterface
from vllm.v1.executor.multiproc_executor import MultiprocExecutor


class EngineCore:

    def __init__(self, vllm_config, executor_class, log_stats=False):
        self.vllm_config = vllm_config
        self.log_stats = log_stats

        # Setup Model.
        self.model_executor = executor_class(vllm_config)

        # Setup KV Caches and update CacheConfig after profiling.
        kv_cache_config = self._initialize_kv_caches(vllm_config)

        # Setup scheduler.
        Scheduler = self._get_scheduler_cls()
        self.scheduler: SchedulerInterface = Scheduler(
            vllm_config=vllm_config,
            kv_cache_config=kv_cache_config,
            log_stats=self.log_stats,
        )

    def _get_scheduler_cls(self):
        return DefaultScheduler

    def _initialize_kv_caches(self, vllm_config):
        # Get all kv cache needed by the model
        kv_cache_specs = self.model_executor.get_kv_cache_specs()

        # Profiles the peak memory usage of the model.
        available_gpu_memory = self.model_executor.determine_available_memory()

        kv_cache_configs = get_kv_cache_configs(
            vllm_config,
            kv_cache_specs,
            available_gpu_memory,
        )

        # Initialize kv cache and warmup the execution
        self.model_executor.initialize_from_config(kv_cache_configs)
        self.model_executor.compile_or_warm_up_model()
        return kv_cache_configs[0]

    def shutdown(self):
        self.model_executor.shutdown()


class EngineCoreProc(EngineCore):

    @staticmethod
    def run_engine_core(vllm_config, connection):
        set_process_title("EngineCore")
        engine_core = EngineCoreProc(vllm_config, MultiprocExecutor)
        connection.send("READY")
        engine_core.run_busy_loop(connection)

    def run_busy_loop(self, connection):
        connection.recv()
        take_time(self.vllm_config)
        self.shutdown()
