/* SPDX-License-Identifier: MIT */
/* What a measurement tells about itself: its kind, its noise, and how it becomes what a solver takes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measured.h"
#include "restore.h"

/* Noise that turns a gray measurement into three channels; apart from the solver's streams, which are numbers of items. */
#define LIFT_STREAM 0x6c69667400000000u

/*
 * What the operator makes of an even gray tells whether a measurement is a picture, whose finest details tell its noise
 * (enlarging, blur, masks: mostly even again), or something else (spectra, random mixtures, line integrals).
 */
pjd_status restore_probe(file_run *f, pjd_error *err)
{
    size_t nx, ny, even = 0;
    float *x, *y, *work, low = 0, high = 0;

    if (!pjd_shape_count(pjd_operator_input(f->op), &nx) || !pjd_shape_count(pjd_operator_output(f->op), &ny))
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    x = malloc(nx * sizeof *x);
    y = malloc(ny * sizeof *y);
    work = malloc((pjd_operator_work(f->op) + 1) * sizeof *work);
    if (x && y && work) {
        for (size_t i = 0; i < nx; i++)
            x[i] = 0.25f;
        pjd_operator_apply(f->op, x, y, work);
        for (size_t i = 0; i < ny; i++) {
            low = y[i] < low ? y[i] : low;
            high = y[i] > high ? y[i] : high;
        }
        for (size_t i = 0; i < ny; i++)
            even += y[i] == 0 || y[i] >= 0.99f * high;
        f->picture_like = high - low <= 0.5f && 2 * even >= ny;
        f->reach = 4 * (high > -low ? high : -low);
    }
    free(x);
    free(y);
    free(work);
    return x && y && work ? PJD_OK : pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
}

/* What gray values and counts need. */
pjd_status restore_prepare_measured(file_run *f, pjd_error *err)
{
    const cli_task *t = &f->r->task;
    double peak = f->r->peak;
    pjd_status st = PJD_OK;

    if (f->mri && (peak > 0 || f->r->a->gray_values))
        return pjd_error_set(err, PJD_ERR_ARG, "mri: --gray-values and --noise-model are for gray pictures");
    if ((f->r->a->gray_values || f->r->a->consistency) && !pjd_operator_is_linear(f->plain))
        return pjd_error_set(err, PJD_ERR_ARG, "%s: --gray-values and --data-consistency need a linear task", t->name);
    if (peak > 0 && !(pjd_model_get_info(f->r->model)->sigma_scale == 2))
        return pjd_error_set(err, PJD_ERR_ARG, "--noise-model poisson needs a prior of pictures");
    if (peak > 0)
        st = cli_require_counts(f->plain, err);
    if (st == PJD_OK && (peak > 0 || f->r->a->gray_values))
        st = cli_white(f->plain, &f->white, err);
    if (peak > 0)
        f->counts = t->parts == 1 && (!strcmp(t->first, "denoise") || !strcmp(t->first, "inpaint")) ? STABILISED
                                                                                                    : WEIGHTED;
    return st;
}

/*
 * Where nothing of the picture arrives (detectors beside it), a measurement is its noise. What a random picture leaves at
 * exactly 0 is such a place; a few tell little, and where all hold 0 they were hidden, not measured.
 */
static pjd_status unseen_noise(file_run *f, const float *y, double *sigma, pjd_error *err)
{
    size_t nx, ny;
    float *x, *ax, *work;
    double sum = 0;
    pjd_noise *noise = NULL;
    pjd_status st;

    if (!pjd_shape_count(pjd_operator_input(f->plain), &nx) || !pjd_shape_count(pjd_operator_output(f->plain), &ny))
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    x = malloc(nx * sizeof *x);
    ax = malloc(ny * sizeof *ax);
    work = malloc((pjd_operator_work(f->plain) + 1) * sizeof *work);
    st = x && ax && work ? pjd_noise_seeded(1, 0, &noise, err) : pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    if (st == PJD_OK)
        st = pjd_noise_normal(noise, x, nx, err);
    if (st == PJD_OK) {
        pjd_operator_apply(f->plain, x, ax, work);
        f->unseen = 0;
        for (size_t i = 0; i < ny; i++)
            if (ax[i] == 0) {
                sum += (double)y[i] * y[i];
                f->unseen++;
            }
        if (f->unseen < 64 || !(sum > 0))
            f->unseen = 0;
        *sigma = f->unseen ? sqrt(sum / (double)f->unseen) : 0;
    }
    pjd_noise_free(noise);
    free(x);
    free(ax);
    free(work);
    return st;
}

/* Sigma on the user's scale for one unit; scale: user's to model's units. */
static pjd_status choose_sigma(file_run *f, const float *y, size_t c, double scale, double *sigma, pjd_error *err)
{
    const restore_args *a = f->r->a;
    pjd_shape shape = pjd_shape_chw(c, f->y.h, f->y.w);
    double rounding = 0;
    pjd_status st = PJD_OK;

    *sigma = a->sigma >= 0 ? a->sigma : 0;
    if (f->mri)
        *sigma = (a->sigma >= 0 ? a->sigma : pjd_mri_get_info(f->mri)->sigma) / pjd_mri_get_info(f->mri)->scale;
    if (f->mri || a->sigma >= 0)
        return PJD_OK;
    if (f->estimated) {
        if (!f->y.array && f->y.info.bits > 0 && f->y.info.bits <= 16)
            rounding = 1 / (((double)(1u << f->y.info.bits) - 1) * sqrt(12.0));
        *sigma = pjd_estimate_sigma(&shape, y) / scale;
        *sigma = *sigma > rounding ? *sigma : rounding;
        return PJD_OK;
    }
    if (!f->picture_like && pjd_operator_is_linear(f->plain))
        st = unseen_noise(f, y, sigma, err);
    *sigma /= scale;
    if (st == PJD_OK && !f->unseen && a->sigma == CLI_AUTO)
        st = pjd_error_set(err, PJD_ERR_ARG,
                           "--sigma auto: the noise of this measurement (%s) cannot be estimated: give "
                           "its standard deviation",
                           f->r->task.name);
    else if (st == PJD_OK && !f->picture_like && !f->unseen && f->unit_index == 0)
        cli_warn("%s: the noise of this kind of measurement cannot be estimated: sigma is taken as 0 (see --sigma)",
                 f->job->input);
    return st;
}

/*
 * Three channels from a gray measurement y = A x + s e such that their noise is independent with deviation sqrt(3) s:
 * y_c = y + sqrt(3) s (n_c - mean n). Covariance over channels: s^2 (all ones) + 3 s^2 (1 - ones / 3) = 3 s^2 identity.
 * The mean over the channels of what is solved for is the gray result.
 */
pjd_status restore_lift_gray(const file_run *f, const float *y, double sigma, float *out, pjd_error *err)
{
    size_t plane = f->y.h * f->y.w;
    pjd_noise *noise = NULL;
    pjd_status st = PJD_OK;

    if (sigma > 0) {
        st = pjd_noise_seeded(f->r->a->seed, LIFT_STREAM + f->unit_index, &noise, err);
        if (st == PJD_OK)
            st = pjd_noise_normal(noise, out, 3 * plane, err);
    } else {
        memset(out, 0, 3 * plane * sizeof *out);
    }
    pjd_noise_free(noise);
    for (size_t i = 0; st == PJD_OK && i < plane; i++) {
        double mean = ((double)out[i] + out[plane + i] + out[2 * plane + i]) / 3;

        for (size_t c = 0; c < 3; c++)
            out[c * plane + i] = (float)(y[i] + sqrt(3.0) * sigma * (out[c * plane + i] - mean));
    }
    return st;
}

/* Weighted operators for this unit in place of those that all have. */
static pjd_status weigh(const file_run *f, float *y, size_t n, pjd_operator **plain, pjd_operator **op, double *sigma,
                        pjd_error *err)
{
    float *w = malloc(3 * n * sizeof *w);
    pjd_operator *even = NULL, *lifted = NULL;
    pjd_status st = w ? PJD_OK : pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");

    if (st == PJD_OK) {
        *sigma = cli_count_weights(f->r->peak, y, f->white, n, w);
        memcpy(w + n, w, n * sizeof *w);
        memcpy(w + 2 * n, w, n * sizeof *w);
        for (size_t i = 0; i < n; i++)
            y[i] *= w[i];
        st = pjd_operator_weighted(*plain, w, &even, err);
    }
    if (st == PJD_OK && f->lift)
        st = pjd_operator_weighted(*op, w, &lifted, err);
    if (st == PJD_OK) {
        pjd_operator_unref(*plain);
        pjd_operator_unref(*op);
        *plain = even;
        *op = f->lift ? lifted : pjd_operator_ref(even);
    } else {
        pjd_operator_unref(even);
    }
    free(w);
    return st;
}

/* The measurement y of one unit, in place, as Gaussian noise of one deviation: *sigma on the user's scale. */
pjd_status restore_even_noise(file_run *f, float *y, double scale, pjd_operator **plain, pjd_operator **op,
                              double *sigma, pjd_error *err)
{
    size_t n = f->unit * f->y.h * f->y.w;

    if (f->r->a->gray_values)
        cli_from_gray(y, f->white, n);
    if (f->counts == STABILISED) {
        *sigma = cli_stabilise(f->r->peak, y, n);
        return PJD_OK;
    }
    if (f->counts == WEIGHTED)
        return weigh(f, y, n, plain, op, sigma, err);
    return choose_sigma(f, y, f->unit, scale, sigma, err);
}
