# SPDX-License-Identifier: MIT
"""The published layouts at their real sizes for bench/vs_pytorch: written from their description, random weights from one
seed. A network is a torch.nn.Module of (x, t) whose state dict is the checkpoint that both sides read."""
import math
import os
import sys

import torch
import torch.nn.functional as F
from torch import nn

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))


def conv(i, o, k=3, stride=1):
    return nn.Conv2d(i, o, k, stride, k // 2)


def embedding(t, width, half_minus_one, cos_first):
    half = width // 2
    f = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.get_default_dtype()) / (half - half_minus_one))
    a = t[:, None] * f
    return torch.cat([a.cos(), a.sin()] if cos_first else [a.sin(), a.cos()], 1)


class Held(nn.Module):
    """Modules under the dotted names a published file uses; an attribute is a second, unlisted way to one of them."""

    def __setattr__(self, name, value):
        if isinstance(value, nn.Module) and value.__dict__.get("held"):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def put(self, name, module):
        at = self
        parts = name.split(".")
        for p in parts[:-1]:
            if p not in at._modules:
                at.add_module(p, Held())
            at = at._modules[p]
        at.add_module(parts[-1], module)
        module.__dict__["held"] = True
        return module


# ---- guided-diffusion (Dhariwal & Nichol 2021): up and down sampling inside residual blocks, learned variance


class GuidedRes(Held):
    def __init__(self, i, o, e, resample=""):
        super().__init__()
        self.resample = resample
        self.n1, self.c1 = self.put("in_layers.0", nn.GroupNorm(32, i)), self.put("in_layers.2", conv(i, o))
        self.emb = self.put("emb_layers.1", nn.Linear(e, 2 * o))
        self.n2, self.c2 = self.put("out_layers.0", nn.GroupNorm(32, o)), self.put("out_layers.3", conv(o, o))
        self.skip = self.put("skip_connection", conv(i, o, 1)) if i != o else None

    def forward(self, x, e):
        h = F.silu(self.n1(x))
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        if self.resample == "up":
            h, x = (F.interpolate(v, scale_factor=2.0, mode="nearest") for v in (h, x))
        h = self.c1(h)
        scale, shift = self.emb(F.silu(e))[:, :, None, None].chunk(2, 1)
        h = self.c2(F.silu(self.n2(h) * (1 + scale) + shift))
        return h + (self.skip(x) if self.skip is not None else x)


class GuidedAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c // 64
        self.norm, self.qkv, self.proj_out = nn.GroupNorm(32, c), nn.Conv1d(c, 3 * c, 1), nn.Conv1d(c, c, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        d = c // self.heads
        q, k, v = self.qkv(self.norm(x).reshape(n, c, h * w)).reshape(n * self.heads, 3 * d, h * w).split(d, 1)
        a = torch.softmax(torch.bmm(q.transpose(1, 2), k) / math.sqrt(d), -1)
        return x + self.proj_out(torch.bmm(v, a.transpose(1, 2)).reshape(n, c, h * w)).reshape(n, c, h, w)


class Guided(Held):
    options = "num_head_channels=64,use_new_attention_order=false"

    def __init__(self, mc, nrb, attention, mult=(1, 1, 2, 2, 4, 4), classes=0, inputs=3):
        super().__init__()
        e, self.mc, self.steps = 4 * mc, mc, []
        if classes:  # only there for the layout: forward takes no class
            self.put("label_emb", nn.Embedding(classes, e))
        self.t0, self.t2 = self.put("time_embed.0", nn.Linear(mc, e)), self.put("time_embed.2", nn.Linear(e, e))
        c = int(mult[0] * mc)
        self.first = self.put("input_blocks.0.0", conv(inputs, c))
        skips, i = [c], 1
        for level, m in enumerate(mult):
            for _ in range(nrb):
                block = [self.put("input_blocks.%d.0" % i, GuidedRes(c, int(mc * m), e))]
                c = int(mc * m)
                if 2 ** level in attention:
                    block.append(self.put("input_blocks.%d.1" % i, GuidedAttention(c)))
                self.steps.append(("down", block))
                skips.append(c)
                i += 1
            if level + 1 < len(mult):
                self.steps.append(("down", [self.put("input_blocks.%d.0" % i, GuidedRes(c, c, e, "down"))]))
                skips.append(c)
                i += 1
        self.steps.append(("middle", [self.put("middle_block.0", GuidedRes(c, c, e)),
                                      self.put("middle_block.1", GuidedAttention(c)),
                                      self.put("middle_block.2", GuidedRes(c, c, e))]))
        j = 0
        for level, m in reversed(list(enumerate(mult))):
            for k in range(nrb + 1):
                block = [self.put("output_blocks.%d.0" % j, GuidedRes(c + skips.pop(), int(mc * m), e))]
                c = int(mc * m)
                if 2 ** level in attention:
                    block.append(self.put("output_blocks.%d.1" % j, GuidedAttention(c)))
                if level and k == nrb:
                    block.append(self.put("output_blocks.%d.%d" % (j, len(block)), GuidedRes(c, c, e, "up")))
                self.steps.append(("up", block))
                j += 1
        self.n_out, self.c_out = self.put("out.0", nn.GroupNorm(32, c)), self.put("out.2", conv(c, 6))

    def forward(self, x, t):
        e = self.t2(F.silu(self.t0(embedding(t, self.mc, 0, True))))
        h = self.first(x)
        skips = [h]
        for kind, block in self.steps:
            if kind == "up":
                h = torch.cat([h, skips.pop()], 1)
            for m in block:
                h = m(h, e) if isinstance(m, GuidedRes) else m(h)
            if kind == "down":
                skips.append(h)
        return self.c_out(F.silu(self.n_out(h)))


# ---- the DDPM U-Net in the layout of celeba_hq.ckpt


class DdpmRes(Held):
    def __init__(self, i, o, e):
        super().__init__()
        norm = lambda c: nn.GroupNorm(32, c, eps=1e-6)
        self.norm1, self.conv1, self.temb_proj = norm(i), conv(i, o), nn.Linear(e, o)
        self.norm2, self.conv2 = norm(o), conv(o, o)
        if i != o:
            self.nin_shortcut = conv(i, o, 1)

    def forward(self, x, e):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(e))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class DdpmAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(32, c, eps=1e-6)
        self.q, self.k, self.v, self.proj_out = (conv(c, c, 1) for _ in range(4))

    def forward(self, x):
        n, c, h, w = x.shape
        y = self.norm(x)
        q, k, v = (m(y).reshape(n, c, h * w) for m in (self.q, self.k, self.v))
        a = torch.softmax(torch.bmm(q.transpose(1, 2), k) * c ** -0.5, -1)
        return x + self.proj_out(torch.bmm(v, a.transpose(1, 2)).reshape(n, c, h, w))


class Ddpm(Held):
    options = ""

    def __init__(self, ch=128, mult=(1, 1, 2, 2, 4, 4), nrb=2, attention=(4,)):
        super().__init__()
        e, self.ch, self.walk, self.mult, self.attention = 4 * ch, ch, [], mult, attention
        self.d0, self.d1 = self.put("temb.dense.0", nn.Linear(ch, e)), self.put("temb.dense.1", nn.Linear(e, e))
        self.conv_in = conv(3, ch)
        c, skips = ch, [ch]
        for l, m in enumerate(mult):
            for b in range(nrb):
                block = [self.put("down.%d.block.%d" % (l, b), DdpmRes(c, ch * m, e))]
                c = ch * m
                if l in attention:
                    block.append(self.put("down.%d.attn.%d" % (l, b), DdpmAttention(c)))
                self.walk.append(("down", block))
                skips.append(c)
            if l + 1 < len(mult):
                self.walk.append(("halve", [self.put("down.%d.downsample.conv" % l, nn.Conv2d(c, c, 3, 2))]))
                skips.append(c)
        self.walk.append(("middle", [self.put("mid.block_1", DdpmRes(c, c, e)), self.put("mid.attn_1", DdpmAttention(c)),
                                     self.put("mid.block_2", DdpmRes(c, c, e))]))
        for l, m in reversed(list(enumerate(mult))):
            for b in range(nrb + 1):
                block = [self.put("up.%d.block.%d" % (l, b), DdpmRes(c + skips.pop(), ch * m, e))]
                c = ch * m
                if l in attention:
                    block.append(self.put("up.%d.attn.%d" % (l, b), DdpmAttention(c)))
                self.walk.append(("up", block))
            if l:
                self.walk.append(("double", [self.put("up.%d.upsample.conv" % l, conv(c, c))]))
        self.norm_out, self.conv_out = nn.GroupNorm(32, c, eps=1e-6), conv(c, 3)

    def forward(self, x, t):
        e = self.d1(F.silu(self.d0(embedding(t, self.ch, 1, False))))
        h = self.conv_in(x)
        skips = [h]
        for kind, block in self.walk:
            if kind == "halve":
                h = block[0](F.pad(h, (0, 1, 0, 1)))
                skips.append(h)
                continue
            if kind == "double":
                h = block[0](F.interpolate(h, scale_factor=2.0, mode="nearest"))
                continue
            if kind == "up":
                h = torch.cat([h, skips.pop()], 1)
            for m in block:
                h = m(h, e) if isinstance(m, DdpmRes) else m(h)
            if kind == "down":
                skips.append(h)
        return self.conv_out(F.silu(self.norm_out(h)))


def photo():
    sys.path.insert(0, os.path.join(ROOT, "training"))
    import train_photo
    config, _, weights = train_photo.load_folder(os.path.join(ROOT, "models", "photo"))
    net = train_photo.Net(config)
    net.load_state_dict({k: v.float() for k, v in weights.items()})
    net.options = ""
    return net


NETWORKS = {  # name: title, maker
    "photo": ("photo prior, 768x512", photo),
    "ffhq": ("FFHQ-256 layout", lambda: Guided(128, 1, (16,))),
    "celeba": ("CelebA-HQ-256 layout", Ddpm),
    "imagenet": ("ImageNet-256 layout", lambda: Guided(256, 2, (8, 16, 32))),
}


def make(name, weights=None):
    """The network, with the weights of a file, or random ones of seed 1 kept at a size that keeps activations near one."""
    net = NETWORKS[name][1]()
    if weights:
        net.load_state_dict(torch.load(weights, map_location="cpu"))
    elif name != "photo":
        g = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in net.parameters():
                r = torch.randn(p.shape, generator=g)
                p.copy_(r * (1.0 / math.sqrt(p[0].numel())) if p.dim() > 1 else 0.1 * r)
            for m in net.modules():
                if isinstance(m, nn.GroupNorm):
                    m.weight.add_(1)
    return net.eval()
