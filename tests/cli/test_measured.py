#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tomography by the command, counts, gray values, sigma auto and the last step of data consistency."""
import math
import re
import struct

from support import Case, main, npy_read, png_read, projdiff, smooth, write

FEW = ["--steps", "2"]


def float_tiff(width, height, values):
    """One strip of float32 gray, little-endian."""
    tags = [(256, width), (257, height), (258, 32), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 4 * len(values)), (339, 3)]
    data = struct.pack("<%df" % len(values), *values)
    return (b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) +
            b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in tags) + struct.pack("<I", 0))


def rms(a, b):
    return math.sqrt(sum((u - v) ** 2 for u, v in zip(a, b)) / len(a))


class Tomography(Case):
    def test_there_and_back(self):
        self.png("a.png", 32, 32, 1)
        r = self.good("simulate", "ct:angles=24,detectors=60", "-i", self.path("a.png"), "-o", self.path("y.npy"), "--sigma", "0.005", "--seed",
                      "3")
        shape, y = npy_read(self.path("y.npy"))
        self.assertEqual(shape, (1, 24, 60))
        r = self.good("restore", "ct:width=32", "-i", self.path("y.npy"), "-o", self.path("x.png"), "--steps", "8")
        p = png_read(self.path("x.png"))
        self.assertEqual((p.size, p.channels), ((32, 32), 1))
        # nothing else was said: the noise comes from the detectors beside the picture
        found = float(re.search(r"sigma ([0-9.]+) \(estimated where nothing of the picture arrives", r.err).group(1))
        self.close(found, 0.005, 0.0015)
        self.assertLess(rms(p.values, smooth(32, 32, 1)), 12)

    def test_angles_from_a_file_and_any_size(self):
        self.npy("angles.npy", (5,), [0, 20, 40, 70, 110])
        self.png("a.png", 17, 12, 3)
        self.good("simulate", "ct:degrees=" + self.path("angles.npy"), "-i", self.path("a.png"), "-o", self.path("y.npy"))
        shape, y = npy_read(self.path("y.npy"))
        self.assertEqual(shape, (3, 5, 21))
        self.good("restore", "ct:width=17,height=12,degrees=" + self.path("angles.npy"), "-i", self.path("y.npy"), "-o",
                  self.path("x.png"), "--sigma", "0.01", *FEW)
        self.assertEqual(png_read(self.path("x.png")).size, (17, 12))
        for n in (1, 2, 3):
            self.npy("y%d.npy" % n, (2, n), [0.1] * (2 * n))
            self.good("restore", "ct", "-i", self.path("y%d.npy" % n), "-o", self.path("x%d.npy" % n), "--sigma", "0.01", *FEW)

    def test_gray_values_and_pixel_units(self):
        """White, 0..1: the upright line integrals are the height in pixels."""
        self.png("a.png", 16, 16, 1, values=[255] * 256)
        self.good("simulate", "ct:angles=4,unit=pixel", "--gray-values", "-i", self.path("a.png"), "-o", self.path("y.npy"))
        shape, y = npy_read(self.path("y.npy"))
        self.assertEqual(shape, (1, 4, 24))
        self.close(y[12], 16, 1e-3)
        self.close(y[1], 0, 1e-6)
        self.good("restore", "ct:unit=pixel", "--gray-values", "-i", self.path("y.npy"), "-o", self.path("x.npy"), "--sigma", "0.1",
                  "--steps", "8")
        shape, x = npy_read(self.path("x.npy"))
        self.assertLess(rms(x, [1] * 256), 0.15)

    def test_floating_point_tiff(self):
        """The numbers are taken as they stand, from simulate and from a file of another program's."""
        self.png("a.png", 16, 16, 1)
        task = ["ct:angles=6,unit=pixel", "--gray-values"]
        for name in ("y.npy", "y.tif"):
            self.good("simulate", *task, "-i", self.path("a.png"), "-o", self.path(name), "--sigma", "0.5", "--seed", "2")
        shape, y = npy_read(self.path("y.npy"))
        self.assertGreater(max(y), 4)
        write(self.path("z.tif"), float_tiff(shape[-1], shape[-2], y))
        for name in ("y.npy", "y.tif", "z.tif"):
            self.good("restore", *task, "-i", self.path(name), "-o", self.path(name[0] + name[2:] + ".npy"), "--sigma", "0.5", *FEW)
        shape, x = npy_read(self.path("ynpy.npy"))
        for name in ("ytif.npy", "ztif.npy"):
            same, other = npy_read(self.path(name))
            self.assertEqual(same[-2:], shape[-2:])
            self.assertLess(max(abs(u - v) for u, v in zip(x, other)), 1e-3)

    def test_refused(self):
        self.npy("y.npy", (5, 23), [0.0] * 115)
        out = ["-i", self.path("y.npy"), "-o", self.path("x.png")]
        self.refused(2, "restore", "ct:angles=6", *out, says="1x6x23")
        self.refused(2, "restore", "ct:detectors=22", *out, says="1x5x22")
        # a photograph is no sinogram, no modulus and no mixture; 16-bit gray may be one
        photo, gray = self.png("photo.png", 40, 30, 3), self.png("gray.png", 23, 5, 1)
        deep = self.png("deep.png", 23, 5, 1, bits=16, values=[32768] * 115)
        for task in ("ct", "ct:angles=5", "phase", "cs:width=40,height=30"):
            for name in (photo, gray):
                self.refused(2, "restore", task, "-i", name, "-o", self.path("x.png"), says="is no picture")
            self.refused(2, "simulate", task, "-i", photo, "-o", self.path("z.png"), says="a .npy array or a .tif")
        self.good("restore", "ct:angles=5", "-i", deep, "-o", self.path("deep-x.png"), "--sigma", "0.01", *FEW)
        # what is dark because it was cut off says nothing about the noise
        self.refused(2, "restore", "ct", "--sigma", "auto", *out, says="cannot be estimated")


class Sigma(Case):
    def test_auto(self):
        self.png("a.png", 48, 48, 1)
        self.good("simulate", "denoise", "--sigma", "0.1", "-i", self.path("a.png"), "-o", self.path("y.npy"))
        r = self.good("restore", "denoise", "--sigma", "auto", "-i", self.path("y.npy"), "-o", self.path("x.png"))
        self.close(float(re.search(r"sigma ([0-9.]+) \(estimated\)", r.err).group(1)), 0.1, 0.02)

    def test_refused_where_it_makes_no_sense(self):
        self.npy("y.npy", (1, 1, 64))
        self.refused(2, "restore", "cs:width=16,height=16", "--sigma", "auto", "-i", self.path("y.npy"), "-o", self.path("x.png"),
                     says="cannot be estimated")
        self.npy("z.npy", (16, 16))
        self.npy("m.npy", (16, 16), [1.0] + [0.0] * 255)
        self.refused(2, "restore", "inpaint", "--mask", self.path("m.npy"), "--sigma", "auto", "-i", self.path("z.npy"), "-o",
                     self.path("x.png"), says="cannot be estimated")
        self.refused(2, "restore", "denoise", "--sigma", "automatic", "-i", self.path("z.npy"), "-o", self.path("x.png"),
                     says="--sigma")


class Counts(Case):
    def test_denoise_and_inpaint(self):
        values = smooth(48, 40, 1)
        self.png("a.png", 48, 40, 1, values=values)
        for task in (["denoise"], ["inpaint", "--mask-random", "0.3", "--mask-out", self.path("m.png")]):
            self.good("simulate", *task, "--noise-model", "poisson:peak=30", "-i", self.path("a.png"), "-o", self.path("y.npy"),
                      "--overwrite")
            mask = ["--mask", self.path("m.png")] if len(task) > 1 else []
            r = self.good("restore", task[0], *mask, "--noise-model", "poisson:peak=30", "-i", self.path("y.npy"), "-o",
                          self.path("x.png"), "--overwrite")
            self.assertIn("peak 30, as roots", r.err)
            shape, y = npy_read(self.path("y.npy"))
            if len(task) == 1:  # whole counts
                self.assertLess(max(abs((v + 1) * 15 - round((v + 1) * 15)) for v in y), 1e-3)
            self.assertLess(rms(png_read(self.path("x.png")).values, values), 14)  # 30 counts at white: 30 without help

    def test_weighted(self):
        self.png("a.png", 32, 32, 1)
        self.good("simulate", "ct:angles=30", "--noise-model", "poisson:peak=1000", "-i", self.path("a.png"), "-o", self.path("y.npy"))
        r = self.good("restore", "ct", "--noise-model", "poisson:peak=1000", "-i", self.path("y.npy"), "-o", self.path("x.png"),
                      "--steps", "8")
        self.assertIn("peak 1000, weighted", r.err)
        self.assertLess(rms(png_read(self.path("x.png")).values, smooth(32, 32, 1)), 16)

    def test_refused(self):
        self.npy("y.npy", (1, 1, 64))
        self.npy("x.npy", (16, 16))
        out = ["-o", self.path("z.npy")]
        self.refused(2, "restore", "cs:width=16,height=16", "--noise-model", "poisson:peak=30", "-i", self.path("y.npy"), *out,
                     says="turning negative")
        self.refused(2, "simulate", "phase", "--noise-model", "poisson:peak=30", "-i", self.path("x.npy"), *out, says="linear")
        for bad in ("poisson", "poisson:peak=0", "poisson:peak=nan", "poisson:top=3", "laplace"):
            self.refused(2, "restore", "denoise", "--noise-model", bad, "-i", self.path("x.npy"), *out, says="--noise-model")
        self.refused(2, "restore", "denoise", "--noise-model", "poisson:peak=9", "--sigma", "0.1", "-i", self.path("x.npy"), *out,
                     says="--sigma")


class Consistency(Case):
    def residual(self, *more):
        r = self.good("restore", "superres:factor=2", "-i", self.path("y.npy"), "-o", self.path("x.npy"), "--overwrite", "--sigma",
                      "0.05", *more, *FEW)
        m = re.search(r"residual ([0-9.e-]+), expected ([0-9.e-]+)", r.err)
        return float(m.group(1)), float(m.group(2))

    def test_ball_and_exact(self):
        for channels in (1, 3):
            self.png("a.png", 24, 20, channels)
            self.good("simulate", "superres:factor=2", "--sigma", "0.02", "-i", self.path("a.png"), "-o", self.path("y.npy"),
                      "--overwrite")
            before, expected = self.residual()
            shape, x = npy_read(self.path("x.npy"))
            after, _ = self.residual("--data-consistency", "ball")
            shape, ball = npy_read(self.path("x.npy"))
            if before <= expected:
                self.assertEqual(x, ball)
            else:
                self.close(after / expected, 1, 1e-3)
            self.residual("--data-consistency", "exact")
            shape, x = npy_read(self.path("x.npy"))
            shape, y = npy_read(self.path("y.npy"))
            for k, v in enumerate(y):
                c, i, j = k // (shape[-2] * shape[-1]), k // shape[-1] % shape[-2], k % shape[-1]
                at = (c * 2 * shape[-2] + 2 * i) * 2 * shape[-1] + 2 * j
                self.close((x[at] + x[at + 1] + x[at + 2 * shape[-1]] + x[at + 2 * shape[-1] + 1]) / 4, v, 1e-5)

    def test_refused(self):
        self.npy("y.npy", (1, 16, 16))
        self.refused(2, "restore", "hdr", "--data-consistency", "ball", "-i", self.path("y.npy"), "-o", self.path("x.npy"),
                     says="linear")


if __name__ == "__main__":
    main()
