#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""projdiff separate on sound files: rates, channels, lengths, formats, refusals. The prior has random weights: what is
tested is that the stems are files like the mix and sum to it, whatever the prior says."""
import array
import math
import os
import shutil
import signal
import struct
import subprocess
import time
import unittest
import xml.etree.ElementTree

from support import COMMAND, GOLDEN, ROOT, Case, environment, main, npy_read, png_read, relative_l2, write

STEMS = ["bass", "drums", "guitar", "piano"]
FIXTURES = os.path.join(ROOT, "tests", "networks", "fixtures")
SINGLE = os.path.join(FIXTURES, "unet1d_single")  # one stem, 22050 Hz
JOINT = os.path.join(FIXTURES, "unet1d_joint")  # "low" and "high", 11025 Hz
MODEL = ",".join("%s=%s" % (s, SINGLE) for s in STEMS)
PUBLISHED = os.path.join(GOLDEN, "unet1d_msdm", "model.ckpt")


def wav_bytes(rate, channels, samples, bits=16, number=None):
    """samples: flat floats, interleaved; bits 16, 24 or 32 (float)."""
    if bits == 32:
        body, tag = array.array("f", samples).tobytes(), 3
    else:
        top = 1 << (bits - 1)
        ints = [max(-top, min(top - 1, round(v * top))) for v in samples]
        body, tag = b"".join(struct.pack("<i", i)[: bits // 8] for i in ints), 1
    width = channels * bits // 8
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits)
    size = len(body) if number is None else number
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + \
        struct.pack("<I", size) + body


class Wav:
    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        assert data[:4] == b"RIFF" and data[8:12] == b"WAVE"
        at = 12
        while at + 8 <= len(data):
            kind, size = struct.unpack("<4sI", data[at:at + 8])
            part = data[at + 8:at + 8 + size]
            if kind == b"fmt ":
                self.tag, self.channels, self.rate, _, _, self.bits = struct.unpack("<HHIIHH", part[:16])
            elif kind == b"data":
                body = part
            at += 8 + size + size % 2
        if self.bits == 32:
            self.samples = list(array.array("f", body))
        else:
            n, top = self.bits // 8, 1 << (self.bits - 1)
            self.samples = [int.from_bytes(body[i:i + n], "little", signed=True) / top for i in range(0, len(body), n)]
        self.frames = len(self.samples) // self.channels


def song(rate, channels, frames, level=0.3):
    """Two tones, a different one in each channel."""
    return [level * (math.sin(2 * math.pi * 110 * i / rate) + 0.7 * math.sin(2 * math.pi * (700 + 300 * c) * i / rate))
            for i in range(frames) for c in range(channels)]


class Separate(Case):
    def wav(self, name, rate, channels, frames, bits=16, samples=None):
        samples = song(rate, channels, frames) if samples is None else samples
        return write(self.path(name), wav_bytes(rate, channels, samples, bits))

    def words(self, mix, *more, out="out"):
        return ("separate", "-q", "-m", MODEL, "--steps", "2", "--repeats", "1", "-i", mix, "-o",
                self.path(out)) + more

    def stems(self, out="out"):
        """The stems by name; no other file may be there."""
        self.assertEqual(sorted(os.listdir(self.path(out))), ["%s.wav" % s for s in STEMS])
        return [Wav(os.path.join(self.path(out), "%s.wav" % s)) for s in STEMS]

    def check(self, mix, bits, out="out"):
        """Like the mix in all but content, and of sum the mix."""
        stems = self.stems(out)
        loudest = max(1, max(abs(v) for s in stems for v in s.samples))
        bits = 32 if loudest > 1 else bits
        for s in stems:
            self.assertEqual((s.rate, s.channels, s.frames, s.bits), (mix.rate, mix.channels, mix.frames, bits))
        # four roundings of half a step each; float: a few rounding errors of 2^-24 of the loudest sample
        bound = 2.001 / (1 << (bits - 1)) if bits < 32 else 1e-6 * loudest
        worst = max(abs(sum(v) - m) for v, m in zip(zip(*(s.samples for s in stems)), mix.samples))
        self.assertLessEqual(worst, bound)
        return stems

    def test_rates_channels_lengths(self):
        for rate, channels, frames, bits in ((8000, 1, 4001, 16), (44100, 2, 20011, 16), (48000, 2, 24000, 24),
                                             (44100, 2, 4410, 32), (22050, 1, 22051, 16), (22050, 2, 5000, 24),
                                             (44100, 1, 1, 16), (96000, 3, 9600, 16)):
            with self.subTest(rate=rate, channels=channels, frames=frames, bits=bits):
                mix = self.wav("mix.wav", rate, channels, frames, bits)
                self.good(*self.words(mix, "--overwrite"))
                self.check(Wav(mix), bits)

    def test_windows(self):
        """Windows much shorter than the sound; the rate of the model (as solved) and another one (masks)."""
        for rate, solver in ((22050, "projdiff"), (22050, "dirac"), (44100, "projdiff"), (44100, "gaussian")):
            mix = self.wav("mix.wav", rate, 1, rate + 7)
            words = self.words(mix, "--window", "0.5", "--overlap", "0.1", "--solver", solver, "--overwrite")
            self.good(*words)
            self.check(Wav(mix), 16)
            first = [s.samples for s in self.stems()]
            self.good(*words)
            self.assertEqual(first, [s.samples for s in self.stems()])  # same seed, same bytes
            self.good(*words, "--seed", "2")
            self.assertNotEqual(first, [s.samples for s in self.stems()])

    def test_window_of_the_model(self):
        """Without --window: what the model says it was trained on, overlapping by half where 1.5 s would be more."""
        mix = self.wav("mix.wav", 22050, 1, 30000)
        self.good(*self.words(mix, "--model-config", "window=11025"))
        told = [s.samples for s in self.stems()]
        self.good(*self.words(mix, "--window", "0.5", "--overlap", "0.25", out="said"))
        self.assertEqual(told, [s.samples for s in self.stems("said")])
        self.good(*self.words(mix, out="untold"))  # 11.9 s: one window
        self.assertNotEqual(told, [s.samples for s in self.stems("untold")])
        self.refused(2, *self.words(mix, "--model-config", "window=11025", "--overlap", "0.5", out="none"), says="--overlap")
        self.refused(2, *self.words(mix, "--model-config", "window=-1", out="none"), says="window")

    def test_levels(self):
        """Options of the levels and of the two samplers reach them."""
        mix = self.wav("mix.wav", 22050, 1, 11025)
        seen = []
        for more in ((), ("--sigma-max", "0.5"), ("--momentum", "0"), ("--solver", "gaussian"), ("--solver", "gaussian", "--churn", "0")):
            self.good(*self.words(mix, "--repeats", "2", "--overwrite", *more))
            seen.append([s.samples for s in self.stems()])
        self.assertEqual([seen.index(s) for s in seen], list(range(5)))

    def test_levels_of_the_model(self):
        """Without --sigma-max and --sigma-min: what the model says suits it."""
        mix = self.wav("mix.wav", 22050, 1, 11025)
        told = ("--model-config", "separate_sigma_max=0.4,separate_sigma_min=0.01")
        seen = []
        for more in (told, ("--sigma-max", "0.4", "--sigma-min", "0.01"), (), told + ("--sigma-max", "1", "--sigma-min", "0.0001")):
            self.good(*self.words(mix, "--overwrite", *more))
            seen.append([s.samples for s in self.stems()])
        self.assertEqual([seen.index(s) for s in seen], [0, 0, 2, 2])
        self.refused(2, *self.words(mix, "--sigma-max", "0.1", "--sigma-min", "0.2", out="none"), says="sigma")

    def test_steps_of_the_model(self):
        """Without --steps and --repeats: what the model says, for projdiff; the other solvers have their own."""
        mix = self.wav("mix.wav", 22050, 1, 5000)
        told = ("--model-config", "separate_steps=3,separate_repeats=2")
        seen = []
        for more in (told, ("--steps", "3", "--repeats", "2"), told + ("--steps", "4"), told + ("--repeats", "1"),
                     ("--steps", "3", "--repeats", "1")):
            self.good("separate", "-q", "-m", MODEL, "-i", mix, "-o", self.path("out"), "--overwrite", *more)
            seen.append([s.samples for s in self.stems()])
        self.assertEqual([seen.index(s) for s in seen], [0, 0, 2, 3, 3])
        r = self.good("separate", "-m", MODEL, "-i", mix, "-o", self.path("d"), "--solver", "dirac", "--steps", "2", *told)
        self.assertIn("(4 network calls)", r.err)

    def test_prior_that_ships(self):
        """Where there are both: a model for each stem to separate, the joint one, whose stems know of each other, to invent."""
        models = self.path("ships")
        for s in STEMS[:3]:
            shutil.copytree(SINGLE, os.path.join(models, "music", "isdm", s))
        shutil.copytree(JOINT, os.path.join(models, "music", "msdm"))
        env, mix = environment(PROJDIFF_MODELS=models), self.wav("mix.wav", 11025, 1, 5000)
        self.good("separate", "-q", "--steps", "2", "-i", mix, "-o", self.path("a"), env=env)
        self.good("complete", "-q", "--steps", "2", "--given", "low=%s" % mix, "-o", self.path("b"), env=env)
        self.good("sample", "-q", "--steps", "2", "--seconds", "0.5", "-o", self.path("c"), env=env)
        self.assertEqual([sorted(os.listdir(self.path(d))) for d in "abc"],
                         [["bass.wav", "drums.wav", "guitar.wav"], ["high.wav"], ["high.wav", "low.wav"]])

    def test_models(self):
        """A joint model, names of one's own, a folder of stem folders: other rates, other names, the same contract."""
        mix = self.wav("mix.wav", 22050, 2, 11025)
        for s in ("low", "high"):
            os.makedirs(self.path("models"), exist_ok=True)
            shutil.copytree(SINGLE, os.path.join(self.path("models"), s))
        for model, more, names in ((JOINT, (), ["high", "low"]), (JOINT, ("--stems", "x,y"), ["x", "y"]),
                                   (self.path("models"), (), ["high", "low"])):
            self.good("separate", "-q", "-m", model, "--steps", "2", "-i", mix, "-o", self.path("out"), "--overwrite", *more)
            self.assertEqual(sorted(os.listdir(self.path("out"))), ["%s.wav" % n for n in names])
            stems = [Wav(os.path.join(self.path("out"), "%s.wav" % n)) for n in names]
            worst = max(abs(sum(v) - m) for v, m in zip(zip(*(s.samples for s in stems)), Wav(mix).samples))
            self.assertLessEqual(worst, 1.001 / 32768)
            shutil.rmtree(self.path("out"))

    def test_shipped(self):
        """The priors that ship: stems by their own names, and a plucked low string is heard in the bass above all."""
        pluck = [0.3 * math.exp(-3 * (i % 8192) / 22050) * sum(math.sin(2 * math.pi * 55 * k * i / 22050) / k for k in (1, 2, 3))
                 for i in range(16384)]
        mix = self.wav("mix.wav", 22050, 1, 0, samples=pluck)
        for kind in ("msdm", "isdm"):
            self.good("separate", "-q", "-m", os.path.join(ROOT, "models", "music", kind), "--steps", "12", "-i", mix, "-o",
                      self.path(kind))
            power = [sum(v * v for v in s.samples) for s in self.check(Wav(mix), 16, out=kind)]
            self.assertEqual(power[0], max(power), kind)

    def test_silence(self):
        for rate, channels in ((22050, 1), (44100, 2)):
            mix = self.wav("mix.wav", rate, channels, 0, samples=[0.0] * 3000 * channels)
            self.good(*self.words(mix, "--overwrite"))
            for s in self.check(Wav(mix), 16):
                self.assertEqual(set(s.samples), {0})

    def test_nothing_is_clipped(self):
        mix = self.wav("mix.wav", 22050, 1, 8000, samples=song(22050, 1, 8000, 0.58))
        r = self.good("separate", "-m", MODEL, "--steps", "3", "--repeats", "1", "--step-size", "40",
                      "-i", mix, "-o", self.path("out"))
        self.assertIn("full scale", r.err)
        stems = self.check(Wav(mix), 32)
        self.assertGreater(max(abs(v) for s in stems for v in s.samples), 1)

    def test_flac_and_pipe(self):
        mix = self.wav("mix.wav", 44100, 2, 9001)
        self.good(*self.words(mix, "--format", "flac", out="flac"))
        self.assertEqual(sorted(os.listdir(self.path("flac"))), ["%s.flac" % s for s in STEMS])
        self.good(*self.words(os.path.join(self.path("flac"), "bass.flac")))
        self.assertEqual([(s.frames, s.channels, s.bits) for s in self.stems()], [(9001, 2, 16)] * 4)
        with open(mix, "rb") as f:
            self.good(*self.words("-", out="pipe"), stdin=f.read())
        self.check(Wav(mix), 16, out="pipe")

    def test_ogg(self):
        try:
            import numpy
            import soundfile
        except ImportError:
            self.skipTest("soundfile is not here")
        x = numpy.array(song(44100, 2, 9001)).reshape(-1, 2)
        soundfile.write(self.path("mix.ogg"), x, 44100)
        self.good(*self.words(self.path("mix.ogg")))
        self.assertEqual([(s.frames, s.channels, s.bits) for s in self.stems()], [(9001, 2, 24)] * 4)

    def test_mp3(self):
        """As many samples as the file says it has; MP3 has no sample format, 24 bits hold what its decoder gives."""
        try:
            import numpy
            import soundfile
        except ImportError:
            self.skipTest("soundfile is not here")
        if "MP3" not in soundfile.available_formats():
            self.skipTest("this libsndfile writes no MP3")
        for rate, channels in ((44100, 2), (22050, 1)):
            x = numpy.array(song(rate, channels, 30001)).reshape(-1, channels)
            soundfile.write(self.path("mix.mp3"), x, rate)
            heard, _ = soundfile.read(self.path("mix.mp3"), always_2d=True)
            self.good(*self.words(self.path("mix.mp3"), "--overwrite"))
            stems = self.stems()
            bits = 32 if max(abs(v) for s in stems for v in s.samples) > 1 else 24
            self.assertEqual([(s.frames, s.rate, s.channels, s.bits) for s in stems], [(len(heard), rate, channels, bits)] * 4)
            total = sum(numpy.array(s.samples) for s in stems)
            self.assertLessEqual(float(numpy.abs(total - heard.reshape(-1)).max()), 3 / (1 << 23) + 1e-6)
            if rate == 22050:  # the original is in there: the first and the last second, delay compensated
                self.assertLess(float(numpy.abs(heard - x[:len(heard)]).max() if len(heard) == len(x) else 0), 0.1)

    def test_plot(self):
        mix = self.wav("mix.wav", 44100, 2, 9001)
        self.good(*self.words(mix, "--plot", self.path("p.png")))
        p = png_read(self.path("p.png"))
        self.assertGreater(p.width, 1280)  # two pictures of 640 columns, five rows of 150
        self.assertGreater(p.height, 750)
        self.good(*self.words(mix, "--plot", self.path("p.svg"), out="two"))
        with open(self.path("p.svg"), encoding="utf-8") as f:
            text = f.read()
        tree = xml.etree.ElementTree.fromstring(text)
        self.assertEqual(sum(e.tag.endswith("image") for e in tree.iter()), 5)
        self.assertEqual(sum(e.tag.endswith("path") for e in tree.iter()), 5)
        for name in STEMS + ["mix"]:
            self.assertIn(">%s</text>" % name, text)
        before = self.path("three")
        self.refused(2, *self.words(mix, "--plot", self.path("p.svg"), out="three"), says="p.svg")
        self.assertFalse(os.path.exists(before))
        self.refused(2, *self.words(mix, "--plot", self.path("p.txt"), out="three"), says="p.txt")
        self.refused(1, *self.words(mix, "--plot", self.path("nowhere/p.svg"), out="three"), says="nowhere/p.svg: its folder")
        self.assertFalse(os.path.exists(before))
        self.good(*self.words(mix, "--plot", self.path("four/p.svg"), out="four"))

    def test_existing_outputs(self):
        mix = self.wav("mix.wav", 44100, 1, 4410)
        self.good(*self.words(mix))
        before = self.stems()[0].samples
        self.refused(2, *self.words(mix, "--seed", "5"), says="already exists")
        self.good(*self.words(mix, "--seed", "5", "--skip-existing"))
        self.assertEqual(before, self.stems()[0].samples)

    def test_refusals(self):
        mix = self.wav("mix.wav", 44100, 1, 4410)
        with open(mix, "rb") as f:
            data = f.read()
        self.refused(3, *self.words(self.path("none.wav")), says="none.wav")
        self.refused(3, *self.words(write(self.path("a.wav"), b"")), says="a.wav")
        self.refused(3, *self.words(write(self.path("a.wav"), b"not a sound at all, but long enough")), says="a.wav")
        self.refused(3, *self.words(write(self.path("a.wav"), data[:3000])), says="truncated")
        self.refused(3, *self.words(write(self.path("a.wav"), wav_bytes(44100, 1, [0, math.nan, 0], 32))), says="finite")
        self.refused(3, *self.words(write(self.path("a.wav"), wav_bytes(44100, 1, [0, 1e30, 0], 32))), says="no sound")
        self.refused(3, *self.words(self.dir), says="expected a file")
        self.refused(2, "separate", "-m", MODEL, "-o", self.path("out"), says="-i FILE")
        self.refused(2, *self.words(mix, "--overlap", "3", "--window", "2"), says="--overlap")
        self.refused(2, *self.words(mix, "--noise", mix), says="array")
        self.refused(2, *self.words(mix)[:3], MODEL, "--stems", "a,b", "-i", mix, "-o", self.path("out"), says="--stems")
        self.refused(4, "separate", "-q", "-m", mix, "-i", mix, "-o", self.path("out"))
        self.refused(4, "separate", "-q", "-m", self.dir, "-i", mix, "-o", self.path("out"), says="stem")

    def test_streamed_wav(self):
        """Sizes of a WAV file that was written into a pipe say nothing."""
        samples = song(44100, 1, 4410)
        mix = self.wav("mix.wav", 44100, 1, 4410, samples=samples)
        write(self.path("pipe.wav"), wav_bytes(44100, 1, samples, number=0xFFFFFFFF - 36))
        self.good(*self.words(self.path("pipe.wav")))
        self.check(Wav(mix), 16)

    def test_interrupt_and_resume(self):
        mix = self.wav("mix.wav", 22050, 1, 3 * 22050)
        words = [w for w in self.words(mix, "--window", "0.5", "--overlap", "0.1") if w != "-q"]
        words[words.index("--steps") + 1] = "20"
        self.good(*words)
        whole = [s.samples for s in self.stems()]
        words[words.index(self.path("out"))] = self.path("two")
        p = subprocess.Popen([COMMAND] + words, stderr=subprocess.PIPE, env=environment())
        part = os.path.join(self.path("two"), "separate.part")
        end = time.time() + 60
        while time.time() < end and p.poll() is None and not (os.path.exists(part) and os.path.getsize(part) > 200000):
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        err = p.communicate()[1].decode()
        if p.returncode == 0:
            self.skipTest("it was done before the interrupt")
        self.assertEqual(p.returncode, 130, err)
        self.assertEqual(os.listdir(self.path("two")), ["separate.part"])
        r = self.good(*words)
        self.assertIn("from an earlier run", r.err)
        self.assertEqual(whole, [s.samples for s in self.stems("two")])

    @unittest.skipUnless(os.path.exists(PUBLISHED), "%s is not here" % PUBLISHED)
    def test_arrays_follow_the_recorded_run(self):
        g = os.path.join(GOLDEN, "separate_msdm")
        self.good("separate", "-q", "-m", PUBLISHED, "--compat", "reference", "--noise", os.path.join(g, "noise.npy"), "--initial-noise",
                  os.path.join(g, "initial_noise.npy"), "--steps", "12", "--step-size", "0.1", "-i", os.path.join(g, "mixture.npy"),
                  "-o", self.path("x.npy"))
        shape, x = npy_read(self.path("x.npy"))
        expected_shape, expected = npy_read(os.path.join(g, "sources_out.npy"))
        self.assertEqual(shape, expected_shape)
        self.assertLessEqual(relative_l2(x, expected), 1e-3)


class Complete(Case):
    BASE = ("complete", "-q", "-m", MODEL, "--steps", "3")

    def listen(self, name, out="out"):
        return Wav(os.path.join(self.path(out), name))

    def test_takes(self):
        bass = write(self.path("bass.wav"), wav_bytes(44100, 2, song(44100, 2, 30001)))
        drums = write(self.path("drums.wav"), wav_bytes(22050, 1, song(22050, 1, 15001)))
        words = self.BASE + ("--given", "bass=%s" % bass, "--given", "drums=%s" % drums, "-o", self.path("out"))
        self.good(*words, "--takes", "2")
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["guitar-1.wav", "guitar-2.wav", "piano-1.wav", "piano-2.wav"])
        first = self.listen("guitar-1.wav")
        self.assertEqual((first.rate, first.channels, first.frames), (22050, 1, 15001))
        self.assertNotEqual(first.samples, self.listen("guitar-2.wav").samples)
        self.refused(2, *words, "--takes", "2", says="already exists")
        self.good(*words, "--takes", "2", "--skip-existing")
        for more in ((), ("--no-restricted-encoding",), ("--seed", "3"), ("--sigma-max", "2", "--sigma-min", "0.01")):
            out = self.path("out%d" % len(more))
            self.good(*words[:-1], out, *more, "--overwrite")
            self.assertEqual(first.samples == Wav(os.path.join(out, "guitar.wav")).samples, not more)

    def test_windows(self):
        bass = write(self.path("bass.wav"), wav_bytes(22050, 1, song(22050, 1, 50000)))
        self.good(*self.BASE, "--window", "1", "--overlap", "0.2", "--given", "bass=%s" % bass, "-o", self.path("out"))
        self.assertEqual([self.listen(s + ".wav").frames for s in STEMS[1:]], [50000] * 3)

    def test_refusals(self):
        bass = write(self.path("bass.wav"), wav_bytes(22050, 1, song(22050, 1, 5000)))
        other = write(self.path("other.wav"), wav_bytes(22050, 1, song(22050, 1, 5001)))
        out = ("-o", self.path("out"))
        self.refused(2, *self.BASE, *out, says="--given")
        self.refused(2, *self.BASE, "--given", bass, *out, says="STEM=FILE")
        self.refused(2, *self.BASE, "--given", "flute=%s" % bass, *out, says="flute")
        self.refused(2, *self.BASE, "--given", "bass=%s" % bass, "--given", "bass=%s" % bass, *out, says="twice")
        self.refused(2, *self.BASE, "--given", "bass=%s" % bass, "--given", "drums=%s" % other, *out, says="length")
        self.refused(3, *self.BASE, "--given", "bass=%s" % self.path("none.wav"), *out)
        self.refused(2, *self.BASE, "--given", "bass=%s" % bass, "--sigma-max", "0.05", "--sigma-min", "0.1", *out, says="--sigma-min")
        self.refused(2, *self.BASE, *("--given=%s=%s" % (s, bass) for s in STEMS), *out, says="all stems")

    def test_interrupt_and_resume(self):
        bass = write(self.path("bass.wav"), wav_bytes(22050, 1, song(22050, 1, 2 * 22050)))
        words = ["complete", "-m", MODEL, "--steps", "20", "--window", "0.5", "--overlap", "0.1", "--takes", "2", "--given",
                 "bass=%s" % bass, "-o", self.path("out")]
        self.good(*words)
        names = ["%s-%d.wav" % (s, t) for s in STEMS[1:] for t in (1, 2)]
        whole = [self.listen(n).samples for n in names]
        words[-1] = self.path("two")
        p = subprocess.Popen([COMMAND] + words, stderr=subprocess.PIPE, env=environment())
        part = os.path.join(self.path("two"), "complete.part")
        end = time.time() + 60
        while time.time() < end and p.poll() is None and not (os.path.exists(part) and os.path.getsize(part) > 1100000):
            time.sleep(0.01)  # six of ten windows: in the second take
        p.send_signal(signal.SIGINT)
        err = p.communicate()[1].decode()
        if p.returncode == 0:
            self.skipTest("it was done before the interrupt")
        self.assertEqual(p.returncode, 130, err)
        self.assertEqual(os.listdir(self.path("two")), ["complete.part"])
        r = self.good(*words)
        self.assertIn("from an earlier run", r.err)
        self.assertEqual(sorted(os.listdir(self.path("two"))), sorted(names))
        self.assertEqual(whole, [self.listen(n, "two").samples for n in names])

    def test_loud_stems_are_not_clipped(self):
        self.good("sample", "-q", "-m", MODEL, "--steps", "2", "--seconds", "0.5", "--seed", "4", "-o", self.path("out"))
        self.good(*self.BASE, "--step-size", "400", "--given", "bass=%s" % os.path.join(self.path("out"), "bass.wav"),
                  "-o", self.path("loud"))
        stems = [self.listen("%s.wav" % s, "loud") for s in STEMS[1:]]
        for s in stems:
            self.assertEqual(s.bits, 32 if max(abs(v) for v in s.samples) >= 1 else 16)
        self.assertIn(32, [s.bits for s in stems])

    def test_constant_memory(self):
        """Ten times as long, no more memory."""
        peaks = []
        # An address sanitizer would keep what was freed.
        options = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"]))
        for seconds in ("6", "60"):
            p = subprocess.Popen([COMMAND, "sample", "-q", "-m", JOINT, "--steps", "2", "--window", "1", "--overlap", "0.1",
                                  "--seconds", seconds, "-o", self.path(seconds)], env=environment(ASAN_OPTIONS=options))
            _, status, usage = os.wait4(p.pid, 0)
            self.assertEqual(status, 0)
            peaks.append(usage.ru_maxrss)
        self.assertEqual(self.listen("low.wav", "60").frames, 60 * 11025)
        self.assertLess(peaks[1], peaks[0] + 2000)  # kB; two stems of 54 s in floats would be 4700

    def test_sample(self):
        self.good("sample", "-q", "-m", MODEL, "--steps", "3", "--seconds", "0.5", "-o", self.path("out"))
        self.assertEqual([self.listen("%s.wav" % s).frames for s in STEMS], [11025] * 4)
        self.refused(2, "sample", "-q", "-m", JOINT, "-o", self.path("a.png"), says="--seconds")


if __name__ == "__main__":
    main()
