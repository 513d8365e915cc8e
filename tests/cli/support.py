# SPDX-License-Identifier: MIT
"""What the command's tests share: running it, and PNG and .npy files with nothing but the standard library."""
import array
import math
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

COMMAND = os.environ["PROJDIFF"]
ROOT = os.environ.get("PJD_SOURCE_ROOT") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.environ.get("PJD_GOLDEN") or os.path.join(os.path.dirname(ROOT), "shared", "golden")


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def text(self):
        return self.out.decode()


def environment(**extra):
    env = dict(os.environ, LC_ALL="C.UTF-8")
    env.pop("PROJDIFF_MODELS", None)
    env.update(extra)
    return env


def projdiff(*words, stdin=b"", env=None, cwd=None):
    p = subprocess.run([COMMAND] + [str(w) for w in words], input=stdin, capture_output=True, env=env or environment(),
                       cwd=cwd, timeout=300)
    return Result(p.returncode, p.stdout, p.stderr.decode(errors="replace"))


# ---- pictures: rows of tuples of integers ----

COLOR = {1: 0, 3: 2, 2: 4, 4: 6}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width, height, channels, values, bits=8, palette=None):
    """values: flat, row by row, channels interleaved. palette: list of (r, g, b), then values are indices."""
    kind = 3 if palette else COLOR[channels]
    rows = bytearray()
    per_row = width * channels
    for y in range(height):
        rows.append(0)
        row = values[y * per_row:(y + 1) * per_row]
        rows += bytes(row) if bits == 8 else struct.pack(">%dH" % per_row, *row)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    if palette:
        out += chunk(b"PLTE", b"".join(bytes(p) for p in palette))
    return out + chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b"")


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


class Picture:
    def __init__(self, width, height, channels, bits, values):
        self.width, self.height, self.channels, self.bits, self.values = width, height, channels, bits, values

    @property
    def size(self):
        return self.width, self.height


def png_parse(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG file"
    at, idat = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        at += 12 + n
        if kind == b"IHDR":
            width, height, bits, color, _, _, interlace = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            idat += body
        elif kind == b"IEND":
            break
    assert interlace == 0 and bits in (8, 16)
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    raw, bpp = zlib.decompress(idat), channels * bits // 8
    stride, previous, rows, at = width * bpp, bytearray(width * bpp), bytearray(), 0
    for _ in range(height):
        kind, row = raw[at], bytearray(raw[at + 1:at + 1 + stride])
        at += 1 + stride
        for i in range(stride):
            a = row[i - bpp] if i >= bpp else 0
            b, c = previous[i], previous[i - bpp] if i >= bpp else 0
            row[i] = (row[i] + (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) & 255
        rows += row
        previous = row
    values = list(rows) if bits == 8 else list(struct.unpack(">%dH" % (len(rows) // 2), bytes(rows)))
    return Picture(width, height, channels, bits, values)


def png_read(path):
    with open(path, "rb") as f:
        return png_parse(f.read())


def smooth(width, height, channels=3, bits=8):
    """A smooth picture with some detail."""
    top = (1 << bits) - 1
    values = []
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                v = 0.5 + 0.3 * math.sin(0.3 * x + c) + 0.15 * math.cos(0.5 * y + 0.2 * x * (c + 1))
                values.append(int(top * min(max(v, 0), 1) + 0.5))
    return values


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


# ---- arrays ----

def npy_bytes(shape, values, dtype="<f4"):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (dtype, "".join("%d, " % d for d in shape))
    head += " " * (-(len(head) + 11) % 64) + "\n"
    code = {"<f4": "f", "<f8": "d", "|u1": "B"}[dtype]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + array.array(code, values).tobytes()


def npy_parse(data):
    assert data[:6] == b"\x93NUMPY", "not a .npy file"
    n = struct.unpack("<H", data[8:10])[0] if data[6] == 1 else struct.unpack("<I", data[8:12])[0]
    start = (10 if data[6] == 1 else 12) + n
    head = data[start - n:start].decode()
    shape = tuple(int(d) for d in re.search(r"'shape': \(([^)]*)\)", head).group(1).split(",") if d.strip())
    code = {"<f4": "f", "<f8": "d", "<i8": "q"}[re.search(r"'descr': '([^']*)'", head).group(1)]
    values = array.array(code)
    values.frombytes(data[start:])
    return shape, list(values)


def npy_read(path):
    with open(path, "rb") as f:
        return npy_parse(f.read())


def relative_l2(a, b):
    assert len(a) == len(b)
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / sum(y * y for y in b))


# ---- test cases ----

class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="projdiff-cli-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def png(self, name, width, height, channels=3, bits=8, values=None, **more):
        values = values if values is not None else smooth(width, height, channels, bits)
        return write(self.path(name), png_bytes(width, height, channels, values, bits, **more))

    def npy(self, name, shape, values=None, dtype="<f4"):
        if values is None:
            rng = random.Random(7)
            values = [rng.uniform(-1, 1) for _ in range(math.prod(shape))]
        return write(self.path(name), npy_bytes(shape, values, dtype))

    def files(self):
        return sorted(os.listdir(self.dir))

    def good(self, *words, **more):
        r = projdiff(*words, **more)
        self.assertEqual(r.code, 0, "%s\n%s" % (" ".join(map(str, words)), r.err))
        return r

    def refused(self, code, *words, says=None, **more):
        """The exit code, one line on standard error (with what it must say), nothing on standard output."""
        before = self.files()
        r = projdiff(*words, **more)
        self.assertEqual(r.code, code, "%s\n%s" % (" ".join(map(str, words)), r.err))
        self.assertEqual(r.out, b"")
        lines = r.err.splitlines()
        self.assertEqual(len(lines), 1, r.err)
        self.assertTrue(lines[0].startswith("projdiff: "), r.err)
        for text in [says] if isinstance(says, str) else says or []:
            self.assertIn(text, r.err)
        self.assertEqual(self.files(), before)
        return r

    def close(self, value, expected, tolerance):
        self.assertTrue(abs(value - expected) <= tolerance, "%r, expected %r within %r" % (value, expected, tolerance))


def main():
    unittest.main(verbosity=1, argv=sys.argv)
