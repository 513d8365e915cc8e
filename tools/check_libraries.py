#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks of the built libraries and the command (needs binutils).

    tools/check_libraries.py exports BUILD   only pjd_ names leave the libraries, and every PJD_API function does
    tools/check_libraries.py links BUILD     nothing but the libraries listed here is linked, none of them GPL
    tools/check_libraries.py names BUILD     no name is registered or tested twice
"""
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")

# What may be linked directly, by soname without version, and under which licence. None of it GPL: libgomp, libgfortran
# and libgcc carry the runtime exception, libvips, GLib, libsndfile (with mpg123 and lame) and
# libsoxr are LGPL shared libraries.
SYSTEM = {"libc", "libm", "libpthread", "libdl", "ld-linux-x86-64", "ld-linux-aarch64", "libgcc_s", "libgomp", "libomp"}
ENGINE = {"libdnnl", "liblapacke", "liblapack", "libblas", "libopenblas", "libkissfft-float", "libcjson", "libzip", "libz"}
SOUND = {"libsndfile", "libsoxr"}
PICTURES = {"libprojdiff", "libvips", "libglib-2.0", "libgobject-2.0", "libgio-2.0"}
ALLOWED = {
    "libprojdiff.so": SYSTEM | ENGINE,
    "libprojdiff-io.so": SYSTEM | PICTURES | SOUND,
    "projdiff": SYSTEM | PICTURES | SOUND | {"libprojdiff-io"} | ENGINE,
}
# Libraries under the GPL that a dependency could bring along; the engine must not load them even indirectly.
GPL = re.compile(r"lib(fftw|gsl|readline|imagequant|poppler|x26[45]|cdio|iberty|gmp)")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def find(build, name):
    for folder in ("", "src/io", "src/lib", "cli"):
        path = os.path.join(build, folder, name)
        if os.path.isfile(path):
            return path
    return None


def libraries(build, suffix):
    return [p for p in (find(build, "libprojdiff" + suffix), find(build, "libprojdiff-io" + suffix)) if p]


def declared():
    """Names of the functions that the public headers declare PJD_API."""
    names = set()
    folder = os.path.join(ROOT, "include", "projdiff")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        for m in re.finditer(r"^PJD_API\b[^;]*?\b(pjd_\w+)\s*\(", text, re.M):
            names.add(m.group(1))
    return names


def exports(build):
    bad, exported = [], {}
    shared = libraries(build, ".so")
    if not shared:
        bad.append("no shared library in %s" % build)
    for lib in shared:
        for line in run("nm", "-D", "--defined-only", lib).splitlines():
            name = line.split()[-1].split("@")[0]
            if not name.startswith("pjd_"):
                bad.append("%s exports %s" % (os.path.basename(lib), name))
            if name in exported:
                bad.append("%s is exported by both libraries" % name)
            exported[name] = lib
    for name in sorted(set(exported) - declared()):
        bad.append("%s is exported but no public header declares it" % name)
    if len(shared) == 2:
        for name in sorted(declared() - set(exported)):
            bad.append("%s is declared PJD_API but not exported" % name)
    for lib in libraries(build, ".a"):  # every global name of a static library lands in the embedder's program
        for line in run("nm", "-g", "--defined-only", lib).splitlines():
            part = line.split()
            if len(part) == 3 and not part[2].startswith("pjd_"):
                bad.append("%s defines the global name %s" % (os.path.basename(lib), part[2]))
    return bad


def links(build):
    bad = []
    for name, allowed in ALLOWED.items():
        path = find(build, name)
        if not path:
            bad.append("%s is not built in %s" % (name, build))
            continue
        needed = re.findall(r"\(NEEDED\).*\[(.+?)\]", run("readelf", "-d", path))
        print("%s links %s" % (name, " ".join(needed)))
        for soname in needed:
            if re.sub(r"\.so(\.\d+)*$", "", soname) not in allowed:
                bad.append("%s links %s, which is not in the list" % (name, soname))
    path = find(build, "libprojdiff.so")
    if path:
        for line in run("ldd", path).splitlines():
            if GPL.match(line.strip()):
                bad.append("libprojdiff.so loads %s, which is under the GPL" % line.split()[0])
    return bad


def names(build):
    bad = []
    tests = [t for t in run("meson", "test", "-C", build, "--list").splitlines() if t and not t.startswith("ninja")]
    bad += ["two tests are called %s" % t for t in sorted(set(tests)) if tests.count(t) > 1]
    for room in sorted(os.listdir(os.path.join(ROOT, "src"))):
        seen = {}
        folder = os.path.join(ROOT, "src", room)
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if not file.endswith(".c"):
                continue
            with open(os.path.join(folder, file), encoding="utf-8") as f:
                for m in re.finditer(r'\.entry\s*=\s*\{\s*(?:\.name\s*=\s*)?"([^"]+)"', f.read()):
                    if m.group(1) in seen:
                        bad.append("%s: \"%s\" is registered by %s and %s" % (room, m.group(1), seen[m.group(1)], file))
                    seen[m.group(1)] = file
    return bad


def main():
    checks = {"exports": exports, "links": links, "names": names}
    if len(sys.argv) != 3 or sys.argv[1] not in checks:
        print(__doc__)
        return 2
    bad = checks[sys.argv[1]](sys.argv[2])
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
