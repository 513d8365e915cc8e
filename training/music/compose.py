#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Composes pieces for a small band as MIDI files: random, but with a key, a form, chords, grooves and rests.

    compose.py OUT_FOLDER --count 200 [--seed 1] [--seconds 45]

A piece is a few sections; a section has a chord progression and, for each instrument, a pattern that it keeps with small
variations, or silence. Channels: 1 bass, 2 guitar, 3 piano, 10 drums.
"""
import argparse
import os
import random

import mido

STEMS = ["bass", "drums", "guitar", "piano"]
CHANNEL = {"bass": 0, "guitar": 1, "piano": 2, "drums": 9}
PROGRAMS = {"bass": [32, 33, 33, 33, 34, 34, 35, 36, 38], "guitar": [24, 24, 25, 25, 26, 27, 27, 28, 29, 30],
            "piano": [0, 0, 0, 1, 2, 3, 4, 5, 6]}
MAJOR, MINOR = [0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10]
NEXT = {0: [3, 4, 5, 1, 3, 4], 1: [4, 4, 6], 2: [5, 3], 3: [4, 0, 1, 4], 4: [0, 5, 0, 3], 5: [3, 1, 4], 6: [0, 4]}
TICKS = 480
SIXTEENTH = TICKS // 4


def progression(r):
    degrees = [r.choice([0, 0, 0, 5, 3])]
    while len(degrees) < r.choice([4, 4, 4, 8]):
        degrees.append(r.choice(NEXT[degrees[-1]]))
    return degrees


class Piece:
    def __init__(self, seed, seconds):
        self.r = r = random.Random(seed)
        self.scale, self.key = r.choice([MAJOR, MINOR]), r.randrange(12)
        self.bpm = r.choice([r.uniform(64, 100), r.uniform(90, 140), r.uniform(120, 175)])
        self.swing = r.choice([0, 0, 0, 0, SIXTEENTH // 3])
        self.beats = r.choice([4, 4, 4, 4, 3])
        self.events = {s: [] for s in STEMS}  # (tick, length, note, velocity)
        self.programs = {s: r.choice(PROGRAMS[s]) for s in PROGRAMS}
        self.bars = max(4, int(seconds / 60 * self.bpm / self.beats))
        bar = 0
        while bar < self.bars:
            n = min(r.choice([4, 8, 8]), self.bars - bar)
            self.section(bar, n)
            bar += n

    def note(self, stem, bar, step, length, pitch, velocity):
        tick = (bar * self.beats * 4 + step) * SIXTEENTH + (self.swing if int(step) % 2 else 0)
        jitter = self.r.randrange(-6, 7)
        self.events[stem].append((max(0, tick + jitter), max(20, int(length * SIXTEENTH * self.r.uniform(0.8, 0.97))), pitch,
                                  max(20, min(127, int(velocity + self.r.gauss(0, 7))))))

    def pitch(self, degree, low):
        p = self.key + self.scale[degree % 7] + 12 * (degree // 7)
        while p < low:
            p += 12
        while p >= low + 12:
            p -= 12
        return p

    def chord(self, degree, low, size):
        return sorted(self.pitch(degree + 2 * k, low) + self.r.choice([0, 0, 0, 12]) * (k > 1) for k in range(size))

    def section(self, start, bars):
        r, steps, chords = self.r, self.beats * 4, progression(self.r)
        playing = [s for s in STEMS if r.random() < 0.82] or [r.choice(STEMS)]
        makers = {"bass": self.bass, "drums": self.drums, "guitar": self.chords, "piano": self.chords}
        patterns = {s: makers[s](s, steps) for s in playing}
        for b in range(bars):
            degree = chords[b % len(chords)]
            for s in playing:
                if r.random() < 0.96:
                    patterns[s](start + b, degree, b == bars - 1)

    def bass(self, stem, steps):
        r, low = self.r, self.r.choice([28, 31, 33])
        style = r.choice(["root", "eighths", "walk", "pattern", "pattern", "octave"])
        hits = sorted({0} | {s for s in range(2, steps, 2) if r.random() < 0.4} | {s for s in range(1, steps, 2) if r.random() < 0.1})
        moves = {h: r.choice([0, 0, 0, 4, 2, 7, 6]) for h in hits}

        def play(bar, degree, last):
            if style == "root":
                self.note(stem, bar, 0, steps, self.pitch(degree, low), 95)
            elif style in ("eighths", "octave"):
                for s in range(0, steps, 2):
                    up = 12 if style == "octave" and s % 4 else 0
                    self.note(stem, bar, s, 1.8, self.pitch(degree, low) + up, 96 - 10 * (s % 4 > 0))
            elif style == "walk":
                for s in range(0, steps, 4):
                    self.note(stem, bar, s, 3.8, self.pitch(degree + [0, 2, 4, r.choice([5, 1])][s // 4 % 4], low), 95)
            else:
                for h, following in zip(hits, hits[1:] + [steps]):
                    self.note(stem, bar, h, following - h, self.pitch(degree + moves[h], low), 98 if h == 0 else 86)
        return play

    def drums(self, stem, steps):
        r = self.r
        kicks = {0} | {s for s in range(2, steps, 2) if r.random() < 0.25}
        snares = {4, 12} if r.random() < 0.8 else {8}
        hat, every = r.choice([42, 42, 42, 51, 46]), r.choice([1, 2, 2, 2, 4])
        ghosts = {s for s in range(steps) if r.random() < r.choice([0, 0, 0.12])}
        snare = r.choice([38, 38, 40, 37])

        def play(bar, degree, last):
            fill = last and r.random() < 0.7
            for s in range(steps - (8 if fill else 0)):
                if s in kicks:
                    self.note(stem, bar, s, 1, r.choice([36, 36, 35]), 104)
                if s in snares:
                    self.note(stem, bar, s, 1, snare, 104)
                elif s in ghosts:
                    self.note(stem, bar, s, 1, snare, 45)
                if s % every == 0:
                    self.note(stem, bar, s, 1, hat, 84 - 18 * (s % 4 > 0))
            if bar % 8 == 0 and r.random() < 0.5:
                self.note(stem, bar, 0, 2, 49, 100)
            for s in range(steps - 8, steps if fill else 0):
                if r.random() < 0.75:
                    self.note(stem, bar, s, 1, r.choice([38, 48, 47, 45, 43]), 94)
        return play

    def chords(self, stem, steps):
        r = self.r
        low = r.choice([48, 52, 55]) if stem == "guitar" else r.choice([48, 55, 60])
        style = r.choice(["hold", "strum", "arpeggio", "stabs", "melody", "melody"])
        hits = sorted({0} | {s for s in range(2, steps, 2) if r.random() < 0.45})
        contour = [r.randrange(0, 9) for _ in range(steps)]
        size = r.choice([3, 3, 4])

        def play(bar, degree, last):
            notes = self.chord(degree, low, size)
            if style == "arpeggio":
                for s in range(0, steps, 2):
                    self.note(stem, bar, s, 2.2, notes[(s // 2) % len(notes)], 82)
            elif style == "melody":
                for h, following in zip(hits, hits[1:] + [steps]):
                    step = r.choice([-1, 0, 1]) if r.random() < 0.2 else 0
                    self.note(stem, bar, h, following - h, self.pitch(degree + contour[h] + step, low + 12), 90)
            else:
                where = [0] if style == "hold" else hits
                for h, following in zip(where, where[1:] + [steps]):
                    length = 1.2 if style == "stabs" else following - h
                    for k, p in enumerate(notes):
                        self.note(stem, bar, h + (0.08 * k if style == "strum" else 0), length, p, 82)
        return play

    def midi(self, stem):
        """A file with one stem alone."""
        f, track = mido.MidiFile(ticks_per_beat=TICKS), mido.MidiTrack()
        f.tracks.append(track)
        track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(self.bpm)))
        if stem in self.programs:
            track.append(mido.Message("program_change", channel=CHANNEL[stem], program=self.programs[stem]))
        timed = []
        for tick, length, pitch, velocity in self.events[stem]:
            timed += [(int(tick + length), 0, pitch, 0), (int(tick), 1, pitch, velocity)]
        at = 0
        for tick, on, pitch, velocity in sorted(timed):
            track.append(mido.Message("note_on" if on else "note_off", channel=CHANNEL[stem], note=pitch, velocity=velocity,
                                      time=tick - at))
            at = tick
        track.append(mido.MetaMessage("end_of_track", time=max(0, self.bars * self.beats * TICKS - at)))
        return f


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--count", type=int, default=200)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--seconds", type=float, default=45)
    args = p.parse_args()
    for i in range(args.seed, args.seed + args.count):
        folder = os.path.join(args.out, "made-%05d" % i)
        os.makedirs(folder, exist_ok=True)
        piece = Piece(i, args.seconds)
        for s in STEMS:
            piece.midi(s).save(os.path.join(folder, s + ".mid"))


if __name__ == "__main__":
    main()
