/* SPDX-License-Identifier: MIT */
#include "radon.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fft.h"
#include "internal.h"

/* Rows (or views) that one pass of the vector loop adds up; zeros beside a row, more than their shifts can differ. */
enum { BLOCK = 4, MARGIN = 8, TAPS = 4 };

/* One angle: row r of the picture (or of its transpose) is shifted by start + r * slope. */
typedef struct view {
    bool columns;            /* rays nearly level: column by column */
    double start, slope;     /* element j of row r lies at j - (start + r slope) on the line */
    double origin, per_cell; /* detector k = origin + m per_cell of place m on the line */
    double arc;              /* radians that this view stands for */
} view;

struct pjd_radon {
    size_t h, w, views, detectors, line; /* line: elements of one, padded */
    double scale;
    view *view;
    size_t *member[2], members[2]; /* views followed row by row, and column by column */
    float *tap;                    /* [views, detectors, TAPS] */
    int32_t *at;                   /* [views, detectors] place of the first tap */
    pjd_fft *fft;
    float *ramp; /* [fft_size] */
    size_t fft_size;
    pjd_fft *short_fft; /* of the preconditioner, which may wrap around */
    float *gram;        /* [short_size] eigenvalue of A A* at a frequency along the detectors */
    size_t short_size;
};

/* ---- the loop: out[e] += sum of a[r] p[r][e] + b[r] p[r][e + 1] ---- */

typedef struct block {
    const float *p[BLOCK];
    float a[BLOCK], b[BLOCK];
} block;

typedef void add_fn(float *restrict out, size_t n, const block *k);

__attribute__((always_inline)) static inline void add_block(float *restrict out, size_t n, const block *k)
{
    const float *p0 = k->p[0], *p1 = k->p[1], *p2 = k->p[2], *p3 = k->p[3];
    float a0 = k->a[0], a1 = k->a[1], a2 = k->a[2], a3 = k->a[3];
    float b0 = k->b[0], b1 = k->b[1], b2 = k->b[2], b3 = k->b[3];

#pragma omp simd
    for (size_t e = 0; e < n; e++)
        out[e] += ((a0 * p0[e] + b0 * p0[e + 1]) + (a1 * p1[e] + b1 * p1[e + 1])) +
                  ((a2 * p2[e] + b2 * p2[e + 1]) + (a3 * p3[e] + b3 * p3[e + 1]));
}

static void add_plain(float *restrict out, size_t n, const block *k)
{
    add_block(out, n, k);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void add_avx2(float *restrict out, size_t n, const block *k)
{
    add_block(out, n, k);
}
#endif

static add_fn *pick_add(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return add_avx2;
#endif
    return add_plain;
}

/* ---- layout of the scratch ---- */

static size_t rows_of(const pjd_radon *r, int g)
{
    return g ? r->w : r->h;
}

static size_t cols_of(const pjd_radon *r, int g)
{
    return g ? r->h : r->w;
}

static size_t stride_of(const pjd_radon *r, int g)
{
    return pjd_op_pad(cols_of(r, g) + 2 * MARGIN);
}

/* Floats of one picture with zeros around its rows, whole blocks of them. */
static size_t plane_of(const pjd_radon *r, int g)
{
    return (rows_of(r, g) + BLOCK - 1) / BLOCK * BLOCK * stride_of(r, g);
}

static size_t filter_work(const pjd_radon *r)
{
    return 5 * pjd_op_pad(r->fft_size);
}

/* Of one thread. */
static size_t precondition_work(const pjd_radon *r)
{
    return 4 * pjd_op_pad(r->short_size);
}

bool pjd_radon_work(const pjd_radon *r, size_t channels, size_t *floats)
{
    size_t each = plane_of(r, 0) + plane_of(r, 1), lines;

    return pjd_mul(r->views, r->line, &lines) && pjd_add(each, lines, &each) && pjd_mul(each, channels, &each) &&
           pjd_add(each, filter_work(r), &each) &&
           pjd_add(each, pjd_op_pad(r->short_size) + PJD_FFT_THREADS * precondition_work(r), floats) &&
           *floats < SIZE_MAX / 64;
}

typedef struct scratch {
    float *plane[2]; /* [channels, plane_of] */
    float *lines;    /* [channels, views, line] */
    float *rest;
} scratch;

static scratch divide(const pjd_radon *r, size_t channels, float *work)
{
    scratch s;

    s.plane[0] = work;
    s.plane[1] = s.plane[0] + channels * plane_of(r, 0);
    s.lines = s.plane[1] + channels * plane_of(r, 1);
    s.rest = s.lines + channels * r->views * r->line;
    return s;
}

static bool worth_a_team(const pjd_radon *r, size_t channels)
{
    return channels * r->views * r->h * r->w > 8 * (size_t)PJD_OP_PARALLEL;
}

/* ---- forward ---- */

/* Rows, or with `turned` columns, with zeros around them. */
static void spread(const pjd_radon *r, int g, size_t channels, const float *x, float *plane)
{
    size_t rows = rows_of(r, g), cols = cols_of(r, g), stride = stride_of(r, g), all = plane_of(r, g) / stride;

#pragma omp parallel for collapse(2) schedule(static) if (channels * plane_of(r, g) > PJD_OP_PARALLEL)
    for (size_t c = 0; c < channels; c++)
        for (size_t first = 0; first < all; first += BLOCK) {
            const float *from = x + c * r->h * r->w;
            float *to = plane + c * plane_of(r, g) + first * stride;

            memset(to, 0, BLOCK * stride * sizeof *to);
            if (g == 0) {
                for (size_t k = 0; k < BLOCK && first + k < rows; k++)
                    memcpy(to + k * stride + MARGIN, from + (first + k) * cols, cols * sizeof *to);
            } else {
                for (size_t i = 0; i < cols; i++)
                    for (size_t k = 0; k < BLOCK && first + k < rows; k++)
                        to[k * stride + MARGIN + i] = from[i * rows + first + k];
            }
        }
}

/* The shifted rows of one picture added up to a line. */
static void gather_line(const pjd_radon *r, const view *v, const float *plane, float *line, add_fn *add)
{
    int g = v->columns;
    size_t stride = stride_of(r, g), cols = cols_of(r, g);

    memset(line, 0, r->line * sizeof *line);
    for (size_t first = 0; first < rows_of(r, g); first += BLOCK) {
        ptrdiff_t whole[BLOCK], low = PTRDIFF_MAX, high = PTRDIFF_MIN;
        block k;

        for (size_t i = 0; i < BLOCK; i++) {
            double shift = v->start + (double)(first + i) * v->slope, f = floor(shift);

            whole[i] = (ptrdiff_t)f;
            k.b[i] = (float)(shift - f);
            k.a[i] = 1.0f - k.b[i];
            low = whole[i] < low ? whole[i] : low;
            high = whole[i] > high ? whole[i] : high;
        }
        /* from the first place that a first element of these rows reaches to the last place that a last one does */
        for (size_t i = 0; i < BLOCK; i++)
            k.p[i] = plane + (first + i) * stride + MARGIN - 1 - (high - whole[i]);
        add(line - high - 1, cols + 1 + (size_t)(high - low), &k);
    }
}

void pjd_radon_apply(const pjd_radon *r, size_t channels, const float *x, float *y, float *work)
{
    scratch s = divide(r, channels, work);
    add_fn *add = pick_add();

    for (int g = 0; g < 2; g++)
        if (r->members[g])
            spread(r, g, channels, x, s.plane[g]);
#pragma omp parallel for collapse(2) schedule(static) if (worth_a_team(r, channels))
    for (size_t c = 0; c < channels; c++)
        for (size_t a = 0; a < r->views; a++) {
            const view *v = &r->view[a];
            const float *tap = r->tap + a * r->detectors * TAPS;
            const int32_t *at = r->at + a * r->detectors;
            float *line = s.lines + (c * r->views + a) * r->line, *to = y + (c * r->views + a) * r->detectors;

            gather_line(r, v, s.plane[v->columns] + c * plane_of(r, v->columns), line, add);
            for (size_t k = 0; k < r->detectors; k++, tap += TAPS) {
                const float *t = line + at[k];

                to[k] = (tap[0] * t[0] + tap[1] * t[1]) + (tap[2] * t[2] + tap[3] * t[3]);
            }
        }
}

/* ---- backward ---- */

/* Row `row` of a picture from the lines of its group's views; to [cols]. */
static void scatter_row(const pjd_radon *r, int g, const float *lines, size_t row, float *to, add_fn *add)
{
    size_t cols = cols_of(r, g);

    memset(to, 0, cols * sizeof *to);
    for (size_t first = 0; first < r->members[g]; first += BLOCK) {
        block k;

        for (size_t i = 0; i < BLOCK; i++) {
            bool there = first + i < r->members[g];
            size_t a = r->member[g][there ? first + i : first];
            double shift = r->view[a].start + (double)row * r->view[a].slope, f = floor(shift);
            float part = (float)(shift - f);

            k.p[i] = lines + a * r->line - (ptrdiff_t)f - 1;
            k.a[i] = there ? part : 0.0f;
            k.b[i] = there ? 1.0f - part : 0.0f;
        }
        add(to, cols, &k);
    }
}

/* x [channels, h, w] from lines. */
static void scatter(const pjd_radon *r, size_t channels, const scratch *s, float *x)
{
    add_fn *add = pick_add();
    size_t h = r->h, w = r->w;

    if (r->members[1]) {
#pragma omp parallel for collapse(2) schedule(static) if (worth_a_team(r, channels))
        for (size_t c = 0; c < channels; c++)
            for (size_t j = 0; j < w; j++)
                scatter_row(r, 1, s->lines + c * r->views * r->line, j, s->plane[1] + (c * w + j) * h, add);
    }
#pragma omp parallel for collapse(2) schedule(static) if (worth_a_team(r, channels))
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < h; i++) {
            const float *turned = s->plane[1] + c * w * h + i;
            float *to = x + (c * h + i) * w;

            scatter_row(r, 0, s->lines + c * r->views * r->line, i, to, add);
            for (size_t j = 0; r->members[1] && j < w; j++)
                to[j] += turned[j * h];
        }
}

void pjd_radon_adjoint(const pjd_radon *r, size_t channels, const float *y, float *x, float *work)
{
    scratch s = divide(r, channels, work);

#pragma omp parallel for schedule(static) if (worth_a_team(r, channels))
    for (size_t ca = 0; ca < channels * r->views; ca++) {
        const float *from = y + ca * r->detectors, *tap = r->tap + (ca % r->views) * r->detectors * TAPS;
        const int32_t *at = r->at + (ca % r->views) * r->detectors;
        float *line = s.lines + ca * r->line;

        memset(line, 0, r->line * sizeof *line);
        for (size_t k = 0; k < r->detectors; k++, tap += TAPS)
            for (size_t q = 0; q < TAPS; q++)
                line[at[k] + (ptrdiff_t)q] += tap[q] * from[k];
    }
    scatter(r, channels, &s, x);
}

/* ---- filters along the detectors ---- */

void pjd_radon_precondition(const pjd_radon *r, size_t channels, double lambda, const float *from, float *to,
                            float *work)
{
    size_t n = r->short_size, all = channels * r->views, d = r->detectors;
    float *filter = work, *lanes = work + pjd_op_pad(n);

    for (size_t k = 0; k < n; k++)
        filter[k] = (float)(1.0 / ((double)n * ((double)r->gram[k] + lambda)));
#pragma omp parallel for schedule(static) num_threads(PJD_FFT_THREADS) if (worth_a_team(r, channels))
    for (size_t part = 0; part < PJD_FFT_THREADS; part++) {
        float *z = lanes + part * precondition_work(r), *spare = z + 2 * pjd_op_pad(n);
        size_t pairs = (all + 1) / 2, first = pairs * part / PJD_FFT_THREADS;

        for (size_t pair = first; pair < pairs * (part + 1) / PJD_FFT_THREADS; pair++) {
            const float *one = from + 2 * pair * d, *two = 2 * pair + 1 < all ? one + d : NULL;
            float *out = to + 2 * pair * d;

            /* two views as real and imaginary part: the filter is real and even */
            memset(z, 0, 2 * n * sizeof *z);
            for (size_t k = 0; k < d; k++) {
                z[2 * k] = one[k];
                z[2 * k + 1] = two ? two[k] : 0.0f;
            }
            pjd_fft_line(r->short_fft, false, z, spare);
            for (size_t k = 0; k < n; k++) {
                spare[2 * k] *= filter[k];
                spare[2 * k + 1] *= filter[k];
            }
            pjd_fft_line(r->short_fft, true, spare, z);
            for (size_t k = 0; k < d; k++) {
                out[k] = z[2 * k];
                if (two)
                    out[d + k] = z[2 * k + 1];
            }
        }
    }
}

/* ---- filtered back-projection ---- */

/* Two views at a time as real and imaginary part of z, [fft_size] complex, transformed to `spectrum`. */
static void transform_pair(const pjd_radon *r, const float *one, const float *two, float *z, float *spectrum)
{
    for (size_t k = 0; k < r->fft_size; k++) {
        z[2 * k] = k < r->detectors ? one[k] : 0.0f;
        z[2 * k + 1] = two && k < r->detectors ? two[k] : 0.0f;
    }
    pjd_fft_line(r->fft, false, z, spectrum);
}

/*
 * What of a frequency along the detectors is signal, 1 - noise / power, from the mean power of all views; the highest quarter
 * is taken for noise, for integrals are smooth. window: [fft_size / 2 + 1]
 */
static void signal_window(const pjd_radon *r, size_t all, const float *y, float *window, float *z, float *spare)
{
    enum { NEAR = 3 };
    size_t n = r->fft_size, half = n / 2, high = half - half / 4;
    float *power = z; /* when the transforms are done */
    double noise = 0.0;

    memset(window, 0, (half + 1) * sizeof *window);
    for (size_t v = 0; v < all; v += 2) {
        const float *one = y + v * r->detectors;

        transform_pair(r, one, v + 1 < all ? one + r->detectors : NULL, z, spare);
        for (size_t k = 0; k <= half; k++) {
            const float *p = spare + 2 * k, *q = spare + 2 * ((n - k) % n);

            window[k] += (p[0] * p[0] + p[1] * p[1]) + (q[0] * q[0] + q[1] * q[1]);
        }
    }
    for (size_t k = high; k <= half; k++)
        noise += (double)window[k] / (double)(half + 1 - high);
    memcpy(power, window, (half + 1) * sizeof *power);
    for (size_t k = 0; k <= half; k++) {
        size_t first = k > NEAR ? k - NEAR : 0, last = k + NEAR < half ? k + NEAR : half;
        double mean = 0.0, share;

        for (size_t i = first; i <= last; i++)
            mean += (double)power[i] / (double)(last + 1 - first);
        share = mean > 0.0 ? 1.0 - noise / mean : 1.0;
        window[k] = share > 0.0 ? (float)share : 0.0f;
    }
}

/* The filters are real and even. z: filtered in place. */
static void filter_pair(const pjd_radon *r, const float *one, const float *two, const float *window, float *z,
                        float *spare)
{
    size_t n = r->fft_size;

    transform_pair(r, one, two, z, spare);
    for (size_t k = 0; k < n; k++) {
        float f = r->ramp[k] * window[k <= n / 2 ? k : n - k];

        spare[2 * k] *= f;
        spare[2 * k + 1] *= f;
    }
    pjd_fft_line(r->fft, true, spare, z);
}

/* The filtered view at every place of the line, linearly interpolated; nothing beyond the detectors. */
static void spread_view(const pjd_radon *r, const view *v, const float *z, float *line)
{
    double top = (double)(r->detectors - 1), factor = v->arc / r->scale;

    for (size_t m = 0; m < r->line; m++) {
        double k = v->origin + (double)m * v->per_cell, f;
        size_t i;

        line[m] = 0.0f;
        if (!(k >= 0.0 && k <= top))
            continue;
        i = (size_t)k;
        f = k - (double)i;
        line[m] = (float)(factor * ((1.0 - f) * z[2 * i] + (i + 1 < r->detectors ? f * z[2 * i + 2] : 0.0)));
    }
}

void pjd_radon_filtered(const pjd_radon *r, size_t channels, const float *y, float *x, float *work)
{
    scratch s = divide(r, channels, work);
    size_t all = channels * r->views, pad = pjd_op_pad(r->fft_size);
    float *z = s.rest, *spare = z + 2 * pad, *window = spare + 2 * pad;

    signal_window(r, all, y, window, z, spare);
    for (size_t ca = 0; ca < all; ca += 2) {
        filter_pair(r, y + ca * r->detectors, ca + 1 < all ? y + (ca + 1) * r->detectors : NULL, window, z, spare);
        for (size_t k = 0; k < 2 && ca + k < all; k++)
            spread_view(r, &r->view[(ca + k) % r->views], z + k, s.lines + (ca + k) * r->line);
    }
    scatter(r, channels, &s, x);
}

/* ---- creation ---- */

/* Keys' cubic convolution, a = -1/2, at `part` of the way from the second tap to the third. */
static void cubic(double part, double weight, float *tap)
{
    double t = part, t2 = t * t, t3 = t2 * t;

    tap[0] = (float)(weight * (-0.5 * t3 + t2 - 0.5 * t));
    tap[1] = (float)(weight * (1.5 * t3 - 2.5 * t2 + 1.0));
    tap[2] = (float)(weight * (-1.5 * t3 + 2.0 * t2 + 0.5 * t));
    tap[3] = (float)(weight * (0.5 * t3 - 0.5 * t2));
}

static void place_view(pjd_radon *r, size_t a, double degrees, double axis)
{
    double turn = degrees / 180.0, whole = turn - 2.0 * floor(turn / 2.0), cosine, sine, along;
    double cx = 0.5 * ((double)r->w - 1.0), cy = 0.5 * ((double)r->h - 1.0), middle, first;
    view *v = &r->view[a];
    float *tap = r->tap + a * r->detectors * TAPS;
    int32_t *at = r->at + a * r->detectors;

    /* exact at multiples of a right angle */
    cosine = whole == 0.5 || whole == 1.5 ? 0.0 : cos(M_PI * whole);
    sine = whole == 0.0 || whole == 1.0 ? 0.0 : sin(M_PI * whole);
    v->columns = fabs(sine) > fabs(cosine);
    middle = v->columns ? cy + (double)(r->w / 2 + MARGIN) : cx + (double)(r->h / 2 + MARGIN);
    v->slope = v->columns ? cosine / sine : sine / cosine;
    v->start = v->columns ? cy - middle - cx * v->slope : cx - middle - cy * v->slope;
    along = v->columns ? -1.0 / sine : 1.0 / cosine;
    first = -0.5 * ((double)r->detectors - 1.0) - axis; /* s of detector 0 */
    v->per_cell = 1.0 / along;
    v->origin = -middle / along - first;
    for (size_t k = 0; k < r->detectors; k++) {
        double m = middle + (first + (double)k) * along, cell = floor(m);

        at[k] = 0;
        memset(tap + k * TAPS, 0, TAPS * sizeof *tap);
        if (!(cell >= 1.0 && cell + 3.0 <= (double)r->line))
            continue; /* such a ray misses the picture */
        at[k] = (int32_t)cell - 1;
        cubic(m - cell, r->scale * fabs(along), tap + k * TAPS);
    }
}

typedef struct turn {
    double degrees; /* 0 to 180 */
    size_t view;
} turn;

static int compare_turns(const void *a, const void *b)
{
    const turn *x = a, *y = b;

    if (x->degrees != y->degrees)
        return x->degrees < y->degrees ? -1 : 1;
    return x->view < y->view ? -1 : x->view > y->view;
}

static int compare_gaps(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/*
 * The half of the gap on either side, modulo a half turn. A gap of more than twice the middle one is a range that was not
 * measured, for which no view stands.
 */
static pjd_status set_arcs(pjd_radon *r, const double *degrees, pjd_error *err)
{
    size_t n = r->views;
    turn *t = pjd_alloc(n, sizeof *t);
    double *gap = pjd_alloc(2 * n, sizeof *gap), limit;

    if (!t || !gap) {
        pjd_free(t);
        pjd_free(gap);
        return pjd_error_nomem(err, "ct", n * (sizeof *t + 2 * sizeof *gap));
    }
    for (size_t a = 0; a < n; a++)
        t[a] = (turn){degrees[a] - 180.0 * floor(degrees[a] / 180.0), a};
    qsort(t, n, sizeof *t, compare_turns);
    for (size_t a = 0; a < n; a++)
        gap[a] = gap[n + a] = a ? t[a].degrees - t[a - 1].degrees : t[0].degrees + 180.0 - t[n - 1].degrees;
    qsort(gap + n, n, sizeof *gap, compare_gaps);
    limit = 2.0 * gap[n + n / 2];
    for (size_t a = 0; a < n; a++)
        r->view[t[a].view].arc = 0.5 * (fmin(gap[a], limit) + fmin(gap[(a + 1) % n], limit)) * M_PI / 180.0;
    pjd_free(t);
    pjd_free(gap);
    return PJD_OK;
}

/* The ramp as the transform of its band-limited samples (Ramachandran and Lakshminarayanan 1971), times a Hann window. */
static pjd_status make_ramp(pjd_radon *r, pjd_error *err)
{
    size_t n = pjd_fft_good_size(2 * r->detectors);
    float *z;
    pjd_status st;

    if (n == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "ct: %zu detectors are too many", r->detectors);
    r->fft_size = n;
    st = pjd_fft_create(n, &r->fft, err);
    if (st != PJD_OK)
        return st;
    r->ramp = pjd_alloc(n, sizeof *r->ramp);
    z = pjd_alloc_zero(4 * n, sizeof *z);
    if (!r->ramp || !z) {
        pjd_free(z);
        return pjd_error_nomem(err, "ct", 4 * n * sizeof *z);
    }
    for (size_t k = 0; k < n; k++) {
        double d = k <= n / 2 ? (double)k : (double)(n - k);

        z[2 * k] = (float)(k == 0 ? 0.25 : fmod(d, 2.0) == 0.0 ? 0.0 : -1.0 / (M_PI * M_PI * d * d));
    }
    pjd_fft_line(r->fft, false, z, z + 2 * n);
    for (size_t k = 0; k < n; k++) {
        double d = k <= n / 2 ? (double)k : (double)(n - k), window = 0.5 + 0.5 * cos(2.0 * M_PI * d / (double)n);

        r->ramp[k] = (float)(window * (double)z[2 * n + 2 * k] / (double)n); /* the inverse transform is not scaled */
    }
    pjd_free(z);
    return PJD_OK;
}

/* See pjd_radon_precondition. The arcs sum to the range that was measured. */
static pjd_status make_gram(pjd_radon *r, pjd_error *err)
{
    size_t n = pjd_fft_good_size(r->detectors), longer = r->h > r->w ? r->h : r->w;
    double range = 0.0, unit = r->scale * r->scale * (double)longer;
    pjd_status st;

    if (n == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "ct: %zu detectors are too many", r->detectors);
    r->short_size = n;
    st = pjd_fft_create(n, &r->short_fft, err);
    if (st != PJD_OK)
        return st;
    r->gram = pjd_alloc(n, sizeof *r->gram);
    if (!r->gram)
        return pjd_error_nomem(err, "ct", n * sizeof *r->gram);
    for (size_t a = 0; a < r->views; a++)
        range += r->view[a].arc;
    for (size_t k = 0; k < n; k++) {
        double frequency = (double)(k <= n / 2 ? k : n - k) / (double)n;

        r->gram[k] = (float)(unit * fmax(1.0, (double)r->views / (range * (double)longer * frequency + 1.0)));
    }
    return PJD_OK;
}

static pjd_status fill(pjd_radon *r, const pjd_radon_options *o, pjd_error *err)
{
    size_t table;

    if (!pjd_mul(r->views, r->detectors, &table) || table > SIZE_MAX / (64 * TAPS))
        return pjd_error_set(err, PJD_ERR_SHAPE, "ct: %zu views of %zu detectors are too many", r->views, r->detectors);
    r->view = pjd_alloc_zero(r->views, sizeof *r->view);
    r->tap = pjd_alloc(table * TAPS, sizeof *r->tap);
    r->at = pjd_alloc(table, sizeof *r->at);
    r->member[0] = pjd_alloc(r->views, sizeof *r->member[0]);
    r->member[1] = pjd_alloc(r->views, sizeof *r->member[1]);
    if (!r->view || !r->tap || !r->at || !r->member[0] || !r->member[1])
        return pjd_error_nomem(err, "ct", table * (TAPS * sizeof *r->tap + sizeof *r->at));
    for (size_t a = 0; a < r->views; a++) {
        int g;

        place_view(r, a, o->degrees[a], o->axis);
        g = r->view[a].columns;
        r->member[g][r->members[g]++] = a;
    }
    return PJD_OK;
}

pjd_status pjd_radon_create(const pjd_radon_options *o, pjd_radon **out, pjd_error *err)
{
    pjd_radon *r;
    pjd_status st;

    *out = NULL;
    r = pjd_alloc_zero(1, sizeof *r);
    if (!r)
        return pjd_error_nomem(err, "ct", sizeof *r);
    r->h = o->h;
    r->w = o->w;
    r->views = o->views;
    r->detectors = o->detectors;
    r->scale = o->scale;
    r->line = pjd_op_pad(o->h + o->w + 4 * MARGIN);
    st = fill(r, o, err);
    if (st == PJD_OK)
        st = set_arcs(r, o->degrees, err);
    if (st == PJD_OK)
        st = make_ramp(r, err);
    if (st == PJD_OK)
        st = make_gram(r, err);
    if (st != PJD_OK) {
        pjd_radon_free(r);
        return st;
    }
    *out = r;
    return PJD_OK;
}

void pjd_radon_free(pjd_radon *r)
{
    if (!r)
        return;
    pjd_free(r->view);
    pjd_free(r->tap);
    pjd_free(r->at);
    pjd_free(r->member[0]);
    pjd_free(r->member[1]);
    pjd_fft_free(r->fft);
    pjd_free(r->ramp);
    pjd_fft_free(r->short_fft);
    pjd_free(r->gram);
    pjd_free(r);
}
