# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What a process holds when it is attached to, by mapping and kind: against what the target made and the kernel's own
lists."""

import re

from harness import PAGE, trace


def kernels_rows(pid):
    """Sizes by name and kind of the kernel's list, added up here by other means than the tool's."""
    with open(f"/proc/{pid}/smaps", errors="surrogateescape") as file:
        text = file.read()
    rows, name = {}, ""
    for line in text.split("\n"):
        head = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$", line)
        if head:
            name = head.group(1)
        elif line.startswith("Rss:"):
            rss = int(line.split()[1]) * 1024
        elif line.startswith("Anonymous:"):
            anon = int(line.split()[1]) * 1024
            key = "[anon]" if not name or name.startswith("[anon:") else name
            rows[key, "anon"] = rows.get((key, "anon"), 0) + anon
            rows[key, "other"] = rows.get((key, "other"), 0) + rss - anon
    return {key: size for key, size in rows.items() if size}


def test_what_was_held(tool, python):
    kernel = {}

    def look(name, pid):
        if name == "held":
            kernel.update(kernels_rows(pid))

    said = trace(tool, python, "holder.py", mode="attach", on_stop=look)
    entry, made = said.summary_of(said.pid), said.truth["facts"]["pages"]
    opening = entry["opening"]
    assert sum(row["bytes"] for row in opening) == entry["rss_start_bytes"], "it does not add up to the baseline"
    held = {(row["name"], row["kind"]): row["bytes"] for row in opening}
    assert len(held) == len(opening) <= 20 + 6, opening
    weights = next(name for name, _ in held if name.endswith("/weights.bin"))
    memfd = next(name for name, _ in held if name.startswith("/memfd:held"))
    # By its path in the tool's own root, and by its file system known as tmpfs, wherever it is mounted.
    shm = next(name for name, _ in held if name.endswith(said.truth["facts"]["shm"]))
    for name, kind, pages in (
        (weights, "file", made["file"] - made["copied"]),
        (weights, "anon", made["copied"]),
        (shm, "shmem", made["shm"]),
        (memfd, "shmem", made["memfd"]),
        ("/dev/zero (deleted)", "shmem", made["shared"]),
    ):
        got = held.get((name, kind), 0) / PAGE
        assert abs(got - pages) <= 2, f"{name} {kind}: {got} pages, {pages} were made\n{opening}"
    for name in ("[heap]", "[anon]", "[stack]"):
        ours, theirs = held[name, "anon"], kernel[name, "anon"]
        assert abs(ours - theirs) <= 2 * PAGE, f"{name}: {ours // PAGE} pages, the kernel says {theirs // PAGE}"
    changed = [row for row in opening if row["name"] == "<changed while reading>"]
    assert not changed, f"the target stood still: {changed}"


def test_nothing_was_held_by_one_that_is_started(tool, python):
    said = trace(tool, python, "holder.py", mode="launch")
    assert all(entry["opening"] == [] for entry in said.summary["processes"])
