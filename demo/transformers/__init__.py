# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A stand-in: importing it costs some memory, as importing the real package does."""

_lazy_modules = {f"models.family_{number}": [f"Class{number}_{index}" for index in range(20)] for number in range(1500)}
