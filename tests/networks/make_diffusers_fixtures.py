#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the UNet2DModel fixtures of tests/networks/fixtures from the real library.

    python3 -m venv --system-site-packages venv
    venv/bin/pip install "diffusers==0.21.4" "huggingface_hub<0.25" safetensors
    venv/bin/python make_diffusers_fixtures.py [OUTPUT_FOLDER]

Small networks with random weights in the diffusers folder layout: config.json, float16 weights, x.npy and the raw outputs
out_t*.npy. The weights are rounded to float16 first and the library runs them in float32, so the outputs are exact for the
file. No layer is left at zero or at the identity, and queries and keys are enlarged so that attention matters.
ddpm_tiny is the same network under the names of the DDPM U-Net, which has the same arithmetic.
"""
import json
import os
import sys

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors.torch import save_file

TIMES = [0, 37, 999, 500.25]
DDPM = dict(flip_sin_to_cos=False, freq_shift=1, downsample_padding=0, norm_eps=1e-6, attention_head_dim=None)

CASES = {
    # The constructor's defaults where nothing is said: cosines first, symmetric padding, eps 1e-5.
    "unet2d_attn": dict(block_out_channels=[16, 32], layers_per_block=1, norm_num_groups=8, attention_head_dim=8,
                        down_block_types=["DownBlock2D", "AttnDownBlock2D"],
                        up_block_types=["AttnUpBlock2D", "UpBlock2D"]),
    # The settings of the published DDPM conversions, in the first generation of attention names.
    "unet2d_old_names": dict(block_out_channels=[16, 32], layers_per_block=1, norm_num_groups=16,
                             down_block_types=["AttnDownBlock2D", "DownBlock2D"],
                             up_block_types=["UpBlock2D", "AttnUpBlock2D"], **DDPM),
    # No attention at all. (One channel a group: an added embedding would vanish in the norm, so scale and shift.)
    "unet2d_plain": dict(block_out_channels=[32], layers_per_block=1, norm_num_groups=32, add_attention=False,
                         resnet_time_scale_shift="scale_shift",
                         down_block_types=["DownBlock2D"], up_block_types=["UpBlock2D"], **DDPM),
    # Everything else: classes, scale-shift, resampling in residual blocks, a scaled middle, centred input, two channels in.
    "unet2d_class": dict(block_out_channels=[8, 16, 16], layers_per_block=2, norm_num_groups=4, attention_head_dim=4,
                         down_block_types=["ResnetDownsampleBlock2D", "AttnDownBlock2D", "DownBlock2D"],
                         up_block_types=["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"],
                         downsample_type="resnet", upsample_type="resnet", resnet_time_scale_shift="scale_shift",
                         num_class_embeds=7, mid_block_scale_factor=1.4142, center_input_sample=True, in_channels=2,
                         out_channels=2, norm_eps=1e-4),
}


def randomise(model, generator):
    for name, p in model.named_parameters():
        r = torch.randn(p.shape, generator=generator)
        with torch.no_grad():
            if p.ndim == 1 and name.endswith("weight"):
                p.copy_(1 + 0.2 * r)
            elif p.ndim == 1:
                p.copy_(0.1 * r)
            elif "class_embedding" in name:
                p.copy_(r)
            else:
                fan_in = p[0].numel()
                gain = 1.6 if ".to_q." in name or ".to_k." in name else 2.5 if "time_emb" in name else 1.2
                p.copy_(gain * r / fan_in ** 0.5)
            p.copy_(p.half().float())


def old_names(state):
    out = {}
    for k, v in state.items():
        for new, old in ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")):
            k = k.replace(new, old)
        # Files converted without squeezing carry 1x1 kernels.
        if k.startswith("mid_block.attentions") and v.ndim == 2:
            v = v[:, :, None, None]
        out[k] = v
        if k.startswith("down_blocks.0.downsamplers.0.conv."):
            out[k.replace(".conv.", ".Conv2d_0.")] = v.clone()
    return out


def ddpm_names(state, levels):
    out = {}
    for k, v in state.items():
        p = k.split(".")
        tail = p[-1]
        if p[0] == "time_embedding":
            n = "temb.dense.%d" % (int(p[1][-1]) - 1)
        elif p[0] in ("down_blocks", "up_blocks"):
            side = p[0][:-7]
            level = int(p[1]) if side == "down" else levels - 1 - int(p[1])
            if p[2] == "resnets":
                n = "%s.%d.block.%s.%s" % (side, level, p[3], p[4])
            elif p[2] == "attentions":
                n = "%s.%d.attn.%s.%s" % (side, level, p[3], p[4])
            else:
                n = "%s.%d.%ssample.conv" % (side, level, side)
        elif p[0] == "mid_block":
            n = "mid.block_%d.%s" % (int(p[2]) + 1, p[3]) if p[1] == "resnets" else "mid.attn_1.%s" % p[3]
        else:
            n = {"conv_norm_out": "norm_out"}.get(p[0], p[0])
        for a, b in (("time_emb_proj", "temb_proj"), ("conv_shortcut", "nin_shortcut"), (".to_q", ".q"), (".to_k", ".k"),
                     (".to_v", ".v"), (".to_out", ".proj_out"), (".group_norm", ".norm")):
            n = n.replace(a, b)
        if ".attn" in n and v.ndim == 2:
            v = v[:, :, None, None]
        out[n + "." + tail] = v
    return out


def run(model, folder, seed, height=16, width=24):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(2, model.config.in_channels, height, width, generator=g)
    labels = torch.tensor([2, 5]) if model.config.num_class_embeds else None
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    for t in TIMES:
        with torch.no_grad():
            y = model(x, torch.tensor(t, dtype=torch.float32), class_labels=labels).sample
        np.save(os.path.join(folder, "out_t%g.npy" % t), y.numpy())
        print("%s t %g: rms %.3f" % (folder, t, y.pow(2).mean().sqrt()))


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
    for seed, (name, config) in enumerate(CASES.items()):
        folder = os.path.join(root, name)
        os.makedirs(folder, exist_ok=True)
        model = UNet2DModel(**config).eval()
        randomise(model, torch.Generator().manual_seed(1000 + seed))
        state = {k: v.half().contiguous() for k, v in model.state_dict().items()}
        if "old" in name:
            state = old_names(state)
        save_file(state, os.path.join(folder, "diffusion_pytorch_model.safetensors"))
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(dict({"_class_name": "UNet2DModel", "_diffusers_version": "0.21.4"}, **config), f, indent=2)
            f.write("\n")
        run(model, folder, seed)
    folder = os.path.join(root, "ddpm_tiny")
    os.makedirs(folder, exist_ok=True)
    model = UNet2DModel(block_out_channels=[32], layers_per_block=1, norm_num_groups=32,
                        down_block_types=["AttnDownBlock2D"], up_block_types=["AttnUpBlock2D"], **DDPM).eval()
    randomise(model, torch.Generator().manual_seed(2000))
    state = {k: v.half().contiguous() for k, v in ddpm_names(model.state_dict(), 1).items()}
    torch.save(state, os.path.join(folder, "model.ckpt"))
    run(model, folder, 77)


main()
