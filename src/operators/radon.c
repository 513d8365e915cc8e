/* SPDX-License-Identifier: MIT */
#include "radon.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "fft.h"
#include "fft_loops.h"
#include "internal.h"
#include "radon_loops.h"

enum { ROWS = PJD_RADON_ROWS, LANES = PJD_RADON_LANES, TAPS = 4 };
/* Zeros beside a row: on the left more than the shifts of ROWS rows can differ, on the right what the last vector reads too. */
enum { LEFT = 8, RIGHT = LEFT + LANES };
/* Lines, or rows of the picture, that stay in a near cache while rows of the other side pass by. */
enum { TILE = 4 };
/* Rows of the picture that are turned at a time, two vectors of LANES. */
enum { TURN = 2 * PJD_FFT_LANES };

/* One angle: element j of row r of the picture (or of its transpose) falls at place j + start + r step of a line. */
typedef struct view {
    bool columns;            /* rays nearly level: column by column */
    uint64_t start, step;    /* in 1 / 2^40 places, modulo 2^64 */
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

/* Where row r begins on the line of v, and the part of a place beyond it, which float32 holds exactly. */
static size_t place_of(const view *v, size_t r, float *part)
{
    uint64_t q = v->start + (uint64_t)r * v->step;

    *part = (float)(uint32_t)(q >> 16 & 0xffffff) * 0x1p-24f;
    return (size_t)(q >> 40);
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
    return pjd_op_pad(LEFT + cols_of(r, g) + RIGHT);
}

static size_t turns_of(const pjd_radon *r)
{
    return (r->h + TURN - 1) / TURN;
}

/* Floats of one picture with zeros around its rows, ROWS of them at a time; a turned picture in TURN lanes takes less. */
static size_t plane_of(const pjd_radon *r, int g)
{
    return (rows_of(r, g) + ROWS - 1) / ROWS * ROWS * stride_of(r, g);
}

/* Of sums: longer than any row and line, by what the last vector writes too. */
static size_t wide_of(const pjd_radon *r)
{
    return r->line + 2 * LANES;
}

/* Of one thread: sums of a tile, or lines for the preconditioner's transform. */
static size_t slot_of(const pjd_radon *r)
{
    size_t sums = (size_t)2 * TILE * wide_of(r), lanes = 3 * r->short_size * PJD_FFT_ELEMENT;

    return sums > lanes ? sums : lanes;
}

static size_t filter_work(const pjd_radon *r)
{
    return 5 * pjd_op_pad(r->fft_size);
}

bool pjd_radon_work(const pjd_radon *r, size_t channels, size_t *floats)
{
    size_t each = plane_of(r, 0) + plane_of(r, 1), lines;

    return pjd_mul(r->views, r->line, &lines) && pjd_add(each, lines, &each) && pjd_mul(each, channels, &each) &&
           pjd_add(each, r->line + 2 * LANES + filter_work(r), &each) &&
           pjd_add(each, PJD_FFT_THREADS * slot_of(r), floats) && *floats < SIZE_MAX / 64;
}

typedef struct scratch {
    float *plane[2]; /* [channels, plane_of] */
    float *lines;    /* [channels, views, line], and one line of zeros that vectors may read beyond */
    float *zero;
    float *slots; /* [PJD_FFT_THREADS, slot_of] */
    float *rest;
} scratch;

static scratch divide(const pjd_radon *r, size_t channels, float *work)
{
    scratch s;

    s.plane[0] = work;
    s.plane[1] = s.plane[0] + channels * plane_of(r, 0);
    s.lines = s.plane[1] + channels * plane_of(r, 1);
    s.zero = s.lines + channels * r->views * r->line;
    s.slots = s.zero + r->line + 2 * LANES;
    s.rest = s.slots + PJD_FFT_THREADS * slot_of(r);
    return s;
}

static int team(const pjd_radon *r, size_t channels)
{
    int n = omp_get_max_threads();

    if (channels * r->views * r->h * r->w <= 8 * (size_t)PJD_OP_PARALLEL)
        return 1;
    return n < PJD_FFT_THREADS ? n : PJD_FFT_THREADS;
}

static float *slot(const pjd_radon *r, const scratch *s)
{
    return s->slots + (size_t)omp_get_thread_num() * slot_of(r);
}

/* ---- forward ---- */

/* TURN rows of x, from row i, as rows with zeros around them. */
static void spread_rows(const pjd_radon *r, const float *x, size_t i, float *plane)
{
    size_t stride = stride_of(r, 0), last = i + TURN < r->h ? i + TURN : plane_of(r, 0) / stride;

    for (; i < last; i++) {
        float *to = plane + i * stride;
        size_t some = i < r->h ? r->w : 0;

        memset(to, 0, LEFT * sizeof *to);
        memcpy(to + LEFT, x + i * r->w, some * sizeof *to);
        memset(to + LEFT + some, 0, (stride - LEFT - some) * sizeof *to);
    }
}

/* The same rows as a part of the columns. */
static void spread_columns(const pjd_radon *r, const float *x, size_t i, float *plane, const pjd_fft_loops *loops)
{
    size_t stride = stride_of(r, 1), rows = r->h - i < TURN ? r->h - i : TURN, all = plane_of(r, 1) / stride;
    float turned[TURN * TURN];

    for (size_t first = 0; first < r->w; first += TURN) {
        size_t some = r->w - first < TURN ? r->w - first : TURN;

        loops->load(x + i * r->w + first, r->w, rows, some, turned);
        for (size_t j = 0; j < some; j++)
            memcpy(plane + (first + j) * stride + LEFT + i, turned + j * TURN, rows * sizeof *plane);
    }
    for (size_t j = 0; j < all; j++) {
        size_t left = j < r->w ? LEFT : LEFT + r->h;

        if (i == 0)
            memset(plane + j * stride, 0, left * sizeof *plane);
        if (i + rows == r->h)
            memset(plane + j * stride + LEFT + r->h, 0, (stride - LEFT - r->h) * sizeof *plane);
    }
}

/* The shifted rows of one picture added up to the lines of `some` views. sums: [some, 2, wide] */
static void gather_lines(const pjd_radon *r, int g, const size_t *views, size_t some, const float *plane, float *sums,
                         pjd_radon_add *add)
{
    size_t stride = stride_of(r, g), rows = rows_of(r, g), cols = cols_of(r, g), wide = wide_of(r);

    memset(sums, 0, 2 * some * wide * sizeof *sums);
    for (size_t first = 0; first < rows; first += ROWS, plane += ROWS * stride)
        for (size_t v = 0; v < some; v++) {
            size_t place[ROWS], low = SIZE_MAX, high = 0;
            pjd_radon_rows k;

            for (size_t i = 0; i < ROWS; i++) {
                place[i] = place_of(&r->view[views[v]], first + i < rows ? first + i : rows - 1, &k.part[i]);
                low = place[i] < low ? place[i] : low;
                high = place[i] > high ? place[i] : high;
            }
            for (size_t i = 0; i < ROWS; i++)
                k.p[i] = plane + i * stride + LEFT - (place[i] - low);
            add(&k, pjd_op_pad(cols + high - low), sums + 2 * v * wide + low, sums + (2 * v + 1) * wide + low);
        }
}

static void project_tile(const pjd_radon *r, int g, size_t first, const float *plane, float *y, float *sums,
                         pjd_radon_add *add)
{
    size_t some = r->members[g] - first < TILE ? r->members[g] - first : TILE;

    gather_lines(r, g, r->member[g] + first, some, plane, sums, add);
    for (size_t v = 0; v < some; v++) {
        size_t a = r->member[g][first + v];
        const float *tap = r->tap + a * r->detectors * TAPS;
        const int32_t *at = r->at + a * r->detectors;
        float *line = sums + 2 * v * wide_of(r), *parts = line + wide_of(r), *to = y + a * r->detectors;

        line[0] -= parts[0];
        for (size_t m = 1; m < r->line; m++)
            line[m] = (line[m] - parts[m]) + parts[m - 1];
        for (size_t k = 0; k < r->detectors; k++, tap += TAPS) {
            const float *t = line + at[k];

            to[k] = (tap[0] * t[0] + tap[1] * t[1]) + (tap[2] * t[2] + tap[3] * t[3]);
        }
    }
}

void pjd_radon_apply(const pjd_radon *r, size_t channels, const float *x, float *y, float *work)
{
    scratch s = divide(r, channels, work);
    size_t turns = turns_of(r), level = (r->members[0] + TILE - 1) / TILE,
           tiles = level + (r->members[1] + TILE - 1) / TILE;
    const pjd_fft_loops *loops = pjd_fft_loops_best();
    pjd_radon_add *add = pjd_radon_add_at(0);

#pragma omp parallel num_threads(team(r, channels))
    {
#pragma omp for schedule(static)
        for (size_t k = 0; k < channels * turns; k++) {
            size_t c = k / turns, i = k % turns * TURN;
            const float *from = x + c * r->h * r->w;

            if (r->members[0])
                spread_rows(r, from, i, s.plane[0] + c * plane_of(r, 0));
            if (r->members[1])
                spread_columns(r, from, i, s.plane[1] + c * plane_of(r, 1), loops);
        }
#pragma omp for schedule(static)
        for (size_t k = 0; k < channels * tiles; k++) {
            size_t c = k / tiles, tile = k % tiles, g = tile >= level;

            project_tile(r, (int)g, (tile - g * level) * TILE, s.plane[g] + c * plane_of(r, (int)g),
                         y + c * r->views * r->detectors, slot(r, &s), add);
        }
    }
}

/* ---- backward ---- */

/* `some` rows of a picture from the lines of its group's views; sums: [some, 2, wide] */
static void scatter_rows(const pjd_radon *r, int g, const float *lines, const float *zero, size_t first, size_t some,
                         float *sums, pjd_radon_add *add)
{
    size_t wide = wide_of(r), n = pjd_op_pad(cols_of(r, g) + 1);

    for (size_t t = 0; t < some; t++)
        memset(sums + 2 * t * wide, 0, (wide + n) * sizeof *sums);
    for (size_t v = 0; v < r->members[g]; v += ROWS)
        for (size_t t = 0; t < some; t++) {
            pjd_radon_rows k;

            for (size_t i = 0; i < ROWS; i++) {
                bool there = v + i < r->members[g];
                size_t a = there ? r->member[g][v + i] : 0, place = place_of(&r->view[a], first + t, &k.part[i]);

                k.p[i] = there ? lines + a * r->line + place : zero;
            }
            add(&k, n, sums + 2 * t * wide, sums + (2 * t + 1) * wide);
        }
    for (size_t t = 0; t < some; t++) {
        float *sum = sums + 2 * t * wide, *parts = sum + wide;

        for (size_t e = 0; e < cols_of(r, g); e++)
            sum[e] = (sum[e] - parts[e]) + parts[e + 1];
    }
}

/* TILE columns of a picture, to [turns_of][w][TURN]. */
static void scatter_columns(const pjd_radon *r, const scratch *s, size_t c, size_t first, float *sums,
                            pjd_radon_add *add)
{
    size_t some = r->w - first < TILE ? r->w - first : TILE;

    scatter_rows(r, 1, s->lines + c * r->views * r->line, s->zero, first, some, sums, add);
    for (size_t t = 0; t < some; t++)
        for (size_t i = 0; i < r->h; i += TURN)
            memcpy(s->plane[1] + c * plane_of(r, 1) + (i * r->w + (first + t) * TURN), sums + 2 * t * wide_of(r) + i,
                   TURN * sizeof *sums);
}

/* TURN rows of x: what the views followed row by row see, and what the columns have there. */
static void scatter_turn(const pjd_radon *r, const scratch *s, size_t c, size_t first, float *sums, float *x,
                         pjd_radon_add *add, const pjd_fft_loops *loops)
{
    size_t rows = r->h - first < TURN ? r->h - first : TURN;

    for (size_t i = first; i < first + rows; i += TILE) {
        size_t some = first + rows - i < TILE ? first + rows - i : TILE;

        scatter_rows(r, 0, s->lines + c * r->views * r->line, s->zero, i, some, sums, add);
        for (size_t t = 0; t < some; t++)
            memcpy(x + (i + t) * r->w, sums + 2 * t * wide_of(r), r->w * sizeof *x);
    }
    if (r->members[1])
        loops->store(s->plane[1] + c * plane_of(r, 1) + first * r->w, rows, r->w, true, x + first * r->w, r->w);
}

/* x [channels, h, w] from lines. */
static void scatter(const pjd_radon *r, size_t channels, const scratch *s, float *x)
{
    size_t columns = r->members[1] ? (r->w + TILE - 1) / TILE : 0, turns = turns_of(r);
    const pjd_fft_loops *loops = pjd_fft_loops_best();
    pjd_radon_add *add = pjd_radon_add_at(0);

    memset(s->zero, 0, (r->line + 2 * LANES) * sizeof *s->zero);
#pragma omp parallel num_threads(team(r, channels))
    {
#pragma omp for schedule(static)
        for (size_t k = 0; k < channels * columns; k++)
            scatter_columns(r, s, k / columns, k % columns * TILE, slot(r, s), add);
#pragma omp for schedule(static)
        for (size_t k = 0; k < channels * turns; k++)
            scatter_turn(r, s, k / turns, k % turns * TURN, slot(r, s), x + k / turns * r->h * r->w, add, loops);
    }
}

void pjd_radon_adjoint(const pjd_radon *r, size_t channels, const float *y, float *x, float *work)
{
    scratch s = divide(r, channels, work);

#pragma omp parallel for schedule(static) num_threads(team(r, channels))
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

size_t pjd_radon_filter_size(const pjd_radon *r)
{
    return pjd_op_pad(r->short_size);
}

void pjd_radon_filter(const pjd_radon *r, double lambda, float *filter)
{
    for (size_t k = 0; k < r->short_size; k++)
        filter[k] = (float)(1.0 / ((double)r->short_size * ((double)r->gram[k] + lambda)));
}

/* Lines as real and imaginary parts of the lanes: the filter is real and even. */
static void filter_lines(const pjd_radon *r, const float *filter, size_t some, const float *from, float *to, float *z,
                         const pjd_fft_loops *loops)
{
    size_t n = r->short_size, d = r->detectors;
    float *spectrum = z + n * PJD_FFT_ELEMENT, *spare = spectrum + n * PJD_FFT_ELEMENT;

    loops->load(from, d, some, d, z);
    memset(z + d * PJD_FFT_ELEMENT, 0, (n - d) * PJD_FFT_ELEMENT * sizeof *z);
    pjd_fft_move(r->short_fft, false, z, spectrum, spare);
    for (size_t k = 0; k < n; k++)
        for (size_t l = 0; l < PJD_FFT_ELEMENT; l++)
            spectrum[k * PJD_FFT_ELEMENT + l] *= filter[k];
    pjd_fft_move(r->short_fft, true, spectrum, z, spare);
    loops->store(z, some, d, false, to, d);
}

void pjd_radon_precondition(const pjd_radon *r, size_t channels, const float *filter, const float *from, float *to,
                            float *work)
{
    scratch s = divide(r, channels, work);
    size_t all = channels * r->views, d = r->detectors;
    const pjd_fft_loops *loops = pjd_fft_loops_best();

#pragma omp parallel for schedule(static) num_threads(team(r, channels))
    for (size_t k = 0; k < (all + TURN - 1) / TURN; k++)
        filter_lines(r, filter, all - k * TURN < TURN ? all - k * TURN : TURN, from + k * TURN * d, to + k * TURN * d,
                     slot(r, &s), loops);
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
    double cx = 0.5 * ((double)r->w - 1.0), cy = 0.5 * ((double)r->h - 1.0), slope, middle, first;
    view *v = &r->view[a];
    float *tap = r->tap + a * r->detectors * TAPS;
    int32_t *at = r->at + a * r->detectors;

    /* exact at multiples of a right angle */
    cosine = whole == 0.5 || whole == 1.5 ? 0.0 : cos(M_PI * whole);
    sine = whole == 0.0 || whole == 1.0 ? 0.0 : sin(M_PI * whole);
    v->columns = fabs(sine) > fabs(cosine);
    middle = v->columns ? cy + (double)(r->w / 2 + LEFT) : cx + (double)(r->h / 2 + LEFT);
    slope = v->columns ? cosine / sine : sine / cosine;
    v->start = (uint64_t)llrint(ldexp(v->columns ? middle - cy + cx * slope : middle - cx + cy * slope, 40));
    v->step = (uint64_t)llrint(ldexp(-slope, 40));
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
    r->line = pjd_op_pad(o->h + o->w + 4 * LEFT);
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
