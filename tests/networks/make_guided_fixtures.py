#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the guided-diffusion fixtures of tests/networks/fixtures (PyTorch and NumPy only).

    python3 make_guided_fixtures.py [OUTPUT_FOLDER]
    python3 make_guided_fixtures.py --verify RECORDINGS     compare the network below with recordings of the original code

The network below was written from its description (Dhariwal & Nichol 2021) for this purpose; --verify shows that it gives
what the original gives. broadcast.pt is a small file that claims a whole network: it must be refused. Weights are random and rounded to float16; the outputs are computed from the rounded weights.
"""
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

TIMES = [0, 37, 999, 500.25]
FIXTURES = {
    "guided_blocks": dict(mc=32, mult=[1, 1], nrb=1, attention=[2], classes=6, out=6, scale_shift=True, updown=True,
                          head_channels=16, new_order=True),
    "guided_convs": dict(mc=32, mult=[1, 1], nrb=1, attention=[1], classes=0, out=3, scale_shift=True, updown=False,
                         heads=2, new_order=False),
}


class Walk:
    """Either creates weights (make) or uses those it is given."""

    def __init__(self, c, weights=None, generator=None):
        self.c, self.w, self.g, self.make = c, weights if weights is not None else {}, generator, weights is None

    def get(self, name, shape, kind="w"):
        if self.make:
            r = torch.randn(shape, generator=self.g)
            if kind == "gamma":
                r = 1 + 0.2 * r
            elif kind == "b":
                r = 0.1 * r
            elif kind != "table":
                r = r * {"w": 1.2, "qkv": 1.5, "emb": 2.5}[kind] / math.sqrt(np.prod(shape[1:]))
            self.w[name] = r.half().float()
        return self.w[name]

    def conv(self, x, p, o, k=3, **kw):
        return F.conv2d(x, self.get(p + ".weight", (o, x.shape[1], k, k)), self.get(p + ".bias", (o,), "b"),
                        padding=k // 2, **kw)

    def linear(self, x, p, o, kind="w"):
        return F.linear(x, self.get(p + ".weight", (o, x.shape[1]), kind), self.get(p + ".bias", (o,), "b"))

    def norm(self, x, p):
        return F.group_norm(x, 32, self.get(p + ".weight", (x.shape[1],), "gamma"), self.get(p + ".bias", (x.shape[1],), "b"))

    def res(self, x, p, o, resample=None):
        h = F.silu(self.norm(x, p + ".in_layers.0"))
        if resample:
            h, x = resample(h), resample(x)
        h = self.conv(h, p + ".in_layers.2", o)
        e = self.linear(F.silu(self.emb), p + ".emb_layers.1", (2 if self.c["scale_shift"] else 1) * o, "emb")[:, :, None, None]
        if self.c["scale_shift"]:
            h = self.norm(h, p + ".out_layers.0") * (1 + e[:, :o]) + e[:, o:]
        else:
            h = self.norm(h + e, p + ".out_layers.0")
        h = self.conv(F.silu(h), p + ".out_layers.3", o)
        return (x if x.shape[1] == o else self.conv(x, p + ".skip_connection", o, 1)) + h

    def attn(self, x, p):
        n, c, height, width = x.shape
        heads = c // self.c["head_channels"] if self.c.get("head_channels") else self.c["heads"]
        d = c // heads
        h = self.norm(x, p + ".norm").reshape(n, c, -1)
        qkv = F.conv1d(h, self.get(p + ".qkv.weight", (3 * c, c, 1), "qkv"), self.get(p + ".qkv.bias", (3 * c,), "b"))
        if self.c["new_order"]:
            q, k, v = (t.reshape(n * heads, d, -1) for t in qkv.chunk(3, 1))
        else:
            q, k, v = qkv.reshape(n * heads, 3 * d, -1).split(d, 1)
        a = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / math.sqrt(d), -1)
        h = torch.einsum("bts,bcs->bct", a, v).reshape(n, c, -1)
        h = F.conv1d(h, self.get(p + ".proj_out.weight", (c, c, 1)), self.get(p + ".proj_out.bias", (c,), "b"))
        return x + h.reshape(n, c, height, width)

    def down(self, x, p):
        if self.c["updown"]:
            return self.res(x, p + ".0", x.shape[1], lambda t: F.avg_pool2d(t, 2))
        return self.conv(x, p + ".0.op", x.shape[1], stride=2)

    def up(self, x, p):
        double = lambda t: F.interpolate(t, scale_factor=2.0, mode="nearest")
        return self.res(x, p, x.shape[1], double) if self.c["updown"] else self.conv(double(x), p + ".conv", x.shape[1])

    def run(self, x, t, y=None):
        c, mc = self.c, self.c["mc"]
        f = torch.exp(-math.log(10000) * torch.arange(mc // 2, dtype=torch.float32) / (mc // 2))
        a = torch.full((x.shape[0], 1), float(t)) * f
        e = self.linear(torch.cat([torch.cos(a), torch.sin(a)], 1), "time_embed.0", 4 * mc)
        self.emb = self.linear(F.silu(e), "time_embed.2", 4 * mc)
        if c["classes"]:
            self.emb = self.emb + self.get("label_emb.weight", (c["classes"], 4 * mc), "table")[y]
        width, levels, i, j = [int(m * mc) for m in c["mult"]], len(c["mult"]), 1, 0
        h = self.conv(x, "input_blocks.0.0", width[0])
        skips = [h]
        for l in range(levels):
            for _ in range(c["nrb"]):
                h = self.res(h, "input_blocks.%d.0" % i, width[l])
                if 2 ** l in c["attention"]:
                    h = self.attn(h, "input_blocks.%d.1" % i)
                skips.append(h)
                i += 1
            if l + 1 < levels:
                h = self.down(h, "input_blocks.%d" % i)
                skips.append(h)
                i += 1
        h = self.res(h, "middle_block.0", h.shape[1])
        h = self.res(self.attn(h, "middle_block.1"), "middle_block.2", h.shape[1])
        for l in reversed(range(levels)):
            for r in range(c["nrb"] + 1):
                h = self.res(torch.cat([h, skips.pop()], 1), "output_blocks.%d.0" % j, width[l])
                if 2 ** l in c["attention"]:
                    h = self.attn(h, "output_blocks.%d.1" % j)
                if l and r == c["nrb"]:
                    h = self.up(h, "output_blocks.%d.%d" % (j, 2 if 2 ** l in c["attention"] else 1))
                j += 1
        return self.conv(F.silu(self.norm(h, "out.0")), "out.2", c["out"])


def verify(root):
    for name in ("adm_32", "adm_plain", "adm_class_neworder"):
        folder = os.path.join(root, name)
        with open(os.path.join(folder, "meta.json")) as f:
            meta = json.load(f)
        m = meta["config"]
        c = dict(mc=m["model_channels"], mult=m["channel_mult"], nrb=m["num_res_blocks"], classes=m["num_classes"] or 0,
                 attention=m["attention_resolutions"], out=m["out_channels"], scale_shift=m["use_scale_shift_norm"],
                 updown=m["resblock_updown"], new_order=m["use_new_attention_order"], heads=m["num_heads"],
                 head_channels=m["num_head_channels"] if m["num_head_channels"] > 0 else None)
        w = torch.load(os.path.join(folder, "model.pt"))
        x = torch.tensor(np.load(os.path.join(folder, "x.npy")))
        for t in meta["timesteps"]:
            with torch.no_grad():
                y = Walk(c, w).run(x, t, meta["classes"]).numpy()
            r = np.load(os.path.join(folder, "out_t%d.npy" % t))
            print("%s t %d: relative L2 %.1e" % (name, t, np.linalg.norm(y - r) / np.linalg.norm(r)))


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--verify":
        return verify(sys.argv[2])
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
    for seed, (name, c) in enumerate(FIXTURES.items()):
        folder = os.path.join(root, name)
        os.makedirs(folder, exist_ok=True)
        g = torch.Generator().manual_seed(3000 + seed)
        x = torch.randn(2, 3, 16, 24, generator=g)
        labels = torch.tensor([2, 5])
        made = Walk(c, generator=g)
        with torch.no_grad():
            made.run(x, 0, labels)
        torch.save({k: v.half() for k, v in made.w.items()}, os.path.join(folder, "model.pt"))
        np.save(os.path.join(folder, "x.npy"), x.numpy())
        if seed == 0:  # not a network: every tensor is one number, broadcast
            one = torch.ones(1)
            torch.save({k: one.view([1] * v.ndim).expand(v.shape) for k, v in made.w.items()},
                       os.path.join(root, "broadcast.pt"))
        for t in TIMES:
            with torch.no_grad():
                y = Walk(c, made.w).run(x, t, labels)
            np.save(os.path.join(folder, "out_t%g.npy" % t), y.numpy())
            print("%s t %g: rms %.3f" % (folder, t, y.pow(2).mean().sqrt()))


if __name__ == "__main__":
    main()
