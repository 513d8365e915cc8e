# SPDX-License-Identifier: MIT
"""The simple alternatives that bench/kodak compares with: interpolation, inpainting without learning, Wiener, non-local
means. Pictures are float arrays [3, h, w] in -1..1; sigma is on the 0..1 scale. Every method takes the measurement only.
"""
import numpy as np
from PIL import Image
from scipy import fft, sparse
from scipy.sparse import linalg
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

# ---- enlarging ----


def enlarge(y, factor, kernel):
    """PIL's kernels on float planes; half-pixel centres, as average pooling has them."""
    h, w = y.shape[1] * factor, y.shape[2] * factor
    planes = [Image.fromarray(p.astype(np.float32), "F").resize((w, h), kernel) for p in y]
    return np.stack([np.asarray(p) for p in planes])


def bicubic(y, factor):
    return enlarge(y, factor, Image.BICUBIC)


def lanczos(y, factor):
    return enlarge(y, factor, Image.LANCZOS)


# ---- denoising ----


def non_local_means(y, sigma, strength):
    """Buades et al. 2005 with the noise level given; h = strength * sigma. sigma 0 changes nothing."""
    if sigma <= 0:
        return y
    s = 2 * sigma
    x = denoise_nl_means(np.moveaxis(y, 0, -1), patch_size=5, patch_distance=7, h=strength * s, sigma=s,
                         fast_mode=True, channel_axis=-1)
    return np.moveaxis(x, -1, 0)


def total_variation(y, sigma, weight):
    """Rudin-Osher-Fatemi by Chambolle's algorithm, weight relative to the noise."""
    x = denoise_tv_chambolle(np.moveaxis(y, 0, -1), weight=weight * 2 * sigma, channel_axis=-1, max_num_iter=200)
    return np.moveaxis(x, -1, 0)


# ---- inpainting; known is a boolean [h, w] ----


def laplacian(h, w):
    """The 5-point Laplacian with reflecting borders, as a sparse matrix."""
    def second(n):
        d = np.full(n, -2.0)
        d[0] = d[-1] = -1.0 if n > 1 else 0.0
        return sparse.diags([np.ones(n - 1), d, np.ones(n - 1)], [-1, 0, 1])
    return sparse.kron(sparse.eye(h), second(w)) + sparse.kron(second(h), sparse.eye(w))


def biharmonic(y, known):
    """Minimise the squared Laplacian over the missing pixels, the known ones fixed: one sparse system for the picture."""
    h, w = known.shape
    k = known.ravel()
    lap = laplacian(h, w).tocsr()
    system = (lap.T @ lap).tocsr()
    missing = np.flatnonzero(~k)
    x = y.reshape(3, -1).astype(np.float64).copy()
    if missing.size:
        rows = system[missing]
        solve = linalg.factorized(rows[:, missing].tocsc())
        for c in range(3):
            x[c, missing] = solve(-rows[:, np.flatnonzero(k)] @ x[c, k])
    return np.clip(x.reshape(y.shape), -1, 1)


def tv_inpaint(y, known, fidelity, iterations=400):
    """Total variation with the known pixels held (fidelity None) or pulled (weight `fidelity`) to their values, by the
    primal-dual algorithm of Chambolle & Pock 2011; the gradient is coupled over the channels."""
    tau = sigma = 1 / np.sqrt(8)
    x = np.where(known, y, y[:, known].mean(axis=1)[:, None, None] if known.any() else 0.0)
    over, p = x.copy(), np.zeros((2,) + x.shape)
    for _ in range(iterations):
        p[0, :, :-1] += sigma * np.diff(over, axis=1)
        p[1, :, :, :-1] += sigma * np.diff(over, axis=2)
        p /= np.maximum(1, np.sqrt((p ** 2).sum(axis=(0, 1))))
        div = p[0] + p[1]
        div[:, 1:] -= p[0, :, :-1]
        div[:, :, 1:] -= p[1, :, :, :-1]
        new = x + tau * div
        if fidelity is None:
            new = np.where(known, y, new)
        else:
            new = np.where(known, (new + tau * fidelity * y) / (1 + tau * fidelity), new)
        over, x = 2 * new - x, new
    return x


# ---- deblurring ----


def wiener(y, kernel, constant):
    """Wiener filter with a constant noise-to-signal ratio. The picture is mirrored to twice its size, which makes the
    reflecting border of the measurement exact for symmetric kernels and close for the others."""
    big = np.pad(y, ((0, 0), (0, y.shape[1]), (0, y.shape[2])), mode="symmetric")
    h, w = big.shape[1:]
    psf = np.zeros((h, w))
    kh, kw = kernel.shape
    psf[:kh, :kw] = kernel
    psf = np.roll(psf, (-(kh // 2), -(kw // 2)), (0, 1))
    f = fft.rfft2(psf)
    x = fft.irfft2(fft.rfft2(big) * np.conj(f) / (np.abs(f) ** 2 + constant), s=(h, w))
    return x[:, : y.shape[1], : y.shape[2]]


def fold(x, pad, axis):
    """The adjoint of np.pad(mode="symmetric") by `pad` on both sides of an axis."""
    x = np.moveaxis(x, axis, -1)
    out = x[..., pad:-pad].copy()
    out[..., :pad] += x[..., :pad][..., ::-1]
    out[..., -pad:] += x[..., -pad:][..., ::-1]
    return np.moveaxis(out, -1, axis)


def wiener_reflecting(y, kernel, constant, iterations=100):
    """The same regularisation with the reflecting border taken exactly: conjugate gradients on (A'A + constant) x = A'y."""
    used = np.argwhere(kernel > 0)
    middle = np.array(kernel.shape) // 2
    pad = max(int(np.abs(used - middle).max()), 1)
    k = kernel[middle[0] - pad : middle[0] + pad + 1, middle[1] - pad : middle[1] + pad + 1]
    h, w = y.shape[1:]
    size = (h + 2 * pad, w + 2 * pad)
    psf = np.zeros(size)
    psf[: 2 * pad + 1, : 2 * pad + 1] = k
    f = fft.rfft2(np.roll(psf, (-pad, -pad), (0, 1)))

    def forward(x):
        big = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
        return fft.irfft2(fft.rfft2(big) * f, s=size)[:, pad:-pad, pad:-pad]

    def adjoint(r):
        big = np.pad(r, ((0, 0), (pad, pad), (pad, pad)))
        return fold(fold(fft.irfft2(fft.rfft2(big) * np.conj(f), s=size), pad, 1), pad, 2)

    mean = y.mean()
    x = np.zeros(y.shape)
    r = adjoint(y.astype(np.float64) - mean)
    p, rr = r.copy(), float((r * r).sum())
    for _ in range(iterations):
        if rr < 1e-12:
            break
        q = adjoint(forward(p)) + constant * p
        step = rr / float((p * q).sum())
        x += step * p
        r -= step * q
        rr, old = float((r * r).sum()), rr
        p = r + rr / old * p
    return x + mean
