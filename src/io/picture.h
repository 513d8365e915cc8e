/* SPDX-License-Identifier: MIT */
/* What reading and writing pictures share. */
#ifndef PJD_IO_PICTURE_H
#define PJD_IO_PICTURE_H

#include <vips/vips.h>

#include "io/internal.h"

struct pjd_picture {
    pjd_picture_info info;
    char format[24];
    float *alpha;    /* [height, width] in 0..1, or NULL */
    VipsImage *meta; /* one pixel that carries ICC, EXIF, XMP, IPTC and the resolution */
};

/* Copy the fields that are kept from one image to another; `to` must be the caller's own, unshared. */
void pjd_picture_copy_meta(VipsImage *from, VipsImage *to);

/* The channels an ICC profile describes: 1, 3, 4 or 0 when unknown. */
size_t pjd_icc_channels(const void *profile, size_t size);

#endif
