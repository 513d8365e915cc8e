/* SPDX-License-Identifier: MIT */
/* separate on arrays at the model's rate: one window, nothing resampled, for parity and for other programs. */
#include <stdlib.h>
#include <string.h>

#include "separate.h"

typedef struct array_run {
    float *mix, *noise, *initial, *stems;
    size_t length, rank, noise_count;
    pjd_noise *source;
    pjd_sources *sources;
} array_run;

/* [L], [1,L] or [1,1,L] */
static int read_mix(const char *path, array_run *r)
{
    pjd_shape shape;
    pjd_error err;
    char text[128];

    if (pjd_npy_read(path, &r->mix, &shape, &err) != PJD_OK)
        return cli_fail(&err, path, false);
    if (!pjd_shape_count(&shape, &r->length) || shape.rank < 1 || shape.rank > 3 || r->length == 0 ||
        shape.dim[shape.rank - 1] != r->length)
        return cli_error(CLI_USAGE, "%s: expected one mono mix [1,1,length], found %s", path,
                         pjd_shape_text(&shape, text, sizeof text));
    r->rank = shape.rank;
    return CLI_DONE;
}

static int read_noise(const separate_args *a, size_t stems, array_run *r)
{
    pjd_shape shape;
    pjd_error err;
    size_t n = 0;

    if (a->noise && (pjd_npy_read(a->noise, &r->noise, &shape, &err) != PJD_OK ||
                     (pjd_shape_count(&shape, &n), pjd_noise_recorded(r->noise, n, &r->source, &err)) != PJD_OK))
        return cli_fail(&err, a->noise, false);
    r->noise_count = n;
    if (!a->initial_noise)
        return CLI_DONE;
    if (pjd_npy_read(a->initial_noise, &r->initial, &shape, &err) != PJD_OK)
        return cli_fail(&err, a->initial_noise, false);
    if (!pjd_shape_count(&shape, &n) || n != stems * r->length)
        return cli_error(CLI_USAGE, "%s: expected %zu stems of %zu samples, found %zu numbers", a->initial_noise, stems,
                         r->length, n);
    return CLI_DONE;
}

static bool on_progress(void *user, size_t step, size_t steps, const float *x0)
{
    cli_progress_step(step, steps);
    return !cli_interrupted();
}

/* The published program's recording of a run tells how many levels it had: it draws once to start, then once an evaluation;
   the first evaluation has its initial noise. 0: not told. */
static size_t recorded_steps(const separate_args *a, size_t stems, const array_run *r)
{
    size_t draws = r->noise_count / (stems * r->length), repeats = a->repeats ? (size_t)a->repeats : 5;

    if (a->steps || !a->compat || !r->initial || a->solver != 0 || draws < 2 * repeats || draws % repeats != 0)
        return 0;
    cli_say("%zu noise levels, as many as the recorded noise is for", draws / repeats);
    return draws / repeats;
}

static int solve(const separate_args *a, const music *m, array_run *r)
{
    size_t stems = m->stems, dim[3] = {1, stems, r->length};
    pjd_shape shape = r->rank == 3 ? pjd_shape_make(3, dim) : pjd_shape_make(2, dim + 1);
    pjd_source_options o;
    pjd_error err;

    separate_options(a, m, &o);
    if (o.steps == 0)
        o.steps = recorded_steps(a, stems, r);
    o.noise = r->source;
    o.initial_noise = r->initial;
    o.progress = on_progress;
    r->stems = malloc(stems * r->length * sizeof *r->stems);
    if (!r->stems)
        return cli_error(CLI_MEMORY, "out of memory");
    if (pjd_separate(r->sources, r->mix, &o, r->stems, NULL, &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    cli_progress_clear();
    if (pjd_npy_write(a->output, r->stems, &shape, a->overwrite, &err) != PJD_OK)
        return cli_fail(&err, a->output, true);
    return CLI_DONE;
}

int separate_array(const separate_args *a, const music *m)
{
    pjd_runner_options runner = separate_runner(a);
    cli_plan plan = {.input = a->input,
                     .outputs = {a->output},
                     .task = "separate",
                     .samples = 1,
                     .overwrite = a->overwrite,
                     .skip_existing = a->skip_existing};
    array_run r = {0};
    pjd_error err;
    int code;

    if (!cli_is_array_name(a->output) && strcmp(a->output, "-") != 0)
        return cli_error(CLI_USAGE, "-o: expected FILE.npy, as the input is an array");
    code = cli_plan_make(&plan);
    if (code == CLI_DONE && !plan.skipped) {
        runner.exact_size = a->compat;
        code = read_mix(a->input, &r);
        if (code == CLI_DONE)
            code = read_noise(a, m->stems, &r);
        if (code == CLI_DONE && pjd_sources_create(m->models, m->count, r.length, &runner, &r.sources, &err) != PJD_OK)
            code = cli_fail(&err, NULL, false);
        cli_progress_start(a->input, 1, 1);
        if (code == CLI_DONE)
            code = solve(a, m, &r);
    }
    pjd_sources_free(r.sources);
    pjd_noise_free(r.source);
    pjd_io_free(r.mix);
    pjd_io_free(r.noise);
    pjd_io_free(r.initial);
    free(r.stems);
    cli_plan_free(&plan);
    return code;
}
