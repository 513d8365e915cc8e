/* SPDX-License-Identifier: MIT */
/*
 * superres: y is x averaged over cells of factor x factor pixels. Where factor does not divide a side, the last row or
 * column of cells averages the pixels that exist. A A* is diagonal, 1 / (pixels of the cell), so everything is in
 * closed form: P(x; y, a) = x + repeat(sqrt(a) y - pool(x)). Other kernels, and factors that are not whole: resample.h.
 */
#include <math.h>
#include <string.h>

#include "internal.h"
#include "resample.h"

typedef struct superres_params {
    double factor, gaussian;
    long width, height;
    pjd_array_choice kernel;
} superres_params;

enum { FACTOR, KERNEL, GAUSSIAN, WIDTH, HEIGHT };

typedef struct superres {
    size_t factor, c, h, w, ch, cw; /* x is [c, h, w], y is [c, ch, cw] */
} superres;

/*
 * A row of cells is worked on in strips of whole cells: rows are added up (or written) as vectors, and only the sum of the
 * rows is walked cell by cell.
 */
enum { STRIP = 4096 };

static size_t strip(const superres *s, size_t left)
{
    size_t most = STRIP / s->factor * s->factor;

    return s->w - left < most ? s->w - left : most;
}

static size_t cell_rows(const superres *s, size_t i)
{
    size_t top = i * s->factor;

    return top + s->factor <= s->h ? s->factor : s->h - top;
}

static size_t cell_cols(const superres *s, size_t left)
{
    return left + s->factor <= s->w ? s->factor : s->w - left;
}

/* Sums over the rows of a strip. */
static void sum_rows(const superres *s, const float *x, size_t rows, size_t cols, float *restrict line)
{
    for (size_t i = 0; i < cols; i++)
        line[i] = x[i];
    for (size_t a = 1; a < rows; a++)
        for (size_t i = 0; i < cols; i++)
            line[i] += x[a * s->w + i];
}

static float sum_cell(const float *line, size_t cols)
{
    float sum = 0.0f;

    for (size_t b = 0; b < cols; b++)
        sum += line[b];
    return sum;
}

static void fill_cell(float *line, size_t cols, float v)
{
    for (size_t b = 0; b < cols; b++)
        line[b] = v;
}

/* Cells are visited row by row of all channels; rows are independent. */
static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const superres *s = op->priv;

#pragma omp parallel for schedule(static) if (op->nx > PJD_OP_PARALLEL)
    for (size_t k = 0; k < s->c * s->ch; k++) {
        size_t c = k / s->ch, i = k % s->ch, rows = cell_rows(s, i);
        const float *from = x + (c * s->h + i * s->factor) * s->w;
        float line[STRIP], *to = y + k * s->cw;

        for (size_t at = 0; at < s->w; at += strip(s, at)) {
            sum_rows(s, from + at, rows, strip(s, at), line);
            for (size_t b = 0; b < strip(s, at); b += s->factor) {
                size_t cols = cell_cols(s, at + b);

                *to++ = sum_cell(line + b, cols) / (float)(rows * cols);
            }
        }
    }
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    const superres *s = op->priv;

#pragma omp parallel for schedule(static) if (op->nx > PJD_OP_PARALLEL)
    for (size_t k = 0; k < s->c * s->ch; k++) {
        size_t c = k / s->ch, i = k % s->ch, rows = cell_rows(s, i);
        float *to = x + (c * s->h + i * s->factor) * s->w;

        for (size_t j = 0; j < s->cw; j++) {
            size_t left = j * s->factor, cols = cell_cols(s, left);

            fill_cell(to + left, cols, y[k * s->cw + j] / (float)(rows * cols));
        }
        for (size_t a = 1; a < rows; a++)
            memcpy(to + a * s->w, to, s->w * sizeof *to);
    }
}

/* x += repeat((scale y - pool(x)) / (1 + lambda cells)): both the projection and the proximal step. */
static void correct(const pjd_operator *op, float *x, const float *y, double scale, double lambda)
{
    const superres *s = op->priv;

#pragma omp parallel for schedule(static) if (op->nx > PJD_OP_PARALLEL)
    for (size_t k = 0; k < s->c * s->ch; k++) {
        size_t c = k / s->ch, i = k % s->ch, rows = cell_rows(s, i);
        float line[STRIP], *row = x + (c * s->h + i * s->factor) * s->w;
        const float *want = y + k * s->cw;

        for (size_t at = 0; at < s->w; at += strip(s, at)) {
            size_t width = strip(s, at);

            sum_rows(s, row + at, rows, width, line);
            for (size_t b = 0; b < width; b += s->factor) {
                size_t cols = cell_cols(s, at + b);
                double cells = (double)(rows * cols), sum = (double)sum_cell(line + b, cols);

                fill_cell(line + b, cols, (float)((scale * (double)*want++ - sum / cells) / (1.0 + lambda * cells)));
            }
            for (size_t a = 0; a < rows; a++)
                for (size_t b = 0; b < width; b++)
                    row[a * s->w + at + b] += line[b];
        }
    }
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    correct(op, x, y, sqrt(alpha), 0.0);
}

static void prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    correct(op, x, y, 1.0, lambda);
}

static void gram_solve(const pjd_operator *op, float *r, double lambda, float *work)
{
    const superres *s = op->priv;

    for (size_t k = 0; k < s->c * s->ch; k++) {
        size_t rows = cell_rows(s, k % s->ch);

        for (size_t j = 0; j < s->cw; j++) {
            size_t left = j * s->factor, cols = cell_cols(s, left);
            double cells = (double)(rows * cols);

            r[k * s->cw + j] *= (float)(cells / (1.0 + lambda * cells));
        }
    }
}

/* Every whole cell has the singular value 1 / factor. */
static double noise_gain(const pjd_operator *op, double sigma2)
{
    const superres *s = op->priv;

    return (double)s->factor * (double)s->factor * sigma2;
}

/* ---- the guess ---- */

/* Keys, "Cubic convolution interpolation for digital image processing", 1981, a = -1/2. */
static void cubic_weights(double t, float w[4])
{
    w[0] = (float)(((-0.5 * t + 1.0) * t - 0.5) * t);
    w[1] = (float)((1.5 * t - 2.5) * t * t + 1.0);
    w[2] = (float)(((-1.5 * t + 2.0) * t + 0.5) * t);
    w[3] = (float)((0.5 * t - 0.5) * t * t);
}

/* The four source positions (clamped) and weights of output i. */
static void cubic_taps(size_t i, double r, size_t n, size_t at[4], float w[4])
{
    double pos = ((double)i + 0.5) / r - 0.5, base = floor(pos);

    cubic_weights(pos - base, w);
    for (int k = 0; k < 4; k++) {
        double p = base + (double)(k - 1);

        at[k] = p < 0.0 ? 0 : p > (double)(n - 1) ? n - 1 : (size_t)p;
    }
}

void pjd_op_enlarge(const float *src, size_t h, size_t w, float *dst, size_t oh, size_t ow, double ry, double rx)
{
#pragma omp parallel for schedule(static) if (oh * ow > PJD_OP_PARALLEL)
    for (size_t i = 0; i < oh; i++) {
        size_t row[4], col[4];
        float wy[4], wx[4];

        cubic_taps(i, ry, h, row, wy);
        for (size_t j = 0; j < ow; j++) {
            float sum = 0.0f;

            cubic_taps(j, rx, w, col, wx);
            for (int a = 0; a < 4; a++) {
                const float *line = src + row[a] * w;

                sum += wy[a] *
                       (wx[0] * line[col[0]] + wx[1] * line[col[1]] + wx[2] * line[col[2]] + wx[3] * line[col[3]]);
            }
            dst[i * ow + j] = sum;
        }
    }
}

static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    const superres *s = op->priv;

    for (size_t c = 0; c < s->c; c++)
        pjd_op_enlarge(y + c * s->ch * s->cw, s->ch, s->cw, x + c * s->h * s->w, s->h, s->w, (double)s->factor,
                       (double)s->factor);
}

/* ---- creation ---- */

/* Whole and broken factors alike: a side of n has ceil(n / factor) cells, and m cells have at most m factor pixels. What
   rounding leaves over is not a pixel. */
static size_t cells_of(size_t n, double factor)
{
    return (size_t)ceil((double)n / factor - 1e-9);
}

/* The clean picture's side: as given, or factor times the measurement's. */
static pjd_status clean_side(const char *which, size_t cells, double factor, long wanted, size_t *out, pjd_error *err)
{
    double side = floor((double)cells * factor + 1e-9);

    if (wanted == 0) {
        if (!(side < 1e9))
            return pjd_error_set(err, PJD_ERR_SHAPE, "superres: %s %zu times factor %g is too large", which, cells,
                                 factor);
        *out = (size_t)side;
        return PJD_OK;
    }
    *out = (size_t)wanted;
    if (cells_of(*out, factor) != cells)
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "superres: %s=%zu with factor %g needs a measurement of %s %zu, found %zu", which, *out,
                             factor, which, cells_of(*out, factor), cells);
    return PJD_OK;
}

static pjd_status shapes(const superres_params *p, const pjd_shape *given_x, const pjd_shape *given_y, pjd_shape *x,
                         pjd_shape *y, pjd_error *err)
{
    size_t h, w;
    pjd_status st = pjd_op_require_chw("superres", given_x ? given_x : given_y, err);

    if (st != PJD_OK)
        return st;
    if (given_x) {
        h = given_x->dim[1];
        w = given_x->dim[2];
        *x = *given_x;
        *y = pjd_shape_chw(x->dim[0], cells_of(h, p->factor), cells_of(w, p->factor));
        if ((p->width && (size_t)p->width != w) || (p->height && (size_t)p->height != h))
            return pjd_error_set(err, PJD_ERR_SHAPE,
                                 "superres: width=%ld, height=%ld (0: any) do not match a picture of %zux%zu", p->width,
                                 p->height, w, h);
        return pjd_op_require_equal("superres", "measurement", y, given_y, err);
    }
    *y = *given_y;
    st = clean_side("height", y->dim[1], p->factor, p->height, &h, err);
    if (st == PJD_OK)
        st = clean_side("width", y->dim[2], p->factor, p->width, &w, err);
    if (st == PJD_OK)
        *x = pjd_shape_chw(y->dim[0], h, w);
    return st;
}

/* Averages over whole cells. */
static pjd_status create_average(size_t factor, const pjd_shape *x, const pjd_shape *y, pjd_operator **out,
                                 pjd_error *err)
{
    static const pjd_op_vtbl table = {.apply = apply,
                                      .adjoint = adjoint,
                                      .gram_solve = gram_solve,
                                      .project = project,
                                      .prox = prox,
                                      .noise_gain = noise_gain,
                                      .guess = guess};
    pjd_operator *op = NULL;
    superres *s;
    pjd_status st = pjd_op_new("superres", &table, x, y, true, &op, err);

    if (st != PJD_OK)
        return st;
    s = pjd_alloc(1, sizeof *s);
    op->priv = s;
    if (!s) {
        pjd_operator_unref(op);
        return pjd_error_nomem(err, "superres", sizeof *s);
    }
    *s = (superres){factor, x->dim[0], x->dim[1], x->dim[2], y->dim[1], y->dim[2]};
    op->kind = PJD_OP_AVERAGE;
    *out = op;
    return PJD_OK;
}

static pjd_status choose_kernel(const superres_params *p, const bool *present, pjd_resample *how, pjd_error *err)
{
    bool whole = p->factor == floor(p->factor);

    how->kind = p->kernel.array ? PJD_RESAMPLE_GIVEN : (pjd_resample_kind)p->kernel.choice;
    if (present[GAUSSIAN] && !present[KERNEL])
        how->kind = PJD_RESAMPLE_GAUSSIAN;
    if (present[GAUSSIAN] && how->kind != PJD_RESAMPLE_GAUSSIAN)
        return pjd_error_set(err, PJD_ERR_ARG, "superres: gaussian belongs to kernel=gaussian, found another kernel");
    how->gaussian = present[GAUSSIAN] ? p->gaussian : 0.4 * p->factor;
    if (how->kind == PJD_RESAMPLE_GIVEN && !whole)
        return pjd_error_set(err, PJD_ERR_ARG, "superres: a kernel from a file expects a whole factor, found %g",
                             p->factor);
    how->factor = (size_t)p->factor;
    return PJD_OK;
}

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *given_x,
                         const pjd_shape *given_y, pjd_operator **out, pjd_error *err)
{
    const superres_params *p = params;
    pjd_resample how = {.part = part};
    pjd_psf psf = {0};
    pjd_shape x, y;
    pjd_status st = choose_kernel(p, present, &how, err);

    *out = NULL;
    if (st == PJD_OK)
        st = shapes(p, given_x, given_y, &x, &y, err);
    if (st != PJD_OK)
        return st;
    if (how.kind == PJD_RESAMPLE_AVERAGE && p->factor == floor(p->factor))
        return create_average(how.factor, &x, &y, out, err);
    if (how.kind == PJD_RESAMPLE_GIVEN) {
        st = pjd_psf_array("superres", p->kernel.array, &psf, err);
        how.psf = &psf;
    }
    if (st == PJD_OK)
        st = pjd_resample_create(&how, &x, &y, out, err);
    pjd_psf_free(&psf);
    return st;
}

static const pjd_param table_of_params[] = {
    [FACTOR] = {.name = "factor",
                .type = PJD_PARAM_FLOAT,
                .min = 1.1,
                .max = 4096,
                .unit = "",
                .help = "how much larger the result is; need not be whole",
                .offset = offsetof(superres_params, factor)},
    [KERNEL] =
        {.name = "kernel",
         .type = PJD_PARAM_ARRAY,
         .fallback = "average",
         .choices = "average|bicubic|gaussian",
         .unit = "",
         .help = "how the picture was made small: a pixel is the mean of factor x factor pixels, or weighted by the "
                 "bicubic "
                 "kernel stretched by factor (as Pillow, and MATLAB's imresize inside), by a Gaussian, or by a kernel "
                 "file (picture of a point before every factor-th pixel was kept)",
         .offset = offsetof(superres_params, kernel)},
    [GAUSSIAN] = {.name = "gaussian",
                  .type = PJD_PARAM_FLOAT,
                  .fallback = "",
                  .min = 0.05,
                  .max = 10000,
                  .unit = "px",
                  .help = "standard deviation of kernel=gaussian in pixels of the result; 0.4 factor unless given",
                  .offset = offsetof(superres_params, gaussian)},
    [WIDTH] = {.name = "width",
               .type = PJD_PARAM_INT,
               .fallback = "0",
               .min = 0,
               .max = 1e6,
               .unit = "px",
               .help = "exact width of the result where factor does not divide it; 0: factor times the measurement's",
               .offset = offsetof(superres_params, width)},
    [HEIGHT] = {.name = "height",
                .type = PJD_PARAM_INT,
                .fallback = "0",
                .min = 0,
                .max = 1e6,
                .unit = "px",
                .help = "exact height of the result; 0: factor times the measurement's",
                .offset = offsetof(superres_params, height)},
};

const pjd_op_class pjd_op_superres = {
    .entry = {"superres", "enlarge a picture whose pixels are averages of several", table_of_params,
              PJD_COUNTOF(table_of_params), false},
    .params_size = sizeof(superres_params),
    .create = create,
};
