/* SPDX-License-Identifier: MIT */
/*
 * The .npy reader under libFuzzer (-Dfuzz=true, clang). Built without, the same file has a main() that replays the files
 * given and then mutates a good header a fixed number of times, so that every test run does a little of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* exactly as long, for the sanitizer */
    float *data, sum = 0;
    pjd_shape shape;
    pjd_error err;
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
