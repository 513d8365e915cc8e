/* SPDX-License-Identifier: MIT */
#include "weights/round.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static uint32_t bits_of(float v)
{
    uint32_t b;

    memcpy(&b, &v, sizeof b);
    return b;
}

static float float_of(uint32_t b)
{
    float v;

    memcpy(&v, &b, sizeof v);
    return v;
}

static uint16_t half(float v)
{
    uint32_t b = bits_of(v), a = b & 0x7fffffffu, h;

    if (a > 0x7f800000u)
        h = 0x7e00u | (a >> 13 & 0x3ffu);
    else if (a >= 0x477ff000u) /* 65520: half way to the next beyond the largest, which is even */
        h = 0x7c00u;
    else if (a < 0x38800000u) /* subnormal: the sum's last bit is worth 2^-24, as theirs is */
        h = bits_of(float_of(a) + 0.5f) - 0x3f000000u;
    else
        h = (a + 0xfffu + (a >> 13 & 1) - (112u << 23)) >> 13;
    return (uint16_t)(h | (b >> 16 & 0x8000u));
}

static uint16_t brain(float v)
{
    uint32_t b = bits_of(v);

    if ((b & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(b >> 16 | 0x40u);
    return (uint16_t)((b + 0x7fffu + (b >> 16 & 1)) >> 16);
}

#define ROUND(name, one, exponent)                                                                                     \
    size_t name(const float *src, size_t n, unsigned char *dst)                                                        \
    {                                                                                                                  \
        size_t bad = n;                                                                                                \
        for (size_t i = n; i-- > 0;) {                                                                                 \
            uint16_t r = one(src[i]);                                                                                  \
            memcpy(dst + 2 * i, &r, 2);                                                                                \
            if ((r & (exponent)) == (exponent) && isfinite(src[i]))                                                    \
                bad = i;                                                                                               \
        }                                                                                                              \
        return bad;                                                                                                    \
    }

ROUND(pjd_round_f16, half, 0x7c00u)
ROUND(pjd_round_bf16, brain, 0x7f80u)

/* The neighbour towards zero when inexact, its last bit set: nothing is lost that a coarser rounding asks for. */
static float odd_of(double v, float f)
{
    uint32_t b = bits_of(f);

    if (isnan(v) || (double)f == v)
        return f;
    if (fabs((double)f) > fabs(v))
        b--;
    return float_of(b | 1);
}

size_t pjd_round_f64(const unsigned char *src, size_t n, bool odd, float *dst)
{
    size_t bad = n;
    double v;

    for (size_t i = n; i-- > 0;) {
        memcpy(&v, src + i * sizeof v, sizeof v);
        dst[i] = odd ? odd_of(v, (float)v) : (float)v;
        if (isinf(dst[i]) && !isinf(v))
            bad = i;
    }
    return bad;
}
