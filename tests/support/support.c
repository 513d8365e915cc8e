/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <unistd.h>

double test_relative_l2(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;

    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)b[i] * b[i];
    }
    return sqrt(s > 0 ? d / s : d);
}

double test_max_abs(const float *a, const float *b, size_t n)
{
    double m = 0;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);

        if (!(d <= m))
            m = d;
    }
    return m;
}

void test_random(float *x, size_t n, uint64_t seed)
{
    uint64_t s = seed * 0x9E3779B97F4A7C15u + 1;

    for (size_t i = 0; i < n; i++) {
        double sum = 0;

        for (int k = 0; k < 12; k++) {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            sum += (double)(s >> 11) * 0x1p-53;
        }
        x[i] = (float)(sum - 6.0);
    }
}

static const char *locate(const char *variable, const char *beside, const char *name)
{
    static char path[4096];
    const char *base = variable ? getenv(variable) : NULL, *root = getenv("PJD_SOURCE_ROOT");

    if (base)
        snprintf(path, sizeof path, "%s/%s", base, name);
    else
        snprintf(path, sizeof path, "%s/%s%s", root ? root : ".", beside, name);
    return access(path, R_OK) == 0 ? path : NULL;
}

const char *test_golden(const char *name)
{
    return locate("PJD_GOLDEN", "../shared/golden/", name);
}

const char *test_data(const char *name)
{
    return locate("PJD_DATA", "../shared/data/", name);
}

const char *test_source(const char *name)
{
    return locate(NULL, "", name);
}

unsigned char *test_file(const char *path, size_t *size)
{
    FILE *f = path ? fopen(path, "rb") : NULL;
    unsigned char *p = NULL;
    long n;

    *size = 0;
    if (!f)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
        p = malloc((size_t)n + 1);
        if (p && fread(p, 1, (size_t)n, f) == (size_t)n) {
            *size = (size_t)n;
            p[n] = 0;
        } else {
            free(p);
            p = NULL;
        }
    }
    fclose(f);
    return p;
}

float *test_npy(const char *path, pjd_shape *shape)
{
    size_t size, header, count = 1, item, skip_bytes;
    unsigned char *p = test_file(path, &size);
    float *out = NULL;
    const char *s;

    if (!p || size < 12 || memcmp(p, "\x93NUMPY", 6) != 0)
        goto end;
    header = p[6] == 1 ? (size_t)(p[8] | p[9] << 8) : (size_t)(p[8] | p[9] << 8 | p[10] << 16 | (unsigned)p[11] << 24);
    skip_bytes = p[6] == 1 ? 10 : 12;
    s = strstr((char *)p + skip_bytes, "'shape': (");
    if (!s || skip_bytes + header > size)
        goto end;
    s += 10;
    *shape = (pjd_shape){0};
    while (*s && *s != ')' && shape->rank < PJD_MAX_RANK) {
        char *e;
        size_t v = strtoul(s, &e, 10);

        if (e == s)
            break;
        shape->dim[shape->rank++] = v;
        count *= v;
        s = e + strspn(e, ", ");
    }
    s = strstr((char *)p + skip_bytes, "'descr': '<");
    if (!s)
        goto end;
    item = (size_t)(s[12] - '0');
    if (skip_bytes + header + count * item > size)
        goto end;
    out = malloc(count * sizeof *out + 1);
    for (size_t i = 0; out && i < count; i++) {
        const unsigned char *q = p + skip_bytes + header + i * item;

        if (s[11] == 'f' && item == 4) {
            memcpy(&out[i], q, 4);
        } else if (s[11] == 'f' && item == 8) {
            double d;

            memcpy(&d, q, 8);
            out[i] = (float)d;
        } else if (s[11] == 'i' && item == 8) {
            int64_t v;

            memcpy(&v, q, 8);
            out[i] = (float)v;
        } else if (s[11] == 'i' && item == 4) {
            int32_t v;

            memcpy(&v, q, 4);
            out[i] = (float)v;
        } else {
            free(out);
            out = NULL;
        }
    }
end:
    free(p);
    return out;
}
