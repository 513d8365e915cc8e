#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the UNet1d fixtures of tests/networks/fixtures (PyTorch and NumPy only).

    python3 make_unet1d_fixtures.py [OUTPUT_FOLDER]
    python3 make_unet1d_fixtures.py --verify RECORDING      compare the network below with a recording of the original code

The network below was written from its description for this purpose; --verify shows that it gives what audio-diffusion-pytorch
0.0.43 gives. Weights are random and rounded to float16; the outputs are computed from the rounded weights.
"""
import json
import math
import os
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

TIMES = [0, 37, 999, 500.25]
SIGMAS = [0.02, 0.7, 31]
FIXTURES = {
    "unet1d_joint": dict(in_channels=2, channels=16, patch_factor=2, patch_blocks=1, resnet_groups=4,
                         kernel_multiplier_downsample=2, multipliers=[1, 2, 2], factors=[3, 2], num_blocks=[1, 2],
                         attentions=[False, True], attention_heads=2, attention_features=4, attention_multiplier=2,
                         use_nearest_upsample=False, use_skip_scale=True, use_attention_bottleneck=True,
                         use_context_time=True, diffusion_sigma_data=0.3, diffusion_dynamic_threshold=0.0, sample_rate=11025,
                         stems=["low", "high"]),
    "unet1d_single": dict(in_channels=1, channels=16, patch_factor=4, patch_blocks=1, resnet_groups=8,
                          kernel_multiplier_downsample=4, multipliers=[1, 1, 2, 2], factors=[1, 2, 3], num_blocks=[2, 1, 1],
                          attentions=[False, False, False], attention_heads=2, attention_features=4, attention_multiplier=2,
                          use_nearest_upsample=True, use_skip_scale=False, use_attention_bottleneck=False,
                          use_context_time=True, diffusion_sigma_data=0.2, diffusion_dynamic_threshold=0.0,
                          sample_rate=22050, stems=["bass"]),
}


class Net:
    """Either creates weights (make) or uses those it is given."""

    def __init__(self, c, weights=None, generator=None):
        self.c, self.w, self.g, self.make = c, weights if weights is not None else {}, generator, weights is None

    def get(self, name, shape, kind="w"):
        if self.make:
            r = torch.randn(shape, generator=self.g)
            r = {"gain": lambda: 1 + 0.2 * r, "b": lambda: 0.1 * r, "f": lambda: r,
                 "w": lambda: 1.2 * r / math.sqrt(np.prod(shape[1:]))}[kind]()
            self.w[name] = r.half().float()
        assert tuple(self.w[name].shape) == tuple(shape), (name, self.w[name].shape, shape)
        return self.w[name]

    def conv(self, x, p, o, k, stride=1, pad=0):
        return F.conv1d(x, self.get(p + ".weight", (o, x.shape[1], k)), self.get(p + ".bias", (o,), "b"), stride, pad)

    def linear(self, x, p, o):
        return F.linear(x, self.get(p + ".weight", (o, x.shape[-1])), self.get(p + ".bias", (o,), "b"))

    def norm(self, x, p, groups):
        c = x.shape[1]
        return F.group_norm(x, groups, self.get(p + ".weight", (c,), "gain"), self.get(p + ".bias", (c,), "b"), 1e-5)

    def gain_norm(self, x, name, dim):
        g = self.get(name, (x.shape[dim],) if dim == -1 else (1, x.shape[dim], 1), "gain")
        var = torch.var(x, dim=dim, unbiased=False, keepdim=True)
        return (x - x.mean(dim=dim, keepdim=True)) / (var + 1e-5).sqrt() * g

    def res(self, x, p, o, groups):
        h = self.conv(F.silu(self.norm(x, p + ".block1.groupnorm", groups)), p + ".block1.project", o, 3, 1, 1)
        scale, shift = self.linear(F.silu(self.map), p + ".to_scale_shift.to_scale_shift.1", 2 * o)[..., None].chunk(2, 1)
        h = F.silu(self.norm(h, p + ".block2.groupnorm", groups) * (scale + 1) + shift)
        h = self.conv(h, p + ".block2.project", o, 3, 1, 1)
        return h + (x if x.shape[1] == o else self.conv(x, p + ".to_out", o, 1))

    def attention(self, x, p):
        c, heads, dim = x.shape[1], self.c["attention_heads"], self.c["attention_features"]
        h = self.gain_norm(x.transpose(1, 2), p + ".norm.g", -1)
        q = F.linear(h, self.get(p + ".to_q.weight", (heads * dim, c)))
        k, v = F.linear(h, self.get(p + ".to_kv.weight", (2 * heads * dim, c))).chunk(2, -1)
        q, k, v = (y.reshape(y.shape[0], -1, heads, dim).transpose(1, 2) for y in (q, k, v))
        a = torch.softmax(q * dim ** -0.5 @ k.transpose(2, 3), -1) @ v
        a = a.transpose(1, 2).reshape(h.shape[0], -1, heads * dim)
        a = F.linear(a, self.get(p + ".attention.to_out.0.weight", (c, heads * dim)))
        return self.gain_norm(a, p + ".attention.to_out.1.g", -1).transpose(1, 2)

    def transformer(self, x, p):
        c, m = x.shape[1], self.c["attention_multiplier"]
        x = self.attention(x, p + ".attention.fn") + x
        h = self.gain_norm(x, p + ".feed_forward.0.g", 1)
        h = F.gelu(F.conv1d(h, self.get(p + ".feed_forward.1.weight", (m * c, c, 1))))
        h = self.gain_norm(h, p + ".feed_forward.3.g", 1)
        return F.conv1d(h, self.get(p + ".feed_forward.4.weight", (c, m * c, 1))) + x

    def up(self, x, p, o, f):
        if f == 1:
            return self.conv(x, p + ".upsample", o, 3, 1, 1)
        if self.c["use_nearest_upsample"]:
            return self.conv(F.interpolate(x, scale_factor=f, mode="nearest"), p + ".upsample.1", o, 3, 1, 1)
        return F.conv_transpose1d(x, self.get(p + ".upsample.weight", (x.shape[1], o, 2 * f)),
                                  self.get(p + ".upsample.bias", (o,), "b"), f, f // 2 + f % 2, f % 2)

    def __call__(self, x, t):
        c, ch, pf, groups = self.c, self.c["channels"], self.c["patch_factor"], self.c["resnet_groups"]
        edge = min(pf, x.shape[1])
        f = t[:, None] * self.get("to_time.0.0.weights", (ch // 2,), "f")[None] * 2 * math.pi
        e = F.gelu(self.linear(torch.cat([t[:, None], f.sin(), f.cos()], 1), "to_time.0.1", 4 * ch))
        self.map = F.gelu(self.linear(F.gelu(self.linear(e, "to_mapping.0", 4 * ch)), "to_mapping.2", 4 * ch))
        x = self.res(x, "to_in.module_list.0.block", ch * c["multipliers"][0] // pf, edge)
        n, w, length = x.shape
        first = x = x.reshape(n, w, length // pf, pf).transpose(2, 3).reshape(n, w * pf, length // pf)
        skips = []
        for i, fac in enumerate(c["factors"]):
            p, m = "downsamples.%d" % i, c["kernel_multiplier_downsample"]
            x = self.conv(x, p + ".downsample", ch * c["multipliers"][i + 1], fac * m + 1, fac, fac * (m // 2))
            for j in range(c["num_blocks"][i]):
                x = self.res(x, p + ".blocks.%d" % j, x.shape[1], groups)
                skips.append(x)
            if c["attentions"][i]:
                x = self.transformer(x, p + ".transformer")
                skips.append(x)
        x = self.res(x, "bottleneck.pre_block", x.shape[1], groups)
        if c["use_attention_bottleneck"]:
            x = self.attention(x, "bottleneck.attention.fn")
        x = self.res(x, "bottleneck.post_block", x.shape[1], groups)
        scale = 2 ** -0.5 if c["use_skip_scale"] else 1
        for k, i in enumerate(reversed(range(len(c["factors"])))):
            p = "upsamples.%d" % k
            for j in range(c["num_blocks"][i] + c["attentions"][i]):
                x = self.res(torch.cat([x, skips.pop() * scale], 1), p + ".blocks.%d" % j, x.shape[1], groups)
            if c["attentions"][i]:
                x = self.transformer(x, p + ".transformer")
            x = self.up(x, p, ch * c["multipliers"][i], c["factors"][i])
        x = x + first
        x = x.reshape(n, w, pf, length // pf).transpose(2, 3).reshape(n, w, length)
        return self.res(x, "to_out.module_list.0.block", c["in_channels"], edge)

    def denoise(self, x, sigma):
        d = self.c.get("diffusion_sigma_data", 0.2)
        v = sigma ** 2 + d ** 2
        f = self(x / math.sqrt(v), torch.full((x.shape[0],), math.log(sigma) / 4))
        return (x * d ** 2 / v + f * sigma * d / math.sqrt(v)).clamp(-1, 1)


def write_safetensors(path, weights):
    header, blobs, at = {}, [], 0
    for name, w in weights.items():
        b = w.half().numpy().tobytes()
        header[name] = {"dtype": "F16", "shape": list(w.shape), "data_offsets": [at, at + len(b)]}
        blobs.append(b)
        at += len(b)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(blobs))


def verify(folder):
    ckpt = torch.load(os.path.join(folder, "model.ckpt"), map_location="cpu")
    weights = {k[len("model.unet."):]: v for k, v in ckpt["state_dict"].items() if k.startswith("model.unet.")}
    net = Net(ckpt["hyper_parameters"], weights)
    x = torch.from_numpy(np.load(os.path.join(folder, "x.npy")))
    with open(os.path.join(folder, "meta.json")) as f:
        sigmas = json.load(f)["sigmas"]
    for i, s in enumerate(sigmas):
        want = np.load(os.path.join(folder, "denoised_%d.npy" % i))
        out = net.denoise(x, s).numpy()
        print("sigma %g: relative L2 %.2e" % (s, np.linalg.norm(out - want) / np.linalg.norm(want)))


def main(out):
    for seed, (name, c) in enumerate(FIXTURES.items()):
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        g = torch.Generator().manual_seed(100 + seed)
        length = 2 * c["patch_factor"] * int(np.prod(c["factors"])) * 2
        x = torch.randn((2, c["in_channels"], length), generator=g)
        net = Net(c, generator=g)
        net(x, torch.zeros(2))
        net.make = False

        def save(file, a):
            np.save(os.path.join(folder, file), a[:, :, None].numpy().astype(np.float32))
        save("x.npy", x)
        for t in TIMES:
            save("out_t%g.npy" % t, net(x, torch.full((2,), float(t))))
        for s in SIGMAS:
            save("denoised_%g.npy" % s, net.denoise(x * s, s))
        write_safetensors(os.path.join(folder, "model.safetensors"), net.w)
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(dict(_class_name="UNet1d", **c), f, indent=1)
            f.write("\n")


with torch.no_grad():
    if len(sys.argv) == 3 and sys.argv[1] == "--verify":
        verify(sys.argv[2])
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures"))
