/* SPDX-License-Identifier: MIT */
/*
 * From the object that torch.save wrote to named tensors: through the wrappers of training programs to the state dict,
 * averaged (EMA) weights before raw ones.
 */
#include <string.h>

#include "weights/pickle.h"

#define MAX_DEPTH 8u
#define MAX_VISITS 4000000u

static const char *const ema_keys[] = {
    "ema",        "model_ema",   "ema_model", "params_ema", "ema_state_dict", "state_dict_ema",
    "ema_params", "ema_weights", "g_ema",
};
/* Where averaging classes keep their tensors. */
static const char *const plain_keys[] = {
    "state_dict", "model",  "model_state_dict", "params",         "net",       "network", "unet", "denoiser",
    "weights",    "module", "shadow",           "averaged_model", "generator",
};

typedef struct extractor {
    const pjd_pickle *p;
    const pjd_reader *r;
    pjd_error *err;
    size_t visits, skipped;
    const pjd_pk_value *opaque; /* the first object met where a state dict could be */
    bool optimizer;             /* tensors of an optimizer were met */
    pjd_strmap have;            /* names of the averaged weights */
    const pjd_strmap *except;
    const pjd_pk_value
        *shadows;  /* list of averaged tensors that take the places of those of the state dict, in order */
    size_t shadow; /* of them, the next */
} extractor;

typedef struct choice {
    const pjd_pk_value *base, *ema, *shadows;
    const char *base_key, *ema_key;
} choice;

static const pjd_pk_value *at(const extractor *x, const pjd_pk_value *v, size_t i)
{
    return &x->p->values[v->u.items[i]];
}

/* ---- what there is ---- */

static bool is_optimizer(const extractor *x, const pjd_pk_value *v)
{
    return pjd_pickle_get(x->p, v, "param_groups") && pjd_pickle_get(x->p, v, "state");
}

static size_t direct_tensors(extractor *x, const pjd_pk_value *v)
{
    size_t n = 0;

    if (v->kind != PJD_PK_DICT)
        return 0;
    for (size_t i = 0; i + 1 < v->length; i += 2)
        n += at(x, v, i)->kind == PJD_PK_STR && at(x, v, i + 1)->kind == PJD_PK_TENSOR;
    x->visits += v->length;
    return n;
}

/* Any tensor under text keys, optimizers aside. */
static bool has_tensors(extractor *x, const pjd_pk_value *v, unsigned depth)
{
    if (v->kind == PJD_PK_LIST && v->length > 0 && is_optimizer(x, at(x, v, 0)))
        x->optimizer = true;
    if (v->kind != PJD_PK_DICT || depth > MAX_DEPTH || x->visits > MAX_VISITS)
        return false;
    if (is_optimizer(x, v)) {
        x->optimizer = true;
        return false;
    }
    if (direct_tensors(x, v) > 0)
        return true;
    for (size_t i = 0; i + 1 < v->length; i += 2)
        if (at(x, v, i)->kind == PJD_PK_STR && has_tensors(x, at(x, v, i + 1), depth + 1))
            return true;
    return false;
}

static const pjd_pk_value *wrapped(extractor *x, const pjd_pk_value *v, const char *const *keys, size_t count,
                                   const char **key)
{
    for (size_t i = 0; i < count; i++) {
        const pjd_pk_value *inner = pjd_pickle_get(x->p, v, keys[i]);

        if (!inner)
            continue;
        if (inner->kind == PJD_PK_OPAQUE && !x->opaque)
            x->opaque = inner;
        if (has_tensors(x, inner, 0)) {
            *key = keys[i];
            return inner;
        }
    }
    return NULL;
}

/* The averages of programs that keep them as a list (torch_ema, score_sde), or NULL. */
static const pjd_pk_value *shadows(const extractor *x, const pjd_pk_value *v)
{
    for (size_t i = 0; i < PJD_COUNTOF(ema_keys); i++) {
        const pjd_pk_value *ema = pjd_pickle_get(x->p, v, ema_keys[i]);
        const pjd_pk_value *list = ema && ema->kind == PJD_PK_DICT ? pjd_pickle_get(x->p, ema, "shadow_params") : NULL;

        if (list && list->kind == PJD_PK_LIST)
            return list;
    }
    return NULL;
}

/* A DDIM training checkpoint: [model, optimizer, epoch, step, EMA]. */
static bool choose_list(extractor *x, const pjd_pk_value *v, choice *c)
{
    const pjd_pk_value *last;

    if (v->length == 0)
        return false;
    if (!has_tensors(x, at(x, v, 0), 0))
        return false;
    c->base = at(x, v, 0);
    c->base_key = "element 0 of the list";
    last = at(x, v, v->length - 1);
    if (v->length > 1 && has_tensors(x, last, 0)) {
        c->ema = last;
        c->ema_key = "last element of the list";
    }
    return true;
}

/* The only dict with tensors below a dict without any, whatever its key. */
static const pjd_pk_value *only_child(extractor *x, const pjd_pk_value *v)
{
    const pjd_pk_value *found = NULL;

    for (size_t i = 0; i + 1 < v->length; i += 2) {
        if (!has_tensors(x, at(x, v, i + 1), 0))
            continue;
        if (found)
            return NULL;
        found = at(x, v, i + 1);
    }
    return found;
}

static bool choose(extractor *x, const pjd_pk_value *v, unsigned depth, choice *c);

/* The state dicts below the wrappers of v, into *c. */
static void choose_wrapped(extractor *x, const pjd_pk_value *v, unsigned depth, choice *c)
{
    choice ema = {0}, base = {0};

    c->ema = wrapped(x, v, ema_keys, PJD_COUNTOF(ema_keys), &c->ema_key);
    c->base = wrapped(x, v, plain_keys, PJD_COUNTOF(plain_keys), &c->base_key);
    if (!c->shadows)
        c->shadows = shadows(x, v);
    if (c->ema) {
        choose(x, c->ema, depth + 1, &ema);
        c->ema = ema.ema ? ema.ema : ema.base;
    }
    if (c->base) {
        choose(x, c->base, depth + 1, &base);
        c->base = base.base ? base.base : base.ema;
        if (base.ema && !c->ema) {
            c->ema = base.ema;
            c->ema_key = base.ema_key;
        }
    }
}

/* Go through wrappers until tensors are met. False when there is nothing of use. */
static bool choose(extractor *x, const pjd_pk_value *v, unsigned depth, choice *c)
{
    size_t direct, inner = 0;

    if (depth > MAX_DEPTH)
        return false;
    if (v->kind == PJD_PK_LIST || v->kind == PJD_PK_TUPLE)
        return choose_list(x, v, c);
    if (v->kind == PJD_PK_OPAQUE && !x->opaque)
        x->opaque = v;
    if (!has_tensors(x, v, 0))
        return false;
    choose_wrapped(x, v, depth, c);
    direct = direct_tensors(x, v);
    if (c->ema)
        inner = direct_tensors(x, c->ema);
    if (c->base && direct_tensors(x, c->base) > inner)
        inner = direct_tensors(x, c->base);
    /* A buffer or two beside a wrapped state dict do not make the outer one the network. */
    if (direct > inner)
        *c = (choice){.base = v, .shadows = c->shadows};
    if (!c->ema && !c->base) {
        const pjd_pk_value *child = only_child(x, v);

        if (child)
            return choose(x, child, depth + 1, c);
        c->base = v; /* several networks: names get their keys as prefixes */
    }
    return true;
}

/* ---- tensors out ---- */

static pjd_status add(extractor *x, const char *name, size_t len, const pjd_pk_value *v)
{
    const pjd_pk_tensor *pt = &x->p->tensors[v->u.index];
    const pjd_pk_storage *s = &x->p->storages[pt->storage];
    pjd_tensor t = {.dtype = pt->dtype, .shape = pt->shape, .storage = s->data};
    size_t count;

    if (!pt->known)
        return pjd_error_set(x->err, PJD_ERR_MODEL,
                             PJD_WHO ": tensor " PJD_KEY " has elements of a kind (" PJD_KEY ") that is not supported",
                             x->r->who, PJD_KEY_ARG(name, len),
                             PJD_KEY_ARG(pt->type ? pt->type : s->type, pt->type ? pt->type_len : strlen(s->type)));
    memcpy(t.stride, pt->stride, sizeof t.stride);
    /* The offset of a tensor without elements may be anything. */
    t.data = s->data;
    if (pjd_shape_count(&pt->shape, &count) && count > 0)
        t.data += pt->offset * pjd_dtype_size(pt->dtype);
    if (x->except) {
        /* Only what the averaged weights lack, under their habit of naming. */
        size_t i;

        while (len > 7 && memcmp(name, "module.", 7) == 0 && !pjd_strmap_find(x->except, name, len, &i)) {
            name += 7;
            len -= 7;
        }
        if (pjd_strmap_find(x->except, name, len, &i))
            return PJD_OK;
    }
    return pjd_weights_add(x->r, name, len, &t, x->err);
}

static pjd_status emit(extractor *x, const pjd_pk_value *dict, const char *prefix, size_t prefix_len, unsigned depth);

static pjd_status emit_pair(extractor *x, const pjd_pk_value *key, const pjd_pk_value *v, const char *prefix,
                            size_t prefix_len, unsigned depth)
{
    size_t len = prefix_len + key->length;
    char *name;

    if (v->kind != PJD_PK_TENSOR && v->kind != PJD_PK_DICT && v->kind != PJD_PK_OPAQUE) {
        x->skipped++;
        return PJD_OK;
    }
    if (len + 1 > PJD_WEIGHTS_MAX_NAME)
        return pjd_error_set(x->err, PJD_ERR_MODEL, PJD_WHO ": a name of more than %u bytes", x->r->who,
                             PJD_WEIGHTS_MAX_NAME);
    name = pjd_arena_alloc(&x->r->w->arena, len + 2, 1);
    if (!name)
        return pjd_error_nomem(x->err, x->r->who, len);
    memcpy(name, prefix, prefix_len);
    memcpy(name + prefix_len, key->u.text, key->length);
    if (v->kind == PJD_PK_TENSOR)
        return add(x, name, len, x->shadows ? at(x, x->shadows, x->shadow++) : v);
    if (v->kind == PJD_PK_OPAQUE)
        return pjd_error_set(x->err, PJD_ERR_MODEL, PJD_WHO ": " PJD_KEY ": expected a tensor, found an object of %.*s",
                             x->r->who, PJD_KEY_ARG(name, len), PJD_KEY_ARG(v->u.text, v->length));
    name[len] = '.';
    return emit(x, v, name, len + 1, depth + 1);
}

static pjd_status emit(extractor *x, const pjd_pk_value *dict, const char *prefix, size_t prefix_len, unsigned depth)
{
    if (depth > MAX_DEPTH)
        return pjd_error_set(x->err, PJD_ERR_MODEL, PJD_WHO ": dicts nested more than %u deep", x->r->who, MAX_DEPTH);
    if (is_optimizer(x, dict))
        return PJD_OK;
    for (size_t i = 0; i + 1 < dict->length; i += 2) {
        const pjd_pk_value *key = at(x, dict, i);
        pjd_status status;

        if (++x->visits > MAX_VISITS)
            return pjd_error_set(x->err, PJD_ERR_MODEL, PJD_WHO ": more than %u values", x->r->who, MAX_VISITS);
        if (key->kind == PJD_PK_OPAQUE)
            return pjd_error_set(x->err, PJD_ERR_MODEL, PJD_WHO ": expected names as keys, found an object of %.*s",
                                 x->r->who, PJD_KEY_ARG(key->u.text, key->length));
        if (key->kind != PJD_PK_STR) {
            x->skipped++;
            continue;
        }
        status = emit_pair(x, key, at(x, dict, i + 1), prefix, prefix_len, depth);
        if (status != PJD_OK)
            return status;
    }
    return PJD_OK;
}

/* Averaged weights; then, from the raw ones, what was not averaged (buffers). */
static pjd_status emit_averaged(extractor *x, const choice *c)
{
    pjd_status status = emit(x, c->ema, "", 0, 0);
    size_t before = x->r->w->count, first = x->r->w->count, shared = 0;

    if (status != PJD_OK || !c->base)
        return status;
    for (size_t i = 0; i < before; i++) {
        const char *name = x->r->w->tensors[i].name;

        first = i;
        if (pjd_strmap_add(&x->have, name, strlen(name), &first) == PJD_STRMAP_NOMEM)
            return pjd_error_nomem(x->err, x->r->who, strlen(name));
    }
    for (size_t i = 0; i + 1 < c->base->length; i += 2) {
        const pjd_pk_value *key = at(x, c->base, i);
        const char *name = key->u.text;
        size_t len = key->length;

        if (key->kind != PJD_PK_STR)
            continue;
        for (; len > 7 && memcmp(name, "module.", 7) == 0 && !pjd_strmap_find(&x->have, name, len, &first); len -= 7)
            name += 7;
        shared += pjd_strmap_find(&x->have, name, len, &first);
    }
    if (shared == 0) /* other names (a wrapper of its own): complete in itself */
        return PJD_OK;
    x->except = &x->have;
    return emit(x, c->base, "", 0, 0);
}

/* A list without names is taken when it goes through the state dict, tensor by tensor. */
static void match_shadows(extractor *x, const choice *c)
{
    size_t n = 0;
    bool fits = c->base->kind == PJD_PK_DICT;

    for (size_t i = 0; fits && i + 1 < c->base->length; i += 2) {
        const pjd_pk_value *key = at(x, c->base, i), *v = at(x, c->base, i + 1), *s;

        if (key->kind != PJD_PK_STR || v->kind != PJD_PK_TENSOR)
            continue;
        s = n < c->shadows->length ? at(x, c->shadows, n) : NULL;
        fits = s && s->kind == PJD_PK_TENSOR &&
               pjd_shape_equal(&x->p->tensors[v->u.index].shape, &x->p->tensors[s->u.index].shape);
        n++;
    }
    if (fits && n == c->shadows->length) {
        x->shadows = c->shadows;
        pjd_logf(x->r->log, PJD_LOG_INFO, "%s: EMA weights taken (shadow_params, in the order of the %zu tensors)",
                 x->r->who, n);
    } else {
        pjd_logf(
            x->r->log, PJD_LOG_WARN,
            "%s: %zu averaged weights without names (shadow_params) do not fit the tensors; the raw ones are taken",
            x->r->who, (size_t)c->shadows->length);
    }
}

/* ---- hyper-parameters ---- */

static pjd_status read_hyper(extractor *x, const pjd_pk_value *root)
{
    static const char *const keys[] = {"hyper_parameters", "hparams", "config", "args"};

    for (size_t i = 0; i < PJD_COUNTOF(keys); i++) {
        const pjd_pk_value *v = pjd_pickle_get(x->p, root, keys[i]);

        if (!v || (v->kind != PJD_PK_DICT && v->kind != PJD_PK_OPAQUE))
            continue;
        x->r->w->hyper = pjd_pickle_json(x->p, v, &x->r->w->arena);
        if (!x->r->w->hyper)
            return pjd_error_nomem(x->err, x->r->who, v->length);
        pjd_logf(x->r->log, PJD_LOG_DEBUG, "%s: hyper-parameters found under %s", x->r->who, keys[i]);
        return PJD_OK;
    }
    return PJD_OK;
}

/* ---- nothing found ---- */

static pjd_status refuse(const extractor *x, const pjd_pk_value *root)
{
    static const char *const kinds[] = {
        [PJD_PK_NONE] = "nothing",      [PJD_PK_BOOL] = "a bool",
        [PJD_PK_INT] = "a number",      [PJD_PK_BIG] = "a number",
        [PJD_PK_FLOAT] = "a number",    [PJD_PK_STR] = "a text",
        [PJD_PK_BYTES] = "bytes",       [PJD_PK_TUPLE] = "a tuple",
        [PJD_PK_LIST] = "a list",       [PJD_PK_SET] = "a set",
        [PJD_PK_DICT] = "a dict",       [PJD_PK_GLOBAL] = "the name of a class",
        [PJD_PK_STORAGE] = "a storage", [PJD_PK_TENSOR] = "one tensor without a name",
        [PJD_PK_OPAQUE] = "an object",
    };

    if (x->opaque)
        return pjd_error_set(x->err, PJD_ERR_MODEL,
                             PJD_WHO ": a whole pickled object (%.*s), which would run code; save its state_dict()",
                             x->r->who, PJD_KEY_ARG(x->opaque->u.text, x->opaque->length));
    if (x->optimizer)
        return pjd_error_set(x->err, PJD_ERR_MODEL, PJD_WHO ": the state of an optimizer, without a model's weights",
                             x->r->who);
    return pjd_error_set(x->err, PJD_ERR_MODEL, PJD_WHO ": expected named tensors (a state dict), found %s", x->r->who,
                         kinds[root->kind]);
}

pjd_status pjd_torch_extract(const pjd_pickle *p, pjd_pk_ref root, pjd_error *err)
{
    extractor x = {.p = p, .r = p->r, .err = err};
    const pjd_pk_value *v = &p->values[root];
    choice c = {0};
    pjd_status status;

    if (!choose(&x, v, 0, &c) || (!c.base && !c.ema))
        return refuse(&x, v);
    x.visits = 0;
    if (c.ema) {
        pjd_logf(x.r->log, PJD_LOG_INFO, "%s: EMA weights taken (%s)", x.r->who, c.ema_key);
        status = emit_averaged(&x, &c);
    } else {
        if (c.base_key)
            pjd_logf(x.r->log, PJD_LOG_DEBUG, "%s: weights found in %s", x.r->who, c.base_key);
        if (c.shadows)
            match_shadows(&x, &c);
        status = emit(&x, c.base, "", 0, 0);
    }
    if (status == PJD_OK && x.skipped)
        pjd_logf(x.r->log, PJD_LOG_DEBUG, "%s: %zu values that are no tensors skipped", x.r->who, x.skipped);
    if (status == PJD_OK)
        status = read_hyper(&x, v);
    pjd_strmap_free(&x.have);
    return status;
}
