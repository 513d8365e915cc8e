/* SPDX-License-Identifier: MIT */
/*
 * projdiff: restore photographs and signals with a pretrained diffusion model as the prior.
 *
 * The shortest complete use (examples/restore.c is this, with error texts): quadruple the size of a picture.
 *
 *     #include <projdiff/projdiff.h>
 *     #include <projdiff/io.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         pjd_error err;
 *         pjd_model *model = NULL;
 *         pjd_operator *op = NULL;
 *         pjd_picture *like = NULL;
 *         float *y = NULL, *x = NULL;
 *         pjd_shape ys;
 *         int rc = 1;
 *
 *         if (argc != 4)
 *             return 2;
 *         pjd_write_options w = {.overwrite = true};
 *         pjd_solve_options o;
 *         pjd_solve_options_init(&o);
 *         o.sigma = 0.01;
 *         if (pjd_model_open(argv[1], NULL, &model, &err) == PJD_OK &&
 *             pjd_picture_read(argv[2], &like, &y, &ys, &err) == PJD_OK &&
 *             pjd_operator_create("superres:factor=4", NULL, 0, NULL, &ys, &op, &err) == PJD_OK) {
 *             const pjd_shape *xs = pjd_operator_result(op, NULL, NULL);
 *             x = malloc(xs->dim[0] * xs->dim[1] * xs->dim[2] * sizeof *x);
 *             if (x && pjd_solve(model, op, y, &o, x, NULL, &err) == PJD_OK)
 *                 rc = pjd_picture_write(argv[3], like, x, xs, &w, &err) != PJD_OK;
 *         }
 *         ...free everything; NULL is fine everywhere...
 *     }
 *
 * Rules that hold everywhere: arguments are borrowed; what is kept is referenced; bulk buffers are the caller's;
 * models and operators are immutable and may be shared between threads, one run per thread; results do not depend
 * on the number of threads.
 */
#ifndef PROJDIFF_PROJDIFF_H
#define PROJDIFF_PROJDIFF_H

#include "projdiff/metrics.h"
#include "projdiff/model.h"
#include "projdiff/mri.h"
#include "projdiff/noise.h"
#include "projdiff/operator.h"
#include "projdiff/registry.h"
#include "projdiff/solver.h"
#include "projdiff/source.h"
#include "projdiff/status.h"
#include "projdiff/stems.h"
#include "projdiff/tensor.h"
#include "projdiff/version.h"

#endif
