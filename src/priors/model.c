/* SPDX-License-Identifier: MIT */
/* What every model has: references, schedule, details. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/prior.h"

static pjd_status cumulate(const double *betas, size_t count, double *abar, pjd_error *err)
{
    double product = 1;

    for (size_t i = 0; i < count; i++) {
        if (!(betas[i] > 0 && betas[i] < 1))
            return pjd_error_set(err, PJD_ERR_ARG, "schedule: beta %zu expected between 0 and 1, found %g", i,
                                 betas[i]);
        product *= 1 - betas[i];
        /* Only a schedule of absurd length gets here; log-SNR must stay finite. */
        abar[i] = product > 1e-300 ? product : 1e-300;
    }
    return PJD_OK;
}

pjd_status pjd_model_new(const pjd_prior_vtbl *v, const double *betas, size_t count, const char *schedule_text,
                         pjd_model **out, pjd_error *err)
{
    pjd_model *m = pjd_alloc_zero(1, sizeof *m);
    double *made = NULL;
    pjd_status st = PJD_OK;

    *out = NULL;
    if (!m)
        return pjd_error_nomem(err, "model", sizeof *m);
    atomic_init(&m->refs, 1);
    m->v = v;
    if (!betas || count == 0) {
        betas = NULL;
        count = count ? count : 1000;
    }
    m->abar = pjd_alloc(count, sizeof *m->abar);
    m->schedule_text = pjd_strdup(schedule_text ? schedule_text : betas ? "given betas" : "linear 0.0001..0.02");
    if (!betas)
        betas = made = pjd_alloc(count, sizeof *made);
    if (!m->abar || !m->schedule_text || !betas)
        st = pjd_error_nomem(err, "model", count * sizeof *m->abar);
    if (st == PJD_OK && made)
        st = pjd_schedule_betas("linear", 1e-4, 0.02, count, made, err);
    if (st == PJD_OK)
        st = cumulate(betas, count, m->abar, err);
    pjd_free(made);
    if (st != PJD_OK) {
        pjd_free(m->abar);
        pjd_free(m->schedule_text);
        pjd_free(m);
        return st;
    }
    m->info.timesteps = count;
    m->info.schedule = m->schedule_text;
    m->info.sigma_scale = 1;
    m->info.multiple = 1;
    m->info.family = "";
    m->info.container = "";
    *out = m;
    return PJD_OK;
}

pjd_status pjd_model_add_detail(pjd_model *m, pjd_error *err, const char *fmt, ...)
{
    char line[512];
    char **details, *copy;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    copy = pjd_strdup(n < 0 ? "" : line);
    details = copy ? pjd_realloc(m->details, m->detail_count * sizeof *details, m->detail_count + 1, sizeof *details)
                   : NULL;
    if (!details) {
        pjd_free(copy);
        return pjd_error_nomem(err, "model", sizeof line);
    }
    details[m->detail_count++] = copy;
    m->details = details;
    return PJD_OK;
}

pjd_model *pjd_model_ref(pjd_model *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void pjd_model_unref(pjd_model *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (m->v->destroy)
        m->v->destroy(m);
    for (size_t i = 0; i < m->detail_count; i++)
        pjd_free(m->details[i]);
    pjd_free(m->details);
    pjd_free(m->schedule_text);
    pjd_free(m->abar);
    pjd_free(m);
}

const pjd_model_info *pjd_model_get_info(const pjd_model *m)
{
    return &m->info;
}

const char *pjd_model_detail(const pjd_model *m, size_t i)
{
    return i < m->detail_count ? m->details[i] : NULL;
}

static double log_snr(double abar)
{
    return log(abar) - log1p(-abar);
}

double pjd_model_abar(const pjd_model *m, double t)
{
    double last = (double)(m->info.timesteps - 1), lambda, f;
    size_t i;

    if (!(t > 0))
        return m->abar[0];
    if (t >= last)
        return m->abar[m->info.timesteps - 1];
    i = (size_t)t;
    f = t - (double)i;
    if (f <= 0)
        return m->abar[i];
    lambda = (1 - f) * log_snr(m->abar[i]) + f * log_snr(m->abar[i + 1]);
    return 1 / (1 + exp(-lambda));
}

double pjd_model_t_of_abar(const pjd_model *m, double abar)
{
    size_t lo = 0, hi = m->info.timesteps - 1;
    double a, b;

    if (!(abar < m->abar[0]))
        return 0;
    if (!(abar > m->abar[hi]))
        return (double)hi;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (m->abar[mid] >= abar)
            lo = mid;
        else
            hi = mid;
    }
    a = log_snr(m->abar[lo]);
    b = log_snr(m->abar[hi]);
    return (double)lo + (a > b ? (a - log_snr(abar)) / (a - b) : 0);
}
