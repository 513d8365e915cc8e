/* SPDX-License-Identifier: MIT */
/*
 * Status codes and error texts.
 *
 * Every fallible function returns a pjd_status and fills, when given, a pjd_error that
 * lives on the caller's stack. Error texts are one line: who complains, what was expected,
 * what was found. There is no global error state; the library never prints, exits or aborts.
 */
#ifndef PROJDIFF_STATUS_H
#define PROJDIFF_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PJD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PJD_API __attribute__((visibility("default")))
#else
#define PJD_PRINTF(fmt, args)
#define PJD_API
#endif

typedef enum pjd_status {
    PJD_OK = 0,
    PJD_ERR_ARG,         /* a value out of range, an unknown name or key */
    PJD_ERR_SHAPE,       /* array sizes that do not fit together */
    PJD_ERR_IO,          /* a file that is missing, unreadable, or could not be written */
    PJD_ERR_FORMAT,      /* a picture, sound or array file that is broken or of an unknown kind */
    PJD_ERR_MODEL,       /* not a usable model: broken, hostile, unknown or incomplete */
    PJD_ERR_UNSUPPORTED, /* valid, but not supported by this build or object */
    PJD_ERR_NOMEM,       /* out of memory, or a stated bound would be exceeded */
    PJD_ERR_CANCELLED,   /* the caller's progress callback asked to stop */
    PJD_ERR_NONFINITE,   /* a NaN or infinity appeared while running */
    PJD_ERR_BACKEND,     /* a numerical backend (oneDNN, LAPACK) failed */
    PJD_ERR_EXISTS       /* an output is already there and may not be replaced */
} pjd_status;

#define PJD_ERROR_TEXT_MAX 512

typedef struct pjd_error {
    pjd_status code;
    char text[PJD_ERROR_TEXT_MAX]; /* always terminated, one line */
} pjd_error;

/* Fill *err (may be NULL) and return code, so that `return pjd_error_set(err, ...)` reads well. */
PJD_API pjd_status pjd_error_set(pjd_error *err, pjd_status code, const char *fmt, ...) PJD_PRINTF(3, 4);

/* A fixed short name ("out of memory") for a code; never NULL. */
PJD_API const char *pjd_status_name(pjd_status code);

/* Severity of a log line; PJD_LOG_INFO is what a user wants to know (choices made, assumptions). */
typedef enum pjd_log_level { PJD_LOG_WARN = 0, PJD_LOG_INFO, PJD_LOG_DEBUG } pjd_log_level;

/* Receives one line without a newline. May be called only from the thread that called the library. */
typedef void (*pjd_log_fn)(void *user, pjd_log_level level, const char *line);

typedef struct pjd_log {
    pjd_log_fn fn; /* NULL: silent */
    void *user;
} pjd_log;

#ifdef __cplusplus
}
#endif
#endif
