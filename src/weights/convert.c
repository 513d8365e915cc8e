/* SPDX-License-Identifier: MIT */
/* Elements of any type and layout as contiguous float32. */
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define PJD_HAVE_F16C 1
#endif

#include "weights/weights.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [PJD_F32] = {"float32", 4}, [PJD_F64] = {"float64", 8}, [PJD_F16] = {"float16", 2}, [PJD_BF16] = {"bfloat16", 2},
    [PJD_I64] = {"int64", 8},   [PJD_I32] = {"int32", 4},   [PJD_I16] = {"int16", 2},   [PJD_I8] = {"int8", 1},
    [PJD_U8] = {"uint8", 1},    [PJD_BOOL] = {"bool", 1},
};

const char *pjd_dtype_name(pjd_dtype d)
{
    return (size_t)d < PJD_COUNTOF(dtypes) ? dtypes[d].name : "?";
}

size_t pjd_dtype_size(pjd_dtype d)
{
    return (size_t)d < PJD_COUNTOF(dtypes) ? dtypes[d].size : 0;
}

static inline float half_to_float(uint16_t h)
{
    uint32_t bits = (uint32_t)(h & 0x7fffu) << 13;
    float v;

    /* The exponent's bias differs by 112; the product is exact, and right for subnormal halves too. */
    memcpy(&v, &bits, 4);
    v *= 0x1p112f;
    memcpy(&bits, &v, 4);
    if ((h & 0x7c00u) == 0x7c00u)
        bits |= 0x7f800000u;
    bits |= (uint32_t)(h & 0x8000u) << 16;
    memcpy(&v, &bits, 4);
    return v;
}

static inline float brain_to_float(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float v;

    memcpy(&v, &bits, 4);
    return v;
}

/* n elements of type T, step bytes apart. The contiguous loop is apart because it vectorises. */
#define RUN(name, T, expr)                                                                                             \
    static void name(const unsigned char *src, size_t step, size_t n, float *dst)                                      \
    {                                                                                                                  \
        T v;                                                                                                           \
        if (step == sizeof v) {                                                                                        \
            for (size_t i = 0; i < n; i++) {                                                                           \
                memcpy(&v, src + i * sizeof v, sizeof v);                                                              \
                dst[i] = (expr);                                                                                       \
            }                                                                                                          \
        } else {                                                                                                       \
            for (size_t i = 0; i < n; i++) {                                                                           \
                memcpy(&v, src + i * step, sizeof v);                                                                  \
                dst[i] = (expr);                                                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }

RUN(run_f32_step, float, v)
RUN(run_f64, double, (float)v)
RUN(run_f16_c, uint16_t, half_to_float(v))
RUN(run_bf16, uint16_t, brain_to_float(v))
RUN(run_i64, int64_t, (float)v)
RUN(run_i32, int32_t, (float)v)
RUN(run_i16, int16_t, (float)v)
RUN(run_i8, int8_t, (float)v)
RUN(run_u8, uint8_t, (float)v)
RUN(run_bool, uint8_t, v ? 1.0f : 0.0f)

static void run_f32(const unsigned char *src, size_t step, size_t n, float *dst)
{
    if (step == sizeof *dst)
        memcpy(dst, src, n * sizeof *dst);
    else
        run_f32_step(src, step, n, dst);
}

#ifdef PJD_HAVE_F16C
__attribute__((target("avx2,f16c"))) static void run_f16_f16c(const unsigned char *src, size_t step, size_t n,
                                                              float *dst)
{
    size_t i = 0;

    if (step == 2)
        for (; i + 8 <= n; i += 8)
            _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i))));
    run_f16_c(src + i * step, step, n - i, dst + i);
}
#endif

static void run_f16(const unsigned char *src, size_t step, size_t n, float *dst)
{
#ifdef PJD_HAVE_F16C
    /* Every processor with AVX2 has F16C. */
    if (__builtin_cpu_supports("avx2")) {
        run_f16_f16c(src, step, n, dst);
        return;
    }
#endif
    run_f16_c(src, step, n, dst);
}

typedef void (*run_fn)(const unsigned char *src, size_t step, size_t n, float *dst);
static const run_fn runs[] = {
    [PJD_F32] = run_f32, [PJD_F64] = run_f64, [PJD_F16] = run_f16, [PJD_BF16] = run_bf16, [PJD_I64] = run_i64,
    [PJD_I32] = run_i32, [PJD_I16] = run_i16, [PJD_I8] = run_i8,   [PJD_U8] = run_u8,     [PJD_BOOL] = run_bool,
};

void pjd_tensor_to_f32(const pjd_tensor *t, float *dst)
{
    size_t item = pjd_dtype_size(t->dtype), dim[PJD_MAX_RANK], stride[PJD_MAX_RANK], at[PJD_MAX_RANK] = {0};
    const unsigned char *p = t->data;
    size_t rank = 0;

    /* Dimensions of 1 go, neighbours that lie one behind the other in memory merge: long runs. */
    for (size_t i = 0; i < t->shape.rank; i++) {
        if (t->shape.dim[i] == 0)
            return;
        if (t->shape.dim[i] == 1)
            continue;
        if (rank > 0 && stride[rank - 1] == t->stride[i] * t->shape.dim[i]) {
            dim[rank - 1] *= t->shape.dim[i];
            stride[rank - 1] = t->stride[i];
        } else {
            dim[rank] = t->shape.dim[i];
            stride[rank++] = t->stride[i];
        }
    }
    if (rank == 0) {
        runs[t->dtype](p, item, 1, dst);
        return;
    }
    for (;;) {
        size_t k = rank - 1;

        runs[t->dtype](p, stride[rank - 1] * item, dim[rank - 1], dst);
        dst += dim[rank - 1];
        for (;; k--) {
            if (k == 0)
                return;
            p += stride[k - 1] * item;
            if (++at[k - 1] < dim[k - 1])
                break;
            p -= stride[k - 1] * item * dim[k - 1];
            at[k - 1] = 0;
        }
    }
}
