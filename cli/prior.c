/* SPDX-License-Identifier: MIT */
/* Where the prior that ships is: PROJDIFF_MODELS, else beside the program (build tree or install prefix). */
#include "cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char SHIPPED[] = "photo";

static bool is_model_folder(const char *path)
{
    char file[CLI_PATH_MAX];

    return (size_t)snprintf(file, sizeof file, "%s/config.json", path) < sizeof file && access(file, R_OK) == 0;
}

/* Priors of music are folders of folders. */
static bool is_prior(const char *path, const char *kind)
{
    return strcmp(kind, SHIPPED) ? access(path, R_OK | X_OK) == 0 : is_model_folder(path);
}

/* The first FOLDER/photo of a colon-separated list; a folder that is a model itself will do, too. */
static bool search_list(const char *list, const char *kind, char *out, size_t size)
{
    while (*list) {
        size_t n = strcspn(list, ":");

        if (n > 0 && (size_t)snprintf(out, size, "%.*s/%s", (int)n, list, kind) < size && is_prior(out, kind))
            return true;
        if (n > 0 && !strcmp(kind, SHIPPED) && (size_t)snprintf(out, size, "%.*s", (int)n, list) < size &&
            is_model_folder(out))
            return true;
        list += n;
        if (*list)
            list++;
    }
    return false;
}

static bool search_beside_program(const char *kind, char *out, size_t size)
{
    /* build tree with and without models copied into it; PREFIX/bin */
    static const char *const places[] = {"../models", "../../models", "../share/projdiff/models"};
    char program[CLI_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;

    if (n <= 0)
        return false;
    program[n] = '\0';
    slash = strrchr(program, '/');
    if (!slash)
        return false;
    *slash = '\0';
    for (size_t i = 0; i < CLI_COUNTOF(places); i++)
        if ((size_t)snprintf(out, size, "%s/%s/%s", program, places[i], kind) < size && is_prior(out, kind))
            return true;
    return false;
}

bool cli_find_shipped(const char *kind, char *out, size_t size)
{
    const char *list = getenv("PROJDIFF_MODELS");

    return (list && search_list(list, kind, out, size)) || search_beside_program(kind, out, size);
}

/* What is said while a model is opened: told afterwards, because a refusal is one line. */
typedef struct kept {
    size_t used;
    char text[16384]; /* for each line its level, the line, a zero */
} kept;

static void keep(void *user, pjd_log_level level, const char *line)
{
    kept *k = user;
    size_t n = strlen(line) + 2;

    if (n > sizeof k->text - k->used) { /* more than any model says */
        cli_log(NULL, level, line);
        return;
    }
    k->text[k->used] = (char)level;
    memcpy(k->text + k->used + 1, line, n - 1);
    k->used += n;
}

static void tell(const kept *k)
{
    for (size_t i = 0; i < k->used; i += strlen(k->text + i + 1) + 2)
        cli_log(NULL, (pjd_log_level)k->text[i], k->text + i + 1);
}

int cli_model_open(const char *path, const char *config, pjd_model **out)
{
    char found[CLI_PATH_MAX], resolved[PATH_MAX];
    kept said = {0};
    pjd_model_options opt = {.config = config, .log = {keep, &said}};
    pjd_error err;
    pjd_status st;

    *out = NULL;
    if (!path) {
        if (!cli_find_shipped(SHIPPED, found, sizeof found))
            return cli_error(CLI_MODEL,
                             "the prior that ships was not found: give -m MODEL, or set PROJDIFF_MODELS to the "
                             "folder that holds \"%s\"",
                             SHIPPED);
        path = realpath(found, resolved) ? resolved : found;
        if (cli_verbose())
            cli_say("model: %s", path);
    }
    st = pjd_model_open(path, &opt, out, &err);
    if (st == PJD_OK || cli_verbose())
        tell(&said);
    return st == PJD_OK ? CLI_DONE : cli_fail(&err, path, false);
}
