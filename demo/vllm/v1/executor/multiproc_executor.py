# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The executor starts a worker process and talks to it through a pipe, a call at a time."""

import multiprocessing

from vllm.process_title import set_process_title
from vllm.v1.worker.worker_base import WorkerWrapperBase


class Executor:

    def __init__(self, vllm_config):
        self.vllm_config = vllm_config
        self._init_executor()

    def get_kv_cache_specs(self):
        return self.collective_rpc("get_kv_cache_spec")

    def determine_available_memory(self):
        return self.collective_rpc("determine_available_memory")

    def initialize_from_config(self, kv_cache_configs):
        self.collective_rpc("initialize_from_config", kv_cache_configs)

    def compile_or_warm_up_model(self):
        self.collective_rpc("compile_or_warm_up_model")


class MultiprocExecutor(Executor):

    def _init_executor(self):
        self.connection, self.process = WorkerProc.make_worker_process(self.vllm_config)
        WorkerProc.wait_for_ready(self.connection)

    def collective_rpc(self, method, *args):
        self.connection.send((method, args))
        return [self.connection.recv()]

    def shutdown(self):
        self.connection.send(None)
        self.process.join()


class WorkerProc:

    def __init__(self, vllm_config, connection):
        self.connection = connection
        wrapper = WorkerWrapperBase()
        wrapper.init_worker(vllm_config)
        self.worker = wrapper
        set_process_title("Worker")
        self.worker.init_device()
        self.worker.load_model()

    @staticmethod
    def make_worker_process(vllm_config):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=WorkerProc.worker_main, name="VllmWorker-0", args=(vllm_config, theirs))
        process.start()
        theirs.close()
        return ours, process

    @staticmethod
    def wait_for_ready(connection):
        message = connection.recv()
        if message != "READY":
            raise RuntimeError(f"the worker said {message!r} instead of READY")

    @staticmethod
    def worker_main(vllm_config, connection):
        worker = WorkerProc(vllm_config, connection)
        connection.send("READY")
        worker.worker_busy_loop()

    def worker_busy_loop(self):
        while True:
            call = self.connection.recv()
            if call is None:
                return
            method, args = call
            self.connection.send(getattr(self.worker, method)(*args))
