/* SPDX-License-Identifier: MIT */
/*
 * A kernel of rank one blurs columns by B and rows by C, Y = B X C', so two small decompositions B = U S V' are those
 * of the picture. B is h x xh: square for a zero border, wider where x reaches beyond y (then V has vectors that
 * nothing sees). V and S^2 come from B'B: squaring costs nothing here, for float64 resolves S down to 1e-8 of the
 * largest and values below 1e-4 count as zero anyway.
 *
 * Where the kernel is its own mirror image, B keeps even vectors even and odd ones odd: two decompositions of half the
 * size, and half the multiplications in every product.
 */
#include <math.h>
#include <string.h>

#include "blur.h"
#include "dense.h"

/* B, or what it does to even or to odd columns of the picture (see fold_line). */
typedef struct part {
    size_t n, m, rank;      /* columns and rows, singular values above the floor */
    float *v, *vt, *u, *ut; /* V [n, n], V', U [m, rank], U' */
} part;

typedef struct axis {
    size_t n, m, rank, count; /* of both parts, and how many there are: 2 where B turned round by 180 degrees is B */
    part part[2];
    double *s;  /* [n]: part after part, largest first, 0 from its rank on */
    double top; /* largest */
} axis;

struct pjd_svd {
    axis row, column; /* column: along a column of the picture (its rows are mixed) */
    double floor;
};

static void axis_free(axis *a)
{
    for (size_t i = 0; i < 2; i++) {
        pjd_free(a->part[i].v);
        pjd_free(a->part[i].vt);
        pjd_free(a->part[i].u);
        pjd_free(a->part[i].ut);
    }
    pjd_free(a->s);
}

void pjd_svd_free(pjd_svd *s)
{
    if (!s)
        return;
    axis_free(&s->row);
    axis_free(&s->column);
    pjd_free(s);
}

/* B[i][t]: weight of x's element t in y's element i; X's element e is x's e - before. */
static double entry(const double *k, size_t taps, size_t before, size_t i, size_t t)
{
    size_t e = t + before;

    return e >= i && e - i < taps ? k[taps - 1 - (e - i)] : 0.0;
}

/* g = B'B */
static void normal_matrix(const axis *a, const double *k, size_t taps, size_t before, double *g)
{
    memset(g, 0, a->n * a->n * sizeof *g);
    for (size_t i = 0; i < a->m; i++) {
        /* Row i of B is not 0 from t = i - before on, taps long. */
        size_t first = i > before ? i - before : 0, last = i + taps > before ? i + taps - before : 0;

        last = last < a->n ? last : a->n;
        for (size_t p = first; p < last; p++)
            for (size_t q = first; q < last; q++)
                g[p * a->n + q] += entry(k, taps, before, i, p) * entry(k, taps, before, i, q);
    }
}

/* Whether B[m-1-i][n-1-t] = B[i][t]: then what is even stays even, and what is odd odd. */
static bool turns(const axis *a, const double *k, size_t taps, size_t before)
{
    bool same = a->n + 2 * before == a->m + taps - 1;

    for (size_t t = 0; t < taps; t++)
        same = same && k[t] == k[taps - 1 - t];
    return same && a->n > 1;
}

/* B'B of even (sign 1) or odd vectors, in the coordinates of fold_line. */
static void fold_matrix(const axis *a, const part *p, double sign, const double *g, double *half)
{
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->n; j++) {
            double w = (2 * i + 1 == a->n ? M_SQRT1_2 : 1.0) * (2 * j + 1 == a->n ? M_SQRT1_2 : 1.0);

            half[i * p->n + j] = w * (g[i * a->n + j] + sign * g[i * a->n + a->n - 1 - j]);
        }
}

/* The vector of x whose coordinates are v. */
static void unfold_vector(const axis *a, const part *p, double sign, const double *v, double *x)
{
    if (a->count == 1) {
        memcpy(x, v, a->n * sizeof *x);
        return;
    }
    for (size_t t = 0; t < p->n; t++) {
        x[t] = M_SQRT1_2 * v[t];
        x[a->n - 1 - t] = sign * x[t];
        if (2 * t + 1 == a->n)
            x[t] = v[t];
    }
    if (sign < 0.0 && a->n % 2)
        x[a->n / 2] = 0.0;
}

typedef struct taps {
    const double *k;
    size_t count, before;
} taps;

/* U = B V / s for the values above the floor; both orientations of both matrices, in float32. x: [n] */
static void fill_part(const axis *a, part *p, double sign, const taps *k, const double *s, const double *vectors,
                      double *x)
{
    for (size_t r = 0; r < p->n; r++)
        for (size_t t = 0; t < p->n; t++)
            p->vt[r * p->n + t] = p->v[t * p->n + r] = (float)vectors[r * p->n + t];
    for (size_t r = 0; r < p->rank; r++) {
        unfold_vector(a, p, sign, vectors + r * p->n, x);
        for (size_t i = 0; i < p->m; i++) {
            size_t first = i > k->before ? i - k->before : 0, last = i + k->count;
            double sum = 0.0, w = a->count == 1 || 2 * i + 1 == a->m ? 1.0 : M_SQRT2;

            last = last > k->before ? last - k->before : 0;
            last = last < a->n ? last : a->n;
            for (size_t t = first; t < last; t++)
                sum += entry(k->k, k->count, k->before, i, t) * x[t];
            p->ut[r * p->m + i] = p->u[i * p->rank + r] = (float)(w * sum / s[r]);
        }
    }
}

static pjd_status part_create(axis *a, part *p, double *s, double sign, const taps *k, const double *g, pjd_error *err)
{
    size_t n = p->n, m = p->m;
    double *half = pjd_alloc(n * n, sizeof *half), *vectors = pjd_alloc(n * n + a->n, sizeof *vectors);
    pjd_status st = PJD_OK;

    p->v = pjd_alloc(n * n, sizeof *p->v);
    p->vt = pjd_alloc(n * n, sizeof *p->vt);
    p->u = pjd_alloc(m * n, sizeof *p->u);
    p->ut = pjd_alloc(m * n, sizeof *p->ut);
    if (!half || !vectors || !p->v || !p->vt || !p->u || !p->ut) {
        st = pjd_error_nomem(err, "deblur", n * n * sizeof *half);
        goto done;
    }
    if (a->count == 1)
        memcpy(half, g, n * n * sizeof *half);
    else
        fold_matrix(a, p, sign, g, half);
    st = pjd_symmetric_eigen("deblur", n, half, s, vectors, err);
    if (st != PJD_OK)
        goto done;
    for (size_t i = 0; i < n; i++) {
        s[i] = s[i] > 0.0 ? sqrt(s[i]) : 0.0;
        a->top = fmax(a->top, s[i]);
        if (i < m && s[i] >= PJD_BLUR_FLOOR * a->top && s[i] > 0.0)
            p->rank = i + 1;
        else
            s[i] = 0.0;
    }
    fill_part(a, p, sign, k, s, vectors, vectors + n * n);
done:
    pjd_free(half);
    pjd_free(vectors);
    return st;
}

static pjd_status axis_create(axis *a, size_t m, size_t n, const double *k, size_t count, size_t before, pjd_error *err)
{
    double *g = pjd_alloc(n * n, sizeof *g);
    taps t = {k, count, before};
    pjd_status st = PJD_OK;

    a->m = m;
    a->n = n;
    a->s = pjd_alloc(n, sizeof *a->s);
    if (!g || !a->s) {
        pjd_free(g);
        return pjd_error_nomem(err, "deblur", n * n * sizeof *g);
    }
    normal_matrix(a, k, count, before, g);
    a->count = turns(a, k, count, before) ? 2 : 1;
    for (size_t i = 0; st == PJD_OK && i < a->count; i++) {
        part *p = &a->part[i];

        p->n = a->count == 1 ? n : i == 0 ? n - n / 2 : n / 2;
        p->m = a->count == 1 ? m : i == 0 ? m - m / 2 : m / 2;
        st = part_create(a, p, a->s + (i ? a->part[0].n : 0), i ? -1.0 : 1.0, &t, g, err);
        a->rank += p->rank;
    }
    pjd_free(g);
    return st;
}

static pjd_status make_singular(pjd_blur *b, pjd_error *err)
{
    const pjd_svd *s = b->svd;
    size_t plane = b->xh * b->xw;

    b->singular = pjd_alloc(b->c * plane, sizeof *b->singular);
    if (!b->singular)
        return pjd_error_nomem(err, "deblur", b->c * plane * sizeof *b->singular);
    for (size_t i = 0; i < b->c * plane; i++) {
        double v = s->column.s[i % plane / b->xw] * s->row.s[i % b->xw];

        b->singular[i] = v >= s->floor ? (float)v : 0.0f;
    }
    return PJD_OK;
}

pjd_status pjd_svd_create(pjd_blur *b, const pjd_psf *psf, pjd_error *err)
{
    bool extend = b->rows != NULL;
    pjd_svd *s = b->svd = pjd_alloc_zero(1, sizeof *s);
    pjd_status st;

    if (!s)
        return pjd_error_nomem(err, "deblur", sizeof *s);
    st = axis_create(&s->column, b->h, b->xh, psf->column, psf->h, extend ? psf->h - 1 - psf->cy : 0, err);
    if (st == PJD_OK)
        st = axis_create(&s->row, b->w, b->xw, psf->row, psf->w, extend ? psf->w - 1 - psf->cx : 0, err);
    if (st != PJD_OK)
        return st;
    s->floor = PJD_BLUR_FLOOR * s->column.top * s->row.top;
    return make_singular(b, err);
}

/* ---- products ---- */

static size_t gemm_work(const pjd_blur *b)
{
    return pjd_gemm_work(b->xh > b->xw ? b->xh : b->xw);
}

size_t pjd_svd_work(const pjd_blur *b)
{
    size_t plane = pjd_op_pad(b->xh * b->xw), blur = pjd_blur_plane_work(b), gemm = gemm_work(b);

    return 3 * plane + (blur > gemm ? blur : gemm);
}

/*
 * A line of n as its even and its odd part, (a[i] +- a[n-1-i]) / sqrt 2, even ones first, one more where n is odd: an
 * orthonormal change. B keeps the two apart, so that each product is two of half the size.
 */
static void fold_line(size_t n, const float *a, float *to)
{
    const float root = 0.70710678118654752440f;
    size_t half = n / 2;
    float *odd = to + n - half;

    for (size_t i = 0; i < half; i++) {
        to[i] = root * (a[i] + a[n - 1 - i]);
        odd[i] = root * (a[i] - a[n - 1 - i]);
    }
    if (n % 2)
        to[half] = a[half];
}

static void unfold_line(size_t n, const float *a, float *to)
{
    const float root = 0.70710678118654752440f;
    size_t half = n / 2;
    const float *odd = a + n - half;

    for (size_t i = 0; i < half; i++) {
        to[i] = root * (a[i] + odd[i]);
        to[n - 1 - i] = root * (a[i] - odd[i]);
    }
    if (n % 2)
        to[half] = a[half];
}

/* to = root (a + sign b) */
static void pair_lines(size_t n, const float *a, const float *b, float sign, float *to)
{
    const float root = 0.70710678118654752440f;

    for (size_t i = 0; i < n; i++)
        to[i] = root * (a[i] + sign * b[i]);
}

static void place_line(size_t n, bool turns, bool back, const float *a, float *to)
{
    if (!turns)
        memcpy(to, a, n * sizeof *to);
    else if (back)
        unfold_line(n, a, to);
    else
        fold_line(n, a, to);
}

/* A plane of x (or, by its sizes, of y) with the axes that turn folded, or back. */
static void fold(const pjd_svd *s, size_t h, size_t w, bool back, const float *x, float *to)
{
    bool down = s->column.count == 2, across = s->row.count == 2;
    size_t half = down ? h / 2 : 0, rest = h - half;

#pragma omp parallel for schedule(static) if (h * w > PJD_OP_PARALLEL)
    for (size_t i = 0; i < rest; i++) {
        float even[PJD_BLUR_DENSE], odd[PJD_BLUR_DENSE];
        /* the row's partner before and after */
        size_t j = back ? rest + i : h - 1 - i, k = back ? h - 1 - i : rest + i;

        if (i < half) {
            pair_lines(w, x + i * w, x + j * w, 1.0f, even);
            pair_lines(w, x + i * w, x + j * w, -1.0f, odd);
            place_line(w, across, back, even, to + i * w);
            place_line(w, across, back, odd, to + k * w);
        } else {
            place_line(w, across, back, x + i * w, to + i * w);
        }
    }
}

/* What each part of an axis is multiplied by. Data have the coordinates of U, as many as the rank. */
typedef enum factor { TO_SPECTRAL, FROM_SPECTRAL, TO_DATA } factor;

/* How many spectral coordinates of each part there are or count: the largest singular values' */
typedef struct cut {
    size_t part[2];
} cut;

typedef struct block {
    size_t to, from, ld;
    const float *matrix;
} block;

static block block_of(const part *p, factor f, size_t count, bool left)
{
    if (f == TO_SPECTRAL)
        return (block){count, p->n, p->n, left ? p->vt : p->v};
    if (f == FROM_SPECTRAL)
        return (block){p->n, count, p->n, left ? p->v : p->vt};
    return (block){p->rank, p->m, left ? p->m : p->rank, left ? p->ut : p->u};
}

static cut all_of(const axis *a)
{
    return (cut){{a->part[0].n, a->part[1].n}};
}

static cut ranks_of(const axis *a)
{
    return (cut){{a->part[0].rank, a->part[1].rank}};
}

/* Down the columns of a plane that is w wide. */
static void from_left(const axis *a, factor f, cut k, size_t w, const float *x, float *to, float *work)
{
    for (size_t i = 0; i < a->count; i++) {
        block b = block_of(&a->part[i], f, k.part[i], true);

        pjd_gemm(b.to, w, b.from, b.matrix, b.ld, x, w, to, w, work);
        x += b.from * w;
        to += b.to * w;
    }
}

/* Along the rows of a plane that is h high. */
static void from_right(const axis *a, factor f, cut k, size_t h, const float *x, float *to, float *work)
{
    size_t before = 0, after = 0;

    for (size_t i = 0; i < a->count; i++) {
        block b = block_of(&a->part[i], f, k.part[i], false);

        before += b.from;
        after += b.to;
    }
    for (size_t i = 0; i < a->count; i++) {
        block b = block_of(&a->part[i], f, k.part[i], false);

        pjd_gemm(h, b.to, b.from, x, before, b.matrix, b.ld, to, after, work);
        x += b.from;
        to += b.to;
    }
}

/* [rank, rank] coordinates of one channel of y. t: a plane of scratch */
static void to_data(const pjd_blur *b, const float *y, float *d, float *t, float *work)
{
    const pjd_svd *s = b->svd;

    fold(s, b->h, b->w, false, y, d);
    from_left(&s->column, TO_DATA, ranks_of(&s->column), b->w, d, t, work);
    from_right(&s->row, TO_DATA, ranks_of(&s->row), s->column.rank, t, d, work);
}

/* The spectral coordinate that is coordinate i of the data. */
static size_t spectral_of(const axis *a, size_t i)
{
    return i < a->part[0].rank ? i : a->part[0].n + i - a->part[0].rank;
}

void pjd_svd_correct(const pjd_blur *b, float *x, const float *y, double scale, double lambda, float *work)
{
    const axis *r = &b->svd->row, *c = &b->svd->column;
    size_t plane = pjd_op_pad(b->xh * b->xw);
    float *a = work, *d = a + plane, *t = d + plane, *rest = t + plane;

    pjd_blur_apply(b, x, a, rest);
    pjd_vec_scale_minus(scale, y, a, b->h * b->w);
    to_data(b, a, d, t, rest);
    for (size_t i = 0; i < c->rank; i++)
        for (size_t j = 0; j < r->rank; j++)
            d[i * r->rank + j] *= (float)pjd_blur_filter(c->s[spectral_of(c, i)] * r->s[spectral_of(r, j)], lambda,
                                                         b->svd->floor);
    from_right(r, FROM_SPECTRAL, ranks_of(r), c->rank, d, t, rest);
    from_left(c, FROM_SPECTRAL, ranks_of(c), b->xw, t, a, rest);
    fold(b->svd, b->xh, b->xw, true, a, t);
    pjd_vec_axpy(1.0, t, x, b->xh * b->xw);
}

void pjd_svd_to_spectral(const pjd_blur *b, const float *x, float *c, float *work)
{
    const axis *row = &b->svd->row, *column = &b->svd->column;
    size_t plane = pjd_op_pad(b->xh * b->xw);
    float *folded = work, *t = work + plane, *rest = t + plane;

    fold(b->svd, b->xh, b->xw, false, x, folded);
    from_left(column, TO_SPECTRAL, all_of(column), b->xw, folded, t, rest);
    from_right(row, TO_SPECTRAL, all_of(row), b->xh, t, c, rest);
}

void pjd_svd_from_spectral(const pjd_blur *b, const float *c, float *x, float *work)
{
    const axis *row = &b->svd->row, *column = &b->svd->column;
    size_t plane = pjd_op_pad(b->xh * b->xw);
    float *t = work, *folded = work + plane, *rest = folded + plane;

    from_left(column, FROM_SPECTRAL, all_of(column), b->xw, c, t, rest);
    from_right(row, FROM_SPECTRAL, all_of(row), b->xh, t, folded, rest);
    fold(b->svd, b->xh, b->xw, true, folded, x);
}

/* Coordinates of an axis whose values, times the other's largest, are above `least`. */
static cut above(const axis *a, double other, double least)
{
    cut k = {{0, 0}};

    for (size_t i = 0, first = 0; i < a->count; first += a->part[i++].n)
        while (k.part[i] < a->part[i].n && a->s[first + k.part[i]] * other > least)
            k.part[i]++;
    return k;
}

void pjd_svd_adjust(const pjd_blur *b, float *x, double least, pjd_spectral_change change, void *ctx, size_t first,
                    float *work)
{
    const axis *r = &b->svd->row, *c = &b->svd->column;
    cut rows = above(c, r->top, least), cols = above(r, c->top, least);
    size_t plane = pjd_op_pad(b->xh * b->xw), h = rows.part[0] + rows.part[1], w = cols.part[0] + cols.part[1];
    float *a = work, *d = a + plane, *t = d + plane, *rest = t + plane;

    if (!h || !w)
        return;
    fold(b->svd, b->xh, b->xw, false, x, a);
    from_left(c, TO_SPECTRAL, rows, b->xw, a, t, rest);
    from_right(r, TO_SPECTRAL, cols, h, t, d, rest);
#pragma omp parallel for schedule(static) if (h * w > PJD_OP_PARALLEL)
    for (size_t i = 0; i < h; i++) {
        size_t row = i < rows.part[0] ? i : c->part[0].n + i - rows.part[0], at = first + row * b->xw;

        change(ctx, at, cols.part[0], d + i * w);
        change(ctx, at + r->part[0].n, cols.part[1], d + i * w + cols.part[0]);
    }
    from_right(r, FROM_SPECTRAL, cols, h, d, t, rest);
    from_left(c, FROM_SPECTRAL, rows, b->xw, t, a, rest);
    fold(b->svd, b->xh, b->xw, true, a, t);
    pjd_vec_axpy(1.0, t, x, b->xh * b->xw);
}

void pjd_svd_data(const pjd_blur *b, const float *y, float *d, float *work)
{
    const axis *r = &b->svd->row, *c = &b->svd->column;
    size_t plane = pjd_op_pad(b->xh * b->xw);
    float *t = work, *small = t + plane, *rest = small + plane;

    to_data(b, y, small, t, rest);
    memset(d, 0, b->xh * b->xw * sizeof *d);
    for (size_t i = 0; i < c->rank; i++)
        for (size_t j = 0; j < r->rank; j++) {
            size_t at = spectral_of(c, i) * b->xw + spectral_of(r, j);

            if (b->singular[at] > 0.0f)
                d[at] = small[i * r->rank + j];
        }
}
