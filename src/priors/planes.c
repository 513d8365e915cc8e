/* SPDX-License-Identifier: MIT */
/*
 * A prior of pictures asked about arrays of several gray planes (real and imaginary part): each plane is a picture of its
 * own. Where the inner prior wants three channels, a gray plane x + tau z becomes
 *
 *     x + tau z + sqrt(3) tau (n_c - mean n)          n_c of N(0, 1), c = 1..3
 *
 * whose noise has the covariance tau^2 (all ones) + 3 tau^2 (1 - ones / 3) = 3 tau^2 identity: a colour picture at the
 * level sqrt(3) tau, of which the mean over the channels tells all that x + tau z does. The mean of its clean estimate is
 * the plane's.
 */
#include <math.h>
#include <string.h>

#include "core/prior.h"

/* What the library draws for itself; a solver's noise comes from its caller. */
#define PLANES_SEED 0x706c616e6573u

typedef struct planes {
    pjd_model *inner;
    size_t count, channels;
} planes;

typedef struct planes_state {
    pjd_runner *runner;
    pjd_noise *noise;
    size_t items, area; /* planes of all items; pixels of one */
    float *x, *n;       /* [items, channels, area]; [channels, area] */
} planes_state;

static void free_state(pjd_model *m, void *state)
{
    planes_state *s = state;

    pjd_runner_free(s->runner);
    pjd_noise_free(s->noise);
    pjd_free(s->x);
    pjd_free(s->n);
    pjd_free(s);
}

/* Each plane has its item's class. */
static pjd_status repeat_classes(const pjd_runner_options *opt, size_t batch, size_t count, int **out, pjd_error *err)
{
    *out = NULL;
    if (!opt || !opt->classes)
        return PJD_OK;
    *out = pjd_alloc(batch * count, sizeof **out);
    if (!*out)
        return pjd_error_nomem(err, "planes", batch * count * sizeof **out);
    for (size_t i = 0; i < batch * count; i++)
        (*out)[i] = opt->classes[i / count];
    return PJD_OK;
}

static pjd_status make_state(const planes *p, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                             planes_state *s, pjd_error *err)
{
    pjd_runner_options o = opt ? *opt : (pjd_runner_options){0};
    pjd_shape one = pjd_shape_chw(p->channels, item->dim[1], item->dim[2]);
    size_t floats;
    int *classes = NULL;
    pjd_status st;

    s->area = item->dim[1] * item->dim[2];
    if (!pjd_mul(batch, p->count, &s->items) || !pjd_mul(s->items, p->channels * s->area, &floats))
        return pjd_error_set(err, PJD_ERR_SHAPE, "planes: %zu items are too large", batch);
    s->x = pjd_alloc(floats, sizeof *s->x);
    s->n = pjd_alloc(p->channels * s->area, sizeof *s->n);
    if (!s->x || !s->n)
        return pjd_error_nomem(err, "planes", floats * sizeof *s->x);
    st = repeat_classes(opt, batch, p->count, &classes, err);
    o.classes = classes;
    if (st == PJD_OK)
        st = pjd_runner_create(p->inner, s->items, &one, &o, &s->runner, err);
    pjd_free(classes);
    return st;
}

static pjd_status plan(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt, void **state,
                       pjd_error *err)
{
    planes_state *s = pjd_alloc_zero(1, sizeof *s);
    pjd_status st;

    if (!s)
        return pjd_error_nomem(err, "planes", sizeof *s);
    st = pjd_noise_seeded(PLANES_SEED, 0, &s->noise, err);
    if (st == PJD_OK)
        st = make_state(m->priv, batch, item, opt, s, err);
    if (st == PJD_OK)
        *state = s;
    else
        free_state(m, s);
    return st;
}

/* One plane at abar as three channels at abar3, 1 / abar3 - 1 = 3 (1 / abar - 1). */
static pjd_status widen(planes_state *s, const float *x, double abar, double abar3, float *out, pjd_error *err)
{
    float keep = (float)sqrt(abar3 / abar), spread = (float)sqrt(1 - abar3);
    pjd_status st = pjd_noise_normal(s->noise, s->n, 3 * s->area, err);

    for (size_t i = 0; st == PJD_OK && i < s->area; i++) {
        float mean = (s->n[i] + s->n[s->area + i] + s->n[2 * s->area + i]) / 3;

        for (size_t c = 0; c < 3; c++)
            out[c * s->area + i] = keep * x[i] + spread * (s->n[c * s->area + i] - mean);
    }
    return st;
}

static pjd_status denoise(pjd_model *m, void *state, const float *x, double t, double abar, float *x0, pjd_error *err)
{
    const planes *p = m->priv;
    planes_state *s = state;
    double abar3 = abar / (3 - 2 * abar);
    pjd_status st = PJD_OK;

    if (p->channels == 1)
        return pjd_runner_denoise(s->runner, x, t, x0, err);
    for (size_t k = 0; st == PJD_OK && k < s->items; k++)
        st = widen(s, x + k * s->area, abar, abar3, s->x + k * 3 * s->area, err);
    if (st == PJD_OK)
        st = pjd_runner_denoise(s->runner, s->x, pjd_model_t_of_abar(p->inner, abar3), s->x, err);
    for (size_t k = 0; st == PJD_OK && k < s->items; k++)
        for (size_t i = 0; i < s->area; i++) {
            const float *v = s->x + k * 3 * s->area + i;

            x0[k * s->area + i] = (v[0] + v[s->area] + v[2 * s->area]) / 3;
        }
    return st;
}

static void state_stats(pjd_model *m, void *state, size_t *arena_bytes, size_t *weight_bytes)
{
    const planes *p = m->priv;
    planes_state *s = state;
    pjd_runner_stats stats;

    pjd_runner_get_stats(s->runner, &stats);
    *arena_bytes = stats.arena_bytes + (s->items + 1) * p->channels * s->area * sizeof(float);
    *weight_bytes = stats.weight_bytes;
}

static void destroy(pjd_model *m)
{
    planes *p = m->priv;

    if (p)
        pjd_model_unref(p->inner);
    pjd_free(p);
}

static const pjd_prior_vtbl table = {
    .plan = plan, .denoise = denoise, .state_stats = state_stats, .state_free = free_state, .destroy = destroy};

pjd_status pjd_model_planes(pjd_model *inner, size_t count, pjd_model **out, pjd_error *err)
{
    const pjd_model_info *i = &inner->info;
    pjd_model *m = NULL;
    planes *p;
    pjd_status st;

    *out = NULL;
    if (count == 0 || i->sequence || i->fixed_size || (i->in_channels != 1 && i->in_channels != 3))
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED,
                             "planes: expected a prior of pictures with 1 or 3 channels, found %s with %zu",
                             i->sequence     ? "one of sequences"
                             : i->fixed_size ? "one of a fixed size"
                                             : "one",
                             i->in_channels);
    st = pjd_model_new(&table, NULL, i->timesteps, i->schedule, &m, err);
    if (st != PJD_OK)
        return st;
    p = m->priv = pjd_alloc(1, sizeof *p);
    if (!p) {
        pjd_model_unref(m);
        return pjd_error_nomem(err, "planes", sizeof *p);
    }
    *p = (planes){.inner = pjd_model_ref(inner), .count = count, .channels = i->in_channels};
    memcpy(m->abar, inner->abar, i->timesteps * sizeof *m->abar);
    m->info.family = i->family; /* lives as long as inner */
    m->info.container = i->container;
    m->info.parameters = i->parameters;
    m->info.in_channels = m->info.out_channels = count;
    m->info.num_classes = i->num_classes;
    m->info.range_low = i->range_low;
    m->info.range_high = i->range_high;
    m->info.sigma_scale = i->sigma_scale;
    *out = m;
    return PJD_OK;
}
