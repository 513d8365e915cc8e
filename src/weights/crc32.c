/* SPDX-License-Identifier: MIT */
/*
 * The checksum of zip (CRC-32 of ISO-HDLC, bits reflected). With carry-less multiplication as fast as memory, by folding
 * (Gopal et al., Intel 2009): what was read so far is kept as 4 x 128 bits whose remainder is that of the data; a step
 * multiplies them by x^512 modulo the polynomial and adds the next 64 bytes. Without it, 8 bytes a step from tables.
 */
#include <pthread.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define PJD_HAVE_PCLMUL 1
#endif

#include "weights/zipdir.h"

#define POLYNOMIAL 0xedb88320u

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* tables[k][b]: the remainder of byte b followed by k zero bytes. */
static void fill_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;

        for (int i = 0; i < 8; i++)
            c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
        tables[0][b] = c;
    }
    for (size_t k = 1; k < 8; k++)
        for (size_t b = 0; b < 256; b++)
            tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 255];
}

static uint32_t by_tables(uint32_t c, const unsigned char *p, size_t n)
{
    pthread_once(&tables_once, fill_tables);
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t low = c ^ pjd_le32(p), high = pjd_le32(p + 4);

        c = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
            tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^ tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; n > 0; p++, n--)
        c = c >> 8 ^ tables[0][(c ^ *p) & 255];
    return c;
}

#ifdef PJD_HAVE_PCLMUL
/* x * x^distance + next, modulo the polynomial; k: x^(distance + 32), x^(distance - 32), reflected and shifted by one. */
__attribute__((target("pclmul,sse4.1"))) static inline __m128i fold(__m128i x, __m128i k, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(x, k, 0x00), high = _mm_clmulepi64_si128(x, k, 0x11);

    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* n >= 64; a multiple of 16 is taken, the remainder of it is returned and *taken set. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t by_folding(uint32_t c, const unsigned char *p, size_t n,
                                                                    size_t *taken)
{
    const __m128i far = _mm_set_epi64x(0x1c6e41596, 0x154442bd4), near = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    const unsigned char *start = p;
    unsigned char rest[16];
    __m128i x[4];

#define AT(i) _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * (i)))
    for (size_t i = 0; i < 4; i++)
        x[i] = AT(i);
    x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128((int)c));
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64)
        for (size_t i = 0; i < 4; i++)
            x[i] = fold(x[i], far, AT(i));
    x[0] = fold(x[0], near, x[1]);
    x[0] = fold(x[0], near, x[2]);
    x[0] = fold(x[0], near, x[3]);
    for (; n >= 16; p += 16, n -= 16)
        x[0] = fold(x[0], near, AT(0));
#undef AT
    _mm_storeu_si128((__m128i *)(void *)rest, x[0]);
    *taken = (size_t)(p - start);
    return by_tables(0, rest, sizeof rest);
}

static bool can_fold(void)
{
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}
#endif

uint32_t pjd_crc32_tables(const unsigned char *data, size_t size)
{
    return ~by_tables(0xffffffff, data, size);
}

uint32_t pjd_crc32(const unsigned char *data, size_t size)
{
    uint32_t c = 0xffffffff;
    size_t taken = 0;

#ifdef PJD_HAVE_PCLMUL
    if (size >= 64 && can_fold())
        c = by_folding(c, data, size, &taken);
#endif
    return ~by_tables(c, data + taken, size - taken);
}
