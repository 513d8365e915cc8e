#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-tidy with the settings of .clang-tidy over the sources of a build folder, two at a time.

    tools/lint.py BUILD [WORD]    only files whose path holds WORD
"""
import concurrent.futures
import json
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
FOLDERS = ("src", "cli", "examples", "tools")


def main():
    build, word = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        commands = json.load(f)
    files = set()
    for c in commands:
        path = os.path.realpath(os.path.join(c["directory"], c["file"]))
        if os.path.relpath(path, ROOT).split(os.sep)[0] in FOLDERS and word in path:
            files.add(path)

    def lint(path):
        return path, subprocess.run(["clang-tidy", "--quiet", "-p", build, path], capture_output=True, text=True)

    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for path, run in pool.map(lint, sorted(files)):
            if run.returncode:
                bad += 1
                print(os.path.relpath(path, ROOT))
                print(run.stdout or run.stderr)
    print("%d of %d files have findings" % (bad, len(files)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
