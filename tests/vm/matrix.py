#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""matrix.py [KERNEL...] [-- COMMAND]: boots each kernel of the matrix in an emulated machine and runs guest.py there.
With COMMAND, for looking around: runs that in the guest's shell instead, in a copy of the tree, and shows what it says.

Prints what failed and what was skipped, a line a kernel and at the end "N passed, N failed, N skipped"; leaves the
counts in build/results/vm-KERNEL and what was measured in build/vm/KERNEL.json. Exit status 1 if anything failed."""

import base64
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TREE, "build", "vm")
RESULTS = os.path.join(TREE, "build", "results")
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ramtrack-bpf", "kernels")

KERNELS = {  # version: Debian suite that has it
    "5.10": "bullseye",
    "6.1": "bookworm",
    "6.12": "trixie",
    "6.18": "trixie-backports",
    "7.2": "sid",
    "7.3": "trixie-backports",
}
AT_ONCE = 2  # machines of 2 CPUs, emulated by one host thread each
LIMIT = 1500  # seconds for one boot; a quiet machine of two cores needs 200 to 550
DEATHS = 2  # runs repeated because the emulated kernel died in the middle
DIED = "it died"
BOOTS = 4  # emulated boots die now and then before the guest's first process; only such boots are repeated
QEMU = "qemu-system-x86_64"
BEGIN, END = "GUEST-BEGINS", "GUEST-ENDS"


def check(name, outcome, detail=""):
    return {"kind": "check", "name": name, "outcome": outcome, "detail": detail}


def tail(path, size=2000):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")[-size:]
    except OSError:
        return ""


def hangs_in_patching(console):
    """Has one CPU waited for half a minute for the other one to take notice of patched code? A tracepoint or a trampoline goes on or off, and emulation runs on in what
    it had translated before. Any other lock-up is the kernel's, or ours."""
    said = tail(console, 20000)
    return "soft lockup" in said and "text_poke_bp_batch" in said


def boot(kernel, image, folder, guest_command=None):
    """One boot: (what the guest said, why it ended early or None)."""
    console, out = os.path.join(folder, "console"), os.path.join(folder, "out")
    # A matrix that is killed takes its machines along. The two CPUs are emulated by one thread, in turn: with a thread each, one runs on in what was translated of
    # code that the other one has just patched (tracepoints and trampolines go on and off all the time here), and dies or hangs of it.
    command = ["setpriv", "--pdeathsig", "KILL", QEMU, "-accel", "tcg,thread=single", "-cpu", "max", "-m", "1536M", "-smp", "2", "-nodefaults", "-no-user-config"]
    command += ["-display", "none", "-no-reboot", "-nic", "none", "-kernel", kernel, "-initrd", image]
    command += ["-serial", f"file:{console}", "-serial", f"file:{out}"]
    append = "console=ttyS0 rdinit=/init panic=-1 loglevel=5 mitigations=off"
    if guest_command:
        append += " rt_command=" + base64.b64encode(guest_command.encode()).decode()
    command += ["-append", append]
    for path in (console, out):
        open(path, "w").close()
    with open(os.path.join(folder, "qemu.log"), "w") as log:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    end, status, hung = time.monotonic() + LIMIT, None, False
    while status is None and not hung and time.monotonic() < end:
        try:
            status = machine.wait(5)
        except subprocess.TimeoutExpired:
            hung = hangs_in_patching(console)
    if status is None:
        machine.kill()
        machine.wait()
    with open(out, "rb") as file:
        text = file.read().decode(errors="replace").replace("\r", "")
    if f"{END} 0" in text:
        return text, None
    if hung:
        why = f"{DIED}: it hangs where it patches its own code"
    else:
        why = "it did not end within %d s" % LIMIT if status is None else "the guest's run failed" if END in text else DIED
    return text, f"{why}; {console} ends with:\n{tail(console)}\n{out} ends with:\n{text[-2000:]}"


def results_of(text):
    found = []
    for line in text.splitlines():
        if line.startswith("RESULT "):
            try:
                found.append(json.loads(line[len("RESULT ") :]))
            except ValueError:
                found.append(check("the guest's results can be read", "failed", line))
    return found


def boot_till_begin(version, image, guest_command=None):
    """boot(), repeated while the guest does not even begin."""
    folder = os.path.join(BUILD, version)
    os.makedirs(folder, exist_ok=True)
    for number in range(BOOTS):
        text, early = boot(os.path.join(CACHE, version, "vmlinuz"), image, folder, guest_command)
        if BEGIN in text:
            break
        print(f"{version}: boot {number + 1} of {BOOTS} died before the guest began", flush=True)
    return text, early


def fetch(version):
    """None if the kernel is there, else the result that says why not."""
    fetched = subprocess.run(
        [os.path.join(HERE, "fetch_kernel.sh"), KERNELS[version], version, os.path.join(CACHE, version)],
        capture_output=True,
        text=True,
    )
    if fetched.returncode == 77:
        return check("boot", "skipped", fetched.stdout.strip())
    if fetched.returncode:
        return check("boot", "failed", f"fetch_kernel.sh: exit status {fetched.returncode}: {fetched.stderr.strip()}")
    return None


def run_kernel(version, image):
    """The results of one kernel."""
    missing = fetch(version)
    if missing:
        return [missing]
    text, early = boot_till_begin(version, image)
    for _ in range(DEATHS):
        if not early or not early.startswith(DIED):
            break
        # Emulation runs into code that the kernel is just patching (a tracepoint going on or off): the machine's fault, no result.
        print(f"{version}: the emulated kernel died in the middle, all over again: {early.splitlines()[0][:200]}", flush=True)
        text, early = boot_till_begin(version, image)
    results = results_of(text)
    if early:
        results.append(check("the guest's run ends", "failed", early))
    elif not any(one["kind"] == "check" for one in results):
        results.append(check("the guest says results", "failed", text[-2000:]))
    return results


def report(version, results, seconds):
    """Says it, writes it down, and gives back the counts (passed, failed, skipped)."""
    checks = [one for one in results if one["kind"] == "check"]
    counts = [sum(one["outcome"] == outcome for one in checks) for outcome in ("passed", "failed", "skipped")]
    for one in checks:
        if one["outcome"] != "passed":
            print(f"{version}: {one['outcome']}: {one['name']}: {one['detail']}")
    release = next((one["release"] for one in results if one["kind"] == "kernel"), "not booted")
    print(f"Linux {version} ({release}): {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped in {seconds:.0f} s")
    sys.stdout.flush()
    with open(os.path.join(RESULTS, f"vm-{version}"), "w") as file:
        print(*counts, file=file)
    with open(os.path.join(BUILD, f"{version}.json"), "w") as file:
        json.dump({"version": version, "results": results, "seconds": seconds}, file, indent=1)
    return counts


def one_kernel(version, image):
    start = time.monotonic()
    return version, run_kernel(version, image), time.monotonic() - start


def look_around(versions, image, guest_command):
    for version in versions:
        missing = fetch(version)
        text, early = (missing["detail"], None) if missing else boot_till_begin(version, image, guest_command)
        print(text if END in text else f"{text}{early}")
    return 0


def main():
    wanted, _, guest_command = (" ".join(sys.argv[1:]) + " ").partition("-- ")
    wanted = wanted.split() or list(KERNELS)
    unknown = [version for version in wanted if version not in KERNELS]
    if unknown:
        print(f"matrix.py: no such kernel: {' '.join(unknown)}; there are {' '.join(KERNELS)}", file=sys.stderr)
        return 2
    os.makedirs(BUILD, exist_ok=True)
    os.makedirs(RESULTS, exist_ok=True)
    counts = []
    if not shutil.which(QEMU):
        for version in wanted:
            counts.append(report(version, [check("boot", "skipped", f"{QEMU} is not installed")], 0))
    else:
        subprocess.run([os.path.join(HERE, "image.sh"), BUILD], check=True)
        image = os.path.join(BUILD, "initramfs")
        if guest_command:
            return look_around(wanted, image, guest_command)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            runs = [pool.submit(one_kernel, version, image) for version in wanted]
            counts = [report(*run.result()) for run in concurrent.futures.as_completed(runs)]
    passed, failed, skipped = (sum(column) for column in zip(*counts))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
