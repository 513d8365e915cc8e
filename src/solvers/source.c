/* SPDX-License-Identifier: MIT */
/* Separation and completion: planned models, options, levels. The methods are in source_projdiff.c, source_msdm.c. */
#include "solvers/source.h"

#include <math.h>
#include <string.h>

#include "core/prior.h"

pjd_status pjd_karras_sigmas(size_t steps, double sigma_min, double sigma_max, double rho, double *sigmas,
                             pjd_error *err)
{
    double a, b;

    if (steps < 2)
        return pjd_error_set(err, PJD_ERR_ARG, "levels: at least 2 expected, found %zu", steps);
    if (!(sigma_min > 0 && sigma_max > sigma_min && isfinite(sigma_max)))
        return pjd_error_set(err, PJD_ERR_ARG, "levels: 0 < sigma_min < sigma_max expected, found %g and %g", sigma_min,
                             sigma_max);
    if (!(rho > 0 && rho <= 100))
        return pjd_error_set(err, PJD_ERR_ARG, "levels: rho above 0, at most 100 expected, found %g", rho);
    a = pow(sigma_max, 1 / rho);
    b = pow(sigma_min, 1 / rho);
    for (size_t i = 0; i < steps; i++)
        sigmas[i] = pow(a + (double)i / (double)(steps - 1) * (b - a), rho);
    sigmas[steps] = 0;
    return PJD_OK;
}

/* ---- planning ---- */

static pjd_status check_models(pjd_model *const *models, size_t count, pjd_sources *s, pjd_error *err)
{
    double rate = 0;

    for (size_t i = 0; i < count; i++) {
        const pjd_model_info *m = &models[i]->info;
        size_t channels = m->fixed_size ? m->item.dim[0] : m->in_channels;

        if (channels == 0 || m->num_classes || m->in_channels != m->out_channels)
            return pjd_error_set(err, PJD_ERR_ARG, "sources: model %zu (%s) is no prior of stems", i + 1, m->family);
        if (rate > 0 && m->sample_rate > 0 && m->sample_rate != rate)
            return pjd_error_set(err, PJD_ERR_ARG, "sources: models of one rate expected, found %g and %g Hz", rate,
                                 m->sample_rate);
        rate = m->sample_rate > 0 ? m->sample_rate : rate;
        s->first[i] = s->stems;
        s->stems += channels;
    }
    return PJD_OK;
}

static size_t channels_of(const pjd_sources *s, size_t i)
{
    return (i + 1 < s->count ? s->first[i + 1] : s->stems) - s->first[i];
}

static pjd_status make_buffers(pjd_sources *s, pjd_error *err)
{
    float **all[] = {&s->x, &s->d, &s->z, &s->m, &s->encoding};
    size_t bytes;

    if (!pjd_mul(s->stems, s->length, &s->n) || !pjd_mul(s->n, sizeof(float) * PJD_COUNTOF(all), &bytes))
        return pjd_error_set(err, PJD_ERR_SHAPE, "sources: %zu stems of %zu samples are too large", s->stems,
                             s->length);
    for (size_t i = 0; i < PJD_COUNTOF(all); i++) {
        *all[i] = pjd_alloc(s->n, sizeof(float));
        if (!*all[i])
            return pjd_error_nomem(err, "sources", bytes);
    }
    return PJD_OK;
}

pjd_status pjd_sources_create(pjd_model *const *models, size_t count, size_t length, const pjd_runner_options *runner,
                              pjd_sources **out, pjd_error *err)
{
    pjd_sources *s;
    pjd_status st;

    *out = NULL;
    if (count == 0 || count > 1024 || length == 0)
        return pjd_error_set(err, PJD_ERR_ARG, "sources: a model and a sample at least expected, found %zu and %zu",
                             count, length);
    s = pjd_alloc_zero(1, sizeof *s);
    if (!s)
        return pjd_error_nomem(err, "sources", sizeof *s);
    s->length = length;
    s->how = runner ? *runner : (pjd_runner_options){0};
    s->models = pjd_alloc_zero(count, sizeof *s->models);
    s->runners = pjd_alloc_zero(count, sizeof *s->runners);
    s->first = pjd_alloc_zero(count, sizeof *s->first);
    if (!s->models || !s->runners || !s->first) {
        st = pjd_error_nomem(err, "sources", count * sizeof *s->models);
        goto fail;
    }
    s->count = count;
    st = check_models(models, count, s, err);
    if (st == PJD_OK)
        st = make_buffers(s, err);
    for (size_t i = 0; i < count && st == PJD_OK; i++) {
        pjd_shape item = pjd_shape_chw(channels_of(s, i), 1, length);

        s->models[i] = pjd_model_ref(models[i]);
        st = pjd_runner_create(models[i], 1, &item, runner, &s->runners[i], err);
    }
    if (st == PJD_OK) {
        *out = s;
        return PJD_OK;
    }
fail:
    pjd_sources_free(s);
    return st;
}

void pjd_sources_free(pjd_sources *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        pjd_runner_free(s->runners[i]);
        if (s->models[i])
            pjd_model_unref(s->models[i]);
    }
    pjd_free(s->models);
    pjd_free(s->runners);
    pjd_free(s->first);
    pjd_free(s->x);
    pjd_free(s->d);
    pjd_free(s->z);
    pjd_free(s->m);
    pjd_free(s->encoding);
    pjd_free(s);
}

size_t pjd_sources_count(const pjd_sources *s)
{
    return s->stems;
}

const char *pjd_sources_name(const pjd_sources *s, size_t i)
{
    size_t k = s->count - 1;

    if (i >= s->stems)
        return NULL;
    while (s->first[k] > i)
        k--;
    i -= s->first[k];
    return i < s->models[k]->info.stem_count ? s->models[k]->info.stems[i] : NULL;
}

/* ---- what the methods call ---- */

pjd_status pjd_source_denoise(source_run *r, const float *x, double sigma, float *d)
{
    pjd_status st = PJD_OK;

    for (size_t i = 0; i < r->s->count && st == PJD_OK; i++) {
        size_t at = r->s->first[i] * r->s->length;

        st = pjd_runner_denoise_sigma(r->s->runners[i], x + at, sigma, d + at, r->err);
    }
    r->calls++;
    return st;
}

pjd_status pjd_source_draw(source_run *r, float *z)
{
    return pjd_noise_normal(r->o.noise, z, r->s->n, r->err);
}

pjd_status pjd_source_progress(source_run *r, size_t step, const float *x)
{
    if (r->o.progress && !r->o.progress(r->o.progress_user, step + 1, r->o.steps, x))
        return pjd_error_set(r->err, PJD_ERR_CANCELLED, "sources: cancelled after step %zu of %zu", step + 1,
                             r->o.steps);
    return PJD_OK;
}

/* ---- options ---- */

void pjd_source_options_init(pjd_source_options *o)
{
    *o = (pjd_source_options){.momentum = -1, .churn = -1};
}

static pjd_status resolve(source_run *r)
{
    pjd_source_options *o = &r->o;
    bool complete = !r->mixture, projdiff;

    if (!o->solver)
        o->solver = "projdiff";
    projdiff = !strcmp(o->solver, "projdiff");
    if (!projdiff && (complete || (strcmp(o->solver, "dirac") != 0 && strcmp(o->solver, "gaussian") != 0)))
        return pjd_error_set(r->err, PJD_ERR_ARG, "sources: solver %s expected, found \"%.60s\"",
                             complete ? "projdiff" : "projdiff, dirac or gaussian", o->solver);
    o->steps = o->steps ? o->steps : complete ? 256 : 150;
    o->repeats = o->repeats ? o->repeats : complete ? 1 : projdiff ? 5 : 2;
    if (o->step_size == 0)
        o->step_size = complete ? 0.05 : 0.5 / (double)o->repeats;
    if (o->momentum < 0)
        o->momentum = complete ? 0.9 : 0.5;
    o->sigma_min = o->sigma_min == 0 ? 1e-4 : o->sigma_min;
    o->sigma_max = o->sigma_max == 0 ? (complete ? 20 : 1) : o->sigma_max;
    o->rho = o->rho == 0 ? 7 : o->rho;
    if (o->churn < 0)
        o->churn = !strcmp(o->solver, "dirac") && r->s->count == 1 ? 20 : 40;
    o->gamma = o->gamma == 0 ? 0.75 : o->gamma;
    if (!(o->step_size > 0 && isfinite(o->step_size)) || !(o->momentum >= 0 && o->momentum < 1))
        return pjd_error_set(r->err, PJD_ERR_ARG,
                             "sources: step size above 0 and momentum from 0 to below 1 expected, found %g and %g",
                             o->step_size, o->momentum);
    if (!(o->churn >= 0 && isfinite(o->churn)) || !(o->gamma > 0 && isfinite(o->gamma)))
        return pjd_error_set(r->err, PJD_ERR_ARG,
                             "sources: churn of at least 0 and gamma above 0 expected, found %g and %g", o->churn,
                             o->gamma);
    if (o->constrained >= r->s->stems)
        return pjd_error_set(r->err, PJD_ERR_ARG, "sources: constrained stem below %zu expected, found %zu",
                             r->s->stems, o->constrained);
    if (o->known_length > r->s->length || (o->known_length && !o->known))
        return pjd_error_set(r->err, PJD_ERR_ARG, "sources: at most %zu known samples expected, found %zu%s",
                             r->s->length, o->known_length, o->known ? "" : " without their values");
    return PJD_OK;
}

static double residual(const source_run *r)
{
    double sum = 0;

    for (size_t i = 0; i < r->s->length; i++) {
        double e = r->mixture[i];

        for (size_t k = 0; k < r->s->stems; k++)
            e -= r->stems[k * r->s->length + i];
        sum += e * e;
    }
    return sqrt(sum / (double)r->s->length);
}

static double network_seconds(const pjd_sources *s)
{
    pjd_runner_stats st;
    double sum = 0;

    for (size_t i = 0; i < s->count; i++) {
        pjd_runner_get_stats(s->runners[i], &st);
        sum += st.seconds;
    }
    return sum;
}

static pjd_status run(source_run *r, pjd_source_report *report)
{
    double start = pjd_now(), before = network_seconds(r->s);
    pjd_noise *own = NULL;
    pjd_status st = resolve(r);
    size_t levels;

    if (st != PJD_OK)
        return st;
    if (!pjd_add(r->o.steps, 1, &levels) || !(r->sigmas = pjd_alloc(levels, sizeof *r->sigmas)))
        return pjd_error_nomem(r->err, "sources", levels);
    st = pjd_karras_sigmas(r->o.steps, r->o.sigma_min, r->o.sigma_max, r->o.rho, r->sigmas, r->err);
    if (st == PJD_OK && !r->o.noise) {
        st = pjd_noise_seeded(r->o.seed, 2, &own, r->err);
        r->o.noise = own;
    }
    if (st == PJD_OK)
        st = !strcmp(r->o.solver, "dirac")      ? pjd_source_dirac(r)
             : !strcmp(r->o.solver, "gaussian") ? pjd_source_gaussian(r)
                                                : pjd_source_projdiff(r);
    pjd_noise_free(own);
    pjd_free(r->sigmas);
    if (st == PJD_OK && report)
        *report = (pjd_source_report){.steps = r->o.steps,
                                      .repeats = r->o.repeats,
                                      .step_size = r->o.step_size,
                                      .residual = r->mixture ? residual(r) : 0,
                                      .seconds = pjd_now() - start,
                                      .network_seconds = network_seconds(r->s) - before,
                                      .network_calls = r->calls};
    return st;
}

static pjd_source_options options(const pjd_source_options *opt)
{
    pjd_source_options o;

    pjd_source_options_init(&o);
    return opt ? *opt : o;
}

pjd_status pjd_sources_estimate(pjd_sources *s, const pjd_source_options *opt, bool completing, pjd_source_report *out,
                                pjd_error *err)
{
    const float any = 0;
    source_run r = {.s = s, .o = options(opt), .mixture = completing ? NULL : &any, .err = err};
    pjd_status st = resolve(&r);

    *out = (pjd_source_report){0};
    if (st != PJD_OK)
        return st;
    out->steps = r.o.steps;
    out->repeats = r.o.repeats;
    out->step_size = r.o.step_size;
    out->network_calls = (uint64_t)r.o.steps * r.o.repeats + !strcmp(r.o.solver, "projdiff");
    for (size_t i = 0; i < s->count && st == PJD_OK; i++) {
        pjd_shape item = pjd_shape_chw(channels_of(s, i), 1, s->length);
        pjd_estimate e;

        st = pjd_model_estimate(s->models[i], 1, &item, &s->how, &e, err);
        out->seconds += (double)out->network_calls * e.seconds;
    }
    out->network_seconds = out->seconds;
    return st;
}

pjd_status pjd_separate(pjd_sources *s, const float *mixture, const pjd_source_options *opt, float *stems,
                        pjd_source_report *report, pjd_error *err)
{
    source_run r = {.s = s, .o = options(opt), .mixture = mixture, .stems = stems, .err = err};

    if (!pjd_all_finite(mixture, s->length))
        return pjd_error_set(err, PJD_ERR_NONFINITE, "sources: the mixture has samples that are no finite numbers");
    return run(&r, report);
}

pjd_status pjd_complete(pjd_sources *s, const float *const *given, const pjd_source_options *opt, float *stems,
                        pjd_source_report *report, pjd_error *err)
{
    source_run r = {.s = s, .o = options(opt), .given = given, .stems = stems, .err = err};

    for (size_t k = 0; k < s->stems; k++)
        if (given[k] && !pjd_all_finite(given[k], s->length))
            return pjd_error_set(err, PJD_ERR_NONFINITE,
                                 "sources: given stem %zu has samples that are no finite numbers", k + 1);
    return run(&r, report);
}
