# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The command line's entry: imports first, then the server."""

import vllm.entrypoints.openai.api_server as api_server


def main():
    return api_server.run_server()
