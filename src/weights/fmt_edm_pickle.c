/* SPDX-License-Identifier: MIT */
/*
 * EDM's published files: a bare pickle of the whole network object. It holds each class's program text, which is text
 * here and nothing else; each object's attributes, whose _parameters, _buffers and _modules are the state dict; and each
 * tensor's storage as a torch.save of its own (in the old format) inside a bytes object, which is read in place.
 */
#include <stdio.h>
#include <string.h>

#include "weights/pickle.h"

#define MAX_DEPTH 32u
#define MAX_VISITS 4000000u
#define LOOK 4096u /* the first object's class is named within so many bytes */

static bool match(const unsigned char *data, size_t size)
{
    static const char name[] = "_reconstruct_persistent_obj";
    size_t n = sizeof name - 1;

    if (size < n + 2 || data[0] != 0x80 || data[1] < 2 || data[1] > 5)
        return false;
    for (size_t i = 2; i + n <= size && i < LOOK; i++)
        if (data[i] == '_' && memcmp(data + i, name, n) == 0)
            return true;
    return false;
}

typedef struct objects {
    const pjd_pickle *p;
    const pjd_reader *r;
    pjd_error *err;
    size_t visits;
    char name[PJD_WEIGHTS_MAX_NAME];
} objects;

/* The attributes of an object of either kind: with its program text, or of PyTorch's own classes. */
static const pjd_pk_value *attributes(const objects *o, const pjd_pk_value *v)
{
    if (v->kind == PJD_PK_DICT)
        return pjd_pickle_get(o->p, v, "state");
    return v->kind == PJD_PK_OPAQUE ? &o->p->values[v->state] : NULL;
}

/* The member's name behind the first `len` bytes of o->name; *len grows. */
static pjd_status enter(objects *o, const pjd_pk_value *key, size_t *len)
{
    if (key->kind != PJD_PK_STR || key->length + *len + 2 > sizeof o->name)
        return pjd_error_set(o->err, PJD_ERR_MODEL, PJD_WHO ": a network object with impossible names", o->r->who);
    memcpy(o->name + *len, key->u.text, key->length);
    *len += key->length;
    return PJD_OK;
}

/* The dict under this key; NULL when there is none. Dicts may be shared, so the work is counted. */
static const pjd_pk_value *members(objects *o, const pjd_pk_value *a, const char *key)
{
    const pjd_pk_value *v = pjd_pickle_get(o->p, a, key);

    o->visits += 1 + a->length + (v ? v->length : 0);
    return v && v->kind == PJD_PK_DICT ? v : NULL;
}

static pjd_status add_tensor(objects *o, size_t len, const pjd_pk_value *v)
{
    const pjd_pk_tensor *pt = &o->p->tensors[v->u.index];
    const pjd_pk_storage *s = &o->p->storages[pt->storage];
    pjd_tensor t = {.dtype = pt->dtype, .shape = pt->shape, .storage = s->data, .data = s->data};
    size_t count;

    if (!s->data || !pt->known)
        return pjd_error_set(o->err, PJD_ERR_MODEL, PJD_WHO ": tensor " PJD_KEY ": its elements are not in the pickle",
                             o->r->who, PJD_KEY_ARG(o->name, len));
    memcpy(t.stride, pt->stride, sizeof t.stride);
    if (pjd_shape_count(&pt->shape, &count) && count > 0)
        t.data += pt->offset * pjd_dtype_size(pt->dtype);
    return pjd_weights_add(o->r, o->name, len, &t, o->err);
}

/* _parameters or _buffers: tensors, and None where there is none. */
static pjd_status add_tensors(objects *o, const pjd_pk_value *dict, size_t prefix)
{
    pjd_status st = PJD_OK;

    for (size_t i = 0; dict && i + 1 < dict->length && st == PJD_OK; i += 2) {
        const pjd_pk_value *v = &o->p->values[dict->u.items[i + 1]];
        size_t len = prefix;

        if (v->kind != PJD_PK_TENSOR)
            continue;
        st = enter(o, &o->p->values[dict->u.items[i]], &len);
        if (st == PJD_OK)
            st = add_tensor(o, len, v);
    }
    return st;
}

/* prefix: bytes of o->name that the names of members begin with. */
static pjd_status add_object(objects *o, const pjd_pk_value *v, size_t prefix, unsigned depth)
{
    const pjd_pk_value *a = attributes(o, v), *modules;
    pjd_status st;

    if (depth > MAX_DEPTH || o->visits > MAX_VISITS)
        return pjd_error_set(o->err, PJD_ERR_MODEL, PJD_WHO ": objects nested more than %u deep, or without end",
                             o->r->who, MAX_DEPTH);
    if (!a || a->kind != PJD_PK_DICT)
        return PJD_OK;
    st = add_tensors(o, members(o, a, "_parameters"), prefix);
    if (st == PJD_OK)
        st = add_tensors(o, members(o, a, "_buffers"), prefix);
    modules = members(o, a, "_modules");
    for (size_t i = 0; modules && i + 1 < modules->length && st == PJD_OK; i += 2) {
        size_t len = prefix;

        st = enter(o, &o->p->values[modules->u.items[i]], &len);
        if (st == PJD_OK) {
            o->name[len] = '.';
            st = add_object(o, &o->p->values[modules->u.items[i + 1]], len + 1, depth + 1);
        }
    }
    return st;
}

/* What the object around the network says of itself, as the JSON text that a network looks at. */
static pjd_status tell(const objects *o, const pjd_pk_value *v)
{
    static const char *const classes[][2] = {
        {"EDMPrecond", "edm"}, {"VPPrecond", "vp"}, {"VEPrecond", "ve"}, {"iDDPMPrecond", "iddpm"}};
    static const char *const numbers[] = {"sigma_data", "beta_d", "beta_min", "M"};
    const pjd_pk_value *name = pjd_pickle_get(o->p, v, "class_name"), *a = attributes(o, v);
    char text[512];
    size_t used = 0;

    for (size_t i = 0; i < PJD_COUNTOF(classes); i++)
        if (name && name->kind == PJD_PK_STR && name->length == strlen(classes[i][0]) &&
            memcmp(name->u.text, classes[i][0], name->length) == 0)
            used = (size_t)snprintf(text, sizeof text, "{\"preconditioning\":\"%s\"", classes[i][1]);
    if (used == 0)
        return PJD_OK;
    for (size_t i = 0; i < PJD_COUNTOF(numbers); i++) {
        const pjd_pk_value *n = a ? pjd_pickle_get(o->p, a, numbers[i]) : NULL;

        if (n && n->kind == PJD_PK_FLOAT && n->u.number > -1e9 && n->u.number < 1e9)
            used += (size_t)snprintf(text + used, sizeof text - used, ",\"%s\":%.17g", numbers[i], n->u.number);
        else if (n && n->kind == PJD_PK_INT)
            used += (size_t)snprintf(text + used, sizeof text - used, ",\"%s\":%lld", numbers[i],
                                     (long long)n->u.integer);
    }
    memcpy(text + used, "}", 2);
    o->r->w->hyper = pjd_arena_strndup(&o->r->w->arena, text, used + 1);
    return o->r->w->hyper ? PJD_OK : pjd_error_nomem(o->err, o->r->who, used);
}

static pjd_status read_edm_pickle(const pjd_reader *r, pjd_error *err)
{
    pjd_pickle p = {.r = r, .objects = true};
    objects o = {.p = &p, .r = r, .err = err};
    const pjd_pk_value *v, *ema;
    size_t used = 0;
    pjd_pk_ref root;
    pjd_status st = pjd_pickle_run(&p, r->data, r->size, &used, &root, err);

    if (st == PJD_OK) {
        v = &p.values[root];
        ema = pjd_pickle_get(&p, v, "ema");
        if (ema)
            pjd_logf(r->log, PJD_LOG_INFO, "%s: EMA weights taken (ema)", r->who);
        v = ema ? ema : v;
        st = add_object(&o, v, 0, 0);
        if (st == PJD_OK)
            st = tell(&o, v);
    }
    if (st == PJD_OK && r->w->count == 0)
        st = pjd_error_set(err, PJD_ERR_MODEL,
                           PJD_WHO ": a pickled object in which no network was found; save its state_dict()", r->who);
    pjd_pickle_free(&p);
    return st;
}

const pjd_format_class pjd_fmt_edm_pickle = {
    .entry = {.name = "EDM pickle", .summary = "network objects as EDM publishes them (.pkl); nothing in them is run"},
    .match = match,
    .read = read_edm_pickle,
};
