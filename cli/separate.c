/* SPDX-License-Identifier: MIT */
/* A sound of any length into its stems, window by window. */
#include "separate.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct solving {
    size_t window, windows, first; /* this one, all, and the first of this run */
} solving;

static bool on_progress(void *user, size_t step, size_t steps, const float *x0)
{
    const solving *w = user;

    if (cli_interrupted())
        return false;
    cli_progress_step((w->window - w->first) * steps + step, (w->windows - w->first) * steps);
    return true;
}

static bool silent(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != 0)
            return false;
    return true;
}

/* The window's stems; known [stems, known_length]: the start of them that an earlier window found. */
static int solve(const separate_args *a, const music *m, pjd_sources *s, const solving *w, const float *mix,
                 size_t length, const float *known, size_t known_length, float *stems)
{
    pjd_source_options o;
    pjd_error err;

    if (silent(mix, length)) {
        memset(stems, 0, length * pjd_sources_count(s) * sizeof *stems);
        return CLI_DONE;
    }
    separate_options(a, m, &o);
    o.seed = music_seed(a->seed, w->window, 0);
    if (a->solver == 0) {
        o.known = known_length ? known : NULL;
        o.known_length = known_length;
    }
    o.progress = on_progress;
    o.progress_user = (void *)(uintptr_t)w;
    if (pjd_separate(s, mix, &o, stems, NULL, &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    return CLI_DONE;
}

/* The first half of the overlap is held to what the window before found, the second half is cross-faded: so stems do not
   change places, and the end of a window, which saw no future, is not the last word. */
static int solve_windows(const separate_args *a, const music *m, pjd_sources *sources, mix_input *in, sep_state *s)
{
    const pjd_windows *w = &s->windows;
    size_t keep = w->overlap / 2, stems = s->stems;
    float *mix = calloc(w->length, sizeof *mix), *known = calloc(stems * (keep + 1), sizeof *known);
    float *found = calloc(stems * w->length, sizeof *found);
    solving at = {.windows = w->count, .first = s->done};
    int code = mix && known && found ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");
    size_t have = 0;

    for (size_t k = 0; k < w->count && code == CLI_DONE; k++) {
        memmove(mix, mix + (k ? w->hop : 0), have * sizeof *mix);
        code = mix_mono(in, mix + have, w->length - have);
        have = w->length - w->hop;
        if (code != CLI_DONE || k < s->done)
            continue;
        if (k > 0 && k == at.first)
            code = state_read(s, k - 1, found);
        for (size_t i = 0; i < stems && k > 0; i++)
            memcpy(known + i * keep, found + i * w->length + w->hop, keep * sizeof *known);
        at.window = k;
        if (code == CLI_DONE)
            code = solve(a, m, sources, &at, mix, w->length, known, k > 0 ? keep : 0, found);
        if (code == CLI_DONE)
            code = state_append(s, found);
        if (code == CLI_DONE && cli_interrupted())
            code = CLI_INTERRUPTED;
    }
    free(mix);
    free(known);
    free(found);
    return code;
}

/* Everything that decides the windows' content. */
static void make_key(const separate_args *a, const music *m, const mix_input *in, const pjd_windows *w, char *out,
                     size_t size)
{
    pjd_source_options o;
    int n;

    separate_options(a, m, &o);
    n = snprintf(out, size,
                 "projdiff separate 3 %s\nsound %zu %zu %u %016llx\nrate %u\nwindows %zu %zu %zu %zu\nsolver %d %zu "
                 "%zu %.17g %.17g %.17g %.17g %.17g\nseed %llu\nprecision %d\nmodel %s %s\n",
                 pjd_version(), in->info.frames, in->info.channels, in->info.rate, (unsigned long long)in->fingerprint,
                 m->rate, w->count, w->length, w->overlap, w->hop, a->solver, o.steps, o.repeats, o.step_size,
                 o.sigma_max, o.sigma_min, o.momentum, o.churn, (unsigned long long)a->seed, a->precision,
                 a->model ? a->model : "", a->model_config ? a->model_config : "");
    for (size_t i = 0; i < m->count && n >= 0 && (size_t)n < size; i++)
        n += snprintf(out + n, size - (size_t)n, "%s %llu\n", pjd_model_get_info(m->models[i])->family,
                      (unsigned long long)pjd_model_get_info(m->models[i])->parameters);
}

static int look_at_plot(const separate_args *a)
{
    char ext[16];

    cli_extension(a->plot, ext);
    if (strcmp(ext, "svg") != 0 && (!cli_writable_extension(ext) || !strcmp(ext, "npy")))
        return cli_error(CLI_USAGE, "--plot: expected a name that ends in .png or .svg, found \"%s\"", a->plot);
    if (access(a->plot, F_OK) == 0 && !a->overwrite && !a->skip_existing)
        return cli_error(CLI_USAGE, "%s: already exists (--overwrite, --skip-existing)", a->plot);
    return CLI_DONE;
}

/* Where the plot goes has to be there, unless it is the stems' folder, which is made. */
static int look_at_plot_folder(const separate_args *a)
{
    char copy[CLI_PATH_MAX], stems[CLI_PATH_MAX];
    const char *folder;
    size_t n;

    snprintf(copy, sizeof copy, "%s", a->plot);
    snprintf(stems, sizeof stems, "%s", a->output);
    for (n = strlen(stems); n > 1 && stems[n - 1] == '/'; n--)
        stems[n - 1] = '\0';
    folder = dirname(copy);
    if (access(folder, W_OK | X_OK) == 0 || (!strcmp(folder, stems) && access(stems, F_OK) != 0))
        return CLI_DONE;
    return cli_error(CLI_FAILED, "%s: its folder: %s", a->plot, strerror(errno));
}

/* 0: go on, 1: all there and to be skipped, 2: refused */
static int look_at_outputs(const separate_args *a, const music *m)
{
    size_t there = 0;
    char path[CLI_PATH_MAX], first[CLI_PATH_MAX] = "";

    for (size_t i = 0; i < m->stems; i++)
        if (!music_path(a->output, m->names[i], 0, 1, a->format ? "flac" : "wav", path, sizeof path)) {
            cli_error(CLI_USAGE, "-o: the name is too long");
            return 2;
        } else if (access(path, F_OK) == 0) {
            if (there++ == 0)
                memcpy(first, path, sizeof first);
        }
    if (a->plot && look_at_plot(a) != CLI_DONE)
        return 2;
    if (a->skip_existing && there == m->stems)
        return 1;
    if (there > 0 && !a->overwrite && !a->skip_existing) {
        cli_error(CLI_USAGE, "%s: already exists (--overwrite, --skip-existing)", first);
        return 2;
    }
    return 0;
}

static int work(const separate_args *a, const music *m, mix_input *in)
{
    sep_state s = {.fd = -1, .stems = m->stems, .length = in->length, .takes = 1};
    pjd_runner_options runner = separate_runner(a);
    pjd_sources *sources = NULL;
    pjd_source_options o;
    cli_estimate expected;
    char key[4000];
    pjd_error err;
    int code = music_windows(m, a->window, a->overlap, in->length, &s.windows);

    if (code == CLI_DONE)
        code = music_folder(a->output);
    if (code != CLI_DONE)
        return code;
    make_key(a, m, in, &s.windows, key, sizeof key);
    code = state_open(a->output, "separate.part", key, &s);
    if (code == CLI_DONE && s.done_before)
        cli_say("%zu of %zu windows are there from an earlier run", s.done, s.windows.count);
    cli_progress_start(a->input, 1, 1);
    if (code == CLI_DONE && s.done < s.windows.count) {
        if (pjd_sources_create(m->models, m->count, s.windows.length, &runner, &sources, &err) != PJD_OK)
            code = cli_fail(&err, NULL, false);
        else if (pjd_sources_count(sources) != m->stems)
            code = cli_error(CLI_MODEL, "-m: expected %zu stems, found %zu", m->stems, pjd_sources_count(sources));
        else {
            separate_options(a, m, &o);
            expected = cli_estimate_sources(sources, &o, false, s.windows.count - s.done);
            cli_estimate_tell(&expected);
            code = solve_windows(a, m, sources, in, &s);
        }
    }
    pjd_sources_free(sources);
    cli_progress_clear();
    if (code == CLI_DONE)
        code = separate_write(a, m, in, &s);
    if (code == CLI_DONE && a->plot)
        code = separate_plot(a, m, in);
    state_close(&s, code == CLI_DONE);
    return code;
}

int separate_sound(const separate_args *a, const music *m)
{
    mix_input in;
    int there = look_at_outputs(a, m), code = CLI_DONE;

    if (there == 0 && a->plot)
        code = look_at_plot_folder(a);
    if (code != CLI_DONE)
        return code;
    if (there == 1)
        cli_say("skipped, the outputs exist");
    if (there != 0)
        return there == 1 ? CLI_DONE : CLI_USAGE;
    code = mix_open(a->input, m->rate, &in);
    if (code == CLI_DONE)
        code = work(a, m, &in);
    mix_close(&in);
    return code;
}
