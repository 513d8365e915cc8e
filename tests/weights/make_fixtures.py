#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/weights/fixtures: tiny checkpoints by the programs that write the real ones (PyTorch 1.13, NumPy).

Values follow one rule that the tests know: element k (C order) of a tensor is k - 3; k for uint8; k % 2 for bool.
Usage: make_fixtures.py [FOLDER]
"""
import collections
import json
import os
import struct
import sys
import zipfile

import numpy as np
import torch

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")


def ramp(shape, dtype=torch.float32):
    n = int(np.prod(shape))
    k = torch.arange(n, dtype=torch.float64)
    if dtype == torch.bool:
        k = k % 2
    elif dtype != torch.uint8:
        k = k - 3
    return k.reshape(shape).to(dtype)


def layouts():
    """Every element type and every layout that a state dict can hold."""
    d = collections.OrderedDict()
    base = ramp((3, 4))
    d["base"] = base
    d["view.transposed"] = base.t()
    d["view.slice"] = base[1:3]
    d["view.column"] = base[:, 2]
    d["view.expanded"] = torch.tensor([5.0, 6.0, 7.0]).expand(2, 3)
    d["channels_last"] = ramp((2, 3, 4, 5)).contiguous(memory_format=torch.channels_last)
    for name in "float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split():
        d["type." + name] = ramp((2, 3), getattr(torch, name))
    d["scalar"] = torch.tensor(-3, dtype=torch.int64)
    d["empty"] = torch.zeros((0, 3))
    d["parameter"] = torch.nn.Parameter(ramp((5,)))
    return d


class LogNormalDistribution:
    """Stands for a class of another package that a reader does not know."""

    def __init__(self, mean, std):
        self.mean, self.std = mean, std


class Whole(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3)


for c in (LogNormalDistribution, Whole):
    c.__module__ = "elsewhere.module"
sys.modules["elsewhere"] = type(sys)("elsewhere")
sys.modules["elsewhere.module"] = type(sys)("elsewhere.module")
sys.modules["elsewhere.module"].LogNormalDistribution = LogNormalDistribution
sys.modules["elsewhere.module"].Whole = Whole


def named(prefix="", plus=0.0):
    """A state dict of three tensors and one buffer."""
    d = collections.OrderedDict()
    d[prefix + "conv.weight"] = ramp((2, 3)) + plus
    d[prefix + "conv.bias"] = ramp((2,)) + plus
    d[prefix + "norm.weight"] = ramp((4,)) + plus
    d[prefix + "norm.count"] = torch.tensor(7, dtype=torch.int64)
    return d


def adam(params):
    p = [torch.nn.Parameter(v.clone()) for v in params if v.is_floating_point()]
    o = torch.optim.Adam(p, lr=1e-3)
    for q in p:
        q.grad = torch.ones_like(q)
    o.step()
    return o.state_dict()


def without_buffers(d):
    return collections.OrderedDict((k, v) for k, v in d.items() if v.is_floating_point())


def torch_files():
    save = lambda name, obj, **kw: torch.save(obj, os.path.join(OUT, name), **kw)
    save("layouts.pt", layouts())
    save("layouts_legacy.pt", layouts(), _use_new_zipfile_serialization=False)
    save("layouts_protocol4.pt", layouts(), pickle_protocol=4)
    save("legacy_protocol4.pt", named(), pickle_protocol=4, _use_new_zipfile_serialization=False)
    save("bare.pt", dict(named()))
    # Training programs' habits. EMA values are larger by 100.
    save("module_optimizer.pt", {"step": 5, "model": named("module."), "optimizer": adam(named().values())})
    save("ema.pt", {"model": named(), "ema": without_buffers(named(plus=100.0)), "opt": adam(named().values())})
    save("ddim_list.pth", [named("module."), adam(named().values()), 3, 99, without_buffers(named(plus=100.0))])
    online, ema = named("online_model.model."), named("ema_model.model.", plus=100.0)
    both = collections.OrderedDict(list(online.items()) + list(ema.items()))
    both["initted"], both["step"] = torch.tensor(True), torch.tensor(3)
    save("ema_class.pt", {"step": 1, "model": named("model."), "ema": both})
    save("ema_list.pt", {"model": named("module."), "optimizer": {}, "step": 1,
                         "ema": {"decay": 0.999, "num_updates": 7, "shadow_params": list(named(plus=100.0).values())}})
    save("two_networks.pt", {"G": named(), "D": {"conv": {"weight": ramp((2, 2))}}, "epoch": 1})
    twice = named("model.unet.")
    for k, v in list(twice.items()):
        twice["model.diffusion.net." + k[len("model.unet."):]] = v
    hyper = {"learning_rate": 1e-4, "channels": 8, "multipliers": [1, 2], "sigma": LogNormalDistribution(-3.0, 1.0),
             "name": "a \"b\"", "nothing": None, "flag": True}
    save("lightning.ckpt", {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "1.7.7", "state_dict": twice,
                            "callbacks": {"x": LogNormalDistribution(0, 1)}, "hparams_name": "kwargs",
                            "hyper_parameters": hyper})
    # To be refused.
    save("refuse_optimizer.pt", adam(named().values()))
    save("refuse_module.pt", Whole())
    save("refuse_tensor.pt", ramp((2, 2)))
    save("refuse_number.pt", 3)
    save("refuse_complex.pt", {"a": torch.zeros(2, dtype=torch.complex64)})
    if hasattr(torch, "float8_e4m3fn"):  # PyTorch 2.1 or later; the one here was made by 2.15
        save("refuse_float8.pt", {"a": torch.ones(4).to(torch.float8_e4m3fn)})
    save("refuse_object_inside.pt", {"a": ramp((2,)), "b": LogNormalDistribution(0, 1)})
    torch.jit.script(torch.nn.Linear(2, 2)).save(os.path.join(OUT, "refuse_torchscript.pt"))


TYPES = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16",
         "int8": "I8", "uint8": "U8", "bool": "BOOL"}


def safetensors(path, tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, t in tensors.items():
        raw = t.contiguous().view(torch.int16).numpy().tobytes() if t.dtype == torch.bfloat16 \
            else t.contiguous().numpy().tobytes()
        kind = "BF16" if t.dtype == torch.bfloat16 else TYPES[str(t.dtype).split(".")[1]]
        header[name] = {"dtype": kind, "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def safetensors_files():
    d = layouts()
    for k in [k for k in d if k.startswith("view.") or k == "parameter"]:
        del d[k]
    safetensors(os.path.join(OUT, "layouts.safetensors"), d, {"format": "pt"})


CONFIG = {"_class_name": "UNet2DModel", "sample_size": 8, "block_out_channels": [32, 64], "norm_eps": 1e-05}
SCHEDULER = {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02}


def write_json(path, obj):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(obj, f, indent=2)
        f.write("\n")


def folders():
    pipe = os.path.join(OUT, "pipeline")
    write_json(os.path.join(pipe, "model_index.json"), {"_class_name": "DDPMPipeline"})
    write_json(os.path.join(pipe, "scheduler", "scheduler_config.json"), SCHEDULER)
    unet = os.path.join(pipe, "unet")
    write_json(os.path.join(unet, "config.json"), CONFIG)
    d = list(named().items())
    shards = ["diffusion_pytorch_model-0000%d-of-00002.safetensors" % i for i in (1, 2)]
    safetensors(os.path.join(unet, shards[0]), dict(d[:2]))
    safetensors(os.path.join(unet, shards[1]), dict(d[2:]))
    index = {"metadata": {"total_size": 64}, "weight_map": {k: shards[i // 2] for i, (k, v) in enumerate(d)}}
    write_json(os.path.join(unet, "diffusion_pytorch_model.safetensors.index.json"), index)
    binary = os.path.join(OUT, "folder_bin")
    write_json(os.path.join(binary, "config.json"), CONFIG)
    write_json(os.path.join(binary, "scheduler_config.json"), SCHEDULER)
    torch.save(named(), os.path.join(binary, "diffusion_pytorch_model.bin"))


def npz_files():
    plain = {"base": ramp((3, 4)).numpy(), "fortran": np.asfortranarray(ramp((2, 3)).numpy()),
             "big": ramp((2, 3)).numpy().astype(">f4"), "type.float16": ramp((2, 3), torch.float16).numpy(),
             "scalar": np.array(-3), "empty": np.zeros((0, 3), "f4"), "type.bool": ramp((2, 3), torch.bool).numpy()}
    np.savez(os.path.join(OUT, "arrays.npz"), **plain)
    np.savez_compressed(os.path.join(OUT, "arrays_deflated.npz"), **plain)
    np.savez(os.path.join(OUT, "refuse_objects.npz"), a=np.array([None, 1], dtype=object))
    np.savez(os.path.join(OUT, "refuse_strings.npz"), a=np.array(["x"]))
    with zipfile.ZipFile(os.path.join(OUT, "refuse_other.zip"), "w") as z:
        z.writestr("unet/config.json", "{}")


def object_file():
    """A network object as EDM pickles it: classes with program text, tensors that pickle.dump itself saves."""
    import pickle
    import types

    module = types.ModuleType("torch_utils.persistence")
    module._reconstruct_persistent_obj = lambda meta: None
    module._reconstruct_persistent_obj.__module__ = module.__name__
    module._reconstruct_persistent_obj.__name__ = module._reconstruct_persistent_obj.__qualname__ = (
        "_reconstruct_persistent_obj")
    sys.modules["torch_utils"] = types.ModuleType("torch_utils")
    sys.modules[module.__name__] = module

    class Persistent(torch.nn.Module):
        name = "EDMPrecond"

        def __reduce__(self):
            meta = dict(type="class", version=6, module_src="raise SystemExit('never run')", class_name=self.name,
                        state=self.__dict__)
            return module._reconstruct_persistent_obj, (meta,)

    outer, inner = Persistent(), Persistent()
    inner.name = "Conv2d"
    outer.sigma_data, outer.sigma_max = 0.25, float("inf")
    inner.weight = torch.nn.Parameter(ramp((2, 3), torch.float16))
    inner.register_parameter("bias", None)
    inner.register_buffer("filter", ramp((4,))[1:3])
    outer.model = torch.nn.ModuleDict({"8x8_conv": inner})
    with open(os.path.join(OUT, "edm_object.pkl"), "wb") as f:
        pickle.dump({"ema": outer, "loss_fn": None}, f)


def main():
    os.makedirs(OUT, exist_ok=True)
    torch_files()
    safetensors_files()
    folders()
    npz_files()
    object_file()
    large = [(n, os.path.getsize(os.path.join(b, n))) for b, _, names in os.walk(OUT) for n in names]
    assert all(size < 20000 for _, size in large), [x for x in large if x[1] >= 20000]
    print(len(large), "files,", sum(s for _, s in large), "bytes")


main()
