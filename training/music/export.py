#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the averaged weights of a state of train.py as a folder with config.json and model.safetensors in float16.

    export.py STATE FOLDER bass,drums,guitar,piano|bass|...
"""
import json
import os
import struct
import sys

import torch

import train

# How to separate: of what was tried on the validation pieces, the best (docs/results-music.md).
SEPARATE = dict(separate_sigma_min=0.003, separate_sigma_max=0.3, separate_steps=30, separate_repeats=2)


def safetensors(path, tensors):
    header, data = {}, b""
    for name in sorted(tensors):
        t = tensors[name].half().contiguous()
        raw = t.numpy().tobytes()
        header[name] = {"dtype": "F16", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    os.replace(path + ".tmp", path)


def main():
    state, folder, stems = sys.argv[1:]
    s, stems = torch.load(state), stems.split(",")
    os.makedirs(folder, exist_ok=True)
    net = s.get("config") or train.config(4, len(stems))
    config = dict(_class_name="UNet1d", patch_blocks=1, **net, attentions=[False] * len(net["factors"]), attention_heads=8,
                  attention_features=64, attention_multiplier=2, use_nearest_upsample=False, use_skip_scale=True,
                  use_attention_bottleneck=False, use_context_time=True, diffusion_sigma_data=train.SIGMA_DATA,
                  diffusion_dynamic_threshold=0.0, sample_rate=22050, window=train.WINDOW,
                  **SEPARATE, stems=stems)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")
    safetensors(os.path.join(folder, "model.safetensors"), s["ema"])
    print("%s: iteration %d, loss %.4f" % (folder, s["step"], s["loss"]))


if __name__ == "__main__":
    main()
