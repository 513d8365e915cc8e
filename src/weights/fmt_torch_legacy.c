/* SPDX-License-Identifier: MIT */
/*
 * What torch.save wrote before PyTorch 1.6 (and writes on request): five pickles one after the other (a magic number, a
 * protocol version, the sizes of C types, the object, the keys of its storages), then for each of these keys, in this
 * order, a count of 8 bytes and the elements.
 */
#include <string.h>

#include "weights/pickle.h"

#define PROTOCOL 1001

/* 0x1950a86a20f9469cfc6c, as LONG1 has it. */
static const unsigned char magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

typedef struct legacy {
    const pjd_reader *r;
    pjd_pickle p;
    size_t at;
    pjd_error *err;
} legacy;

static bool match(const unsigned char *data, size_t size)
{
    /* PROTO n, perhaps FRAME, LONG1 10, the number. */
    for (size_t i = 2; i <= 11; i += 9)
        if (size >= i + 12 && data[0] == 0x80 && data[i] == 0x8a && data[i + 1] == 10 &&
            memcmp(data + i + 2, magic, sizeof magic) == 0)
            return true;
    return false;
}

static pjd_status bad(const legacy *l, const char *what)
{
    return pjd_error_set(l->err, PJD_ERR_MODEL, PJD_WHO ": PyTorch's old format: %s", l->r->who, what);
}

static pjd_status next(legacy *l, pjd_pk_ref *root)
{
    size_t used = 0;
    pjd_status status = pjd_pickle_run(&l->p, l->r->data + l->at, l->r->size - l->at, &used, root, l->err);

    l->at += used;
    return status;
}

static pjd_status read_preamble(legacy *l)
{
    const pjd_pk_value *v;
    pjd_pk_ref ref;
    pjd_status status = next(l, &ref);

    if (status != PJD_OK)
        return status;
    v = &l->p.values[ref];
    if (v->kind != PJD_PK_BIG || v->length != sizeof magic || memcmp(v->u.text, magic, sizeof magic) != 0)
        return bad(l, "expected its magic number first");
    status = next(l, &ref);
    if (status != PJD_OK)
        return status;
    v = &l->p.values[ref];
    if (v->kind != PJD_PK_INT || v->u.integer != PROTOCOL)
        return bad(l, "expected protocol version 1001");
    status = next(l, &ref);
    if (status != PJD_OK)
        return status;
    v = pjd_pickle_get(&l->p, &l->p.values[ref], "little_endian");
    if (!v || v->kind != PJD_PK_BOOL || !v->u.integer)
        return bad(l, "expected little-endian numbers");
    return PJD_OK;
}

/* The storage of one key: count, then elements. */
static pjd_status read_storage(legacy *l, const pjd_pk_value *key)
{
    pjd_pk_storage *s;
    size_t i, bytes;

    if (key->kind != PJD_PK_STR || !pjd_strmap_find(&l->p.storage_keys, key->u.text, key->length, &i))
        return bad(l, "a list of storages with a key that the object does not use");
    s = &l->p.storages[i];
    if (s->data)
        return bad(l, "a storage listed twice");
    if (!s->known)
        return pjd_error_set(l->err, PJD_ERR_MODEL, PJD_WHO ": elements of a kind (%.40s) that is not supported",
                             l->r->who, s->type);
    bytes = s->elements * pjd_dtype_size(s->dtype); /* checked where it was declared */
    if (l->r->size - l->at < 8 || l->r->size - l->at - 8 < bytes)
        return pjd_error_set(l->err, PJD_ERR_MODEL,
                             PJD_WHO ": truncated: storage " PJD_KEY " of %zu bytes at byte %zu, the file has %zu",
                             l->r->who, PJD_KEY_ARG(s->key, s->key_len), bytes, l->at, l->r->size);
    if (pjd_le64(l->r->data + l->at) != s->elements)
        return bad(l, "a storage whose count is not the declared one");
    s->data = l->r->data + l->at + 8;
    s->bytes = bytes;
    l->at += 8 + bytes;
    return PJD_OK;
}

static pjd_status read_storages(legacy *l, const pjd_pk_value *keys)
{
    if (keys->kind != PJD_PK_LIST)
        return bad(l, "expected a list of storages");
    for (size_t i = 0; i < keys->length; i++) {
        pjd_status status = read_storage(l, &l->p.values[keys->u.items[i]]);

        if (status != PJD_OK)
            return status;
    }
    for (size_t i = 0; i < l->p.storage_count; i++)
        if (!l->p.storages[i].data)
            return bad(l, "a storage that the object uses is not listed");
    if (l->at != l->r->size)
        pjd_logf(l->r->log, PJD_LOG_WARN, "%s: %zu bytes behind the last storage ignored", l->r->who,
                 l->r->size - l->at);
    return PJD_OK;
}

static pjd_status read_torch_legacy(const pjd_reader *r, pjd_error *err)
{
    legacy l = {.r = r, .p = {.r = r, .legacy = true}, .err = err};
    pjd_pk_ref object, keys;
    pjd_status status = read_preamble(&l);

    if (status == PJD_OK)
        status = next(&l, &object);
    if (status == PJD_OK)
        status = next(&l, &keys);
    if (status == PJD_OK)
        status = read_storages(&l, &l.p.values[keys]);
    if (status == PJD_OK)
        status = pjd_torch_extract(&l.p, object, err);
    pjd_pickle_free(&l.p);
    return status;
}

pjd_status pjd_torch_legacy_storage(const pjd_reader *r, pjd_pk_storage *out, pjd_error *err)
{
    legacy l = {.r = r, .p = {.r = r, .legacy = true}, .err = err};
    pjd_pk_ref object = 0, keys;
    pjd_status status;

    if (!match(r->data, r->size))
        return bad(&l, "bytes that are no saved storage");
    status = read_preamble(&l);
    if (status == PJD_OK)
        status = next(&l, &object);
    if (status == PJD_OK)
        status = next(&l, &keys);
    if (status == PJD_OK)
        status = read_storages(&l, &l.p.values[keys]);
    if (status == PJD_OK && (l.p.values[object].kind != PJD_PK_STORAGE || l.p.storage_count != 1))
        status = bad(&l, "expected a single storage");
    if (status == PJD_OK) {
        *out = l.p.storages[l.p.values[object].u.index];
        out->type = pjd_dtype_name(out->dtype); /* the other text goes with its pickle */
    }
    pjd_pickle_free(&l.p);
    return status;
}

const pjd_format_class pjd_fmt_torch_legacy = {
    .entry = {.name = "torch legacy", .summary = "torch.save before PyTorch 1.6 (.pt, .pth)"},
    .match = match,
    .read = read_torch_legacy,
};
