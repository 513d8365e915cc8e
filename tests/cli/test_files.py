#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files in, files out: whole or not at all, never replaced unasked, folders, templates, pipes."""
import os
import subprocess

from support import COMMAND, Case, environment, main, npy_bytes, npy_parse, png_bytes, png_parse, png_read, projdiff, smooth, write

FEW = ["--steps", "1", "--sigma", "0.02"]


def content(path):
    with open(path, "rb") as f:
        return f.read()


class Existing(Case):
    def test_refused_unless_asked(self):
        a = self.png("a.png", 5, 4)
        b = write(self.path("b.png"), b"precious")
        for words in (["restore", "denoise", "-i", a], ["simulate", "denoise", "-i", a], ["sample", "--size", "4x4"],
                      ["restore", "denoise", "-i", a, "--samples", "2", "--mean", b]):
            self.refused(2, *words, "-o", b, says=["b.png", "--overwrite"])
            self.assertEqual(content(b), b"precious")
        x = self.npy("x.npy", (3, 4, 4))
        n = write(self.path("n.npy"), b"precious")
        self.refused(2, "network", "-i", x, "--t", "3", "-o", n, says="n.npy")
        self.assertEqual(content(n), b"precious")

    def test_skip_and_overwrite(self):
        a = self.png("a.png", 5, 4)
        b = write(self.path("b.png"), b"precious")
        r = self.good("restore", "denoise", "-i", a, "-o", b, "--skip-existing", *FEW)
        self.assertIn("skipped", r.err)
        self.assertEqual(content(b), b"precious")
        self.good("restore", "denoise", "-i", a, "-o", b, "--overwrite", *FEW)
        self.assertEqual(png_read(b).size, (5, 4))
        self.refused(2, "restore", "denoise", "-i", a, "-o", b, "--skip-existing", "--overwrite", says="exclude")

    def test_input_can_be_replaced_when_asked(self):
        a = self.png("a.png", 5, 4)
        self.refused(2, "restore", "denoise", "-i", a, "-o", a)
        self.good("restore", "denoise", "-i", a, "-o", a, "--overwrite", *FEW)
        self.assertEqual(png_read(a).size, (5, 4))

    def test_a_failed_run_leaves_nothing(self):
        a = self.png("a.png", 5, 4)
        b = write(self.path("b.png"), b"precious")
        self.refused(2, "restore", "superres:factor=1", "-i", a, "-o", b, "--overwrite")
        self.assertEqual(content(b), b"precious")

    def test_a_full_disk(self):
        a = self.png("a.png", 5, 4)
        with open("/dev/full", "wb") as full:
            p = subprocess.run([COMMAND, "restore", "denoise", "-i", a, "-o", "-"] + FEW, stdout=full,
                               stderr=subprocess.PIPE, env=environment())
        self.assertEqual(p.returncode, 1)

    def test_what_cannot_be_written_is_told_before_the_work(self):
        """What the kind of file does not hold was found out when the picture was finished, and lost."""
        a = self.png("a.png", 6, 5)
        g = self.png("g.png", 6, 5, 1)
        many = self.npy("many.npy", (2, 3, 5, 6))
        forever = ["--steps", "100000"]  # hours, were it to begin
        self.refused(2, "restore", "superres:factor=2", "-i", a, "-o", self.path("b.pgm"), *forever, says="gray")
        self.refused(2, "restore", "superres:factor=4096", "-i", self.png("wide.png", 20, 1), "-o", self.path("b.webp"), *forever,
                     says="pixels a side")
        self.refused(2, "restore", "denoise", "-i", many, "-o", self.path("b.png"), "--sigma", "0.1", *forever, says="{n}")
        self.refused(2, "restore", "denoise", "-i", many, "--mean", self.path("b.png"), "--sigma", "0.1", *forever,
                     says="2 item(s)")
        self.refused(2, "sample", "-o", self.path("b.pgm"), *forever, says="gray")
        self.refused(2, "sample", "-o", "-", "--format", "pgm", *forever, says="gray")
        # what can be, is
        self.good("restore", "denoise", "-i", g, "-o", self.path("b.pgm"), "--sigma", "0.1", "--steps", "1")
        self.good("restore", "denoise", "-i", many, "-o", self.path("b-{n}.png"), "--sigma", "0.1", "--steps", "1")

    def test_two_outputs_of_one_name(self):
        a = self.png("a.png", 5, 4)
        self.refused(2, "restore", "denoise", "-i", a, "-o", self.path("b.png"), "--mean", self.dir + "/./b.png", says="b.png")


class Folders(Case):
    def setUp(self):
        super().setUp()
        self.inputs = self.path("in")
        os.mkdir(self.inputs)

    def put(self, name, data=None):
        return write(os.path.join(self.inputs, name), data or png_bytes(5, 4, 3, smooth(5, 4)))

    def outputs(self):
        return sorted(os.listdir(self.path("out")))

    def test_a_bad_file_does_not_stop_the_others(self):
        self.put("a.png")
        self.put("b.png", b"this is no picture")
        self.put("c.npy", npy_bytes((3, 4, 5), [0.1] * 60))
        self.put("notes.txt", b"left out")
        os.mkdir(os.path.join(self.inputs, "sub"))
        r = projdiff("restore", "denoise", "-i", self.inputs, "-o", self.path("out"), *FEW)
        self.assertEqual(r.code, 6, r.err)
        self.assertIn("2 done, 1 failed", r.err)
        self.assertIn("b.png", r.err)
        self.assertEqual(self.outputs(), ["a.png", "c.npy"])

    def test_all_good_and_again(self):
        self.put("a.png")
        self.put("b.png")
        words = ["restore", "denoise", "-i", self.inputs, "-o", self.path("out")] + FEW
        self.assertIn("2 done, 0 failed", self.good(*words).err)
        self.refused(2, *words, says="exists")
        os.remove(self.path("out/b.png"))
        before = os.stat(self.path("out/a.png"))
        self.assertIn("1 done, 0 failed, 1 skipped", self.good(*words, "--skip-existing").err)
        after = os.stat(self.path("out/a.png"))
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))
        self.assertEqual(self.outputs(), ["a.png", "b.png"])
        self.assertIn("0 done, 0 failed, 2 skipped", self.good(*words, "--skip-existing").err)
        # one file alone gives the same bytes as in the folder
        self.good("restore", "denoise", "-i", self.inputs + "/a.png", "-o", self.path("alone.png"), *FEW)
        self.assertEqual(content(self.path("alone.png")), content(self.path("out/a.png")))

    def test_simulate_takes_folders_too(self):
        self.put("a.png")
        self.put("b.png", b"no")
        r = projdiff("simulate", "superres:factor=2", "-i", self.inputs, "-o", self.path("out"), "--sigma", "0.01")
        self.assertEqual(r.code, 6, r.err)
        self.assertIn("1 done, 1 failed", r.err)
        self.assertEqual(self.outputs(), ["a.png"])

    def test_names_that_collide_are_found_before_work(self):
        self.put("a.png")
        self.put("a.ppm", b"P6\n2 2\n255\n" + bytes(range(12)))
        self.refused(2, "restore", "denoise", "-i", self.inputs, "-o", self.path("{name}.png"), *FEW, says=["a.png", "a.ppm"])
        os.remove(os.path.join(self.inputs, "a.ppm"))
        self.good("restore", "denoise", "-i", self.inputs, "-o", self.path("{name}-{task}-{seed}.{ext}"), "--seed", "4", *FEW)
        self.assertEqual(self.files(), ["a-denoise-4.png", "in"])

    def test_mean_of_a_folder_needs_names(self):
        self.put("a.png")
        self.put("b.png")
        words = ["restore", "denoise", "-i", self.inputs, "--samples", "2"] + FEW
        self.refused(2, *words, "--mean", self.path("m.png"), says="m.png")
        self.good(*words, "--mean", self.path("m-{name}.png"))
        self.assertEqual(self.files(), ["in", "m-a.png", "m-b.png"])

    def test_refused(self):
        self.refused(3, "restore", "denoise", "-i", self.inputs, "-o", self.path("out"), says="no pictures")
        self.put("a.png")
        write(self.path("file"), b"x")
        self.refused(2, "restore", "denoise", "-i", self.inputs, "-o", self.path("file"), says="folder")
        self.refused(2, "restore", "denoise", "-i", self.inputs, "-o", "-", says="standard output")

    def test_a_file_into_a_folder(self):
        a = self.put("a.b.png")
        os.mkdir(self.path("out"))
        self.good("restore", "denoise", "-i", a, "-o", self.path("out"), *FEW)
        self.assertEqual(self.outputs(), ["a.b.png"])
        self.good("restore", "denoise", "-i", a, "-o", self.path("new/"), "--format", "tif", *FEW)
        self.assertEqual(os.listdir(self.path("new")), ["a.b.tif"])

    def test_other_working_folder_and_name_without_extension(self):
        self.put("plain")
        os.rename(os.path.join(self.inputs, "plain"), os.path.join(self.inputs, "\u00fcber"))
        self.good("restore", "denoise", "-i", "\u00fcber", "-o", "../\u00f6.png", *FEW, cwd=self.inputs)
        self.assertEqual(self.files(), ["in", "\u00f6.png"])


class Pipes(Case):
    def test_pictures(self):
        data = png_bytes(6, 5, 3, smooth(6, 5))
        r = self.good("restore", "superres:factor=2", "-i", "-", "-o", "-", "--steps", "1", stdin=data)
        self.assertEqual(png_parse(r.out).size, (12, 10))
        write(self.path("a.png"), data)
        self.good("restore", "superres:factor=2", "-i", self.path("a.png"), "-o", self.path("b.png"), "--steps", "1")
        self.assertEqual(png_read(self.path("b.png")).values, png_parse(r.out).values)
        r = self.good("restore", "denoise", "-i", "-", "-o", "-", "--format", "jpg", "--quality", "60", *FEW, stdin=data)
        self.assertEqual(r.out[:3], b"\xff\xd8\xff")

    def test_arrays(self):
        r = self.good("restore", "superres:factor=2", "-i", "-", "-o", "-", *FEW, stdin=npy_bytes((1, 3, 4, 5), [0.25] * 60))
        self.assertEqual(npy_parse(r.out)[0], (1, 3, 8, 10))

    def test_one_command_into_the_next(self):
        a = self.png("a.png", 8, 6)
        r = self.good("simulate", "superres:factor=2", "-i", a, "-o", "-")
        r = self.good("restore", "superres:factor=2", "-i", "-", "-o", "-", *FEW, stdin=r.out)
        r = self.good("metric", "psnr", "-", a, stdin=r.out)
        self.assertGreater(float(r.text), 10)

    def test_broken_input(self):
        self.refused(3, "restore", "denoise", "-i", "-", "-o", "-", stdin=b"nothing that is known")
        self.refused(3, "restore", "denoise", "-i", "-", "-o", "-", stdin=b"")
        self.refused(2, "restore", "denoise", "-i", "-", "-o", "-", "--samples", "2", says="standard output")

    def test_reader_that_goes_away(self):
        a = self.png("a.png", 5, 4)
        read, end = os.pipe()
        os.close(read)
        p = subprocess.run([COMMAND, "restore", "denoise", "-i", a, "-o", "-"] + FEW, stdout=end, stderr=subprocess.PIPE,
                           env=environment())
        os.close(end)
        self.assertEqual(p.returncode, 1)


if __name__ == "__main__":
    main()
