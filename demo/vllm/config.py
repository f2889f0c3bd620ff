# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Sizes of the demo's start-up, and a file that plays the checkpoint."""

import os
import tempfile
import time
from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass
class VllmConfig:
    model_dir: str
    max_num_reqs: int = 256
    max_model_len: int = 32768  # 32 MiB of token ids, 8 MiB of flags
    shard_bytes: int = 24 * MIB
    kv_cache_bytes: int = 64 * MIB
    pace: float = 0.3  # seconds of the waits which make the order of things visible
    shards: list = field(default_factory=list)


def write_checkpoint(config):
    """Two files in the place of a model's weights."""
    block = bytes(range(1, 256)) * 1028 + b"\1\2\3\4"
    for number in (1, 2):
        path = os.path.join(config.model_dir, f"model-{number:05}-of-00002.safetensors")
        with open(path, "wb") as file:
            written = 0
            while written < config.shard_bytes:
                written += file.write(block[: config.shard_bytes - written])
        config.shards.append(path)


def model_directory():
    return tempfile.TemporaryDirectory(prefix="ramtrack-demo-")


def take_time(config):
    time.sleep(config.pace)
