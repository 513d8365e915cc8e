# SPDX-License-Identifier: MIT
"""Height and width at which bench/vs_pytorch runs each network; apart from networks.py so that no peer needs PyTorch."""
SIZES = {"photo": (512, 768), "ffhq": (256, 256), "celeba": (256, 256), "imagenet": (256, 256)}
