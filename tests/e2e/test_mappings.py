# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What the pages belong to: each mapping's, touched and given back, within 2 pages of what the target made of it."""

import pytest

from harness import PAGE, phase, trace

FILE = "mapped.py"
NAMES = "file_shared file_copied file_populated heap stack shm memfd shared_anon private_anon populated_anon helper_anon read_into".split()
KINDS = {
    "file_shared": "file",
    "file_copied": "file",
    "file_populated": "file",
    "heap": "heap",
    "stack": "stack",
    "shm": "shmem",
    "memfd": "shmem",
    "shared_anon": "shmem",
    "private_anon": "anon",
    "populated_anon": "anon",
    "helper_anon": "shmem",
    "read_into": "shmem",
}
PHASES = [phase(f"{what}_{name}", f"{what}_{name}", FILE) for what in ("touch", "give") for name in NAMES]
PHASES += [phase("everything", "everything", FILE), phase("one_by_one", "one_by_one", FILE), phase("kept", "kept", FILE)]


def charged(record):
    return record["gained_bytes"] - record["released_bytes"]


def check_every_sum(said):
    """The mappings of a phase are its net charge, to the byte; the summary's phases too."""
    phases = said.of("phase") + [entry for proc in said.summary["processes"] for entry in proc["phases"]]
    assert phases
    for record in phases:
        assert sum(mapping["bytes"] for mapping in record["mappings"]) == charged(record), record
        assert len(record["mappings"]) <= 21, record
        for mapping in record["mappings"]:
            kinds = mapping["anon_bytes"] + mapping["file_bytes"] + mapping["shmem_bytes"]
            assert mapping["bytes"] == kinds, record


def pages_of(record, name, kind):
    """Pages of a mapping in a phase's record, and of which kind they are."""
    found = [entry for entry in record["mappings"] if entry["name"] == name]
    assert len(found) <= 1, f"{name} twice in {record}"
    if not found:
        return 0, 0
    assert found[0]["kind"] == kind, found
    return found[0]["bytes"] // PAGE, found[0]["anon_bytes"] // PAGE


def only(said, pid, name):
    records = said.of("phase", pid=pid, phase=name)
    assert len(records) == 1, f"{name} of {pid}: {len(records)} records: {records}"
    return records[0]


def kind_of(region, path):
    """Files of a tmpfs (an emulated machine's root is one) are shared memory."""
    if KINDS[region] != "file" or not path.startswith("/"):
        return KINDS[region]
    with open("/proc/mounts") as file:
        mounts = [line.split()[1:3] for line in file]
    above = [one for one in mounts if path.startswith(one[0].rstrip("/") + "/")]
    longest = max(len(point) for point, _ in above)
    return "shmem" if [kind for point, kind in above if len(point) == longest][-1] in ("tmpfs", "rootfs") else "file"


def check_one(said, pid, name, mapping, pages, tolerance=2):
    record = only(said, pid, name)
    region = name.split("_", 1)[1]
    found, anon = pages_of(record, mapping, kind_of(region, mapping))
    assert abs(found - pages) <= tolerance, f"{name}: {found} pages of {mapping}, meant {pages}: {record['mappings']}"
    private = pages if KINDS[region] in ("anon", "heap", "stack") or region == "file_copied" else 0
    assert abs(anon - private) <= tolerance, f"{name}: {anon} anonymous pages of {mapping}, meant {private}"


def seen_from_here(python, names):
    """A path is told as the mount namespace's root sees it, not as a chroot does."""
    with_path = ("file_shared", "file_copied", "file_populated", "shm")
    return {region: (python.root or "") + name if region in with_path else name for region, name in names.items()}


def wanted(sizes, names, regions=NAMES):
    """Pages by mapping of several regions together."""
    sums = {}
    for region in regions:
        sums[names[region]] = sums.get(names[region], 0) + sizes[region]
    return sums


def check_all(said, pid, record, sizes, names):
    for mapping, pages in wanted(sizes, names).items():
        found = sum(entry["bytes"] for entry in record["mappings"] if entry["name"] == mapping) // PAGE
        # Python's own memory and the thread's stack are anonymous too.
        tolerance = 16 if mapping == "[anon]" else 2
        assert abs(found - pages) <= tolerance, f"{mapping}: {found} pages, meant {pages}: {record['mappings']}"


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_every_mapping_within_2_pages(tool, python, mode):
    said = trace(tool, python, FILE, "one_by_one", mode=mode, phases=PHASES)
    if "growth is not told apart by mapping" in said.errors:
        pytest.skip("this kernel, or this source of RSS changes, does not tell growth apart by mapping")
    facts = said.truth["facts"]
    names = seen_from_here(python, facts["names"])
    check_every_sum(said)
    for region in NAMES:
        check_one(said, said.pid, f"touch_{region}", names[region], facts["pages"][region])
        left = 1 if region == "file_populated" else 0
        check_one(said, said.pid, f"give_{region}", names[region], left - facts["pages"][region])
    check_all(said, said.pid, only(said, said.pid, "everything"), facts["pages"], names)
    unknown = [entry for record in said.of("phase", pid=said.pid) for entry in record["mappings"] if entry["kind"] == "unknown"]
    assert not unknown, unknown


def test_a_child_of_30_ms(tool, python):
    said = trace(tool, python, FILE, "child", phases=PHASES)
    sizes, child = said.truth["facts"]["pages"], said.truth["facts"]["child"]
    names = seen_from_here(python, said.truths[child]["facts"]["names"])
    check_every_sum(said)
    for region in NAMES:
        check_one(said, child, f"touch_{region}", names[region], sizes[region])
    check_all(said, child, only(said, child, "kept"), sizes, names)


def test_while_others_map_and_unmap(tool, python):
    """The address space's lock is taken most of the time, and the mapping is known all the same: pages filled and given
    back cancel out under their own name."""
    phases = [phase("fill_private", "fill_private", FILE), phase("fill_shared", "fill_shared", FILE)]
    said = trace(tool, python, FILE, "contended", phases=phases)
    check_every_sum(said)
    for name, mapping in (("fill_private", "[anon]"), ("fill_shared", "/dev/zero (deleted)")):
        record = only(said, said.pid, name)
        assert record["gained_bytes"] // PAGE >= 8 * 4096, record
        off = [entry for entry in record["mappings"] if entry["name"] in (mapping, "<unknown>") and abs(entry["bytes"]) > 16 * PAGE]
        assert not off, record["mappings"]
    counters = said.summary["counters"]
    assert counters["rss_events"] > 2 * 8 * 4096
    assert counters["mapping_unknown"] * 1000 < counters["rss_events"], counters


def test_summary_names_the_mappings(tool, python):
    with open(f"{tool.directory}/summary", "wb") as out:
        said = trace(tool, python, FILE, "one_by_one", phases=PHASES, options=["--lang", "en"], out=out)
    text = tool.text(f"{tool.directory}/summary")
    rows = text.splitlines()
    at = next(i for i, row in enumerate(rows) if row.strip().startswith("phase touch_file_shared "))
    assert f"{said.pid}.shared.bin (file)" in rows[at + 1] and "+1.17" in rows[at + 1], rows[at : at + 3]
    assert "/dev/zero (deleted) (pinned/shared memory)" in text


def test_switched_off(tool, python):
    said = trace(tool, python, FILE, "one_by_one", phases=PHASES, options=["--no-mappings"])
    assert not [record for record in said.of("phase") if "mappings" in record]
    assert not [entry for entry in said.summary_of(said.pid)["phases"] if "mappings" in entry]
    programs = {program["name"] for program in said.summary["self"]["programs"]}
    assert "rss_stat_btf" in programs and not programs & {"fault_user", "fault_kernel", "mmap_locking", "unmap_call"}, programs
    assert said.summary["counters"]["mapping_lookups"] == 0
