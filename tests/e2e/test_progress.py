# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The line of progress, on a terminal of the test's own: what is on its screen, and what is not."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unicodedata

import pytest

from harness import PATIENCE, clean_environment, kill_hard, phase, write_profile

PROGRAM = "import time\ndef step(n):\n    x = bytearray(n << 20)\n    time.sleep(0.25)\ndef main():\n    for i in range(%d):\n        step(1 + i)\nmain()\n"
SHAPE = re.compile(r"\[\d+:\d\d\] \d+ (?:个进程, RSS|process(?:es)?,) ")


def cells(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Screen:
    """A terminal, as far as the tool uses one: what is written, CR, LF, erasing to the line's end, colours. Anything else is a mistake."""

    def __init__(self):
        self.lines, self.line, self.at, self.drawn = [], [], 0, []

    def feed(self, text):
        at = 0
        while at < len(text):
            sequence = re.compile("\x1b\\[([0-9;]*)([A-Za-z])").match(text, at)
            if sequence:
                assert sequence[2] in "Km", repr(sequence[0])
                if sequence[2] == "K":
                    self.line = self.line[: self.at]
                at = sequence.end()
                continue
            c, at = text[at], at + 1
            if c == "\r":
                if SHAPE.match("".join(self.line)):
                    self.drawn.append("".join(self.line))
                self.at = 0
            elif c == "\n":
                self.lines.append("".join(self.line))
                self.line, self.at = [], 0
            else:
                assert unicodedata.category(c) not in ("Cc", "Cf"), repr(c)
                self.line[self.at : self.at + 1] = [c]
                self.at += 1


def run(command, columns=80, env=None, stdout_too=True):
    """Runs it with standard error (and output) on a new terminal. Returns (status, what came there, what came on a pipe)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**clean_environment(), "TERM": "xterm", **(env or {})}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs if stdout_too else subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    data, end = b"", time.monotonic() + PATIENCE
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.1)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                data += os.read(ours, 65536)
            except OSError:
                break
        out = process.stdout.read().decode() if process.stdout else ""
        return process.wait(PATIENCE), data.decode(), out
    finally:
        kill_hard(process)
        os.close(ours)


@pytest.fixture
def work(directory, run_tool):
    label = {"zh": "加载很多很多的权重\u202e</script>", "en": "load weights\u202e</script>"}
    profile = write_profile(os.path.join(directory, "p.yaml"), [phase("step", "step", label=label), phase("all", "main", "program.py")])
    program = os.path.join(directory, "program.py")
    with open(program, "w") as file:
        file.write(PROGRAM % 6)

    def command(*options):
        return [run_tool.path, "-P", profile, *options, "--", "/usr/bin/python3", program]

    return command


@pytest.mark.parametrize("lang, columns", [("zh", 80), ("en", 80), ("zh", 41), ("zh", 40), ("en", 20), ("en", 3)])
def test_on_the_terminal_of_the_log(work, lang, columns):
    """Log lines stand whole on the screen, nothing of the progress is left; it was there meanwhile, and never wider than the terminal."""
    status, text, _ = run(work("--lang", lang), columns)
    screen = Screen()
    screen.feed(text)
    assert status == 0
    log = [line for line in screen.lines if "INFO: " in line]
    assert len(log) == 14 and all(line.startswith("INFO: ") and line.endswith("]" if lang == "en" else "）") for line in log), log
    assert not any(SHAPE.search(line) for line in screen.lines) and not screen.line, screen.lines
    pieces = re.findall("\r\x1b\\[K(?:\x1b\\[2m)?([^\r\n\x1b]+)(?:\x1b\\[0m)?\r", text)
    assert len(pieces) >= 5 and all(0 < cells(piece) < columns for piece in pieces), pieces
    if columns == 80:
        assert screen.drawn and all(SHAPE.match(line) for line in screen.drawn)
        label = "加载很多很多的权重" if lang == "zh" else "load weights"
        assert any(f"python3: {label}\\u{{202e}}</script>" in line for line in screen.drawn), screen.drawn
        assert any("1 个进程" in line or "1 process," in line for line in screen.drawn)
    else:
        assert any(cells(piece) >= columns - 2 for piece in pieces), pieces


def test_rss_is_the_tree_s(work):
    """The largest that was shown is near the largest there was: the last array is 6 MiB."""
    _, text, _ = run(work("--lang", "en"))
    sizes = [float(size) for size in re.findall(r"process, (\d+\.\d\d) MiB RSS", text)]
    peak = float(re.search(r"RSS 0\.\d\d -> \d+\.\d\d \([+-]\d+\.\d\d\), peak (\d+\.\d\d)", text)[1])
    assert peak - 1 <= max(sizes) <= peak, (sizes, peak)


def test_log_on_a_pipe(work):
    """There is nothing of it on the pipe, and messages begin on a line of their own."""
    status, text, out = run(work("-v"), stdout_too=False)
    assert status == 0 and "INFO: " in out and "\x1b" not in out and "\r" not in out and not SHAPE.search(out)
    screen = Screen()
    screen.feed(text)
    assert screen.drawn and screen.lines, text
    assert all(line.startswith("ramtrack-bpf: ") for line in screen.lines) and not screen.line, screen.lines


@pytest.mark.parametrize("options, env", [(["-q"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": ""})])
def test_not_wanted(work, options, env):
    status, text, _ = run(work(*options), env=env)
    assert status == 0 and not SHAPE.search(text) and "\x1b[K" not in text and "INFO: " in text


@pytest.mark.parametrize("options, env", [(["--color", "never"], {}), ([], {"NO_COLOR": "1"})])
def test_without_colour(work, options, env):
    status, text, _ = run(work(*options), env=env)
    assert status == 0 and SHAPE.search(text) and not re.search("\x1b\\[[0-9;]*m", text)


def test_standard_error_is_no_terminal(work):
    done = subprocess.run(work(), capture_output=True, text=True, env={**clean_environment(), "TERM": "xterm"}, timeout=PATIENCE)
    assert done.returncode == 0 and done.stderr == "" and not SHAPE.search(done.stdout) and "\x1b" not in done.stdout
