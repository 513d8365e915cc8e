/* SPDX-License-Identifier: MIT */
/* Ratio masks on a short-time Fourier transform, a hop at a time. */
#include <kiss_fftr.h>
#include <math.h>
#include <string.h>

#include "audio/masks.h"
#include "projdiff/stems.h"

enum { OVERLAP = 4, MOST_CHANNELS = 64 };

struct pjd_unmix {
    size_t stems, channels, n, hop, bins, cut;
    kiss_fftr_cfg forward, backward;
    float *window;                    /* [n], root of Hann's: twice it is Hann's, whose sum over the hops is 2 */
    float *mix, *guides;              /* the last n samples: [channels, n], [stems, n] */
    float *sum;                       /* overlap-add, [stems, channels, n] */
    float *power;                     /* [stems, bins] */
    float *frame;                     /* [n] */
    kiss_fft_cpx *spectrum, *product; /* [bins] */
};

/* A frame of about 80 ms resolves the partials of a bass and still follows a drum, with its hop of 20 ms. */
static size_t frame_size(double rate)
{
    size_t n = 64;

    while ((double)n < 0.0625 * rate)
        n *= 2;
    return n;
}

static kiss_fftr_cfg make_plan(size_t n, int inverse)
{
    size_t bytes = 0;
    void *memory;
    kiss_fftr_cfg plan;

    kiss_fftr_alloc((int)n, inverse, NULL, &bytes);
    memory = bytes ? pjd_alloc(1, bytes) : NULL;
    plan = memory ? kiss_fftr_alloc((int)n, inverse, memory, &bytes) : NULL;
    if (!plan)
        pjd_free(memory);
    return plan;
}

static bool allocate(pjd_unmix *u)
{
    size_t s = u->stems, c = u->channels, n = u->n;

    u->forward = make_plan(n, 0);
    u->backward = make_plan(n, 1);
    u->window = pjd_alloc(n, sizeof(float));
    u->mix = pjd_alloc_zero(c * n, sizeof(float));
    u->guides = pjd_alloc_zero(s * n, sizeof(float));
    u->sum = pjd_alloc_zero(s * c * n, sizeof(float));
    u->power = pjd_alloc_zero(s * u->bins, sizeof(float));
    u->frame = pjd_alloc_zero(n, sizeof(float));
    u->spectrum = pjd_alloc_zero(u->bins, sizeof *u->spectrum);
    u->product = pjd_alloc_zero(u->bins, sizeof *u->product);
    return u->forward && u->backward && u->window && u->mix && u->guides && u->sum && u->power && u->frame &&
           u->spectrum && u->product;
}

pjd_status pjd_unmix_create(size_t stems, size_t channels, double rate, double band, pjd_unmix **out, pjd_error *err)
{
    pjd_unmix *u;

    *out = NULL;
    if (stems < 1 || stems > PJD_MASKS_STEMS || channels < 1 || channels > MOST_CHANNELS || !(rate >= 1) ||
        !(rate <= 1e6) || !(band >= 0))
        return pjd_error_set(err, PJD_ERR_ARG, "unmix: %zu stems, %zu channels, %g Hz, band %g Hz are out of range",
                             stems, channels, rate, band);
    u = pjd_alloc_zero(1, sizeof *u);
    if (!u)
        return pjd_error_nomem(err, "unmix", sizeof *u);
    u->stems = stems;
    u->channels = channels;
    u->n = frame_size(rate);
    u->hop = u->n / OVERLAP;
    u->bins = u->n / 2 + 1;
    u->cut = u->bins;
    if (band > 0 && band < rate / 2)
        u->cut = (size_t)(band / rate * (double)u->n);
    if (!allocate(u)) {
        size_t bytes = stems * channels * u->n * sizeof(float);

        pjd_unmix_free(u);
        return pjd_error_nomem(err, "unmix", bytes);
    }
    for (size_t i = 0; i < u->n; i++)
        u->window[i] = (float)sin(M_PI * (double)i / (double)u->n);
    *out = u;
    return PJD_OK;
}

size_t pjd_unmix_hop(const pjd_unmix *u)
{
    return u->hop;
}

size_t pjd_unmix_delay(const pjd_unmix *u)
{
    return u->n - u->hop;
}

/* Shift one line by a hop and take the next samples in. */
static void take(const pjd_unmix *u, float *line, const float *from, size_t stride)
{
    memmove(line, line + u->hop, (u->n - u->hop) * sizeof *line);
    for (size_t i = 0; i < u->hop; i++)
        line[u->n - u->hop + i] = from[i * stride];
}

static void transform(pjd_unmix *u, const float *line)
{
    for (size_t i = 0; i < u->n; i++)
        u->frame[i] = line[i] * u->window[i];
    kiss_fftr(u->forward, u->frame, u->spectrum);
}

static void add_part(pjd_unmix *u, const float *mask, float *sum)
{
    float scale = 1 / ((float)u->n * OVERLAP / 2);

    for (size_t k = 0; k < u->bins; k++) {
        u->product[k].r = u->spectrum[k].r * mask[k];
        u->product[k].i = u->spectrum[k].i * mask[k];
    }
    kiss_fftri(u->backward, u->product, u->frame);
    memmove(sum, sum + u->hop, (u->n - u->hop) * sizeof *sum);
    memset(sum + u->n - u->hop, 0, u->hop * sizeof *sum);
    for (size_t i = 0; i < u->n; i++)
        sum[i] += u->frame[i] * u->window[i] * scale;
}

/* The transform's rounding, about 1e-7 of the mix, goes to the parts in equal shares: they sum to the mix, not to nearly
   the mix. */
static void put(const pjd_unmix *u, float *parts)
{
    size_t s = u->stems, c = u->channels;

    for (size_t j = 0; j < c; j++)
        for (size_t i = 0; i < u->hop; i++) {
            double rest = u->mix[j * u->n + i];

            for (size_t k = 0; k < s; k++)
                rest -= u->sum[(k * c + j) * u->n + i];
            for (size_t k = 0; k < s; k++)
                parts[(k * u->hop + i) * c + j] = (float)(u->sum[(k * c + j) * u->n + i] + rest / (double)s);
        }
}

void pjd_unmix_run(pjd_unmix *u, const float *mix, const float *guides, float *parts)
{
    for (size_t k = 0; k < u->stems; k++) {
        take(u, u->guides + k * u->n, guides + k, u->stems);
        transform(u, u->guides + k * u->n);
        for (size_t b = 0; b < u->bins; b++)
            u->power[k * u->bins + b] = u->spectrum[b].r * u->spectrum[b].r + u->spectrum[b].i * u->spectrum[b].i;
    }
    pjd_masks_from_power(u->stems, u->bins, u->cut, u->power);
    for (size_t j = 0; j < u->channels; j++) {
        take(u, u->mix + j * u->n, mix + j, u->channels);
        transform(u, u->mix + j * u->n);
        for (size_t k = 0; k < u->stems; k++)
            add_part(u, u->power + k * u->bins, u->sum + (k * u->channels + j) * u->n);
    }
    put(u, parts);
}

void pjd_unmix_free(pjd_unmix *u)
{
    if (!u)
        return;
    pjd_free(u->forward);
    pjd_free(u->backward);
    pjd_free(u->window);
    pjd_free(u->mix);
    pjd_free(u->guides);
    pjd_free(u->sum);
    pjd_free(u->power);
    pjd_free(u->frame);
    pjd_free(u->spectrum);
    pjd_free(u->product);
    pjd_free(u);
}
