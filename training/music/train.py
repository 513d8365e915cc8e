#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains one audio prior. Resumable: the state file holds everything, a second call goes on from it.

    train.py --data FOLDER --state FILE --kind msdm|stem [--stem bass|drums|guitar|piano|any] [--init FILE] [--levels 4]
             [--iterations 20000] [--minutes M] [--anneal] [--bfloat16]

msdm: one network of four channels, a channel a stem. stem: one channel; "any" draws from all four stems, a start for the others.
Crops of 32768 samples. A crop of msdm mixes whole pieces (coherent) and, one time in four, stems of different pieces;
each stem is left out one time in eight; its level is changed by up to --jitter decibels. --init starts from the averaged
weights of another run; where that has fewer levels, its weights go to the outer ones. --anneal: the rate falls in a straight
line to nothing at the end of --minutes, from where an earlier run was stopped, or from --rate when that one came to its end.
Folders are written by export.py.
"""
import argparse
import copy
import glob
import math
import os
import time

import numpy as np
import torch

import model
from compose import STEMS

WINDOW = 32768
CONFIG = dict(channels=32, patch_factor=4, resnet_groups=8, kernel_multiplier_downsample=2, multipliers=[1, 2, 3, 3, 3],
              factors=[4, 2, 2, 2], num_blocks=[1, 1, 1, 1])
SIGMA_DATA = 0.2


def config(levels, channels):
    """The deeper levels of a network of more than four are like its fourth, each at half the rate."""
    more = levels - len(CONFIG["factors"])
    return dict(CONFIG, in_channels=channels, multipliers=CONFIG["multipliers"] + [CONFIG["multipliers"][-1]] * more,
                factors=CONFIG["factors"] + [2] * more, num_blocks=CONFIG["num_blocks"] + [1] * more)


def graft(net, weights):
    """Weights of a network of as many levels or fewer: levels on the way up are counted from the deepest."""
    depth = lambda names: 1 + max(int(n.split(".")[1]) for n in names if n.startswith("upsamples."))
    own = net.state_dict()
    more = depth(own) - depth(weights)
    for name, value in weights.items():
        parts = name.split(".")
        if parts[0] == "upsamples":
            parts[1] = str(int(parts[1]) + more)
        own[".".join(parts)] = value
    net.load_state_dict(own)


class Data:
    def __init__(self, folder, part="train", jitter=0.0):
        self.jitter = jitter
        names = sorted(glob.glob(os.path.join(folder, "*.npy")))
        keep = lambda n: n.startswith("freedoom-" + part) or (n.startswith("made-") and (int(n[5:10]) % 20 == 0) == (part != "train"))
        self.pieces = [np.load(n, mmap_mode="r") for n in names if keep(os.path.basename(n)) and not n.endswith(".tmp.npy")]
        if not self.pieces:
            raise SystemExit("train: no pieces in " + folder)
        self.weights = np.array([p.shape[1] for p in self.pieces], float) ** 0.5
        self.weights /= self.weights.sum()

    def crop(self, r):
        p = self.pieces[r.choice(len(self.pieces), p=self.weights)]
        at = r.randint(0, max(1, p.shape[1] - WINDOW))
        x = np.zeros((4, WINDOW), np.float32)
        got = p[:, at:at + WINDOW]
        x[:, :got.shape[1]] = got / np.float32(32768)
        return x

    def batch(self, r, size, kind, stem):
        out = []
        while len(out) < size:
            x = self.crop(r)
            if kind == "msdm":
                if r.rand() < 0.25:
                    x = np.stack([self.crop(r)[k] for k in range(4)])
                x = x * (r.rand(4, 1) > 0.125) * 10 ** (r.uniform(-self.jitter, self.jitter, (4, 1)) / 20)
            else:
                k = STEMS.index(stem) if stem != "any" else r.randint(4)
                x = x[k:k + 1]
                if not x.any() and r.rand() < 0.85:  # silence belongs to the prior, but not as often as it occurs
                    continue
            gain = 10 ** (r.uniform(-8, 5) / 20)
            x = x * min(gain, 0.99 / max(1e-6, np.abs(x).max()))
            out.append(x.astype(np.float32))
        return torch.from_numpy(np.stack(out))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--state", required=True)
    p.add_argument("--kind", choices=["msdm", "stem"], required=True)
    p.add_argument("--stem", default="any", choices=STEMS + ["any"])
    p.add_argument("--init", help="state of another run whose weights to start from")
    p.add_argument("--iterations", type=int, default=20000)
    p.add_argument("--minutes", type=float, default=1e9, help="stop after so long, to go on later")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--levels", type=int, default=4)
    p.add_argument("--jitter", type=float, default=0.0)
    p.add_argument("--anneal", action="store_true")
    p.add_argument("--bfloat16", action="store_true", help="convolutions in bfloat16: for processors that have it")
    args = p.parse_args()
    torch.manual_seed(0)
    net = model.UNet1d(config(args.levels, 4 if args.kind == "msdm" else 1))
    if args.init:
        graft(net, torch.load(args.init)["ema"])
    ema, step = copy.deepcopy(net.state_dict()), 0
    opt = torch.optim.AdamW(net.parameters(), lr=args.rate, betas=(0.9, 0.99), weight_decay=1e-3)
    if os.path.exists(args.state):
        s = torch.load(args.state)
        net.load_state_dict(s["net"])
        opt.load_state_dict(s["opt"])
        ema, step = s["ema"], s["step"]
    print("%s %s: %d weights, from iteration %d" % (args.kind, args.stem, sum(v.numel() for v in net.parameters()), step), flush=True)
    data, r = Data(args.data, jitter=args.jitter), np.random.RandomState(step + 1)
    start, seen, mean, now = time.time(), time.time(), None, args.rate
    if args.anneal and step and opt.param_groups[0]["lr"] > 0.01 * args.rate:
        now = min(now, opt.param_groups[0]["lr"])
    while step < args.iterations and time.time() - start < 60 * args.minutes:
        ramp = min(1, (step + 1) / 200)
        if args.anneal:
            rate = now * max(0, 1 - (time.time() - start) / (60 * args.minutes))
        else:
            rate = args.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.iterations)))
        for g in opt.param_groups:
            g["lr"] = rate * ramp
        with torch.autocast("cpu", torch.bfloat16, args.bfloat16):
            value = model.loss(net, data.batch(r, args.batch, args.kind, args.stem), SIGMA_DATA)
        opt.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        step += 1
        keep = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            for k, v in net.state_dict().items():
                ema[k].mul_(keep).add_(v, alpha=1 - keep)
        mean = float(value) if mean is None else 0.99 * mean + 0.01 * float(value)
        last = step == args.iterations or time.time() - start >= 60 * args.minutes
        if step % 200 == 0 or last:
            print("%s %s %d loss %.4f %.2f s/it" % (args.kind, args.stem, step, mean, (time.time() - seen) / 200), flush=True)
            seen = time.time()
        if step % 400 == 0 or last:
            torch.save(dict(net=net.state_dict(), ema=ema, opt=opt.state_dict(), step=step, loss=mean,
                            config=net.config), args.state + ".tmp")
            os.replace(args.state + ".tmp", args.state)
            if step % 2000 == 0:
                data = Data(args.data, jitter=args.jitter)  # pieces that were rendered meanwhile


if __name__ == "__main__":
    main()
