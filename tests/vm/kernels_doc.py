#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""kernels_doc.py DOCUMENT: what the last run of the matrix measured (build/vm/KERNEL.json) as a table, in place of what
stands between <!-- matrix --> and <!-- /matrix --> in DOCUMENT. Nothing is written while a kernel of the matrix has no
figures: a table with holes would look like an answer."""

import json
import os
import sys

from matrix import BUILD, KERNELS

BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"
HEAD = [
    "kernel",
    "source",
    "events per fault",
    "page error, 1 / 4 threads",
    "faults told / own",
    "events missed, 1 / 4 threads",
    "phases right",
    "attach",
    "cost per fault",
]


def number(value, form):
    return "?" if value is None else form.format(value)


def pair(figures, key, form="{}"):
    return " / ".join(number(figures.get(f"{key}_{threads}"), form) for threads in (1, 4))


def row(release, figures):
    source = figures["source"] + (" (auto)" if figures.get("best") else "")
    if "refused" in figures:
        return [release, source, "refused" if figures["kernel_has"] else "not there"] + [""] * (len(HEAD) - 3)
    return [
        release,
        source,
        number(figures.get("events_per_fault_1"), "{:.3f}"),
        pair(figures, "page_error"),
        f"{number(figures.get('faults_told'), '{}')} / {number(figures.get('faults_own'), '{}')}",
        pair(figures, "missed"),
        "yes" if figures.get("phases_right") else "no",
        number(figures.get("attach_s"), "{:.1f} s"),
        number(figures.get("ratio"), "{:.2f}x"),
    ]


def runs():
    """(kernel's version, release, results), or an exit that says which kernel has none."""
    for version in KERNELS:
        try:
            with open(os.path.join(BUILD, f"{version}.json")) as file:
                results = json.load(file)["results"]
        except OSError as error:
            sys.exit(f"kernels_doc.py: {error}; run make test-vm first")
        release = next((one["release"] for one in results if one["kind"] == "kernel"), None)
        sources = [one for one in results if one["kind"] == "source"]
        if not release or not sources:
            sys.exit(f"kernels_doc.py: Linux {version} gave no figures; see what make test-vm says of it")
        yield release, sources


def table():
    lines, reasons = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)], {}
    for release, sources in runs():
        for figures in sources:
            lines.append("| " + " | ".join(row(release, figures)) + " |")
            if "refused" in figures:
                reasons.setdefault((figures["source"], figures["refused"]), []).append(release.split("-")[0])
    if reasons:
        lines += ["", "What the tool says where a source is not there:", ""]
        lines += [f"- {source} on {', '.join(where)}: `{why}`" for (source, why), where in reasons.items()]
    return "\n".join(lines)


def main():
    path = sys.argv[1]
    with open(path, encoding="utf-8") as file:
        before, begin, rest = file.read().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"kernels_doc.py: {path} has no {BEGIN} ... {END}")
    text = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".part", path)


if __name__ == "__main__":
    main()
