/* SPDX-License-Identifier: MIT */
/*
 * Quadruple the size of a picture: the example that projdiff.h opens with, and the error texts.
 *
 *     cc restore.c $(pkg-config --cflags --libs projdiff projdiff-io) -o restore
 *     ./restore $(pkg-config --variable=modelsdir projdiff)/photo small.png large.png
 */
#include <stdio.h>
#include <stdlib.h>

#include <projdiff/io.h>
#include <projdiff/projdiff.h>

int main(int argc, char **argv)
{
    pjd_error err = {PJD_OK, "out of memory"};
    pjd_model *model = NULL;
    pjd_operator *op = NULL;
    pjd_picture *like = NULL;
    float *y = NULL, *x = NULL;
    pjd_shape ys;
    int rc = 1;

    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL IN OUT\n", argv[0]);
        return 2;
    }
    pjd_write_options w = {.overwrite = true};
    pjd_solve_options o;
    pjd_solve_options_init(&o);
    o.sigma = 0.01; /* of the picture's noise, on the scale 0..1 */
    if (pjd_model_open(argv[1], NULL, &model, &err) == PJD_OK &&
        pjd_picture_read(argv[2], &like, &y, &ys, &err) == PJD_OK &&
        pjd_operator_create("superres:factor=4", NULL, 0, NULL, &ys, &op, &err) == PJD_OK) {
        const pjd_shape *xs = pjd_operator_result(op, NULL, NULL);
        x = malloc(xs->dim[0] * xs->dim[1] * xs->dim[2] * sizeof *x);
        if (x && pjd_solve(model, op, y, &o, x, NULL, &err) == PJD_OK)
            rc = pjd_picture_write(argv[3], like, x, xs, &w, &err) != PJD_OK;
    }
    if (rc)
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    free(x);
    pjd_io_free(y);
    pjd_picture_free(like);
    pjd_operator_unref(op);
    pjd_model_unref(model);
    pjd_io_shutdown();
    return rc;
}
