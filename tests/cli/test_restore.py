#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `restore` does to pictures and arrays of every kind. Few steps: these tests are about the command, not quality."""
import json
import math
import os
import random
import re
import resource
import subprocess

from support import COMMAND, Case, environment, main, npy_read, png_read, projdiff, smooth

FEW = ["--steps", "2"]


class Sizes(Case):
    def test_any_size(self):
        for i, (w, h) in enumerate([(1, 1), (2, 3), (17, 1), (18, 18)]):
            self.png("a.png", w, h)
            self.good("restore", "denoise", "-i", self.path("a.png"), "-o", self.path("d%d.png" % i), *FEW)
            self.assertEqual(png_read(self.path("d%d.png" % i)).size, (w, h))
            self.good("restore", "superres:factor=2", "-i", self.path("a.png"), "-o", self.path("s%d.png" % i), *FEW)
            self.assertEqual(png_read(self.path("s%d.png" % i)).size, (2 * w, 2 * h))

    def test_odd_size_and_all_of_its_rows(self):
        w, h = 257, 191
        values = smooth(w, h)
        a = self.png("a.png", w, h, values=values)
        mask = [0] * (w * h)
        mask[100 * w + 100] = 255
        self.png("m.png", w, h, 1, values=mask)
        self.good("restore", "inpaint:mask=" + self.path("m.png"), "-i", a, "-o", self.path("b.png"), "--steps", "1")
        b = png_read(self.path("b.png"))
        self.assertEqual(b.size, (w, h))
        self.assertEqual([v for i, v in enumerate(b.values) if i // 3 != 100 * w + 100],
                         [v for i, v in enumerate(values) if i // 3 != 100 * w + 100])

    def test_superres_to_an_exact_size(self):
        a = self.png("a.png", 9, 5)
        self.good("restore", "superres:factor=2,width=17,height=9", "-i", a, "-o", self.path("b.png"), *FEW)
        self.assertEqual(png_read(self.path("b.png")).size, (17, 9))

    def test_superres_kernels_and_factors(self):
        a = self.png("a.png", 17, 10, values=smooth(17, 10))
        box = self.png("box.png", 2, 2, 1, values=[255] * 4)
        for i, (task, size) in enumerate([("factor=2", (9, 5)), ("factor=2,kernel=bicubic", (9, 5)), ("factor=1.5", (12, 7)),
                                          ("factor=2.5,kernel=gaussian,gaussian=0.9", (7, 4)), ("factor=2,kernel=" + box, (9, 5))]):
            y, x = self.path("y%d.png" % i), self.path("x%d.png" % i)
            self.good("simulate", "superres:" + task, "-i", a, "-o", y)
            self.assertEqual(png_read(y).size, size)
            self.good("restore", "superres:" + task + ",width=17,height=10", "-i", y, "-o", x, *FEW)
            self.assertEqual(png_read(x).size, (17, 10))
        self.good("simulate", "superres:factor=2", "--kernel", box, "-i", a, "-o", self.path("flag.png"))
        self.assertEqual(png_read(self.path("flag.png")).values, png_read(self.path("y4.png")).values)
        self.refused(2, "restore", "superres:factor=2.5", "--kernel", box, "-i", a, "-o", self.path("b.png"), says="whole factor")
        self.refused(3, "restore", "superres:factor=2,kernel=lanczos", "-i", a, "-o", self.path("b.png"), says="average|bicubic|gaussian")


class Kinds(Case):
    def test_gray_stays_gray_and_alpha_is_kept(self):
        for channels in (1, 2, 3, 4):
            values = smooth(11, 7, channels)
            a = self.png("a%d.png" % channels, 11, 7, channels, values=values)
            b = self.path("b%d.png" % channels)
            self.good("restore", "denoise", "--sigma", "0.02", "-i", a, "-o", b, *FEW)
            p = png_read(b)
            self.assertEqual((p.size, p.channels, p.bits), ((11, 7), channels, 8))
            if channels in (2, 4):
                self.assertEqual(p.values[channels - 1::channels], values[channels - 1::channels])

    def test_alpha_grows_with_the_picture(self):
        a = self.png("a.png", 6, 5, 4, values=[200, 100, 50, 128] * 30)
        self.good("restore", "superres:factor=2", "-i", a, "-o", self.path("b.png"), *FEW)
        p = png_read(self.path("b.png"))
        self.assertEqual((p.size, p.channels), ((12, 10), 4))
        self.assertEqual(set(p.values[3::4]), {128})

    def test_sixteen_bit_in_sixteen_bit_out(self):
        values = smooth(9, 8, 3, 16)
        a = self.png("a.png", 9, 8, 3, 16, values=values)
        mask = self.png("m.png", 9, 8, 1, values=[255] + [0] * 71)
        self.good("restore", "inpaint:mask=" + mask, "-i", a, "-o", self.path("b.png"), *FEW)
        p = png_read(self.path("b.png"))
        self.assertEqual(p.bits, 16)
        self.assertEqual(p.values[3:], values[3:])

    def test_palette(self):
        a = self.png("a.png", 4, 4, 1, values=[0, 1, 2, 1] * 4, palette=[(255, 0, 0), (0, 255, 0), (0, 0, 255)])
        self.good("restore", "denoise", "-i", a, "-o", self.path("b.png"), *FEW)
        p = png_read(self.path("b.png"))
        self.assertEqual((p.size, p.channels), ((4, 4), 3))

    def test_arrays_keep_their_rank(self):
        for shape, out in (((6, 5), (12, 10)), ((3, 6, 5), (3, 12, 10)), ((1, 6, 5), (1, 12, 10)),
                           ((2, 3, 6, 5), (2, 3, 12, 10)), ((1, 3, 6, 5), (1, 3, 12, 10))):
            name = "x".join(map(str, shape))
            a, b = self.npy(name + ".npy", shape), self.path(name + "-out.npy")
            self.good("restore", "superres:factor=2", "--sigma", "0", "-i", a, "-o", b, *FEW)
            got, values = npy_read(b)
            self.assertEqual(got, out)
            self.assertTrue(all(math.isfinite(v) for v in values))
            # noise-free: the means of the result are the measurement; float32 rounding of sums of values below 4
            _, y = npy_read(a)
            w, plane = out[-1], out[-1] * out[-2]
            for k in range(len(y)):
                p, r, c = k // (plane // 4), k % (plane // 4) // (w // 2), k % (w // 2)
                at = p * plane + 2 * r * w + 2 * c
                self.close((values[at] + values[at + 1] + values[at + w] + values[at + w + 1]) / 4, y[k], 4e-6)

    def test_every_item_is_restored(self):
        one = [random.Random(1).uniform(-1, 1) for _ in range(75)]
        a = self.npy("a.npy", (1, 3, 5, 5), one)
        b = self.npy("b.npy", (2, 3, 5, 5), one + [0.5 * v for v in one], "<f8")
        for n in "ab":
            self.good("restore", "denoise", "--sigma", "0.05", "-i", self.path(n + ".npy"), "-o", self.path(n + "o.npy"), *FEW)
        first, second = npy_read(self.path("ao.npy"))[1], npy_read(self.path("bo.npy"))[1]
        self.assertEqual(second[:75], first)
        self.assertNotEqual(second[75:], first)

    def test_refused_arrays(self):
        b = self.path("b.npy")
        self.refused(2, "restore", "denoise", "-i", self.npy("a.npy", (7,)), "-o", b, says="rank")
        self.refused(3, "restore", "denoise", "-i", self.npy("n.npy", (1, 2), [0.0, float("nan")]), "-o", b, says="finite")
        self.refused(2, "restore", "denoise", "--sigma", "0", "-i", self.npy("c.npy", (5, 4, 4)), "-o", b)

    def test_picture_to_array_and_back(self):
        a = self.png("a.png", 5, 4)
        mask = self.png("m.png", 5, 4, 1, values=[255] + [0] * 19)
        self.good("restore", "inpaint", "--mask", mask, "-i", a, "-o", self.path("b.npy"), *FEW)
        shape, values = npy_read(self.path("b.npy"))
        self.assertEqual(shape, (3, 4, 5))
        source = png_read(a).values
        for i in range(1, 20):
            self.close(values[i], source[3 * i] / 127.5 - 1, 1e-6)


class Masks(Case):
    def setUp(self):
        super().setUp()
        self.values = smooth(8, 6)
        self.a = self.png("a.png", 8, 6, values=self.values)
        self.known = [i % 3 != 0 for i in range(48)]
        self.white = [0 if k else 255 for k in self.known]

    def check(self, *words):
        self.good("restore", "inpaint", "-i", self.a, "-o", self.path("b.png"), "--overwrite", *words, *FEW)
        values = png_read(self.path("b.png")).values
        for i, k in enumerate(self.known):
            if k:
                self.assertEqual(values[3 * i:3 * i + 3], self.values[3 * i:3 * i + 3])
        self.assertNotEqual(values, self.values)

    def test_white_is_missing_in_every_kind_of_mask(self):
        self.check("--mask", self.png("gray.png", 8, 6, 1, values=self.white))
        self.check("--mask", self.png("half.png", 8, 6, 1, values=[v and 128 or 127 for v in self.white]))
        self.check("--mask", self.png("rgb.png", 8, 6, 3, values=[c for v in self.white for c in (v, 0, 0)]))
        self.check("--mask", self.png("alpha.png", 8, 6, 2, values=[c for v in self.white for c in (v, 0)]))
        self.check("--mask", self.png("deep.png", 8, 6, 1, 16, values=[257 * v for v in self.white]))
        self.check("--mask", self.npy("m.npy", (6, 8), [v / 255 for v in self.white]))
        self.check("--mask", self.npy("u.npy", (1, 6, 8), [v // 255 for v in self.white], "|u1"))
        inverted = self.png("inv.png", 8, 6, 1, values=[255 - v for v in self.white])
        self.check("--mask", inverted, "--mask-invert")

    def test_odd_names(self):
        mask = self.png("m,=+:.png", 8, 6, 1, values=self.white)
        self.check("--mask", mask)
        escaped = re.sub(r"([,=+:\\])", r"\\\1", mask)
        self.good("restore", "inpaint:mask=" + escaped, "-i", self.a, "-o", self.path("c\u00e4.png"), *FEW)

    def test_nothing_missing(self):
        none = self.png("none.png", 8, 6, 1, values=[0] * 48)
        r = self.good("restore", "inpaint", "--mask", none, "-i", self.a, "-o", self.path("b.png"), *FEW)
        self.assertIn("warning", r.err)
        self.assertEqual(png_read(self.path("b.png")).values, self.values)
        x = self.npy("x.npy", (1, 6, 8))
        self.good("restore", "inpaint", "--mask", none, "-i", x, "-o", self.path("y.npy"), *FEW)
        self.assertEqual(npy_read(self.path("y.npy")), npy_read(x))

    def test_refused(self):
        b = self.path("b.png")
        every = self.png("all.png", 8, 6, 1, values=[255] * 48)
        self.refused(2, "restore", "inpaint", "--mask", every, "-i", self.a, "-o", b, says=["all.png", "known"])
        small = self.png("small.png", 7, 6, 1, values=[255] + [0] * 41)
        self.refused(2, "restore", "inpaint", "--mask", small, "-i", self.a, "-o", b, says="mask")
        self.refused(2, "restore", "denoise", "--mask", small, "-i", self.a, "-o", b, says="mask")


class Blur(Case):
    def test_size_of_the_measurement_and_forms_of_kernels(self):
        a = self.png("a.png", 18, 17)
        point = [0] * 25
        point[7] = point[12] = point[17] = 255  # exactly 1 in every form
        kernel = self.png("k,1.png", 5, 5, 1, values=point)
        rgb = self.png("rgb.png", 5, 5, values=[v for v in point for _ in range(3)])
        self.npy("k.npy", (5, 5), [v / 255 for v in point])
        out = []
        for i, words in enumerate([["deblur", "--kernel", kernel], ["deblur:kernel=" + kernel.replace(",", "\\,")],
                                   ["deblur", "--kernel", rgb], ["deblur:kernel=" + self.path("k.npy")]]):
            self.good("restore", *words, "--sigma", "0.01", "-i", a, "-o", self.path("%d.png" % i), *FEW)
            out.append(png_read(self.path("%d.png" % i)))
            self.assertEqual(out[-1].size, (18, 17))
            self.assertEqual(out[-1].values, out[0].values)
        for i, task in enumerate(["gaussian=1", "motion=4,30", "motion=4\\,30", "motion=4,angle=30", "disk=2",
                                  "gaussian=1,boundary=reflect", "disk=1.5,boundary=periodic"]):
            self.good("restore", "deblur:" + task, "--sigma", "0.01", "-i", a, "-o", self.path("t%d.png" % i), *FEW)
            self.assertEqual(png_read(self.path("t%d.png" % i)).size, (18, 17))
        for i in (2, 3):
            self.assertEqual(png_read(self.path("t%d.png" % i)).values, png_read(self.path("t1.png")).values)
        self.refused(2, "restore", "deblur", "-i", a, "-o", self.path("b.png"))
        self.refused(2, "restore", "deblur:gaussian=nan", "-i", a, "-o", self.path("b.png"), says="gaussian")

    def test_one_task_after_another(self):
        a = self.png("a.png", 8, 6)
        self.good("restore", "deblur:gaussian=1,boundary=reflect+superres:factor=2", "--sigma", "0.01", "-i", a, "-o",
                  self.path("{task}.png"), *FEW)
        self.assertEqual(png_read(self.path("deblur+superres.png")).size, (16, 12))
        mask = self.png("m.png", 8, 6, 1, values=[255, 0] * 24)
        self.good("restore", "deblur:gaussian=1+inpaint", "--mask", mask, "--sigma", "0.01", "-i", a, "-o",
                  self.path("b.png"), *FEW)
        self.assertEqual(png_read(self.path("b.png")).size, (8, 6))


class Noise(Case):
    def test_sigma_is_printed_with_where_it_comes_from(self):
        a = self.png("a.png", 16, 16, values=smooth(16, 16))
        r = self.good("restore", "denoise", "--sigma", "0.05", "-i", a, "-o", self.path("1.png"), *FEW)
        self.assertIn("sigma 0.05 (given), 0.1 in the model's units", r.err)
        flat = self.png("flat.png", 16, 16, values=[90] * 768)
        r = self.good("restore", "denoise", "-i", flat, "-o", self.path("2.png"), *FEW)
        # a flat 8-bit picture: the rounding of the file alone, 1 / (255 sqrt 12)
        self.assertIn("sigma 0.001132 (estimated)", r.err)
        deep = self.png("deep.png", 16, 16, 3, 16, values=[9000] * 768)
        self.assertIn("sigma 4.405e-06 (estimated)",
                      self.good("restore", "denoise", "-i", deep, "-o", self.path("3.png"), *FEW).err)
        mask = self.png("m.png", 16, 16, 1, values=[255] + [0] * 255)
        r = self.good("restore", "inpaint", "--mask", mask, "-i", a, "-o", self.path("4.png"), *FEW)
        self.assertIn("sigma 0 (default)", r.err)

    def test_estimate_of_known_noise(self):
        rng = random.Random(5)
        values = [int(min(max(127.5 + 12.75 * rng.gauss(0, 1), 0), 255) + 0.5) for _ in range(64 * 64 * 3)]
        a = self.png("a.png", 64, 64, values=values)
        r = self.good("restore", "denoise", "--steps", "1", "-i", a, "-o", self.path("b.png"))
        # 12288 draws of deviation 0.05: the median absolute deviation is good to a few percent
        self.close(float(re.search(r"sigma ([0-9.]+) \(estimated\)", r.err).group(1)), 0.05, 0.005)

    def test_seeds_and_threads(self):
        a = self.png("a.png", 16, 12, 1)
        out = []
        for i, words in enumerate([["-t", "1"], ["-t", "2"], ["-t", "3"], ["--seed", "1"], ["--seed", "0"]]):
            self.good("restore", "superres:factor=2", "--sigma", "0.02", "-i", a, "-o", self.path("b%d.png" % i), *words, *FEW)
            with open(self.path("b%d.png" % i), "rb") as f:
                out.append(f.read())
        self.assertEqual(out[0], out[1])
        self.assertEqual(out[0], out[2])
        self.assertNotEqual(out[0], out[3])
        self.assertEqual(out[0], out[4])

    def test_recorded_noise_replaces_the_seed(self):
        a = self.npy("a.npy", (3, 4, 4))
        rng = random.Random(2)
        noise = self.npy("n.npy", (40, 48), [rng.gauss(0, 1) for _ in range(40 * 48)])
        for i, seed in enumerate("12"):
            self.good("restore", "denoise", "--sigma", "0.05", "-i", a, "-o", self.path("b%d.npy" % i), "--noise", noise,
                      "--seed", seed, *FEW)
        self.assertEqual(npy_read(self.path("b0.npy")), npy_read(self.path("b1.npy")))
        short = self.npy("s.npy", (5,), [0.0] * 5)
        self.refused(2, "restore", "denoise", "--sigma", "0.05", "-i", a, "-o", self.path("c.npy"), "--noise", short, "-q", *FEW)


class Samples(Case):
    def test_files_mean_and_deviation(self):
        a = self.npy("a.npy", (3, 4, 4))
        self.good("restore", "superres:factor=2", "--sigma", "0.05", "--samples", "3", "-i", a, "-o",
                  self.path("s{n}-{task}-{seed}.npy"), "--mean", self.path("mean.npy"), "--std", self.path("std.npy"), *FEW)
        samples = [npy_read(self.path("s%d-superres-0.npy" % k))[1] for k in (1, 2, 3)]
        self.assertNotEqual(samples[0], samples[1])
        mean, std = npy_read(self.path("mean.npy")), npy_read(self.path("std.npy"))
        self.assertEqual(mean[0], (3, 8, 8))
        for i, v in enumerate(zip(*samples)):
            m = sum(v) / 3
            self.close(mean[1][i], m, 1e-6)
            self.close(std[1][i], math.sqrt(sum((x - m) ** 2 for x in v) / 2), 1e-6)

    def test_pictures_of_mean_and_deviation(self):
        a = self.png("a.png", 5, 4)
        self.good("restore", "denoise", "--samples", "2", "-i", a, "--mean", self.path("m.png"), "--std", self.path("d.png"),
                  *FEW)
        self.assertEqual(png_read(self.path("m.png")).size, (5, 4))
        self.assertEqual(png_read(self.path("d.png")).size, (5, 4))
        self.assertEqual(self.files(), ["a.png", "d.png", "m.png"])

    def test_array_items_as_pictures(self):
        a = self.npy("a.npy", (2, 3, 5, 4))
        self.good("restore", "denoise", "-i", a, "-o", self.path("i{n}.png"), *FEW)
        self.assertEqual(png_read(self.path("i2.png")).size, (4, 5))
        self.refused(2, "restore", "denoise", "-q", "-i", a, "-o", self.path("i.png"), *FEW, says="{n}")


class Reports(Case):
    def test_end_of_a_run(self):
        a = self.png("a.png", 6, 5)
        r = self.good("restore", "superres:factor=2", "-i", a, "-o", self.path("b.png"), "-v", "--step-size", "0.5", *FEW)
        self.assertEqual(r.out, b"")
        for text in ("superres:factor=2, 6x5 to 12x10", "sigma", "2 steps of size 0.5", "residual", "expected", "outside the "
                     "network", "memory:", "written: " + self.path("b.png")):
            self.assertIn(text, r.err)
        r = self.good("restore", "denoise", "-i", a, "-o", self.path("c.png"), "-q", *FEW)
        self.assertEqual(r.err, "")

    def test_json(self):
        a = self.png('a"b.png', 6, 5)
        r = self.good("restore", "denoise", "-i", a, "-o", self.path("b.png"), "--progress", "json", *FEW)
        events = [json.loads(line) for line in r.err.splitlines()]
        kinds = [e["event"] for e in events]
        self.assertEqual(kinds.count("step"), 2)
        self.assertIn("start", kinds)
        self.assertNotIn("estimate", kinds)  # nothing was left after the second step
        done = events[-1]
        self.assertEqual((done["event"], done["input"], done["output"], done["steps"]), ("done", a, self.path("b.png"), 2))
        r = projdiff("restore", "denoise", "-i", a, "-o", self.path("b.png"), "-m", a, "--overwrite", "--progress", "json")
        self.assertEqual((r.code, json.loads(r.err.splitlines()[-1])["event"]), (4, "error"))
        r = projdiff("restore", "denoise", "--progress", "json")
        self.assertEqual((r.code, json.loads(r.err)["event"]), (2, "error"))

    def test_json_is_utf8_whatever_a_file_is_called(self):
        name = os.fsencode(self.path("")) + b"gr\xfcn \xe2\x82\xac \xed\xa0\x80 \xf0\x9f\x8e\xb5 \xc0\xaf.png"
        os.rename(self.png("a.png", 6, 5), name)
        p = subprocess.run([COMMAND, "restore", "denoise", "-i", name, "-o", self.path("b.png"), "--progress", "json", *FEW],
                           capture_output=True, env=environment())
        self.assertEqual(p.returncode, 0)
        events = [json.loads(line.decode("utf-8")) for line in p.stderr.splitlines()]
        bad = "\ufffd"
        self.assertEqual(os.path.basename(events[-1]["input"]),
                         "gr%sn \u20ac %s \U0001f3b5 %s.png" % (bad, 3 * bad, 2 * bad))

    def test_estimate(self):
        a = self.png("a.png", 6, 5)
        words = ["restore", "denoise", "-i", a, "-o", self.path("b.png"), "--overwrite", "--steps", "4"]
        events = [json.loads(line) for line in self.good(*words, "--progress", "json").err.splitlines()]
        kinds = [e["event"] for e in events]
        self.assertEqual(kinds.count("estimate"), 1)
        self.assertEqual(kinds[kinds.index("estimate") - 1:kinds.index("estimate") + 2], ["step", "estimate", "step"])
        e = events[kinds.index("estimate")]
        self.assertGreater(e["left"], 0)
        self.assertGreater(e["resident_bytes"], 1 << 20)
        self.assertEqual(events[kinds.index("estimate") - 1]["step"], 2)
        self.assertEqual(self.good(*words, "-q").err, "")

    def test_estimate_of_a_long_run(self):
        # a thousand steps of this size take a minute or more on one core; the run is ended after a few
        a = self.png("a.png", 160, 160)
        p = subprocess.Popen([COMMAND, "restore", "denoise", "-i", a, "-o", self.path("b.png"), "--steps", "1000", "-t",
                              "1"], stderr=subprocess.PIPE, env=environment())
        self.addCleanup(p.stderr.close)
        expected, line = (p.stderr.readline().decode() for _ in range(2))
        p.terminate()
        p.communicate(timeout=60)
        self.assertRegex(expected, r"^projdiff: restore: expected: about \d[0-9.]* (s|min|h) and \d+ MiB \(1000 network calls\)$")
        self.assertRegex(line, r"^projdiff: restore: about \d[0-9.]* (s|min|h) left \(step 2 of 1000\), about \d+ MiB$")
        self.assertEqual(p.returncode, 130)

    def test_bar(self):
        a = self.png("a.png", 6, 5)
        r = self.good("restore", "denoise", "-i", a, "-o", self.path("b.png"), "--progress", "bar", *FEW)
        self.assertIn("2/2", r.err)
        self.assertIn("left", r.err)

    def test_estimates_on_the_way(self):
        a = self.png("a.png", 6, 5, 1)
        self.good("restore", "superres:factor=2", "-i", a, "-o", self.path("b.png"), "--steps", "5", "--save-every", "2")
        self.assertEqual(self.files(), ["a.png", "b-step2.png", "b-step4.png", "b.png"])
        p = png_read(self.path("b-step4.png"))
        self.assertEqual((p.size, p.channels), ((12, 10), 1))


class Memory(Case):
    def test_tiles_bound_the_size_of_the_network(self):
        a = self.png("a.png", 70, 33)
        self.good("restore", "denoise", "--sigma", "0.05", "-i", a, "-o", self.path("b.png"), "--tile", "32", "--steps", "1")
        self.assertEqual(png_read(self.path("b.png")).size, (70, 33))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
