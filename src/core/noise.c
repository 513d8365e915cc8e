/* SPDX-License-Identifier: MIT */
/*
 * Philox 4x32-10: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. One counter value gives
 * four 32-bit words, of which Box-Muller makes four normals; draw i therefore depends on (seed, stream, i) only.
 */
#include <math.h>
#include <string.h>

#include "core/noise.h"

struct pjd_noise {
    const float *recorded; /* NULL: seeded */
    size_t count;
    uint64_t seed, stream, position;
};

/* Counters handled together, so that the compiler can use vector registers. */
enum { GROUP = 64 };

/* More draws than this are worth a team of threads. */
enum { PARALLEL = 16384 };

/*
 * Ten Philox rounds and Box-Muller for counters first .. first + GROUP - 1: out gets 4 GROUP normals. Everything is plain
 * IEEE arithmetic without contraction, so every instruction set gives the same bytes.
 *   log u: u = 2^e m, m in [sqrt(1/2), sqrt 2), log m = 2 atanh((m - 1)/(m + 1)), series to s^9 (error below 1e-8);
 *   sin, cos of 2 pi w / 2^32: the nearest quarter turn, then Taylor series on |x| <= pi/4 (error below 1e-8).
 */
static inline __attribute__((always_inline)) void normal_group_body(uint64_t seed, uint64_t stream, uint64_t first,
                                                                    float *restrict out)
{
    uint32_t w[4][GROUP];

    for (uint32_t i = 0; i < GROUP; i++) {
        uint64_t block = first + i;
        uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = (uint32_t)stream,
                 c3 = (uint32_t)(stream >> 32);
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

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
        w[0][i] = c0;
        w[1][i] = c1;
        w[2][i] = c2;
        w[3][i] = c3;
    }
    for (int pair = 0; pair < 4; pair += 2)
        for (int i = 0; i < GROUP; i++) {
            /* u in (0, 1]: the logarithm is finite. 31 bits, so that the conversion is a signed one. */
            union {
                float f;
                int32_t i;
            } u = {.f = ((float)(int32_t)(w[pair][i] >> 1) + 1.0f) * 0x1p-31f};
            int32_t e = (u.i - 0x3f3504f3) >> 23;
            int32_t q = (int32_t)((w[pair + 1][i] + 0x20000000u) >> 30);
            float x = (float)(int32_t)(w[pair + 1][i] - ((uint32_t)q << 30)) * 1.4629180792671596e-9f, x2 = x * x;
            float m, s, s2, r, sine, cosine, a, b;

            u.i -= (int32_t)((uint32_t)e << 23);
            m = u.f;
            s = (m - 1) / (m + 1);
            s2 = s * s;
            r = 2 * s * (1 + s2 * (1.0f / 3 + s2 * (1.0f / 5 + s2 * (1.0f / 7 + s2 * (1.0f / 9)))));
            r = -2 * (r + (float)e * 0.69314718055994531f);
            r = sqrtf(r > 0 ? r : 0);
            sine = x * (1 + x2 * (-1.0f / 6 + x2 * (1.0f / 120 + x2 * (-1.0f / 5040 + x2 * (1.0f / 362880)))));
            cosine = 1 + x2 * (-0.5f +
                               x2 * (1.0f / 24 + x2 * (-1.0f / 720 + x2 * (1.0f / 40320 + x2 * (-1.0f / 3628800)))));
            a = q & 1 ? sine : cosine;
            b = q & 1 ? cosine : sine;
            out[4 * i + pair] = (q == 1 || q == 2 ? -a : a) * r;
            out[4 * i + pair + 1] = (q & 2 ? -b : b) * r;
        }
}

typedef void (*normal_group)(uint64_t seed, uint64_t stream, uint64_t first, float *out);

static void normal_group_c(uint64_t seed, uint64_t stream, uint64_t first, float *out)
{
    normal_group_body(seed, stream, first, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void normal_group_avx2(uint64_t seed, uint64_t stream, uint64_t first,
                                                              float *out)
{
    normal_group_body(seed, stream, first, out);
}

__attribute__((target("avx512f,avx512dq,avx512vl"))) static void normal_group_avx512(uint64_t seed, uint64_t stream,
                                                                                     uint64_t first, float *out)
{
    normal_group_body(seed, stream, first, out);
}
#endif

static normal_group choose_group(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return normal_group_avx512;
    if (__builtin_cpu_supports("avx2"))
        return normal_group_avx2;
#endif
    return normal_group_c;
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

pjd_status pjd_noise_take(pjd_noise *s, size_t n, uint64_t *first, pjd_error *err)
{
    *first = s->position;
    if (s->recorded && n > s->count - s->position)
        return pjd_error_set(err, PJD_ERR_ARG, "noise: the recorded stream has %zu values left, %zu are needed",
                             (size_t)(s->count - s->position), n);
    s->position += n;
    return PJD_OK;
}

void pjd_noise_at(const pjd_noise *s, uint64_t first, float *out, size_t n)
{
    const uint64_t per = 4 * GROUP, last = first + n;
    normal_group group = choose_group();

    if (s->recorded) {
        memcpy(out, s->recorded + first, n * sizeof *out);
        return;
    }
    for (uint64_t begin = first / per * per; begin < last; begin += per) {
        uint64_t from = begin > first ? begin : first, to = begin + per < last ? begin + per : last;
        float v[4 * GROUP];

        if (from == begin && to == begin + per) {
            group(s->seed, s->stream, begin / 4, out + (begin - first));
            continue;
        }
        group(s->seed, s->stream, begin / 4, v);
        memcpy(out + (from - first), v + (from - begin), (to - from) * sizeof *out);
    }
}

pjd_status pjd_noise_normal(pjd_noise *s, float *out, size_t n, pjd_error *err)
{
    uint64_t first;
    pjd_status st = pjd_noise_take(s, n, &first, err);

    if (st != PJD_OK)
        return st;
#pragma omp parallel for schedule(static) if (n > PARALLEL)
    for (size_t i = 0; i < n; i += PJD_NOISE_PIECE)
        pjd_noise_at(s, first + i, out + i, n - i < PJD_NOISE_PIECE ? n - i : PJD_NOISE_PIECE);
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
