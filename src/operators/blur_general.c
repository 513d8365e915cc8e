/* SPDX-License-Identifier: MIT */
/* Blurs with any border: extend x to X, convolve periodically on a larger grid, keep the part that is right. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "blur.h"

#define PROJECTION 1e-3 /* relative residual at which a projection stops at the latest */

static size_t blocks(const pjd_blur *b)
{
    return b->f.groups * b->f.h;
}

/* Scratch of apply and adjoint: a spectrum, X where it is not x, and the transform's own. */
static float *canvas_of(const pjd_blur *b, float *work)
{
    return work + pjd_fft2_spectrum(&b->f);
}

static float *rest_of(const pjd_blur *b, float *work)
{
    return canvas_of(b, work) + (b->rows ? pjd_op_pad(b->ch * b->cw) : 0);
}

size_t pjd_blur_plane_work(const pjd_blur *b)
{
    return pjd_fft2_spectrum(&b->f) + (b->rows ? pjd_op_pad(b->ch * b->cw) : 0) + pjd_fft2_work(&b->f);
}

static void through(const void *ctx, size_t first, size_t blocks, float *s)
{
    const pjd_blur *b = ctx;

    pjd_spectrum_multiply(s, b->transfer + first * PJD_FFT_ELEMENT, false, blocks);
}

static void back_through(const void *ctx, size_t first, size_t blocks, float *s)
{
    const pjd_blur *b = ctx;

    pjd_spectrum_multiply(s, b->transfer + first * PJD_FFT_ELEMENT, true, blocks);
}

/* A row of X from its row of x (NULL: zeros): in the middle, as it is. */
static void unfold_row(const pjd_blur *b, const float *x, float *to)
{
    size_t end = b->left + b->xw < b->cw ? b->left + b->xw : b->cw;

    if (!x) {
        memset(to, 0, b->cw * sizeof *to);
        return;
    }
    for (size_t j = 0; j < b->left; j++)
        to[j] = b->cols[j] != SIZE_MAX ? x[b->cols[j]] : 0.0f;
    memcpy(to + b->left, x, (end - b->left) * sizeof *to);
    for (size_t j = end; j < b->cw; j++)
        to[j] = b->cols[j] != SIZE_MAX ? x[b->cols[j]] : 0.0f;
}

static void fold_row(const pjd_blur *b, const float *from, float *x)
{
    size_t end = b->left + b->xw < b->cw ? b->left + b->xw : b->cw;

    for (size_t j = 0; j < b->left; j++)
        if (b->cols[j] != SIZE_MAX)
            x[b->cols[j]] += from[j];
    for (size_t j = b->left; j < end; j++)
        x[j - b->left] += from[j];
    for (size_t j = end; j < b->cw; j++)
        if (b->cols[j] != SIZE_MAX)
            x[b->cols[j]] += from[j];
}

void pjd_blur_apply(const pjd_blur *b, const float *x, float *y, float *work)
{
    float *canvas = canvas_of(b, work), *rest = rest_of(b, work);
    pjd_window window = {0, 0, b->h, b->w, b->w, false};
    pjd_fft2_input in = {b->rows ? canvas : x, b->cw, b->ch, b->cw};

#pragma omp parallel for schedule(static) if (b->rows && b->ch * b->cw > PJD_OP_PARALLEL)
    for (size_t i = 0; i < (b->rows ? b->ch : 0); i++)
        unfold_row(b, b->rows[i] == SIZE_MAX ? NULL : x + b->rows[i] * b->xw, canvas + i * b->cw);
    pjd_fft2_filter(&b->f, &in, through, b, 1.0, y, &window, work, rest);
}

void pjd_blur_adjoint(const pjd_blur *b, const float *y, float *x, float *work)
{
    float *canvas = canvas_of(b, work), *rest = rest_of(b, work);
    pjd_window window = {0, 0, b->ch, b->cw, b->cw, false};
    pjd_fft2_input in = {y, b->w, b->h, b->w};

    pjd_fft2_filter(&b->f, &in, back_through, b, 1.0, b->rows ? canvas : x, &window, work, rest);
    if (!b->rows)
        return;
    memset(x, 0, b->xh * b->xw * sizeof *x);
    for (size_t i = 0; i < b->ch; i++)
        if (b->rows[i] != SIZE_MAX)
            fold_row(b, canvas + i * b->cw, x + b->rows[i] * b->xw);
}

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const pjd_blur *b = op->priv;

    for (size_t c = 0; c < b->c; c++)
        pjd_blur_apply(b, x + c * b->xh * b->xw, y + c * b->h * b->w, work);
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    const pjd_blur *b = op->priv;

    for (size_t c = 0; c < b->c; c++)
        pjd_blur_adjoint(b, y + c * b->h * b->w, x + c * b->xh * b->xw, work);
}

/* ---- preconditioned conjugate gradients on A A* + lambda ---- */

typedef struct gram_job {
    const pjd_blur *b;
    bool inverse;
    float lambda;
} gram_job;

static inline __attribute__((always_inline)) void gram_body(const float *restrict p, const gram_job *j, size_t count,
                                                            float *restrict s)
{
    const bool inverse = j->inverse;
    const float lambda = j->lambda;

    for (size_t e = 0; e < count; e++, p += PJD_FFT_LANES, s += PJD_FFT_ELEMENT)
        for (size_t l = 0; l < PJD_FFT_LANES; l++) {
            float f = inverse ? 1.0f / (p[l] + lambda) : p[l] + lambda;

            s[l] *= f;
            s[PJD_FFT_LANES + l] *= f;
        }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void gram_avx2(const float *p, const gram_job *j, size_t count, float *s)
{
    gram_body(p, j, count, s);
}
#endif

static void gram_group(const void *ctx, size_t first, size_t count, float *s)
{
    const gram_job *j = ctx;
    const float *p = j->b->power + first * PJD_FFT_LANES;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        gram_avx2(p, j, count, s);
        return;
    }
#endif
    gram_body(p, j, count, s);
}

/* to = crop(F* (|H|^2 + lambda) F pad(from)), or its inverse's */
static void gram(const pjd_blur *b, const float *from, float *to, bool inverse, double lambda, float *work)
{
    pjd_window window = {0, 0, b->h, b->w, b->w, false};
    pjd_fft2_input in = {from, b->w, b->h, b->w};
    gram_job j = {b, inverse, (float)lambda};

    pjd_fft2_filter(&b->f, &in, gram_group, &j, 1.0, to, &window, work, rest_of(b, work));
}

/* to = (A A* + lambda) from. Where X is x, A* never leaves the grid and the two transforms between cancel. */
static void normal(const pjd_blur *b, const float *from, float *to, double lambda, float *spare, float *work)
{
    if (!b->rows) {
        gram(b, from, to, false, lambda, work);
        return;
    }
    pjd_blur_adjoint(b, from, spare, work);
    pjd_blur_apply(b, spare, to, work);
    pjd_vec_axpy(lambda, from, to, b->h * b->w);
}

/*
 * The weights are floored: below, rounding (and for auto the freedom of the unseen border) is amplified faster than the
 * picture gains. In trials on photographs with 8-bit rounding, more than a few steps at a smaller weight made the result
 * worse.
 */
static double weight(const pjd_blur *b, double lambda)
{
    return fmax(lambda, (b->rows ? 1e-6 : 1e-4) * b->top);
}

/* A proximal step is one of many, between which noise is added. */
static double tolerance_of(const pjd_blur *b, double lambda)
{
    return lambda > 0.0 ? b->opt.tolerance : fmin(b->opt.tolerance, PROJECTION);
}

/*
 * x += A* u, (A A* + lambda) u = scale y - A x. The preconditioner is the periodic blur's inverse on the grid: what it
 * misses is the border. Its weight is floored more.
 *
 * error: root mean square in x that is small enough. With e = u's error, A* e has the squared norm e A A* e, below
 * e (A A* + lambda) e, which is the residual's in the inverse: about gamma, as far as the preconditioner is one.
 */
static void correct_plane(const pjd_blur *b, float *x, const float *y, double scale, double lambda, double error,
                          float *work)
{
    size_t n = b->h * b->w, step = pjd_op_pad(n);
    float *r = work, *z = r + step, *p = z + step, *q = p + step, *u = q + step, *spare = u + step;
    float *rest = spare + pjd_op_pad(b->xh * b->xw);
    double smooth, gamma, enough, tolerance = tolerance_of(b, lambda);

    lambda = weight(b, lambda);
    smooth = lambda > 1e-3 * b->top ? lambda : 1e-3 * b->top;
    pjd_blur_apply(b, x, r, rest);
    pjd_vec_scale_minus(scale, y, r, n);
    gram(b, r, z, true, smooth, rest);
    memcpy(p, z, n * sizeof *p);
    memset(u, 0, n * sizeof *u);
    gamma = pjd_vec_dot(r, z, n);
    enough = fmax(tolerance * tolerance * gamma, error * error * (double)(b->xh * b->xw));
    for (size_t k = 0; k < b->opt.iterations && gamma > 0.0; k++) {
        double curvature, next;

        normal(b, p, q, lambda, spare, rest);
        curvature = pjd_vec_dot(p, q, n);
        if (!(curvature > 0.0))
            break;
        pjd_vec_axpy(gamma / curvature, p, u, n);
        if (k + 1 == b->opt.iterations)
            break;
        pjd_vec_axpy(-gamma / curvature, q, r, n);
        gram(b, r, z, true, smooth, rest);
        next = pjd_vec_dot(r, z, n);
        if (!(next > enough))
            break;
        pjd_vec_xpay(z, next / gamma, p, n);
        gamma = next;
    }
    pjd_blur_adjoint(b, u, spare, rest);
    pjd_vec_axpy(1.0, spare, x, b->xh * b->xw);
}

static size_t correct_work(const pjd_blur *b)
{
    return 5 * pjd_op_pad(b->h * b->w) + pjd_op_pad(b->xh * b->xw) + pjd_blur_plane_work(b);
}

/*
 * Channels solved side by side: a small picture's hundred short loops are not worth a team of threads each, and a
 * large one's scratch is not wanted several times.
 */
static size_t side_by_side(const pjd_blur *b)
{
    return !b->svd && !b->border && b->c <= PJD_FFT_THREADS && b->ch * b->cw <= (size_t)1 << 18 ? b->c : 1;
}

static void correct(const pjd_operator *op, float *x, const float *y, double scale, double lambda, double error,
                    float *work)
{
    const pjd_blur *b = op->priv;
    size_t slots = side_by_side(b), slot = pjd_op_pad(correct_work(b));
    int team = omp_get_max_threads() < (int)slots ? omp_get_max_threads() : (int)slots;

    if (b->svd) {
        for (size_t c = 0; c < b->c; c++)
            pjd_svd_correct(b, x + c * b->xh * b->xw, y + c * b->h * b->w, scale, lambda, work);
        return;
    }
    if (b->border) {
        pjd_border_correct(b, x, y, scale, weight(b, lambda), tolerance_of(b, lambda), error, work);
        return;
    }
#pragma omp parallel for schedule(dynamic) num_threads(team) if (slots > 1)
    for (size_t c = 0; c < b->c; c++)
        correct_plane(b, x + c * b->xh * b->xw, y + c * b->h * b->w, scale, lambda, error,
                      work + (slots > 1 ? c * slot : 0));
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    correct(op, x, y, sqrt(alpha), 0.0, 0.0, work);
}

static void prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    correct(op, x, y, 1.0, lambda, 0.0, work);
}

static void prox_about(const pjd_operator *op, float *x, const float *y, double lambda, double error, float *work)
{
    correct(op, x, y, 1.0, lambda, error, work);
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    return ((const pjd_blur *)op->priv)->gain * sigma2;
}

/* The blurred picture, its border repeated outwards. */
static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    const pjd_blur *b = op->priv;

    for (size_t c = 0; c < b->c; c++)
        for (size_t i = 0; i < b->xh; i++)
            for (size_t j = 0; j < b->xw; j++) {
                size_t a = i < op->offset_y ? 0 : i - op->offset_y, k = j < op->offset_x ? 0 : j - op->offset_x;

                a = a < b->h ? a : b->h - 1;
                k = k < b->w ? k : b->w - 1;
                x[(c * b->xh + i) * b->xw + j] = y[(c * b->h + a) * b->w + k];
            }
}

/* ---- spectral form, when there is one ---- */

static void to_spectral(const pjd_operator *op, const float *x, float *c, float *work)
{
    const pjd_blur *b = op->priv;

    for (size_t k = 0; k < b->c; k++)
        pjd_svd_to_spectral(b, x + k * b->xh * b->xw, c + k * b->xh * b->xw, work);
}

static void from_spectral(const pjd_operator *op, const float *c, float *x, float *work)
{
    const pjd_blur *b = op->priv;

    for (size_t k = 0; k < b->c; k++)
        pjd_svd_from_spectral(b, c + k * b->xh * b->xw, x + k * b->xh * b->xw, work);
}

static void data(const pjd_operator *op, const float *y, float *d, float *work)
{
    const pjd_blur *b = op->priv;

    for (size_t k = 0; k < b->c; k++)
        pjd_svd_data(b, y + k * b->h * b->w, d + k * b->xh * b->xw, work);
}

static void adjust(const pjd_operator *op, float *x, double least, pjd_spectral_change change, void *ctx, float *work)
{
    const pjd_blur *b = op->priv;
    size_t plane = b->xh * b->xw;

    for (size_t k = 0; k < b->c; k++)
        pjd_svd_adjust(b, x + k * plane, least, change, ctx, k * plane, work);
}

/* ---- creation ---- */

static void destroy(pjd_operator *op)
{
    pjd_blur *b = op->priv;

    if (b) {
        pjd_fft2_free(&b->f);
        pjd_free(b->rows);
        pjd_free(b->cols);
        pjd_free(b->transfer);
        pjd_free(b->power);
        pjd_free(b->singular);
        pjd_svd_free(b->svd);
        pjd_free(b);
    }
}

/* Row (or column) t of X is row t - before of x, folded back into 0 .. n-1 or outside. */
static pjd_status make_map(size_t count, size_t before, size_t n, bool reflect, size_t **out, pjd_error *err)
{
    size_t *m = pjd_alloc(count, sizeof *m);

    *out = m;
    if (!m)
        return pjd_error_nomem(err, "deblur", count * sizeof *m);
    for (size_t t = 0; t < count; t++) {
        /* + 2n k keeps it positive; reflection about half samples has the period 2n. */
        size_t shifted = t + 2 * n * (before / (2 * n) + 1) - before, folded = shifted % (2 * n);

        if (reflect)
            m[t] = folded < n ? folded : 2 * n - 1 - folded;
        else
            m[t] = t >= before && t - before < n ? t - before : SIZE_MAX;
    }
    return PJD_OK;
}

static pjd_status make_power(pjd_blur *b, pjd_error *err)
{
    b->power = pjd_alloc(blocks(b) * PJD_FFT_LANES, sizeof *b->power);
    if (!b->power)
        return pjd_error_nomem(err, "deblur", blocks(b) * PJD_FFT_LANES * sizeof *b->power);
    for (size_t e = 0; e < blocks(b); e++)
        for (size_t l = 0; l < PJD_FFT_LANES; l++) {
            double re = b->transfer[e * PJD_FFT_ELEMENT + l], im = b->transfer[e * PJD_FFT_ELEMENT + PJD_FFT_LANES + l];
            double p = re * re + im * im;

            b->power[e * PJD_FFT_LANES + l] = (float)p;
            b->top = p > b->top ? p : b->top;
        }
    return PJD_OK;
}

static pjd_status fill(pjd_blur *b, const pjd_psf *psf, const pjd_shape *x, const pjd_shape *y, pjd_error *err)
{
    bool extend = b->opt.boundary != PJD_BOUNDARY_AUTO, reflect = b->opt.boundary == PJD_BOUNDARY_REFLECT;
    pjd_status st = PJD_OK;
    size_t gh, gw;

    b->c = y->dim[0];
    b->h = y->dim[1];
    b->w = y->dim[2];
    b->xh = x->dim[1];
    b->xw = x->dim[2];
    b->gain = pjd_blur_gain(psf);
    if (!pjd_add(b->h, psf->h - 1, &b->ch) || !pjd_add(b->w, psf->w - 1, &b->cw) || !(gh = pjd_fft_good_size(b->ch)) ||
        !(gw = pjd_fft_good_size(b->cw)))
        return pjd_error_set(err, PJD_ERR_SHAPE, "deblur: a picture of %zux%zu is too large", b->h, b->w);
    if (extend)
        st = make_map(b->ch, psf->h - 1 - psf->cy, b->xh, reflect, &b->rows, err);
    if (extend && st == PJD_OK)
        st = make_map(b->cw, b->left = psf->w - 1 - psf->cx, b->xw, reflect, &b->cols, err);
    if (st == PJD_OK)
        st = pjd_fft2_create(gh, gw, &b->f, err);
    /* y's pixel 0 needs X's rows 0 .. kernel - 1: the kernel's last row lies at 0. */
    if (st == PJD_OK)
        st = pjd_blur_transfer(psf, &b->f, psf->h - 1, psf->w - 1, &b->transfer, err);
    if (st == PJD_OK)
        st = make_power(b, err);
    if (st == PJD_OK && !b->opt.part && psf->column && !reflect && b->xh <= PJD_BLUR_DENSE && b->xw <= PJD_BLUR_DENSE)
        st = pjd_svd_create(b, psf, err);
    return st;
}

pjd_status pjd_blur_general(const pjd_psf *psf, const pjd_blur_options *opt, const pjd_shape *x, const pjd_shape *y,
                            pjd_operator **out, pjd_error *err)
{
#define COMMON                                                                                                         \
    .apply = apply, .adjoint = adjoint, .project = project, .prox = prox, .noise_gain = noise_gain, .guess = guess,    \
    .destroy = destroy
    static const pjd_op_vtbl iterative = {COMMON, .prox_about = prox_about};
    static const pjd_op_vtbl dense = {COMMON, .to_spectral = to_spectral, .from_spectral = from_spectral, .data = data,
                                      .adjust = adjust};
#undef COMMON
    pjd_operator *op = NULL;
    pjd_blur *b;
    pjd_status st = pjd_op_new("deblur", &iterative, x, y, true, &op, err);

    *out = NULL;
    if (st != PJD_OK)
        return st;
    op->priv = b = pjd_alloc_zero(1, sizeof *b);
    st = b ? PJD_OK : pjd_error_nomem(err, "deblur", sizeof *b);
    if (st == PJD_OK) {
        b->opt = *opt;
        st = fill(b, psf, x, y, err);
    }
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    b->border = !b->svd && !opt->part && pjd_border_fits(b);
    op->work = b->border ? pjd_border_work(b) : side_by_side(b) * pjd_op_pad(correct_work(b));
    if (b->svd) {
        op->v = &dense;
        op->singular = b->singular;
        op->spectral_count = op->nx;
        op->work = pjd_svd_work(b);
    }
    if (opt->boundary == PJD_BOUNDARY_AUTO) {
        op->result = *y;
        op->offset_y = psf->h - 1 - psf->cy;
        op->offset_x = psf->w - 1 - psf->cx;
    }
    *out = op;
    return PJD_OK;
}
