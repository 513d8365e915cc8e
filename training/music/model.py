# SPDX-License-Identifier: MIT
"""A U-Net for sound in the layout of audio-diffusion-pytorch 0.0.43's UNet1d (names of tensors, mathematics), without its
attention, and the denoiser around it (Karras et al. 2022). Written from the description of the network; PyTorch only."""
import math

import torch
import torch.nn.functional as F
from torch import nn


class Held(nn.Module):
    """Modules under dotted names."""

    def put(self, name, module):
        at, parts = self, name.split(".")
        for p in parts[:-1]:
            if p not in at._modules:
                at.add_module(p, Held())
            at = at._modules[p]
        at.add_module(parts[-1], module)
        module.__dict__["held"] = True
        return module

    def __setattr__(self, name, value):
        if isinstance(value, nn.Module) and value.__dict__.get("held"):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


class Block(Held):
    """h = block1(x); block2 with its norm scaled and shifted by the mapping; plus x."""

    def __init__(self, i, o, e, groups):
        super().__init__()
        self.n1 = self.put("block1.groupnorm", nn.GroupNorm(groups, i))
        self.c1 = self.put("block1.project", nn.Conv1d(i, o, 3, padding=1))
        self.scale_shift = self.put("to_scale_shift.to_scale_shift.1", nn.Linear(e, 2 * o))
        self.n2 = self.put("block2.groupnorm", nn.GroupNorm(groups, o))
        self.c2 = self.put("block2.project", nn.Conv1d(o, o, 3, padding=1))
        self.skip = self.put("to_out", nn.Conv1d(i, o, 1)) if i != o else None

    def forward(self, x, mapping):
        h = self.c1(F.silu(self.n1(x)))
        scale, shift = self.scale_shift(F.silu(mapping))[:, :, None].chunk(2, 1)
        h = self.c2(F.silu(self.n2(h) * (scale + 1) + shift))
        return h + (self.skip(x) if self.skip is not None else x)


class UNet1d(Held):
    def __init__(self, c):
        super().__init__()
        ch, e, p = c["channels"], 4 * c["channels"], c["patch_factor"]
        self.config, self.patch, self.factors = c, p, c["factors"]
        widths = [ch * m for m in c["multipliers"]]
        edge = min(16, c["in_channels"])
        self.frequencies = nn.Parameter(torch.randn(ch // 2))
        self.put("to_time.0.0", Held()).register_parameter("weights", self.frequencies)
        del self._parameters["frequencies"]
        object.__setattr__(self, "frequencies", self._modules["to_time"]._modules["0"]._modules["0"].weights)
        self.time = self.put("to_time.0.1", nn.Linear(ch + 1, e))
        self.map0, self.map2 = self.put("to_mapping.0", nn.Linear(e, e)), self.put("to_mapping.2", nn.Linear(e, e))
        self.inlet = self.put("to_in.module_list.0.block", Block(c["in_channels"], ch // p, e, edge))
        self.outlet = self.put("to_out.module_list.0.block", Block(ch // p, c["in_channels"], e, edge))
        self.down, self.up = [], []
        groups, n = c["resnet_groups"], len(c["factors"])
        for i, f in enumerate(c["factors"]):
            a, b = widths[i], widths[i + 1]
            down = self.put("downsamples.%d.downsample" % i, nn.Conv1d(a, b, 2 * f + 1, f, f))
            blocks = [self.put("downsamples.%d.blocks.%d" % (i, j), Block(b, b, e, groups)) for j in range(c["num_blocks"][i])]
            self.down.append((down, blocks))
        self.pre = self.put("bottleneck.pre_block", Block(b, b, e, groups))
        self.post = self.put("bottleneck.post_block", Block(b, b, e, groups))
        for k, i in enumerate(reversed(range(n))):
            a, b, f = widths[i], widths[i + 1], c["factors"][i]
            blocks = [self.put("upsamples.%d.blocks.%d" % (k, j), Block(2 * b, b, e, groups)) for j in range(c["num_blocks"][i])]
            up = self.put("upsamples.%d.upsample" % k, nn.ConvTranspose1d(b, a, 2 * f, f, f // 2 + f % 2, f % 2))
            self.up.append((blocks, up))

    def forward(self, x, c_noise):
        phi = 2 * math.pi * c_noise[:, None] * self.frequencies
        m = F.gelu(self.time(torch.cat([c_noise[:, None], phi.sin(), phi.cos()], 1)))
        m = F.gelu(self.map2(F.gelu(self.map0(m))))
        n, c, length = x.shape
        h = self.inlet(x, m)
        h = h.reshape(n, h.shape[1], length // self.patch, self.patch).transpose(2, 3).reshape(n, -1, length // self.patch)
        first, skips = h, []
        for down, blocks in self.down:
            h = down(h)
            for b in blocks:
                h = b(h, m)
                skips.append(h)
        h = self.post(self.pre(h, m), m)
        for blocks, up in self.up:
            for b in blocks:
                h = b(torch.cat([h, skips.pop() * 2 ** -0.5], 1), m)
            h = up(h)
        h = h + first
        h = h.reshape(n, -1, self.patch, length // self.patch).transpose(2, 3).reshape(n, -1, length)
        return self.outlet(h, m)


def denoise(net, x, sigma, sigma_data, clamp=True):
    """E[x0 | x0 + sigma z = x]; sigma: one number an item."""
    s = sigma[:, None, None]
    d2 = sigma_data ** 2
    c_skip, c_out, c_in = d2 / (s ** 2 + d2), s * sigma_data * (d2 + s ** 2) ** -0.5, (s ** 2 + d2) ** -0.5
    out = c_skip * x + c_out * net(c_in * x, torch.log(sigma) * 0.25)
    return out.clamp(-1, 1) if clamp else out


def loss(net, x, sigma_data):
    """Karras et al. 2022, eq. 8, with ln sigma ~ N(-3, 1)."""
    sigma = torch.exp(torch.randn(x.shape[0]) - 3)
    d = denoise(net, x + sigma[:, None, None] * torch.randn_like(x), sigma, sigma_data, clamp=False)
    weight = (sigma ** 2 + sigma_data ** 2) / (sigma * sigma_data) ** 2
    return (weight[:, None, None] * (d - x) ** 2).mean()
