#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the recording of `./quickstart music`: a composed piece that no training saw, its mix and its stems as FLAC.

    demo.py OUT_FOLDER [SEED [SECONDS]]
"""
import os
import sys
import tempfile

import numpy as np
import soundfile

import compose
import render


def main():
    out, seed, seconds = sys.argv[1], int((sys.argv[2:] or [100018])[0]), float((sys.argv[3:] or [10])[0])
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        piece = compose.Piece(seed, seconds * 1.4)
        parts = []
        for s in compose.STEMS:
            path = os.path.join(folder, s + ".mid")
            piece.midi(s).save(path)
            parts.append(render.render(path))
    n = int(seconds * render.RATE)
    x = np.stack([np.pad(p, (0, max(0, n - len(p))))[:n] for p in parts])
    x *= 0.12 / np.sqrt((x.sum(0) ** 2).mean())
    x *= min(1, 0.9 / np.abs(x.sum(0)).max())
    x = np.round(x * 32767).astype(np.int16)  # the mix is the sum of the stems exactly
    for name, stem in zip(compose.STEMS, x):
        soundfile.write(os.path.join(out, name + ".flac"), stem, render.RATE)
    soundfile.write(os.path.join(out, "mix.flac"), x.sum(0).astype(np.int16), render.RATE)
    print("seed %d: root mean square of bass, drums, guitar, piano" % seed, np.sqrt((x.astype(float) ** 2).mean(1)).round())


if __name__ == "__main__":
    main()
