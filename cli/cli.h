/* SPDX-License-Identifier: MIT */
/*
 * The command: what its files share. It knows the public headers only.
 *
 * A command is one file, cmd_<name>.c, that exports `const cli_command cli_cmd_<name>`, and one word in meson.build. Its
 * options are described once, in a table; parsing, --help, the man page and the completion come from that table.
 */
#ifndef PJD_CLI_H
#define PJD_CLI_H

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "projdiff/io.h"
#include "projdiff/projdiff.h"

#define CLI_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#define CLI_PATH_MAX 4096

/* ---- commands and options ---- */

typedef enum cli_type {
    CLI_FLAG = 0, /* bool */
    CLI_TEXT,     /* const char *, borrowed from argv */
    CLI_COUNT,    /* long */
    CLI_SEED,     /* uint64_t */
    CLI_NUMBER,   /* double, finite */
    CLI_CHOICE,   /* int, index into choices */
    CLI_LIST      /* cli_list: an option that may be given several times */
} cli_type;

enum { CLI_MAX_LIST = 64 };

typedef struct cli_list {
    size_t count;
    const char *at[CLI_MAX_LIST]; /* borrowed from argv */
} cli_list;

typedef struct cli_option {
    const char *name; /* long name, without the dashes */
    char letter;      /* short name, or 0 */
    cli_type type;
    size_t offset;        /* in the command's argument struct */
    const char *argument; /* "FILE"; NULL for flags */
    const char *help;
    double min, max;     /* of numbers and counts, inclusive */
    const char *choices; /* separated by |; of a number: the one word that stands for CLI_AUTO, or NULL */
} cli_option;

/* Limits with a meaning of their own: above 0, any size, below 1. */
#define CLI_POSITIVE DBL_MIN
#define CLI_NO_LIMIT DBL_MAX
#define CLI_BELOW_ONE (1 - DBL_EPSILON)
/* A number's value for its one word. */
#define CLI_AUTO (-2.0)

enum { CLI_MAX_POSITIONAL = 8 };

/* Every command's argument struct begins with this. */
typedef struct cli_args {
    int count;
    const char *at[CLI_MAX_POSITIONAL];
    bool help, version, verbose, quiet;
} cli_args;

typedef struct cli_command {
    const char *name;
    const char *summary;     /* one line */
    const char *synopsis;    /* what follows the command's name */
    const char *description; /* paragraphs separated by an empty line */
    const char *examples;    /* one command per line, or NULL */
    const cli_option *options;
    size_t option_count;
    size_t size;          /* of the argument struct */
    const void *defaults; /* an argument struct to start from, or NULL for zeros */
    int min_args, max_args;
    bool tasks; /* the first argument is a task: help lists them */
    int (*run)(const void *args);
} cli_command;

/* All commands of this build, NULL-terminated (generated from the folder's list). */
extern const cli_command *const cli_commands[];
/* -h --version -v -q, which every command has. */
extern const cli_option cli_common_options[];
extern const size_t cli_common_option_count;

/* Options that several commands have: described here once. `S` is the argument struct, which needs the field. */
#define CLI_OPT_INPUT(S, text)                                                                                         \
    {                                                                                                                  \
        "input", 'i', CLI_TEXT, offsetof(S, input), "FILE", text, 0, 0, NULL                                           \
    }
#define CLI_OPT_OUTPUT(S, text)                                                                                        \
    {                                                                                                                  \
        "output", 'o', CLI_TEXT, offsetof(S, output), "FILE", text, 0, 0, NULL                                         \
    }
#define CLI_OPT_MODEL(S)                                                                                               \
    {                                                                                                                  \
        "model", 'm', CLI_TEXT, offsetof(S, model), "MODEL",                                                           \
            "checkpoint (.safetensors, .pt, .pth, .ckpt) or folder in diffusers layout; default: the prior that "      \
            "ships",                                                                                                   \
            0, 0, NULL                                                                                                 \
    }
#define CLI_OPT_MODEL_CONFIG(S)                                                                                        \
    {                                                                                                                  \
        "model-config", 0, CLI_TEXT, offsetof(S, model_config), "KEY=VALUE,...",                                       \
            "hyper-parameters the checkpoint does not tell, in the original library's names", 0, 0, NULL               \
    }
#define CLI_OPT_THREADS(S)                                                                                             \
    {                                                                                                                  \
        "threads", 't', CLI_COUNT, offsetof(S, threads), "N",                                                          \
            "threads; default: all cores this process may use. Results do not depend on it", 1, 1024, NULL             \
    }
#define CLI_OPT_PRECISION(S)                                                                                           \
    {                                                                                                                  \
        "precision", 0, CLI_CHOICE, offsetof(S, precision), "default|exact|fast",                                      \
            "exact: direct convolution only; fast: a little less time for more memory", 0, 0, "default|exact|fast"     \
    }
#define CLI_OPT_BACKEND(S)                                                                                             \
    {                                                                                                                  \
        "backend", 0, CLI_CHOICE, offsetof(S, backend), "auto|c|onednn",                                               \
            "what computes the network; auto: the fastest", 0, 0, "auto|c|onednn"                                      \
    }
#define CLI_OPT_TILE(S)                                                                                                \
    {                                                                                                                  \
        "tile", 0, CLI_COUNT, offsetof(S, tile), "PIXELS",                                                             \
            "side of the overlapping tiles in which large pictures run; default: whole pictures up to a memory bound", \
            16, 65536, NULL                                                                                            \
    }
#define CLI_OPT_SEED(S)                                                                                                \
    {                                                                                                                  \
        "seed", 0, CLI_SEED, offsetof(S, seed), "N", "seed of the random numbers; the same seed gives the same bytes", \
            0, 0, NULL                                                                                                 \
    }
#define CLI_OPT_CLASS(S)                                                                                               \
    {                                                                                                                  \
        "class", 0, CLI_TEXT, offsetof(S, classes), "K[,K...]",                                                        \
            "class of a class-conditional model: one for all items, or one for each", 0, 0, NULL                       \
    }
#define CLI_OPT_OVERWRITE(S)                                                                                           \
    {                                                                                                                  \
        "overwrite", 0, CLI_FLAG, offsetof(S, overwrite), NULL, "replace files that exist", 0, 0, NULL                 \
    }
#define CLI_OPT_SKIP(S)                                                                                                \
    {                                                                                                                  \
        "skip-existing", 0, CLI_FLAG, offsetof(S, skip_existing), NULL, "leave out work whose output exists", 0, 0,    \
            NULL                                                                                                       \
    }
#define CLI_OPT_QUALITY(S)                                                                                             \
    {                                                                                                                  \
        "quality", 0, CLI_COUNT, offsetof(S, quality), "1..100", "of JPEG, WebP and the like; default: a good one", 1, \
            100, NULL                                                                                                  \
    }
#define CLI_OPT_FORMAT(S)                                                                                              \
    {                                                                                                                  \
        "format", 0, CLI_TEXT, offsetof(S, format), "EXT",                                                             \
            "extension of outputs whose name has none (-, folders); default: like the input", 0, 0, NULL               \
    }
#define CLI_OPT_PROGRESS(S)                                                                                            \
    {                                                                                                                  \
        "progress", 0, CLI_CHOICE, offsetof(S, progress), "auto|bar|json|none",                                        \
            "on standard error; auto: a bar when that is a terminal; json: one object a line", 0, 0,                   \
            "auto|bar|json|none"                                                                                       \
    }
#define CLI_OPT_MASK(S)                                                                                                \
    {                                                                                                                  \
        "mask", 0, CLI_TEXT, offsetof(S, mask), "FILE",                                                                \
            "mask picture or array of the task, drawn on the upright picture: white (above half) is missing", 0, 0,    \
            NULL                                                                                                       \
    }
#define CLI_OPT_MASK_INVERT(S)                                                                                         \
    {                                                                                                                  \
        "mask-invert", 0, CLI_FLAG, offsetof(S, mask_invert), NULL, "the mask's white is what is known", 0, 0, NULL    \
    }
#define CLI_OPT_NOISE_MODEL(S)                                                                                         \
    {                                                                                                                  \
        "noise-model", 0, CLI_TEXT, offsetof(S, noise_model), "MODEL",                                                 \
            "gaussian (default), or poisson:peak=P: the measurement is counts / P of gray values from 0 to 1 (a "      \
            "white "                                                                                                   \
            "pixel counts P on average)",                                                                              \
            0, 0, NULL                                                                                                 \
    }
#define CLI_OPT_GRAY_VALUES(S)                                                                                         \
    {                                                                                                                  \
        "gray-values", 0, CLI_FLAG, offsetof(S, gray_values), NULL,                                                    \
            "the measurement is of gray values from 0 (black) to 1 (white), as line integrals usually are, not of "    \
            "-1..1",                                                                                                   \
            0, 0, NULL                                                                                                 \
    }
#define CLI_OPT_KERNEL(S)                                                                                              \
    {                                                                                                                  \
        "kernel", 0, CLI_TEXT, offsetof(S, kernel), "FILE",                                                            \
            "blur kernel of the task: a gray picture (black is 0) or an array", 0, 0, NULL                             \
    }

/* Fill args (cmd->size bytes, defaults copied here) from the words after the command's name; an exit code, 0 when good. */
int cli_parse(const cli_command *cmd, int argc, char **argv, void *args);
/* "1" or "3,7": at most `max` whole numbers, not negative. Returns how many, 0 when it is no such list. */
size_t cli_parse_list(const char *text, int *out, size_t max);
bool cli_parse_number(const char *text, double *out);
/* "768x512": width and height from 1 to 65536. */
bool cli_parse_size(const char *text, size_t *w, size_t *h);

void cli_help(const cli_command *cmd); /* NULL: the program's own */
/* Hidden modes that write the man page (cmd NULL: of the program) and the shell completion. */
void cli_man(const cli_command *cmd);
void cli_completion(void);
/* Print `text` wrapped to 80 columns, every line indented; the first line continues at column `at`. */
void cli_wrap(FILE *f, const char *text, size_t indent, size_t at);

/* ---- messages and exit codes ---- */

enum {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_INPUT = 3,
    CLI_MODEL = 4,
    CLI_MEMORY = 5,
    CLI_PARTIAL = 6,
    CLI_INTERRUPTED = 130
};

void cli_set_command(const char *name);
void cli_set_levels(bool verbose, bool quiet);
bool cli_verbose(void);
bool cli_quiet(void);

/* "projdiff: COMMAND: text" on standard error; returns code. */
int cli_error(int code, const char *fmt, ...) PJD_PRINTF(2, 3);
void cli_warn(const char *fmt, ...) PJD_PRINTF(1, 2);
void cli_say(const char *fmt, ...) PJD_PRINTF(1, 2); /* not with -q */
void cli_log(void *user, pjd_log_level level, const char *line);

/* The one place where a status becomes an exit code. writing: the failure concerns an output. */
int cli_exit_code(pjd_status status, bool writing);
/* Report err (file, when given, is named unless the text already does) and return the exit code. */
int cli_fail(const pjd_error *err, const char *file, bool writing);

/* Threads of everything that runs in this process: 0 leaves the default. */
void cli_set_threads(long count);

/* ---- interrupts ---- */

void cli_signals_install(void);
bool cli_interrupted(void);

/* ---- the prior that ships ---- */

/* Where a prior that ships is ("photo", "music/isdm"); false when it is not found. */
bool cli_find_shipped(const char *kind, char *out, size_t size);
/* Open `path`, or without one the shipped prior; an exit code. */
int cli_model_open(const char *path, const char *config, pjd_model **out);

/* ---- pictures and arrays ---- */

typedef struct cli_media {
    const char *path; /* borrowed */
    float *data;      /* [n, c, h, w] */
    size_t n, c, h, w;
    size_t rank;           /* of an array as stored; 3 for pictures */
    bool array;            /* .npy */
    pjd_picture *picture;  /* what else a picture holds; NULL for arrays */
    pjd_picture_info info; /* of a picture */
} cli_media;

bool cli_is_array_name(const char *path);
/* Extensions (without the dot) of pictures and arrays. */
bool cli_readable_extension(const char *ext);
bool cli_writable_extension(const char *ext);
/* "png" of "a/b.PNG" in lower case; "" when there is none. out has at least 16 bytes. */
void cli_extension(const char *path, char out[16]);

/* Read a picture or array ("-": standard input). Non-finite values are refused. */
pjd_status cli_media_read(const char *path, cli_media *out, pjd_error *err);
void cli_media_free(cli_media *m);

/*
 * A measurement that is numbers, not a picture (task: whose): floating point as it stands in the file, where a picture's 0 and 1
 * are black and white. Of integers only 16-bit gray is taken, -1 to 1: photographs are refused.
 */
pjd_status cli_media_as_numbers(cli_media *m, const char *task, pjd_error *err);

typedef struct cli_write {
    bool overwrite;
    int quality;
    const char *format; /* for "-" */
    unsigned bits;      /* 0: like the source */
} cli_write;

/* By the name's extension; for "-" by o->format. */
bool cli_writes_array(const char *path, const cli_write *o);
/* What cli_media_write would refuse whatever the values are: to be asked before work that takes long. */
pjd_status cli_media_check(const char *path, const cli_media *like, size_t n, size_t c, size_t h, size_t w,
                           const cli_write *o, pjd_error *err);
/* Write [n, c, h, w] as an array of rank `rank`, or (n = 1, c = 1 or 3) as a picture, by the name's extension; "-" by
   o->format. like may be NULL. */
pjd_status cli_media_write(const char *path, const cli_media *like, const float *data, size_t n, size_t c, size_t h,
                           size_t w, size_t rank, const cli_write *o, pjd_error *err);

/* ---- tasks ---- */

typedef struct cli_task {
    char *text;    /* without its file parameters */
    char name[64]; /* "deblur+superres" */
    size_t parts;
    char first[32], last[32]; /* names of the first and the last part */
    bool numbers;             /* the measurement is no picture */
    struct cli_task_array {
        char name[24];
        char *path;        /* owned */
        const char *words; /* that the parameter takes in place of a file ("a|b"), or NULL */
        float *data;
        pjd_shape shape;
        size_t selected; /* masks: elements that are known */
        bool mask;
    } arrays[8];
    size_t array_count;
} cli_task;

/* Check the names and take the file parameters out; nothing is read yet. An exit code. */
int cli_task_parse(const char *text, const char *mask, const char *kernel, cli_task *out);
/* Read the files; masks become 1 = known. An exit code. */
int cli_task_load(cli_task *t, bool mask_invert);
/* Everything about it that no measurement's size can change, once the files are read. An exit code. */
int cli_task_check(const cli_task *t);
void cli_task_free(cli_task *t);
/* The arrays as the library wants them; out has room for 8. */
size_t cli_task_arrays(const cli_task *t, pjd_array *out);
/* The mask's array, or NULL. */
const struct cli_task_array *cli_task_mask(const cli_task *t);

/* ---- the task mri: complex files (.npy, BART's .cfl) as planes, real before imaginary part ---- */

bool cli_mri_task(const cli_task *t);
/* A composition with mri is refused. An exit code. */
int cli_mri_check(const cli_task *t);
/* cli_task_load for it: the mask is 1 where the file is not 0; maps are planes. An exit code. */
int cli_mri_load(cli_task *t);
/* [2 coils, h, w] of one slice. */
pjd_status cli_mri_read(const char *path, cli_media *out, pjd_error *err);
/* y becomes what the solver takes. */
pjd_status cli_mri_prepare(const cli_task *t, cli_media *y, pjd_mri **out, pjd_error *err);
void cli_mri_say(const pjd_mri *m);
/* A solution [2, h, w]: complex as .npy or .cfl, else its magnitude as a picture. */
pjd_status cli_mri_write(const char *path, const pjd_mri *m, const float *x, const cli_write *o, pjd_error *err);
/* What it would refuse whatever the values are. */
pjd_status cli_mri_check_output(const char *path, const pjd_mri *m, const cli_write *o, pjd_error *err);
/* A clean picture as planes, black 0 and white 1, or a complex array as it is. */
pjd_status cli_mri_read_clean(const char *path, cli_media *out, pjd_error *err);
/* y [2 c, h, w] <- 0 where the task's mask is. */
void cli_mri_hide(const cli_task *t, const pjd_shape *shape, float *y);
/* [2 c, h, w] as .npy or .cfl. */
pjd_status cli_mri_write_kspace(const char *path, const float *planes, size_t c, size_t h, size_t w, bool overwrite,
                                pjd_error *err);

/* ---- files in, files out ---- */

enum { CLI_MAX_OUTPUTS = 3 };

typedef struct cli_job {
    char *input;
    char *name;   /* of the input, without folder and extension */
    char ext[16]; /* that {ext} stands for */
    bool skip;    /* all its outputs exist already */
} cli_job;

/* What is asked for; the rest of the fields come from cli_plan_make. */
typedef struct cli_plan {
    const char *input;
    const char *outputs[CLI_MAX_OUTPUTS]; /* names or templates; NULL where not asked for */
    const char *task;                     /* that {task} stands for */
    const char *name;                     /* that {name} stands for when the input is "-"; NULL: "stdin" */
    const char *format;
    uint64_t seed;
    size_t samples; /* {n} is at least 1 .. samples */
    bool overwrite, skip_existing;
    bool complex; /* inputs are complex arrays, and outputs may be */

    cli_job *jobs;
    size_t count, skipped;
    bool batch; /* the input is a folder */
    char *owned[CLI_MAX_OUTPUTS];
} cli_plan;

/*
 * List the inputs and check all that can be known before work starts: inputs there, outputs distinct, in folders that
 * exist, of a known kind, none there already (unless asked). An output that is a folder becomes FOLDER/{name}.{ext}, made
 * when the input is a folder. An exit code; cli_plan_free in any case.
 */
int cli_plan_make(cli_plan *p);
void cli_plan_free(cli_plan *p);
/* The name that outputs[which] gives for a job and sample n (from 1); false when it is too long. */
bool cli_plan_name(const cli_plan *p, size_t which, const cli_job *job, size_t n, char *out, size_t size);
bool cli_has_field(const char *templ, const char *field); /* "{n}" */

/* ---- progress ---- */

enum { CLI_PROGRESS_AUTO = 0, CLI_PROGRESS_BAR, CLI_PROGRESS_JSON, CLI_PROGRESS_NONE };

void cli_progress_init(int wanted);
bool cli_progress_json(void);
/* A new run of `label` (a file); number of `total` runs. */
void cli_progress_start(const char *label, size_t number, size_t total);
void cli_progress_step(size_t step, size_t steps);
void cli_progress_clear(void); /* before anything else is written on the terminal */
/* What a run will take; not known for priors that are no networks, and not found out when nobody would see it. */
typedef struct cli_estimate {
    bool known;
    double seconds, bytes, calls; /* bytes: of the whole program */
} cli_estimate;
cli_estimate cli_estimate_solve(pjd_model *m, pjd_operator *op, const pjd_solve_options *o, size_t times);
cli_estimate cli_estimate_sample(pjd_model *m, const pjd_shape *item, const pjd_solve_options *o);
cli_estimate cli_estimate_sources(pjd_sources *s, const pjd_source_options *o, bool completing, size_t times);
void cli_estimate_tell(const cli_estimate *e);
/* "12 ms", "3.4 s", "5 min", "2.1 h" */
void cli_seconds_text(double seconds, char *out, size_t size);
/* Seconds of a clock that only goes forward. */
double cli_now(void);
/* "text" as a JSON string on f. */
void cli_json_string(FILE *f, const char *text);

#endif
