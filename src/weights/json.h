/* SPDX-License-Identifier: MIT */
/*
 * JSON from hostile files. cJSON builds the tree but takes almost anything for a number, bytes that are no UTF-8, and
 * strings cut by \u0000; so the text is checked first. Equal keys of an object are the caller's to find.
 */
#ifndef PJD_WEIGHTS_JSON_H
#define PJD_WEIGHTS_JSON_H

#include <cJSON.h>

#include "core/core.h"

typedef struct pjd_json_rules {
    unsigned depth; /* of nested arrays and objects */
    size_t values;  /* cJSON takes about 100 bytes for each */
    bool integers;  /* numbers are 0 .. 2^53, nothing but digits, no leading zero */
} pjd_json_rules;

/* The whole text must be one JSON object (white space around it is fine). Free *out with cJSON_Delete.
   PJD_ERR_MODEL with "who: what ..." when it is not. */
pjd_status pjd_json_parse(const char *who, const char *what, const unsigned char *text, size_t size,
                          const pjd_json_rules *rules, cJSON **out, pjd_error *err);

#endif
