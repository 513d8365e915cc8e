/* SPDX-License-Identifier: MIT */
/*
 * Philox 4x32-10: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. One counter value gives
 * four 32-bit words, of which Box-Muller makes four normals; draw i therefore depends on (seed, stream, i) only.
 */
#include <math.h>
#include <string.h>

#include "core/core.h"
#include "projdiff/noise.h"

struct pjd_noise {
    const float *recorded; /* NULL: seeded */
    size_t count;
    uint64_t seed, stream, position;
};

static void philox(const uint32_t counter[4], uint32_t k0, uint32_t k1, uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;

        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Normals 4*block .. 4*block+3. */
static void normal_block(const pjd_noise *s, uint64_t block, float out[4])
{
    uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)s->stream, (uint32_t)(s->stream >> 32)};
    uint32_t w[4];

    philox(counter, (uint32_t)s->seed, (uint32_t)(s->seed >> 32), w);
    for (int i = 0; i < 4; i += 2) {
        /* u in (0, 1], so that the logarithm is finite. */
        double u = ((double)w[i] + 1.0) * 0x1p-32, v = (double)w[i + 1] * 0x1p-32;
        double r = sqrt(-2.0 * log(u)), a = 6.283185307179586 * v;

        out[i] = (float)(r * cos(a));
        out[i + 1] = (float)(r * sin(a));
    }
}

static pjd_status noise_new(pjd_noise value, pjd_noise **out, pjd_error *err)
{
    *out = pjd_alloc(1, sizeof **out);
    if (!*out)
        return pjd_error_nomem(err, "noise", sizeof **out);
    **out = value;
    return PJD_OK;
}

pjd_status pjd_noise_seeded(uint64_t seed, uint64_t stream, pjd_noise **out, pjd_error *err)
{
    return noise_new((pjd_noise){.seed = seed, .stream = stream}, out, err);
}

pjd_status pjd_noise_recorded(const float *data, size_t count, pjd_noise **out, pjd_error *err)
{
    static const float nothing = 0;

    return noise_new((pjd_noise){.recorded = data ? data : &nothing, .count = data ? count : 0}, out, err);
}

pjd_status pjd_noise_normal(pjd_noise *s, float *out, size_t n, pjd_error *err)
{
    if (s->recorded) {
        if (n > s->count - s->position)
            return pjd_error_set(err, PJD_ERR_ARG, "noise: the recorded stream has %zu values left, %zu are needed",
                                 (size_t)(s->count - s->position), n);
        memcpy(out, s->recorded + s->position, n * sizeof *out);
        s->position += n;
        return PJD_OK;
    }

    uint64_t first = s->position, last = first + n;
    uint64_t b0 = first / 4, b1 = (last + 3) / 4;

#pragma omp parallel for schedule(static) if (n > 16384)
    for (uint64_t b = b0; b < b1; b++) {
        float v[4];

        normal_block(s, b, v);
        for (uint64_t i = 0; i < 4; i++) {
            uint64_t k = 4 * b + i;

            if (k >= first && k < last)
                out[k - first] = v[i];
        }
    }
    s->position = last;
    return PJD_OK;
}

uint64_t pjd_noise_position(const pjd_noise *s)
{
    return s->position;
}

void pjd_noise_free(pjd_noise *s)
{
    pjd_free(s);
}
