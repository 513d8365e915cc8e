/* SPDX-License-Identifier: MIT */
/* Shares of the stems in the power of a frame. */
#include "audio/masks.h"

/* Sum of the power of stem s in bins [from, to). */
static double heard(const float *power, size_t bins, size_t s, size_t from, size_t to)
{
    double sum = 0;

    for (size_t k = from; k < to; k++)
        sum += power[s * bins + k];
    return sum;
}

/* Add `weight` times the shares that a stem has on the whole: a bin far below the rest of the frame is noise of the
   resampler and of rounding, and tells nothing. */
static void divide(size_t stems, size_t bins, size_t k, double weight, const double *share, float *power)
{
    double total = weight;

    for (size_t s = 0; s < stems; s++)
        total += power[s * bins + k];
    for (size_t s = 0; s < stems; s++)
        power[s * bins + k] = (float)((power[s * bins + k] + weight * share[s]) / total);
}

void pjd_masks_from_power(size_t stems, size_t bins, size_t cut, float *power)
{
    double share[PJD_MASKS_STEMS], top[PJD_MASKS_STEMS], total = 0, above = 0, weight;
    size_t from;

    cut = cut < bins ? cut : bins;
    from = cut - cut * 2 / 5; /* the top 40 % of the band */
    for (size_t s = 0; s < stems; s++)
        total += share[s] = heard(power, bins, s, 0, cut);
    for (size_t s = 0; s < stems; s++)
        share[s] = total > 0 ? share[s] / total : 1 / (double)stems;
    weight = 1e-9 * total / (double)(cut ? cut : 1) + 1e-30;
    for (size_t s = 0; s < stems; s++)
        above += top[s] = heard(power, bins, s, from, cut) + weight * share[s];
    for (size_t k = 0; k < cut; k++)
        divide(stems, bins, k, weight, share, power);
    for (size_t k = cut; k < bins; k++)
        for (size_t s = 0; s < stems; s++)
            power[s * bins + k] = (float)(top[s] / above);
}
