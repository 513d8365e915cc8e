/* SPDX-License-Identifier: MIT */
/* projdiff separate: a mix into its instruments. */
#include "separate.h"

#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

typedef separate_args A;

static const cli_option options[] = {
    CLI_OPT_INPUT(A, "the mix: WAV, FLAC, OGG, MP3; or a .npy array at the model's rate; \"-\": standard input"),
    {"output", 'o', CLI_TEXT, offsetof(A, output), "DIR", "folder of the stems, made when missing (an array: FILE.npy)",
     0, 0, NULL},
    {"model", 'm', CLI_TEXT, offsetof(A, model), "MODEL",
     "one model of all stems, bass=FILE,drums=FILE,... or a folder with a model for each stem; default: the prior that "
     "ships",
     0, 0, NULL},
    CLI_OPT_MODEL_CONFIG(A),
    {"stems", 0, CLI_TEXT, offsetof(A, stems), "NAME,...", "names of the stems; default: as the model tells", 0, 0,
     NULL},
    {"rate", 0, CLI_NUMBER, offsetof(A, rate), "HZ", "the model's rate; default: as it tells, else 22050",
     PJD_SOUND_MIN_RATE, PJD_SOUND_MAX_RATE, NULL},
    {"solver", 0, CLI_CHOICE, offsetof(A, solver), "projdiff|dirac|gaussian",
     "method; dirac and gaussian are the samplers of Mariani et al. 2023, to compare", 0, 0, "projdiff|dirac|gaussian"},
    {"steps", 0, CLI_COUNT, offsetof(A, steps), "N",
     "noise levels; default: what recorded noise is for, else (projdiff) what suits the model, else 150", 2, 100000,
     NULL},
    {"repeats", 0, CLI_COUNT, offsetof(A, repeats), "N",
     "network calls a level; default: (projdiff) what suits the model, else 5 (dirac, gaussian: 2)", 1, 1000, NULL},
    {"step-size", 0, CLI_NUMBER, offsetof(A, step_size), "L", "of projdiff; default 0.5 / repeats", CLI_POSITIVE,
     CLI_NO_LIMIT, NULL},
    {"momentum", 0, CLI_NUMBER, offsetof(A, momentum), "B", "of projdiff; default 0.5", 0, 0.999, NULL},
    {"sigma-max", 0, CLI_NUMBER, offsetof(A, sigma_max), "S",
     "the highest noise level; default: what suits the model, else 1", 1e-3, 1000, NULL},
    {"sigma-min", 0, CLI_NUMBER, offsetof(A, sigma_min), "S", "the lowest; default: what suits the model, else 0.0001",
     1e-9, 100, NULL},
    {"churn", 0, CLI_NUMBER, offsetof(A, churn), "S",
     "of dirac and gaussian: noise added before a step; default 40 (dirac with one joint model 20)", 0, 1e6, NULL},
    {"window", 0, CLI_NUMBER, offsetof(A, window), "SECONDS",
     "longest part that is solved at once; default: what the model was trained on, else 11.9", 0.1, 600, NULL},
    {"overlap", 0, CLI_NUMBER, offsetof(A, overlap), "SECONDS",
     "of windows; the second half of it is cross-faded; default 1.5, at most half a window", 0, 300, NULL},
    CLI_OPT_SEED(A),
    {"format", 0, CLI_CHOICE, offsetof(A, format), "wav|flac", "of the stems; default wav", 0, 0, "wav|flac"},
    {"compat", 0, CLI_CHOICE, offsetof(A, compat), "none|reference",
     "reference: the published program, to the letter (arrays only)", 0, 0, "none|reference"},
    {"noise", 0, CLI_TEXT, offsetof(A, noise), "FILE.npy", "recorded draws instead of a seed (arrays only)", 0, 0,
     NULL},
    {"initial-noise", 0, CLI_TEXT, offsetof(A, initial_noise), "FILE.npy",
     "with --compat reference: what the first evaluation sees (arrays only)", 0, 0, NULL},
    {"plot", 0, CLI_TEXT, offsetof(A, plot), "FILE.png|svg", "a picture of the waveforms and spectrograms", 0, 0, NULL},
    CLI_OPT_PRECISION(A),
    CLI_OPT_BACKEND(A),
    CLI_OPT_THREADS(A),
    CLI_OPT_PROGRESS(A),
    CLI_OPT_SKIP(A),
    CLI_OPT_OVERWRITE(A),
};

static const A defaults = {.window = -1, .overlap = -1, .momentum = -1, .churn = -1};

void separate_options(const separate_args *a, const music *m, pjd_source_options *o)
{
    static const char *const names[] = {"projdiff", "dirac", "gaussian"};

    pjd_source_options_init(o);
    o->solver = names[a->solver];
    o->steps = (size_t)a->steps;
    o->repeats = (size_t)a->repeats;
    if (a->solver == 0 && !a->compat && !a->noise) {
        o->steps = o->steps ? o->steps : m->steps;
        o->repeats = o->repeats ? o->repeats : m->repeats;
    }
    o->step_size = a->step_size;
    o->momentum = a->momentum;
    /* the published program's levels do not depend on the model */
    o->sigma_max = a->sigma_max > 0 || a->compat ? a->sigma_max : m->sigma_max;
    o->sigma_min = a->sigma_min > 0 || a->compat ? a->sigma_min : m->sigma_min;
    o->churn = a->churn;
    o->seed = a->seed;
    o->compat = a->compat ? PJD_COMPAT_REFERENCE : PJD_COMPAT_NONE;
    o->log = (pjd_log){cli_verbose() ? cli_log : NULL, NULL};
}

pjd_runner_options separate_runner(const separate_args *a)
{
    return (pjd_runner_options){.threads = (int)a->threads,
                                .backend = (pjd_backend)a->backend,
                                .precision = (pjd_precision)a->precision,
                                .log = {cli_log, NULL}};
}

static int run(const void *args)
{
    const A *a = args;
    music m = {0};
    pjd_source_options o;
    bool array;
    int code;

    cli_progress_init(a->progress);
    if (!a->input || !a->output)
        return cli_error(CLI_USAGE, a->input ? "-o DIR is missing: where the stems go" : "-i FILE is missing: the mix");
    array = cli_is_array_name(a->input);
    if (!array && (a->compat || a->noise || a->initial_noise))
        return cli_error(CLI_USAGE, "--compat, --noise and --initial-noise need an array (.npy) as input");
    if (!array && !strcmp(a->output, "-"))
        return cli_error(CLI_USAGE, "-o: expected a folder; several files do not go to standard output");
    cli_set_threads(a->threads);
    code = music_open(a->model, a->model_config, a->stems, a->rate, false, &m);
    separate_options(a, &m, &o);
    if (code == CLI_DONE) /* before anything is written */
        code = music_check_levels(o.sigma_min, o.sigma_max, 1);
    if (code == CLI_DONE)
        code = array ? separate_array(a, &m) : separate_sound(a, &m);
    if (cli_interrupted()) {
        pjd_output_abort_all();
        code = CLI_INTERRUPTED;
    }
    music_close(&m);
    return code;
}

const cli_command cli_cmd_separate = {
    .name = "separate",
    .summary = "a mix into its instruments",
    .synopsis = "[-m MODEL] -i MIX -o DIR [--solver NAME] [--steps N] [--seed N]",
    .description =
        "Writes one <stem>.wav for each stem of the model, with the rate, the channels, the sample format and the "
        "exact number of samples of the mix. The model works in mono at its own rate; unless the mix is just that, "
        "each channel of the mix is divided by the stems' shares in time and frequency. The stems sum to the mix; only "
        "those of --solver gaussian, in mono at the model's rate, do not quite. Nothing is clipped or scaled: when a "
        "stem exceeds full scale, all are written as 32-bit float.\n\n"
        "A mix of any length is solved in windows, in constant memory. Finished windows are kept in DIR/separate.part "
        "until all is done: the same command goes on after an interrupt.",
    .examples = "projdiff separate -i song.flac -o stems\n"
                "projdiff separate -m bass=b.ckpt,drums=d.ckpt -i song.wav -o stems --steps 50",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .defaults = &defaults,
    .run = run,
};
