/* SPDX-License-Identifier: MIT */
/*
 * What this build contains: the command line, the manual pages' tables and the conformance tests come from here.
 */
#ifndef PROJDIFF_REGISTRY_H
#define PROJDIFF_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "projdiff/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pjd_param_type {
    PJD_PARAM_INT = 0,
    PJD_PARAM_FLOAT,
    PJD_PARAM_BOOL,
    PJD_PARAM_CHOICE, /* one of `choices`, separated by | */
    PJD_PARAM_TEXT,
    PJD_PARAM_ARRAY /* given as pjd_array; on the command line a file, or one of `choices` where there are some */
} pjd_param_type;

/* One parameter, described once. */
typedef struct pjd_param {
    const char *name;
    pjd_param_type type;
    const char *fallback; /* default as text; NULL: required; "": unset unless given */
    double min, max;      /* for numbers, inclusive */
    const char *choices;
    const char *unit; /* "px", "degrees", "" */
    const char *help; /* one line */
    size_t offset;    /* internal */
} pjd_param;

typedef struct pjd_entry {
    const char *name;
    const char *summary; /* one line */
    const pjd_param *params;
    size_t param_count;
    bool
        numbers; /* operators: what is measured is no picture but numbers of some unit (line integrals, moduli, mixtures) */
} pjd_entry;

typedef enum pjd_registry {
    PJD_REGISTRY_OPERATORS = 0,
    PJD_REGISTRY_SOLVERS,
    PJD_REGISTRY_NETWORKS,
    PJD_REGISTRY_FORMATS, /* checkpoint containers */
    PJD_REGISTRY_METRICS
} pjd_registry;

/* Entry i of a registry, or NULL past the end. Static lifetime. */
PJD_API const pjd_entry *pjd_registry_entry(pjd_registry r, size_t i);

#ifdef __cplusplus
}
#endif
#endif
