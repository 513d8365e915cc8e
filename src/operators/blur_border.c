/* SPDX-License-Identifier: MIT */
/*
 * An unknown border, solved for on the border alone. On the grid the blur is periodic, A A* + lambda is C = |H|^2 + lambda,
 * diagonal in its spectrum, and y is R of it: the grid without its last rows (the foot) and columns (the side), which are Q.
 * What x needs is K* C^-1 (R' r + Q' s), r = y - A x, where s is such that C^-1 (R' r + Q' s) is 0 on Q:
 *
 *     Q C^-1 Q' s = - Q C^-1 R' r
 *
 * s is what the border of a larger y would have told of x. This is the Schur complement of (R C R') u = r: some per cent of
 * its unknowns. Conjugate gradients solve it, one pair of transforms each, preconditioned by its solution on the foot and on
 * the side, taken for infinitely (periodically) long: there C^-1 is a Toeplitz matrix as large as the strip is wide, one for
 * each frequency along it, which Levinson's recursion inverts (Golub and Van Loan, "Matrix Computations", 4.7). The two share
 * the corner where they cross (additive Schwarz): only what passes by that corner is left to the iterations.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "blur.h"
#include "fft_loops.h"

enum { L = PJD_FFT_LANES, E = PJD_FFT_ELEMENT, LINES = 2 * L };

/* Matrices of a wider strip take too long. */
enum { WIDEST = 64 };

/* Fewer unknowns are not worth waking threads for. */
enum { WORTH_A_TEAM = 8192 };

/*
 * What is left to solve shows in the pixels of x beside y: their mean squared error may be this share of the one asked for. In
 * restorations of two photographs with motion blur, sigma 0.01 and 8-bit rounding, against iterations on all of y: between
 * 0.01 dB less and 0.03 dB more; four times as much loses 0.02 dB.
 */
#define SHARE 0.25

#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * L), aligned(4), may_alias));

INLINE const lanes *at(const float *p)
{
    return (const lanes *)(const void *)p;
}

INLINE lanes *to_at(float *p)
{
    return (lanes *)(void *)p;
}

/* ---- Hermitian Toeplitz matrices on lanes: T[i][j] = c[i - j], c[-d] = conj(c[d]) ---- */

/*
 * Backward predictors b_k, T b_k = error_k e_k on rows 0 .. k, the last element 1: then T^-1 = sum_k b_k b_k^H / error_k.
 * lags: c[0 .. t-1]; b: one after another, k + 1 elements each; inverse: [t][L], 1 / error_k
 */
INLINE void predict_body(const float *lags, size_t t, float *b, float *inverse)
{
    lanes error = *at(lags), zero = {0};

    *to_at(b) = zero + 1.0f;
    *to_at(b + L) = zero;
    *to_at(inverse) = 1.0f / error;
    for (size_t k = 1; k < t; k++) {
        const float *old = b;
        lanes dr = zero, di = zero, kr, ki;

        b += k * E;
        for (size_t i = 0; i < k; i++) {
            lanes br = *at(old + i * E), bi = *at(old + i * E + L);
            lanes cr = *at(lags + (i + 1) * E), ci = *at(lags + (i + 1) * E + L);

            dr += br * cr + bi * ci;
            di += br * ci - bi * cr;
        }
        kr = -dr / error;
        ki = di / error;
        error *= 1.0f - (kr * kr + ki * ki);
        for (size_t l = 0; l < L; l++) /* rounding must not make it indefinite */
            error[l] = error[l] > 1e-6f * lags[l] ? error[l] : 1e-6f * lags[l];
        for (size_t j = 0; j <= k; j++) {
            const float *mirror = old + (k - 1 - (j < k ? j : 0)) * E, *before = old + (j ? j - 1 : 0) * E;
            float m = j < k ? 1.0f : 0.0f, s = j ? 1.0f : 0.0f;
            lanes mr = m * *at(mirror), mi = m * *at(mirror + L);

            *to_at(b + j * E) = s * *at(before) + kr * mr + ki * mi;
            *to_at(b + j * E + L) = s * *at(before + L) + ki * mr - kr * mi;
        }
        *to_at(inverse + k * L) = 1.0f / error;
    }
}

/* y = T^-1 x */
INLINE void solve_body(const float *b, const float *inverse, size_t t, const float *x, float *y)
{
    memset(y, 0, t * E * sizeof *y);
    for (size_t k = 0; k < t; k++, b += k * E) {
        lanes re = {0}, im = {0};

        for (size_t j = 0; j <= k; j++) {
            lanes br = *at(b + j * E), bi = *at(b + j * E + L), xr = *at(x + j * E), xi = *at(x + j * E + L);

            re += br * xr + bi * xi;
            im += br * xi - bi * xr;
        }
        re *= *at(inverse + k * L);
        im *= *at(inverse + k * L);
        for (size_t j = 0; j <= k; j++) {
            lanes br = *at(b + j * E), bi = *at(b + j * E + L);

            *to_at(y + j * E) += br * re - bi * im;
            *to_at(y + j * E + L) += br * im + bi * re;
        }
    }
}

/* ---- what is done to a spectrum s between two transforms ---- */

typedef enum stage {
    FIRST,   /* keep <- s, s <- s / C */
    INVERSE, /* s <- s / C */
    RESULT   /* s <- conj(H) (keep + s) / C */
} stage;

typedef struct change {
    const pjd_blur *b;
    stage stage;
    float lambda;
    float *keep;
} change;

INLINE void change_body(stage what, const float *restrict h, const float *restrict power, float lambda, size_t count,
                        float *restrict keep, float *restrict s)
{
    for (size_t e = 0; e < count; e++, h += E, power += L, keep += E, s += E)
        for (size_t l = 0; l < L; l++) {
            float a = h[l], b = h[L + l], f = 1.0f / (power[l] + lambda), x = s[l], y = s[L + l];

            if (what == FIRST) {
                keep[l] = x;
                keep[L + l] = y;
            }
            if (what != RESULT) {
                s[l] = f * x;
                s[L + l] = f * y;
            } else {
                float u = f * (x + keep[l]), v = f * (y + keep[L + l]);

                s[l] = a * u + b * v;
                s[L + l] = a * v - b * u;
            }
        }
}

INLINE void change_each(const change *c, size_t first, size_t count, float *s)
{
    const float *h = c->b->transfer + first * E, *power = c->b->power + first * L;
    float *keep = c->keep + first * E;

    if (c->stage == FIRST)
        change_body(FIRST, h, power, c->lambda, count, keep, s);
    else if (c->stage == INVERSE)
        change_body(INVERSE, h, power, c->lambda, count, keep, s);
    else
        change_body(RESULT, h, power, c->lambda, count, keep, s);
}

/* ---- the loops for what the processor has; without contraction all give the same bytes ---- */

typedef struct loops {
    void (*predict)(const float *lags, size_t t, float *b, float *inverse);
    void (*solve)(const float *b, const float *inverse, size_t t, const float *x, float *y);
    void (*change)(const change *c, size_t first, size_t count, float *s);
} loops;

#define TABLE(isa)                                                                                                     \
    FOR_##isa static void predict_##isa(const float *lags, size_t t, float *b, float *inverse)                         \
    {                                                                                                                  \
        predict_body(lags, t, b, inverse);                                                                             \
    }                                                                                                                  \
    FOR_##isa static void solve_##isa(const float *b, const float *inverse, size_t t, const float *x, float *y)        \
    {                                                                                                                  \
        solve_body(b, inverse, t, x, y);                                                                               \
    }                                                                                                                  \
    FOR_##isa static void change_##isa(const change *c, size_t first, size_t count, float *s)                          \
    {                                                                                                                  \
        change_each(c, first, count, s);                                                                               \
    }                                                                                                                  \
    static const loops loops_##isa = {predict_##isa, solve_##isa, change_##isa};

#define FOR_any
TABLE(any)
#if defined(__x86_64__)
#define FOR_avx2 __attribute__((target("avx2")))
TABLE(avx2)
#endif

static const loops *best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return &loops_avx2;
#endif
    return &loops_any;
}

static void change_group(const void *ctx, size_t first, size_t count, float *s)
{
    best()->change(ctx, first, count, s);
}

/* ---- the two strips ---- */

/* t lines of n: rows of the foot, columns of the side (with the foot's end below them). */
typedef struct strip {
    size_t n, t, groups; /* groups of L frequencies along it */
    const pjd_fft *fft;
    float *predictors, *inverse; /* group after group */
    float *spectra;              /* [groups][t][E] */
} strip;

typedef struct border {
    const pjd_blur *b;
    strip foot, side;
    size_t count; /* unknowns: [h][width] of the side, then [height][gw] of the foot */
    size_t slot;
    float *slots, *corner; /* a slot a thread; what the side says of the corner */
} border;

static size_t triangle(size_t t)
{
    return t * (t + 1) / 2;
}

static strip make_strip(size_t n, size_t t, const pjd_fft *fft)
{
    return (strip){.n = n, .t = t, .groups = n / 2 / L + 1, .fft = fft};
}

static size_t more(size_t a, size_t b)
{
    return a > b ? a : b;
}

static border make_border(const pjd_blur *b)
{
    size_t height = b->f.h - b->h, width = b->f.w - b->w;

    return (border){
        .b = b,
        .foot = make_strip(b->f.w, height, b->f.row),
        .side = make_strip(b->f.h, width, b->f.column),
        .count = b->h * width + height * b->f.w,
        .slot = pjd_op_pad(more(b->f.w * E + pjd_fft_work(b->f.row), b->f.h * E + pjd_fft_work(b->f.column)) +
                           (more(height, width) + 1) * E),
    };
}

/* The preconditioner, for all channels: floats, placed where work is not NULL. All are multiples of a cache line. */
static size_t place_strip(strip *s, float *work)
{
    size_t predictors = s->groups * triangle(s->t) * E;

    if (work) {
        s->predictors = work;
        s->inverse = work + predictors;
    }
    return predictors + s->groups * s->t * L;
}

static size_t place_shared(border *r, float *work)
{
    size_t foot = place_strip(&r->foot, work);

    return foot + place_strip(&r->side, work ? work + foot : NULL);
}

/* A channel's scratch. */
static size_t place_scratch(border *r, float *work)
{
    size_t foot = r->foot.groups * r->foot.t * E, side = r->side.groups * r->side.t * E;
    size_t corner = pjd_op_pad(r->foot.t * r->side.t);

    if (work) {
        r->foot.spectra = work;
        r->side.spectra = work + foot;
        r->corner = work + foot + side;
        r->slots = r->corner + corner;
    }
    return foot + side + corner + PJD_FFT_THREADS * r->slot;
}

static int team(void)
{
    int n = omp_get_max_threads();

    return n < PJD_FFT_THREADS ? n : PJD_FFT_THREADS;
}

/* Lags of the foot's group g are the column transform of 1 / C, those of the side's the row transform. z: a line */
static void foot_lags(const border *r, size_t g, float lambda, float *z)
{
    const pjd_blur *b = r->b;
    const float *p = b->power + g * b->f.h * L;
    float scale = 1.0f / (float)b->f.h;

    for (size_t i = 0; i < b->f.h; i++, z += E) {
        for (size_t l = 0; l < L; l++)
            z[l] = scale / (p[i * L + l] + lambda);
        memset(z + L, 0, L * sizeof *z);
    }
}

/* C at -k is C at k, of both frequencies at once: so the half of the spectrum that is not there. */
static void side_lags(const border *r, size_t g, float lambda, float *z)
{
    const pjd_blur *b = r->b;
    size_t h = b->f.h, w = b->f.w;
    float scale = 1.0f / (float)w;

    for (size_t k = 0; k < w; k++, z += E) {
        size_t column = k <= w / 2 ? k : w - k;
        const float *p = b->power + column / L * h * L + column % L;

        for (size_t l = 0; l < L; l++) {
            /* what lies beyond the half spectrum is not used; the other half is the first turned round */
            size_t i = g * L + l <= h / 2 ? g * L + l : h / 2, row = k <= w / 2 || i == 0 ? i : h - i;

            z[l] = scale / (p[row * L] + lambda);
        }
        memset(z + L, 0, L * sizeof *z);
    }
}

/* The preconditioner of one lambda, for all channels. */
static void prepare(const border *r, float lambda)
{
    const pjd_blur *b = r->b;
    const strip *foot = &r->foot, *side = &r->side;

#pragma omp parallel for schedule(static) num_threads(team()) if (r->count > WORTH_A_TEAM)
    for (size_t k = 0; k < foot->groups + side->groups; k++) {
        float *z = r->slots + (size_t)omp_get_thread_num() * r->slot;
        bool first = k < foot->groups;
        const strip *s = first ? foot : side;
        size_t g = first ? k : k - foot->groups;
        const pjd_fft *along = first ? b->f.column : b->f.row; /* across the strip */

        if (!s->t)
            continue;
        if (first)
            foot_lags(r, g, lambda, z);
        else
            side_lags(r, g, lambda, z);
        z = pjd_fft_run(along, true, z, z + (first ? b->f.h : b->f.w) * E);
        best()->predict(z, s->t, s->predictors + g * triangle(s->t) * E, s->inverse + g * s->t * L);
    }
}

static const float *side_row(const border *r, const float *v, size_t i)
{
    const pjd_blur *b = r->b;
    size_t width = r->side.t;

    return i < b->h ? v + i * width : v + b->h * width + (i - b->h) * b->f.w + b->f.w - width;
}

/* Lines `first` .. of a strip to their spectra. */
static void load_lines(const border *r, const strip *s, size_t first, const float *v, float *z)
{
    const pjd_fft_loops *l = pjd_fft_loops_best();
    size_t some = s->t - first < LINES ? s->t - first : LINES;

    if (s == &r->foot)
        l->load(v + r->b->h * r->side.t + first * s->n, s->n, some, s->n, z);
    for (size_t i = 0; s == &r->side && i < s->n; i++) {
        memcpy(z + i * E, side_row(r, v, i) + first, some * sizeof *z);
        memset(z + i * E + some, 0, (E - some) * sizeof *z);
    }
    l->separate(pjd_fft_run(s->fft, false, z, z + s->n * E), s->n, some, s->spectra + first * E, s->t * E);
}

static void store_lines(const border *r, const strip *s, size_t first, float *v, float *z)
{
    const pjd_fft_loops *l = pjd_fft_loops_best();
    size_t some = s->t - first < LINES ? s->t - first : LINES, h = r->b->h;

    l->combine(s->spectra + first * E, s->n, some, s->t * E, 1.0f / (float)s->n, z);
    z = pjd_fft_run(s->fft, true, z, z + s->n * E);
    if (s == &r->foot)
        l->store(z, some, s->n, false, v + h * r->side.t + first * s->n, s->n);
    for (size_t i = 0; s == &r->side && i < s->n; i++)
        memcpy((i < h ? v + i * s->t : r->corner + (i - h) * s->t) + first, z + i * E, some * sizeof *z);
}

/* to = P^-1 from */
static void precondition(const border *r, const float *from, float *to)
{
    const strip *foot = &r->foot, *side = &r->side;
    size_t of_foot = (foot->t + LINES - 1) / LINES, all = of_foot + (side->t + LINES - 1) / LINES;

#pragma omp parallel num_threads(team()) if (r->count > WORTH_A_TEAM)
    {
        float *z = r->slots + (size_t)omp_get_thread_num() * r->slot;

#pragma omp for schedule(static)
        for (size_t k = 0; k < all; k++)
            load_lines(r, k < of_foot ? foot : side, (k < of_foot ? k : k - of_foot) * LINES, from, z);
#pragma omp for schedule(static)
        for (size_t k = 0; k < foot->groups + side->groups; k++) {
            const strip *s = k < foot->groups ? foot : side;
            size_t g = k < foot->groups ? k : k - foot->groups;
            float *x = s->spectra + g * s->t * E;

            best()->solve(s->predictors + g * triangle(s->t) * E, s->inverse + g * s->t * L, s->t, x, z);
            memcpy(x, z, s->t * E * sizeof *x);
        }
#pragma omp for schedule(static)
        for (size_t k = 0; k < all; k++)
            store_lines(r, k < of_foot ? foot : side, (k < of_foot ? k : k - of_foot) * LINES, to, z);
    }
    for (size_t i = 0; i < foot->t; i++)
        pjd_vec_axpy(1.0, r->corner + i * side->t, to + r->b->h * side->t + (i + 1) * foot->n - side->t, side->t);
}

/* ---- one channel ---- */

typedef struct channel {
    border r;
    change c;
    float *v[5], *y;
    float *s, *rest; /* one after the other: pjd_blur_plane_work() */
} channel;

/* The border v as bands of the grid. */
static void bands_of(const border *r, float *v, pjd_band out[2])
{
    const pjd_blur *b = r->b;
    size_t width = r->side.t, height = r->foot.t;

    out[0] = (pjd_band){v, {0, b->w, b->h, width, width, false}};
    out[1] = (pjd_band){v + b->h * width, {b->h, 0, height, b->f.w, b->f.w, false}};
}

/* to = Q C^-1 Q' from */
static void normal(channel *c, float *from, float *to)
{
    pjd_band in[2], out[2];

    bands_of(&c->r, from, in);
    bands_of(&c->r, to, out);
    c->c.stage = INVERSE;
    pjd_fft2_bands(&c->r.b->f, in, 2, change_group, &c->c, 1.0, out, 2, c->s, c->rest);
}

/* keep <- scale y - A x in the spectrum; to: the equation's right hand side */
static void residual(channel *c, const float *x, const float *y, double scale, float *to)
{
    const pjd_blur *b = c->r.b;
    pjd_band in = {c->y, {0, 0, b->h, b->w, b->w, false}}, out[2];

    pjd_blur_apply(b, x, c->y, c->s);
    pjd_vec_scale_minus(scale, y, c->y, b->h * b->w);
    bands_of(&c->r, to, out);
    c->c.stage = FIRST;
    pjd_fft2_bands(&b->f, &in, 1, change_group, &c->c, -1.0, out, 2, c->s, c->rest);
}

/*
 * The equation for s, from 0. An error e of s is one of K* C^-1 Q' e in x, of a squared norm below e Q C^-1 Q' e: the
 * residual's in the inverse, about gamma. The last step is the preconditioner's alone, which does not make it longer: two
 * projections are at most twice the identity.
 */
static void iterate(channel *c, double tolerance, double error)
{
    const border *r = &c->r;
    size_t n = r->count;
    float *s = c->v[0], *w = c->v[1], *z = c->v[2], *p = c->v[3], *q = c->v[4];
    double gamma, enough;

    precondition(r, w, z);
    memset(s, 0, n * sizeof *s);
    memcpy(p, z, n * sizeof *p);
    gamma = pjd_vec_dot(w, z, n);
    enough = fmax(tolerance * tolerance * gamma, error);
    for (size_t k = 0; k < r->b->opt.iterations && gamma > enough; k++) {
        double curvature, next;

        normal(c, p, q);
        curvature = pjd_vec_dot(p, q, n);
        if (!(curvature > 0.0))
            break;
        pjd_vec_axpy(gamma / curvature, p, s, n);
        pjd_vec_axpy(-gamma / curvature, q, w, n);
        precondition(r, w, z);
        next = pjd_vec_dot(w, z, n);
        pjd_vec_xpay(z, next / gamma, p, n);
        gamma = next;
    }
    pjd_vec_axpy(1.0, z, s, n);
}

static void correct_channel(channel *c, float *x, const float *y, double scale, double tolerance, double error)
{
    const pjd_blur *b = c->r.b;
    pjd_band in[2], out = {x, {0, 0, b->ch, b->cw, b->cw, true}};

    residual(c, x, y, scale, c->v[1]);
    if (c->r.count)
        iterate(c, tolerance, error);
    bands_of(&c->r, c->v[0], in);
    c->c.stage = RESULT;
    pjd_fft2_bands(&b->f, in, 2, change_group, &c->c, 1.0, &out, 1, c->s, c->rest);
}

/* ---- all of them ---- */

/* A small picture's channels are solved side by side, a large one's by a whole team each. */
static size_t side_by_side(const pjd_blur *b)
{
    return b->c <= PJD_FFT_THREADS && b->ch * b->cw <= (size_t)1 << 18 ? b->c : 1;
}

/* A channel's memory after what they share: a border's five vectors, a residual, two spectra, scratch. */
static size_t place_channel(channel *c, float *work)
{
    const pjd_blur *b = c->r.b;
    size_t scratch = place_scratch(&c->r, work), spectrum = pjd_fft2_spectrum(&b->f), plane = pjd_blur_plane_work(b);
    size_t vector = pjd_op_pad(c->r.count), y = pjd_op_pad(b->h * b->w);

    if (work) {
        c->c.keep = work + scratch;
        c->s = c->c.keep + spectrum;
        c->rest = c->s + spectrum;
        c->y = c->s + plane;
        for (size_t i = 0; i < 5; i++)
            c->v[i] = c->y + y + i * vector;
    }
    return pjd_op_pad(scratch + spectrum + plane + y + 5 * vector);
}

bool pjd_border_fits(const pjd_blur *b)
{
    return !b->rows && b->f.h - b->h <= WIDEST && b->f.w - b->w <= WIDEST;
}

size_t pjd_border_work(const pjd_blur *b)
{
    channel c = {.r = make_border(b)};

    return place_shared(&c.r, NULL) + side_by_side(b) * place_channel(&c, NULL);
}

void pjd_border_correct(const pjd_blur *b, float *x, const float *y, double scale, double lambda, double tolerance,
                        double error, float *work)
{
    channel one = {.r = make_border(b), .c = {.b = b, .lambda = (float)lambda}};
    size_t slots = side_by_side(b), shared = place_shared(&one.r, work), slot = place_channel(&one, work + shared);
    int n = omp_get_max_threads() < (int)slots ? omp_get_max_threads() : (int)slots;
    double unseen = (double)(b->xh * b->xw - b->h * b->w);

    prepare(&one.r, (float)lambda);
#pragma omp parallel for schedule(dynamic) num_threads(n) if (slots > 1)
    for (size_t k = 0; k < b->c; k++) {
        channel c = one;

        place_channel(&c, work + shared + (slots > 1 ? k * slot : 0));
        correct_channel(&c, x + k * b->xh * b->xw, y + k * b->h * b->w, scale, tolerance,
                        SHARE * error * error * unseen);
    }
}
