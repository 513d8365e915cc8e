#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Words of the command line: help, options and their values, exit codes."""
import os
import re
import subprocess

from support import COMMAND, Case, environment, main, projdiff

COMMANDS = ["restore", "simulate", "separate", "complete", "sample", "metric", "evaluate", "network", "bench", "info", "convert", "list"]


class Help(Case):
    def test_version(self):
        for words in (["--version"], ["restore", "--version"]):
            self.assertEqual(self.good(*words).text, "projdiff 0.1.0\n")

    def test_help_of_program_and_commands(self):
        for words in (["--help"], ["-h"], ["help"]):
            r = self.good(*words)
            self.assertEqual(r.err, "")
            for c in COMMANDS:
                self.assertRegex(r.text, r"(?m)^  %s +\S" % c)
        for c in COMMANDS:
            for words in ([c, "--help"], [c, "-h"], ["help", c]):
                r = self.good(*words)
                self.assertTrue(r.text.startswith("Usage: projdiff %s " % c))
                self.assertTrue(max(len(line) for line in r.text.splitlines()) <= 96)

    def test_task_parameters_are_in_the_help(self):
        for c in ("restore", "simulate"):
            text = self.good(c, "--help").text
            for op in self.good("list", "operators").text.splitlines():
                self.assertRegex(text, r"(?m)^  %s +\S" % op.split()[0])
            self.assertRegex(text, r"factor=")
            self.assertRegex(text, r"mask=FILE")

    def test_man_pages_and_completion_hold_every_option(self):
        completion = self.good("--completion").text
        for c in COMMANDS:
            options = re.findall(r"(?m)^ {2,6}(?:-\w, )?--([a-z-]+)", self.good(c, "--help").text)
            self.assertIn("help", options)
            page = self.good("--man", c).text.replace("\\-", "-")
            for o in options:
                self.assertIn("\\fB--%s\\fR" % o, page)
                self.assertIn("--%s " % o, completion)
        self.assertIn(".SH COMMANDS", self.good("--man").text)
        check = subprocess.run(["bash", "-n"], input=completion.encode(), capture_output=True)
        self.assertEqual(check.stderr, b"")

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            p = subprocess.run([COMMAND, "list"], stdout=full, stderr=subprocess.PIPE, env=environment())
        self.assertEqual(p.returncode, 1)
        self.assertIn(b"standard output", p.stderr)


class Words(Case):
    def test_commands(self):
        self.refused(2, says="command is missing")
        self.refused(2, "restor", says='no command is called "restor"')
        self.refused(2, "--foo", says="no option")
        self.refused(2, "help", "foo")

    def test_options_are_not_abbreviated(self):
        self.refused(2, "restore", "denoise", "--sig", "0.1", says="no option is called --sig")
        self.refused(2, "restore", "denoise", "-x", says="no option is called -x")
        self.refused(2, "restore", "denoise", "--quiet=1", says="takes no value")
        self.refused(2, "restore", "denoise", "--sigma", says="S is missing")
        self.refused(2, "restore", "denoise", "-i", says="FILE is missing")

    def test_forms_of_options(self):
        a = self.png("a.png", 6, 5)
        self.good("simulate", "denoise", "--sigma=0.1", "--seed=3", "-i" + a, "-o" + self.path("1.png"))
        self.good("simulate", "--sigma", "0.1", "--seed", "3", "-i", a, "-qo", self.path("2.png"), "--", "denoise")
        with open(self.path("1.png"), "rb") as f, open(self.path("2.png"), "rb") as g:
            self.assertEqual(f.read(), g.read())

    def test_values(self):
        a = self.png("a.png", 6, 5)
        r = ["restore", "denoise", "-i", a, "-o", self.path("b.png")]
        for option, values in {
            "--sigma": ["nan", "-1", "-0.1", "inf", "", "x", "0.1x", "1e999"],
            "--steps": ["0", "-3", "2.5", "x", "", "99999999999999999999"],
            "--step-size": ["0", "-1", "nan"],
            "--repeats": ["0", "-1"],
            "--momentum": ["1", "-0.1", "nan"],
            "--samples": ["0", "-2"],
            "--seed": ["-1", "x", "18446744073709551616", "+1"],
            "--tile": ["-1", "0", "x"],
            "--threads": ["0", "-1", "x"],
            "--quality": ["0", "101", "x"],
            "--precision": ["double", ""],
            "--compat": ["paper"],
            "--progress": ["often"],
            "--save-every": ["0", "-1"],
        }.items():
            for v in values:
                self.refused(2, *r, option, v, says=option)

    def test_tasks(self):
        a = self.png("a.png", 6, 5)
        io = ["-i", a, "-o", self.path("b.png")]
        self.refused(2, "restore", *io, says="TASK")
        self.refused(2, "restore", "sharpen", *io, says=["sharpen", "superres"])
        self.refused(2, "restore", "", *io)
        self.refused(2, "restore", "denoise+", *io)
        self.refused(2, "restore", "superres:", *io)
        self.refused(2, "restore", "superres:factor=2,", *io)
        self.refused(2, "restore", "superres", *io, says="factor")
        self.refused(2, "restore", "superres:factor=1", *io, says="factor")
        self.refused(2, "restore", "superres:factor=x", *io, says="factor")
        self.refused(2, "restore", "superres:scale=2", *io, says="scale")
        self.refused(2, "restore", "denoise", "superres", *io, says="too many")
        self.refused(2, "restore", "inpaint", *io, says="mask")
        self.refused(2, "restore", "inpaint:mask", *io, says="mask")
        self.refused(2, "restore", "inpaint:mask=", *io, says="mask")
        self.refused(2, "restore", "hdr+denoise", *io, says="hdr is not linear")
        self.refused(2, "restore", "inpaint:mask=%s" % a, "--mask", a, *io, says="not another one")

    def test_a_wrong_task_is_told_once_and_first(self):
        os.mkdir(self.path("in"))
        for name in "abc":
            self.png("in/%s.png" % name, 6, 5)
        for task, says in (("superres:factor=0", "factor"), ("denoise:x=1", "x"), ("deblur:kernel=nope", "nope"),
                           ("hdr+superres:factor=2", "hdr"), ("inpaint", "mask")):
            for command, more in (("restore", ["-m", "nope"]), ("simulate", [])):
                r = projdiff(command, task, "-i", self.path("in"), "-o", self.path("out"), *more)
                self.assertEqual((r.code, len(r.err.splitlines())), (3 if says == "nope" else 2, 1), r.err)
                self.assertIn(says, r.err)

    def test_what_must_be_given(self):
        a = self.png("a.png", 6, 5)
        self.refused(2, "restore", "denoise", "-o", self.path("b.png"), says="-i")
        self.refused(2, "restore", "denoise", "-i", a, says="-o")
        self.refused(2, "restore", "denoise", "-i", a, "-o", self.path("b.png"), "--samples", "2", says="{n}")
        self.refused(2, "restore", "denoise", "-i", a, "--std", self.path("b.png"), says="--samples")
        self.refused(2, "restore", "denoise", "-i", a, "-o", self.path("b.xyz"), says="b.xyz")
        self.refused(2, "restore", "denoise", "-i", a, "-o", self.path("b"), says="expected a name")
        self.refused(2, "restore", "denoise", "-i", a, "-o", self.path("{foo}.png"), says="{name}")
        self.refused(1, "restore", "denoise", "-i", a, "-o", self.path("no/b.png"), says="no/b.png")

    def test_missing_and_unreadable_inputs(self):
        a, b = self.png("a.png", 6, 5), self.path("b.png")
        broken = self.path("broken.png")
        with open(broken, "wb") as f:
            f.write(b"\x89PNG\r\n\x1a\nnothing more")
        self.refused(3, "restore", "denoise", "-i", self.path("none.png"), "-o", b, says="none.png")
        self.refused(3, "restore", "denoise", "-i", broken, "-o", b, says="broken.png")
        self.refused(3, "restore", "inpaint:mask=" + self.path("none.png"), "-i", a, "-o", b, says="none.png")
        self.refused(3, "restore", "inpaint", "--mask", broken, "-i", a, "-o", b, says="broken.png")
        self.refused(3, "restore", "denoise", "-i", a, "-o", b, "--noise", self.path("none.npy"), says="none.npy")
        self.refused(3, "metric", "psnr", a, self.path("none.png"), says="none.png")
        self.refused(3, "info", self.path("none.pt"), says="none.pt")

    def test_models_that_are_none(self):
        a = self.png("a.png", 6, 5)
        self.refused(4, "restore", "denoise", "-m", a, "-i", a, "-o", self.path("b.png"), says="a.png")
        self.refused(4, "info", a)


class List(Case):
    def test_kinds(self):
        self.assertIn("superres", self.good("list", "operators").text)
        self.assertIn("projdiff", self.good("list", "solvers").text)
        self.assertIn("unet2d", self.good("list", "networks").text)
        self.assertIn("safetensors", self.good("list", "formats").text)
        self.assertIn("psnr", self.good("list", "metrics").text)
        everything = self.good("list").text
        for kind in ("operators", "solvers", "networks", "formats", "metrics"):
            self.assertIn(kind + ":\n", everything)
        self.assertIn("factor", self.good("list", "-v", "operators").text)
        self.refused(2, "list", "cheese", says="cheese")


if __name__ == "__main__":
    main()
