/* SPDX-License-Identifier: MIT */
/*
 * numpy.savez: a zip archive of .npy arrays, stored or deflated; an array's name is its entry's without ".npy". Stored
 * little-endian arrays are used where they lie, libzip inflates the others.
 */
#include <string.h>
#include <zip.h>

#include "weights/npy.h"
#include "weights/zipdir.h"

/* Deflate cannot do better than this (1032), whatever an entry claims. */
#define MAX_RATIO 1040u
#define MAX_INFLATED ((size_t)1 << 34)
/* Weights hardly shrink, but for layers of zeros. A file much larger inside than outside is made to fill the memory. */
#define USUAL_RATIO 8u
#define ALWAYS_INFLATED ((size_t)1 << 24)

typedef struct archive {
    const pjd_reader *r;
    pjd_zip dir;
    zip_t *zip; /* opened when first needed */
    size_t inflated;
    pjd_error *err;
} archive;

static bool match(const unsigned char *data, size_t size)
{
    size_t len;
    const char *name = pjd_zip_first_name(data, size, &len);

    return name && len > 4 && memcmp(name + len - 4, ".npy", 4) == 0;
}

static pjd_status bad(const archive *a, const pjd_zip_entry *e, const char *what)
{
    return pjd_error_set(a->err, PJD_ERR_MODEL, PJD_WHO ": array " PJD_KEY ": %s", a->r->who,
                         PJD_KEY_ARG(e->name, e->name_len), what);
}

static pjd_status open_libzip(archive *a)
{
    zip_error_t ze;
    zip_source_t *source;

    zip_error_init(&ze);
    source = zip_source_buffer_create(a->r->data, a->r->size, 0, &ze);
    if (source) {
        a->zip = zip_open_from_source(source, ZIP_RDONLY, &ze);
        if (!a->zip)
            zip_source_free(source);
    }
    if (!a->zip)
        pjd_error_set(a->err, zip_error_code_zip(&ze) == ZIP_ER_MEMORY ? PJD_ERR_NOMEM : PJD_ERR_MODEL,
                      PJD_WHO ": broken zip archive: %s", a->r->who, zip_error_strerror(&ze));
    zip_error_fini(&ze);
    return a->zip ? PJD_OK : a->err->code;
}

/* The whole entry into memory of the weights. Its checksum is verified by libzip at the end. */
static pjd_status inflate_entry(archive *a, size_t index, const unsigned char **out)
{
    const pjd_zip_entry *e = &a->dir.entries[index];
    pjd_status status = PJD_OK;
    zip_file_t *f = NULL;
    unsigned char *p, extra;
    zip_stat_t st;
    size_t got = 0;

    if (e->size / MAX_RATIO > e->packed || e->size > MAX_INFLATED - a->inflated)
        return bad(a, e, "a size that compression cannot reach, or above 16 GiB in all");
    if (a->inflated + e->size > ALWAYS_INFLATED && (a->inflated + e->size - ALWAYS_INFLATED) / USUAL_RATIO > a->r->size)
        return bad(a, e,
                   "more than 8 times the file's size once inflated (a zip bomb?); store the arrays uncompressed");
    if (!a->zip)
        status = open_libzip(a);
    if (status != PJD_OK)
        return status;
    /* Two readers of one archive have to see the same entry. */
    zip_stat_init(&st);
    if (zip_stat_index(a->zip, index, ZIP_FL_ENC_RAW, &st) != 0 || !(st.valid & ZIP_STAT_SIZE) ||
        !(st.valid & ZIP_STAT_NAME) || st.size != e->size || strlen(st.name) != e->name_len ||
        memcmp(st.name, e->name, e->name_len) != 0)
        return bad(a, e, "an entry that libzip sees in another way");
    p = pjd_arena_alloc(&a->r->w->arena, e->size + 1, 1);
    if (!p)
        return pjd_error_nomem(a->err, a->r->who, e->size);
    f = zip_fopen_index(a->zip, index, 0);
    if (!f)
        return bad(a, e, "cannot be inflated");
    while (got < e->size) {
        zip_int64_t n = zip_fread(f, p + got, e->size - got);

        if (n <= 0) {
            status = bad(a, e, "cannot be inflated");
            break;
        }
        got += (size_t)n;
    }
    if (status == PJD_OK && zip_fread(f, &extra, 1) != 0)
        status = bad(a, e, "longer than declared, or its checksum is wrong");
    zip_fclose(f);
    a->inflated += e->size;
    *out = p;
    return status;
}

/* Big-endian elements, copied and turned. */
static pjd_status turn(archive *a, pjd_tensor *t)
{
    size_t count, size = pjd_dtype_size(t->dtype);
    unsigned char *p;

    if (!pjd_shape_count(&t->shape, &count))
        return pjd_error_nomem(a->err, a->r->who, 0);
    p = pjd_arena_alloc(&a->r->w->arena, count + 1, size);
    if (!p)
        return pjd_error_nomem(a->err, a->r->who, count * size);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < size; k++)
            p[i * size + k] = t->data[i * size + size - 1 - k];
    t->data = p;
    return PJD_OK;
}

static pjd_status read_array(archive *a, size_t index)
{
    const pjd_zip_entry *e = &a->dir.entries[index];
    const unsigned char *data = a->r->data + e->offset;
    pjd_status status = PJD_OK;
    const char *why;
    pjd_tensor t;
    bool swapped;

    if (e->name_len <= 4 || memcmp(e->name + e->name_len - 4, ".npy", 4) != 0) {
        pjd_logf(a->r->log, PJD_LOG_DEBUG, "%s: %.*s is no array, skipped", a->r->who,
                 PJD_KEY_ARG(e->name, e->name_len));
        return PJD_OK;
    }
    if (e->method == PJD_ZIP_DEFLATED)
        status = inflate_entry(a, index, &data);
    else if (e->method != PJD_ZIP_STORED)
        status = bad(a, e, "expected no compression or deflate");
    if (status != PJD_OK)
        return status;
    why = pjd_weights_npy_parse(data, e->size, &t, &swapped);
    if (why)
        return bad(a, e, why);
    if (swapped && pjd_dtype_size(t.dtype) > 1)
        status = turn(a, &t);
    t.storage = data; /* what the checksum is of */
    return status == PJD_OK ? pjd_weights_add(a->r, e->name, e->name_len - 4, &t, a->err) : status;
}

/* Of what is stored as it is; libzip looks at those of what it inflates. */
static pjd_status keep_checksums(archive *a)
{
    pjd_checksums *sums = pjd_checksums_add(a->r, a->dir.count);

    if (!sums)
        return pjd_error_nomem(a->err, a->r->who, a->dir.count * sizeof *sums->items);
    for (size_t i = 0; i < a->dir.count; i++) {
        const pjd_zip_entry *e = &a->dir.entries[i];

        if (e->method != PJD_ZIP_STORED)
            continue;
        sums->items[i].data = a->r->data + e->offset;
        sums->items[i].bytes = e->size;
        sums->items[i].crc = e->crc;
        sums->items[i].name_len = e->name_len;
        sums->items[i].name = pjd_arena_strndup(&a->r->w->arena, e->name, e->name_len);
        if (!sums->items[i].name)
            return pjd_error_nomem(a->err, a->r->who, e->name_len);
    }
    pjd_checksums_done(sums);
    return PJD_OK;
}

static pjd_status read_npz(const pjd_reader *r, pjd_error *err)
{
    pjd_error local;
    archive a = {.r = r, .err = err ? err : &local};
    pjd_status status = pjd_zip_open(r, &a.dir, err);

    if (status != PJD_OK)
        return status;
    status = keep_checksums(&a);
    for (size_t i = 0; i < a.dir.count && status == PJD_OK; i++)
        status = read_array(&a, i);
    if (a.zip)
        zip_discard(a.zip);
    pjd_zip_close(&a.dir);
    return status;
}

const pjd_format_class pjd_fmt_npz = {
    .entry = {.name = "npz", .summary = "numpy.savez archives of named arrays"},
    .match = match,
    .read = read_npz,
};
