#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How well an exported prior removes noise from pieces that did not train it: gain in dB at a few noise levels.

    validate.py DATA MODEL_FOLDER...

The same crops of the validation pieces (as long as the folder holds the same ones) and the same noise every time. "-" is
the gain of the best linear answer that knows nothing but the power of the crops, power / (power + sigma^2) times the input:
what a network must beat.
"""
import json
import os
import struct
import sys

import numpy as np
import torch

import model
import train
from compose import STEMS

SIGMAS = [0.01, 0.03, 0.1, 0.3]
CROPS = 24


def load(folder):
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        data = f.read()
    (n,) = struct.unpack_from("<Q", data)
    net = model.UNet1d(config)
    net.load_state_dict({k: torch.from_numpy(np.frombuffer(data, np.float16, (e["data_offsets"][1] - e["data_offsets"][0]) // 2,
                                                           8 + n + e["data_offsets"][0]).reshape(e["shape"]).astype(np.float32))
                         for k, e in json.loads(data[8:8 + n]).items() if k != "__metadata__"})
    return config, net.eval()


def main():
    data, folders = train.Data(sys.argv[1], "validation"), sys.argv[2:]
    r = np.random.RandomState(1)
    crops = np.stack([data.crop(r) for _ in range(CROPS)])
    for folder in folders:
        config, net = load(folder)
        x = torch.from_numpy(crops[:, [STEMS.index(s) for s in config["stems"]]])
        g = torch.Generator().manual_seed(1)
        line = []
        for sigma in SIGMAS:
            y = x + sigma * torch.randn(x.shape, generator=g)
            with torch.no_grad():
                d = torch.cat([model.denoise(net, p, torch.full((p.shape[0],), sigma), config["diffusion_sigma_data"])
                               for p in y.split(4)])
            power, db = float((x ** 2).mean()), lambda e: -10 * np.log10(float(e) / sigma ** 2)
            linear = power / (power + sigma ** 2)
            line.append("%g: %.2f (- %.2f)" % (sigma, db(((d - x) ** 2).mean()), db(((linear * y - x) ** 2).mean())))
        print("%-30s %s" % (os.path.basename(os.path.normpath(folder)), "   ".join(line)), flush=True)


if __name__ == "__main__":
    main()
