# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A trace by Perfetto's own protos (package perfetto) as JSON, names put in the place of numbers. Run by the Python of the venv that has the package."""

import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos


def main():
    trace = protos.Trace()
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    trace.ParseFromString(data)
    check_known(trace)
    names, notes, clock, cleared = {}, {}, {}, set()
    out = {"tracks": {}, "events": [], "clocks": None, "packets": len(trace.packet), "bytes": len(data)}
    for packet in trace.packet:
        sequence = packet.trusted_packet_sequence_id
        assert sequence, packet
        if packet.sequence_flags & 1:
            cleared.add(sequence)
            names.clear()
            notes.clear()
        assert sequence in cleared and packet.sequence_flags & 2, packet
        if packet.HasField("trace_packet_defaults"):
            clock[sequence] = packet.trace_packet_defaults.timestamp_clock_id
        for entry in packet.interned_data.event_names:
            assert entry.iid not in names, entry
            names[entry.iid] = entry.name
        for entry in packet.interned_data.debug_annotation_names:
            notes[entry.iid] = entry.name
        if packet.HasField("clock_snapshot"):
            snapshot = packet.clock_snapshot
            out["clocks"] = {"primary": snapshot.primary_trace_clock, **{str(one.clock_id): one.timestamp for one in snapshot.clocks}}
        if packet.HasField("track_descriptor"):
            out["tracks"][packet.track_descriptor.uuid] = track(packet.track_descriptor)
        if packet.HasField("track_event"):
            out["events"].append(event(packet, names, notes, clock[sequence]))
    json.dump(out, sys.stdout)


def check_known(message):
    """Nothing in it that the protos do not name, at any depth."""
    assert not len(UnknownFieldSet(message)), message
    for field, value in message.ListFields():
        if field.message_type:
            for inner in value if hasattr(value, "__len__") else [value]:
                check_known(inner)


def track(one):
    kind = "process" if one.HasField("process") else "thread" if one.HasField("thread") else "counter" if one.HasField("counter") else "?"
    return {
        "kind": kind,
        "name": one.process.process_name if kind == "process" else one.name,
        "cmdline": list(one.process.cmdline),
        "pid": one.process.pid or one.thread.pid,
        "tid": one.thread.tid,
        "unit": one.counter.unit,
        "parent": one.parent_uuid,
    }


def event(packet, names, notes, clock):
    one = packet.track_event
    kinds = {1: "begin", 2: "end", 3: "instant", 4: "counter"}
    return {
        "ts": packet.timestamp,
        "clock": packet.timestamp_clock_id or clock,
        "type": kinds[one.type],
        "track": one.track_uuid,
        "name": names[one.name_iid] if one.name_iid else one.name or None,
        "value": one.counter_value if one.type == 4 else None,
        "notes": {notes[note.name_iid]: note.int_value for note in one.debug_annotations},
    }


main()
