# SPDX-License-Identifier: MIT
"""restore mri and simulate mri: complex files in and out, and that the picture comes back."""
import cmath
import math
import os
import struct

from support import Case, main, png_read


def npy_complex(path, shape, values):
    head = "{'descr': '<c8', 'fortran_order': False, 'shape': %r, }" % (tuple(shape),)
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode())
        f.write(struct.pack("<%df" % (2 * len(values)), *[p for v in values for p in (v.real, v.imag)]))


def read_complex(path):
    data = open(path, "rb").read()
    size = struct.unpack("<H", data[8:10])[0]
    head = data[10:10 + size].decode()
    body = data[10 + size:]
    numbers = struct.unpack("<%df" % (len(body) // 4), body)
    assert "'<c8'" in head, head
    return head, [complex(a, b) for a, b in zip(numbers[::2], numbers[1::2])]


def maps(coils, n):
    out = []
    norm = [0.0] * (n * n)
    for c in range(coils):
        a = 2 * math.pi * c / coils
        for i in range(n):
            for j in range(n):
                y, x = i / n - 0.5, j / n - 0.5
                m = math.exp(-1.5 * ((y - 0.7 * math.sin(a)) ** 2 + (x - 0.7 * math.cos(a)) ** 2))
                out.append(m * cmath.exp(1j * (y * math.cos(a) - x * math.sin(a) + a)))
                norm[i * n + j] += m * m
    return [v / math.sqrt(norm[k % (n * n)]) for k, v in enumerate(out)]


def psnr(a, b):
    mse = sum((u - v) ** 2 for u, v in zip(a, b)) / len(a)
    return 10 * math.log10(1 / max(mse, 1e-12))


N = 48


class Mri(Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.dir)
        self.clean = [int(110 + 60 * math.sin(i / 7) * math.cos(j / 5)) if (i - 24) ** 2 + (j - 24) ** 2 < 380 else 3
                      for i in range(N) for j in range(N)]
        self.png("clean.png", N, N, 1, values=self.clean)
        npy_complex("maps.npy", (4, N, N), maps(4, N))
        # all of the centre, half of the rest
        mask = [abs(i - 24) < 8 and abs(j - 24) < 8 or (i * 7 + j * 13 + i * j) % 2 == 0 for i in range(N) for j in range(N)]
        npy_complex("mask.npy", (N, N), [complex(v) for v in mask])
        self.good("simulate", "mri:maps=maps.npy,mask=mask.npy", "-i", "clean.png", "-o", "k.npy", "--sigma", "0.005")

    def make_cfl(self):
        _, k = read_complex("k.npy")
        with open("k.hdr", "w") as f:
            f.write("# Dimensions\n%d %d 1 4 1 1 1 1 1 1 1 1 1 1 1 1\n" % (N, N))
        with open("k.cfl", "wb") as f:
            for c in range(4):
                for j in range(N):
                    for i in range(N):
                        v = k[(c * N + i) * N + j]
                        f.write(struct.pack("<2f", v.real, v.imag))

    def test_picture_comes_back(self):
        r = self.good("restore", "mri:maps=maps.npy", "-i", "k.npy", "-o", "x.npy", "--steps", "8")
        self.assertIn("4 coil(s)", r.err)
        self.assertIn("maps given", r.err)
        head, x = read_complex("x.npy")
        self.assertIn("(%d, %d)" % (N, N), head)
        self.assertGreater(psnr([abs(v) for v in x], [v / 255 for v in self.clean]), 28)

    def test_bart_files_and_pictures(self):
        self.make_cfl()
        r = self.good("restore", "mri", "-i", "k.cfl", "-o", "x.png", "--steps", "2")
        self.assertIn("maps estimated", r.err)
        self.assertEqual(png_read("x.png").bits, 16)
        self.good("restore", "mri:maps=maps.npy", "-i", "k.npy", "-o", "x.npy", "--steps", "2")
        self.good("restore", "mri:maps=maps.npy", "-i", "k.cfl", "-o", "y.npy", "--steps", "2")
        _, x = read_complex("x.npy")
        _, y = read_complex("y.npy")
        self.assertLess(max(abs(a - b) for a, b in zip(x, y)), 1e-5)
        self.good("restore", "mri:maps=maps.npy", "-i", "k.npy", "-o", "y.cfl", "--steps", "1")
        self.assertTrue(os.path.exists("y.hdr"))
        self.assertEqual(os.path.getsize("y.cfl"), 8 * N * N)

    def test_same_for_any_threads(self):
        for t in 1, 2:
            self.good("restore", "mri", "-i", "k.npy", "-o", "t%d.npy" % t, "--steps", "2", "-t", t)
        self.assertEqual(open("t1.npy", "rb").read(), open("t2.npy", "rb").read())

    def test_refusals(self):
        r = self.refused
        r(2, "restore", "mri+denoise", "-i", "k.npy", "-o", "x.png", says="composed")
        r(2, "simulate", "denoise+mri", "-i", "clean.png", "-o", "y.npy", says="composed")
        r(2, "restore", "mri", "-i", "k.npy", "-o", "x.png", "--std", "s.png", "--samples", "2", says="--std")
        r(2, "restore", "mri", "-i", "k.npy", "-o", "maps.npy", says="exists")
        npy_complex("other.npy", (4, 8, 8), [1j] * 256)
        r(2, "restore", "mri:maps=other.npy", "-i", "k.npy", "-o", "x.png", says="of its size")
        with open("b.hdr", "w") as f:
            f.write("# Dimensions\n9 9\n")
        with open("b.cfl", "wb") as f:
            f.write(b"\0" * 100)
        r(3, "restore", "mri", "-i", "b.cfl", "-o", "x.png", says="other than")
        r(3, "restore", "mri", "-i", "clean.png", "-o", "x.png", says="expected a .npy array")
        npy_complex("rank4.npy", (1, 4, 8, 8), [1j] * 256)
        r(2, "restore", "mri", "-i", "rank4.npy", "-o", "x.png", says="coils x height x width")
        npy_complex("holes.npy", (4, 8, 8), [complex(k % 3 == 0) for k in range(64)] * 4)
        r(2, "restore", "mri", "-i", "holes.npy", "-o", "x.png", says="fully sampled")
        r(2, "simulate", "mri:maps=maps.npy", "-i", "clean.png", "-o", "y.png", says=".npy or .cfl")


if __name__ == "__main__":
    main()
