# SPDX-License-Identifier: MIT
"""The input at which bench/vs_pytorch runs each network; apart from networks.py so that no peer needs PyTorch."""
SIZES = {"photo": (512, 768), "ffhq": (256, 256), "celeba": (256, 256), "imagenet": (256, 256), "audio": (1, 262144)}


def shape(name, batch):
    """Of PyTorch's input: sequences have no height."""
    h, w = SIZES[name]
    return (batch, 4, w) if name == "audio" else (batch, 3, h, w)


def time(name):
    """What the network is told: a step of 1000, or ln(sigma)/4 at sigma = 0.135."""
    return -0.5 if name == "audio" else 37.0
