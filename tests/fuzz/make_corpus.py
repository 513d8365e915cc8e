#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeds for the fuzz targets, from the fixtures of the readers' tests.

Usage: make_corpus.py OUT     writes OUT/<target>/...
"""
import os
import sys
import zipfile

here = os.path.dirname(os.path.abspath(__file__))
fixtures = os.path.join(here, "..", "weights", "fixtures")
out = sys.argv[1]


def seed(target, name, data):
    folder = os.path.join(out, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def kind(data):
    if data[:4] == b"PK\3\4":
        return "npz" if data[30:30 + data[26]].endswith(b".npy") else "torch_zip"
    if b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" in data[:32]:
        return "torch_legacy"
    if b"_reconstruct_persistent_obj" in data[:4096]:
        return "edm_pickle"
    return "safetensors" if data[8:9] == b"{" else None


for base, _, names in os.walk(fixtures):
    for name in sorted(names):
        with open(os.path.join(base, name), "rb") as f:
            data = f.read()
        seed("open", name, data)
        k = kind(data)
        if k:
            seed(k, name, data)
        if k == "torch_zip":
            with zipfile.ZipFile(os.path.join(base, name)) as z:
                for entry in z.namelist():
                    if entry.endswith("/data.pkl"):
                        seed("pickle", name + ".pkl", z.read(entry))
