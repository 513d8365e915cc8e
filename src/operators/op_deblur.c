/* SPDX-License-Identifier: MIT */
/*
 * deblur: y is x convolved with a kernel. A measured photograph's border depends on pixels outside the frame, so by
 * default (boundary=auto) x is larger than y by the kernel less one pixel, and the result is the part of x that y
 * shows. Created from x's shape, y is that much smaller. The other boundaries keep the size and assume what lies
 * outside.
 */
#include <math.h>
#include <string.h>

#include "blur.h"

typedef struct deblur_params {
    double gaussian, angle, disk, tolerance;
    char *motion;
    const pjd_array *kernel;
    int boundary;
    long iterations;
} deblur_params;

enum { GAUSSIAN, MOTION, ANGLE, DISK, KERNEL, BOUNDARY, ITERATIONS, TOLERANCE };

static const pjd_param table_of_params[] = {
    [GAUSSIAN] = {.name = "gaussian",
                  .type = PJD_PARAM_FLOAT,
                  .fallback = "",
                  .min = 0.05,
                  .max = 200,
                  .unit = "px",
                  .help = "Gaussian blur of this standard deviation",
                  .offset = offsetof(deblur_params, gaussian)},
    [MOTION] = {.name = "motion",
                .type = PJD_PARAM_TEXT,
                .fallback = "",
                .unit = "px",
                .help = "straight motion blur of this length, LENGTH or LENGTH,ANGLE",
                .offset = offsetof(deblur_params, motion)},
    [ANGLE] = {.name = "angle",
               .type = PJD_PARAM_FLOAT,
               .fallback = "0",
               .min = -360,
               .max = 360,
               .unit = "degrees",
               .help = "direction of motion, counter-clockwise from the x axis",
               .offset = offsetof(deblur_params, angle)},
    [DISK] = {.name = "disk",
              .type = PJD_PARAM_FLOAT,
              .fallback = "",
              .min = 0.25,
              .max = 200,
              .unit = "px",
              .help = "out-of-focus blur: a disk of this radius",
              .offset = offsetof(deblur_params, disk)},
    [KERNEL] = {.name = "kernel",
                .type = PJD_PARAM_ARRAY,
                .fallback = "",
                .unit = "",
                .help = "picture of a blurred point, 0 where black; divided by its sum; centre at floor(size / 2)",
                .offset = offsetof(deblur_params, kernel)},
    [BOUNDARY] = {.name = "boundary",
                  .type = PJD_PARAM_CHOICE,
                  .fallback = "auto",
                  .choices = "auto|reflect|zero|periodic",
                  .unit = "",
                  .help = "what lies outside the frame; auto: unknown, and solved for",
                  .offset = offsetof(deblur_params, boundary)},
    [ITERATIONS] = {.name = "iterations",
                    .type = PJD_PARAM_INT,
                    .fallback = "12",
                    .min = 1,
                    .max = 10000,
                    .unit = "",
                    .help = "conjugate gradient steps, at most, where there is no closed form",
                    .offset = offsetof(deblur_params, iterations)},
    [TOLERANCE] = {.name = "tolerance",
                   .type = PJD_PARAM_FLOAT,
                   .fallback = "0.03",
                   .min = 1e-9,
                   .max = 0.5,
                   .unit = "",
                   .help = "relative residual at which they stop",
                   .offset = offsetof(deblur_params, tolerance)},
};

/* "LENGTH" or "LENGTH,ANGLE" */
static pjd_status parse_motion(const deblur_params *p, bool angle_given, double *length, double *angle, pjd_error *err)
{
    char text[64];
    char *comma;

    *angle = p->angle;
    if (strlen(p->motion) < sizeof text) {
        strcpy(text, p->motion);
        comma = strchr(text, ',');
        if (comma)
            *comma = '\0';
        if (comma && angle_given)
            return pjd_error_set(err, PJD_ERR_ARG, "deblur: the angle is given twice, by motion=%s and by angle=%g",
                                 p->motion, p->angle);
        if (pjd_parse_double(text, length) && *length >= 0.5 && *length <= 1000.0 &&
            (!comma || (pjd_parse_double(comma + 1, angle) && fabs(*angle) <= 360.0)))
            return PJD_OK;
    }
    return pjd_error_set(err, PJD_ERR_ARG,
                         "deblur: motion expects a length from 0.5 to 1000 and perhaps ,ANGLE (-360 to 360), "
                         "found \"%.60s\"",
                         p->motion);
}

static pjd_status make_psf(const deblur_params *p, const bool *present, pjd_psf *psf, pjd_error *err)
{
    int kinds = present[GAUSSIAN] + present[MOTION] + present[DISK] + present[KERNEL];
    double length, angle;
    pjd_status st;

    if (kinds != 1)
        return pjd_error_set(err, PJD_ERR_ARG,
                             "deblur: expected exactly one of gaussian, motion, disk, kernel, found %d", kinds);
    if (present[ANGLE] && !present[MOTION])
        return pjd_error_set(err, PJD_ERR_ARG, "deblur: angle belongs to motion, which is not given");
    if (present[GAUSSIAN])
        return pjd_psf_gaussian(p->gaussian, psf, err);
    if (present[DISK])
        return pjd_psf_disk(p->disk, psf, err);
    if (present[KERNEL])
        return pjd_psf_array("deblur", p->kernel, psf, err);
    st = parse_motion(p, present[ANGLE], &length, &angle, err);
    return st == PJD_OK ? pjd_psf_motion(length, angle, psf, err) : st;
}

/* The other shape. */
static pjd_status shapes(const pjd_psf *psf, bool automatic, const pjd_shape *given_x, const pjd_shape *given_y,
                         pjd_shape *x, pjd_shape *y, pjd_error *err)
{
    pjd_status st = pjd_op_require_chw("deblur", given_x ? given_x : given_y, err);

    if (st != PJD_OK)
        return st;
    *x = *y = given_x ? *given_x : *given_y;
    if (automatic && given_x) {
        if (x->dim[1] < psf->h || x->dim[2] < psf->w)
            return pjd_error_set(err, PJD_ERR_SHAPE,
                                 "deblur: a picture of %zux%zu is smaller than the kernel of %zux%zu "
                                 "(boundary=reflect would do)",
                                 x->dim[2], x->dim[1], psf->w, psf->h);
        y->dim[1] = x->dim[1] - psf->h + 1;
        y->dim[2] = x->dim[2] - psf->w + 1;
    } else if (automatic) {
        x->dim[1] += psf->h - 1;
        x->dim[2] += psf->w - 1;
    }
    return given_x ? pjd_op_require_equal("deblur", "measurement", y, given_y, err) : PJD_OK;
}

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *given_x,
                         const pjd_shape *given_y, pjd_operator **out, pjd_error *err)
{
    const deblur_params *p = params;
    pjd_blur_options opt = {(pjd_boundary)p->boundary, (size_t)p->iterations, p->tolerance, part};
    pjd_shape x, y;
    pjd_psf psf = {0};
    pjd_status st = make_psf(p, present, &psf, err);

    *out = NULL;
    if (st == PJD_OK)
        st = shapes(&psf, opt.boundary == PJD_BOUNDARY_AUTO, given_x, given_y, &x, &y, err);
    if (st == PJD_OK) {
        if (opt.boundary == PJD_BOUNDARY_PERIODIC)
            st = pjd_blur_periodic(&psf, &x, out, err);
        else if (opt.boundary == PJD_BOUNDARY_REFLECT && psf.symmetric)
            st = pjd_blur_cosine(&psf, &x, out, err);
        else
            st = pjd_blur_general(&psf, &opt, &x, &y, out, err);
    }
    if (st == PJD_OK) {
        (*out)->kind = PJD_OP_FILTER;
        /* A composition takes what is given for its own conjugate gradients. */
        if (part && present[ITERATIONS])
            (*out)->cg_iterations = (size_t)p->iterations;
        if (part && present[TOLERANCE])
            (*out)->cg_tolerance = p->tolerance;
    }
    pjd_psf_free(&psf);
    return st;
}

const pjd_op_class pjd_op_deblur = {
    .entry = {"deblur", "remove a known blur", table_of_params, PJD_COUNTOF(table_of_params), false},
    .params_size = sizeof(deblur_params),
    .create = create,
};
