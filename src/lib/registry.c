/* SPDX-License-Identifier: MIT */
/* One list of everything this build contains, for callers that know the public headers only. */
#include "projdiff/registry.h"

#include "core/metric.h"
#include "core/operator.h"
#include "core/solver.h"
#include "networks/network.h"
#include "weights/format.h"

/* Entry i of a NULL-terminated list of classes that begin with, or contain, a pjd_entry. */
#define ENTRY_OF(list)                                                                                                 \
    do {                                                                                                               \
        for (size_t k = 0; (list)[k]; k++)                                                                             \
            if (k == i)                                                                                                \
                return &(list)[k]->entry;                                                                              \
        return NULL;                                                                                                   \
    } while (0)

const pjd_entry *pjd_registry_entry(pjd_registry r, size_t i)
{
    switch (r) {
    case PJD_REGISTRY_OPERATORS:
        ENTRY_OF(pjd_op_classes);
    case PJD_REGISTRY_SOLVERS:
        ENTRY_OF(pjd_solver_classes);
    case PJD_REGISTRY_NETWORKS:
        ENTRY_OF(pjd_network_classes);
    case PJD_REGISTRY_FORMATS:
        ENTRY_OF(pjd_format_classes);
    case PJD_REGISTRY_METRICS:
        ENTRY_OF(pjd_metric_classes);
    }
    return NULL;
}
