/* SPDX-License-Identifier: MIT */
/*
 * ProjDiff (arXiv 2406.06959), our reading. What the operator sees of x carries noise of variance v_i = (sigma / s_i)^2,
 * so it lies on the diffusion's own path at the level a_i = 1 / (1 + v_i); what the operator does not see has no such level
 * (a_i = 1). At a level abar of the network:
 *
 *   seen, abar <= a_i:   sqrt(abar) e_i + sqrt(1 - abar / a_i) z_i          e = A+ y: the data, its own noise included
 *   seen, abar >  a_i:   sqrt(abar) (x_i + k (e_i - x_i)) + sqrt(1 - abar) sqrt(1 - k) z_i      k = (1 - abar) / (abar v_i)
 *   not seen:            sqrt(abar) x_i + sqrt(1 - abar) z_i
 *
 * then x += step (D(x_t) - x), and with exact data (sigma = 0) the projection. Three linear forms of one step:
 *   - one level (masks, averaging, identity): e - x on what is seen is P(x) - x, no transform needed;
 *   - spectral: one level per singular value, in the coordinates V' x;
 *   - proximal, where A A* has no closed form: x_t starts from argmin_u |u - x|^2 / (g tau^2) + |A u - y|^2 / sigma^2, where
 *     tau^2 = (1 - abar) / abar, found by conjugate gradients.
 * Nonlinear operators have a projection only: the paper's auxiliary variable as it stands; but clipping is a mask with bounds
 * on what it hides, and has one level.
 */
#include <math.h>
#include <string.h>

#include "core/noise.h"
#include "solvers/projdiff.h"

/* Loops over more elements than this are worth a team of threads. */
enum { WORTH_A_TEAM = 1 << 16 };

typedef struct projdiff {
    pjd_solver_run *r;
    const pjd_projdiff_settings *s;
    size_t n;          /* elements of all samples */
    float *xt, *d, *z; /* [n] */
    float *u;          /* [n] projected or transformed copy of x0 */
    float *m;          /* [n] momentum, or NULL */
    float *last;       /* [n] predicted noise of the step before, or NULL when fresh = 1 */
    float *data;       /* [nx] spectral: (U' y)_i */
    float *middle;     /* [n] clipping: the middle of what is hidden, NaN where it is seen; else NULL */
    double spread;     /* clipping: variance of what is hidden about its middle */
    float *work;
    double *t; /* [steps] levels, falling */
    size_t steps;
    double v;     /* one level: equivalent variance */
    double floor; /* spectral: singular values up to this count as unseen */
    enum { ONE_LEVEL, SPECTRAL, PROXIMAL, NONLINEAR } form;
    bool first;
} projdiff;

void pjd_projdiff_choose(const pjd_operator *op, double sigma, pjd_projdiff_settings *s)
{
    /* One rule for every task and sigma, measured on training photographs (docs/differences-from-the-paper.md). */
    *s = (pjd_projdiff_settings){
        .steps = 32,
        .t_start = 0.2,
        .t_end = 0.003,
        .grid_power = 2,
        .step_high = 0.3,
        .step_low = 0.5,
        .prior_gain = 2,
        .tail = 0,
        .warm = true,
    };
    /* Nothing is hidden: the clean estimate at the data's own level is the posterior mean, one call. */
    if (op->kind == PJD_OP_IDENTITY) {
        s->steps = 1;
        s->step_high = s->step_low = 1;
        s->t_end = 0;
    }
    /* The guess is far from the picture, and what it lacks is everywhere. */
    if (op->lacks == PJD_LACKS_PLACE) {
        s->steps = 100;
        s->t_start = 0.4;
        s->step_high = s->step_low = 0.7;
    }
    /* Whole areas have to move; averaging would hold them where they began. */
    if (op->lacks == PJD_LACKS_RANGE) {
        s->steps = 64;
        s->t_start = sigma > 0 ? 0.15 : 0.1;
        s->step_high = s->step_low = 1;
    }
    /* No guess to start from, and each level is another attempt to get unstuck. */
    if (op->v->search) {
        s->steps = 60;
        s->t_start = 0.5;
        s->grid_power = 1;
        s->step_high = s->step_low = 0.5;
        s->warm = false;
    }
}

/* ---- levels ---- */

static double level_of_data(const projdiff *w)
{
    return pjd_model_t_of_abar(w->r->model, 1 / (1 + w->v));
}

/*
 * steps levels from t_start down to t_end. With noisy data the level where the data's own noise sits is one of them: the clean
 * estimate made there is the best single one, and the tail refines what the operator does not see.
 */
static void make_grid(projdiff *w)
{
    const pjd_projdiff_settings *s = w->s;
    double T = (double)(w->r->model->info.timesteps - 1), top = s->t_start * T, end = s->t_end * T;
    double data = w->r->sigma > 0 && w->form != PROXIMAL ? level_of_data(w) : end;
    size_t n = w->steps, tail = 0, head;

    if (data < end)
        data = end;
    if (data > end) {
        tail = (size_t)lrint(s->tail * (double)n);
        if (tail >= n)
            tail = n - 1;
        if (top < data)
            top = data;
    }
    head = n - tail;
    for (size_t i = 0; i < head; i++) {
        double u = head > 1 ? (double)(head - 1 - i) / (double)(head - 1) : data > end ? 0 : 1;

        w->t[i] = data + (top - data) * pow(u, s->grid_power);
    }
    for (size_t i = 0; i < tail; i++)
        w->t[head + i] = end + (data - end) * (double)(tail - 1 - i) / (double)tail;
}

static double step_size(const projdiff *w, double abar)
{
    double given = w->r->opt->step_size;

    if (given > 0)
        return given;
    return w->s->step_low + (w->s->step_high - w->s->step_low) * sqrt(1 - abar);
}

/* ---- building x_t ---- */

static pjd_status draw(projdiff *w)
{
    return pjd_noise_normal(w->r->noise, w->z, w->n, w->r->err);
}

static void each_sample(projdiff *w, float *x, double lambda)
{
    const pjd_operator *op = w->r->op;

    for (size_t s = 0; s < w->r->samples; s++) {
        if (op->linear || op->kind == PJD_OP_CLIP)
            pjd_operator_prox(op, x + s * op->nx, w->r->y, op->linear ? lambda : w->v, w->work);
        else
            pjd_operator_project(op, x + s * op->nx, w->r->y, 1, w->work);
    }
}

/* x_t = p u + q z, z drawn piece by piece on the way: one pass over memory. */
static pjd_status mix(projdiff *w, const float *u, float p, float q)
{
    uint64_t first;
    pjd_status st = pjd_noise_take(w->r->noise, w->n, &first, w->r->err);

    if (st != PJD_OK)
        return st;
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
    for (size_t i = 0; i < w->n; i += PJD_NOISE_PIECE) {
        size_t some = w->n - i < PJD_NOISE_PIECE ? w->n - i : PJD_NOISE_PIECE;
        float *x = w->xt + i;

        pjd_noise_at(w->r->noise, first + i, x, some);
        for (size_t k = 0; k < some; k++)
            x[k] = p * u[i + k] + q * x[k];
    }
    return PJD_OK;
}

/* w->u <- what the data say, w->middle */
static void find_hidden(projdiff *w)
{
    const pjd_operator *op = w->r->op;

    for (size_t s = 0; s < w->r->samples; s++)
        w->spread = op->v->hidden(op, w->u + s * op->nx, w->r->y, w->v, w->middle + s * op->nx);
}

/* w->d <- what is not seen of z. Bounds would cut one side of it off: what is clipped is hidden as it is by a mask. */
static void unseen_noise(projdiff *w)
{
    const float *x0 = w->r->x0;

    if (w->middle) {
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
        for (size_t i = 0; i < w->n; i++)
            w->d[i] = isnan(w->middle[i]) ? 0.0f : w->z[i];
        return;
    }
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
    for (size_t i = 0; i < w->n; i++)
        w->d[i] = x0[i] + w->z[i];
    each_sample(w, w->d, 0);
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
    for (size_t i = 0; i < w->n; i++)
        w->d[i] -= w->u[i];
}

/* No transform: with P the projection, P(x) - x is what the data say about what is seen, z - A+ A z = P(x + z) - P(x). */
static pjd_status mix_one_level(projdiff *w, double abar)
{
    const float *x0 = w->r->x0;
    double a = 1 / (1 + w->v);
    float sa = (float)sqrt(abar), sb = (float)sqrt(1 - abar);
    pjd_status st;

    /* What is seen of x0 counts only once it has been projected, each time: so x0 itself may be, where P is linear. */
    if (!(w->v > 0) && w->r->op->linear) {
        each_sample(w, w->r->x0, 0);
        return mix(w, x0, sa, sb);
    }
    memcpy(w->u, x0, w->n * sizeof *x0);
    if (w->middle)
        find_hidden(w);
    else
        each_sample(w, w->u, 0);
    if (!(w->v > 0))
        return mix(w, w->u, sa, sb);
    st = draw(w);
    if (st != PJD_OK)
        return st;
    unseen_noise(w);
    if (abar <= a) {
        float q = (float)sqrt(1 - abar / a);

#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
        for (size_t i = 0; i < w->n; i++)
            w->xt[i] = sa * w->u[i] + sb * w->d[i] + q * (w->z[i] - w->d[i]);
    } else {
        double k = (1 - abar) / (abar * w->v);
        float p = sa * (float)k, q = sb * (float)sqrt(1 - k);

#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
        for (size_t i = 0; i < w->n; i++)
            w->xt[i] = sa * x0[i] + sb * w->d[i] + p * (w->u[i] - x0[i]) + q * (w->z[i] - w->d[i]);
    }
    return PJD_OK;
}

/*
 * The search of an operator that has one, in place of P: what it finds carries the data's noise, as in mix_one_level
 * where all is seen. Below that noise the projection is enough.
 */
static pjd_status mix_search(projdiff *w, double abar)
{
    const pjd_operator *op = w->r->op;
    bool above = !(w->v > 0) || abar * (1 + w->v) <= 1;
    double k = above ? 1 : (1 - abar) / (abar * w->v);
    float sa = (float)sqrt(abar), p = (float)k;
    float q = (float)sqrt(above ? 1 - abar * (1 + w->v) : (1 - abar) * (1 - k));
    pjd_status st = draw(w);

    if (st != PJD_OK)
        return st;
    memcpy(w->u, w->r->x0, w->n * sizeof *w->u);
    for (size_t s = 0; s < w->r->samples; s++) {
        if (above)
            op->v->search(op, w->u + s * op->nx, w->r->y, w->work);
        else
            pjd_operator_project(op, w->u + s * op->nx, w->r->y, 1, w->work);
    }
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
    for (size_t i = 0; i < w->n; i++)
        w->xt[i] = sa * (w->r->x0[i] + p * (w->u[i] - w->r->x0[i])) + q * w->z[i];
    return PJD_OK;
}

/* The auxiliary variable of the paper: P(sqrt(a) x + sqrt(1 - a) z'; sqrt(a) y), then noise up to the level. */
static pjd_status mix_nonlinear(projdiff *w, double abar)
{
    const pjd_operator *op = w->r->op;
    double a = w->v > 0 ? fmax(1 / (1 + w->v), abar) : 1;
    float p = (float)sqrt(a), q = (float)sqrt(1 - a), sa = (float)sqrt(abar / a), sb = (float)sqrt(1 - abar / a);
    pjd_status st = draw(w);

    if (st != PJD_OK)
        return st;
    memcpy(w->u, w->r->x0, w->n * sizeof *w->u);
    if (a < 1) {
        st = pjd_noise_normal(w->r->noise, w->u, w->n, w->r->err);
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
        for (size_t i = 0; i < w->n; i++)
            w->u[i] = p * w->r->x0[i] + q * w->u[i];
    }
    for (size_t s = 0; s < w->r->samples; s++)
        pjd_operator_project(op, w->u + s * op->nx, w->r->y, a, w->work);
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
    for (size_t i = 0; i < w->n; i++)
        w->xt[i] = sa * w->u[i] + sb * w->z[i];
    return st;
}

typedef struct spectral_level {
    float sa, sb;
    float ratio; /* (1 - abar) / (abar sigma^2): times s^2, k */
    float floor;
} spectral_level;

/* Components to their levels: c is x0's on entry and x_t's on return. k above 1: abar <= a_i, at the top of this file. */
static void mix_components(const spectral_level *l, const float *singular, const float *data, const float *z, size_t n,
                           float *restrict c)
{
    for (size_t i = 0; i < n; i++) {
        bool seen = singular[i] > l->floor;
        float s = seen ? singular[i] : 1.0f, k = seen ? l->ratio * s * s : 0.0f;
        float below = k < 1.0f ? k : 1.0f, above = k < 1.0f ? 1.0f : k;

        c[i] = l->sa * (c[i] + below * (data[i] / s - c[i])) + l->sb * sqrtf(1.0f - below / above) * z[i];
    }
}

/*
 * Below this k a component is left as if it were not seen: its data would move it by a thirtieth of the noise. Gaussian blur
 * 1.6 px, two photographs, sigma from 8-bit rounding to 0.05: within 0.005 dB of all components; 1e-2 loses 0.007 more.
 */
#define LEAST_K 1e-3

typedef struct adjustment {
    const projdiff *w;
    spectral_level l;
    uint64_t first; /* draw of coordinate 0 */
} adjustment;

/*
 * From sqrt(abar) x_i + sqrt(1 - abar) z_i to the distribution of mix_components: for k < 1 that is (1 - k) times it,
 * k e_i, and noise of the variance (1 - abar) k (1 - k) more.
 */
static void adjust_components(void *ctx, size_t first, size_t n, float *c)
{
    const adjustment *a = ctx;
    const spectral_level *l = &a->l;
    const float *singular = a->w->r->op->singular + first, *data = a->w->data + first;

    while (n > 0) {
        size_t some = n < PJD_NOISE_PIECE ? n : PJD_NOISE_PIECE;
        float z[PJD_NOISE_PIECE];

        pjd_noise_at(a->w->r->noise, a->first + (uint64_t)(singular - a->w->r->op->singular), z, some);
        for (size_t i = 0; i < some; i++) {
            bool seen = singular[i] > l->floor;
            float s = seen ? singular[i] : 1.0f, k = seen ? l->ratio * s * s : 0.0f;
            float below = k < 1.0f ? k : 1.0f, above = k < 1.0f ? 1.0f : k;
            float variance = below * (1.0f - below) + (1.0f - 1.0f / above);

            c[i] = below * (l->sa * data[i] / s - c[i]) + l->sb * sqrtf(variance) * z[i];
        }
        singular += some;
        data += some;
        c += some;
        n -= some;
    }
}

static pjd_status mix_spectral(projdiff *w, double abar)
{
    const pjd_operator *op = w->r->op;
    double v = w->r->sigma * w->r->sigma;
    /* exact data: all that is seen lies far above */
    spectral_level l = {(float)sqrt(abar), (float)sqrt(1 - abar), v > 0 ? (float)((1 - abar) / (abar * v)) : INFINITY,
                        (float)w->floor};
    uint64_t first;
    pjd_status st = op->v->adjust ? mix(w, w->r->x0, l.sa, l.sb) : PJD_OK;

    if (st == PJD_OK)
        st = pjd_noise_take(w->r->noise, w->n, &first, w->r->err);
    if (st != PJD_OK)
        return st;
    for (size_t k = 0; k < w->r->samples; k++, first += op->nx) {
        float *c = w->u + k * op->nx;

        if (op->v->adjust) {
            adjustment a = {w, l, first};

            op->v->adjust(op, w->xt + k * op->nx, fmax(w->floor, sqrt(LEAST_K / l.ratio)), adjust_components, &a,
                          w->work);
            continue;
        }
        op->v->to_spectral(op, w->r->x0 + k * op->nx, c, w->work);
#pragma omp parallel for schedule(static) if (op->nx > WORTH_A_TEAM)
        for (size_t i = 0; i < op->nx; i += PJD_NOISE_PIECE) {
            size_t some = op->nx - i < PJD_NOISE_PIECE ? op->nx - i : PJD_NOISE_PIECE;
            float z[PJD_NOISE_PIECE];

            pjd_noise_at(w->r->noise, first + i, z, some);
            mix_components(&l, op->singular + i, w->data + i, z, some, c + i);
        }
        op->v->from_spectral(op, c, w->xt + k * op->nx, w->work);
    }
    return PJD_OK;
}

/* What the point's iterations leave as error beside the noise that is added to it. Motion blur with 8-bit rounding, on crops of
   photographs, on all of y: 11.1 iterations a step with 0.03, 7.9 and 0.01 dB less with this, 4.4 and 0.05 dB less with
   0.3. */
#define SHARE_OF_NOISE 0.15

static pjd_status mix_proximal(projdiff *w, double abar)
{
    const pjd_operator *op = w->r->op;
    double tau2 = (1 - abar) / abar, lambda = w->r->sigma * w->r->sigma / (w->s->prior_gain * tau2);
    float sa = (float)sqrt(abar), sb = (float)sqrt(1 - abar);

    memcpy(w->u, w->r->x0, w->n * sizeof *w->u);
    for (size_t s = 0; s < w->r->samples && op->v->prox_about; s++)
        op->v->prox_about(op, w->u + s * op->nx, w->r->y, lambda, SHARE_OF_NOISE * sqrt(tau2), w->work);
    if (!op->v->prox_about)
        each_sample(w, w->u, lambda);
    return mix(w, w->u, sa, sb);
}

/* ---- one step ---- */

/* The error of a clean estimate's level over a whole area, in parts of the noise's variance. Training photographs: see
   docs/differences-from-the-paper.md. */
#define ERROR_OF_AREAS 0.03

/*
 * Clipped areas: from noisy neighbours and nothing of its own an estimate falls back on what is likely, step by step, to the
 * limit. What the measurement says of them, anywhere beyond the limit, is as good as a value with an error, and is weighed
 * with the estimate.
 */
static void weigh_hidden(projdiff *w, double abar)
{
    double error = ERROR_OF_AREAS * (1 - abar) / abar;
    float g = (float)(error / (error + w->spread));

#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
    for (size_t i = 0; i < w->n; i++)
        if (!isnan(w->middle[i]))
            w->d[i] += g * (w->middle[i] - w->d[i]);
}

static void gradient_step(projdiff *w, double lr)
{
    float *x0 = w->r->x0, beta = (float)w->r->opt->momentum, f = (float)lr;

    if (!w->m) {
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
        for (size_t i = 0; i < w->n; i++)
            x0[i] += f * (w->d[i] - x0[i]);
    } else {
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
        for (size_t i = 0; i < w->n; i++) {
            float g = w->d[i] - x0[i];

            w->m[i] = w->first ? g : beta * w->m[i] + (1 - beta) * g;
            x0[i] += f * w->m[i];
        }
    }
}

static pjd_status step(projdiff *w, size_t k, double t)
{
    const pjd_operator *op = w->r->op;
    double abar = pjd_model_abar(w->r->model, t);
    pjd_status st;

    if (w->form == SPECTRAL)
        st = mix_spectral(w, abar);
    else if (w->form == PROXIMAL)
        st = mix_proximal(w, abar);
    else if (op->v->search)
        st = mix_search(w, abar);
    else if (w->form == NONLINEAR)
        st = mix_nonlinear(w, abar);
    else
        st = mix_one_level(w, abar);
    if (st == PJD_OK)
        st = pjd_solver_denoise(w->r, k, w->xt, t, w->d);
    if (st != PJD_OK)
        return st;
    if (w->middle)
        weigh_hidden(w, abar);
    gradient_step(w, step_size(w, abar));
    w->first = false;
    return PJD_OK;
}

/* The spectral form's projection: what is seen becomes the data itself. */
static void project_spectral(projdiff *w)
{
    const pjd_operator *op = w->r->op;

    for (size_t k = 0; k < w->r->samples; k++) {
        op->v->to_spectral(op, w->r->x0 + k * op->nx, w->u, w->work);
        for (size_t i = 0; i < op->nx; i++)
            if (op->singular[i] > w->floor)
                w->u[i] = w->data[i] / op->singular[i];
        op->v->from_spectral(op, w->u, w->r->x0 + k * op->nx, w->work);
    }
}

static void finish(projdiff *w)
{
    if (w->r->sigma > 0)
        return;
    if (w->form == SPECTRAL)
        project_spectral(w);
    else
        /* A search stops anywhere near a solution; projections alone go down to it. */
        for (int k = 0; k < (w->r->op->v->search ? 100 : 1); k++)
            each_sample(w, w->r->x0, 0);
}

static pjd_status start(projdiff *w)
{
    const pjd_operator *op = w->r->op;
    float scale = (float)sqrt(1 - pjd_model_abar(w->r->model, w->t[0]));
    pjd_status st;

    if (w->s->warm) {
        for (size_t k = 0; k < w->r->samples; k++)
            pjd_operator_guess(op, w->r->y, w->r->x0 + k * op->nx, w->work);
        return PJD_OK;
    }
    st = draw(w);
    if (st != PJD_OK)
        return st;
#pragma omp parallel for schedule(static) if (w->n > WORTH_A_TEAM)
    for (size_t i = 0; i < w->n; i++)
        w->xt[i] = scale * w->z[i];
    return pjd_solver_denoise(w->r, 0, w->xt, w->t[0], w->r->x0);
}

static pjd_status iterate(projdiff *w)
{
    size_t repeats = w->r->opt->repeats ? w->r->opt->repeats : 1;
    pjd_status st = start(w);

    for (size_t k = 0; k < w->steps && st == PJD_OK; k++) {
        for (size_t j = 0; j < repeats && st == PJD_OK; j++)
            st = step(w, k + 1, w->t[k]);
        if (st == PJD_OK && k + 1 == w->steps)
            finish(w);
        if (st == PJD_OK)
            st = pjd_solver_progress(w->r, k + 1, w->steps);
    }
    w->r->report->steps = w->steps;
    w->r->report->step_size = step_size(w, pjd_model_abar(w->r->model, w->t[0]));
    return st;
}

static void choose_form(projdiff *w)
{
    const pjd_operator *op = w->r->op;

    if (w->s->proximal && op->linear) {
        w->form = PROXIMAL;
    } else if (op->spectral_count == op->nx) {
        float top = 0;

        w->form = SPECTRAL;
        for (size_t i = 0; i < op->nx; i++)
            top = fmaxf(top, op->singular[i]);
        /* Exact data still carry rounding: amplifying it a thousandfold helps nobody. */
        w->floor = w->r->sigma > 0 ? 0 : 1e-3 * top;
    } else if (op->kind == PJD_OP_SELECT || op->kind == PJD_OP_AVERAGE || op->kind == PJD_OP_IDENTITY ||
               op->kind == PJD_OP_CLIP) {
        w->form = ONE_LEVEL;
    } else if (!op->linear) {
        w->form = NONLINEAR;
    } else {
        w->form = PROXIMAL;
    }
}

/* Floats that a run holds; n: elements of all samples. */
static size_t buffers(const pjd_operator *op, bool momentum, size_t n)
{
    size_t arrays = 4 + (size_t)momentum + (op->kind == PJD_OP_CLIP);

    return arrays * n + op->nx + pjd_operator_work(op);
}

pjd_status pjd_projdiff_run(pjd_solver_run *r, const pjd_projdiff_settings *s)
{
    const pjd_operator *op = r->op;
    bool momentum = r->opt->momentum > 0;
    projdiff w = {.r = r, .s = s, .n = r->samples * op->nx, .steps = s->steps, .first = true};
    size_t work = pjd_operator_work(op), floats = buffers(op, momentum, w.n);
    float *buf;
    pjd_status st;

    choose_form(&w);
    w.v = w.form == ONE_LEVEL || w.form == NONLINEAR ? pjd_operator_noise_gain(op, r->sigma * r->sigma)
                                                     : r->sigma * r->sigma;
    buf = pjd_alloc(floats, sizeof *buf);
    w.t = pjd_alloc(w.steps ? w.steps : 1, sizeof *w.t);
    if (!buf || !w.t || !w.steps) {
        pjd_free(buf);
        pjd_free(w.t);
        return pjd_error_nomem(r->err, "solver", floats * sizeof *buf);
    }
    w.xt = buf;
    w.d = w.xt + w.n;
    w.z = w.d + w.n;
    w.u = w.z + w.n;
    w.data = w.u + w.n;
    w.work = w.data + op->nx;
    w.m = momentum ? w.work + work : NULL;
    w.middle = op->kind == PJD_OP_CLIP ? w.work + work + (momentum ? w.n : 0) : NULL;
    if (w.form == SPECTRAL)
        op->v->data(op, r->y, w.data, w.work);
    make_grid(&w);
    st = iterate(&w);
    r->report->peak_bytes = floats * sizeof *buf;
    pjd_free(w.t);
    pjd_free(w.xt);
    return st;
}

static pjd_status run(pjd_solver_run *r)
{
    pjd_projdiff_settings s;

    if (r->opt->compat == PJD_COMPAT_REFERENCE)
        return pjd_projdiff_reference(r);
    pjd_projdiff_choose(r->op, r->sigma, &s);
    if (r->opt->steps)
        s.steps = r->opt->steps;
    return pjd_projdiff_run(r, &s);
}

static void forecast(const pjd_solver_run *r, pjd_solver_forecast *f)
{
    const pjd_operator *op = r->op;
    size_t n = r->samples * op->nx, repeats = r->opt->repeats ? r->opt->repeats : 1;
    pjd_projdiff_settings s;

    if (r->opt->compat == PJD_COMPAT_REFERENCE) {
        size_t T = r->model->info.timesteps, skip = T / (r->opt->steps ? r->opt->steps : 100);

        s.steps = (T + (skip ? skip : 1) - 1) / (skip ? skip : 1);
        s.warm = false;
    } else {
        pjd_projdiff_choose(op, r->sigma, &s);
        s.steps = r->opt->steps ? r->opt->steps : s.steps;
    }
    f->steps = s.steps;
    f->evaluations = (uint64_t)s.steps * repeats + !s.warm;
    f->floats = buffers(op, r->opt->momentum > 0, n);
}

const pjd_solver_class pjd_sv_projdiff = {
    .entry = {.name = "projdiff", .summary = "projection and denoising by turns (arXiv 2406.06959)"},
    .forecast = forecast,
    .run = run,
};
