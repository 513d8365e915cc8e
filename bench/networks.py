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


# ---- audio-diffusion-pytorch's UNet1d in the layout of multi-source-diffusion-models, at its real size


class ChannelNorm(nn.Module):
    """Over the channels of [n, l, c] (shape [c]) or of [n, c, l] (shape [1, c, 1]); a gain and no offset."""

    def __init__(self, shape):
        super().__init__()
        self.g, self.axis = nn.Parameter(torch.ones(shape)), -1 if len(shape) == 1 else 1

    def forward(self, x):
        return (x - x.mean(self.axis, True)) * (x.var(self.axis, unbiased=False, keepdim=True) + 1e-5).rsqrt() * self.g


class AudioAttention(Held):
    """[n, c, l]: 8 heads of 128."""

    def __init__(self, c, heads=8, dim=128):
        super().__init__()
        self.heads, e = heads, heads * dim
        self.norm, self.to_q = ChannelNorm([c]), nn.Linear(c, e, bias=False)
        self.to_kv = nn.Linear(c, 2 * e, bias=False)
        self.out, self.out_norm = self.put("attention.to_out.0", nn.Linear(e, c, bias=False)), self.put("attention.to_out.1", ChannelNorm([c]))

    def forward(self, x):
        y = self.norm(x.transpose(1, 2))
        n, l, _ = y.shape
        q, k, v = (a.reshape(n, l, self.heads, -1).transpose(1, 2) for a in (self.to_q(y), *self.to_kv(y).chunk(2, -1)))
        a = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), -1) @ v
        return self.out_norm(self.out(a.transpose(1, 2).reshape(n, l, -1))).transpose(1, 2)


class AudioTransformer(Held):
    def __init__(self, c):
        super().__init__()
        self.attend = self.put("attention.fn", AudioAttention(c))
        self.n1, self.c1 = self.put("feed_forward.0", ChannelNorm([1, c, 1])), self.put("feed_forward.1", nn.Conv1d(c, 2 * c, 1, bias=False))
        self.n2, self.c2 = self.put("feed_forward.3", ChannelNorm([1, 2 * c, 1])), self.put("feed_forward.4", nn.Conv1d(2 * c, c, 1, bias=False))

    def forward(self, x):
        x = self.attend(x) + x
        return self.c2(self.n2(F.gelu(self.c1(self.n1(x))))) + x


class Audio(Held):
    options = ""

    def __init__(self, ch=256, patch=16, mult=(1, 2, 4, 4, 4, 4, 4), factors=(4, 4, 4, 2, 2, 2), blocks=2, first_attention=3, stems=4):
        super().__init__()
        sys.path.insert(0, os.path.join(ROOT, "training", "music"))
        from model import Block
        e, self.patch, c = 4 * ch, patch, [ch * m for m in mult]
        self.f = self.put("to_time.0.0", Held())
        self.f.weights = nn.Parameter(torch.zeros(ch // 2))
        self.time = self.put("to_time.0.1", nn.Linear(ch + 1, e))
        self.map0, self.map2 = self.put("to_mapping.0", nn.Linear(e, e)), self.put("to_mapping.2", nn.Linear(e, e))
        self.inlet = self.put("to_in.module_list.0.block", Block(stems, ch // patch, e, stems))
        self.outlet = self.put("to_out.module_list.0.block", Block(ch // patch, stems, e, stems))
        self.down, self.up = [], []
        for i, f in enumerate(factors):
            p, tall = "downsamples.%d." % i, i >= first_attention
            self.down.append((self.put(p + "downsample", nn.Conv1d(c[i], c[i + 1], 2 * f + 1, f, f)),
                              [self.put(p + "blocks.%d" % j, Block(c[i + 1], c[i + 1], e, 8)) for j in range(blocks)],
                              self.put(p + "transformer", AudioTransformer(c[i + 1])) if tall else None))
        self.pre, self.post = (self.put("bottleneck.%s_block" % k, Block(c[-1], c[-1], e, 8)) for k in ("pre", "post"))
        self.middle = self.put("bottleneck.attention.fn", AudioAttention(c[-1]))
        for k, i in enumerate(reversed(range(len(factors)))):
            p, f, tall = "upsamples.%d." % k, factors[i], i >= first_attention
            self.up.append(([self.put(p + "blocks.%d" % j, Block(2 * c[i + 1], c[i + 1], e, 8)) for j in range(blocks + tall)],
                            self.put(p + "transformer", AudioTransformer(c[i + 1])) if tall else None,
                            self.put(p + "upsample", nn.ConvTranspose1d(c[i + 1], c[i], 2 * f, f, f // 2 + f % 2, f % 2))))

    def forward(self, x, t):
        phi = 2 * math.pi * t[:, None] * self.f.weights
        m = F.gelu(self.time(torch.cat([t[:, None], phi.sin(), phi.cos()], 1)))
        m = F.gelu(self.map2(F.gelu(self.map0(m))))
        n, _, length = x.shape
        h = self.inlet(x, m)
        h = h.reshape(n, -1, length // self.patch, self.patch).transpose(2, 3).reshape(n, -1, length // self.patch)
        first, skips = h, []
        for down, blocks, transformer in self.down:
            h = down(h)
            for b in blocks:
                h = b(h, m)
                skips.append(h)
            if transformer is not None:
                h = transformer(h)
                skips.append(h)
        h = self.post(self.middle(self.pre(h, m)), m)
        for blocks, transformer, up in self.up:
            for b in blocks:
                h = b(torch.cat([h, skips.pop() * 2 ** -0.5], 1), m)
            h = up(transformer(h) if transformer is not None else h)
        h = (h + first).reshape(n, -1, self.patch, length // self.patch).transpose(2, 3).reshape(n, -1, length)
        return self.outlet(h, m)


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
    "audio": ("MSDM layout (1-D), 262144 samples", Audio),
}
OPTIONS = {"ffhq": Guided.options, "imagenet": Guided.options}


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
                if isinstance(m, ChannelNorm):
                    m.g.copy_(1 + 0.1 * m.g / m.g.abs().max())
    return net.eval()
