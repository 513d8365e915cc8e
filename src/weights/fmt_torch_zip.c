/* SPDX-License-Identifier: MIT */
/*
 * What torch.save writes since PyTorch 1.6: a zip archive of stored records, <name>/data.pkl with the object and
 * <name>/data/<key> with the bytes of each storage. The bytes are used where they lie.
 */
#include <string.h>

#include "weights/pickle.h"
#include "weights/zipdir.h"

typedef struct archive {
    const pjd_reader *r;
    pjd_zip zip;
    const char *prefix; /* "archive/" */
    size_t prefix_len;
} archive;

static bool match(const unsigned char *data, size_t size)
{
    size_t len;
    const char *name = pjd_zip_first_name(data, size, &len);

    if (!name)
        return size >= 4 && memcmp(data, "PK\3\4", 4) == 0;
    return !(len > 4 && memcmp(name + len - 4, ".npy", 4) == 0);
}

static pjd_status bad(const archive *a, const char *what, pjd_error *err)
{
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": %s", a->r->who, what);
}

static const pjd_zip_entry *record(const archive *a, const char *name, size_t len)
{
    char path[2 * PJD_WEIGHTS_MAX_NAME + 8];

    if (a->prefix_len + len > sizeof path)
        return NULL;
    memcpy(path, a->prefix, a->prefix_len);
    memcpy(path + a->prefix_len, name, len);
    return pjd_zip_find(&a->zip, path, a->prefix_len + len);
}

static const pjd_zip_entry *named(const archive *a, const char *name)
{
    return record(a, name, strlen(name));
}

/* Every record is under one folder, is stored, and none of them is code. */
static pjd_status check_records(archive *a, pjd_error *err)
{
    const pjd_zip_entry *first = &a->zip.entries[0];
    const char *slash = memchr(first->name, '/', first->name_len);

    a->prefix = first->name;
    a->prefix_len = slash ? (size_t)(slash - first->name) + 1 : 0;
    if (a->prefix_len == 0 || !named(a, "data.pkl"))
        return pjd_error_set(err, PJD_ERR_MODEL,
                             PJD_WHO ": a zip archive that is no checkpoint (its first file is " PJD_KEY ")", a->r->who,
                             PJD_KEY_ARG(first->name, first->name_len));
    for (size_t i = 0; i < a->zip.count; i++) {
        const pjd_zip_entry *e = &a->zip.entries[i];
        size_t rest = e->name_len - a->prefix_len;

        if (e->name_len <= a->prefix_len || memcmp(e->name, a->prefix, a->prefix_len) != 0)
            return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": expected records below " PJD_KEY ", found " PJD_KEY,
                                 a->r->who, PJD_KEY_ARG(a->prefix, a->prefix_len), PJD_KEY_ARG(e->name, e->name_len));
        if ((rest >= 5 && memcmp(e->name + a->prefix_len, "code/", 5) == 0) ||
            (rest == 13 && memcmp(e->name + a->prefix_len, "constants.pkl", 13) == 0))
            return bad(a, "a TorchScript module (a program); save the model's state_dict() instead", err);
        if (e->method != PJD_ZIP_STORED)
            return pjd_error_set(err, PJD_ERR_MODEL,
                                 PJD_WHO ": record " PJD_KEY " is compressed; PyTorch does not write such files",
                                 a->r->who, PJD_KEY_ARG(e->name, e->name_len));
    }
    return PJD_OK;
}

static pjd_status check_version(const archive *a, pjd_error *err)
{
    const pjd_zip_entry *e = named(a, "version");
    size_t version = 0, n = 0;

    if (e) {
        for (; n < e->size && n < 4 && a->r->data[e->offset + n] >= '0' && a->r->data[e->offset + n] <= '9'; n++)
            version = version * 10 + (size_t)(a->r->data[e->offset + n] - '0');
        if (version < 1 || version > 10)
            return bad(a, "expected version 1 to 10 of the PyTorch file format", err);
    }
    e = named(a, "byteorder");
    if (e && (e->size < 6 || memcmp(a->r->data + e->offset, "little", 6) != 0))
        return bad(a, "expected little-endian numbers (record byteorder)", err);
    return PJD_OK;
}

/* The bytes of every storage that the pickle declares, and their checksums. */
static pjd_status bind(const archive *a, pjd_pickle *p, pjd_error *err)
{
    pjd_checksums *sums = pjd_checksums_add(a->r, p->storage_count);

    if (!sums)
        return pjd_error_nomem(err, a->r->who, p->storage_count * sizeof *sums->items);
    for (size_t i = 0; i < p->storage_count; i++) {
        pjd_pk_storage *s = &p->storages[i];
        char name[PJD_WEIGHTS_MAX_NAME + 8] = "data/";
        const pjd_zip_entry *e;
        size_t bytes;

        memcpy(name + 5, s->key, s->key_len);
        e = record(a, name, 5 + s->key_len);
        if (!e)
            return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": record data/" PJD_KEY " is missing", a->r->who,
                                 PJD_KEY_ARG(s->key, s->key_len));
        bytes = s->elements * (s->known ? pjd_dtype_size(s->dtype) : 1);
        if (e->size < bytes)
            return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": record data/" PJD_KEY ": expected %zu bytes, found %zu",
                                 a->r->who, PJD_KEY_ARG(s->key, s->key_len), bytes, e->size);
        if (s->known && e->size > bytes)
            pjd_logf(a->r->log, PJD_LOG_WARN, "%s: record data/%.*s has %zu bytes more than declared", a->r->who,
                     PJD_KEY_ARG(s->key, s->key_len), e->size - bytes);
        s->data = a->r->data + e->offset;
        s->bytes = bytes;
        sums->items[i].data = s->data;
        sums->items[i].bytes = e->size;
        sums->items[i].crc = e->crc;
        sums->items[i].name = pjd_arena_strndup(&a->r->w->arena, name, 5 + s->key_len);
        sums->items[i].name_len = 5 + s->key_len;
        if (!sums->items[i].name)
            return pjd_error_nomem(err, a->r->who, s->key_len);
    }
    pjd_checksums_done(sums);
    return PJD_OK;
}

static pjd_status read_object(const archive *a, pjd_error *err)
{
    const pjd_zip_entry *e = named(a, "data.pkl");
    pjd_pickle p = {.r = a->r};
    pjd_pk_ref root;
    size_t used;
    pjd_status status;

    if (e->crc != 0 && pjd_crc32(a->r->data + e->offset, e->size) != e->crc)
        return bad(a, "damaged: the checksum of data.pkl is wrong", err);
    status = pjd_pickle_run(&p, a->r->data + e->offset, e->size, &used, &root, err);
    if (status == PJD_OK)
        status = bind(a, &p, err);
    if (status == PJD_OK)
        status = pjd_torch_extract(&p, root, err);
    pjd_pickle_free(&p);
    return status;
}

static pjd_status read_torch_zip(const pjd_reader *r, pjd_error *err)
{
    archive a = {.r = r};
    pjd_status status = pjd_zip_open(r, &a.zip, err);

    if (status != PJD_OK)
        return status;
    status = check_records(&a, err);
    if (status == PJD_OK)
        status = check_version(&a, err);
    if (status == PJD_OK)
        status = read_object(&a, err);
    pjd_zip_close(&a.zip);
    return status;
}

const pjd_format_class pjd_fmt_torch_zip = {
    .entry = {.name = "torch zip", .summary = "torch.save since PyTorch 1.6 (.pt, .pth, .ckpt, .bin)"},
    .match = match,
    .read = read_torch_zip,
};
