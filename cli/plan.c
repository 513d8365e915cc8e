/* SPDX-License-Identifier: MIT */
/* Which files are read and written: folders, output templates, and all that can be refused before work starts. */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool cli_has_field(const char *templ, const char *field)
{
    return templ && strstr(templ, field);
}

static bool append(char *out, size_t size, size_t *used, const char *text, size_t n)
{
    if (*used + n >= size)
        return false;
    memcpy(out + *used, text, n);
    *used += n;
    out[*used] = '\0';
    return true;
}

/* The value of the field that begins at f ("{name}..."); NULL when there is no such field. */
static const char *field_value(const cli_plan *p, const char *f, size_t len, const cli_job *job, size_t n,
                               char number[32])
{
    if (len == 6 && !memcmp(f, "{name}", 6))
        return job->name;
    if (len == 6 && !memcmp(f, "{task}", 6))
        return p->task ? p->task : "";
    if (len == 5 && !memcmp(f, "{ext}", 5))
        return job->ext;
    if (len == 6 && !memcmp(f, "{seed}", 6))
        snprintf(number, 32, "%llu", (unsigned long long)p->seed);
    else if (len == 3 && !memcmp(f, "{n}", 3))
        snprintf(number, 32, "%zu", n);
    else
        return NULL;
    return number;
}

bool cli_plan_name(const cli_plan *p, size_t which, const cli_job *job, size_t n, char *out, size_t size)
{
    const char *t = p->outputs[which];
    size_t used = 0;

    out[0] = '\0';
    while (*t) {
        const char *close = *t == '{' ? strchr(t, '}') : NULL, *value;
        size_t len = close ? (size_t)(close - t) + 1 : 1;
        char number[32];

        value = close ? field_value(p, t, len, job, n, number) : NULL;
        if (!append(out, size, &used, value ? value : t, value ? strlen(value) : len))
            return false;
        t += len;
    }
    return true;
}

/* ---- outputs ---- */

static int check_template(const cli_plan *p, const char *t)
{
    cli_job none = {.name = (char *)(uintptr_t) ""};
    char number[32];

    for (const char *f = strchr(t, '{'); f; f = strchr(f + 1, '{')) {
        const char *close = strchr(f, '}');

        if (!close || !field_value(p, f, (size_t)(close - f) + 1, &none, 1, number))
            return cli_error(CLI_USAGE, "\"%.200s\": expected the fields {name} {task} {seed} {n} {ext}", t);
    }
    return CLI_DONE;
}

static bool is_folder(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static bool ends_in_slash(const char *path)
{
    size_t n = strlen(path);

    return n > 0 && path[n - 1] == '/';
}

/* FOLDER -> FOLDER/{name}.{ext} where the output names a folder. */
static int resolve_output(cli_plan *p, size_t i)
{
    const char *o = p->outputs[i], *slash, *number;
    int code = check_template(p, o);

    if (code != CLI_DONE)
        return code;
    if (!strcmp(o, "-"))
        return p->batch ? cli_error(CLI_USAGE, "a folder of pictures cannot go to standard output") : CLI_DONE;
    if (strchr(o, '{') && !ends_in_slash(o))
        return CLI_DONE;
    if (!p->batch && !is_folder(o) && !ends_in_slash(o))
        return CLI_DONE;
    if (i > 0)
        return cli_error(CLI_USAGE, "%s: expected a file name, with {name} in it for a folder of pictures", o);
    if (access(o, F_OK) == 0 && !is_folder(o))
        return cli_error(CLI_USAGE, "%s: a folder in gives a folder out, and this is a file", o);
    slash = ends_in_slash(o) ? "" : "/";
    number = p->samples > 1 ? "-{n}" : "";
    if (asprintf(&p->owned[i], "%s%s{name}%s.{ext}", o, slash, number) < 0) {
        p->owned[i] = NULL;
        return cli_error(CLI_MEMORY, "out of memory");
    }
    if (mkdir(o, 0777) != 0 && errno != EEXIST)
        return cli_error(CLI_FAILED, "%s: the folder cannot be made: %s", o, strerror(errno));
    p->outputs[i] = p->owned[i];
    return CLI_DONE;
}

typedef struct target {
    char *path; /* with its folder resolved, so that equal files compare equal */
    const cli_job *job;
} target;

static int compare_targets(const void *a, const void *b)
{
    return strcmp(((const target *)a)->path, ((const target *)b)->path);
}

/* A file's name with its folder resolved: an exit code. */
static int resolve_target(const cli_plan *p, const char *path, char **out)
{
    char copy[CLI_PATH_MAX], folder[PATH_MAX], ext[16];
    const char *base = strrchr(path, '/');

    base = base ? base + 1 : path;
    snprintf(copy, sizeof copy, "%s", path);
    if (!realpath(dirname(copy), folder))
        return cli_error(CLI_FAILED, "%s: its folder: %s", path, strerror(errno));
    if (!is_folder(folder) || access(folder, W_OK) != 0)
        return cli_error(CLI_FAILED, "%s: its folder cannot be written to", path);
    cli_extension(path, ext);
    if (!cli_writable_extension(ext) && !(p->complex && !strcmp(ext, "cfl")))
        return cli_error(CLI_USAGE, "%s: expected a name that ends in .png, .jpg, .tif, .webp, .npy or the like", path);
    if (asprintf(out, "%s/%s", folder, base) < 0) {
        *out = NULL;
        return cli_error(CLI_MEMORY, "out of memory");
    }
    return CLI_DONE;
}

/* All names of one job into targets[*count...]; counts those that exist. */
static int job_targets(cli_plan *p, cli_job *job, target *targets, size_t *count, size_t *existing, size_t *total)
{
    char name[CLI_PATH_MAX];

    *existing = *total = 0;
    for (size_t i = 0; i < CLI_MAX_OUTPUTS; i++) {
        size_t n = cli_has_field(p->outputs[i], "{n}") ? p->samples : 1;

        if (!p->outputs[i] || !strcmp(p->outputs[i], "-"))
            continue;
        for (size_t k = 1; k <= n; k++) {
            struct stat s;
            int code;

            if (!cli_plan_name(p, i, job, k, name, sizeof name))
                return cli_error(CLI_USAGE, "%s: the output's name is too long", job->input);
            code = resolve_target(p, name, &targets[*count].path);
            if (code != CLI_DONE)
                return code;
            targets[(*count)++].job = job;
            *existing += lstat(name, &s) == 0;
            ++*total;
        }
    }
    return CLI_DONE;
}

static int check_outputs(cli_plan *p)
{
    size_t per_job = CLI_MAX_OUTPUTS * p->samples, count = 0, existing = 0, total = 0, refused = 0;
    target *targets = per_job && p->count <= SIZE_MAX / sizeof *targets / per_job
                          ? calloc(p->count * per_job, sizeof *targets)
                          : NULL;
    const char *example = NULL;
    int code = targets ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");

    for (size_t i = 0; code == CLI_DONE && i < p->count; i++) {
        size_t first = count;

        code = job_targets(p, &p->jobs[i], targets, &count, &existing, &total);
        if (code == CLI_DONE && existing && !p->overwrite && !p->skip_existing && !refused++)
            example = targets[first].path;
        p->jobs[i].skip = p->skip_existing && total && existing == total;
        p->skipped += p->jobs[i].skip;
    }
    if (code == CLI_DONE && refused == 1 && p->count == 1)
        code = cli_error(CLI_USAGE, "%s exists: give --overwrite or --skip-existing", example);
    else if (code == CLI_DONE && refused)
        code = cli_error(CLI_USAGE,
                         "%s exists (so do outputs of %zu of %zu inputs): give --overwrite or --skip-existing", example,
                         refused, p->count);
    if (code == CLI_DONE && count)
        qsort(targets, count, sizeof *targets, compare_targets);
    for (size_t i = 1; code == CLI_DONE && i < count; i++)
        if (!strcmp(targets[i - 1].path, targets[i].path)) {
            if (targets[i - 1].job == targets[i].job)
                code = cli_error(CLI_USAGE, "two outputs would be %s", targets[i].path);
            else
                code = cli_error(CLI_USAGE, "%s and %s would both become %s: use {ext} or another template",
                                 targets[i - 1].job->input, targets[i].job->input, targets[i].path);
        }
    for (size_t i = 0; targets && i < count; i++)
        free(targets[i].path);
    free(targets);
    return code;
}

/* ---- inputs ---- */

/* Kinds that every build of the picture library writes; from others, results are PNG. */
static bool is_plain_kind(const char *ext)
{
    static const char *const kinds[] = {"png", "jpg", "jpeg", "tif", "tiff", "webp", "npy"};

    for (size_t i = 0; i < CLI_COUNTOF(kinds); i++)
        if (!strcmp(ext, kinds[i]))
            return true;
    return false;
}

static bool add_job(cli_plan *p, const char *folder, const char *file)
{
    cli_job *jobs = realloc(p->jobs, (p->count + 1) * sizeof *jobs), *job;
    const char *slash = strrchr(file, '/');
    char ext[16], *dot;

    if (!jobs)
        return false;
    p->jobs = jobs;
    job = &jobs[p->count++];
    *job = (cli_job){0};
    if (folder) {
        if (asprintf(&job->input, "%s%s%s", folder, ends_in_slash(folder) ? "" : "/", file) < 0)
            job->input = NULL;
    } else {
        job->input = strdup(file);
    }
    job->name = strdup(!strcmp(file, "-") ? (p->name ? p->name : "stdin") : slash ? slash + 1 : file);
    if (!job->input || !job->name)
        return false;
    cli_extension(file, ext);
    dot = strrchr(job->name, '.');
    if (dot && dot != job->name)
        *dot = '\0';
    snprintf(job->ext, sizeof job->ext, "%s", p->format ? p->format : is_plain_kind(ext) ? ext : "png");
    return true;
}

static int compare_jobs(const void *a, const void *b)
{
    return strcmp(((const cli_job *)a)->input, ((const cli_job *)b)->input);
}

/* Among complex arrays a .hdr belongs to a .cfl. */
static bool is_input(const cli_plan *p, const char *ext)
{
    return p->complex ? !strcmp(ext, "cfl") || (strcmp(ext, "hdr") != 0 && cli_readable_extension(ext))
                      : cli_readable_extension(ext);
}

static int list_folder(cli_plan *p)
{
    DIR *d = opendir(p->input);
    struct dirent *e;
    size_t ignored = 0;
    int code = CLI_DONE;

    if (!d)
        return cli_error(CLI_INPUT, "%s: %s", p->input, strerror(errno));
    while (code == CLI_DONE && (e = readdir(d))) {
        char path[CLI_PATH_MAX], ext[16];

        if (e->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", p->input, e->d_name) >= sizeof path)
            continue;
        cli_extension(e->d_name, ext);
        if (is_folder(path) || !is_input(p, ext))
            ignored++;
        else if (!add_job(p, p->input, e->d_name))
            code = cli_error(CLI_MEMORY, "out of memory");
    }
    closedir(d);
    if (code == CLI_DONE && !p->count)
        code = cli_error(CLI_INPUT, "%s: there are no pictures in this folder", p->input);
    if (code == CLI_DONE && ignored)
        cli_say("%s: %zu other file(s) or folder(s) left out", p->input, ignored);
    if (p->count)
        qsort(p->jobs, p->count, sizeof *p->jobs, compare_jobs);
    return code;
}

static int list_inputs(cli_plan *p)
{
    struct stat s;

    if (!strcmp(p->input, "-"))
        return add_job(p, NULL, "-") ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");
    if (stat(p->input, &s) != 0)
        return cli_error(CLI_INPUT, "%s: %s", p->input, strerror(errno));
    if (S_ISDIR(s.st_mode)) {
        p->batch = true;
        return list_folder(p);
    }
    if (access(p->input, R_OK) != 0)
        return cli_error(CLI_INPUT, "%s: %s", p->input, strerror(errno));
    return add_job(p, NULL, p->input) ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");
}

int cli_plan_make(cli_plan *p)
{
    int code;

    if (p->overwrite && p->skip_existing)
        return cli_error(CLI_USAGE, "--overwrite and --skip-existing exclude each other");
    if (p->format && !cli_writable_extension(p->format))
        return cli_error(CLI_USAGE, "--format: expected png, jpg, tif, webp, npy or the like, found \"%.40s\"",
                         p->format);
    code = list_inputs(p);
    for (size_t i = 0; code == CLI_DONE && i < CLI_MAX_OUTPUTS; i++)
        if (p->outputs[i])
            code = resolve_output(p, i);
    return code == CLI_DONE ? check_outputs(p) : code;
}

void cli_plan_free(cli_plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->jobs[i].input);
        free(p->jobs[i].name);
    }
    for (size_t i = 0; i < CLI_MAX_OUTPUTS; i++)
        free(p->owned[i]);
    free(p->jobs);
    p->jobs = NULL;
    p->count = 0;
}
