/* SPDX-License-Identifier: MIT */
/* Stems that go with given ones, or a whole piece, window by window, in constant memory: finished windows wait in
   DIR/complete.part until every take is done. */
#include "complete.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 4096 };

typedef struct composing {
    const compose_args *a;
    const music *m;
    mix_input in[MUSIC_STEMS];
    bool given[MUSIC_STEMS];
    float *part[MUSIC_STEMS]; /* the window's piece of each given stem */
    size_t length, have;      /* have: samples of `part` that an earlier window shares */
    sep_state state;
    size_t take, window, first; /* first: finished windows of an earlier run */
} composing;

static bool on_progress(void *user, size_t step, size_t steps, const float *x0)
{
    const composing *c = user;
    size_t windows = c->state.windows.count, at = c->take * windows + c->window - c->first;

    if (cli_interrupted())
        return false;
    cli_progress_step(at * steps + step, ((size_t)c->a->takes * windows - c->first) * steps);
    return true;
}

/* ---- given stems ---- */

static int open_given(const char *text, composing *c)
{
    size_t n = strcspn(text, "="), stem = music_find(c->m, text, n);
    mix_input *in;
    int code;

    if (text[n] != '=' || text[n + 1] == '\0')
        return cli_error(CLI_USAGE, "--given: expected STEM=FILE, found \"%.80s\"", text);
    if (stem == c->m->stems)
        return cli_error(CLI_USAGE, "--given: the model has no stem \"%.*s\" (the first is \"%s\")",
                         (int)(n < 60 ? n : 60), text, c->m->names[0]);
    if (c->given[stem])
        return cli_error(CLI_USAGE, "--given: %s is given twice", c->m->names[stem]);
    in = &c->in[stem];
    c->given[stem] = true;
    code = mix_open(text + n + 1, c->m->rate, in);
    if (code == CLI_DONE && c->length && in->length != c->length)
        code = cli_error(CLI_USAGE, "%s: expected the length of the other stems, %zu samples at %u Hz, found %zu",
                         text + n + 1, c->length, c->m->rate, in->length);
    c->length = in->length;
    return code;
}

/* The next window's piece of every given stem. */
static int read_given(composing *c)
{
    const pjd_windows *w = &c->state.windows;
    int code = CLI_DONE;

    for (size_t i = 0; i < c->m->stems && code == CLI_DONE; i++) {
        if (!c->given[i])
            continue;
        if (c->window == 0)
            code = mix_rewind(&c->in[i]);
        else
            memmove(c->part[i], c->part[i] + w->hop, c->have * sizeof(float));
        if (code == CLI_DONE)
            code = mix_mono(&c->in[i], c->part[i] + c->have, w->length - c->have);
    }
    c->have = w->length - w->hop;
    return code;
}

/* ---- one window, one take ---- */

static pjd_source_options solve_options(const composing *c)
{
    pjd_source_options o;

    pjd_source_options_init(&o);
    o.steps = (size_t)c->a->steps;
    o.repeats = (size_t)c->a->repeats;
    o.step_size = c->a->step_size;
    o.sigma_max = c->a->sigma_max;
    o.sigma_min = c->a->sigma_min;
    o.free_encoding = c->a->free_encoding;
    return o;
}

/* known [stems, keep]: the start of the window, as the window before found it */
static int solve_window(composing *c, pjd_sources *s, const float *known, size_t keep, float *stems)
{
    const float *given[MUSIC_STEMS] = {0};
    pjd_source_options o;
    pjd_error err;

    for (size_t i = 0; i < c->m->stems; i++)
        given[i] = c->given[i] ? c->part[i] : NULL;
    o = solve_options(c);
    o.seed = music_seed(c->a->seed, c->window, c->take);
    o.known = keep ? known : NULL;
    o.known_length = keep;
    o.progress = on_progress;
    o.progress_user = c;
    o.log = (pjd_log){cli_verbose() ? cli_log : NULL, NULL};
    if (pjd_complete(s, given, &o, stems, NULL, &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    return CLI_DONE;
}

static int solve_take(composing *c, pjd_sources *s, float *known, float *found)
{
    const pjd_windows *w = &c->state.windows;
    size_t keep = w->overlap / 2, record = c->take * w->count;
    int code = CLI_DONE;

    c->have = 0;
    for (c->window = 0; c->window < w->count && code == CLI_DONE; c->window++, record++) {
        code = read_given(c);
        if (code != CLI_DONE || record < c->state.done)
            continue;
        if (c->window > 0 && record == c->first)
            code = state_read(&c->state, record - 1, found);
        for (size_t i = 0; i < c->m->stems && c->window > 0; i++)
            memcpy(known + i * keep, found + i * w->length + w->hop, keep * sizeof *known);
        if (code == CLI_DONE)
            code = solve_window(c, s, known, c->window ? keep : 0, found);
        if (code == CLI_DONE)
            code = state_append(&c->state, found);
        if (code == CLI_DONE && cli_interrupted())
            code = CLI_INTERRUPTED;
    }
    return code;
}

static int solve(composing *c)
{
    const pjd_windows *w = &c->state.windows;
    pjd_runner_options runner = {.threads = (int)c->a->threads,
                                 .backend = (pjd_backend)c->a->backend,
                                 .precision = (pjd_precision)c->a->precision,
                                 .log = {cli_log, NULL}};
    size_t takes = (size_t)c->a->takes, stems = c->m->stems;
    float *found = malloc(stems * w->length * sizeof *found), *known = malloc(stems * w->length * sizeof *known);
    pjd_sources *sources = NULL;
    pjd_error err;
    int code = found && known ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");

    for (size_t i = 0; i < stems && code == CLI_DONE; i++)
        if (c->given[i] && !(c->part[i] = malloc(w->length * sizeof(float))))
            code = cli_error(CLI_MEMORY, "out of memory");
    if (code == CLI_DONE && pjd_sources_create(c->m->models, c->m->count, w->length, &runner, &sources, &err) != PJD_OK)
        code = cli_fail(&err, NULL, false);
    if (code == CLI_DONE) {
        pjd_source_options o = solve_options(c);
        cli_estimate e = cli_estimate_sources(sources, &o, true, takes * w->count - c->state.done);

        cli_estimate_tell(&e);
    }
    for (c->take = c->state.done / w->count; c->take < takes && code == CLI_DONE; c->take++)
        code = solve_take(c, sources, known, found);
    pjd_sources_free(sources);
    for (size_t i = 0; i < stems; i++)
        free(c->part[i]);
    free(found);
    free(known);
    return code;
}

/* ---- files ---- */

typedef struct take_files {
    pjd_sound_writer *writer[MUSIC_STEMS]; /* NULL: not written in this pass */
    bool loud[MUSIC_STEMS];                /* exceeded full scale in the first pass */
} take_files;

static int create_files(const composing *c, size_t take, bool second, take_files *f)
{
    const compose_args *a = c->a;
    pjd_sound_info info = {
        .frames = c->length, .channels = 1, .rate = c->m->rate, .format = second ? PJD_SOUND_FLOAT : PJD_SOUND_PCM16};
    char path[CLI_PATH_MAX];
    pjd_error err;

    for (size_t i = 0; i < c->m->stems; i++) {
        f->writer[i] = NULL;
        if (c->given[i] || (second && !f->loud[i]))
            continue;
        if (!music_path(a->output, c->m->names[i], take, (size_t)a->takes, "wav", path, sizeof path))
            return cli_error(CLI_USAGE, "-o: the name is too long");
        if (a->skip_existing && access(path, F_OK) == 0)
            continue;
        if (second)
            cli_say("%s exceeds full scale: it is written as 32-bit float, not clipped", path);
        if (pjd_sound_create(path, &info, a->overwrite, &f->writer[i], &err) != PJD_OK)
            return cli_fail(&err, path, true);
    }
    return CLI_DONE;
}

static int fill_files(const composing *c, size_t take, take_files *f)
{
    size_t stems = c->m->stems, got = 1;
    float *frames = malloc(BLOCK * stems * sizeof *frames), *line = malloc(BLOCK * sizeof *line);
    sep_join join;
    pjd_error err;
    int code = join_open(&c->state, take, &join);

    if (code == CLI_DONE && !(frames && line))
        code = cli_error(CLI_MEMORY, "out of memory");
    while (code == CLI_DONE && got > 0) {
        code = join_frames(&join, frames, BLOCK, &got);
        for (size_t i = 0; i < stems && code == CLI_DONE; i++) {
            if (!f->writer[i])
                continue;
            for (size_t k = 0; k < got; k++)
                line[k] = frames[k * stems + i];
            if (pjd_sound_write(f->writer[i], line, got, &err) != PJD_OK)
                code = cli_fail(&err, NULL, true);
        }
    }
    join_close(&join);
    free(frames);
    free(line);
    return code;
}

/* As 16 bit; what does not fit, a second time as float. */
static int write_take(const composing *c, size_t take)
{
    take_files f = {0};
    bool again = true;
    pjd_error err;
    int code = CLI_DONE;

    for (int pass = 0; pass < 2 && again && code == CLI_DONE; pass++) {
        again = false;
        code = create_files(c, take, pass == 1, &f);
        if (code == CLI_DONE)
            code = fill_files(c, take, &f);
        for (size_t i = 0; i < c->m->stems && code == CLI_DONE; i++) {
            if (!f.writer[i])
                continue;
            f.loud[i] = pass == 0 && pjd_sound_clipped(f.writer[i]) > 0;
            again |= f.loud[i];
            if (f.loud[i])
                continue;
            if (pjd_sound_commit(f.writer[i], &err) != PJD_OK)
                code = cli_fail(&err, NULL, true);
            f.writer[i] = NULL;
        }
        for (size_t i = 0; i < c->m->stems; i++)
            pjd_sound_abort(f.writer[i]);
    }
    return code;
}

/* ---- the whole ---- */

/* Refused before any work; *skip: all there and to be skipped. */
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

/* Everything that decides the windows' content. */
static void make_key(const composing *c, char *out, size_t size)
{
    const compose_args *a = c->a;
    const pjd_windows *w = &c->state.windows;
    int n = snprintf(
        out, size,
        "projdiff complete 2 %s\nrate %u\nwindows %zu %zu %zu %zu %zu\nsolver %ld %ld %.17g %.17g %.17g %d\n"
        "seed %llu\nprecision %d\nmodel %s %s\n",
        pjd_version(), c->m->rate, c->length, w->count, w->length, w->overlap, w->hop, a->steps, a->repeats,
        a->step_size, a->sigma_max, a->sigma_min, a->free_encoding, (unsigned long long)a->seed, a->precision,
        a->model ? a->model : "", a->model_config ? a->model_config : "");

    for (size_t i = 0; i < c->m->stems && n >= 0 && (size_t)n < size; i++)
        n += snprintf(out + n, size - (size_t)n, "%s %d %016llx\n", c->m->names[i], c->given[i],
                      (unsigned long long)c->in[i].fingerprint);
    for (size_t i = 0; i < c->m->count && n >= 0 && (size_t)n < size; i++)
        n += snprintf(out + n, size - (size_t)n, "%s %llu\n", pjd_model_get_info(c->m->models[i])->family,
                      (unsigned long long)pjd_model_get_info(c->m->models[i])->parameters);
}

static int work(composing *c)
{
    sep_state *s = &c->state;
    char key[4000];
    int code;

    if (c->length == 0)
        c->length = (size_t)(c->a->seconds * c->m->rate);
    *s = (sep_state){.fd = -1, .stems = c->m->stems, .length = c->length, .takes = (size_t)c->a->takes};
    code = music_windows(c->m, c->a->window, c->a->overlap, c->length, &s->windows);
    if (code == CLI_DONE)
        code = music_folder(c->a->output);
    if (code != CLI_DONE)
        return code;
    make_key(c, key, sizeof key);
    code = state_open(c->a->output, "complete.part", key, s);
    c->first = s->done;
    if (code == CLI_DONE && s->done_before)
        cli_say("%zu of %zu windows are there from an earlier run", s->done, s->windows.count * s->takes);
    cli_progress_start(c->a->output, 1, 1);
    if (code == CLI_DONE && s->done < s->windows.count * s->takes)
        code = solve(c);
    cli_progress_clear();
    for (size_t take = 0; take < s->takes && code == CLI_DONE; take++)
        code = write_take(c, take);
    if (code == CLI_DONE)
        cli_say("written: %ld take(s) in %s", c->a->takes, c->a->output);
    state_close(s, code == CLI_DONE);
    return code;
}

int compose(const compose_args *a, const music *m)
{
    composing *c = calloc(1, sizeof *c);
    bool skip = false;
    int code = c ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");

    if (!c)
        return code;
    c->a = a;
    c->m = m;
    for (size_t i = 0; i < a->given.count && code == CLI_DONE; i++)
        code = open_given(a->given.at[i], c);
    if (code == CLI_DONE)
        code = look_at_outputs(c, &skip);
    if (skip)
        cli_say("skipped, the outputs exist");
    if (code == CLI_DONE && !skip)
        code = work(c);
    for (size_t i = 0; i < m->stems; i++)
        if (c->given[i])
            mix_close(&c->in[i]);
    free(c);
    return code;
}
