#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count the tests of one `meson test` run from its testlog.json, the cases of a cmocka program one by one.

    tools/count_tests.py build/meson-logs/testlog.json

Prints what failed and what was skipped, then the plain line "N passed, N failed"; exit 1 when anything failed or
nothing ran.
"""
import json
import re
import sys


def cases(text):
    """(passed, failed, skipped) over the cmocka groups a program ran; (0, 0, 0) when it is no cmocka program."""
    run = sum(int(n) for n in re.findall(r"^\[=+\] Running (\d+) test", text, re.M))
    ok = len(re.findall(r"^\[\s+OK\s+\]", text, re.M))
    skipped = len(re.findall(r"^\[\s+SKIPPED\s+\] ", text, re.M))
    # a case that neither passed nor was skipped failed, or never ran because the program died
    skipped = min(skipped, max(run - ok, 0))
    return min(ok, run), max(run - ok - skipped, 0), skipped


def main():
    passed = failed = skipped = 0
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        for line in log:
            if not line.strip():
                continue
            t = json.loads(line)
            p, f, s = cases(t.get("stdout") or "")  # cmocka repeats its summary on stderr
            good = t["result"] in ("OK", "EXPECTEDFAIL")
            if t["result"] == "SKIP":
                p, f, s = 0, 0, max(s, 1)
            elif good and p + s == 0:
                p, f = 1, 0
            elif good:
                f = 0
            else:
                f = max(f, 1)
                print("failed: %s (%s)" % (t["name"], t["result"]))
            if s:
                print("skipped: %d in %s" % (s, t["name"]))
            passed, failed, skipped = passed + p, failed + f, skipped + s
    if skipped:
        print("%d skipped" % skipped)
    if passed + failed == 0:
        print("no test ran")
        failed = 1
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
