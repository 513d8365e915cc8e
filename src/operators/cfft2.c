/* SPDX-License-Identifier: MIT */
/* Complex transforms in two dimensions: rows where they lie, columns sixteen at a time so that cache lines are shared. */
#include <string.h>

#include "coils.h"

enum { TILE = 8 };

static size_t pad(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* A cache line more than a line: see slot_size in fft.c. */
static size_t line_size(const pjd_cfft2 *f)
{
    return pad(2 * f->h) + 16;
}

size_t pjd_cfft2_slot(const pjd_cfft2 *f)
{
    size_t row = 2 * pad(2 * f->w) + pjd_fft_line_work(f->row);
    size_t column = (PJD_COLUMNS + 1) * line_size(f) + pjd_fft_line_work(f->column);

    return pad(row > column ? row : column);
}

pjd_status pjd_cfft2_create(size_t h, size_t w, pjd_cfft2 *out, pjd_error *err)
{
    pjd_status st;

    *out = (pjd_cfft2){.h = h, .w = w};
    st = pjd_fft_create(w, &out->row, err);
    if (st == PJD_OK)
        st = pjd_fft_create(h, &out->column, err);
    if (st != PJD_OK)
        pjd_cfft2_free(out);
    return st;
}

void pjd_cfft2_free(pjd_cfft2 *f)
{
    pjd_fft_free(f->row);
    pjd_fft_free(f->column);
    f->row = f->column = NULL;
}

/* Line k moves from slot k + 1 to the free slot k: KISS FFT does not work in place. */
float *pjd_cfft2_in(const pjd_cfft2 *f, float *work, size_t k)
{
    return work + (k + 1) * line_size(f);
}

float *pjd_cfft2_out(const pjd_cfft2 *f, float *work, size_t k)
{
    return work + k * line_size(f);
}

static size_t columns_from(const pjd_cfft2 *f, size_t first)
{
    return f->w - first < PJD_COLUMNS ? f->w - first : PJD_COLUMNS;
}

void pjd_cfft2_gather(const pjd_cfft2 *f, const float *z, size_t first, float *work)
{
    size_t count = columns_from(f, first);

    for (size_t i0 = 0; i0 < f->h; i0 += TILE)
        for (size_t k = 0; k < count; k++) {
            float *to = pjd_cfft2_in(f, work, k);

            for (size_t i = i0; i < f->h && i < i0 + TILE; i++)
                memcpy(to + 2 * i, z + 2 * (i * f->w + first + k), 2 * sizeof *to);
        }
}

void pjd_cfft2_scatter(const pjd_cfft2 *f, const float *work, size_t first, float *z)
{
    size_t count = columns_from(f, first);

    for (size_t i0 = 0; i0 < f->h; i0 += TILE)
        for (size_t k = 0; k < count; k++) {
            const float *from = work + k * line_size(f);

            for (size_t i = i0; i < f->h && i < i0 + TILE; i++)
                memcpy(z + 2 * (i * f->w + first + k), from + 2 * i, 2 * sizeof *z);
        }
}

void pjd_cfft2_columns(const pjd_cfft2 *f, bool backward, size_t count, float *work)
{
    float *rest = work + (PJD_COLUMNS + 1) * line_size(f);

    for (size_t k = 0; k < count; k++)
        pjd_fft_line(f->column, backward, pjd_cfft2_in(f, work, k), pjd_cfft2_out(f, work, k), rest);
}

void pjd_cfft2_run(const pjd_cfft2 *f, bool backward, float *z, float *work)
{
    float *line = work, *rest = work + pad(2 * f->w);

    for (size_t i = 0; i < f->h; i++) {
        memcpy(line, z + 2 * i * f->w, 2 * f->w * sizeof *line);
        pjd_fft_line(f->row, backward, line, z + 2 * i * f->w, rest);
    }
    for (size_t first = 0; first < f->w; first += PJD_COLUMNS) {
        pjd_cfft2_gather(f, z, first, work);
        pjd_cfft2_columns(f, backward, columns_from(f, first), work);
        pjd_cfft2_scatter(f, work, first, z);
    }
}
