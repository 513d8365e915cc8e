/* SPDX-License-Identifier: MIT */
/*
 * A checkpoint as one safetensors file. Tensors are in file order, those with larger elements first, so that each begins
 * at a multiple of its element's size (a stable sort: a checkpoint of one type keeps its order). The first eight bytes,
 * the header's length, are written last: what a killed process leaves is a file that every reader refuses.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/format.h"
#include "weights/json.h"
#include "weights/round.h"

#define HEADER_LIMIT 100000000u /* of the reference reader */
#define CHUNK ((size_t)1 << 16) /* elements at a time */

static const struct {
    const char *name;
    pjd_dtype dtype;
} stores[] = {
    [PJD_STORE_F32] = {"float32", PJD_F32},
    [PJD_STORE_F16] = {"float16", PJD_F16},
    [PJD_STORE_BF16] = {"bfloat16", PJD_BF16},
};

static const char *const type_names[] = {
    [PJD_F32] = "F32", [PJD_F64] = "F64", [PJD_F16] = "F16", [PJD_BF16] = "BF16", [PJD_I64] = "I64",
    [PJD_I32] = "I32", [PJD_I16] = "I16", [PJD_I8] = "I8",   [PJD_U8] = "U8",     [PJD_BOOL] = "BOOL",
};

typedef struct writer {
    const pjd_weights *w;
    const char *who;
    pjd_store_type store;
    int fd;
    size_t *order;          /* tensors as written */
    unsigned char *raw;     /* CHUNK elements as stored, at most 8 bytes each */
    float *wide;            /* the same as float32 */
    unsigned char *rounded; /* and as written, at most 4 bytes each */
    uint64_t bytes;
    size_t converted;
} writer;

static bool is_float(pjd_dtype d)
{
    return d == PJD_F32 || d == PJD_F64 || d == PJD_F16 || d == PJD_BF16;
}

static pjd_dtype target(const writer *s, const pjd_tensor *t)
{
    return is_float(t->dtype) ? stores[s->store].dtype : t->dtype;
}

static void make_order(const writer *s)
{
    size_t n = 0;

    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; i < pjd_weights_count(s->w); i++)
            if (pjd_dtype_size(target(s, pjd_weights_at(s->w, i))) == size)
                s->order[n++] = i;
}

/* ---- the header ---- */

typedef struct text {
    char *data;
    size_t size, capacity;
    bool failed;
} text;

static void put(text *t, const char *s, size_t n)
{
    size_t need, room;
    char *p;

    if (t->failed || !pjd_add(t->size, n, &need)) {
        t->failed = true;
        return;
    }
    if (need > t->capacity) {
        room = need < SIZE_MAX / 2 ? need * 2 : need;
        p = pjd_realloc(t->data, t->size, room, 1);
        if (!p) {
            t->failed = true;
            return;
        }
        t->data = p;
        t->capacity = room;
    }
    memcpy(t->data + t->size, s, n);
    t->size = need;
}

static void put_number(text *t, uint64_t v)
{
    char digits[24];

    put(t, digits, (size_t)snprintf(digits, sizeof digits, "%" PRIu64, v));
}

static void put_string(text *t, const char *s)
{
    char code[8];

    put(t, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c < 0x20)
            put(t, code, (size_t)snprintf(code, sizeof code, "\\u%04x", c));
        else if (c == '"' || c == '\\')
            put(t, (const char[]){'\\', *s}, 2);
        else
            put(t, s, 1);
    }
    put(t, "\"", 1);
}

/* One tensor's entry; *at moves to its end. */
static bool put_entry(const writer *s, text *t, size_t index, uint64_t *at)
{
    const pjd_tensor *v = pjd_weights_at(s->w, index);
    pjd_dtype to = target(s, v);
    size_t n, bytes;
    uint64_t end;

    if (!pjd_shape_count(&v->shape, &n) || !pjd_mul(n, pjd_dtype_size(to), &bytes) ||
        __builtin_add_overflow(*at, bytes, &end))
        return false;
    put(t, ",", 1);
    put_string(t, pjd_weights_name(s->w, index));
    put(t, ":{\"dtype\":\"", 11);
    put(t, type_names[to], strlen(type_names[to]));
    put(t, "\",\"shape\":[", 11);
    for (size_t i = 0; i < v->shape.rank; i++) {
        if (i)
            put(t, ",", 1);
        put_number(t, v->shape.dim[i]);
    }
    put(t, "],\"data_offsets\":[", 18);
    put_number(t, *at);
    put(t, ",", 1);
    put_number(t, end);
    put(t, "]}", 2);
    *at = end;
    return true;
}

/* A name can hold what JSON cannot: the header must pass the reader's own rules. */
static pjd_status check_header(const writer *s, const text *t, pjd_error *err)
{
    static const pjd_json_rules rules = {.depth = 4, .values = 4000000, .integers = true};
    cJSON *root = NULL;
    pjd_status st;

    for (size_t i = 0; i < pjd_weights_count(s->w); i++)
        if (strcmp(pjd_weights_name(s->w, i), "__metadata__") == 0)
            return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": a tensor named __metadata__, which safetensors keeps",
                                 s->who);
    st = pjd_json_parse(s->who, "names of tensors", (const unsigned char *)t->data, t->size, &rules, &root, err);
    cJSON_Delete(root);
    return st;
}

static pjd_status make_header(const writer *s, text *t, uint64_t *bytes, pjd_error *err)
{
    static const char begin[] = "{\"__metadata__\":{\"format\":\"pt\"}";

    *bytes = 0;
    put(t, begin, sizeof begin - 1);
    for (size_t i = 0; i < pjd_weights_count(s->w); i++)
        if (!put_entry(s, t, s->order[i], bytes))
            return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": more data than a file holds", s->who);
    put(t, "}", 1);
    while (t->size % 8 && !t->failed)
        put(t, " ", 1);
    if (t->failed)
        return pjd_error_nomem(err, s->who, t->size);
    if (t->size > HEADER_LIMIT)
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": expected a header of at most %u bytes, found %zu", s->who,
                             HEADER_LIMIT, t->size);
    return check_header(s, t, err);
}

/* ---- the data ---- */

static pjd_status write_at(const writer *s, const void *data, size_t n, uint64_t at, pjd_error *err)
{
    const unsigned char *p = data;
    char reason[128];

    while (n > 0) {
        ssize_t done = pwrite(s->fd, p, n, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return pjd_error_set(err, PJD_ERR_IO, "convert: cannot be written: %s",
                                 strerror_r(done < 0 ? errno : EIO, reason, sizeof reason));
        p += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return PJD_OK;
}

/* The next n elements in C order, as stored; at[] is where it stands. */
static void gather(const pjd_tensor *t, size_t at[PJD_MAX_RANK], size_t n, unsigned char *dst)
{
    size_t item = pjd_dtype_size(t->dtype), offset = 0;

    for (size_t k = 0; k < t->shape.rank; k++)
        offset += at[k] * t->stride[k];
    for (size_t i = 0; i < n; i++) {
        memcpy(dst + i * item, t->data + offset * item, item);
        for (size_t k = t->shape.rank; k-- > 0;) {
            offset += t->stride[k];
            if (++at[k] < t->shape.dim[k])
                break;
            offset -= t->stride[k] * t->shape.dim[k];
            at[k] = 0;
        }
    }
}

static bool contiguous(const pjd_tensor *t)
{
    pjd_tensor c = *t;

    pjd_tensor_contiguous(&c);
    return memcmp(c.stride, t->stride, t->shape.rank * sizeof c.stride[0]) == 0;
}

static pjd_status beyond(const writer *s, size_t index, double v, pjd_error *err)
{
    return pjd_error_set(err, PJD_ERR_ARG, PJD_WHO ": tensor %.100s: %g is beyond %s", s->who,
                         pjd_weights_name(s->w, index), v, stores[s->store].name);
}

/* n contiguous floating-point elements of s->raw into s->rounded. */
static pjd_status convert(const writer *s, size_t index, pjd_dtype from, size_t n, pjd_error *err)
{
    pjd_tensor t = {.dtype = from, .shape = pjd_shape_make(1, &n), .data = s->raw};
    pjd_dtype to = stores[s->store].dtype;
    size_t bad = n;
    double v;

    pjd_tensor_contiguous(&t);
    if (from == PJD_F64) {
        bad = pjd_round_f64(s->raw, n, to != PJD_F32, s->wide);
        if (bad < n) {
            memcpy(&v, s->raw + bad * sizeof v, sizeof v);
            return beyond(s, index, v, err);
        }
    } else {
        pjd_tensor_to_f32(&t, s->wide);
    }
    if (to == PJD_F16)
        bad = pjd_round_f16(s->wide, n, s->rounded);
    else if (to == PJD_BF16)
        bad = pjd_round_bf16(s->wide, n, s->rounded);
    else
        memcpy(s->rounded, s->wide, n * sizeof *s->wide);
    return bad < n ? beyond(s, index, (double)s->wide[bad], err) : PJD_OK;
}

static pjd_status write_tensor(writer *s, size_t index, uint64_t *at, pjd_error *err)
{
    const pjd_tensor *t = pjd_weights_at(s->w, index);
    pjd_dtype to = target(s, t);
    size_t where[PJD_MAX_RANK] = {0}, count = 0, item = pjd_dtype_size(t->dtype);
    bool straight = contiguous(t);
    pjd_status st = pjd_weights_verify(s->w, t, err);

    (void)pjd_shape_count(&t->shape, &count); /* make_header had it */
    s->converted += to != t->dtype;
    for (size_t i = 0, n; i < count && st == PJD_OK; i += n) {
        n = count - i < CHUNK ? count - i : CHUNK;
        if (straight)
            memcpy(s->raw, t->data + i * item, n * item);
        else
            gather(t, where, n, s->raw);
        if (to != t->dtype)
            st = convert(s, index, t->dtype, n, err);
        if (st == PJD_OK)
            st = write_at(s, to != t->dtype ? s->rounded : s->raw, n * pjd_dtype_size(to), *at, err);
        *at += n * pjd_dtype_size(to);
    }
    return st;
}

static pjd_status write_all(writer *s, const text *header, pjd_error *err)
{
    unsigned char length[8];
    uint64_t at = 8 + header->size;
    pjd_status st = write_at(s, header->data, header->size, 8, err);

    for (size_t i = 0; i < pjd_weights_count(s->w) && st == PJD_OK; i++)
        st = write_tensor(s, s->order[i], &at, err);
    for (size_t i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)header->size >> 8 * i);
    return st == PJD_OK ? write_at(s, length, 8, 0, err) : st;
}

/* ---- the file ---- */

/* A new file, or an empty one that is there. */
static pjd_status open_output(writer *s, const char *out, pjd_error *err)
{
    struct stat info;
    char reason[128];

    s->fd = open(out, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (s->fd < 0 || fstat(s->fd, &info) != 0)
        return pjd_error_set(err, PJD_ERR_IO, "convert: cannot be created: %s",
                             strerror_r(errno, reason, sizeof reason));
    if (!S_ISREG(info.st_mode))
        return pjd_error_set(err, PJD_ERR_IO, "convert: cannot be created: not a file");
    if (info.st_size > 0)
        return pjd_error_set(err, PJD_ERR_EXISTS, PJD_WHO ": already exists", out);
    return PJD_OK;
}

static pjd_status allocate(writer *s, pjd_error *err)
{
    size_t n = pjd_weights_count(s->w);

    s->order = pjd_alloc(n, sizeof *s->order);
    s->raw = pjd_alloc(CHUNK, 8);
    s->wide = pjd_alloc(CHUNK, sizeof *s->wide);
    s->rounded = pjd_alloc(CHUNK, 4);
    if (!s->order || !s->raw || !s->wide || !s->rounded)
        return pjd_error_nomem(err, s->who, n * sizeof *s->order + CHUNK * 16);
    return PJD_OK;
}

static pjd_status write_file(writer *s, const char *out, const text *header, pjd_error *err)
{
    char reason[128];
    pjd_status st = open_output(s, out, err);
    bool ours = st == PJD_OK;

    if (st == PJD_OK)
        st = write_all(s, header, err);
    if (s->fd >= 0 && close(s->fd) != 0 && errno != EINTR && st == PJD_OK)
        st = pjd_error_set(err, PJD_ERR_IO, "convert: cannot be written: %s", strerror_r(errno, reason, sizeof reason));
    if (st != PJD_OK && ours)
        unlink(out);
    return st;
}

pjd_status pjd_weights_write_safetensors(const pjd_weights *w, const char *who, const char *out, pjd_store_type store,
                                         const pjd_log *log, pjd_error *err)
{
    writer s = {.w = w, .who = who, .store = store, .fd = -1};
    text header = {0};
    pjd_status st;

    if ((size_t)store >= PJD_COUNTOF(stores))
        return pjd_error_set(err, PJD_ERR_ARG, "convert: expected a known precision, found number %d", (int)store);
    st = allocate(&s, err);
    if (st != PJD_OK)
        goto end;
    make_order(&s);
    st = make_header(&s, &header, &s.bytes, err);
    if (st == PJD_OK)
        st = write_file(&s, out, &header, err);
    if (st == PJD_OK)
        pjd_logf(log, PJD_LOG_INFO, "%zu tensors, %.1f MB as %s; %zu of them changed their type", pjd_weights_count(w),
                 (double)s.bytes / 1e6, stores[store].name, s.converted);
end:
    pjd_free(header.data);
    pjd_free(s.order);
    pjd_free(s.raw);
    pjd_free(s.wide);
    pjd_free(s.rounded);
    return st;
}
