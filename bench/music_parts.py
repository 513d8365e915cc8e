# SPDX-License-Identifier: MIT
"""What bench/music measures with: scores, the simple alternatives, and the source solver once more in plain PyTorch."""
import json
import os
import struct
import sys

import numpy as np
from scipy import ndimage, signal

STEMS = ["bass", "drums", "guitar", "piano"]
RATE = 22050
WINDOW, HOP = 4 * RATE, 2 * RATE
ACTIVE = 1e-3  # root mean square from which a stem counts as heard in a window; 1 is full scale


# ---- scores ----

def si_sdr(estimate, truth):
    """Scale-invariant signal to distortion ratio in dB (Le Roux et al. 2019), means kept."""
    estimate, truth = estimate.astype(np.float64), truth.astype(np.float64)
    target = truth * (estimate @ truth / (truth @ truth + 1e-12))
    return 10 * np.log10((target @ target + 1e-12) / (np.sum((estimate - target) ** 2) + 1e-12))


def improvements(estimates, truths):
    """Stem -> improvements over the mix, one for each window where that stem and at least one other is active."""
    mix, out = truths.sum(0), {s: [] for s in STEMS}
    for at in range(0, truths.shape[1] - WINDOW + 1, HOP):
        cut = slice(at, at + WINDOW)
        active = [k for k in range(len(STEMS)) if np.sqrt(np.mean(truths[k, cut] ** 2)) >= ACTIVE]
        if len(active) < 2:
            continue
        for k in active:
            out[STEMS[k]].append(si_sdr(estimates[k, cut], truths[k, cut]) - si_sdr(mix[cut], truths[k, cut]))
    return out


# ---- what a listener could make in a minute ----

def filtered(x, kind, hz):
    return signal.sosfiltfilt(signal.butter(4, hz, kind, fs=RATE, output="sos"), x)


def low_pass(mix):
    """Bass below 200 Hz, drums above 4 kHz, guitar and piano the band between."""
    middle = filtered(mix, "bandpass", [200, 4000])
    return np.stack([filtered(mix, "lowpass", 200), filtered(mix, "highpass", 4000), middle / 2, middle / 2])


def harmonic_percussive(mix):
    """Median filtering (Fitzgerald 2010): percussive is drums; harmonic is bass below 200 Hz, guitar and piano above."""
    f, t, z = signal.stft(mix, RATE, nperseg=2048, noverlap=1536)
    a = np.abs(z)
    h, p = ndimage.median_filter(a, (1, 31)) ** 2, ndimage.median_filter(a, (31, 1)) ** 2
    mask = p / (h + p + 1e-20)
    back = lambda s: np.pad(signal.istft(s, RATE, nperseg=2048, noverlap=1536)[1], (0, 2048))[:mix.size]
    harmonic = back(z * (1 - mask))
    above = filtered(harmonic, "highpass", 200)
    return np.stack([filtered(harmonic, "lowpass", 200), back(z * mask), above / 2, above / 2])


BASELINES = {"low-pass": low_pass, "harmonic-percussive": harmonic_percussive}


# ---- the solver of the command once more, to try weights before anything is built ----

def read_folder(folder):
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        data = f.read()
    (n,) = struct.unpack_from("<Q", data)
    arrays = {}
    for name, e in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            kind = {"F16": np.float16, "F32": np.float32}[e["dtype"]]
            start, end = e["data_offsets"]
            arrays[name] = np.frombuffer(data[8 + n + start:8 + n + end], kind).reshape(e["shape"]).astype(np.float32)
    return config, arrays


class Prior:
    """Denoiser of [windows, stems, samples]: one joint folder, or a folder of a folder for each stem."""

    def __init__(self, folder):
        import torch
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "training", "music"))
        import model
        self.torch, self.model, self.nets = torch, model, []
        joint = os.path.exists(os.path.join(folder, "config.json"))
        for sub in [""] if joint else STEMS:
            self.config, arrays = read_folder(os.path.join(folder, sub))
            net = model.UNet1d(self.config)
            net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in arrays.items()})
            self.nets.append(net.eval())

    def __call__(self, x, sigma):
        s = self.torch.full((x.shape[0],), float(sigma))
        parts = [x] if len(self.nets) == 1 else x.split(1, 1)
        return self.torch.cat([self.model.denoise(n, p, s, self.config["diffusion_sigma_data"])
                               for n, p in zip(self.nets, parts)], 1)


def karras(steps, low=1e-4, high=1.0, rho=7.0):
    ramp = np.linspace(0, 1, steps)
    return (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho


def solve(prior, mix, solver, steps, repeats, seed):
    """mix [samples] -> [4, samples]. Windows of the training length overlap by half and are cross-faded."""
    torch, window = prior.torch, prior.config["window"]
    hop = window // 2
    count = max(1, -(-(mix.size - hop) // hop))
    y = np.pad(mix, (0, (count + 1) * hop - mix.size)).astype(np.float32)
    y = torch.from_numpy(np.stack([y[i * hop:i * hop + window] for i in range(count)])[:, None])
    g = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn((count, len(STEMS), window), generator=g)
    with torch.no_grad():
        x = {"projdiff": projdiff, "dirac": dirac}[solver](prior, y, karras(steps), repeats, draw, torch)
    fade = np.hanning(window + 1)[:-1]
    out, weight = np.zeros((len(STEMS), (count + 1) * hop)), np.zeros((count + 1) * hop)
    for i in range(count):
        out[:, i * hop:i * hop + window] += fade * x[i].numpy()
        weight[i * hop:i * hop + window] += fade
    return (out / np.maximum(weight, 1e-3))[:, :mix.size]


def projdiff(prior, y, sigmas, repeats, draw, torch):
    x = prior(draw() * sigmas[0], sigmas[0])
    x, m = x + (y - x.sum(1, True)) / x.shape[1], None
    for sigma in sigmas:
        for _ in range(repeats):
            d = prior(x + sigma * draw(), sigma) - x
            m = d if m is None else 0.5 * m + 0.5 * d
            x = x + 0.5 / repeats * m
            x = x + (y - x.sum(1, True)) / x.shape[1]
    return x


def dirac(prior, y, sigmas, repeats, draw, torch):
    """Mariani et al. 2023: the last stem is what the others leave; Euler steps, more noise between repeats."""
    x = sigmas[0] * draw()
    for i, sigma in enumerate(sigmas):
        lower = sigmas[i + 1] if i + 1 < len(sigmas) else 0.0
        for r in range(repeats):
            x = torch.cat([x[:, :-1], y - x[:, :-1].sum(1, True)], 1)
            score = (x - prior(x, sigma)) / sigma
            slope = score - score[:, -1:]
            x = x + slope * (lower - sigma)
            if r + 1 < repeats:
                x = x + draw() * (sigma ** 2 - lower ** 2) ** 0.5
    return torch.cat([x[:, :-1], y - x[:, :-1].sum(1, True)], 1)
