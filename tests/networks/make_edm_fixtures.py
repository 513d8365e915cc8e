#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the EDM fixtures of tests/networks/fixtures with the original code.

    python3 make_edm_fixtures.py EDM_FOLDER [OUTPUT_FOLDER]

EDM_FOLDER is a copy of https://github.com/NVlabs/edm (its licence allows no commercial use: nothing of it is here, it is
only run). The networks are small, their weights random and rounded to float16, none of them zero; outputs are computed
from the rounded weights. out_t*.npy: the network alone at that time; denoised_*.npy: the preconditioned network at that
noise level.
"""
import os
import pickle
import sys

import numpy as np
import torch

TIMES = [0, 37, 999, 500.25]
SIGMAS = [0.02, 0.7, 31]
SMALL = dict(model_channels=8, num_blocks=1, channel_mult=[1, 2], attn_resolutions=[4], augment_dim=9)
# name: (precondition, pictures [channels, height, width], arguments)
FIXTURES = {
    "edm_song": ("EDMPrecond", [3, 8, 12], dict(SMALL, model_type="SongUNet")),
    "edm_song_class": ("VPPrecond", [1, 8, 8], dict(SMALL, model_type="SongUNet", label_dim=5, augment_dim=0)),
    "edm_ncsnpp": ("VEPrecond", [3, 12, 8], dict(SMALL, model_type="SongUNet", embedding_type="fourier", augment_dim=0,
                                                 channel_mult_noise=2, encoder_type="residual",
                                                 resample_filter=[1, 3, 3, 1])),
    "edm_skip": ("EDMPrecond", [3, 8, 8], dict(SMALL, model_type="SongUNet", encoder_type="skip", decoder_type="skip",
                                               resample_filter=[1, 3, 3, 1], channel_mult=[1, 2, 1])),
    "edm_adm": ("iDDPMPrecond", [3, 12, 8], dict(SMALL, model_type="DhariwalUNet", label_dim=5, augment_dim=0, M=20)),
}


def shake(net, generator):
    for name, p in net.named_parameters():
        r = torch.randn(p.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            r = 1 + 0.2 * r
        elif name.endswith("bias"):
            r = 0.1 * r
        else:
            r = r * (2.5 if "affine" in name or "qkv" in name else 1.2) / np.sqrt(np.prod(p.shape[1:]))
        p.data = r.half().float()
    for b in net.buffers():
        b.data = b.half().float()


def main():
    sys.path.insert(0, sys.argv[1])
    from training import networks

    class Narrow(networks.UNetBlock):  # two heads in a small network
        def __init__(self, *args, **kwargs):
            if "channels_per_head" in kwargs:
                kwargs["channels_per_head"] = 8
            super().__init__(*args, **kwargs)

    from torch_utils import persistence

    for c in persistence._decorators:
        c._orig_module_src = "raise SystemExit('program text must never be run')"
    networks.UNetBlock = Narrow
    out = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
    for seed, (name, (precondition, shape, arguments)) in enumerate(FIXTURES.items()):
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        net = getattr(networks, precondition)(img_resolution=8, img_channels=shape[0], **arguments).eval()
        shake(net, generator)
        if name != "edm_skip":
            torch.save({k: v.half() for k, v in net.state_dict().items()}, os.path.join(folder, "model.pt"))
        if precondition == "VPPrecond":  # its log(1 + sigma^2) loses four digits in single precision at 0.02
            inverse = net.sigma_inv
            net.sigma_inv = lambda sigma: inverse(sigma.double()).float()
        x = torch.randn([2] + shape, generator=generator)
        np.save(os.path.join(folder, "x.npy"), x.numpy())
        label = torch.eye(5)[[2, 4]] if arguments.get("label_dim") else None
        with torch.no_grad():
            for t in TIMES:
                y = net.model(x, torch.full([2], float(t)), label)
                np.save(os.path.join(folder, "out_t%g.npy" % t), y.numpy())
            for sigma in SIGMAS:
                y = net(x * sigma, torch.full([2], float(sigma)), label)
                np.save(os.path.join(folder, "denoised_%g.npy" % sigma), y.numpy())
        if name == "edm_skip":  # as the library publishes its networks, but without its program text
            with open(os.path.join(folder, "model.pkl"), "wb") as f:
                pickle.dump({"ema": net.half(), "dataset_kwargs": {"path": "none"}}, f)
        print("%s: %d parameters" % (name, sum(p.numel() for p in net.parameters())))


if __name__ == "__main__":
    main()
