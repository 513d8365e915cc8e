/* SPDX-License-Identifier: MIT */
/* projdiff complete: instruments that go with given ones. */
#include "complete.h"

typedef compose_args A;

static const cli_option options[] = {
    {"given", 0, CLI_LIST, offsetof(A, given), "STEM=FILE", "a stem that is there; may be given several times", 0, 0,
     NULL},
    {"output", 'o', CLI_TEXT, offsetof(A, output), "DIR", "folder of the new stems, made when missing", 0, 0, NULL},
    {"model", 'm', CLI_TEXT, offsetof(A, model), "MODEL",
     "one model of all stems, bass=FILE,drums=FILE,... or a folder with a model for each stem; default: the prior that "
     "ships. Stems of a joint model know of each other",
     0, 0, NULL},
    CLI_OPT_MODEL_CONFIG(A),
    {"stems", 0, CLI_TEXT, offsetof(A, stems), "NAME,...", "names of the stems; default: as the model tells", 0, 0,
     NULL},
    {"rate", 0, CLI_NUMBER, offsetof(A, rate), "HZ", "the model's rate; default: as it tells, else 22050",
     PJD_SOUND_MIN_RATE, PJD_SOUND_MAX_RATE, NULL},
    {"takes", 0, CLI_COUNT, offsetof(A, takes), "N", "how many; each differs by its seed; default 1", 1, 1000, NULL},
    {"no-restricted-encoding", 0, CLI_FLAG, offsetof(A, free_encoding), NULL, "fresh noise at every level, to compare",
     0, 0, NULL},
    {"steps", 0, CLI_COUNT, offsetof(A, steps), "N", "noise levels; default 256", 2, 100000, NULL},
    {"repeats", 0, CLI_COUNT, offsetof(A, repeats), "N", "network calls a level; default 1", 1, 1000, NULL},
    {"step-size", 0, CLI_NUMBER, offsetof(A, step_size), "L", "default 0.05", CLI_POSITIVE, CLI_NO_LIMIT, NULL},
    {"sigma-max", 0, CLI_NUMBER, offsetof(A, sigma_max), "S", "the highest noise level; default 20", 1e-3, 1000, NULL},
    {"sigma-min", 0, CLI_NUMBER, offsetof(A, sigma_min), "S", "the lowest; default 0.0001", 1e-9, 100, NULL},
    {"window", 0, CLI_NUMBER, offsetof(A, window), "SECONDS",
     "longest part that is solved at once; default: what the model was trained on, else 11.9", 0.1, 600, NULL},
    {"overlap", 0, CLI_NUMBER, offsetof(A, overlap), "SECONDS", "of windows; default 1.5, at most half a window", 0,
     300, NULL},
    CLI_OPT_SEED(A),
    CLI_OPT_PRECISION(A),
    CLI_OPT_BACKEND(A),
    CLI_OPT_THREADS(A),
    CLI_OPT_PROGRESS(A),
    CLI_OPT_SKIP(A),
    CLI_OPT_OVERWRITE(A),
};

static const A defaults = {.window = -1, .overlap = -1, .takes = 1};

static int run(const void *args)
{
    const A *a = args;
    music m = {0};
    int code;

    cli_progress_init(a->progress);
    if (!a->output)
        return cli_error(CLI_USAGE, "-o DIR is missing: where the new stems go");
    if (a->given.count == 0)
        return cli_error(CLI_USAGE, "--given STEM=FILE is missing: what is there already (else: projdiff sample)");
    cli_set_threads(a->threads);
    code = music_check_levels(a->sigma_min, a->sigma_max, 20);
    if (code != CLI_DONE)
        return code;
    code = music_open(a->model, a->model_config, a->stems, a->rate, true, &m);
    if (code == CLI_DONE)
        code = compose(a, &m);
    if (cli_interrupted()) {
        pjd_output_abort_all();
        code = CLI_INTERRUPTED;
    }
    music_close(&m);
    return code;
}

const cli_command cli_cmd_complete = {
    .name = "complete",
    .summary = "instruments that go with given ones",
    .synopsis = "[-m MODEL] --given STEM=FILE ... -o DIR [--takes N] [--seed N]",
    .description =
        "Invents the stems of the model that are not given, and writes each as <stem>.wav (<stem>-<take>.wav when "
        "there "
        "are several takes), mono at the model's rate. Given stems may have any rate and channels; their mean over the "
        "channels is used. A silent given stem leaves that instrument out. By default with Restricted Encoding: one "
        "noise "
        "for the whole run, without which given stems have little influence.\n\n"
        "Any length, in constant memory: finished windows are kept in DIR/complete.part until all takes are done, and "
        "the "
        "same command goes on after an interrupt.",
    .examples = "projdiff complete --given bass=bass.wav --given drums=drums.wav -o new --takes 3",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .defaults = &defaults,
    .run = run,
};
