/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "core/core.h"

pjd_status pjd_error_set(pjd_error *err, pjd_status code, const char *fmt, ...)
{
    if (err) {
        va_list ap;

        va_start(ap, fmt);
        err->code = code;
        if (vsnprintf(err->text, sizeof err->text, fmt, ap) < 0)
            err->text[0] = '\0';
        va_end(ap);
        /* One line whatever a file name or a key from a hostile file contains. */
        for (char *p = err->text; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                *p = '?';
    }
    return code;
}

pjd_status pjd_error_nomem(pjd_error *err, const char *who, size_t bytes)
{
    return pjd_error_set(err, PJD_ERR_NOMEM, "%s: out of memory for %zu bytes", who, bytes);
}

const char *pjd_status_name(pjd_status code)
{
    static const char *const names[] = {
        [PJD_OK] = "ok",
        [PJD_ERR_ARG] = "bad argument",
        [PJD_ERR_SHAPE] = "sizes do not fit",
        [PJD_ERR_IO] = "input or output failed",
        [PJD_ERR_FORMAT] = "bad file format",
        [PJD_ERR_MODEL] = "not a usable model",
        [PJD_ERR_UNSUPPORTED] = "not supported",
        [PJD_ERR_NOMEM] = "out of memory",
        [PJD_ERR_CANCELLED] = "cancelled",
        [PJD_ERR_NONFINITE] = "non-finite value",
        [PJD_ERR_BACKEND] = "numerical backend failed",
        [PJD_ERR_EXISTS] = "already exists",
    };

    if ((size_t)code < PJD_COUNTOF(names) && names[code])
        return names[code];
    return "unknown status";
}
