/* SPDX-License-Identifier: MIT */
/*
 * safetensors: 8 bytes of header length, a JSON header, one buffer without holes. The checks are those of the reference
 * reader (safetensors/src/tensor.rs) and a few more: the file ends exactly where the last tensor does, numbers are plain
 * integers, names are unique.
 */
#include <stdlib.h>
#include <string.h>

#include "weights/format.h"
#include "weights/json.h"

#define HEADER_LIMIT 100000000u

static const struct {
    const char *name;
    pjd_dtype dtype;
} dtypes[] = {
    {"F32", PJD_F32}, {"F64", PJD_F64}, {"F16", PJD_F16}, {"BF16", PJD_BF16}, {"I64", PJD_I64},
    {"I32", PJD_I32}, {"I16", PJD_I16}, {"I8", PJD_I8},   {"U8", PJD_U8},     {"BOOL", PJD_BOOL},
};

/* The byte range of a tensor, to be sorted. */
typedef struct range {
    uint64_t begin, end;
    const char *name;
} range;

static int by_begin(const void *a, const void *b)
{
    const range *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static bool match(const unsigned char *data, size_t size)
{
    /* The highest byte of the length tells binary from a text whose ninth character is a brace. */
    return size >= 9 && data[8] == '{' && data[7] == 0;
}

static pjd_status bad(const pjd_reader *r, const char *name, const char *expected, const char *found, pjd_error *err)
{
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": safetensors header: tensor %.100s: expected %s, found %.60s",
                         r->who, name, expected, found);
}

/* [begin, end] or a shape; the parser let only integers up to 2^53 through. */
static bool integers(const cJSON *array, size_t limit, size_t *out, size_t *count)
{
    const cJSON *e;

    *count = 0;
    if (!cJSON_IsArray(array))
        return false;
    cJSON_ArrayForEach(e, array)
    {
        if (*count == limit || !cJSON_IsNumber(e))
            return false;
        out[(*count)++] = (size_t)e->valuedouble;
    }
    return true;
}

static pjd_status read_entry(const pjd_reader *r, const cJSON *entry, size_t data_at, range *where, pjd_error *err)
{
    const cJSON *dtype, *shape, *offsets;
    size_t span[2], n, elements, bytes, d = 0;
    pjd_tensor t = {0};

    if (!cJSON_IsObject(entry) || cJSON_GetArraySize(entry) != 3)
        return bad(r, entry->string, "exactly dtype, shape and data_offsets", "something else", err);
    dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
    offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    if (!cJSON_IsString(dtype))
        return bad(r, entry->string, "a dtype", "none", err);
    while (d < PJD_COUNTOF(dtypes) && strcmp(dtypes[d].name, dtype->valuestring) != 0)
        d++;
    if (d == PJD_COUNTOF(dtypes))
        return bad(r, entry->string, "F64, F32, F16, BF16 or an integer type", dtype->valuestring, err);
    t.dtype = dtypes[d].dtype;
    if (!integers(shape, PJD_MAX_RANK, t.shape.dim, &t.shape.rank))
        return bad(r, entry->string, "a shape of at most 8 dimensions", "something else", err);
    if (!integers(offsets, 2, span, &n) || n != 2 || span[1] < span[0])
        return bad(r, entry->string, "data_offsets [begin, end]", "something else", err);
    if (!pjd_shape_count(&t.shape, &elements) || !pjd_mul(elements, pjd_dtype_size(t.dtype), &bytes))
        return bad(r, entry->string, "a size in memory", "a shape that overflows", err);
    if (bytes != span[1] - span[0])
        return bad(r, entry->string, "data_offsets as long as the shape says", "another length", err);
    if (span[1] > r->size - data_at)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             PJD_WHO ": truncated: tensor %.100s ends at byte %zu, the file has %zu", r->who,
                             entry->string, data_at + span[1], r->size);
    t.data = r->data + data_at + span[0];
    t.storage = t.data;
    pjd_tensor_contiguous(&t);
    *where = (range){span[0], span[1], entry->string};
    return pjd_weights_add(r, entry->string, strlen(entry->string), &t, err);
}

static pjd_status check_metadata(const pjd_reader *r, const cJSON *entry, bool *seen, pjd_error *err)
{
    const cJSON *e;

    if (*seen || !cJSON_IsObject(entry))
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": safetensors header: expected one __metadata__ object",
                             r->who);
    *seen = true;
    cJSON_ArrayForEach(e, entry)
    {
        if (!cJSON_IsString(e))
            return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": safetensors header: expected strings in __metadata__",
                                 r->who);
    }
    return PJD_OK;
}

/* No holes, no overlaps, and the end of the file at the end of the last tensor. */
static pjd_status check_ranges(const pjd_reader *r, range *ranges, size_t count, size_t data_at, pjd_error *err)
{
    uint64_t at = 0;

    qsort(ranges, count, sizeof *ranges, by_begin);
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].begin != at)
            return pjd_error_set(err, PJD_ERR_MODEL,
                                 PJD_WHO ": safetensors header: tensor %.100s begins at %llu, expected %llu (%s)",
                                 r->who, ranges[i].name, (unsigned long long)ranges[i].begin, (unsigned long long)at,
                                 ranges[i].begin < at ? "overlap" : "hole");
        at = ranges[i].end;
    }
    if (at != r->size - data_at)
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": safetensors: expected %llu bytes of data, found %zu",
                             r->who, (unsigned long long)at, r->size - data_at);
    return PJD_OK;
}

static pjd_status read_header(const pjd_reader *r, const cJSON *root, size_t data_at, pjd_error *err)
{
    size_t count = (size_t)cJSON_GetArraySize(root), n = 0;
    range *ranges = pjd_alloc(count, sizeof *ranges);
    pjd_status status = PJD_OK;
    bool metadata = false;
    const cJSON *e;

    if (!ranges)
        return pjd_error_nomem(err, r->who, count * sizeof *ranges);
    cJSON_ArrayForEach(e, root)
    {
        if (strcmp(e->string, "__metadata__") == 0)
            status = check_metadata(r, e, &metadata, err);
        else
            status = read_entry(r, e, data_at, &ranges[n++], err);
        if (status != PJD_OK)
            goto end;
    }
    status = check_ranges(r, ranges, n, data_at, err);
end:
    pjd_free(ranges);
    return status;
}

static pjd_status read_safetensors(const pjd_reader *r, pjd_error *err)
{
    static const pjd_json_rules rules = {.depth = 4, .values = 4000000, .integers = true};
    uint64_t header;
    pjd_status status;
    cJSON *root;

    if (r->size < 9)
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": truncated: expected a safetensors header, found %zu bytes",
                             r->who, r->size);
    header = pjd_le64(r->data);
    if (header > r->size - 8)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             PJD_WHO ": truncated: the safetensors header has %llu bytes, the file %zu", r->who,
                             (unsigned long long)header, r->size);
    if (header > HEADER_LIMIT)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             PJD_WHO ": expected a safetensors header of at most %u bytes, found %llu", r->who,
                             HEADER_LIMIT, (unsigned long long)header);
    status = pjd_json_parse(r->who, "safetensors header", r->data + 8, (size_t)header, &rules, &root, err);
    if (status == PJD_OK)
        status = read_header(r, root, 8 + (size_t)header, err);
    cJSON_Delete(root);
    return status;
}

const pjd_format_class pjd_fmt_safetensors = {
    .entry = {.name = "safetensors", .summary = "safetensors, one file or shards with an index"},
    .match = match,
    .read = read_safetensors,
};
