/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "core/core.h"

void pjd_logf(const pjd_log *log, pjd_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    if (!log || !log->fn)
        return;
    va_start(ap, fmt);
    if (vsnprintf(line, sizeof line, fmt, ap) < 0)
        line[0] = '\0';
    va_end(ap);
    log->fn(log->user, level, line);
}
