/* SPDX-License-Identifier: MIT */
/* The metric interface: what an m_<name>.c implements. */
#ifndef PJD_CORE_METRIC_H
#define PJD_CORE_METRIC_H

#include "core/core.h"
#include "projdiff/metrics.h"
#include "projdiff/registry.h"

typedef struct pjd_metric_class {
    pjd_entry entry;
    /* shape is [c,h,w] without a 0, both arrays are finite, range is positive: pjd_metric has looked. */
    pjd_status (*score)(const pjd_shape *shape, const float *estimate, const float *reference, double range,
                        double *value, pjd_error *err);
} pjd_metric_class;

/* All classes of this build, NULL-terminated (generated from the folder's build list). */
extern const pjd_metric_class *const pjd_metric_classes[];

#endif
