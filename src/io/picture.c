/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "io/picture.h"

void pjd_picture_get_info(const pjd_picture *p, pjd_picture_info *info)
{
    *info = p->info;
}

void pjd_picture_free(pjd_picture *p)
{
    if (!p)
        return;
    pjd_free(p->alpha);
    if (p->meta)
        g_object_unref(p->meta);
    pjd_free(p);
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/*
 * Colour, camera and description; not what described the old pixels (thumbnail, orientation, palette, page count).
 * EXIF travels twice: libvips keeps the block and each field ("exif-ifd0-Model"), and drops fields missing in the second
 * form when it writes.
 */
static bool is_kept(const char *name)
{
    static const char *const whole[] = {VIPS_META_ICC_NAME, VIPS_META_EXIF_NAME, VIPS_META_XMP_NAME,
                                        VIPS_META_IPTC_NAME, VIPS_META_RESOLUTION_UNIT};

    for (size_t i = 0; i < PJD_COUNTOF(whole); i++)
        if (!strcmp(name, whole[i]))
            return true;
    if (starts_with(name, "exif-ifd1-") || !strcmp(name, "exif-ifd0-Orientation"))
        return false;
    return starts_with(name, "exif-") || starts_with(name, "png-comment-");
}

static void *copy_field(VipsImage *from, const char *name, GValue *value, void *to)
{
    if (is_kept(name))
        vips_image_set(to, name, value);
    return NULL;
}

/* XMP may repeat the orientation of EXIF (tiff:Orientation="6", or as an element): the pixels are upright now. */
static void reset_xmp_orientation(VipsImage *image)
{
    static const char tag[] = "tiff:Orientation";
    const void *data;
    size_t size;
    char *copy;

    if (!vips_image_get_typeof(image, VIPS_META_XMP_NAME) ||
        vips_image_get_blob(image, VIPS_META_XMP_NAME, &data, &size) != 0 || !memmem(data, size, tag, sizeof tag - 1) ||
        !(copy = g_try_malloc(size))) {
        vips_error_clear();
        return;
    }
    memcpy(copy, data, size);
    for (char *p = copy; (p = memmem(p, size - (size_t)(p - copy), tag, sizeof tag - 1));) {
        p += sizeof tag - 1;
        while (p < copy + size && (*p == '=' || *p == '>' || *p == '"' || *p == '\'' || *p == ' '))
            p++;
        if (p < copy + size && *p >= '1' && *p <= '8')
            *p = '1';
    }
    vips_image_set_blob(image, VIPS_META_XMP_NAME, (VipsCallbackFn)vips_area_free_cb, copy, size);
}

void pjd_picture_copy_meta(VipsImage *from, VipsImage *to)
{
    vips_image_map(from, copy_field, to);
    to->Xres = from->Xres;
    to->Yres = from->Yres;
    /* Without it libvips writes the block's own orientation again, though the pixels are upright now. */
    if (vips_image_get_typeof(to, VIPS_META_EXIF_NAME))
        vips_image_set_int(to, VIPS_META_ORIENTATION, 1);
    reset_xmp_orientation(to);
}

size_t pjd_icc_channels(const void *profile, size_t size)
{
    const char *space = (const char *)profile + 16; /* ICC.1:2010, table 17 */

    if (size < 128)
        return 0;
    if (!memcmp(space, "GRAY", 4))
        return 1;
    if (!memcmp(space, "RGB ", 4))
        return 3;
    return memcmp(space, "CMYK", 4) ? 0 : 4;
}
