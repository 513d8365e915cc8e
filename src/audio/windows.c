/* SPDX-License-Identifier: MIT */
/* How a long recording is cut into windows, and joined again. */
#include <math.h>

#include "core/core.h"
#include "projdiff/stems.h"

static bool round_up(size_t n, size_t multiple, size_t *out)
{
    size_t rest = n % multiple;

    return pjd_add(n, rest ? multiple - rest : 0, out);
}

pjd_status pjd_windows_plan(size_t length, size_t longest, size_t shortest, size_t overlap, size_t multiple,
                            pjd_windows *out, pjd_error *err)
{
    pjd_windows w = {.count = 1};
    bool fits = true;

    *out = (pjd_windows){0};
    if (length == 0 || multiple == 0 || overlap >= longest)
        return pjd_error_set(err, PJD_ERR_ARG,
                             "windows: expected a length and a multiple above 0 and an overlap below %zu, found %zu, "
                             "%zu and %zu",
                             longest, length, multiple, overlap);
    if (length <= longest) {
        fits = round_up(length > shortest ? length : shortest, multiple, &w.length);
        w.hop = w.length;
    } else {
        size_t rest = length - overlap, hop = longest - overlap;

        w.count = rest / hop + (rest % hop != 0);
        hop = rest / w.count + (rest % w.count != 0);
        w.hop = hop;
        fits = round_up(hop + overlap, multiple, &w.length);
        w.overlap = w.length - hop;
        /* rounding must not make a window meet the one after the next */
        if (fits && w.overlap > hop)
            w.overlap = hop;
    }
    if (!fits)
        return pjd_error_set(err, PJD_ERR_ARG, "windows: %zu samples are too many", length);
    *out = w;
    return PJD_OK;
}

void pjd_crossfade(const float *earlier, float *later, size_t n, size_t keep)
{
    for (size_t i = 0; i < n; i++) {
        double w = i < keep ? 0 : 0.5 - 0.5 * cos(M_PI * ((double)(i - keep) + 0.5) / (double)(n - keep));

        later[i] = (float)((1 - w) * earlier[i] + w * later[i]);
    }
}
