/* SPDX-License-Identifier: MIT */
#include "weights/forge.h"

#include "weights/zipdir.h"

void forge_bytes(forge *f, const void *data, size_t n)
{
    if (f->capacity <= f->size + n) {
        f->capacity = 2 * (f->size + n) + 64;
        f->data = realloc(f->data, f->capacity);
        assert_non_null(f->data);
    }
    if (n)
        memcpy(f->data + f->size, data, n);
    f->size += n;
}

void forge_text(forge *f, const char *text)
{
    forge_bytes(f, text, strlen(text));
}

void forge_number(forge *f, uint64_t v, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        unsigned char b = i < 8 ? (unsigned char)(v >> (8 * i)) : 0;

        forge_bytes(f, &b, 1);
    }
}

void forge_free(forge *f)
{
    free(f->data);
    *f = (forge){0};
}

static void common_header(forge *f, const forge_entry *e)
{
    forge_number(f, e->flags, 2);
    forge_number(f, e->method, 2);
    forge_number(f, 0, 4);
    forge_number(f, e->no_crc ? 0 : pjd_crc32(e->data, e->size) ^ e->crc_error, 4);
    forge_number(f, e->size, 4);
    forge_number(f, e->claimed ? e->claimed : e->size, 4);
}

void forge_zip(forge *f, const forge_entry *entries, size_t count)
{
    size_t start, *local = calloc(count + 1, sizeof *local);

    assert_non_null(local);
    for (size_t i = 0; i < count; i++) {
        const char *name = entries[i].local_name ? entries[i].local_name : entries[i].name;

        local[i] = f->size;
        forge_text(f, "PK\3\4");
        forge_number(f, 20, 2);
        common_header(f, &entries[i]);
        forge_number(f, strlen(name), 2);
        forge_number(f, 0, 2);
        forge_text(f, name);
        forge_bytes(f, entries[i].data, entries[i].size);
    }
    start = f->size;
    for (size_t i = 0; i < count; i++) {
        forge_text(f, "PK\1\2");
        forge_number(f, 20, 2);
        forge_number(f, 20, 2);
        common_header(f, &entries[i]);
        forge_number(f, strlen(entries[i].name), 2);
        forge_number(f, 0, 2 + 2 + 2 + 2 + 4);
        forge_number(f, (uint64_t)((int64_t)local[i] + entries[i].local_shift), 4);
        forge_text(f, entries[i].name);
    }
    forge_number(f, 0x06054b50, 4);
    forge_number(f, 0, 4);
    forge_number(f, count, 2);
    forge_number(f, count, 2);
    forge_number(f, f->size - 12 - start, 4);
    forge_number(f, start, 4);
    forge_number(f, 0, 2);
    free(local);
}

void forge_torch(forge *f, const void *pickle, size_t size, size_t floats)
{
    float *zeros = calloc(floats + 1, sizeof *zeros);
    const forge_entry entries[] = {
        {.name = "archive/data.pkl", .data = pickle, .size = size},
        {.name = "archive/data/0", .data = zeros, .size = floats * sizeof *zeros},
        {.name = "archive/version", .data = "3\n", .size = 2},
    };

    forge_zip(f, entries, PJD_COUNTOF(entries));
    free(zeros);
}

void forge_safetensors(forge *f, const char *header, size_t n)
{
    unsigned char *zeros = calloc(n + 1, 1);

    forge_number(f, strlen(header), 8);
    forge_text(f, header);
    forge_bytes(f, zeros, n);
    free(zeros);
}

pjd_status forge_open(const void *data, size_t size, pjd_error *err)
{
    unsigned char *copy = malloc(size ? size : 1);
    pjd_weights *w;
    pjd_status status;

    assert_non_null(copy);
    if (size)
        memcpy(copy, data, size);
    *err = (pjd_error){0};
    status = pjd_weights_open_memory(copy, size, NULL, &w, err);
    if (status != PJD_OK) {
        assert_null(w);
        assert_int_equal(err->code, status);
        assert_true(err->text[0] != '\0');
    }
    for (size_t i = 0; status == PJD_OK && i < pjd_weights_count(w); i++) {
        const pjd_tensor *t = pjd_weights_at(w, i);
        size_t n;

        status = pjd_weights_verify(w, t, err);
        if (status != PJD_OK)
            break;
        assert_true(pjd_shape_count(&t->shape, &n));
        if (n < 1000000) {
            float *x = malloc(n * sizeof *x + 1);

            assert_non_null(x);
            pjd_tensor_to_f32(t, x);
            free(x);
        }
        assert_ptr_equal(pjd_weights_find(w, pjd_weights_name(w, i)), t);
    }
    pjd_weights_free(w);
    free(copy);
    return status;
}

const char *fixture_path(const char *name)
{
    char relative[512];

    snprintf(relative, sizeof relative, "tests/weights/fixtures/%s", name);
    return test_source(relative);
}

unsigned char *fixture(const char *name, size_t *size)
{
    const char *path = fixture_path(name);
    unsigned char *p = test_file(path, size);

    if (!p)
        fail_msg("fixture %s cannot be read", name);
    return p;
}
