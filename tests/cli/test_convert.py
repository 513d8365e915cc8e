# SPDX-License-Identifier: MIT
"""projdiff convert: the file, read here by the format's description, and the network that it makes."""
import json
import os
import random
import shutil
import struct

from support import COMMAND, GOLDEN, ROOT, Case, main, npy_read, relative_l2, write

PHOTO = os.path.join(ROOT, "models/photo")
SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def safetensors(path):
    """name -> (dtype, shape, bytes), in file order; every rule of the format is checked."""
    with open(path, "rb") as f:
        data = f.read()
    n, = struct.unpack("<Q", data[:8])
    assert n % 8 == 0 and data[8:9] == b"{"
    head = json.loads(data[8:8 + n])
    assert head.pop("__metadata__") == {"format": "pt"}
    body, at, out = data[8 + n:], 0, {}
    for name, e in head.items():
        begin, end = e["data_offsets"]
        count = 1
        for d in e["shape"]:
            count *= d
        assert begin == at and end - begin == count * SIZES[e["dtype"]] and begin % SIZES[e["dtype"]] == 0
        out[name], at = (e["dtype"], e["shape"], body[begin:end]), end
    assert at == len(body)
    return out


def brain(bits):
    """The bits of a finite float32 as bfloat16, to nearest, ties to even."""
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16


class Convert(Case):
    def convert(self, model, name, *words):
        self.good("convert", model, self.path(name), *words)
        return safetensors(self.path(name))

    def check_precisions(self, model):
        full = self.convert(model, "f32.safetensors")
        half = self.convert(model, "f16.safetensors", "--precision", "f16")
        short = self.convert(model, "bf16.safetensors", "--precision", "bf16")
        self.assertEqual(list(full), list(half))
        self.assertEqual(list(full), list(short))
        self.assertEqual({e[0] for e in full.values()}, {"F32"})
        for name, (_, shape, data) in full.items():
            count = len(data) // 4
            values = struct.unpack("<%df" % count, data)
            self.assertEqual(half[name], ("F16", shape, struct.pack("<%de" % count, *values)))
            bits = struct.unpack("<%dI" % count, data)
            self.assertEqual(short[name], ("BF16", shape, struct.pack("<%dH" % count, *map(brain, bits))))
        return full, half

    def network(self, model, name, *words):
        rng = random.Random(4)
        x = self.npy("x.npy", (1, 3, 16, 16), [rng.gauss(0, 1) for _ in range(768)])
        self.good("network", "-m", model, "-i", x, "--t", "37", "-o", self.path(name), "-t", "1", *words)
        return npy_read(self.path(name))[1]

    def test_shipped_prior(self):
        full, half = self.check_precisions(PHOTO)
        stored = safetensors_as_stored(os.path.join(PHOTO, "diffusion_pytorch_model.safetensors"))
        self.assertEqual({n: e[1] for n, e in full.items()}, {n: e[1] for n, e in stored.items()})
        for name, e in stored.items():
            if e[0] == "F16":
                self.assertEqual(half[name], e)
        for name in ("config.json", "scheduler_config.json"):
            shutil.copy(os.path.join(PHOTO, name), self.path(name))
        before = self.network(PHOTO, "a.npy")
        self.assertEqual(self.network(self.path("f32.safetensors"), "b.npy"), before)
        # bfloat16 keeps 8 bits: each weight within 2^-9
        self.assertLess(relative_l2(self.network(self.path("bf16.safetensors"), "c.npy"), before), 0.05)

    def test_recorded(self):
        folder = os.path.join(GOLDEN, "adm_32")
        if not os.path.isdir(folder):
            self.skipTest("adm_32 is not here")
        _, half = self.check_precisions(os.path.join(folder, "model_half.pt"))
        # rounding the float32 original gives the file that PyTorch rounded
        rounded = self.convert(os.path.join(folder, "model.pt"), "r.safetensors", "--precision", "f16")
        self.assertEqual(rounded, half)
        config = ("--model-config", "num_head_channels=16,use_new_attention_order=false")
        before = self.network(os.path.join(folder, "model_half.pt"), "a.npy", *config)
        self.assertEqual(self.network(self.path("f32.safetensors"), "b.npy", *config), before)
        self.assertEqual(self.network(self.path("f16.safetensors"), "c.npy", *config), before)

    def test_original_loader(self):
        try:
            import torch
            from safetensors.torch import load_file
        except ImportError:
            self.skipTest("PyTorch and safetensors are not here")
        model = os.path.join(ROOT, "tests/weights/fixtures/lightning.ckpt")
        for precision, dtype in (("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)):
            name = precision + ".safetensors"
            ours = self.convert(model, name, "--precision", precision)
            theirs = load_file(self.path(name))
            self.assertEqual(set(ours), set(theirs))
            for key, value in theirs.items():
                self.assertEqual(list(value.shape), ours[key][1])
                if value.is_floating_point() and ours[key][0] != "F64":
                    self.assertEqual(value.dtype, dtype)
                self.assertEqual(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes(), ours[key][2])

    def test_choices_are_said(self):
        fixtures = os.path.join(ROOT, "tests/weights/fixtures")
        r = self.good("convert", os.path.join(fixtures, "ema.pt"), self.path("e.safetensors"))
        self.assertIn("EMA", r.err)
        self.assertEqual(r.out, b"")
        r = self.good("convert", PHOTO, self.path("p.safetensors"))
        self.assertIn("config.json", r.err)

    def test_existing(self):
        out = self.path("o.safetensors")
        write(out, b"precious")
        self.refused(2, "convert", PHOTO, out, says=[out, "exists"])
        self.good("convert", PHOTO, out, "--overwrite")
        first = safetensors(out)
        self.good("convert", out, out, "--overwrite", "-q")  # onto itself
        self.assertEqual(safetensors(out), first)
        self.assertEqual(self.files(), ["o.safetensors"])

    def test_refused(self):
        out = self.path("o.safetensors")
        self.refused(3, "convert", self.path("none.pt"), out, says="none.pt")
        self.refused(4, "convert", write(self.path("x.pt"), b"<!DOCTYPE html><html></html>" * 9), out, says="x.pt")
        self.refused(2, "convert", PHOTO, self.path("o.pt"), says=".safetensors")
        self.refused(2, "convert", PHOTO, "-", says=".safetensors")
        self.refused(2, "convert", PHOTO, says="expected")
        self.refused(2, "convert", PHOTO, out, "--precision", "f8", says="--precision")
        self.refused(1, "convert", PHOTO, self.path("no/o.safetensors"), says="o.safetensors")
        head = b'{"layer.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
        large = write(self.path("l.safetensors"), struct.pack("<Q", len(head)) + head + struct.pack("<2f", 1, 1e5))
        self.refused(2, "convert", large, out, "--precision", "f16", says=["layer.weight", "100000", "float16"])
        self.good("convert", large, out, "--precision", "bf16")

    def test_full_disk(self):
        # A limit on the size of files stands in for a full disk: the write fails in the middle.
        out = self.path("o.safetensors")
        line = "ulimit -f 64; trap '' XFSZ; exec '%s' convert '%s' '%s' 2>'%s'" % (COMMAND, PHOTO, out, self.path("e"))
        code = os.waitstatus_to_exitcode(os.system("sh -c \"%s\"" % line))
        with open(self.path("e")) as f:
            text = f.read()
        self.assertEqual(code, 1, text)
        self.assertIn("o.safetensors", text)
        self.assertEqual(self.files(), ["e"])


def safetensors_as_stored(path):
    with open(path, "rb") as f:
        data = f.read()
    n, = struct.unpack("<Q", data[:8])
    head = json.loads(data[8:8 + n])
    head.pop("__metadata__", None)
    return {name: (e["dtype"], e["shape"], data[8 + n + e["data_offsets"][0]:8 + n + e["data_offsets"][1]])
            for name, e in head.items()}


if __name__ == "__main__":
    main()
