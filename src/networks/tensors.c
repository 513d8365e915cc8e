/* SPDX-License-Identifier: MIT */
#include "networks/tensors.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARALLEL_FROM 1000000 /* parameters: below, waking threads takes longer */

typedef struct expected {
    char *name;
    char *other; /* second spelling, or NULL */
    pjd_shape shape;
    bool loose;
    const pjd_tensor *found;
    const pjd_tensor *alias; /* there under the second spelling too */
} expected;

typedef struct weight {
    size_t first, parts, heads, elements; /* elements of all parts */
    bool interleaved;
    const float *data;
    float *owned;
} weight;

struct pjd_net_tensors {
    expected *tensors;
    size_t count, tensor_room;
    weight *weights;
    size_t weight_count, weight_room;
    uint64_t parameters;
    const pjd_weights *w; /* they were found in */
    pthread_mutex_t lock; /* guards loading */
    atomic_bool loaded;
};

pjd_status pjd_net_tensors_create(pjd_net_tensors **out, pjd_error *err)
{
    pjd_net_tensors *l = pjd_alloc_zero(1, sizeof *l);

    *out = NULL;
    if (!l)
        return pjd_error_nomem(err, "network", sizeof *l);
    if (pthread_mutex_init(&l->lock, NULL) != 0) {
        pjd_free(l);
        return pjd_error_nomem(err, "network", sizeof l->lock);
    }
    *out = l;
    return PJD_OK;
}

void pjd_net_tensors_free(pjd_net_tensors *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++) {
        pjd_free(l->tensors[i].name);
        pjd_free(l->tensors[i].other);
    }
    for (size_t i = 0; i < l->weight_count; i++)
        pjd_free(l->weights[i].owned);
    pthread_mutex_destroy(&l->lock);
    pjd_free(l->tensors);
    pjd_free(l->weights);
    pjd_free(l);
}

/* ---- what is expected ---- */

static bool grow(void **items, size_t *room, size_t count, size_t size)
{
    size_t wanted = *room ? 2 * *room : 64;
    void *p;

    if (count < *room)
        return true;
    p = pjd_realloc(*items, *room * size, wanted, size);
    if (!p)
        return false;
    *items = p;
    *room = wanted;
    return true;
}

static pjd_status expect_one(pjd_net_tensors *l, const char *names, const pjd_shape *shape, bool loose, pjd_error *err)
{
    const char *bar = strchr(names, '|');
    expected e = {.shape = *shape, .loose = loose};

    if (!grow((void **)&l->tensors, &l->tensor_room, l->count, sizeof *l->tensors))
        return pjd_error_nomem(err, "network", sizeof *l->tensors);
    e.name = bar ? pjd_strndup(names, (size_t)(bar - names)) : pjd_strdup(names);
    e.other = bar ? pjd_strdup(bar + 1) : NULL;
    if (!e.name || (bar && !e.other)) {
        pjd_free(e.name);
        pjd_free(e.other);
        return pjd_error_nomem(err, "network", strlen(names));
    }
    l->tensors[l->count++] = e;
    return PJD_OK;
}

pjd_status pjd_net_tensors_expect(pjd_net_tensors *l, const pjd_net_weight *w, pjd_error *err)
{
    weight out = {.first = l->count, .parts = w->parts, .heads = w->heads, .interleaved = w->interleaved};
    size_t elements;

    if (!pjd_shape_count(&w->shape, &elements) || !pjd_mul(elements, w->parts, &out.elements))
        return pjd_error_set(err, PJD_ERR_MODEL, "network: the shape of %s is beyond this machine", w->names[0]);
    if (!grow((void **)&l->weights, &l->weight_room, l->weight_count, sizeof *l->weights))
        return pjd_error_nomem(err, "network", sizeof *l->weights);
    for (size_t i = 0; i < w->parts; i++) {
        pjd_status st = expect_one(l, w->names[i], &w->shape, w->loose, err);

        if (st != PJD_OK)
            return st;
    }
    l->parameters += w->buffer ? 0 : out.elements;
    l->weights[l->weight_count++] = out;
    return PJD_OK;
}

uint64_t pjd_net_tensors_parameters(const pjd_net_tensors *l)
{
    return l->parameters;
}

size_t pjd_net_tensors_count(const pjd_net_tensors *l)
{
    return l->count;
}

/* ---- comparing with the file ---- */

/* A count and the first few names for one kind of complaint. */
typedef struct complaint {
    size_t count;
    char text[120];
} complaint;

static void complain(complaint *c, const char *fmt, ...) PJD_PRINTF(2, 3);

static void complain(complaint *c, const char *fmt, ...)
{
    size_t used = strlen(c->text), room = sizeof c->text - used;
    char item[96];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(item, sizeof item, fmt, ap);
    va_end(ap);
    c->count++;
    if (c->count > 3 || n < 0)
        return;
    if (used + strlen(item) + 8 >= sizeof c->text) { /* at least one name is always told */
        if (used == 0)
            snprintf(c->text, sizeof c->text, "%s", item);
        else if (strcmp(c->text + (used > 3 ? used - 3 : 0), "...") != 0)
            snprintf(c->text + used, room, ", ...");
        return;
    }
    snprintf(c->text + used, room, "%s%s", used ? ", " : "", item);
}

static size_t rank_without_ones(const pjd_shape *s)
{
    size_t r = s->rank;

    while (r > 0 && s->dim[r - 1] == 1)
        r--;
    return r;
}

static bool shape_fits(const expected *e, const pjd_shape *s)
{
    size_t a, b;

    if (!e->loose)
        return pjd_shape_equal(&e->shape, s);
    a = rank_without_ones(&e->shape);
    b = rank_without_ones(s);
    if (a != b)
        return false;
    for (size_t i = 0; i < a; i++)
        if (e->shape.dim[i] != s->dim[i])
            return false;
    return true;
}

/*
 * A view that claims more elements than its storage spans (a broadcast) is not a trained weight; refusing it bounds what
 * loading allocates by the size of the file.
 */
static bool spans_its_elements(const pjd_tensor *t)
{
    size_t count, span = 1;

    if (!pjd_shape_count(&t->shape, &count))
        return false;
    for (size_t i = 0; i < t->shape.rank; i++) {
        size_t reach;

        if (t->shape.dim[i] > 1 &&
            (!pjd_mul(t->shape.dim[i] - 1, t->stride[i], &reach) || !pjd_add(span, reach, &span)))
            return false;
    }
    return span >= count;
}

static bool is_floating(pjd_dtype d)
{
    return d == PJD_F32 || d == PJD_F64 || d == PJD_F16 || d == PJD_BF16;
}

static void find_one(expected *e, const pjd_weights *w, complaint *missing, complaint *wrong)
{
    const pjd_tensor *t = pjd_weights_find(w, e->name), *o = e->other ? pjd_weights_find(w, e->other) : NULL;
    char want[64], found[64];

    e->found = t ? t : o;
    e->alias = t ? o : NULL;
    t = e->found;
    if (!t) {
        complain(missing, "%s", e->name);
    } else if (!shape_fits(e, &t->shape)) {
        complain(wrong, "%s: %s, not %s", e->name, pjd_shape_text(&t->shape, found, sizeof found),
                 pjd_shape_text(&e->shape, want, sizeof want));
    } else if (!is_floating(t->dtype)) {
        complain(wrong, "%s: %s, not a floating-point type", e->name, pjd_dtype_name(t->dtype));
    } else if (!spans_its_elements(t)) {
        complain(wrong, "%s: a broadcast view", e->name);
    }
}

static int by_address(const void *a, const void *b)
{
    const pjd_tensor *const *x = a, *const *y = b;

    return *x < *y ? -1 : *x > *y;
}

static int by_data(const void *a, const void *b)
{
    const pjd_tensor *const *x = a, *const *y = b;

    return (*x)->data < (*y)->data ? -1 : (*x)->data > (*y)->data;
}

static bool is_ignored(const pjd_weights *w, const pjd_tensor *t, const char *const *ignored)
{
    for (; ignored && *ignored; ignored++)
        if (pjd_weights_find(w, *ignored) == t)
            return true;
    return false;
}

/* Tensors that no layer took. A second name for the data of a taken one is not unexpected. */
static pjd_status find_unexpected(const pjd_net_tensors *l, const pjd_weights *w, const char *const *ignored,
                                  complaint *c, pjd_error *err)
{
    const pjd_tensor **used = pjd_alloc(2 * l->count + 1, sizeof *used), **left = NULL;
    size_t n = 0, count = pjd_weights_count(w), rest = 0;

    left = used ? pjd_alloc(count + 1, sizeof *left) : NULL;
    if (!left) {
        pjd_free(used);
        return pjd_error_nomem(err, "network", count * sizeof *left);
    }
    for (size_t i = 0; i < l->count; i++) {
        if (l->tensors[i].found)
            used[n++] = l->tensors[i].found;
        if (l->tensors[i].alias)
            used[n++] = l->tensors[i].alias;
    }
    qsort(used, n, sizeof *used, by_address);
    for (size_t i = 0; i < count; i++) {
        const pjd_tensor *t = pjd_weights_at(w, i);

        if (!bsearch(&t, used, n, sizeof *used, by_address))
            left[rest++] = t;
    }
    qsort(used, n, sizeof *used, by_data);
    for (size_t i = 0; i < rest; i++)
        if (!bsearch(&left[i], used, n, sizeof *used, by_data) && !is_ignored(w, left[i], ignored))
            complain(c, "%s", left[i]->name);
    pjd_free(used);
    pjd_free(left);
    return PJD_OK;
}

pjd_status pjd_net_tensors_check(pjd_net_tensors *l, const char *who, const pjd_weights *w, const char *const *ignored,
                                 pjd_error *err)
{
    complaint missing = {0}, wrong = {0}, extra = {0};
    char text[PJD_ERROR_TEXT_MAX];
    size_t used = 0;
    pjd_status st;
    struct {
        const complaint *c;
        const char *what;
    } all[] = {{&missing, "missing"}, {&wrong, "of another shape or type"}, {&extra, "unexpected"}};

    l->w = w;
    for (size_t i = 0; i < l->count; i++)
        find_one(&l->tensors[i], w, &missing, &wrong);
    st = find_unexpected(l, w, ignored, &extra, err);
    if (st != PJD_OK)
        return st;
    if (missing.count + wrong.count + extra.count == 0)
        return PJD_OK;
    text[0] = '\0';
    for (size_t i = 0; i < PJD_COUNTOF(all); i++)
        if (all[i].c->count && used < sizeof text) {
            int n = snprintf(text + used, sizeof text - used, "%s%zu %s (%s%s)", used ? "; " : "", all[i].c->count,
                             all[i].what, all[i].c->text,
                             all[i].c->count > 3 && !strstr(all[i].c->text, "...") ? ", ..." : "");

            used += n > 0 ? (size_t)n : 0;
        }
    return pjd_error_set(err, PJD_ERR_MODEL, "%s: of %zu tensors %s", who, l->count, text);
}

/* ---- float32 ---- */

static bool is_plain(const pjd_tensor *t)
{
    size_t stride = 1;

    if (t->dtype != PJD_F32 || (uintptr_t)t->data % sizeof(float) != 0)
        return false;
    for (size_t i = t->shape.rank; i-- > 0;) {
        if (t->shape.dim[i] > 1 && t->stride[i] != stride)
            return false;
        stride *= t->shape.dim[i];
    }
    return true;
}

/*
 * Rows (heads, 3, rows) or (heads, rows, 3) -> (3, heads, rows), each of the same width (Vaswani et al.'s heads stay
 * contiguous).
 */
static pjd_status regroup(const char *who, float *data, size_t elements, size_t heads, bool interleaved,
                          size_t rows_total, pjd_error *err)
{
    size_t block = elements / (3 * heads); /* one head's q, k or v */
    size_t width = elements / rows_total, rows = rows_total / (3 * heads);
    float *copy;

    if (rows_total % (3 * heads) != 0)
        return pjd_error_set(err, PJD_ERR_MODEL, "%s: %zu attention rows do not split into 3 x %zu heads", who,
                             rows_total, heads);
    copy = pjd_alloc(elements, sizeof *copy);
    if (!copy)
        return pjd_error_nomem(err, who, elements * sizeof *copy);
    memcpy(copy, data, elements * sizeof *copy);
    for (size_t h = 0; h < heads; h++)
        for (size_t p = 0; p < 3; p++) {
            if (!interleaved)
                memcpy(data + (p * heads + h) * block, copy + (h * 3 + p) * block, block * sizeof *data);
            for (size_t r = 0; interleaved && r < rows; r++)
                memcpy(data + (p * heads + h) * block + r * width, copy + ((h * rows + r) * 3 + p) * width,
                       width * sizeof *data);
        }
    pjd_free(copy);
    return PJD_OK;
}

/* Whether the file's bytes serve as they are. */
static bool in_place(const pjd_net_tensors *l, const weight *w)
{
    return w->parts == 1 && w->heads <= 1 && !w->interleaved && is_plain(l->tensors[w->first].found);
}

static pjd_status load_one(pjd_net_tensors *l, const char *who, weight *w, pjd_error *err)
{
    const expected *e = &l->tensors[w->first];
    size_t part = w->elements / w->parts;
    pjd_status st = PJD_OK;

    if (w->data)
        return PJD_OK;
    for (size_t i = 0; i < w->parts && st == PJD_OK; i++)
        st = pjd_weights_verify(l->w, e[i].found, err);
    if (st != PJD_OK)
        return st;
    if (in_place(l, w)) {
        w->data = (const float *)(const void *)e->found->data;
        return PJD_OK;
    }
    w->owned = pjd_alloc(w->elements, sizeof *w->owned);
    if (!w->owned)
        return pjd_error_nomem(err, who, w->elements * sizeof *w->owned);
    for (size_t i = 0; i < w->parts; i++)
        pjd_tensor_to_f32(e[i].found, w->owned + i * part);
    if (w->heads > 1 || w->interleaved) {
        st = regroup(who, w->owned, w->elements, w->heads, w->interleaved, e->shape.dim[0], err);
        if (st != PJD_OK) {
            pjd_free(w->owned);
            w->owned = NULL;
            return st;
        }
    }
    w->data = w->owned;
    return PJD_OK;
}

/* Every weight, and the error of the first that cannot be. */
static pjd_status load_all(pjd_net_tensors *l, const char *who, int threads, pjd_error *err)
{
    size_t count = l->weight_count, failed = count;
    pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER; /* of failed, st and err */
    pjd_status st = PJD_OK;

    if (l->parameters < PARALLEL_FROM)
        threads = 1;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (size_t i = 0; i < count; i++) {
        pjd_error mine;
        pjd_status s;
        bool hopeless;

        pthread_mutex_lock(&guard);
        hopeless = failed < i;
        pthread_mutex_unlock(&guard);
        s = hopeless ? PJD_OK : load_one(l, who, &l->weights[i], &mine);
        if (s == PJD_OK)
            continue;
        pthread_mutex_lock(&guard);
        if (i < failed) {
            failed = i;
            st = pjd_error_set(err, s, "%s", mine.text);
        }
        pthread_mutex_unlock(&guard);
    }
    pthread_mutex_destroy(&guard);
    return st;
}

pjd_status pjd_net_tensors_load(pjd_net_tensors *l, const char *who, int threads, pjd_error *err)
{
    pjd_status st = PJD_OK;

    pthread_mutex_lock(&l->lock);
    if (!atomic_load(&l->loaded))
        st = load_all(l, who, threads, err);
    if (st == PJD_OK)
        atomic_store(&l->loaded, true);
    pthread_mutex_unlock(&l->lock);
    return st;
}

const float *pjd_net_tensors_data(const pjd_net_tensors *l, size_t i)
{
    static const float not_loaded = 0;

    if (i >= l->weight_count)
        return NULL;
    return atomic_load(&l->loaded) ? l->weights[i].data : &not_loaded;
}

size_t pjd_net_tensors_copies(const pjd_net_tensors *l)
{
    size_t bytes = 0;

    for (size_t i = 0; i < l->weight_count; i++)
        if (!in_place(l, &l->weights[i]))
            bytes += l->weights[i].elements * sizeof(float);
    return bytes;
}

/* ---- looking around ---- */

static const pjd_tensor *find_va(const pjd_weights *w, const char *fmt, va_list ap)
{
    char name[PJD_NET_NAME_MAX];
    int n = vsnprintf(name, sizeof name, fmt, ap);

    return n > 0 && (size_t)n < sizeof name ? pjd_weights_find(w, name) : NULL;
}

const pjd_tensor *pjd_net_find(const pjd_weights *w, const char *fmt, ...)
{
    const pjd_tensor *t;
    va_list ap;

    va_start(ap, fmt);
    t = find_va(w, fmt, ap);
    va_end(ap);
    return t;
}

size_t pjd_net_dim(const pjd_weights *w, size_t axis, const char *fmt, ...)
{
    const pjd_tensor *t;
    va_list ap;

    va_start(ap, fmt);
    t = find_va(w, fmt, ap);
    va_end(ap);
    return t && axis < t->shape.rank ? t->shape.dim[axis] : 0;
}
