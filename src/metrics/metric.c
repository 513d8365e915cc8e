/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "core/metric.h"

static const pjd_metric_class *find(const char *name)
{
    for (size_t i = 0; pjd_metric_classes[i]; i++)
        if (!strcmp(pjd_metric_classes[i]->entry.name, name))
            return pjd_metric_classes[i];
    return NULL;
}

pjd_status pjd_metric(const char *name, const pjd_shape *shape, const float *estimate, const float *reference,
                      double range, double *value, pjd_error *err)
{
    const pjd_metric_class *m = find(name);
    char text[128];
    size_t n;

    *value = NAN;
    if (!m)
        return pjd_error_set(err, PJD_ERR_ARG, "metric: none is called \"%.40s\"", name);
    if (shape->rank != 3 || !pjd_shape_count(shape, &n) || n == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: expected [channels, height, width] without a 0, found %s", name,
                             pjd_shape_text(shape, text, sizeof text));
    if (!(range > 0) || !isfinite(range))
        return pjd_error_set(err, PJD_ERR_ARG, "%s: expected a positive range of the values, found %g", name, range);
    if (!pjd_all_finite(estimate, n))
        return pjd_error_set(err, PJD_ERR_NONFINITE, "%s: the estimate holds a value that is not finite", name);
    if (!pjd_all_finite(reference, n))
        return pjd_error_set(err, PJD_ERR_NONFINITE, "%s: the reference holds a value that is not finite", name);
    return m->score(shape, estimate, reference, range, value, err);
}
