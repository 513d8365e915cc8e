/* SPDX-License-Identifier: MIT */
/*
 * Parameters described once (projdiff/registry.h, struct pjd_param) and parsed into a plain struct:
 * INT -> long, FLOAT -> double, BOOL -> bool, CHOICE -> int (index), TEXT -> char * (owned), ARRAY -> const pjd_array *.
 * An ARRAY with `choices` takes one of these words, or an array: -> pjd_array_choice. `offset` is offsetof() in that struct.
 */
#ifndef PJD_CORE_PARAM_H
#define PJD_CORE_PARAM_H

#include "core/core.h"
#include "projdiff/registry.h"

typedef struct pjd_array_choice {
    const pjd_array *array; /* NULL: the word */
    int choice;             /* its index */
} pjd_array_choice;

/* One key=value, unescaped. */
typedef struct pjd_keyvalue {
    char *key;
    char *value;
} pjd_keyvalue;

typedef struct pjd_keyvalues {
    pjd_keyvalue *items;
    size_t count;
} pjd_keyvalues;

/* One "NAME[:key=value,...]" of a task text; the key may be missing ("disk=3" needs it; "flag" means flag=true). */
typedef struct pjd_task_part {
    char *name;
    pjd_keyvalues kv;
} pjd_task_part;

/*
 * Split "A:k=v,k=v+B" with `\` escapes into parts. Empty text or names are errors. No parameter's name begins with a
 * digit, a sign or a point: such an item continues the value before it ("motion=9,30"; a + still begins a part).
 */
pjd_status pjd_task_parse(const char *text, pjd_task_part **parts, size_t *count, pjd_error *err);
void pjd_task_free(pjd_task_part *parts, size_t count);

/* "key=value,key=value" (no name in front). NULL or "" gives none. */
pjd_status pjd_keyvalues_parse(const char *text, pjd_keyvalues *out, pjd_error *err);
void pjd_keyvalues_free(pjd_keyvalues *kv);

/*
 * Fill `params` (size bytes, zeroed here) from defaults, then kv, then arrays. Unknown keys, bad numbers, NaN and values
 * out of range are refused with `who`, the key, the range and what was found. A required parameter that is missing is
 * refused by name. used (array_count flags, may be NULL): arrays already taken are skipped, taken ones are set.
 * present (may be NULL, count flags): whether each parameter was given.
 */
pjd_status pjd_params_fill(const char *who, const pjd_param *table, size_t count, const pjd_keyvalues *kv,
                           const pjd_array *arrays, size_t array_count, bool *used, void *params, size_t size,
                           bool *present, pjd_error *err);
/* Free the TEXT values in a filled struct. */
void pjd_params_clear(const pjd_param *table, size_t count, void *params);

/* Strict number parsing (whole text, C locale, finite). */
bool pjd_parse_double(const char *text, double *out);
bool pjd_parse_long(const char *text, long *out);

#endif
