#!/usr/bin/env python3
"""Train, continue, check and export the photo prior (models/photo).

    train_photo.py --init models/photo --state run/photo.state --iterations 5000      start from shipped weights, or
    train_photo.py --state run/photo.state                                            go on where the last run stopped
    train_photo.py --state run/photo.state --iterations 4000                          go on, but anneal by iteration 4000
    train_photo.py --state run/photo.state --export models/photo                      write weights, settings and card
    train_photo.py --init models/photo --validate                                     scores only

The network is a diffusers UNet2DModel without attention; --init names a folder with its config.json (and weights, unless --scratch). SIGTERM and SIGINT
save the state and stop. Needs PyTorch (1.13 or later), NumPy and Pillow. Photographs: --photos DIR or PROJDIFF_PHOTOS, *.jpg in sub-folders.
"""
import argparse
import glob
import json
import math
import os
import signal
import struct
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEIGHTS = "diffusion_pytorch_model.safetensors"
HELD_OUT = 64
CROPS = {32: 0.15, 48: 0.15, 64: 0.35, 96: 0.20, 128: 0.15}  # side: share of the batches
SHRINK = 2.0        # largest area-downscaling; half of the crops are taken as they are
GRAY = 0.08         # share of gray pictures
LOW_T = (0.65, 0.4)  # share of the steps drawn from the lowest part of the range
EMA = 0.999
WARMUP = 200
SIGMAS = (15, 25, 50)


def die(text):
    sys.exit("train_photo: " + text)


# ---------------------------------------------------------------- safetensors

DTYPES = {"F32": np.float32, "F16": np.float16}


def read_safetensors(path):
    """Name -> float32 array."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < 8:
        die(f"{path}: {len(data)} bytes are no safetensors file")
    (n,) = struct.unpack_from("<Q", data)
    if n > len(data) - 8:
        die(f"{path}: header of {n} bytes in a file of {len(data)}")
    out = {}
    for name, e in json.loads(data[8:8 + n]).items():
        if name == "__metadata__":
            continue
        if e["dtype"] not in DTYPES:
            die(f"{path}: {name} is {e['dtype']}, expected one of {' '.join(DTYPES)}")
        dtype, (start, end) = np.dtype(DTYPES[e["dtype"]]), e["data_offsets"]
        count = math.prod(e["shape"])
        if not 0 <= start <= end <= len(data) - 8 - n or end - start != count * dtype.itemsize:
            die(f"{path}: {name}: bytes {start}..{end} do not hold shape {e['shape']}")
        out[name] = np.frombuffer(data, dtype, count, 8 + n + start).reshape(e["shape"]).astype(np.float32)
    return out


def write_safetensors(path, arrays, dtype):
    """Sorted names, header padded to 8 bytes; appears whole or not at all."""
    kind = {"f32": "F32", "f16": "F16"}[dtype]
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(arrays):
        blob = np.ascontiguousarray(arrays[name]).astype(DTYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": list(arrays[name].shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    os.replace(path + ".part", path)


# -------------------------------------------------------------------- network

class Conv(nn.Conv2d):
    """3x3 convolution; computes in bfloat16 when asked. The residual stream around it stays in float32: at small noise the
    noise to be predicted is finer than bfloat16's steps."""
    bf16 = False

    def forward(self, x):
        if not self.bf16:
            return super().forward(x)
        y = F.conv2d(x.bfloat16(), self.weight.bfloat16(), self.bias.bfloat16(), self.stride, self.padding)
        return y.float()


class Res(nn.Module):
    def __init__(self, cin, cout, ctime, groups, eps):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, cin, eps=eps)
        self.conv1 = Conv(cin, cout, 3, padding=1)
        self.time_emb_proj = nn.Linear(ctime, cout)
        self.norm2 = nn.GroupNorm(groups, cout, eps=eps)
        self.conv2 = Conv(cout, cout, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else None

    def forward(self, x, e):
        h = self.conv1(F.silu(self.norm1(x))) + self.time_emb_proj(F.silu(e))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Down(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = Conv(c, c, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = Conv(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Net(nn.Module):
    """Tensor names and arithmetic of diffusers' UNet2DModel with DownBlock2D and UpBlock2D, no attention."""

    FIXED = {"_class_name": "UNet2DModel", "in_channels": 3, "out_channels": 3, "center_input_sample": False,
             "time_embedding_type": "positional", "freq_shift": 1, "flip_sin_to_cos": False, "mid_block_scale_factor": 1,
             "downsample_padding": 0, "act_fn": "silu", "add_attention": False, "resnet_time_scale_shift": "default"}

    def __init__(self, config):
        super().__init__()
        for key, value in self.FIXED.items():
            if config.get(key) != value:
                die(f"config.json: {key} is {config.get(key)!r}, expected {value!r}")
        widths, layers = config["block_out_channels"], config["layers_per_block"]
        if set(config["down_block_types"]) != {"DownBlock2D"} or set(config["up_block_types"]) != {"UpBlock2D"}:
            die("config.json: only DownBlock2D and UpBlock2D are known")
        ctime, norm = 4 * widths[0], (config["norm_num_groups"], config["norm_eps"])
        self.width = widths[0]
        self.time_embedding = nn.Module()
        self.time_embedding.linear_1 = nn.Linear(widths[0], ctime)
        self.time_embedding.linear_2 = nn.Linear(ctime, ctime)
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        c, skips = widths[0], [widths[0]]
        for k, w in enumerate(widths):
            block = nn.Module()
            block.resnets = nn.ModuleList()
            for _ in range(layers):
                block.resnets.append(Res(c, w, ctime, *norm))
                c = w
                skips.append(c)
            if k < len(widths) - 1:
                block.downsamplers = nn.ModuleList([Down(c)])
                skips.append(c)
            self.down_blocks.append(block)
        self.mid_block = nn.Module()
        self.mid_block.resnets = nn.ModuleList([Res(c, c, ctime, *norm) for _ in range(2)])
        self.up_blocks = nn.ModuleList()
        for k, w in enumerate(reversed(widths)):
            block = nn.Module()
            block.resnets = nn.ModuleList()
            for _ in range(layers + 1):
                block.resnets.append(Res(c + skips.pop(), w, ctime, *norm))
                c = w
            if k < len(widths) - 1:
                block.upsamplers = nn.ModuleList([Up(c)])
            self.up_blocks.append(block)
        self.conv_norm_out = nn.GroupNorm(norm[0], c, eps=norm[1])
        self.conv_out = nn.Conv2d(c, 3, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x, t):
        half = self.width // 2
        freq = torch.exp(-math.log(10000) * torch.arange(half, device=x.device) / (half - 1))
        angle = t.float()[:, None] * freq
        e = self.time_embedding.linear_1(torch.cat([angle.sin(), angle.cos()], 1))
        e = self.time_embedding.linear_2(F.silu(e))
        h = self.conv_in(x)
        skips = [h]
        for block in self.down_blocks:
            for res in block.resnets:
                h = res(h, e)
                skips.append(h)
            if hasattr(block, "downsamplers"):
                h = block.downsamplers[0](h)
                skips.append(h)
        for res in self.mid_block.resnets:
            h = res(h, e)
        for block in self.up_blocks:
            for res in block.resnets:
                h = res(torch.cat([h, skips.pop()], 1), e)
            if hasattr(block, "upsamplers"):
                h = block.upsamplers[0](h)
        return self.conv_out(F.silu(self.conv_norm_out(h)))

    def use_bf16(self, on):
        for m in self.modules():
            if isinstance(m, Conv):
                m.bf16 = on


def load_folder(folder, weights=True):
    """Settings, schedule and weights (or None) of a model folder."""
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    with open(os.path.join(folder, "scheduler_config.json")) as f:
        schedule = json.load(f)
    if schedule["beta_schedule"] != "linear" or schedule["prediction_type"] != "epsilon":
        die(f"{folder}: only the linear schedule with epsilon prediction is trained here")
    if not weights:
        return config, schedule, None
    arrays = read_safetensors(os.path.join(folder, WEIGHTS))
    return config, schedule, {k: torch.from_numpy(v) for k, v in arrays.items()}


def alphas_bar(schedule):
    beta = torch.linspace(schedule["beta_start"], schedule["beta_end"], schedule["num_train_timesteps"], dtype=torch.float64)
    return torch.cumprod(1 - beta, 0).float()


# ----------------------------------------------------------------------- data

class Photos:
    """All pictures in memory; the first HELD_OUT of a fixed shuffle are never trained on."""

    def __init__(self, folder, held_out_only=False):
        files = sorted(glob.glob(os.path.join(folder, "*", "*.jpg")))
        if len(files) <= HELD_OUT:
            die(f"{folder}: {len(files)} pictures, expected more than {HELD_OUT}: name the folder with --photos")
        self.count = {}
        for f in files:
            kind = os.path.basename(os.path.dirname(f))
            self.count[kind] = self.count.get(kind, 0) + 1
        np.random.RandomState(1).shuffle(files)
        self.held_out = [self.read(f) for f in files[:HELD_OUT]]
        self.train = [] if held_out_only else [self.read(f) for f in files[HELD_OUT:]]

    @staticmethod
    def read(path):
        with Image.open(path) as im:
            a = np.asarray(im.convert("RGB"))
        if min(a.shape[:2]) < max(CROPS):
            die(f"{path}: {a.shape[1]}x{a.shape[0]}, expected sides of {max(CROPS)} at least")
        return a

    @staticmethod
    def crop(a, side, rng):
        room = min(SHRINK, min(a.shape[:2]) / side)
        take = round(side * rng.uniform(1, room)) if room > 1 and rng.random() < 0.5 else side
        y, x = rng.integers(a.shape[0] - take + 1), rng.integers(a.shape[1] - take + 1)
        c = a[y:y + take, x:x + take]
        if take > side:
            c = np.asarray(Image.fromarray(c).resize((side, side), Image.BOX))
        if rng.random() < 0.5:
            c = c[:, ::-1]
        if rng.random() < GRAY:
            luma = np.rint(c @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
            c = np.repeat(luma[:, :, None], 3, 2)
        return c

    def batch(self, pixels, rng):
        side = int(rng.choice(list(CROPS), p=list(CROPS.values())))
        n = max(1, round(pixels / side ** 2))
        return to_tensor([self.crop(self.train[rng.integers(len(self.train))], side, rng) for _ in range(n)])


def to_tensor(crops):
    a = np.ascontiguousarray(np.stack(crops))  # NHWC, so the permuted view is channels_last
    return torch.from_numpy(a).permute(0, 3, 1, 2).float() / 127.5 - 1


def sample_t(n, steps, rng):
    """Stratified over the batch; more of the low-noise steps, on which restored detail depends."""
    u = (rng.permutation(n) + rng.random(n)) / n
    share, part = LOW_T
    u = np.where(u < share, u * part / share, part + (u - share) * (1 - part) / (1 - share))
    return torch.from_numpy(np.minimum((u * steps).astype(np.int64), steps - 1))


# ----------------------------------------------------------------- validation

@torch.no_grad()
def denoise_psnr(net, ab, clean, noise, sigma):
    """Mean PSNR in dB of one network call's clean picture; sigma of 255."""
    s = 2 * sigma / 255
    t = int((ab - 1 / (1 + s * s)).abs().argmin())
    a = ab[t]
    noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
    eps = net(noisy, torch.full((len(clean),), t, device=clean.device))
    x0 = ((noisy - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
    return float((10 * torch.log10(4 / ((x0 - clean) ** 2).mean((1, 2, 3)))).mean())


@torch.no_grad()
def eps_mse(net, ab, clean, noise):
    """Mean squared error of the predicted noise, one step for each picture, spread over the whole range."""
    t = (torch.arange(len(clean), device=clean.device) * (len(ab) - 40) // len(clean)) + 7
    a = ab[t].view(-1, 1, 1, 1)
    return float(((net(a.sqrt() * clean + (1 - a).sqrt() * noise, t) - noise) ** 2).mean())


class Scores:
    """Validation on the held-out pictures with fixed noise."""

    def __init__(self, photos, ab, device):
        gen = torch.Generator().manual_seed(3)
        self.ab = ab
        self.small = to_tensor([a[:64, :64] for a in photos.held_out])
        self.noise = torch.randn(self.small.shape, generator=gen)
        self.large = to_tensor([a[:128, :128] for a in photos.held_out])
        self.large_noise = torch.randn(self.large.shape, generator=gen)
        luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        self.gray = (self.small * luma).sum(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
        for k in ("small", "noise", "large", "large_noise", "gray"):
            setattr(self, k, getattr(self, k).to(device).contiguous(memory_format=torch.channels_last))

    def __call__(self, net):
        out = {"mse": eps_mse(net, self.ab, self.small, self.noise),
               "mse128": eps_mse(net, self.ab, self.large, self.large_noise),
               "gray25": denoise_psnr(net, self.ab, self.gray, self.noise, 25)}
        for s in SIGMAS:
            out[f"psnr{s}"] = denoise_psnr(net, self.ab, self.small, self.noise, s)
        return out


def show(scores):
    psnr = "/".join(f"{scores[f'psnr{s}']:.3f}" for s in SIGMAS)
    return f"mse {scores['mse']:.5f} mse128 {scores['mse128']:.5f} psnr@{'/'.join(map(str, SIGMAS))} {psnr} gray@25 {scores['gray25']:.3f}"


# ------------------------------------------------------------------- schedule

def learning_rate(plan, it):
    """Half a cosine from plan['lr'] at plan['from'] to zero at plan['to'], after a linear warm-up."""
    done = min(1.0, (it - plan["from"]) / max(1, plan["to"] - plan["from"]))
    warm = min(1.0, (it - plan["from"] + 1) / plan["warmup"]) if plan["warmup"] else 1.0
    return plan["lr"] * warm * 0.5 * (1 + math.cos(math.pi * done))


def replan(plan, it, iterations, lr):
    """A changed end or rate starts a new half cosine here, from the rate reached."""
    end = plan["to"] if iterations is None else iterations
    if end == plan["to"] and lr is None:
        return plan
    if end < it:
        die(f"--iterations {end}: {it} are done already")
    return {"from": it, "to": end, "lr": learning_rate(plan, it) if lr is None else lr, "warmup": 0}


# ---------------------------------------------------------------------- state

class Run:
    """Everything that a resumed run needs, and nothing else is needed."""

    def __init__(self, args):
        self.device = torch.device(args.device)
        self.state = torch.load(args.state, map_location="cpu") if args.state and os.path.exists(args.state) else None
        if self.state is None:
            if not args.init:
                die(f"{args.state}: no such state; --init DIR starts a run")
            config, schedule, weights = load_folder(args.init, not args.scratch)
        else:
            config, schedule, weights = (self.state[k] for k in ("config", "schedule", "model"))
        self.config, self.schedule = config, schedule
        self.net = Net(config)
        if weights is not None:
            self.net.load_state_dict(weights)
        self.net.to(self.device, memory_format=torch.channels_last)
        self.opt = torch.optim.AdamW(self.net.parameters(), lr=0, betas=(0.9, 0.99), weight_decay=1e-4)
        self.ab = alphas_bar(schedule).to(self.device)
        self.begin(args) if self.state is None else self.resume(args)

    def begin(self, args):
        self.rng = np.random.default_rng(args.seed)
        torch.manual_seed(args.seed)
        self.ema = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.it, self.cpu, self.wall, self.shown, self.before = 0, 0.0, 0.0, 0, None
        self.history = [] if args.scratch else read_history(args.init)
        self.pixels = args.pixels
        self.bf16 = [0, 0]  # iterations in float32, in bfloat16
        self.plan = {"from": 0, "to": args.iterations or 0, "lr": args.lr or 4e-4, "warmup": WARMUP}
        self.peak = self.plan["lr"]

    def resume(self, args):
        s = self.state
        self.rng = np.random.default_rng()
        self.rng.bit_generator.state = json.loads(s["numpy_rng"])
        torch.set_rng_state(s["torch_rng"])
        if self.device.type == "cuda" and s["cuda_rng"] is not None:
            torch.cuda.set_rng_state(s["cuda_rng"])
        self.ema = {k: v.to(self.device) for k, v in s["ema"].items()}
        self.opt.load_state_dict(s["opt"])
        for k in ("it", "cpu", "wall", "shown", "before", "history", "bf16", "peak"):
            setattr(self, k, s[k])
        self.pixels = args.pixels or s["pixels"]
        self.plan = replan(s["plan"], self.it, args.iterations, args.lr)
        self.peak = max(self.peak, self.plan["lr"])

    def save(self, path):
        keys = ("config", "schedule", "ema", "it", "cpu", "wall", "shown", "before", "history", "pixels", "bf16", "plan", "peak")
        state = {k: getattr(self, k) for k in keys}
        state.update(model=self.net.state_dict(), opt=self.opt.state_dict(), torch_rng=torch.get_rng_state(),
                     numpy_rng=json.dumps(self.rng.bit_generator.state),
                     cuda_rng=torch.cuda.get_rng_state() if self.device.type == "cuda" else None)
        torch.save(state, path + ".part")
        os.replace(path + ".part", path)

    def averaged(self):
        """A network with the averaged weights, in float32."""
        net = Net(self.config)
        net.load_state_dict(self.ema)
        return net.eval().to(self.device, memory_format=torch.channels_last)

    def step(self, photos, pixels):
        x0 = photos.batch(pixels, self.rng).to(self.device, memory_format=torch.channels_last)
        t = sample_t(len(x0), len(self.ab), self.rng).to(self.device)
        a, eps = self.ab[t].view(-1, 1, 1, 1), torch.randn_like(x0)
        for group in self.opt.param_groups:
            group["lr"] = learning_rate(self.plan, self.it)
        loss = ((self.net(a.sqrt() * x0 + (1 - a).sqrt() * eps, t) - eps) ** 2).mean()
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.opt.step()
        self.it += 1
        self.shown += len(x0)
        keep = min(EMA, (1 + self.it) / (10 + self.it))
        with torch.no_grad():
            for k, v in self.net.state_dict().items():
                self.ema[k].mul_(keep).add_(v, alpha=1 - keep)
        return loss.detach()


def train(args, run):
    stop = []
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda number, frame: stop.append(number))
    pixels = run.pixels or 65536
    run.pixels = pixels
    photos = Photos(args.photos)
    scores = Scores(photos, run.ab, run.device)
    print(f"{sum(p.numel() for p in run.net.parameters())} parameters, {len(photos.train)} pictures, {len(photos.held_out)} held out; "
          f"iteration {run.it} of {run.plan['to']}, plan {run.plan}", flush=True)
    if run.before is None:
        run.before = scores(run.averaged())
        print(f"before  {show(run.before)}", flush=True)
    run.net.use_bf16(args.bf16)
    run.net.train()
    start = saved = time.monotonic()
    cpu0, wall0, cpu_before, first, losses = time.process_time(), time.monotonic(), run.cpu, run.it, []
    wall_before = run.wall

    def clock():
        run.cpu = cpu_before + time.process_time() - cpu0
        run.wall = wall_before + time.monotonic() - wall0

    while run.it < run.plan["to"] and not stop and time.monotonic() - start < args.minutes * 60:
        losses.append(run.step(photos, pixels))
        run.bf16[args.bf16] += 1
        if run.it % 50 == 0:
            rate = (time.monotonic() - start) / (run.it - first)
            print(f"it {run.it} loss {float(torch.stack(losses).mean()):.4f} lr {learning_rate(run.plan, run.it):.2e} {rate:.2f} s/it", flush=True)
            losses = []
        if run.it % args.every == 0:
            print(f"val {run.it} {show(scores(run.averaged()))}", flush=True)
        if time.monotonic() - saved > args.save_minutes * 60:
            clock()
            run.save(args.state)
            saved = time.monotonic()
    clock()
    run.save(args.state)
    print(f"stopped at iteration {run.it} of {run.plan['to']}: {show(scores(run.averaged()))}", flush=True)


# --------------------------------------------------------------------- export

def read_history(folder):
    """The bullets under '## Training' of a model card, so that a continued model keeps its history."""
    path = os.path.join(folder, "README.md")
    if not os.path.exists(path):
        return []
    with open(path) as f:
        text = f.read().split("## Training\n", 1)
    part = text[1].split("\n## ")[0] if len(text) > 1 else ""
    return [line[2:] for line in part.splitlines() if line.startswith("* ")]


def describe(run):
    """One sentence about this run for the card."""
    crops = ", ".join(f"{side} px ({share:.0%})" for side, share in CROPS.items())
    half = run.bf16[1] / max(1, run.it)
    return (f"{run.it:,} {'further ' if run.history else ''}iterations of about {run.pixels:,} pixels, {run.shown:,} crops: sides of {crops}, half of them shrunk by area "
            f"averaging up to x{SHRINK:g} where the picture allows, random horizontal flips, {GRAY:.0%} gray; t stratified over the batch, {LOW_T[0]:.0%} of it in the lowest {LOW_T[1]:.0%} of "
            f"the steps; AdamW {run.peak:g} falling to {learning_rate(run.plan, run.it):.1g} on a cosine, EMA {EMA}, gradients clipped at 1"
            + (f"; 3x3 convolutions in bfloat16 for {half:.0%} of the iterations" if half else "; float32")
            + (f"; {run.cpu / 3600:.1f} core-hours on CPU." if run.device.type == "cpu" else f"; {run.wall / 3600:.1f} hours on a GPU."))


def score_row(name, s):
    return f"| {name} | {s['mse']:.4f} | {s['mse128']:.4f} | " + " | ".join(f"{s[f'psnr{k}']:.2f}" for k in SIGMAS) + f" | {s['gray25']:.2f} |"


def write_card(path, run, photos, scores, dtype):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "photo_card.md")) as f:
        text = f.read()
    history = run.history + ([describe(run)] if run.it else [])
    rows = [score_row("these weights", scores)]
    if run.it and run.before:
        rows.append(score_row("before the last run", run.before))
    total = sum(photos.count.values())
    values = {"parameters": f"{sum(p.numel() for p in run.net.parameters()):,}", "dtype": {"f32": "float32", "f16": "float16"}[dtype],
              "total": f"{total:,}", "held_out": str(HELD_OUT), "train": f"{total - HELD_OUT:,}",
              "history": "\n".join("* " + h for h in history), "rows": "\n".join(rows)}
    for kind in ("flowers", "clothing", "portraits"):
        values[kind] = f"{photos.count.get(kind, 0):,}"
    for k, v in values.items():
        text = text.replace("{" + k + "}", v)
    with open(path, "w") as f:
        f.write(text)


@torch.no_grad()
def same_output(run, net, path, dtype):
    """Read the file back and compare the networks: equal in float32, close in float16."""
    again = Net(run.config)
    again.load_state_dict({k: torch.from_numpy(v) for k, v in read_safetensors(path).items()})
    again.eval().to(run.device, memory_format=torch.channels_last)
    x = torch.randn(3, 3, 48, 64, generator=torch.Generator().manual_seed(5)).to(run.device)
    t = torch.tensor([0, 37, 999], device=run.device)
    want, got = net(x, t), again(x, t)
    error, limit = float((got - want).abs().max()), 0.0 if dtype == "f32" else 0.02
    if not error <= limit:
        die(f"{path}: its output differs by {error:g} from the trained network's (limit {limit:g})")
    return error


def export(args, run):
    photos = Photos(args.photos, held_out_only=True)
    net = run.averaged()
    os.makedirs(args.export, exist_ok=True)
    path = os.path.join(args.export, WEIGHTS)
    write_safetensors(path, {k: v.detach().cpu().numpy() for k, v in net.state_dict().items()}, args.dtype)
    error = same_output(run, net, path, args.dtype)
    if args.dtype == "f16":
        net.load_state_dict({k: torch.from_numpy(v) for k, v in read_safetensors(path).items()})
    for name, content in (("config.json", run.config), ("scheduler_config.json", run.schedule)):
        with open(os.path.join(args.export, name), "w") as f:
            f.write(json.dumps(content, indent=2) + "\n")
    scores = Scores(photos, run.ab, run.device)(net)
    write_card(os.path.join(args.export, "README.md"), run, photos, scores, args.dtype)
    print(f"{path}: {os.path.getsize(path):,} bytes, output within {error:g} of the trained network's; {show(scores)}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--init", metavar="DIR", help="model folder to start from")
    p.add_argument("--scratch", action="store_true", help="take only the settings of --init, not its weights")
    p.add_argument("--state", metavar="FILE", help="where the run is kept; it goes on from there when it exists")
    p.add_argument("--photos", metavar="DIR", default=os.environ.get("PROJDIFF_PHOTOS") or os.path.join(ROOT, "..", "shared", "data", "train-photos"))
    p.add_argument("--iterations", type=int, metavar="N", help="the learning rate reaches zero there; may change on resume")
    p.add_argument("--lr", type=float, help="peak learning rate (4e-4); on resume: start of a new cosine")
    p.add_argument("--pixels", type=int, help="pixels a batch (65536)")
    p.add_argument("--minutes", type=float, default=math.inf, help="save and stop after this time")
    p.add_argument("--save-minutes", type=float, default=3)
    p.add_argument("--every", type=int, default=400, help="iterations between validations")
    p.add_argument("--bf16", action="store_true", help="3x3 convolutions of the training in bfloat16")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, help="CPU threads (PyTorch's default)")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--validate", action="store_true", help="print the scores and stop")
    p.add_argument("--export", metavar="DIR", help="write the averaged weights with their card and stop")
    p.add_argument("--dtype", choices=("f32", "f16"), default="f32", help="of the exported weights")
    args = p.parse_args()
    if not args.init and not args.state:
        p.error("--init DIR or --state FILE is needed")
    if args.threads:
        torch.set_num_threads(args.threads)
    run = Run(args)
    if args.validate:
        print(show(Scores(Photos(args.photos, held_out_only=True), run.ab, run.device)(run.averaged())))
    elif args.export:
        export(args, run)
    elif not args.state or not run.plan["to"]:
        p.error("training needs --state FILE, and --iterations N at the start")
    else:
        train(args, run)


if __name__ == "__main__":
    main()
