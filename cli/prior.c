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

int cli_model_open(const char *path, const char *config, pjd_model **out)
{
    char found[CLI_PATH_MAX], resolved[PATH_MAX];
    pjd_model_options opt = {.config = config, .log = {cli_log, NULL}};
    pjd_error err;

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
    if (pjd_model_open(path, &opt, out, &err) != PJD_OK)
        return cli_fail(&err, path, false);
    return CLI_DONE;
}
