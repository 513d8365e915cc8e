#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models that are refused, each kind by the command: exit code 4, one line with a message of its own, and little memory.

The readers' own tests (tests/weights/test_refuse.c) go through many more forms of each kind."""
import io
import json
import os
import struct
import subprocess
import sys
import zipfile

from support import COMMAND, ROOT, Case, environment, main, write

FIXTURES = os.path.join(ROOT, "tests/weights/fixtures")
PHOTO = os.path.join(ROOT, "models/photo")
# Above what `projdiff --version` needs, whatever sizes a file claims; the message and the reader's tables are far below.
MEMORY = 24 << 20

# A process inherits its parent's peak, and this one makes large files: a small process in between starts the command.
PEAK = """import os, sys
null = os.open(os.devnull, os.O_WRONLY)
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, n) for n in (1, 2)])
print(os.wait4(pid, 0)[2].ru_maxrss)"""


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def storage(count, key="0", kind="FloatStorage"):
    return b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + number(count) + b"tQ"


def number(n):
    return b"J" + struct.pack("<i", n) if n < 1 << 31 else b"\x8a\x08" + struct.pack("<q", n)


def tensor(store, size=(4,), stride=(1,), offset=0):
    fit = lambda v: b"(" + b"".join(map(number, v)) + b"t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + store + number(offset) + fit(size) + fit(stride) + b"\x89}tR"


def table(**tensors):
    return b"\x80\x02}" + b"".join(text(n) + t + b"s" for n, t in tensors.items()) + b"."


def archive(pickle, records=None, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        z.writestr("archive/data.pkl", pickle)
        for name, data in (records if records is not None else {"archive/data/0": bytes(16)}).items():
            z.writestr(name, data)
        z.writestr("archive/version", b"3\n")
    return out.getvalue()


def tensors(header, data=b""):
    head = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(head)) + head + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def fixture(name):
    with open(os.path.join(FIXTURES, name), "rb") as f:
        return f.read()


def deflated(claimed, size):
    """An .npz with one array of zeros, deflated."""
    head = ("{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % claimed).encode().ljust(117) + b"\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + bytes(size))
    return out.getvalue()


def overlap():
    """Two records of one archive in the same bytes: the second one's place in the directory is the first one's."""
    data = bytearray(archive(table(a=tensor(storage(4)), b=tensor(storage(4, "1"))),
                             {"archive/data/0": bytes(16), "archive/data/1": bytes(16)}))
    places, at = [], data.find(b"PK\1\2")
    while at >= 0:
        places.append(at)
        at = data.find(b"PK\1\2", at + 4)
    data[places[2] + 42:places[2] + 46] = data[places[1] + 42:places[1] + 46]
    return bytes(data)


def names(*keys):
    return tensors({k: entry([1], 4 * i, 4 * i + 4) for i, k in enumerate(keys)}, bytes(4 * len(keys)))


GOOD = tensor(storage(4))
# what the issue lists -> (name of the file, its bytes, words of the message)
CASES = {
    "optimizer state": ("opt.pt", lambda: fixture("refuse_optimizer.pt"), "the state of an optimizer"),
    "LFS pointer": ("lfs.safetensors", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer"),
    "HTML": ("page.ckpt", lambda: b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
    "renamed pickle": ("pickle.pt", lambda: b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94\x8c\x01a\x94K\x01s.", "bare Python pickle"),
    "TorchScript": ("script.pt", lambda: fixture("refuse_torchscript.pt"), "TorchScript"),
    "a program object": ("module.pt", lambda: fixture("refuse_module.pt"), "a whole pickled object"),
    "zip bomb, true to its header": ("bomb.npz", lambda: deflated(1 << 26, 1 << 28), "8 times the file's size"),
    "zip bomb, with a header that claims more": ("claim.npz", lambda: deflated(1 << 38, 1 << 28), "8 times the file's size"),
    "an array that claims more than it has": ("little.npz", lambda: deflated(1 << 38, 1 << 20), "another number of bytes"),
    "zip bomb, torch": ("bomb.pt", lambda: archive(table(a=tensor(storage(1 << 24))), {"archive/data/0": bytes(1 << 26)}, zipfile.ZIP_DEFLATED),
                        "is compressed"),
    "path traversal in an archive": ("path.pt", lambda: archive(table(a=GOOD), {"../../archive/data/0": bytes(16)}), "../../archive"),
    "path traversal in a storage's key": ("key.pt", lambda: archive(table(a=tensor(storage(4, "../0")))), "data/../0"),
    "overlapping storages, torch": ("over.pt", overlap, "over.pt"),
    "overlapping storages, safetensors": ("over.safetensors", lambda: tensors({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, bytes(24)), "b"),
    "storage out of range": ("range.safetensors", lambda: tensors({"a": entry([1 << 40], 0, 1 << 42)}, bytes(16)), "a"),
    "storage larger than its record": ("big.pt", lambda: archive(table(a=tensor(storage(1 << 30)))), "expected 4294967296 bytes, found 16"),
    "view beyond its storage": ("view.pt", lambda: archive(table(a=tensor(storage(4), (4,), (1,), 1))), "reaches beyond its storage"),
    "expanded tensor of 2^60 elements": ("expand.pt", lambda: archive(table(a=tensor(storage(4), (1 << 30, 1 << 30), (0, 0)))),
                                         "reaches beyond its storage"),
    "header larger than the file": ("head.safetensors", lambda: struct.pack("<Q", 1 << 40) + b"{}" + bytes(64), "head.safetensors"),
    "integer overflow in a shape": ("shape.safetensors", lambda: tensors({"a": entry([1 << 33, 1 << 33], 0, 16)}, bytes(16)), "a"),
    "integer overflow in a storage": ("store.pt", lambda: archive(table(a=tensor(storage(1 << 62)))), "overflows"),
    "deep nesting, JSON": ("deep.safetensors", lambda: tensors(b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}"), "deep.safetensors"),
    "deep nesting, pickle": ("deep.pt", lambda: archive(b"\x80\x02" + (b"}" + text("a")) * 100000 + b"N" + b"s" * 100000 + b"."), "deep.pt"),
    "marks without end": ("marks.pt", lambda: archive(b"(" * 1000000), "truncated"),
    "unknown family": ("other.safetensors", lambda: tensors({"conv.weight": entry([2], 0, 8)}, bytes(8)), "not a known network: 1 tensor"),
    "a stack of convolutions": ("stack.safetensors", lambda: names("model.0.weight", "model.0.bias", "model.2.weight"), "plain stack of layers"),
    "a tutorial's network": ("mnist.safetensors", lambda: names("network.b1.0.ln.weight", "network.te1.0.weight"), "of a tutorial (MNIST)"),
    "a recurrent network": ("lstm.safetensors", lambda: names("lstm.weight_ih_l0", "fc.weight"), "a recurrent network"),
    "heads of LPIPS": ("lpips.safetensors", lambda: names("lin0.model.1.weight", "lin1.model.1.weight"), "linear heads of LPIPS"),
    "an empty file": ("empty.pt", lambda: b"", "an empty file"),
    "a picture": ("cat.pt", lambda: b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
}


class Refused(Case):
    def measure(self, *words):
        r = subprocess.run([sys.executable, "-I", "-S", "-c", PEAK, COMMAND] + list(words), stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, env=environment(), check=True)
        return int(r.stdout) * 1024

    def check(self, path, says):
        r = self.refused(4, "info", path, says=[path, says])
        allowed = self.measure("--version") + MEMORY
        self.assertLessEqual(self.measure("info", path), allowed)
        return r.err

    def test_kinds(self):
        seen = {}
        for title, (name, make, says) in CASES.items():
            with self.subTest(title):
                path = write(self.path(name), make())
                message = self.check(path, says).replace(path, "")
                seen.setdefault(message, []).append(title)
                os.remove(path)
        for message, titles in seen.items():  # a message of its own for each kind; two forms of one kind may share it
            self.assertEqual(len({t.split(",")[0] for t in titles}), 1, "%s: %s" % (titles, message))

    def test_memory_is_seen(self):
        """What is measured grows where memory is used; and zeros that shrink a lot are no bomb while they are few."""
        path = write(self.path("zeros.npz"), deflated(1 << 21, 1 << 23))
        grown = self.measure("convert", path, self.path("zeros.safetensors"), "-q") - self.measure("--version")
        self.assertGreater(grown, 1 << 22)

    def test_the_other_commands(self):
        page = write(self.path("page.pt"), CASES["HTML"][1]())
        x = self.npy("x.npy", (3, 16, 16))
        self.refused(4, "restore", "denoise", "-m", page, "-i", x, "-o", self.path("o.npy"), says="web page")
        self.refused(4, "sample", "-m", page, "--size", "16x16", "-o", self.path("o.png"), says="web page")
        self.refused(4, "network", "-m", page, "-i", x, "--t", "3", "-o", self.path("o.npy"), says="web page")
        self.refused(4, "convert", page, self.path("o.safetensors"), says="web page")

    def test_truncated(self):
        """The readers are cut at every byte in tests/weights/test_robust.c; here the first bytes, the last, and a few between."""
        for name in ("layouts.pt", "layouts_legacy.pt", "layouts.safetensors", "arrays_deflated.npz"):
            data = fixture(name)
            for n in (1, 8, 30, 100, len(data) // 2, len(data) - 22, len(data) - 1):
                with self.subTest(name, n=n):
                    self.refused(4, "info", write(self.path(name), data[:n]), says=name)
            os.remove(self.path(name))

    def photo(self, change):
        """The prior that ships, with its header changed."""
        with open(os.path.join(PHOTO, "diffusion_pytorch_model.safetensors"), "rb") as f:
            data = f.read()
        n, = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + n])
        change(header)
        body = data[8 + n:]
        os.makedirs(self.path("model"), exist_ok=True)
        for name in ("config.json", "scheduler_config.json"):
            with open(os.path.join(PHOTO, name), "rb") as f:
                write(self.path("model/" + name), f.read())
        write(self.path("model/diffusion_pytorch_model.safetensors"), tensors(header, body))
        return self.path("model")

    def test_damaged_storage(self):
        """One bit of one weight, in the archive that torch.save makes: `info` reads no weights, what runs them does."""
        with open(os.path.join(PHOTO, "diffusion_pytorch_model.safetensors"), "rb") as f:
            data = f.read()
        n, = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + n])
        table_of, records = {}, {}
        for i, (name, e) in enumerate((k, v) for k, v in header.items() if k != "__metadata__"):
            begin, end = e["data_offsets"]
            kind = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage"}[e["dtype"]]
            strides, step = [], 1
            for d in reversed(e["shape"]):
                strides.insert(0, step)
                step *= d
            table_of[name] = tensor(storage(step, str(i), kind), tuple(e["shape"]), tuple(strides))
            records["archive/data/%d" % i] = data[8 + n + begin:8 + n + end]
        whole = bytearray(archive(table(**table_of), records))
        os.makedirs(self.path("model"))
        for name in ("config.json", "scheduler_config.json"):
            with open(os.path.join(PHOTO, name), "rb") as f:
                write(self.path("model/" + name), f.read())
        path = write(self.path("model/diffusion_pytorch_model.bin"), bytes(whole))
        words = ("sample", "-m", self.path("model"), "--size", "32x32", "--steps", "1", "-o", self.path("o.png"), "--overwrite")
        self.good(*words)
        largest = max(records, key=lambda r: len(records[r]))
        at = whole.index(records[largest]) + len(records[largest]) // 2
        whole[at] ^= 4
        write(path, bytes(whole))
        self.good("info", self.path("model"))
        self.refused(4, *words, says=["damaged: the checksum of " + largest[8:] + " is wrong", path])
        self.refused(4, "convert", self.path("model"), self.path("o.safetensors"), says="damaged: the checksum of")
        # without the sums (torch.serialization.set_crc32_options(False)) nobody can tell
        for magic, offset in ((b"PK\1\2", 16), (b"PK\3\4", 14)):
            i = whole.find(magic)
            while i >= 0:
                whole[i + offset:i + offset + 4] = bytes(4)
                i = whole.find(magic, i + 4)
        write(path, bytes(whole))
        self.good(*words)

    def test_missing_tensors(self):
        def change(header):
            header["zzz.left"] = header.pop("conv_in.weight")
            header["zzz.right"] = header.pop("conv_in.bias")
        r = self.refused(4, "info", self.photo(change), says="conv_in.weight")
        self.assertRegex(r.err, r"\b2\b")  # how many

    def test_misshaped_tensors(self):
        def change(header):
            header["conv_in.weight"]["shape"] = [header["conv_in.weight"]["shape"][0], 27]
        self.refused(4, "info", self.photo(change), says="conv_in.weight")


if __name__ == "__main__":
    main()
