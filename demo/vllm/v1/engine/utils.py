# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Starts the EngineCore process and waits for it."""

import multiprocessing

from vllm.v1.engine.core import EngineCoreProc


class CoreEngineProcManager:

    def __init__(self, vllm_config):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=EngineCoreProc.run_engine_core, name="EngineCore", args=(vllm_config, theirs)
        )
        self.process.start()
        theirs.close()

    def wait_for_engine_startup(self):
        message = self.connection.recv()
        if message != "READY":
            raise RuntimeError(f"EngineCore said {message!r} instead of READY")

    def shutdown(self):
        self.connection.send("SHUTDOWN")
        self.process.join()
        return self.process.exitcode
