/* SPDX-License-Identifier: MIT */
/* The names that the pickle machine knows, and what calling them or a persistent id means. */
#ifndef PJD_WEIGHTS_PICKLE_GLOBALS_H
#define PJD_WEIGHTS_PICKLE_GLOBALS_H

#include "weights/pickle.h"

/* Which of the known names this is; 0 for all others. */
unsigned pjd_pickle_global(const char *dotted);
/* The value of callable(*args); `at` is for messages. Never runs anything. */
pjd_status pjd_pickle_call(pjd_pickle *p, pjd_pk_ref callable, pjd_pk_ref args, size_t at, pjd_pk_value *out,
                           pjd_error *err);
pjd_status pjd_pickle_persistent(pjd_pickle *p, pjd_pk_ref id, size_t at, pjd_pk_value *out, pjd_error *err);

#endif
