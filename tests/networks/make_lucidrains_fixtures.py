#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the denoising-diffusion-pytorch fixtures of tests/networks/fixtures with the original code.

    python3 make_lucidrains_fixtures.py LIBRARY_FOLDER [OUTPUT_FOLDER]

LIBRARY_FOLDER holds the package denoising_diffusion_pytorch (2.3.1) and, unless they are installed, einops and
ema_pytorch. Only its module denoising_diffusion_pytorch.py is run; what that imports for training is replaced by empty
modules. The networks are small, their weights random and rounded to float16, none of them zero; outputs are computed from
the rounded weights. lucid_trainer is what the library's Trainer writes.
"""
import importlib
import os
import sys
import types

import numpy as np
import torch

TIMES = [0, 37, 999, 500.25]
# name: (pictures [channels, height, width], network, diffusion or None, objective)
FIXTURES = {
    "lucid_trainer": ([1, 8, 12], dict(dim=8, dim_mults=(1, 2), channels=1, attn_dim_head=4, attn_heads=2),
                      dict(objective="pred_v", beta_schedule="sigmoid")),
    "lucid_x0": ([3, 8, 4], dict(dim=8, init_dim=4, dim_mults=(1, 2, 1), attn_dim_head=8, attn_heads=1,
                                 full_attn=(False, True, False), learned_variance=True),
                 dict(objective="pred_x0", beta_schedule="cosine", min_snr_loss_weight=True)),
    "lucid_bare": ([3, 4, 8], dict(dim=8, dim_mults=(2,), attn_dim_head=4, random_fourier_features=True,
                                   learned_sinusoidal_dim=6, self_condition=True), None),
}


class Members(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Anything(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Members(name, (), {})


def load(folder):
    sys.path.insert(0, folder)
    for name in ("torchvision", "torchvision.transforms", "accelerate", "tqdm", "tqdm.auto", "torch.nn.attention",
                 "ema_pytorch", "scipy", "scipy.optimize", "PIL"):
        try:
            importlib.import_module(name)
        except Exception:
            sys.modules[name] = Anything(name)
    package = types.ModuleType("denoising_diffusion_pytorch")
    package.__path__ = [os.path.join(folder, "denoising_diffusion_pytorch")]
    sys.modules["denoising_diffusion_pytorch"] = package
    return importlib.import_module("denoising_diffusion_pytorch.denoising_diffusion_pytorch")


def shake(net, generator):
    for name, p in net.named_parameters():
        r = torch.randn(p.shape, generator=generator)
        if name.endswith(".g"):
            r = 1 + 0.2 * r
        elif name.endswith("bias"):
            r = 0.1 * r
        elif not name.endswith("mem_kv") and not name.endswith("weights"):
            r = r * (2.5 if "mlp" in name or "qkv" in name else 1.2) / np.sqrt(np.prod(p.shape[1:]))
        p.data = r.half().float()


def half(state):
    return {k: v.half() if v.is_floating_point() and v.ndim != 1 else v for k, v in state.items()}


def main():
    library = load(sys.argv[1])
    out = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
    for seed, (name, (shape, network, diffusion)) in enumerate(FIXTURES.items()):
        generator = torch.Generator().manual_seed(100 + seed)
        torch.manual_seed(seed)
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        net = library.Unet(**network).eval()
        shake(net, generator)
        if not diffusion:
            torch.save(half(net.state_dict()), os.path.join(folder, "model.pt"))
        elif network.get("learned_variance"):
            net.out_dim = net.channels  # GaussianDiffusion refuses others; LearnedGaussianDiffusion has the same buffers
            whole = library.GaussianDiffusion(net, image_size=8, timesteps=100, **diffusion)
            torch.save(half(whole.state_dict()), os.path.join(folder, "model.pt"))
        else:
            whole = library.GaussianDiffusion(net, image_size=8, timesteps=100, **diffusion)
            state, raw = half(whole.state_dict()), {}
            for key, v in state.items():  # the averaged weights are the network; the raw ones are other numbers
                raw[key] = v + 1 if key.startswith("model.") else v
            ema = {"initted": torch.tensor([True]), "step": torch.tensor([7])}
            ema.update({"ema_model." + key: v for key, v in state.items()})
            ema.update({"online_model." + key: v for key, v in raw.items()})
            torch.save({"step": 7, "model": raw, "opt": {"state": {}, "param_groups": []}, "ema": ema, "scaler": None,
                        "version": "2.3.1"}, os.path.join(folder, "model.pt"))
        x = torch.randn([2] + shape, generator=generator)
        np.save(os.path.join(folder, "x.npy"), x.numpy())
        for t in TIMES:
            with torch.no_grad():
                y = net(x, torch.full([2], float(t)))
            np.save(os.path.join(folder, "out_t%g.npy" % t), y.numpy())
        print("%s: %d parameters" % (name, sum(p.numel() for p in net.parameters())))


if __name__ == "__main__":
    main()
