# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""How much the verifier follows before anything is traced: a function that is checked again on each path to it makes
loading take seconds, and nothing else shows it. Instructions are counted, not time."""

import re

FOLLOWED_PER_PROGRAM = 25000  # 13,000 on Linux 6.18; 49,000 while taking a counter's change was checked on each path


def test_what_the_verifier_follows(run_tool):
    done = run_tool("-v", "-o", "/dev/null", "--", "/bin/true")
    said = re.search(r"BPF programs: (\d+) loaded; the verifier followed (\d+) instructions", done.stderr)
    assert done.returncode == 0 and said, done.stderr
    programs, followed = map(int, said.groups())
    assert programs > 10, "the tool's own programs are not all there"
    assert 0 < followed < FOLLOWED_PER_PROGRAM * programs
