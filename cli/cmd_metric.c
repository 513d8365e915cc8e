/* SPDX-License-Identifier: MIT */
/* projdiff metric: how far an estimate is from a reference. */
#include "score.h"

typedef struct A {
    cli_args common;
    double range;
    bool align;
} A;

static const cli_option options[] = {
    CLI_OPT_RANGE(A),
    CLI_OPT_ALIGN(A),
};

static int run(const void *args)
{
    const A *a = args;
    cli_pair p;
    double value;
    int code = cli_pair_read(a->common.at[1], a->common.at[2], a->range, a->align, &p);

    if (code == CLI_DONE)
        code = cli_pair_score(&p, a->common.at[0], &value);
    if (code == CLI_DONE)
        printf("%.6f\n", value);
    cli_pair_free(&p);
    return code;
}

const cli_command cli_cmd_metric = {
    .name = "metric",
    .summary = "compare an estimate with a reference: psnr, ssim, mae, rmse, si-sdr",
    .synopsis = "psnr|ssim|mae|rmse|si-sdr ESTIMATE REFERENCE [--range R] [--align]",
    .description =
        "Prints one number on standard output; for arrays of several items, the mean over the items.\n\n"
        "psnr: 10 log10(range^2 / mse) in decibels, mse over all channels and pixels; inf for equal inputs. "
        "ssim: Wang et al. "
        "2004, 11x11 Gaussian window of deviation 1.5, K1 = 0.01, K2 = 0.03, windows inside the picture "
        "only, population "
        "moments, mean over channels and positions. mae, rmse: mean absolute and root mean squared error, "
        "divided by the "
        "range. The range is the one stated, never the data's own. "
        "si-sdr: scale-invariant signal-to-distortion ratio of recordings (WAV, FLAC, OGG, MP3) or arrays in "
        "decibels, Le Roux et al. 2019, mean over channels. "
        "Alpha is left out.",
    .examples = "projdiff metric psnr restored.png original.png\nprojdiff metric ssim a.npy b.npy --range 2\n"
                "projdiff metric si-sdr stems/bass.wav bass.wav",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .min_args = 3,
    .max_args = 3,
    .run = run,
};
