#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Recorded runs of the reference program, reproduced by the command (skipped where the recordings are not)."""
import os
import unittest

from support import GOLDEN, Case, main, npy_read, relative_l2

CONFIG = "num_head_channels=16,use_new_attention_order=false"


def golden(*names):
    return os.path.join(GOLDEN, *names)


@unittest.skipUnless(os.path.isfile(golden("adm_32", "model.pt")), "the recorded runs are not here")
class Golden(Case):
    def restore(self, folder, task, sigma, step, *words):
        out = self.path("x.npy")
        self.good("restore", task, "-m", golden("adm_32", "model.pt"), "--model-config", CONFIG, "-i", golden(folder, "y.npy"),
                  "-o", out, "--sigma", sigma, "--steps", "10", "--step-size", step, "--compat", "reference", "--noise",
                  golden(folder, "noise.npy"), *words)
        shape, x = npy_read(out)
        expected_shape, expected = npy_read(golden(folder, "x0_final.npy"))
        self.assertEqual(shape, expected_shape)
        error = relative_l2(x, expected)
        # float32 with another order of sums, 10 steps (golden/README)
        self.assertTrue(error <= 1e-3, "%s: relative L2 %g" % (folder, error))

    def mask(self, folder):
        _, missing = npy_read(golden(folder, "missing_index.npy"))
        known = [1.0] * 1024
        for i in missing:
            known[int(i)] = 0.0
        return known

    def test_superres_noisy(self):
        self.restore("solver_sr4_noisy", "superres:factor=4", "0.1", "0.5")

    def test_superres_noise_free(self):
        self.restore("solver_sr4_noisefree", "superres:factor=4", "0", "1.7")

    def test_inpaint_noisy(self):
        mask = self.png("m.png", 32, 32, 1, values=[0 if k else 255 for k in self.mask("solver_inp_noisy")])
        self.restore("solver_inp_noisy", "inpaint:mask=" + mask, "0.1", "1")

    def test_inpaint_noise_free(self):
        mask = self.npy("m.npy", (32, 32), self.mask("solver_inp_noisefree"))
        self.restore("solver_inp_noisefree", "inpaint", "0", "1.1", "--mask", mask, "--mask-invert")

    def test_hdr(self):
        self.restore("solver_hdr_noisy", "hdr:scale=2", "0.1", "1")
        self.restore("solver_hdr_noisefree", "hdr", "0", "2", "--overwrite")

    def test_phase(self):
        self.restore("solver_phase_noisy", "phase:pad=8", "0.1", "1.9")
        self.restore("solver_phase_noisefree", "phase", "0", "1.5", "--overwrite")

    def test_networks(self):
        plain = "num_heads=2,use_new_attention_order=false"
        for folder, model, config, classes in (("adm_32", "model.pt", CONFIG, []), ("ddpm_32", "model.ckpt", None, []),
                                               ("adm_plain", "model.pt", plain, []),
                                               ("adm_class_neworder", "model.pt", CONFIG.replace("false", "true"),
                                                ["--class", "3,7"])):
            for t in ("0", "37", "999"):
                words = ["--model-config", config] if config else []
                self.good("network", "-m", golden(folder, model), "-i", golden(folder, "x.npy"), "--t", t, "-o",
                          self.path("o.npy"), "--overwrite", *words, *classes)
                shape, out = npy_read(self.path("o.npy"))
                expected_shape, expected = npy_read(golden(folder, "out_t%s.npy" % t))
                self.assertEqual(shape, expected_shape)
                error = relative_l2(out, expected)
                self.assertTrue(error <= 1e-4, "%s t=%s: relative L2 %g" % (folder, t, error))

    def test_audio_network(self):
        folder, model = "unet1d_msdm", golden("unet1d_msdm", "model.ckpt")
        for i, sigma in enumerate(("0.0005", "0.02", "0.3", "1")):
            self.good("network", "-m", model, "-i", golden(folder, "x.npy"), "--denoise", "--sigma", sigma, "-o",
                      self.path("o.npy"), "--overwrite")
            shape, out = npy_read(self.path("o.npy"))
            expected_shape, expected = npy_read(golden(folder, "denoised_%d.npy" % i))
            self.assertEqual(shape, expected_shape)
            error = relative_l2(out, expected)
            self.assertTrue(error <= 1e-4, "sigma %s: relative L2 %g" % (sigma, error))
        # sigma 1: c_noise 0, c_in 1/sqrt(1.04)
        shape, x = npy_read(golden(folder, "x.npy"))
        scaled = self.npy("s.npy", shape, [v / 1.04 ** 0.5 for v in x])
        self.good("network", "-m", model, "-i", scaled, "--t", "0", "-o", self.path("o.npy"), "--overwrite")
        error = relative_l2(npy_read(self.path("o.npy"))[1], npy_read(golden(folder, "net_3.npy"))[1])
        self.assertTrue(error <= 1e-4, "raw: relative L2 %g" % error)
        words = ["network", "-m", model, "-i", golden(folder, "x.npy"), "-q", "-o", self.path("p.npy")]
        self.refused(2, *words, "--sigma", "0.1", says="--denoise")
        self.refused(2, *words, "--denoise", "--sigma", "0", says="--sigma")
        self.refused(2, *words, "--denoise", "--sigma", "1", "--t", "3", says="--sigma")
        self.refused(2, *words, says="--t")

    def test_separation(self):
        folder, out = "separate_msdm", self.path("x.npy")
        words = ["separate", "--compat", "reference", "-m", golden("unet1d_msdm", "model.ckpt"), "--noise",
                 golden(folder, "noise.npy"), "--initial-noise", golden(folder, "initial_noise.npy"), "-i",
                 golden(folder, "mixture.npy"), "-o", out]
        # the recorded noise tells the number of levels
        for steps in ([], ["--steps", "12", "--overwrite"]):
            self.good(*words, *steps)
            shape, x = npy_read(out)
            expected_shape, expected = npy_read(golden(folder, "sources_out.npy"))
            self.assertEqual(shape, expected_shape)
            error = relative_l2(x, expected)
            self.assertTrue(error <= 1e-3, "%s: relative L2 %g" % (folder, error))
        self.refused(2, *words, "--steps", "13", "--overwrite", "-q", says="noise")

    def test_classes_are_checked(self):
        words = ["network", "-m", golden("adm_class_neworder", "model.pt"), "--model-config", CONFIG, "-i",
                 golden("adm_class_neworder", "x.npy"), "--t", "0", "-q", "-o", self.path("o.npy")]
        self.refused(2, *words, says="--class")
        for value in ("10", "3,7,1", "-1", "3,", "x", "3,10"):
            self.refused(2, *words, "--class", value, says="--class")

    def test_what_a_checkpoint_does_not_tell(self):
        self.refused(4, "network", "-m", golden("adm_32", "model.pt"), "-i", golden("adm_32", "x.npy"), "--t", "0", "-q", "-o",
                     self.path("o.npy"), says="--model-config")


if __name__ == "__main__":
    main()
