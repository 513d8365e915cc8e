/* SPDX-License-Identifier: MIT */
/* Stems that go with given ones, or a whole piece, window by window. The result is held in memory: it is as long as what
   was given, mono. */
#include "complete.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct composing {
    const compose_args *a;
    const music *m;
    float *given[MUSIC_STEMS]; /* [length], or NULL */
    float *piece;              /* [stems, padded]: of the take */
    size_t length, padded;
    pjd_windows windows;
    size_t take, window;
} composing;

static bool on_progress(void *user, size_t step, size_t steps, const float *x0)
{
    const composing *c = user;
    size_t windows = c->windows.count, at = c->take * windows + c->window;

    if (cli_interrupted())
        return false;
    cli_progress_step(at * steps + step, (size_t)c->a->takes * windows * steps);
    return true;
}

/* ---- given stems ---- */

static int read_given(const char *text, composing *c)
{
    size_t n = strcspn(text, "="), stem = music_find(c->m, text, n);
    mix_input in;
    int code;

    if (text[n] != '=' || text[n + 1] == '\0')
        return cli_error(CLI_USAGE, "--given: expected STEM=FILE, found \"%.80s\"", text);
    if (stem == c->m->stems)
        return cli_error(CLI_USAGE, "--given: the model has no stem \"%.*s\" (the first is \"%s\")",
                         (int)(n < 60 ? n : 60), text, c->m->names[0]);
    if (c->given[stem])
        return cli_error(CLI_USAGE, "--given: %s is given twice", c->m->names[stem]);
    code = mix_open(text + n + 1, c->m->rate, &in);
    if (code == CLI_DONE && c->length && in.length != c->length)
        code = cli_error(CLI_USAGE, "%s: expected the length of the other stems, %zu samples at %u Hz, found %zu",
                         text + n + 1, c->length, c->m->rate, in.length);
    if (code == CLI_DONE) {
        c->length = in.length;
        c->given[stem] = malloc(in.length * sizeof(float));
        code = c->given[stem] ? mix_mono(&in, c->given[stem], in.length) : cli_error(CLI_MEMORY, "out of memory");
    }
    mix_close(&in);
    return code;
}

/* ---- one window, one take ---- */

static int solve_window(composing *c, pjd_sources *s, float *stems, float *known, float *const *part)
{
    const pjd_windows *w = &c->windows;
    size_t from = c->window * w->hop, keep = c->window ? w->overlap / 2 : 0;
    const float *given[MUSIC_STEMS] = {0};
    pjd_source_options o;
    pjd_error err;

    for (size_t i = 0; i < c->m->stems; i++) {
        size_t n = from < c->length ? c->length - from : 0;

        memcpy(known + i * keep, c->piece + i * c->padded + from, keep * sizeof *known);
        if (!c->given[i])
            continue;
        n = n < w->length ? n : w->length;
        memcpy(part[i], c->given[i] + from, n * sizeof(float));
        memset(part[i] + n, 0, (w->length - n) * sizeof(float));
        given[i] = part[i];
    }
    pjd_source_options_init(&o);
    o.steps = (size_t)c->a->steps;
    o.repeats = (size_t)c->a->repeats;
    o.step_size = c->a->step_size;
    o.free_encoding = c->a->free_encoding;
    o.seed = music_seed(c->a->seed, c->window, c->take);
    o.known = keep ? known : NULL;
    o.known_length = keep;
    o.progress = on_progress;
    o.progress_user = c;
    o.log = (pjd_log){cli_verbose() ? cli_log : NULL, NULL};
    if (pjd_complete(s, given, &o, stems, NULL, &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    for (size_t i = 0; i < c->m->stems; i++) {
        if (c->window)
            pjd_crossfade(c->piece + i * c->padded + from, stems + i * w->length, w->overlap, w->overlap / 2);
        memcpy(c->piece + i * c->padded + from, stems + i * w->length, w->length * sizeof *stems);
    }
    return CLI_DONE;
}

static int write_stem(const composing *c, size_t stem)
{
    const compose_args *a = c->a;
    const float *x = c->piece + stem * c->padded;
    pjd_sound_info info = {.frames = c->length, .channels = 1, .rate = c->m->rate, .format = PJD_SOUND_PCM16};
    pjd_sound_writer *w = NULL;
    char path[CLI_PATH_MAX];
    pjd_error err;

    if (!music_path(a->output, c->m->names[stem], c->take, (size_t)a->takes, "wav", path, sizeof path))
        return cli_error(CLI_USAGE, "-o: the name is too long");
    if (a->skip_existing && access(path, F_OK) == 0)
        return CLI_DONE;
    for (size_t i = 0; i < c->length; i++)
        if (!(fabsf(x[i]) < 32767.5f / 32768))
            info.format = PJD_SOUND_FLOAT;
    if (info.format == PJD_SOUND_FLOAT)
        cli_say("%s exceeds full scale: it is written as 32-bit float, not clipped", path);
    if (pjd_sound_create(path, &info, a->overwrite, &w, &err) != PJD_OK)
        return cli_fail(&err, path, true);
    if (pjd_sound_write(w, x, c->length, &err) != PJD_OK) {
        pjd_sound_abort(w);
        return cli_fail(&err, path, true);
    }
    if (pjd_sound_commit(w, &err) != PJD_OK)
        return cli_fail(&err, path, true);
    cli_say("written: %s", path);
    return CLI_DONE;
}

static int run_takes(composing *c, pjd_sources *s)
{
    const pjd_windows *w = &c->windows;
    size_t stems = c->m->stems;
    float *found = malloc(stems * w->length * sizeof *found), *known = malloc(stems * w->length * sizeof *known);
    float *part[MUSIC_STEMS] = {0};
    int code = found && known ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");

    for (size_t i = 0; i < stems && code == CLI_DONE; i++)
        if (c->given[i] && !(part[i] = malloc(w->length * sizeof(float))))
            code = cli_error(CLI_MEMORY, "out of memory");
    for (c->take = 0; c->take < (size_t)c->a->takes && code == CLI_DONE; c->take++) {
        for (c->window = 0; c->window < w->count && code == CLI_DONE; c->window++)
            code = solve_window(c, s, found, known, part);
        cli_progress_clear();
        for (size_t i = 0; i < stems && code == CLI_DONE; i++)
            if (!c->given[i])
                code = write_stem(c, i);
    }
    for (size_t i = 0; i < stems; i++)
        free(part[i]);
    free(found);
    free(known);
    return code;
}

/* ---- the whole ---- */

/* Refused before any work; 1: all there and to be skipped. */
static int look_at_outputs(const composing *c, bool *skip)
{
    const compose_args *a = c->a;
    size_t there = 0, all = 0;
    char path[CLI_PATH_MAX];

    for (size_t take = 0; take < (size_t)a->takes; take++)
        for (size_t i = 0; i < c->m->stems; i++) {
            if (c->given[i])
                continue;
            all++;
            if (!music_path(a->output, c->m->names[i], take, (size_t)a->takes, "wav", path, sizeof path))
                return cli_error(CLI_USAGE, "-o: the name is too long");
            if (access(path, F_OK) != 0)
                continue;
            there++;
            if (!a->overwrite && !a->skip_existing)
                return cli_error(CLI_USAGE, "%s: already exists (--overwrite, --skip-existing)", path);
        }
    if (all == 0)
        return cli_error(CLI_USAGE, "all stems of the model are given: nothing is left to do");
    *skip = a->skip_existing && there == all;
    return CLI_DONE;
}

static int plan(composing *c)
{
    const music *m = c->m;
    size_t longest = (size_t)(c->a->window * m->rate), overlap = (size_t)(c->a->overlap * m->rate), all;
    pjd_error err;

    if (c->length == 0)
        c->length = (size_t)(c->a->seconds * m->rate);
    if (longest < 2 || overlap >= longest)
        return cli_error(CLI_USAGE, "--overlap: expected less than the window of %g s, found %g s", c->a->window,
                         c->a->overlap);
    if (pjd_windows_plan(c->length, longest, m->rate < longest ? m->rate : longest, overlap, m->multiple, &c->windows,
                         &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    c->padded = (c->windows.count - 1) * c->windows.hop + c->windows.length;
    if (__builtin_mul_overflow(c->padded, m->stems * sizeof(float), &all) || !(c->piece = calloc(1, all)))
        return cli_error(CLI_MEMORY, "out of memory");
    return CLI_DONE;
}

int compose(const compose_args *a, const music *m)
{
    pjd_runner_options runner = {.threads = (int)a->threads,
                                 .backend = (pjd_backend)a->backend,
                                 .precision = (pjd_precision)a->precision,
                                 .log = {cli_log, NULL}};
    composing c = {.a = a, .m = m};
    pjd_sources *sources = NULL;
    bool skip = false;
    pjd_error err;
    int code = CLI_DONE;

    for (size_t i = 0; i < a->given.count && code == CLI_DONE; i++)
        code = read_given(a->given.at[i], &c);
    if (code == CLI_DONE)
        code = look_at_outputs(&c, &skip);
    if (skip)
        cli_say("skipped, the outputs exist");
    if (code == CLI_DONE && !skip)
        code = plan(&c);
    if (code == CLI_DONE && !skip)
        code = music_folder(a->output);
    if (code == CLI_DONE && !skip) {
        cli_progress_start(a->output, 1, 1);
        if (pjd_sources_create(m->models, m->count, c.windows.length, &runner, &sources, &err) != PJD_OK)
            code = cli_fail(&err, NULL, false);
        else
            code = run_takes(&c, sources);
    }
    pjd_sources_free(sources);
    for (size_t i = 0; i < m->stems; i++)
        free(c.given[i]);
    free(c.piece);
    return code;
}
