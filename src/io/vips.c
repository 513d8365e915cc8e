/* SPDX-License-Identifier: MIT */
/* Starting libvips, and what it says when something fails. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <vips/vips.h>

#include "io/internal.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool started;
static atomic_bool ended;

static void silent(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer user)
{
}

static void start(void)
{
    /* A library prints nothing: libvips logs warnings about files to stderr unless its domain has a handler. */
    g_log_set_handler("VIPS", G_LOG_LEVEL_MASK | G_LOG_FLAG_RECURSION, silent, NULL);
    started = vips_init("projdiff") == 0;
    /* The cache of operations is keyed by file names: a file written anew would be read as it was before. */
    if (started)
        vips_cache_set_max(0);
}

pjd_status pjd_io_init(pjd_error *err)
{
    char why[200];

    pthread_once(&once, start);
    if (!started)
        return pjd_error_set(err, PJD_ERR_BACKEND, "pictures: libvips does not start: %s",
                             pjd_vips_why(why, sizeof why));
    if (atomic_load(&ended))
        return pjd_error_set(err, PJD_ERR_BACKEND, "pictures: used after pjd_io_shutdown");
    return PJD_OK;
}

void pjd_io_shutdown(void)
{
    if (started && !atomic_exchange(&ended, true))
        vips_shutdown();
}

/* "pngload: ", "vips2png: ", "VipsJpeg: ": one word and a colon. */
static const char *without_domain(const char *line)
{
    size_t n = strcspn(line, ": \n");

    return n > 0 && line[n] == ':' && line[n + 1] == ' ' ? line + n + 2 : line;
}

char *pjd_vips_why(char *buf, size_t size)
{
    char *text = vips_error_buffer_copy(); /* and clears it */
    const char *line = without_domain(text ? text : "");
    size_t n = strcspn(line, "\n");

    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '.'))
        n--;
    if (n == 0)
        snprintf(buf, size, "no reason given");
    else
        snprintf(buf, size, "%.*s", (int)(n < 160 ? n : 160), line);
    g_free(text);
    return buf;
}
