#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An interrupted run ends with 130 and leaves no file behind."""
import os
import signal
import subprocess
import time

from support import COMMAND, Case, environment, main, smooth, png_bytes, write


class Interrupt(Case):
    def start(self, *words):
        """Run with JSON progress until the first step is done."""
        p = subprocess.Popen([COMMAND, *words, "--progress", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=environment())
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        for line in p.stderr:
            if b'"step"' in line:
                return p
        self.fail("the run ended before its first step")

    def end(self, p, number):
        p.send_signal(number)
        start = time.monotonic()
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130, err)
        self.assertEqual(out, b"")
        self.assertTrue(time.monotonic() - start < 30)
        return err

    def test_single_file(self):
        a = self.png("a.png", 24, 24)
        for number in (signal.SIGINT, signal.SIGTERM):
            p = self.start("restore", "superres:factor=2", "-i", a, "-o", self.path("b.png"), "--steps", "1000")
            self.assertIn(b"interrupted", self.end(p, number))
            self.assertEqual(self.files(), ["a.png"])

    def test_to_standard_output(self):
        a = self.png("a.png", 24, 24)
        self.end(self.start("restore", "denoise", "-i", a, "-o", "-", "--steps", "1000"), signal.SIGINT)

    def test_folder_keeps_what_is_done(self):
        os.mkdir(self.path("in"))
        write(self.path("in/a.png"), png_bytes(2, 2, 3, smooth(2, 2)))
        write(self.path("in/b.png"), png_bytes(64, 64, 3, smooth(64, 64)))
        p = self.start("restore", "denoise", "-i", self.path("in"), "-o", self.path("out"), "--steps", "50")
        while not os.path.exists(self.path("out/a.png")):
            self.assertIsNone(p.poll())
            time.sleep(0.01)
        self.end(p, signal.SIGINT)
        self.assertEqual(os.listdir(self.path("out")), ["a.png"])

    def test_an_old_output_survives(self):
        a, b = self.png("a.png", 24, 24), write(self.path("b.png"), b"precious")
        p = self.start("restore", "denoise", "-i", a, "-o", b, "--steps", "1000", "--overwrite")
        self.end(p, signal.SIGINT)
        self.assertEqual(self.files(), ["a.png", "b.png"])
        with open(b, "rb") as f:
            self.assertEqual(f.read(), b"precious")


if __name__ == "__main__":
    main()
