/* SPDX-License-Identifier: MIT */
/* What the files of the demo program share. */
#ifndef TOOLS_DEMO_H
#define TOOLS_DEMO_H

#include <stdbool.h>
#include <stddef.h>

#include <projdiff/io.h>

typedef struct demo_image {
    pjd_picture *like;
    float *data; /* [c,h,w] in -1..1 */
    pjd_shape shape;
} demo_image;

/* False, with the program's error text set, when the picture cannot be read. */
bool demo_read(const char *path, demo_image *out);
void demo_free(demo_image *im);

/* Scratches and a line of text, scaled to the picture: 1 where something is drawn, -1 elsewhere. m is [h,w]. */
void demo_draw_mask(float *m, size_t h, size_t w);

#endif
