/* SPDX-License-Identifier: MIT */
#include "weights/pickle_globals.h"

#include <stdio.h>
#include <string.h>

/* A view that repeats elements (stride 0) may have this many more than its storage. */
#define MAX_EXPANDED (16u << 20)

typedef enum role {
    ROLE_NONE = 0,
    ROLE_DICT,
    ROLE_DEFAULTDICT,
    ROLE_REBUILD,    /* (storage, offset, size, stride, ...) */
    ROLE_REBUILD_V3, /* the same, dtype at position 6 */
    ROLE_PARAMETER,  /* (tensor, ...) */
    ROLE_FROM_TYPE,  /* (function, type, arguments, state) */
    ROLE_SIZE,
    ROLE_OBJECT, /* EDM's (description) with class_name, module_src, state */
    ROLE_NESTED, /* (bytes) */
    ROLE_STORAGE,
    ROLE_UNTYPED,
    ROLE_DTYPE
} role;

static const struct {
    const char *name;
    role role;
    pjd_dtype dtype;
} globals[] = {
    {"", ROLE_NONE, PJD_F32},
    {"collections.OrderedDict", ROLE_DICT, PJD_F32},
    {"collections.defaultdict", ROLE_DEFAULTDICT, PJD_F32},
    {"pytorch_lightning.utilities.parsing.AttributeDict", ROLE_DICT, PJD_F32},
    {"lightning.pytorch.utilities.parsing.AttributeDict", ROLE_DICT, PJD_F32},
    {"lightning_fabric.utilities.data.AttributeDict", ROLE_DICT, PJD_F32},
    {"lightning.fabric.utilities.data.AttributeDict", ROLE_DICT, PJD_F32},
    {"torch._utils._rebuild_tensor", ROLE_REBUILD, PJD_F32},
    {"torch._utils._rebuild_tensor_v2", ROLE_REBUILD, PJD_F32},
    {"torch._utils._rebuild_tensor_v3", ROLE_REBUILD_V3, PJD_F32},
    {"torch._utils._rebuild_parameter", ROLE_PARAMETER, PJD_F32},
    {"torch._utils._rebuild_parameter_with_state", ROLE_PARAMETER, PJD_F32},
    {"torch._tensor._rebuild_from_type_v2", ROLE_FROM_TYPE, PJD_F32},
    {"torch.Size", ROLE_SIZE, PJD_F32},
    {"torch_utils.persistence._reconstruct_persistent_obj", ROLE_OBJECT, PJD_F32},
    {"torch.storage._load_from_bytes", ROLE_NESTED, PJD_F32},
    {"torch.FloatStorage", ROLE_STORAGE, PJD_F32},
    {"torch.DoubleStorage", ROLE_STORAGE, PJD_F64},
    {"torch.HalfStorage", ROLE_STORAGE, PJD_F16},
    {"torch.BFloat16Storage", ROLE_STORAGE, PJD_BF16},
    {"torch.LongStorage", ROLE_STORAGE, PJD_I64},
    {"torch.IntStorage", ROLE_STORAGE, PJD_I32},
    {"torch.ShortStorage", ROLE_STORAGE, PJD_I16},
    {"torch.CharStorage", ROLE_STORAGE, PJD_I8},
    {"torch.ByteStorage", ROLE_STORAGE, PJD_U8},
    {"torch.BoolStorage", ROLE_STORAGE, PJD_BOOL},
    {"torch.storage.UntypedStorage", ROLE_UNTYPED, PJD_U8},
    {"torch.storage._UntypedStorage", ROLE_UNTYPED, PJD_U8},
    {"torch.UntypedStorage", ROLE_UNTYPED, PJD_U8},
    {"torch.float32", ROLE_DTYPE, PJD_F32},
    {"torch.float64", ROLE_DTYPE, PJD_F64},
    {"torch.float16", ROLE_DTYPE, PJD_F16},
    {"torch.bfloat16", ROLE_DTYPE, PJD_BF16},
    {"torch.int64", ROLE_DTYPE, PJD_I64},
    {"torch.int32", ROLE_DTYPE, PJD_I32},
    {"torch.int16", ROLE_DTYPE, PJD_I16},
    {"torch.int8", ROLE_DTYPE, PJD_I8},
    {"torch.uint8", ROLE_DTYPE, PJD_U8},
    {"torch.bool", ROLE_DTYPE, PJD_BOOL},
};

unsigned pjd_pickle_global(const char *dotted)
{
    for (unsigned i = 1; i < PJD_COUNTOF(globals); i++)
        if (strcmp(globals[i].name, dotted) == 0)
            return i;
    return 0;
}

static pjd_status bad(const pjd_pickle *p, size_t at, const char *what, pjd_error *err)
{
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": broken pickle at byte %zu: %s", p->r->who, at, what);
}

static const pjd_pk_value *item(const pjd_pickle *p, const pjd_pk_value *v, size_t i)
{
    return &p->values[v->u.items[i]];
}

static bool is_sequence(const pjd_pk_value *v)
{
    return v->kind == PJD_PK_TUPLE || v->kind == PJD_PK_LIST;
}

/* ---- dicts ---- */

/* OrderedDict(), or OrderedDict([(key, value), ...]) as Python 2 writes it. */
static pjd_status make_dict(pjd_pickle *p, const pjd_pk_value *args, size_t at, pjd_pk_value *out, pjd_error *err)
{
    const pjd_pk_value *pairs;
    pjd_pk_ref *items;

    *out = (pjd_pk_value){.kind = PJD_PK_DICT};
    if (args->length == 0)
        return PJD_OK;
    pairs = item(p, args, 0);
    if (args->length != 1 || !is_sequence(pairs))
        return bad(p, at, "a dict made of something else than pairs", err);
    items = pjd_arena_alloc(&p->arena, pairs->length, 2 * sizeof *items);
    if (!items)
        return pjd_error_nomem(err, p->r->who, pairs->length * 2 * sizeof *items);
    for (size_t i = 0; i < pairs->length; i++) {
        const pjd_pk_value *pair = item(p, pairs, i);

        if (!is_sequence(pair) || pair->length != 2)
            return bad(p, at, "a dict made of something else than pairs", err);
        items[2 * i] = pair->u.items[0];
        items[2 * i + 1] = pair->u.items[1];
    }
    out->u.items = items;
    out->length = out->capacity = 2 * pairs->length;
    return PJD_OK;
}

/* ---- tensors ---- */

/* A tuple of at most PJD_MAX_RANK non-negative integers. */
static bool read_sizes(const pjd_pickle *p, const pjd_pk_value *v, size_t *out, size_t *count)
{
    if (!is_sequence(v) || v->length > PJD_MAX_RANK)
        return false;
    *count = v->length;
    for (size_t i = 0; i < v->length; i++) {
        const pjd_pk_value *e = item(p, v, i);

        if (e->kind != PJD_PK_INT || e->u.integer < 0)
            return false;
        out[i] = (size_t)e->u.integer;
    }
    return true;
}

/* The last element lies inside of the storage. */
static bool inside(const pjd_pk_tensor *t, size_t elements)
{
    size_t last = t->offset, count;

    if (!pjd_shape_count(&t->shape, &count))
        return false;
    if (count == 0)
        return true;
    for (size_t i = 0; i < t->shape.rank; i++) {
        size_t span;

        if (!pjd_mul(t->shape.dim[i] - 1, t->stride[i], &span) || !pjd_add(last, span, &last))
            return false;
    }
    return last < elements && (count <= elements || count <= MAX_EXPANDED);
}

static pjd_status add_tensor(pjd_pickle *p, const pjd_pk_tensor *t, pjd_pk_value *out, pjd_error *err)
{
    if (p->tensor_count == p->tensor_capacity) {
        size_t capacity = p->tensor_capacity ? p->tensor_capacity * 2 : 64;
        pjd_pk_tensor *grown;

        if (p->tensor_count >= PJD_WEIGHTS_MAX_TENSORS)
            return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": more than %u tensors", p->r->who,
                                 PJD_WEIGHTS_MAX_TENSORS);
        grown = pjd_realloc(p->tensors, p->tensor_count * sizeof *grown, capacity, sizeof *grown);
        if (!grown)
            return pjd_error_nomem(err, p->r->who, capacity * sizeof *grown);
        p->tensors = grown;
        p->tensor_capacity = capacity;
    }
    *out = (pjd_pk_value){.kind = PJD_PK_TENSOR, .u.index = p->tensor_count};
    p->tensors[p->tensor_count++] = *t;
    return PJD_OK;
}

static pjd_status rebuild_tensor(pjd_pickle *p, const pjd_pk_value *args, bool v3, size_t at, pjd_pk_value *out,
                                 pjd_error *err)
{
    pjd_pk_tensor t = {0};
    const pjd_pk_storage *s;
    size_t strides, elements;

    if (args->length < (v3 ? 7 : 4) || item(p, args, 0)->kind != PJD_PK_STORAGE ||
        item(p, args, 1)->kind != PJD_PK_INT || item(p, args, 1)->u.integer < 0)
        return bad(p, at, "a tensor without storage and offset", err);
    t.storage = item(p, args, 0)->u.index;
    t.offset = (size_t)item(p, args, 1)->u.integer;
    if (!read_sizes(p, item(p, args, 2), t.shape.dim, &t.shape.rank) ||
        !read_sizes(p, item(p, args, 3), t.stride, &strides) || strides != t.shape.rank)
        return bad(p, at, "a tensor whose sizes and strides are not up to 8 non-negative integers each", err);
    s = &p->storages[t.storage];
    t.known = s->known;
    t.dtype = s->dtype;
    elements = s->elements;
    if (v3) {
        const pjd_pk_value *d = item(p, args, 6);

        t.known = d->kind == PJD_PK_GLOBAL && globals[d->global].role == ROLE_DTYPE;
        t.dtype = globals[d->kind == PJD_PK_GLOBAL ? d->global : 0].dtype;
        if (!t.known && d->kind == PJD_PK_GLOBAL) {
            t.type = d->u.text;
            t.type_len = d->length;
        }
        if (t.known && !s->untyped && t.dtype != s->dtype)
            return bad(p, at, "a tensor of another type than its storage", err);
        if (t.known && s->untyped)
            elements /= pjd_dtype_size(t.dtype);
    }
    if (!inside(&t, elements))
        return bad(p, at, "a tensor that reaches beyond its storage", err);
    return add_tensor(p, &t, out, err);
}

/* ---- storages in the pickle itself (EDM) ---- */

static pjd_status add_storage(pjd_pickle *p, const pjd_pk_storage *s, size_t at, pjd_pk_value *out, pjd_error *err);

/* A bytes object that is a torch.save of one storage. Keys of different ones may be equal: each gets a new one. */
static pjd_status nested_storage(pjd_pickle *p, const pjd_pk_value *args, size_t at, pjd_pk_value *out, pjd_error *err)
{
    const pjd_pk_value *bytes = args->length == 1 ? item(p, args, 0) : NULL;
    pjd_reader r = *p->r;
    pjd_pk_storage s;
    char *key;
    pjd_status st;

    if (!bytes || bytes->kind != PJD_PK_BYTES)
        return bad(p, at, "a storage that is made of no bytes", err);
    r.data = (const unsigned char *)bytes->u.text;
    r.size = bytes->length;
    st = pjd_torch_legacy_storage(&r, &s, err);
    if (st != PJD_OK)
        return st;
    key = pjd_arena_alloc(&p->arena, 24, 1);
    if (!key)
        return pjd_error_nomem(err, p->r->who, 24);
    snprintf(key, 24, "%zu", p->storage_count);
    s.key = key;
    s.key_len = strlen(key);
    return add_storage(p, &s, at, out, err);
}

/* ---- calls ---- */

static pjd_status call_global(pjd_pickle *p, const pjd_pk_value *f, const pjd_pk_value *args, bool nested, size_t at,
                              pjd_pk_value *out, pjd_error *err)
{
    *out = (pjd_pk_value){.kind = PJD_PK_OPAQUE, .length = f->length, .u.text = f->u.text};
    switch (globals[f->global].role) {
    case ROLE_DICT:
        return make_dict(p, args, at, out, err);
    case ROLE_DEFAULTDICT:
        *out = (pjd_pk_value){.kind = PJD_PK_DICT};
        return args->length <= 1 ? PJD_OK : bad(p, at, "a defaultdict with contents in its arguments", err);
    case ROLE_REBUILD:
        return rebuild_tensor(p, args, false, at, out, err);
    case ROLE_REBUILD_V3:
        return rebuild_tensor(p, args, true, at, out, err);
    case ROLE_PARAMETER:
        if (args->length < 1 || (item(p, args, 0)->kind != PJD_PK_TENSOR && item(p, args, 0)->kind != PJD_PK_OPAQUE))
            return bad(p, at, "a parameter that is no tensor", err);
        *out = *item(p, args, 0);
        return PJD_OK;
    case ROLE_FROM_TYPE:
        if (nested || args->length < 3 || item(p, args, 0)->kind != PJD_PK_GLOBAL ||
            item(p, args, 2)->kind != PJD_PK_TUPLE)
            return bad(p, at, "a tensor subclass in an unknown form", err);
        return call_global(p, item(p, args, 0), item(p, args, 2), true, at, out, err);
    case ROLE_SIZE:
        if (args->length == 0) {
            *out = (pjd_pk_value){.kind = PJD_PK_TUPLE};
        } else {
            if (args->length != 1 || !is_sequence(item(p, args, 0)))
                return bad(p, at, "a torch.Size of something else than a tuple", err);
            *out = *item(p, args, 0);
            out->kind = PJD_PK_TUPLE;
        }
        return PJD_OK;
    case ROLE_OBJECT:
        if (p->objects && args->length == 1 && item(p, args, 0)->kind == PJD_PK_DICT)
            *out = *item(p, args, 0);
        return PJD_OK;
    case ROLE_NESTED:
        return p->objects ? nested_storage(p, args, at, out, err) : PJD_OK;
    default:
        return PJD_OK;
    }
}

pjd_status pjd_pickle_call(pjd_pickle *p, pjd_pk_ref callable, pjd_pk_ref args, size_t at, pjd_pk_value *out,
                           pjd_error *err)
{
    const pjd_pk_value *f = &p->values[callable];

    if (f->kind == PJD_PK_OPAQUE) {
        *out = (pjd_pk_value){.kind = PJD_PK_OPAQUE, .length = f->length, .u.text = f->u.text};
        return PJD_OK;
    }
    if (f->kind != PJD_PK_GLOBAL)
        return bad(p, at, "a call of something that is no name", err);
    return call_global(p, f, &p->values[args], false, at, out, err);
}

/* ---- storages ---- */

static bool text_is(const pjd_pk_value *v, const char *text)
{
    return v->kind == PJD_PK_STR && v->length == strlen(text) && memcmp(v->u.text, text, v->length) == 0;
}

static pjd_status add_storage(pjd_pickle *p, const pjd_pk_storage *s, size_t at, pjd_pk_value *out, pjd_error *err)
{
    size_t i = p->storage_count;

    if (p->storage_count == p->storage_capacity) {
        size_t capacity = p->storage_capacity ? p->storage_capacity * 2 : 64;
        pjd_pk_storage *grown = pjd_realloc(p->storages, p->storage_count * sizeof *grown, capacity, sizeof *grown);

        if (!grown)
            return pjd_error_nomem(err, p->r->who, capacity * sizeof *grown);
        p->storages = grown;
        p->storage_capacity = capacity;
    }
    switch (pjd_strmap_add(&p->storage_keys, s->key, s->key_len, &i)) {
    case PJD_STRMAP_NOMEM:
        return pjd_error_nomem(err, p->r->who, s->key_len);
    case PJD_STRMAP_FOUND:
        if (p->storages[i].elements != s->elements || strcmp(p->storages[i].type, s->type) != 0)
            return bad(p, at, "one storage declared in two ways", err);
        break;
    default:
        p->storages[p->storage_count++] = *s;
        break;
    }
    *out = (pjd_pk_value){.kind = PJD_PK_STORAGE, .u.index = i};
    return PJD_OK;
}

pjd_status pjd_pickle_persistent(pjd_pickle *p, pjd_pk_ref id, size_t at, pjd_pk_value *out, pjd_error *err)
{
    const pjd_pk_value *v = &p->values[id], *type, *key, *count;
    pjd_pk_storage s = {0};
    size_t bytes;

    if (p->objects)
        return bad(p, at, "a storage kept elsewhere", err);
    if (v->kind == PJD_PK_TUPLE && p->legacy && v->length == 4 && text_is(item(p, v, 0), "module") &&
        item(p, v, 1)->kind == PJD_PK_GLOBAL) {
        /* A class with its source text, as whole modules were once saved. */
        *out = (pjd_pk_value){.kind = PJD_PK_OPAQUE, .length = item(p, v, 1)->length, .u.text = item(p, v, 1)->u.text};
        return PJD_OK;
    }
    if (v->kind != PJD_PK_TUPLE || (v->length != 5 && !(p->legacy && v->length == 6)) ||
        !text_is(item(p, v, 0), "storage"))
        return bad(p, at, "a persistent id that is no storage", err);
    type = item(p, v, 1);
    key = item(p, v, 2);
    count = item(p, v, 4);
    if (type->kind != PJD_PK_GLOBAL || key->kind != PJD_PK_STR || key->length == 0 ||
        key->length > PJD_WEIGHTS_MAX_NAME || item(p, v, 3)->kind != PJD_PK_STR || count->kind != PJD_PK_INT ||
        count->u.integer < 0)
        return bad(p, at, "a malformed persistent id", err);
    if (v->length == 6 && item(p, v, 5)->kind != PJD_PK_NONE)
        return bad(p, at, "a view of a storage (a file of PyTorch before 0.4), which is not supported", err);
    s.type = strrchr(type->u.text, '.') + 1; /* a global's text always has a dot */
    s.known = globals[type->global].role == ROLE_STORAGE || globals[type->global].role == ROLE_UNTYPED;
    s.untyped = globals[type->global].role == ROLE_UNTYPED;
    s.dtype = globals[type->global].dtype;
    s.key = key->u.text;
    s.key_len = key->length;
    s.elements = (size_t)count->u.integer;
    if (!pjd_mul(s.elements, s.known ? pjd_dtype_size(s.dtype) : 16, &bytes) || bytes > SIZE_MAX / 2)
        return bad(p, at, "a storage whose size overflows", err);
    return add_storage(p, &s, at, out, err);
}
