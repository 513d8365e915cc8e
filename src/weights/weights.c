/* SPDX-License-Identifier: MIT */
/* The table of named tensors: opening, adding, finding. */
#include "weights/weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "weights/format.h"
#include "weights/zipdir.h"

/* ---- what readers call ---- */

static pjd_status reserve(pjd_weights *w, pjd_error *err)
{
    size_t capacity = w->capacity ? w->capacity * 2 : 256;
    pjd_tensor *t;

    if (w->count < w->capacity)
        return PJD_OK;
    t = pjd_realloc(w->tensors, w->count * sizeof *t, capacity, sizeof *t);
    if (!t)
        return pjd_error_nomem(err, "weights", capacity * sizeof *t);
    w->tensors = t;
    w->capacity = capacity;
    return PJD_OK;
}

pjd_status pjd_weights_add(const pjd_reader *r, const char *name, size_t len, const pjd_tensor *t, pjd_error *err)
{
    pjd_weights *w = r->w;
    size_t index = w->count, elements;
    pjd_status status;
    char *copy;

    if (len == 0 || len > PJD_WEIGHTS_MAX_NAME || memchr(name, '\0', len))
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": expected tensor names of 1 to %u bytes, found %s", r->who,
                             PJD_WEIGHTS_MAX_NAME, len > PJD_WEIGHTS_MAX_NAME ? "a longer one" : "an empty or cut one");
    if (!pjd_shape_count(&t->shape, &elements))
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": the shape of " PJD_KEY " overflows", r->who,
                             PJD_KEY_ARG(name, len));
    if (w->count >= PJD_WEIGHTS_MAX_TENSORS)
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": more than %u tensors", r->who, PJD_WEIGHTS_MAX_TENSORS);
    status = reserve(w, err);
    if (status != PJD_OK)
        return status;
    copy = pjd_arena_strndup(&w->arena, name, len);
    if (!copy)
        return pjd_error_nomem(err, r->who, len);
    switch (pjd_strmap_add(&w->stored, copy, len, &index)) {
    case PJD_STRMAP_FOUND:
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": two tensors named " PJD_KEY, r->who,
                             PJD_KEY_ARG(name, len));
    case PJD_STRMAP_NOMEM:
        return pjd_error_nomem(err, r->who, len);
    default:
        break;
    }
    w->tensors[w->count] = *t;
    w->tensors[w->count++].name = copy;
    return PJD_OK;
}

void pjd_tensor_contiguous(pjd_tensor *t)
{
    size_t step = 1;

    for (size_t i = t->shape.rank; i-- > 0;) {
        t->stride[i] = step;
        step *= t->shape.dim[i] ? t->shape.dim[i] : 1; /* cannot overflow where pjd_shape_count did not */
    }
}

pjd_status pjd_weights_read(const pjd_reader *r, pjd_error *err)
{
    for (size_t i = 0; pjd_format_classes[i]; i++) {
        const pjd_format_class *cls = pjd_format_classes[i];

        if (cls->match(r->data, r->size)) {
            r->w->container = cls->entry.name;
            return cls->read(r, err);
        }
    }
    return pjd_refuse_kind(r, err);
}

pjd_status pjd_weights_read_path(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err)
{
    pjd_source *s = pjd_arena_alloc(&w->arena, 1, sizeof *s);
    pjd_reader r = {.who = path, .log = log, .w = w};
    pjd_status status;

    if (!s)
        return pjd_error_nomem(err, path, sizeof *s);
    status = pjd_source_open(path, s, err);
    if (status != PJD_OK)
        return status;
    s->next = w->sources;
    w->sources = s;
    r.data = s->data;
    r.size = s->size;
    return pjd_weights_read(&r, err);
}

void pjd_weights_unused(const pjd_weights *w, const void *data, size_t bytes)
{
    for (const pjd_source *s = w->sources; s; s = s->next) {
        uintptr_t from = (uintptr_t)data, base = (uintptr_t)s->data;

        if (!s->owned && from >= base && from - base < s->size && bytes <= s->size - (from - base))
            pjd_source_unused(s, (size_t)(from - base), bytes);
    }
}

/* ---- checksums ---- */

pjd_checksums *pjd_checksums_add(const pjd_reader *r, size_t count)
{
    pjd_checksums *c = pjd_arena_alloc(&r->w->arena, 1, sizeof *c);

    if (!c)
        return NULL;
    *c = (pjd_checksums){.who = pjd_arena_strndup(&r->w->arena, r->who, strlen(r->who)),
                         .items = pjd_arena_alloc(&r->w->arena, count, sizeof *c->items),
                         .count = count};
    if (!c->who || !c->items)
        return NULL;
    for (size_t i = 0; i < count; i++)
        c->items[i] = (pjd_checksum){0};
    c->next = r->w->checksums;
    r->w->checksums = c;
    return c;
}

static int by_data(const void *a, const void *b)
{
    const pjd_checksum *x = a, *y = b;

    return (x->data > y->data) - (x->data < y->data);
}

void pjd_checksums_done(pjd_checksums *c)
{
    qsort(c->items, c->count, sizeof *c->items, by_data);
}

pjd_status pjd_weights_verify(const pjd_weights *w, const pjd_tensor *t, pjd_error *err)
{
    pjd_checksum key = {.data = t->storage}, *c = NULL;
    const char *who = "";
    int state;

    for (const pjd_checksums *all = w->checksums; all && !c; all = all->next) {
        c = bsearch(&key, all->items, all->count, sizeof *c, by_data);
        who = all->who;
    }
    if (!c || c->crc == 0)
        return PJD_OK;
    state = atomic_load(&c->state);
    if (state == 0) { /* two threads may both look: they see the same */
        state = pjd_crc32(c->data, c->bytes) == c->crc ? 1 : -1;
        atomic_store(&c->state, state);
    }
    if (state == 1)
        return PJD_OK;
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": damaged: the checksum of " PJD_KEY " is wrong", who,
                         PJD_KEY_ARG(c->name, c->name_len));
}

/* ---- opening ---- */

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);

    return n >= m && strcmp(s + n - m, tail) == 0;
}

static pjd_status read_any(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err)
{
    struct stat st;
    pjd_status status;

    if (stat(path, &st) != 0) {
        char text[128];

        return pjd_error_set(err, PJD_ERR_IO, PJD_WHO ": %s", path, strerror_r(errno, text, sizeof text));
    }
    if (S_ISDIR(st.st_mode))
        return pjd_folder_read(w, path, log, err);
    if (ends_with(path, ".index.json"))
        status = pjd_index_read(w, path, log, err);
    else
        status = pjd_weights_read_path(w, path, log, err);
    return status == PJD_OK ? pjd_folder_beside(w, path, log, err) : status;
}

/* Strip and check what was read; on failure w goes. */
static pjd_status finish(pjd_weights *w, pjd_status status, const char *who, const pjd_log *log, pjd_weights **out,
                         pjd_error *err)
{
    if (status == PJD_OK && w->count == 0)
        status = pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": a checkpoint without tensors", who);
    if (status == PJD_OK)
        status = pjd_weights_strip(w, who, log, err);
    if (status == PJD_OK)
        *out = w;
    else
        pjd_weights_free(w);
    return status;
}

static const pjd_log no_log = {0};

pjd_status pjd_weights_open(const char *path, const pjd_log *log, pjd_weights **out, pjd_error *err)
{
    pjd_weights *w;

    *out = NULL;
    log = log ? log : &no_log;
    w = pjd_alloc_zero(1, sizeof *w);
    if (!w)
        return pjd_error_nomem(err, path, sizeof *w);
    return finish(w, read_any(w, path, log, err), path, log, out, err);
}

static pjd_status open_memory(const pjd_format_class *cls, const void *data, size_t size, const pjd_log *log,
                              pjd_weights **out, pjd_error *err)
{
    pjd_reader r = {.data = data, .size = size, .who = "checkpoint", .log = log ? log : &no_log};
    pjd_status status;

    *out = NULL;
    r.w = pjd_alloc_zero(1, sizeof *r.w);
    if (!r.w)
        return pjd_error_nomem(err, r.who, sizeof *r.w);
    if (cls)
        r.w->container = cls->entry.name;
    status = cls ? cls->read(&r, err) : pjd_weights_read(&r, err);
    return finish(r.w, status, r.who, r.log, out, err);
}

pjd_status pjd_weights_open_memory(const void *data, size_t size, const pjd_log *log, pjd_weights **out, pjd_error *err)
{
    return open_memory(NULL, data, size, log, out, err);
}

pjd_status pjd_weights_open_as(const pjd_format_class *cls, const void *data, size_t size, pjd_weights **out,
                               pjd_error *err)
{
    return open_memory(cls, data, size, NULL, out, err);
}

void pjd_weights_free(pjd_weights *w)
{
    if (!w)
        return;
    for (pjd_source *s = w->sources; s; s = s->next)
        pjd_source_close(s);
    pjd_strmap_free(&w->stored);
    pjd_strmap_free(&w->stripped);
    pjd_free(w->tensors);
    pjd_free(w->names);
    pjd_arena_free(&w->arena);
    pjd_free(w);
}

/* ---- looking ---- */

const char *pjd_weights_container(const pjd_weights *w)
{
    return w->container;
}

size_t pjd_weights_count(const pjd_weights *w)
{
    return w->count;
}

const pjd_tensor *pjd_weights_at(const pjd_weights *w, size_t i)
{
    return i < w->count ? &w->tensors[i] : NULL;
}

const char *pjd_weights_name(const pjd_weights *w, size_t i)
{
    return i < w->count ? w->names[i] : NULL;
}

const pjd_tensor *pjd_weights_find(const pjd_weights *w, const char *name)
{
    size_t len = strlen(name), i;

    if (pjd_strmap_find(&w->stripped, name, len, &i) || pjd_strmap_find(&w->stored, name, len, &i))
        return &w->tensors[i];
    return NULL;
}

const char *pjd_weights_config(const pjd_weights *w)
{
    return w->config;
}

const char *pjd_weights_scheduler_config(const pjd_weights *w)
{
    return w->scheduler;
}

const char *pjd_weights_hyper(const pjd_weights *w)
{
    return w->hyper;
}
