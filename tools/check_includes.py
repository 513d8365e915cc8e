#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fail when an #include breaks the layering described in docs/architecture.md.

    tools/check_includes.py [SOURCE_ROOT]

A room is a folder of src/. Every room may include itself, core and the public headers; what more it may see is listed
in ROOMS. cli, examples and the programs of tools see the public headers and files of their own folder alone. A library
of THIRD_PARTY is named in the rooms listed there and nowhere else.
"""
import os
import re
import sys

ROOMS = {
    "core": set(),
    "kernels": set(),
    "nn": {"kernels"},
    "weights": set(),
    "networks": {"kernels", "nn", "weights"},
    "priors": set(),
    "operators": set(),
    "solvers": set(),
    "metrics": set(),
    "audio": set(),
    "io": set(),
    "lib": {"kernels", "nn", "weights", "networks", "priors", "operators", "solvers", "metrics", "audio"},
}
OUTSIDE = ("cli", "examples", "tools")  # users of the public headers

THIRD_PARTY = (
    (re.compile(r"(oneapi/)?dnnl"), {"src/nn"}),
    (re.compile(r"vips/|glib|gio/|gobject/"), {"src/io"}),
    (re.compile(r"sndfile|soxr"), {"src/io"}),
    (re.compile(r"kiss_?fft|fftw"), {"src/operators", "src/core", "src/audio"}),
    (re.compile(r"zip\.h|zipconf"), {"src/weights"}),
    (re.compile(r"cjson/|cJSON"), {"src/weights", "src/networks", "src/core", "cli"}),
)
CODE = re.compile(r"\.(c|h|c\.in|h\.in|inc)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def files(root, top):
    for folder, dirs, names in os.walk(os.path.join(root, top)):
        dirs.sort()
        for name in sorted(names):
            if CODE.search(name):
                yield os.path.relpath(os.path.join(folder, name), root)


def complaint(path, quote, target):
    """What is wrong with including `target` from `path`, or None."""
    parts = path.split(os.sep)
    place = "/".join(parts[:2]) if parts[0] == "src" else parts[0]
    for pattern, rooms in THIRD_PARTY:
        if pattern.match(target) and place not in rooms and parts[0] != "tests":
            return "only %s may name it" % ", ".join(sorted(rooms))
    if parts[0] == "tests":
        return None
    head = target.split("/")[0]
    if head == "projdiff":
        return None
    if quote == "<":
        return "a room is not a system header" if head in ROOMS and "/" in target else None
    if parts[0] == "include":
        return "a public header includes public headers only"
    if parts[0] in OUTSIDE:
        here = os.path.dirname(path)
        own = os.path.normpath(os.path.join(here, target))
        mine = own.split(os.sep)[0] == parts[0] and not (head in ROOMS and "/" in target)
        return None if mine else "%s sees the public headers only" % parts[0]
    room = parts[1]
    if ".." in target.split("/"):
        return "a path upwards hides what is included"
    if "/" not in target or head not in ROOMS:
        return None  # beside the file, or in a folder of the room
    if head not in {room, "core"} | ROOMS.get(room, set()):
        return "%s may see %s only" % (room, ", ".join(sorted({"core", room} | ROOMS.get(room, set()))))
    return None


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    bad = seen = 0
    for top in ("include", "src", "tests") + OUTSIDE:
        for path in files(root, top):
            seen += 1
            if path.startswith("src" + os.sep) and path.split(os.sep)[1] not in ROOMS:
                print("%s: an unknown room; add it to tools/check_includes.py and docs/architecture.md" % path)
                bad += 1
                continue
            with open(os.path.join(root, path), encoding="utf-8") as f:
                for number, line in enumerate(f, 1):
                    m = INCLUDE.match(line)
                    why = complaint(path, m.group(1), m.group(2)) if m else None
                    if why:
                        print("%s:%d: includes %s: %s" % (path, number, m.group(2), why))
                        bad += 1
    if not seen:
        print("%s holds no sources" % root)
        return 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
