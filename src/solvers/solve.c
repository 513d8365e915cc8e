/* SPDX-License-Identifier: MIT */
/* The public entry of every solver: checks, buffers, the residual, the report. */
#include <math.h>
#include <string.h>

#include "solvers/projdiff.h"

void pjd_solve_options_init(pjd_solve_options *o)
{
    *o = (pjd_solve_options){0};
}

pjd_status pjd_solver_progress(pjd_solver_run *r, size_t step, size_t steps)
{
    if (r->opt->progress && !r->opt->progress(r->opt->progress_user, step, steps, r->x0))
        return pjd_error_set(r->err, PJD_ERR_CANCELLED, "solver: cancelled after step %zu of %zu", step, steps);
    return PJD_OK;
}

pjd_status pjd_solver_denoise(pjd_solver_run *r, size_t step, const float *x, double t, float *x0)
{
    pjd_error inner;
    pjd_status st = pjd_runner_denoise(r->runner, x, t, x0, &inner);

    if (st != PJD_OK)
        return pjd_error_set(r->err, st, "solver: step %zu: %.400s", step, inner.text);
    return PJD_OK;
}

static const pjd_solver_class *find_solver(const char *name)
{
    for (size_t i = 0; pjd_solver_classes[i]; i++)
        if (!strcmp(pjd_solver_classes[i]->entry.name, name))
            return pjd_solver_classes[i];
    return NULL;
}

static pjd_status check_options(const pjd_solve_options *o, pjd_error *err)
{
    if (!(o->sigma >= 0) || !isfinite(o->sigma))
        return pjd_error_set(err, PJD_ERR_ARG, "solver: sigma expected finite and at least 0, found %g", o->sigma);
    if (!(o->step_size >= 0) || !isfinite(o->step_size))
        return pjd_error_set(err, PJD_ERR_ARG, "solver: step size expected finite and at least 0, found %g",
                             o->step_size);
    if (!(o->momentum >= 0 && o->momentum < 1))
        return pjd_error_set(err, PJD_ERR_ARG, "solver: momentum expected from 0 to below 1, found %g", o->momentum);
    if (o->steps > 100000 || o->repeats > 1000 || o->samples > 100000)
        return pjd_error_set(err, PJD_ERR_ARG, "solver: steps, repeats or samples out of range (%zu, %zu, %zu)",
                             o->steps, o->repeats, o->samples);
    return PJD_OK;
}

/* sqrt(mean |A x - y|^2) over what was measured, the worst of the samples. Masks measure only some elements: there
   A A* is the mask itself. */
static pjd_status residual(pjd_solver_run *r, double *worst)
{
    const pjd_operator *op = r->op;
    size_t extra = op->kind == PJD_OP_SELECT ? op->nx + op->ny : 0;
    float *buf = pjd_alloc(op->ny + pjd_operator_work(op) + extra, sizeof *buf);
    float *res = buf, *work = buf + op->ny, *x = work + pjd_operator_work(op), *seen = x + op->nx;
    double measured = (double)(op->measured ? op->measured : op->ny);

    *worst = 0;
    if (!buf)
        return pjd_error_nomem(r->err, "solver", (op->ny + pjd_operator_work(op) + extra) * sizeof *buf);
    if (extra) {
        measured = 0;
        for (size_t i = 0; i < op->ny; i++)
            res[i] = 1;
        pjd_operator_adjoint(op, res, x, work);
        pjd_operator_apply(op, x, seen, work);
        for (size_t i = 0; i < op->ny; i++)
            measured += seen[i] != 0;
    }
    for (size_t s = 0; s < r->samples; s++) {
        double sum = 0, rms;

        pjd_operator_apply(op, r->x0 + s * op->nx, res, work);
        for (size_t i = 0; i < op->ny; i++)
            if (!extra || seen[i] != 0)
                sum += ((double)res[i] - r->y[i]) * ((double)res[i] - r->y[i]);
        rms = sqrt(sum / (measured > 0 ? measured : 1));
        if (!(rms <= *worst))
            *worst = rms;
    }
    pjd_free(buf);
    return PJD_OK;
}

/* The last step that the caller asked for. */
static pjd_status make_consistent(pjd_solver_run *r)
{
    const pjd_operator *op = r->op;
    size_t m = 0;
    double radius;
    pjd_status st = pjd_operator_measured(op, r->y, &m, r->err);

    radius = r->opt->consistency == PJD_CONSISTENCY_EXACT ? 0 : r->sigma * sqrt((double)m);
    for (size_t s = 0; st == PJD_OK && s < r->samples; s++)
        st = pjd_operator_project_ball(op, r->x0 + s * op->nx, r->y, radius, NULL, r->err);
    return st;
}

/* Of each sample's runs the one with the least residual, moved to the front. */
static pjd_status keep_best(pjd_solver_run *r, size_t restarts)
{
    const pjd_operator *op = r->op;
    size_t work = pjd_operator_work(op), samples = r->samples / restarts;
    float *res = pjd_alloc(op->ny + work, sizeof *res);
    double power = 0, limit;

    if (!res)
        return pjd_error_nomem(r->err, "solver", (op->ny + work) * sizeof *res);
    for (size_t i = 0; i < op->ny; i++)
        power += (double)r->y[i] * r->y[i] / (double)op->ny;
    limit = 1.1 * r->sigma + 0.005 * sqrt(power);
    for (size_t s = 0; s < samples; s++) {
        double least = INFINITY;

        for (size_t k = 0; k < restarts; k++) {
            const float *x = r->x0 + (s * restarts + k) * op->nx;
            double sum = 0;

            pjd_operator_apply(op, x, res, res + op->ny);
            for (size_t i = 0; i < op->ny; i++)
                sum += ((double)res[i] - r->y[i]) * ((double)res[i] - r->y[i]) / (double)op->ny;
            r->report->converged += sqrt(sum) <= limit;
            if (sum < least) {
                least = sum;
                memmove(r->x0 + s * op->nx, x, op->nx * sizeof *x);
            }
        }
    }
    r->samples = samples;
    pjd_free(res);
    return PJD_OK;
}

/* Every start of a sample has its class. */
static pjd_status repeat_classes(const pjd_runner_options *o, size_t samples, size_t restarts, int **out,
                                 pjd_error *err)
{
    *out = NULL;
    if (!o->classes || restarts == 1)
        return PJD_OK;
    *out = pjd_alloc(samples * restarts, sizeof **out);
    if (!*out)
        return pjd_error_nomem(err, "solver", samples * restarts * sizeof **out);
    for (size_t i = 0; i < samples * restarts; i++)
        (*out)[i] = o->classes[i / restarts];
    return PJD_OK;
}

/* The part of each sample that the user asked for. */
static void crop(const pjd_solver_run *r, float *x)
{
    const pjd_operator *op = r->op;
    const pjd_shape *in = &op->x, *want = &op->result;
    float *dst = x;

    if (pjd_shape_equal(in, want)) {
        memcpy(x, r->x0, r->samples * op->nx * sizeof *x);
        return;
    }
    for (size_t plane = 0; plane < r->samples * want->dim[0]; plane++)
        for (size_t i = 0; i < want->dim[1]; i++, dst += want->dim[2])
            memcpy(dst, r->x0 + (plane * in->dim[1] + op->offset_y + i) * in->dim[2] + op->offset_x,
                   want->dim[2] * sizeof *dst);
}

static pjd_status check_result(const pjd_operator *op, pjd_error *err)
{
    const pjd_shape *in = &op->x, *want = &op->result;

    if (pjd_shape_equal(in, want))
        return PJD_OK;
    if (in->rank != 3 || want->rank != 3 || in->dim[0] != want->dim[0] || op->offset_y + want->dim[1] > in->dim[1] ||
        op->offset_x + want->dim[2] > in->dim[2])
        return pjd_error_set(err, PJD_ERR_SHAPE, "solver: the operator's result does not lie inside its input");
    return PJD_OK;
}

/* The solver, and of the run what is known before it: checks options. */
static pjd_status describe(pjd_solver_run *r, const pjd_solver_class **cls, size_t *restarts)
{
    const pjd_solve_options *o = r->opt;
    pjd_status st;

    *cls = find_solver(o->solver ? o->solver : "projdiff");
    if (!*cls)
        return pjd_error_set(r->err, PJD_ERR_ARG, "solver: no solver is called \"%.60s\"", o->solver);
    st = check_options(o, r->err);
    if (st == PJD_OK)
        st = check_result(r->op, r->err);
    if (st != PJD_OK)
        return st;
    *restarts = !r->op->v->search ? 1 : o->restarts ? o->restarts : o->compat == PJD_COMPAT_REFERENCE ? 1 : 4;
    if (!pjd_mul(o->samples ? o->samples : 1, *restarts, &r->samples))
        return pjd_error_set(r->err, PJD_ERR_ARG, "solver: too many samples");
    r->sigma = o->sigma * (o->compat == PJD_COMPAT_REFERENCE ? 1 : r->model->info.sigma_scale);
    return PJD_OK;
}

/* The report of a run that will evaluate the model this often. */
static void expect(const pjd_estimate *e, size_t steps, uint64_t evaluations, size_t floats, pjd_solve_report *out)
{
    out->steps = steps;
    out->network_calls = evaluations * e->tiles;
    out->network_seconds = out->seconds = (double)evaluations * e->seconds;
    out->peak_bytes = e->bytes + floats * sizeof(float);
}

pjd_status pjd_solve_estimate(pjd_model *model, pjd_operator *op, const pjd_solve_options *opt, pjd_solve_report *out,
                              pjd_error *err)
{
    pjd_solve_options o = opt ? *opt : (pjd_solve_options){0};
    pjd_solver_run r = {.model = model, .op = op, .opt = &o, .err = err};
    const pjd_solver_class *cls;
    pjd_solver_forecast f = {0};
    pjd_estimate e;
    pjd_status st;

    *out = (pjd_solve_report){0};
    st = describe(&r, &cls, &out->restarts);
    if (st == PJD_OK)
        st = pjd_model_estimate(model, r.samples, &op->x, &o.runner, &e, err);
    if (st != PJD_OK)
        return st;
    if (cls->forecast)
        cls->forecast(&r, &f);
    expect(&e, f.steps, f.evaluations, f.floats + r.samples * op->nx, out);
    return PJD_OK;
}

pjd_status pjd_sample_estimate(pjd_model *model, const pjd_shape *item, const pjd_solve_options *opt,
                               pjd_solve_report *out, pjd_error *err)
{
    pjd_solve_options o = opt ? *opt : (pjd_solve_options){0};
    size_t samples = o.samples ? o.samples : 1, steps = o.steps ? o.steps : 100, n;
    pjd_estimate e;
    pjd_status st = pjd_model_estimate(model, samples, item, &o.runner, &e, err);

    *out = (pjd_solve_report){0};
    if (st != PJD_OK)
        return st;
    pjd_shape_count(item, &n); /* the estimate found it possible */
    expect(&e, steps, steps, 3 * samples * n, out);
    return PJD_OK;
}

pjd_status pjd_solve(pjd_model *model, pjd_operator *op, const float *y, const pjd_solve_options *opt, float *x,
                     pjd_solve_report *report, pjd_error *err)
{
    double start = pjd_now();
    pjd_solve_options o = opt ? *opt : (pjd_solve_options){0};
    pjd_solve_report local = {0};
    pjd_solver_run r = {.model = model, .op = op, .y = y, .opt = &o, .report = &local, .err = err};
    const pjd_solver_class *cls;
    pjd_noise *own = NULL;
    int *classes = NULL;
    pjd_runner_stats stats;
    pjd_status st = describe(&r, &cls, &local.restarts);

    if (st != PJD_OK)
        return st;
    if (!pjd_all_finite(y, op->ny))
        return pjd_error_set(err, PJD_ERR_NONFINITE, "solver: the measurement holds values that are not finite");
    r.noise = o.noise;
    if (!r.noise)
        st = pjd_noise_seeded(o.seed, 0, &own, err);
    if (own)
        r.noise = own;
    if (st == PJD_OK)
        st = repeat_classes(&o.runner, r.samples / local.restarts, local.restarts, &classes, err);
    if (classes)
        o.runner.classes = classes;
    if (st == PJD_OK)
        st = pjd_runner_create(model, r.samples, &op->x, &o.runner, &r.runner, err);
    if (st == PJD_OK) {
        r.x0 = pjd_alloc(r.samples * op->nx, sizeof *r.x0);
        if (!r.x0)
            st = pjd_error_nomem(err, "solver", r.samples * op->nx * sizeof *r.x0);
    }
    if (st == PJD_OK && o.begin)
        o.begin(o.progress_user);
    if (st == PJD_OK)
        st = cls->run(&r);
    if (st == PJD_OK && op->v->search)
        st = keep_best(&r, local.restarts);
    if (st == PJD_OK && o.consistency)
        st = make_consistent(&r);
    if (st == PJD_OK)
        st = residual(&r, &local.residual);
    if (st == PJD_OK) {
        crop(&r, x);
        pjd_runner_get_stats(r.runner, &stats);
        local.sigma_model = r.sigma;
        local.residual_expected = r.sigma;
        local.network_calls = stats.calls;
        local.network_seconds = stats.seconds;
        local.peak_bytes += stats.arena_bytes + stats.weight_bytes + r.samples * op->nx * sizeof(float);
        local.seconds = pjd_now() - start;
        if (report)
            *report = local;
    }
    pjd_runner_free(r.runner);
    pjd_noise_free(own);
    pjd_free(classes);
    pjd_free(r.x0);
    return st;
}
