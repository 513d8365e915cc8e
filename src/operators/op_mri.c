/* SPDX-License-Identifier: MIT */
/*
 * mri: what several receiver coils measure of a complex picture at some places of Cartesian k-space; coils.h has the
 * formula. x is [2, h, w], real and imaginary part; y is [2 coils, h, w]; places that were not measured are 0 in y.
 *
 * From raw data to these arrays, and back to a picture: projdiff/mri.h. There the real part is black at -1, where the
 * guess begins.
 */
#include <math.h>

#include "coils.h"
#include "internal.h"

typedef struct mri_params {
    const pjd_array *mask, *maps;
    long iterations;
    double tolerance;
} mri_params;

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    pjd_coils_apply(op->priv, x, y, work);
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    pjd_coils_adjoint(op->priv, y, x, work);
}

static void normal(const pjd_operator *op, const float *p, float *q, float *work)
{
    pjd_coils_normal(op->priv, p, q, work);
}

/* rank / |A|_F^2: exact where all singular values that are not zero are equal (one coil, or all is measured), else a
   lower bound. */
static double noise_gain(const pjd_operator *op, double sigma2)
{
    const pjd_coils *s = op->priv;
    double pixels = (double)s->h * (double)s->w, rows = (double)s->measured * (double)s->c;

    return sigma2 * (rows < pixels ? rows : pixels) * pixels / ((double)s->measured * s->energy);
}

/* Sensitivity encoding by a few damped steps from black (Pruessmann et al. 2001). */
static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    for (size_t i = 0; i < op->nx; i++)
        x[i] = i < op->nx / 2 ? -1.0f : 0.0f;
    pjd_operator_prox(op, x, y, 0.01 / noise_gain(op, 1.0), work);
}

static void destroy(pjd_operator *op)
{
    if (op->priv)
        pjd_coils_free(op->priv);
    pjd_free(op->priv);
}

/* ---- creation ---- */

static pjd_status check_plane(const char *what, const pjd_array *a, size_t planes, const pjd_shape *x, pjd_error *err)
{
    const pjd_shape *m = &a->shape;
    size_t lead = m->rank == 3 ? m->dim[0] : 1;
    char text[128];

    if ((m->rank == 2 || m->rank == 3) && (planes ? lead == planes : lead > 0 && lead % 2 == 0) &&
        m->dim[m->rank - 2] == x->dim[1] && m->dim[m->rank - 1] == x->dim[2])
        return PJD_OK;
    return pjd_error_set(err, PJD_ERR_SHAPE, "mri: k-space of %zux%zu needs %s of its size, found %s", x->dim[2],
                         x->dim[1], what, pjd_shape_text(m, text, sizeof text));
}

static pjd_status shapes(const mri_params *p, const pjd_shape *given_x, const pjd_shape *given_y, pjd_shape *x,
                         pjd_shape *y, pjd_error *err)
{
    pjd_status st = pjd_op_require_chw("mri", given_x ? given_x : given_y, err);
    size_t coils;

    if (st != PJD_OK)
        return st;
    if (given_x && given_x->dim[0] != 2)
        return pjd_error_set(err, PJD_ERR_SHAPE, "mri: a picture has 2 planes, real and imaginary part, found %zu",
                             given_x->dim[0]);
    if (!given_x && given_y->dim[0] % 2)
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "mri: k-space has 2 planes a coil, real and imaginary part, found %zu planes",
                             given_y->dim[0]);
    *x = *y = given_x ? *given_x : *given_y;
    x->dim[0] = 2;
    if (p->mask)
        st = check_plane("a mask", p->mask, 1, x, err);
    if (st == PJD_OK && p->maps)
        st = check_plane("maps (real and imaginary part of each coil)", p->maps, given_x ? 0 : given_y->dim[0], x, err);
    if (st != PJD_OK)
        return st;
    coils = p->maps ? (p->maps->shape.rank == 3 ? p->maps->shape.dim[0] : 0) / 2 : 1;
    y->dim[0] = 2 * coils;
    if (!given_x && coils != given_y->dim[0] / 2)
        return pjd_error_set(err, PJD_ERR_ARG, "mri: %zu coils need maps of what each sees (maps=)",
                             given_y->dim[0] / 2);
    return given_x ? pjd_op_require_equal("mri", "measurement", y, given_y, err) : PJD_OK;
}

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *given_x,
                         const pjd_shape *given_y, pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {.apply = apply,
                                      .adjoint = adjoint,
                                      .normal = normal,
                                      .noise_gain = noise_gain,
                                      .guess = guess,
                                      .destroy = destroy};
    const mri_params *p = params;
    pjd_operator *op = NULL;
    pjd_shape x, y;
    pjd_coils *s;
    pjd_status st = shapes(p, given_x, given_y, &x, &y, err);

    *out = NULL;
    if (st == PJD_OK)
        st = pjd_op_new("mri", &table, &x, &y, true, &op, err);
    if (st != PJD_OK)
        return st;
    s = op->priv = pjd_alloc_zero(1, sizeof *s);
    st = s ? pjd_coils_create(y.dim[0] / 2, x.dim[1], x.dim[2], p->maps ? p->maps->data : NULL,
                              p->mask ? p->mask->data : NULL, s, err)
           : pjd_error_nomem(err, "mri", sizeof *s);
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    op->measured = 2 * s->c * s->measured;
    op->work = pjd_coils_work(s);
    op->cg_iterations = (size_t)p->iterations;
    op->cg_tolerance = p->tolerance;
    *out = op;
    return PJD_OK;
}

static const pjd_param table_of_params[] = {
    {.name = "mask",
     .type = PJD_PARAM_ARRAY,
     .fallback = "",
     .unit = "",
     .help = "where k-space was measured, what is not 0; default: where the data are not 0",
     .offset = offsetof(mri_params, mask)},
    {.name = "maps",
     .type = PJD_PARAM_ARRAY,
     .fallback = "",
     .unit = "",
     .help = "what each coil sees (complex, coils x height x width); default: estimated from the fully sampled centre",
     .offset = offsetof(mri_params, maps)},
    PJD_OP_CG_PARAMS(mri_params, "10", "0.01"),
};

const pjd_op_class pjd_op_mri = {
    .entry = {"mri", "a picture from the k-space of a magnetic resonance scan", table_of_params,
              PJD_COUNTOF(table_of_params), .numbers = true},
    .params_size = sizeof(mri_params),
    .create = create,
};
