/* SPDX-License-Identifier: MIT */
/* projdiff convert: a checkpoint as one safetensors file. */
#include "cli.h"

#include <string.h>

typedef struct A {
    cli_args common;
    int precision;
    bool overwrite;
} A;

static const cli_option options[] = {
    {"precision", 0, CLI_CHOICE, offsetof(A, precision), "f32|f16|bf16",
     "type of the floating-point tensors; default: f32", 0, 0, "f32|f16|bf16"},
    CLI_OPT_OVERWRITE(A),
};

static const pjd_store_type stores[] = {PJD_STORE_F32, PJD_STORE_F16, PJD_STORE_BF16};

/* What is wrong with the checkpoint begins with its name; the rest concerns the output. */
static bool about(const char *path, const pjd_error *err)
{
    size_t n = strlen(path);

    return strncmp(err->text, path, n < 200 ? n : 200) == 0;
}

static int run(const void *args)
{
    const A *a = args;
    const char *path = a->common.at[0], *out = a->common.at[1], *temporary;
    pjd_log log = {cli_log, NULL};
    pjd_output *o = NULL;
    pjd_error err;
    char ext[16];
    int code;

    cli_extension(out, ext);
    if (strcmp(ext, "safetensors") != 0)
        return cli_error(CLI_USAGE, "%s: expected a name that ends in .safetensors", out);
    if (pjd_output_begin(out, a->overwrite, &o, &temporary, &err) != PJD_OK)
        return cli_fail(&err, out, true);
    if (pjd_checkpoint_convert(path, temporary, stores[a->precision], &log, &err) != PJD_OK) {
        bool writing = !about(path, &err);

        code = cli_fail(&err, writing ? out : path, writing);
        pjd_output_abort(o);
        return code;
    }
    if (cli_interrupted()) {
        pjd_output_abort(o);
        return cli_error(CLI_INTERRUPTED, "interrupted");
    }
    return pjd_output_commit(o, &err) == PJD_OK ? CLI_DONE : cli_fail(&err, out, true);
}

const cli_command cli_cmd_convert = {
    .name = "convert",
    .summary = "a checkpoint as one safetensors file",
    .synopsis = "MODEL OUT.safetensors [--precision f32|f16|bf16] [--overwrite]",
    .description =
        "Writes the tensors of any checkpoint that can be read, under the names that the network's original library "
        "uses: wrappers and their prefixes are taken off, averaged (EMA) weights are preferred, and each choice is "
        "said. Floating-point tensors are rounded to the nearest value of the precision, ties to even; one that is "
        "beyond it stops the conversion. Integers stay as they are. Nothing in the file is executed.\n\n"
        "The result holds tensors alone. A config.json and scheduler_config.json beside the checkpoint belong beside "
        "the result too.",
    .examples = "projdiff convert ffhq_10m.pt ffhq_10m.safetensors --precision f16",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
