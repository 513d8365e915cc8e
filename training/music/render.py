#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Renders MIDI stems to 22.05 kHz mono int16 arrays [4, samples] (bass, drums, guitar, piano), one .npy a piece.

    render.py made FOLDER OUT            folders of compose.py
    render.py freedoom MIDI_FOLDER OUT   General MIDI files: split by program into the four stems, other instruments left out

Needs fluidsynth and the sound font FluidR3 (Debian: fluidsynth fluid-soundfont-gm; MIT). A piece is scaled so that its mix has a
root mean square of 0.12. Of the freedoom files only those with all four stems are taken: every fifth (by name) is kept
for testing, the one after it for validation; the split is in the name of the output.
"""
import glob
import os
import subprocess
import sys
import tempfile

import mido
import numpy as np
import soundfile

from compose import STEMS

RATE = 22050
FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
PROGRAMS = {"piano": range(0, 8), "guitar": range(24, 32), "bass": range(32, 40)}


def render(path):
    """Mono float32 of a MIDI file, or an empty array when it holds no notes."""
    if not any(m.type == "note_on" and m.velocity for t in mido.MidiFile(path).tracks for m in t):
        return np.zeros(0, np.float32)
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run(["fluidsynth", "-ni", "-q", "-g", "0.6", "-R", "0", "-C", "0", "-r", str(RATE), "-F", f.name, FONT, path],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return soundfile.read(f.name, dtype="float32")[0].mean(1)


def save(parts, path):
    n = max(len(p) for p in parts)
    if n < 4 * RATE:
        return
    x = np.stack([np.pad(p, (0, n - len(p))) for p in parts])
    mix = x.sum(0)
    x *= 0.12 / max(1e-6, float(np.sqrt((mix ** 2).mean())))
    x *= min(1.0, 0.99 / max(1e-6, float(np.abs(x).max())))
    np.save(path + ".tmp.npy", np.round(x * 32767).astype(np.int16))
    os.replace(path + ".tmp.npy", path)


def split(path, folder):
    """Writes a MIDI file for each stem that has notes; returns the names."""
    f = mido.MidiFile(path, clip=True)
    programs, found, out = [0] * 16, set(), {s: mido.MidiFile(ticks_per_beat=f.ticks_per_beat) for s in STEMS}
    tracks = {s: mido.MidiTrack() for s in STEMS}
    at, last = 0, {s: 0 for s in STEMS}
    for m in mido.merge_tracks(f.tracks):
        at += m.time
        if m.type == "program_change":
            programs[m.channel] = m.program
        for s in STEMS:
            if m.is_meta and m.type not in ("set_tempo", "end_of_track"):
                continue
            if m.type in ("note_on", "note_off"):
                drums = m.channel == 9
                if drums != (s == "drums") or not (drums or programs[m.channel] in PROGRAMS[s]):
                    continue
                if m.type == "note_on" and m.velocity:
                    found.add(s)
            elif m.type == "sysex":
                continue
            tracks[s].append(m.copy(time=at - last[s]))
            last[s] = at
    for s in STEMS:
        out[s].tracks.append(tracks[s])
        out[s].save(os.path.join(folder, s + ".mid"))
    return found


def main():
    kind, source, target = sys.argv[1:]
    os.makedirs(target, exist_ok=True)
    if kind == "made":
        for folder in sorted(glob.glob(os.path.join(source, "*"))):
            path = os.path.join(target, os.path.basename(folder) + ".npy")
            if not os.path.exists(path):
                save([render(os.path.join(folder, s + ".mid")) for s in STEMS], path)
        return
    taken = 0
    for path in sorted(glob.glob(os.path.join(source, "**", "*.mid"), recursive=True)):
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = split(path, folder)
            except (OSError, ValueError, EOFError, KeyError, IndexError):
                continue
            if len(found) < 4:
                continue
            part = {3: "test", 4: "validation"}.get(taken % 5, "train")
            taken += 1
            name = os.path.join(target, "freedoom-%s-%s.npy" % (part, os.path.splitext(os.path.basename(path))[0]))
            if not os.path.exists(name):
                save([render(os.path.join(folder, s + ".mid")) for s in STEMS], name)
                print(name, flush=True)


if __name__ == "__main__":
    main()
