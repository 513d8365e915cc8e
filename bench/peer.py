#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One peer of bench/vs_pytorch: runs a network once for each line on stdin and answers "seconds peakKiB".

    peer.py KIND NETWORK WEIGHTS BATCH THREADS INPUT.f32 OUTPUT.f32

KIND: eager, compile (PyTorch), onnxruntime or openvino (WEIGHTS is then an .onnx file).
"""
import os
import sys
import time

kind, network, weights, batch, threads, source, target = sys.argv[1:]
batch, threads = int(batch), int(threads)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
import sizes


def peak():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))


def with_torch():
    import torch
    import networks
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    net = networks.make(network, weights)
    t = torch.full((batch,), sizes.time(network))
    x = torch.from_numpy(shaped())
    run = torch.compile(net) if kind == "compile" else net
    return lambda: run(x, t).numpy()


def with_onnxruntime():
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.intra_op_num_threads = threads
    s = ort.InferenceSession(weights, o, providers=["CPUExecutionProvider"])
    feed = {"x": shaped(), "t": np.full(batch, sizes.time(network), np.float32)}
    return lambda: s.run(None, feed)[0]


def with_openvino():
    import openvino as ov
    # float32 as the others: OpenVINO picks bfloat16 by itself where the processor has it
    c = ov.Core().compile_model(weights, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32",
                                                "PERFORMANCE_HINT": "LATENCY"})
    feed = [shaped(), np.full(batch, sizes.time(network), np.float32)]
    r = c.create_infer_request()
    return lambda: r.infer(feed)[c.output(0)]


def shaped():
    return np.fromfile(source, np.float32).reshape(sizes.shape(network, batch))


run = {"eager": with_torch, "compile": with_torch, "onnxruntime": with_onnxruntime, "openvino": with_openvino}[kind]()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    y = run()
    print("%.6f %d" % (time.perf_counter() - start, peak()), flush=True)
np.asarray(y, np.float32).tofile(target)
