# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A stand-in with vLLM's shape; see start.py."""

import json  # noqa: F401  the imports of the real package are many; these are a few of the standard library's
import logging  # noqa: F401
import multiprocessing  # noqa: F401

import torch  # noqa: F401
import transformers  # noqa: F401

_registered_models = {f"Architecture{number}": (f"vllm.models.m{number}", bytes(300)) for number in range(4000)}
