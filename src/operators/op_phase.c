/* SPDX-License-Identifier: MIT */
/*
 * phase: y is the modulus of the centred orthonormal Fourier transform of x, padded by zeros (mid-gray) on each side,
 * per channel. P(x; y, alpha): F = fft(pad(x)), F sqrt(alpha) y / (|F| + 1e-8), back, cropped, real part. For a real x
 * the real part is the same as the mean of y at a frequency and its opposite, so half of the spectrum is enough. Where
 * the frame lies inside the transform only turns phases, so x sits at its corner here.
 *
 * P alone stops at pictures that are no solution. search() goes further: hybrid input-output (Fienup 1982) with all that
 * is known, the frame, real values, the range -1..1, and the channels of one picture helping each other.
 */
#include <math.h>
#include <string.h>

#include "fft.h"
#include "internal.h"

typedef struct phase_params {
    long pad;
} phase_params;

typedef struct phase {
    size_t c, h, w, gh, gw; /* x is [c, h, w], y is [c, gh, gw] */
    pjd_fft2 f;
} phase;

/* Where frequency (i, k) lies in y: zero frequency at floor(n / 2). */
static size_t shifted(const phase *p, size_t i, size_t k)
{
    return (i + p->gh / 2) % p->gh * p->gw + (k + p->gw / 2) % p->gw;
}

static size_t opposite(const phase *p, size_t i, size_t k)
{
    return shifted(p, (p->gh - i) % p->gh, (p->gw - k) % p->gw);
}

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const phase *p = op->priv;
    float *s = work, *rest = s + pjd_fft2_spectrum(&p->f);
    double unit = 1.0 / sqrt((double)p->gh * (double)p->gw);

    for (size_t c = 0; c < p->c; c++) {
        float *to = y + c * p->gh * p->gw;

        pjd_fft2_forward(&p->f, x + c * p->h * p->w, p->w, p->h, p->w, s, rest);
        for (size_t i = 0; i < p->gh; i++)
            for (size_t k = 0; k < p->f.columns; k++) {
                const float *v = s + pjd_fft2_at(&p->f, i, k);
                double re = v[0], im = v[PJD_FFT_LANES];
                float m = (float)(unit * sqrt(re * re + im * im));

                to[shifted(p, i, k)] = m;
                to[opposite(p, i, k)] = m;
            }
    }
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    const phase *p = op->priv;
    float *s = work, *rest = s + pjd_fft2_spectrum(&p->f);
    double root = sqrt((double)p->gh * (double)p->gw), scale = 0.5 * sqrt(alpha) * root;
    pjd_window frame = {0, 0, p->h, p->w, p->w, false};

    for (size_t c = 0; c < p->c; c++) {
        const float *from = y + c * p->gh * p->gw;

        pjd_fft2_forward(&p->f, x + c * p->h * p->w, p->w, p->h, p->w, s, rest);
#pragma omp parallel for schedule(static) if (p->gh * p->gw > PJD_OP_PARALLEL)
        for (size_t i = 0; i < p->gh; i++)
            for (size_t k = 0; k < p->f.columns; k++) {
                float *v = s + pjd_fft2_at(&p->f, i, k);
                double re = v[0], im = v[PJD_FFT_LANES],
                       target = (double)from[shifted(p, i, k)] + (double)from[opposite(p, i, k)];
                /* 1e-8 beside the modulus of the orthonormal transform. */
                double g = scale * target / (sqrt(re * re + im * im) + 1e-8 * root);

                v[0] = (float)(g * re);
                v[PJD_FFT_LANES] = (float)(g * im);
            }
        pjd_fft2_backward(&p->f, s, 1.0, x + c * p->h * p->w, &frame, rest);
    }
}

/* ---- search ---- */

enum { SEARCH_ITERATIONS = 100, SEARCH_DESCENT = 10 };
static const float SEARCH_FEEDBACK = 0.9f;

/* What the modulus of coefficient (i, k) of the unscaled transform should be, as [gh, columns]. */
static void targets(const phase *p, const float *y, float *t)
{
    float half = 0.5f * (float)sqrt((double)p->gh * (double)p->gw);

    for (size_t i = 0; i < p->gh; i++)
        for (size_t k = 0; k < p->f.columns; k++)
            t[i * p->f.columns + k] = half * (y[shifted(p, i, k)] + y[opposite(p, i, k)]);
}

/* That modulus for the spectrum s, keeping its phases. */
static void impose(const phase *p, float *s, const float *t)
{
    float tiny = 1e-8f * (float)sqrt((double)p->gh * (double)p->gw);

    for (size_t first = 0; first < p->f.columns; first += PJD_FFT_LANES)
        for (size_t i = 0; i < p->gh; i++) {
            size_t lanes = p->f.columns - first < PJD_FFT_LANES ? p->f.columns - first : PJD_FFT_LANES;
            float *v = s + pjd_fft2_at(&p->f, i, first);
            const float *want = t + i * p->f.columns + first;

            for (size_t k = 0; k < lanes; k++) {
                float re = v[k], im = v[PJD_FFT_LANES + k], g = want[k] / (sqrtf(re * re + im * im) + tiny);

                v[k] = g * re;
                v[PJD_FFT_LANES + k] = g * im;
            }
        }
}

static double channel_error(const phase *p, const float *x, const float *y, float *s, float *rest)
{
    double unit = 1.0 / sqrt((double)p->gh * (double)p->gw), sum = 0;

    pjd_fft2_forward(&p->f, x, p->w, p->h, p->w, s, rest);
    for (size_t i = 0; i < p->gh; i++)
        for (size_t k = 0; k < p->f.columns; k++) {
            const float *v = s + pjd_fft2_at(&p->f, i, k);
            double re = v[0], im = v[PJD_FFT_LANES], d = unit * sqrt(re * re + im * im) - (double)y[shifted(p, i, k)];

            sum += d * d;
        }
    return sum;
}

/* x turned by half, or its negative, has the same modulus: of these, a becomes the one that is most like b. */
static void turn_like(float *a, const float *b, size_t n)
{
    double ma = 0, mb = 0, straight = 0, turned = 0;

    for (size_t i = 0; i < n; i++) {
        ma += a[i] / (double)n;
        mb += b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        straight += (a[i] - ma) * (b[i] - mb);
        turned += (a[n - 1 - i] - ma) * (b[i] - mb);
    }
    for (size_t i = 0; fabs(turned) > fabs(straight) && i < n / 2; i++) {
        float t = a[i];

        a[i] = a[n - 1 - i];
        a[n - 1 - i] = t;
    }
    if ((fabs(turned) > fabs(straight) ? turned : straight) < 0)
        for (size_t i = 0; i < n; i++)
            a[i] = -a[i];
}

/* Channels of a picture look alike: the best one lends its phases to each other one that they fit better than its own. */
static void agree(const phase *p, float *x, const float *y, float *tmp, float *t, float *s, float *rest)
{
    size_t n = p->h * p->w, grid = p->gh * p->gw, best = 0;
    pjd_window frame = {0, 0, p->h, p->w, p->w, false};
    double least = INFINITY;

    for (size_t c = 0; c < p->c; c++) {
        double e = channel_error(p, x + c * n, y + c * grid, s, rest);

        if (e < least) {
            least = e;
            best = c;
        }
    }
    for (size_t c = 0; c < p->c; c++) {
        float *a = x + c * n;
        double own = channel_error(p, a, y + c * grid, s, rest);

        if (c == best)
            continue;
        turn_like(a, x + best * n, n);
        memcpy(tmp, x + best * n, n * sizeof *tmp);
        targets(p, y + c * grid, t);
        for (int k = 0; k < 2; k++) {
            pjd_fft2_forward(&p->f, tmp, p->w, p->h, p->w, s, rest);
            impose(p, s, t);
            pjd_fft2_backward(&p->f, s, 1.0, tmp, &frame, rest);
        }
        if (channel_error(p, tmp, y + c * grid, s, rest) < own)
            memcpy(a, tmp, n * sizeof *a);
    }
}

/* Where q = P(g) leaves the frame or the range, g moves against it (without feedback, goes to the nearest); elsewhere
   g = q. */
static void feed_back(const phase *p, float *g, const float *q, float feedback)
{
    for (size_t i = 0; i < p->gh; i++)
        for (size_t j = 0; j < p->gw; j++) {
            size_t at = i * p->gw + j;
            bool inside = i < p->h && j < p->w;

            if (inside && fabsf(q[at]) <= 1)
                g[at] = q[at];
            else
                g[at] = feedback > 0 ? g[at] - feedback * q[at] : !inside ? 0 : q[at] > 0 ? 1 : -1;
        }
}

static void search(const pjd_operator *op, float *x, const float *y, float *work)
{
    const phase *p = op->priv;
    size_t grid = p->gh * p->gw;
    float *s = work, *rest = s + pjd_fft2_spectrum(&p->f), *g = rest + pjd_fft2_work(&p->f), *q = g + grid,
          *t = q + grid;
    pjd_window all = {0, 0, p->gh, p->gw, p->gw, false};

    agree(p, x, y, q, t, s, rest);
    for (size_t c = 0; c < p->c; c++) {
        float *to = x + c * p->h * p->w;

        targets(p, y + c * grid, t);
        memset(g, 0, grid * sizeof *g);
        for (size_t i = 0; i < p->h; i++)
            memcpy(g + i * p->gw, to + i * p->w, p->w * sizeof *g);
        for (size_t k = 0; k < SEARCH_ITERATIONS; k++) {
            if (k > 0)
                feed_back(p, g, q, k + SEARCH_DESCENT < SEARCH_ITERATIONS ? SEARCH_FEEDBACK : 0);
            pjd_fft2_forward(&p->f, g, p->gw, p->gh, p->gw, s, rest);
            impose(p, s, t);
            pjd_fft2_backward(&p->f, s, 1.0, q, &all, rest);
        }
        for (size_t i = 0; i < p->h; i++)
            for (size_t j = 0; j < p->w; j++)
                to[i * p->w + j] = fmaxf(-1, fminf(1, q[i * p->gw + j]));
    }
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    const phase *p = op->priv;

    return (double)p->gh * (double)p->gw / ((double)p->h * (double)p->w) * sigma2;
}

/* A projected noise picture; the same at every call. */
static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    for (size_t i = 0; i < op->nx; i++) {
        /* The finaliser of splitmix64 on the index. */
        uint64_t z = ((uint64_t)i + 1) * 0x9E3779B97F4A7C15u;

        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        x[i] = (float)(((double)((z ^ (z >> 31)) >> 11) * 0x1p-53 - 0.5) * 0.2);
    }
    project(op, x, y, 1.0, work);
}

static void destroy(pjd_operator *op)
{
    phase *p = op->priv;

    if (p)
        pjd_fft2_free(&p->f);
    pjd_free(p);
}

/* One side: the padded size from the clean one, or the other way round. pad < 0: a quarter of the clean side. */
static bool padded_side(size_t n, long pad, size_t *out)
{
    size_t p = pad < 0 ? n / 4 : (size_t)pad;

    return pjd_add(n, 2 * p, out);
}

static bool clean_side(size_t padded, long pad, size_t *out)
{
    if (pad >= 0) {
        *out = padded - 2 * (size_t)pad;
        return padded > 2 * (size_t)pad;
    }
    /* n + 2 floor(n / 4) = padded: n is near 2/3 of it; not every size has a solution. */
    for (size_t n = padded / 3 * 2 > 4 ? padded / 3 * 2 - 4 : 1; n <= padded; n++)
        if (n + 2 * (n / 4) == padded) {
            *out = n;
            return true;
        }
    return false;
}

static pjd_status shapes(long pad, const pjd_shape *given_x, const pjd_shape *given_y, pjd_shape *x, pjd_shape *y,
                         pjd_error *err)
{
    pjd_status st = pjd_op_require_chw("phase", given_x ? given_x : given_y, err);

    if (st != PJD_OK)
        return st;
    *x = *y = given_x ? *given_x : *given_y;
    for (size_t d = 1; d <= 2; d++)
        if (given_x ? !padded_side(x->dim[d], pad, &y->dim[d]) : !clean_side(y->dim[d], pad, &x->dim[d]))
            return pjd_error_set(err, PJD_ERR_SHAPE,
                                 "phase: no picture padded by %s gives a measurement of %zux%zu (set pad=)",
                                 pad < 0 ? "a quarter of its size" : "that much", y->dim[2], y->dim[1]);
    return given_x ? pjd_op_require_equal("phase", "measurement", y, given_y, err) : PJD_OK;
}

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *given_x,
                         const pjd_shape *given_y, pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {.apply = apply,
                                      .project = project,
                                      .search = search,
                                      .noise_gain = noise_gain,
                                      .guess = guess,
                                      .destroy = destroy};
    pjd_operator *op = NULL;
    pjd_shape x, y;
    phase *p;
    pjd_status st = shapes(present[0] ? ((const phase_params *)params)->pad : -1, given_x, given_y, &x, &y, err);

    *out = NULL;
    if (st == PJD_OK)
        st = pjd_op_new("phase", &table, &x, &y, false, &op, err);
    if (st != PJD_OK)
        return st;
    op->project_first = true;
    op->priv = p = pjd_alloc_zero(1, sizeof *p);
    st = p ? PJD_OK : pjd_error_nomem(err, "phase", sizeof *p);
    if (st == PJD_OK) {
        *p = (phase){.c = x.dim[0], .h = x.dim[1], .w = x.dim[2], .gh = y.dim[1], .gw = y.dim[2]};
        st = pjd_fft2_create(p->gh, p->gw, &p->f, err);
    }
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    op->work = pjd_fft2_spectrum(&p->f) + pjd_fft2_work(&p->f) + 3 * p->gh * p->gw;
    *out = op;
    return PJD_OK;
}

static const pjd_param table_of_params[] = {
    {.name = "pad",
     .type = PJD_PARAM_INT,
     .fallback = "",
     .min = 0,
     .max = 65536,
     .unit = "px",
     .help = "mid-gray pixels around the picture on each side; default a quarter of its size",
     .offset = offsetof(phase_params, pad)},
};

const pjd_op_class pjd_op_phase = {
    .entry = {"phase", "recover a picture from the modulus of its Fourier transform", table_of_params,
              PJD_COUNTOF(table_of_params), .numbers = true},
    .params_size = sizeof(phase_params),
    .create = create,
    .nonlinear = true,
};
