# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The workspace manager: a scratch area that lives as long as the worker."""

import torch

_manager = None


class WorkspaceManager:

    def __init__(self, device, num_ubatches):
        self.workspaces = [torch.zeros(2 << 20, dtype=torch.int8, device=device) for _ in range(num_ubatches)]


def init_workspace_manager(device, num_ubatches):
    global _manager
    _manager = WorkspaceManager(device, num_ubatches)
