#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""page.py OUT.h: joins page/ and the chart library into the three parts of a page around its two blocks of data, as C arrays.

The library is d3, a part of it: the modules that the page uses, as Debian packages them (node-d3-*). d3-dsv, which makes functions of strings, is not among them,
so that the page's Content-Security-Policy need not allow it. Scripts and style are allowed by the hash of exactly this text and nothing else.
"""
import base64
import hashlib
import pathlib
import re
import sys

MODULES = ("array collection dispatch ease color format interpolate path time time-format timer selection transition drag brush axis "
           "scale shape").split()
PLACES = ["/usr/share/nodejs", "/usr/lib/nodejs", "/usr/share/javascript"]


def library():
    """The modules, and the licence that comes with them."""
    parts, licence = [], ""
    for module in MODULES:
        found = [p for p in (pathlib.Path(f"{place}/d3-{module}/dist/d3-{module}.min.js") for place in PLACES) if p.exists()]
        if not found:
            sys.exit(f"page.py: d3-{module} is missing: apt-get install node-d3-axis node-d3-brush node-d3-scale node-d3-selection node-d3-shape")
        parts.append(found[0].read_text("utf-8"))
        for name in (f"node-d3-{module}", f"libjs-d3-{module}"):
            copyright_file = pathlib.Path("/usr/share/doc") / name / "copyright"
            if copyright_file.exists() and not licence:
                licence = copyright_file.read_text("utf-8")
    if not licence:
        sys.exit("page.py: no copyright file of d3 under /usr/share/doc/node-d3-*: the licence has to go along")
    return "\n".join(parts), licence_text(licence, parts)


def licence_text(text, parts):
    """From Debian's copyright file: the terms, below the notices of the modules."""
    terms = re.search(r"^License: BSD-3-Clause\n((?: .*\n)+)", text, re.M)
    if not terms:
        sys.exit("page.py: the licence of d3 is not the BSD-3-Clause that it was: look at it before it goes into the page")
    notices = [m.group(0).strip("/ ").strip() for part in parts for m in [re.match(r"//.*", part)] if m]
    body = "\n".join(line[1:].replace(".", "", 1) if line == " ." else line[1:] for line in terms.group(1).splitlines())
    return "\n".join(notices) + "\n\n" + body + "\n"


def sha(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def c_array(name, text):
    data = text.encode()
    rows = [",".join(map(str, data[i:i + 32])) for i in range(0, len(data), 32)]
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "\n};\n"


def main():
    page = pathlib.Path(__file__).resolve().parent.parent / "page"
    lib, licence = library()
    style = (page / "page.css").read_text("utf-8")
    quoted = "`" + licence.replace("\\", "\\\\").replace("`", "'").replace("$", "\\$") + "`"
    app = "(function () {\n'use strict';\nconst LICENCE = " + quoted + ";\n" + "".join(p.read_text("utf-8") for p in sorted(page.glob("*.js"))) + "})();\n"
    for what in (lib, app, style):
        if re.search(r"</(script|style)|<!--", what, re.I):
            sys.exit("page.py: a script or the style would end its own element")
    policy = f"default-src 'none'; script-src {sha(lib)} {sha(app)}; style-src {sha(style)}; base-uri 'none'; form-action 'none'"
    top = ("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
           f"<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n"
           "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n"
           f"<title>ramtrack-bpf</title>\n<style>{style}</style>\n</head>\n" + (page / "page.html").read_text("utf-8")
           + "<script type=\"application/json\" id=\"data\">")
    middle = f"</script>\n<script>{lib}</script>\n<script>{app}</script>\n<script type=\"application/json\" id=\"stacks\">"
    bottom = "</script>\n</body>\n</html>\n"
    out = ("/* Made by tools/page.py. */\n" + c_array("rt_page_top", top) + c_array("rt_page_middle", middle) + c_array("rt_page_bottom", bottom))
    pathlib.Path(sys.argv[1]).write_text(out, "utf-8")


if __name__ == "__main__":
    main()
