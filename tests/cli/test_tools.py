#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The commands around `restore`: simulate, metric, evaluate, info, network, sample."""
import json
import math
import os
import random
import shutil
import struct
import subprocess
import unittest
import wave

from support import COMMAND, ROOT, Case, environment, main, npy_read, png_read, projdiff, relative_l2, smooth, write

MP3 = os.path.join(os.environ.get("PJD_DATA") or os.path.join(os.path.dirname(ROOT), "shared", "data"), "multitrack", "drums.mp3")


class Simulate(Case):
    def test_superres_is_the_mean_of_blocks(self):
        values = smooth(6, 4)
        a = self.png("a.png", 6, 4, values=values)
        self.good("simulate", "superres:factor=2", "-i", a, "-o", self.path("b.npy"))
        shape, y = npy_read(self.path("b.npy"))
        self.assertEqual(shape, (3, 2, 3))
        for c in range(3):
            for r in range(2):
                for k in range(3):
                    block = [values[3 * (6 * (2 * r + i) + 2 * k + j) + c] for i in (0, 1) for j in (0, 1)]
                    self.close(y[6 * c + 3 * r + k], sum(block) / 4 / 127.5 - 1, 1e-6)

    def test_noise_has_the_stated_deviation(self):
        a = self.npy("a.npy", (3, 64, 64), [0.0] * 12288)
        out = []
        for seed in "112":
            self.good("simulate", "denoise", "-i", a, "-o", self.path("n.npy"), "--sigma", "0.05", "--seed", seed, "--overwrite")
            out.append(npy_read(self.path("n.npy"))[1])
        self.assertEqual(out[0], out[1])
        self.assertNotEqual(out[0], out[2])
        # 0.05 on 0..1 is 0.1 on -1..1; the deviation of 12288 draws is good to 0.6 percent (one sigma): allow four
        self.close(math.sqrt(sum(v * v for v in out[0]) / 12288), 0.1, 0.0026)

    def test_pictures_are_clipped_and_keep_their_depth(self):
        for bits, top in ((8, 255), (16, 65535)):
            a = self.png("a.png", 16, 16, 3, bits, values=[0, top, top // 2] * 256)
            self.good("simulate", "denoise", "-i", a, "-o", self.path("b.png"), "--sigma", "0.2", "--overwrite")
            p = png_read(self.path("b.png"))
            self.assertEqual(p.bits, bits)
            self.assertEqual((min(p.values), max(p.values)), (0, top))

    def test_random_mask(self):
        a = self.png("a.png", 10, 8)
        words = ["simulate", "inpaint", "--mask-random", "0.25", "-i", a, "--seed", "3", "--sigma", "0.1"]
        self.good(*words, "-o", self.path("b.npy"), "--mask-out", self.path("m.png"))
        mask = png_read(self.path("m.png"))
        self.assertEqual((mask.channels, mask.size, set(mask.values)), (1, (10, 8), {0, 255}))
        self.assertEqual(mask.values.count(255), 20)
        y = npy_read(self.path("b.npy"))[1]
        for i, v in enumerate(mask.values):
            for c in range(3):
                self.assertEqual(y[80 * c + i] == 0, v == 255)
        # the mask that was written is the mask that was used
        self.good("simulate", "inpaint", "--mask", self.path("m.png"), "-i", a, "--seed", "3", "--sigma", "0.1", "-o",
                  self.path("c.npy"))
        self.assertEqual(npy_read(self.path("c.npy"))[1], y)
        self.good(*words, "-o", self.path("g.png"), "--mask-out", self.path("i.png"), "--mask-invert")
        self.assertEqual([255 - v for v in png_read(self.path("i.png")).values], mask.values)
        gray = png_read(self.path("g.png")).values
        self.assertTrue(all(gray[3 * i] in (127, 128) for i, v in enumerate(mask.values) if v == 255))

    def test_clean_part_that_a_restoration_shows(self):
        a = self.npy("a.npy", (3, 20, 18))
        self.good("simulate", "deblur:gaussian=1", "-i", a, "-o", self.path("y.npy"), "--clean-out", self.path("c.npy"))
        (_, h, w), y = npy_read(self.path("y.npy"))
        (_, ch, cw), c = npy_read(self.path("c.npy"))
        self.assertEqual((h, w), (ch, cw))
        self.assertTrue(h < 20 and w < 18)
        oy, ox, x = (20 - h) // 2, (18 - w) // 2, npy_read(a)[1]
        self.assertEqual(c, [x[(p * 20 + oy + i) * 18 + ox + j] for p in range(3) for i in range(h) for j in range(w)])

    def test_refused(self):
        a, b = self.png("a.png", 6, 4), self.path("b.png")
        self.refused(2, "simulate", "denoise", "-i", a, "-o", b, "--sigma", "nan", says="--sigma")
        self.refused(2, "simulate", "inpaint", "-i", a, "-o", b, says="mask")
        self.refused(2, "simulate", "denoise", "--mask-random", "0.5", "-i", a, "-o", b, says="--mask-random")
        self.refused(2, "simulate", "inpaint", "--mask-random", "1", "-i", a, "-o", b, says="--mask-random")
        self.refused(2, "simulate", "superres:factor=2", "-i", a, says="-o")


class Recordings(Case):
    def wav(self, name, samples, channels=1, rate=8000):
        with wave.open(self.path(name), "wb") as w:
            w.setnchannels(channels)
            w.setsampwidth(2)
            w.setframerate(rate)
            w.writeframes(struct.pack("<%dh" % len(samples), *samples))
        return self.path(name)

    def test_si_sdr(self):
        s, n = [8000, -8000] * 50, [800, 800, -800, -800] * 25  # n is orthogonal to s and a tenth of it: 20 dB
        a, b = self.wav("a.wav", s), self.wav("b.wav", [p // 2 + q // 2 for p, q in zip(s, n)])
        self.close(float(self.good("metric", "si-sdr", b, a).text), 20, 1e-4)
        self.assertEqual(self.good("metric", "si-sdr", a, a).text, "inf\n")
        self.refused(2, "metric", "si-sdr", a, self.wav("c.wav", s[:50]), says="sizes differ")
        self.refused(2, "metric", "si-sdr", a, self.wav("d.wav", [0] * 100), says="silent")

    @unittest.skipUnless(os.path.isfile(MP3), "the recording is not here")
    def test_an_mp3_is_as_long_as_what_it_holds(self):
        # libsndfile's own guess is 22,218 samples more
        self.assertEqual(self.good("metric", "si-sdr", MP3, MP3).text, "inf\n")


class Metric(Case):
    def test_align(self):
        values = [math.sin(k * k) for k in range(48)]
        turned = [v for c in range(3) for v in reversed(values[16 * c:16 * c + 16])]
        turned[16:32] = [-v for v in values[16:32]]
        a, b = self.npy("a.npy", (3, 4, 4), turned), self.npy("b.npy", (3, 4, 4), values)
        self.assertLess(float(self.good("metric", "psnr", a, b).text), 20)
        self.assertEqual(self.good("metric", "psnr", a, b, "--align").text, "inf\n")

    def test_psnr(self):
        a = self.png("a.png", 12, 12, values=[100] * 432)
        b = self.png("b.png", 12, 12, values=[110] * 432)
        self.close(float(self.good("metric", "psnr", a, b).text), 20 * math.log10(255 / 10), 1e-4)
        self.assertEqual(self.good("metric", "psnr", a, a).text, "inf\n")
        self.close(float(self.good("metric", "psnr", a, b, "--range", "2").text), 20 * math.log10(2 * 255 / 10), 1e-4)
        x, y = self.npy("x.npy", (1, 3, 4, 4), [0.0] * 48), self.npy("y.npy", (1, 3, 4, 4), [0.1] * 48)
        self.close(float(self.good("metric", "psnr", x, y).text), 20 * math.log10(20), 1e-4)
        self.close(float(self.good("metric", "psnr", x, y, "--range", "1").text), 20 * math.log10(10), 1e-4)
        # the same numbers whether as a picture or as an array in -1..1
        self.good("simulate", "denoise", "-i", a, "-o", self.path("a.npy"))
        self.good("simulate", "denoise", "-i", b, "-o", self.path("b.npy"))
        self.assertEqual(self.good("metric", "psnr", self.path("a.npy"), self.path("b.npy")).text,
                         self.good("metric", "psnr", a, b).text)

    def test_ssim(self):
        a = self.png("a.png", 20, 16)
        self.close(float(self.good("metric", "ssim", a, a).text), 1, 1e-6)
        b = self.png("b.png", 20, 16, values=[255 - v for v in smooth(20, 16)])
        self.assertLess(float(self.good("metric", "ssim", a, b).text), 0.5)

    def test_refused(self):
        a, b = self.png("a.png", 12, 12), self.png("b.png", 12, 11)
        small = self.png("s.png", 10, 10)
        self.refused(2, "metric", "psnr", a, b, says=["12x12", "12x11"])
        self.refused(2, "metric", "psnr", a, says="expected")
        self.refused(2, "metric", "lpips", a, a, says="lpips")
        self.refused(2, "metric", "ssim", small, small)
        self.refused(2, "metric", "psnr", a, a, "--range", "0", says="--range")
        self.refused(2, "metric", "psnr", a, a, "--range", "nan", says="--range")
        self.refused(2, "metric", "psnr", "-", "-", says="standard input")


class Evaluate(Case):
    def folders(self):
        """a, b and c restored, a, b and d as they were; a's and b's differ by 10 and by 20 of 255."""
        for name in ("made", "true"):
            os.mkdir(self.path(name))
        for name, value in (("a", 110), ("b", 120)):
            self.png("made/%s.png" % name, 12, 12, values=[value] * 432)
            self.png("true/%s.png" % name, 12, 12, values=[100] * 432)
        return self.path("made"), self.path("true")

    def expected(self, *differences):
        return [20 * math.log10(255 / d) for d in differences]

    def test_table(self):
        made, true = self.folders()
        r = self.good("evaluate", made, true, "--metrics", "psnr,mae")
        rows = [line.split() for line in r.text.splitlines()]
        ten, twenty = self.expected(10, 20)
        self.assertEqual([row[0] for row in rows], ["psnr", "a.png", "b.png", "mean"])
        self.assertEqual(rows[0], ["psnr", "mae"])
        for row, psnr, mae in zip(rows[1:], (ten, twenty, (ten + twenty) / 2), (10 / 255, 20 / 255, 15 / 255)):
            self.close(float(row[1]), psnr, 1e-4)
            self.close(float(row[2]), mae, 1e-5)
        # the same numbers as metric's, and two files are one row
        one = self.good("evaluate", made + "/a.png", true + "/b.png").text.splitlines()
        self.assertEqual(one[1].split(), ["a.png"] + [
            self.good("metric", m, made + "/a.png", true + "/b.png").text.strip() for m in ("psnr", "ssim")])
        self.assertEqual(one[2].split()[1:], one[1].split()[1:])

    def test_json(self):
        made, true = self.folders()
        self.png("made/same.png", 12, 12, values=[7] * 432)
        self.png("true/same.png", 12, 12, values=[7] * 432)
        found = json.loads(self.good("evaluate", made, true, "--metrics", "psnr,rmse", "--json").text)
        self.assertEqual([os.path.basename(p["estimate"]) for p in found["pictures"]], ["a.png", "b.png", "same.png"])
        self.assertEqual(found["pictures"][0]["reference"], true + "/a.png")
        self.close(found["pictures"][1]["psnr"], self.expected(20)[0], 1e-4)
        self.assertIsNone(found["pictures"][2]["psnr"])  # infinite, and so is the mean
        self.assertIsNone(found["mean"]["psnr"])
        self.close(found["mean"]["rmse"], 10 / 255, 1e-5)
        self.assertEqual((found["done"], found["failed"]), (3, 0))

    def test_what_does_not_fit_stays_out_of_the_mean(self):
        made, true = self.folders()
        self.png("made/c.png", 12, 12)
        self.png("true/d.png", 12, 12)
        self.png("made/e.png", 12, 11)
        self.png("true/e.png", 12, 12)
        write(self.path("made/f.png"), b"not a picture")
        self.png("true/f.png", 12, 12)
        r = projdiff("evaluate", made, true, "--json")
        self.assertEqual(r.code, 6)
        for words in ("c.png: no reference", "sizes differ", "f.png", "1 of 5 references have no estimate", "2 done, 3 failed"):
            self.assertIn(words, r.err)
        found = json.loads(r.text)
        self.close(found["mean"]["psnr"], sum(self.expected(10, 20)) / 2, 1e-4)
        self.assertEqual((found["done"], found["failed"]), (2, 3))
        self.assertIsNone(found["pictures"][2]["reference"])
        self.assertIsNone(found["pictures"][3]["psnr"])
        table = projdiff("evaluate", made, true)
        self.assertEqual(table.code, 6)
        self.assertEqual([line.split()[0] for line in table.text.splitlines()[1:]], ["a.png", "b.png", "mean"])

    def test_names(self):
        made, true = self.folders()
        for folder, value in (("made", 30), ("true", 20)):  # an array's -1..1 beside a picture of the same name
            self.good("simulate", "denoise", "-i", self.png("x.png", 12, 12, values=[value] * 432), "-o",
                      self.path(folder + "/x.npy"))
        self.png("made/y.png", 12, 12, values=[30] * 432)
        self.png("true/y.tif.png", 12, 12)
        self.good("simulate", "denoise", "-i", self.png("y.png", 12, 12, values=[20] * 432), "-o", self.path("true/y.tif"))
        rows = [line.split() for line in self.good("evaluate", made, true, "--metrics", "psnr").text.splitlines()]
        self.assertEqual([row[0] for row in rows[1:]], ["a.png", "b.png", "x.npy", "y.png", "mean"])
        for row in rows[3:5]:
            self.close(float(row[1]), self.expected(10)[0], 1e-3)
        self.png("true/y.bmp", 12, 12)
        self.assertIn("2 references", projdiff("evaluate", made, true).err)

    def test_refused(self):
        made, true = self.folders()
        os.mkdir(self.path("empty"))
        self.png("other.png", 12, 12)
        self.refused(3, "evaluate", made, self.path("none"), says="none")
        self.refused(3, "evaluate", self.path("empty"), true, says="no pictures")
        self.refused(2, "evaluate", made, self.path("other.png"), says="is a folder and")
        self.refused(2, "evaluate", made, says="expected")
        for metrics in ("lpips", "psnr,", ",", "psnr,psnr", "x" * 300):
            self.refused(2, "evaluate", made, true, "--metrics", metrics, says="--metrics")


class Models(Case):
    def test_info(self):
        for words in ([], [os.path.join(ROOT, "models/photo")]):
            text = self.good("info", *words).text
            for line in ("family: diffusers UNet2DModel", "container: safetensors", "channels: 3 in, 3 out",
                         "timesteps: 1000"):
                self.assertIn(line + "\n", text)
        info = json.loads(self.good("info", "--json").text)
        self.assertEqual((info["in_channels"], info["prediction"], info["timesteps"]), (3, "eps", 1000))
        self.assertGreater(info["parameters"], 1000000)

    def test_estimates(self):
        rows = json.loads(self.good("info", "--json").text)["estimates"]
        self.assertEqual([(r["width"], r["height"]) for r in rows],
                         [(64, 64), (128, 128), (256, 256), (512, 512), (768, 512), (1024, 1024)])
        for a, b in zip(rows, rows[1:]):  # more pixels, more time
            self.assertLess(0, a["seconds"])
            self.assertLess(a["seconds"], b["seconds"])
            self.assertLessEqual(a["activation_bytes"] + a["weight_bytes"], a["bytes"])
            self.assertLess(a["activation_bytes"] // a["tiles"], b["activation_bytes"])
        self.assertIn("  768x512 ", self.good("info").text)
        bench = json.loads(self.good("bench", "--size", "64x64", "--rounds", "3", "--json").text)
        # a factor that no busy machine should reach: this is a check of units, not of speed
        self.assertLess(0, bench["estimated_ms"])
        self.assertLess(bench["estimated_ms"], 1000 * bench["most_ms"])
        self.assertLess(bench["least_ms"], 1000 * bench["estimated_ms"])
        self.assertLessEqual(bench["activation_bytes"], bench["estimated_bytes"])

    def test_expected_before_the_run(self):
        small = self.png("small.png", 12, 10, values=smooth(12, 10))
        out = self.path("large.png")
        r = self.good("restore", "superres:factor=2", "--steps", "3", "-i", small, "-o", out)
        self.assertRegex(r.err, r"expected: about (less than a second|\d[\d.]* (s|min)) and \d+ MiB \(3 network calls\)")
        r = self.good("restore", "superres:factor=2", "--steps", "3", "-i", small, "-o", out, "--overwrite", "-q")
        self.assertEqual(r.err, "")
        r = self.good("restore", "denoise", "--sigma", "0.1", "--samples", "2", "--std", self.path("std.npy"), "--solver", "posterior",
                      "--steps", "4", "-i", small, "-o", self.path("one.png"), "--progress", "json")
        events = [json.loads(l) for l in r.err.splitlines()]
        kinds = [e["event"] for e in events]
        self.assertLess(kinds.index("expected"), kinds.index("step"))
        expected = events[kinds.index("expected")]
        self.assertEqual(expected["network_calls"], 4)
        self.assertGreater(expected["seconds"], 0)
        self.assertGreater(expected["bytes"], 1 << 20)
        r = self.good("sample", "--size", "32x32", "--steps", "2", "-o", self.path("sample.png"))
        self.assertIn("(2 network calls)", r.err)

    def test_where_the_shipped_prior_is_looked_for(self):
        shutil.copy(COMMAND, self.path("projdiff"))
        env = environment()
        if os.system("ldd %s | grep -q 'not found'" % self.path("projdiff")) == 0:
            folders = [os.path.dirname(os.path.dirname(COMMAND)), os.path.join(os.path.dirname(COMMAND), "../src/io")]
            env["LD_LIBRARY_PATH"] = ":".join(folders + [env.get("LD_LIBRARY_PATH", "")])
        run = lambda: subprocess.run([self.path("projdiff"), "info"], capture_output=True, env=env)
        p = run()
        self.assertEqual(p.returncode, 4)
        self.assertIn(b"PROJDIFF_MODELS", p.stderr)
        env["PROJDIFF_MODELS"] = "/nowhere:" + os.path.join(ROOT, "models")
        self.assertEqual(run().returncode, 0)
        del env["PROJDIFF_MODELS"]
        os.makedirs(self.path("../%s-x/bin" % os.path.basename(self.dir)))
        prefix = self.dir + "-x"
        self.addCleanup(shutil.rmtree, prefix)
        shutil.move(self.path("projdiff"), prefix + "/bin/projdiff")
        shutil.copytree(os.path.join(ROOT, "models/photo"), prefix + "/share/projdiff/models/photo")
        p = subprocess.run([prefix + "/bin/projdiff", "info"], capture_output=True, env=env)
        self.assertEqual(p.returncode, 0, p.stderr)


class Network(Case):
    def test_raw_and_clean_estimate(self):
        rng = random.Random(4)
        values = [rng.gauss(0, 1) for _ in range(2 * 3 * 8 * 8)]
        x = self.npy("x.npy", (2, 3, 8, 8), values)
        self.good("network", "-i", x, "--t", "37", "-o", self.path("eps.npy"))
        self.good("network", "-i", x, "--t", "37", "--denoise", "-o", self.path("x0.npy"))
        shape, eps = npy_read(self.path("eps.npy"))
        self.assertEqual(shape, (2, 3, 8, 8))
        abar = math.prod(1 - (1e-4 + (0.02 - 1e-4) * t / 999) for t in range(38))
        expected = [(v - math.sqrt(1 - abar) * e) / math.sqrt(abar) for v, e in zip(values, eps)]
        # float32 here and there
        self.assertTrue(relative_l2(npy_read(self.path("x0.npy"))[1], expected) <= 1e-5)
        # an item alone, of rank 3, and with other threads
        y = self.npy("y.npy", (3, 8, 8), values[192:])
        self.good("network", "-i", y, "--t", "37", "-o", self.path("one.npy"), "-t", "1")
        shape, one = npy_read(self.path("one.npy"))
        self.assertEqual(shape, (3, 8, 8))
        self.assertTrue(relative_l2(one, eps[192:]) <= 1e-5)

    def test_refused(self):
        x, out = self.npy("x.npy", (1, 3, 4, 4)), self.path("o.npy")
        self.refused(2, "network", "-i", x, "-o", out, says="--t")
        self.refused(2, "network", "-i", x, "-o", out, "--t", "1000", says="--t")
        self.refused(2, "network", "-i", x, "-o", out, "--t", "-1", says="--t")
        self.refused(2, "network", "-i", x, "-o", out, "--t", "nan", says="--t")
        self.refused(2, "network", "-i", x, "-o", out, "--t", "3", "--class", "1", says="--class")
        self.refused(2, "network", "-i", self.npy("c.npy", (1, 4, 4, 4)), "-o", out, "--t", "3", says="channels")
        self.refused(3, "network", "-i", self.path("none.npy"), "-o", out, "--t", "3", says="none.npy")
        self.refused(2, "network", "-i", x, "-o", out, "--t", "3", "--model-config", "nonsense=1", says="nonsense")


class Bench(Case):
    """What is told, not how fast it was."""

    def test_lines(self):
        r = self.good("bench", "--size", "24x16", "--rounds", "2", "-t", "1")
        self.assertEqual(r.err, "")
        self.assertEqual([line.split(":")[0] for line in r.text.splitlines()],
                         ["network", "input", "precision", "threads", "planning", "one call", "estimated before", "activations",
                          "packed weights", "tiles"])
        self.assertIn("input: 1 of 24x16, 3 channel(s)\n", r.text)
        self.assertRegex(r.text, r"(?m)^one call: [0-9.]+ ms \(median of 2; least [0-9.]+, most [0-9.]+\)$")
        self.assertRegex(r.text, r"(?m)^activations: [0-9.]+ MiB$")
        self.assertIn("tiles: 1\n", r.text)

    def test_json(self):
        words = ["bench", "-m", os.path.join(ROOT, "models/photo"), "--size", "40x33", "--json", "-t", "1"]
        for rounds in (1, 2, 3):
            b = json.loads(self.good(*words, "--rounds", rounds, "--batch", "2", "--precision", "exact").text)
            self.assertEqual([b[k] for k in ("batch", "channels", "width", "height", "threads", "rounds", "precision",
                                             "tiles")], [2, 3, 40, 33, 1, rounds, "exact", 1])
            self.assertTrue(0 < b["least_ms"] <= b["median_ms"] <= b["most_ms"])
            self.assertTrue(b["plan_ms"] > 0 and b["activation_bytes"] > 0 and b["weight_bytes"] > 0)
            self.assertGreater(b["parameters"], 1000000)
        b = json.loads(self.good(*words, "--rounds", 1, "--tile", "32").text)
        self.assertGreater(b["tiles"], 1)

    def test_refused(self):
        for size in ("9", "9x", "x5", "0x5", "9x5x3", "axb"):
            self.refused(2, "bench", "--size", size, says="--size")
        self.refused(2, "bench", "--rounds", "0", says="--rounds")
        self.refused(2, "bench", "--batch", "0", says="--batch")
        self.refused(2, "bench", "model.pt", says="too many")
        self.refused(3, "bench", "-m", self.path("none.pt"), says="none.pt")


class Sample(Case):
    def test_sizes_seeds_and_several(self):
        self.good("sample", "--size", "9x5", "--steps", "3", "-o", self.path("a.png"))
        self.assertEqual(png_read(self.path("a.png")).size, (9, 5))
        self.good("sample", "--size", "9x5", "--steps", "3", "--seed", "0", "-o", self.path("b.png"))
        self.good("sample", "--size", "9x5", "--steps", "3", "--seed", "1", "--eta", "1", "-o", self.path("c.png"))
        a, b, c = (png_read(self.path(n)).values for n in ("a.png", "b.png", "c.png"))
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)
        self.good("sample", "--size", "4x4", "--steps", "2", "--samples", "2", "-o", self.path("s{n}.npy"))
        self.assertEqual(npy_read(self.path("s2.npy"))[0], (3, 4, 4))

    def test_refused(self):
        for size in ("9", "9x", "x5", "0x5", "-1x5", "9x5x3", "axb"):
            self.refused(2, "sample", "--size", size, "-o", self.path("a.png"), says="--size")
        self.refused(2, "sample", "--samples", "2", "-o", self.path("a.png"), says="{n}")
        self.refused(2, "sample", "--eta", "1.5", "-o", self.path("a.png"), says="--eta")
        self.refused(2, "sample", says="-o")


if __name__ == "__main__":
    main()
