/* SPDX-License-Identifier: MIT */
/*
 * The readers of .npy, real and complex, and of BART's arrays under libFuzzer (-Dfuzz=true, clang). Built without, the same file has a main() that replays the files
 * given and then mutates a good header a fixed number of times, so that every test run does a little of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Pairs as many as the bytes can hold, or nothing and a reason. */
static void look(pjd_status st, float *data, const pjd_shape *shape, size_t size, const pjd_error *err)
{
    size_t n;

    if (st == PJD_OK) {
        if (!data || !pjd_shape_count(shape, &n) || n > size)
            abort();
        for (size_t i = 0; i < 2 * n; i++)
            if (data[i] == 1.2345e-6f)
                n = 0; /* every one is looked at */
        pjd_io_free(data);
    } else if (data || err->code == PJD_OK || !err->text[0]) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* exactly as long, for the sanitizer */
    float *data, sum = 0;
    pjd_shape shape;
    pjd_error err;
    pjd_status st;
    size_t n;

    if (!copy)
        return 0;
    if (size)
        memcpy(copy, bytes, size);
    if (pjd_npy_parse("fuzz", copy, size, &data, &shape, &err) == PJD_OK) {
        if (!pjd_shape_count(&shape, &n) || n > size)
            abort(); /* more elements than bytes */
        for (size_t i = 0; i < n; i++)
            sum += data[i];
        if (sum > 1e38f)
            n = 0; /* the sum is used */
        pjd_io_free(data);
    } else if (data || err.code == PJD_OK || !err.text[0]) {
        abort();
    }
    st = pjd_npy_parse_complex("fuzz", copy, size, &data, &shape, &err);
    look(st, data, &shape, size, &err);
    /* the same bytes as a header and as what it describes */
    st = pjd_cfl_parse("fuzz", copy, size, copy, size, &data, &shape, &err);
    look(st, data, &shape, size, &err);
    free(copy);
    return 0;
}

#ifndef PJD_LIBFUZZER
static void replay(const char *path)
{
    unsigned char *bytes;
    size_t size;

    if (pjd_file_read(path, &bytes, &size, NULL) == PJD_OK)
        LLVMFuzzerTestOneInput(bytes, size);
    pjd_free(bytes);
}

int main(int argc, char **argv)
{
    static const char dict[] = "\x93NUMPY\1\0v\0{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }";
    static const char pieces[] = "{}()[],:'\"<>|=fiubOVTrueFalse0123456789L \\\n";
    unsigned char base[160], work[160];
    uint32_t seed = 1;

    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    memset(base, ' ', sizeof base);
    memcpy(base, dict, sizeof dict - 1);
    for (int round = 0; round < 200000; round++) {
        size_t size = sizeof work;

        memcpy(work, base, sizeof work);
        for (int k = round % 5; k >= 0; k--) {
            seed = seed * 1664525u + 1013904223u;
            work[(seed >> 8) % 72] = (unsigned char)(seed >> 24);
            if (seed & 128)
                work[(seed >> 8) % 72] = (unsigned char)pieces[(seed >> 16) % (sizeof pieces - 1)];
        }
        seed = seed * 1664525u + 1013904223u;
        if (seed & 0x700)
            size = sizeof work - (seed >> 16) % sizeof work;
        LLVMFuzzerTestOneInput(work, size);
    }
    return 0;
}
#endif
