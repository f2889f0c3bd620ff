# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A memory cgroup with a limit, of either version, wherever this machine has one."""

import contextlib
import os
import subprocess
import tempfile


class Missing(Exception):
    """Why there can be none."""


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


def _read(path):
    with open(path) as file:
        return file.read()


def _mounted():
    """(version, where) of what is mounted: version 1's memory controller first, as there it cannot be had by version 2."""
    mounts = [line.split() for line in _read("/proc/mounts").splitlines()]
    found = [(1, at) for _, at, kind, options, *_ in mounts if kind == "cgroup" and "memory" in options.split(",")]
    found += [(2, at) for _, at, kind, *_ in mounts if kind == "cgroup2" and "memory" in _read(f"{at}/cgroup.controllers").split()]
    return found[0] if found else None


@contextlib.contextmanager
def _place():
    """Where groups can be made; version 2 is mounted for the time where nothing is."""
    found = _mounted()
    if found:
        yield found
        return
    at = tempfile.mkdtemp(prefix="ramtrack-cgroup-")
    try:
        done = subprocess.run(["mount", "-t", "cgroup2", "none", at], capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"no memory cgroups are mounted, and mounting them fails: {done.stderr.strip()}")
        try:
            if "memory" not in _read(f"{at}/cgroup.controllers").split():
                raise Missing("this kernel's cgroups have no memory controller")
            yield 2, at
        finally:
            subprocess.run(["umount", at])
    finally:
        os.rmdir(at)


def _make(version, at):
    if version == 1:
        own = next((line.split(":", 2)[2] for line in _read("/proc/self/cgroup").splitlines() if "memory" in line.split(":")[1].split(",")), "/")
        at = next(place for place in (at + own, at) if os.path.isdir(place))
    elif "memory" not in _read(f"{at}/cgroup.subtree_control").split():
        _write(f"{at}/cgroup.subtree_control", "+memory")
    return tempfile.mkdtemp(prefix="ramtrack-", dir=at)


@contextlib.contextmanager
def limited(size):
    """The path of a group with at most `size` bytes and no swap: whoever writes its number to cgroup.procs there is in it. Raises Missing."""
    with _place() as (version, at):
        try:
            group = _make(version, at)
        except OSError as error:
            raise Missing(f"no memory cgroup can be made: {error}") from None
        try:
            _write(os.path.join(group, "memory.max" if version == 2 else "memory.limit_in_bytes"), str(size))
            with contextlib.suppress(OSError):  # where swap is not counted there is none to have
                _write(os.path.join(group, "memory.swap.max"), "0") if version == 2 else _write(os.path.join(group, "memory.memsw.limit_in_bytes"), str(size))
            yield group
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(group)
