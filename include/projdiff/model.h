/* SPDX-License-Identifier: MIT */
/*
 * Models: diffusion priors.
 *
 * A pjd_model is a prior together with its noise schedule: a network read from a checkpoint, an
 * analytic distribution (for exact tests), or the caller's own callback. All look the same to a
 * solver. A model is immutable after creation, reference-counted, and may be shared by threads.
 * A pjd_runner is a model planned for one batch size and item shape; it owns every buffer that
 * running needs, allocates nothing while running, and belongs to one thread at a time.
 *
 * Convention (variance preserving, "VP"): x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) z, z ~ N(0, I),
 * t = 0 .. T-1, abar decreasing in t (Ho et al. 2020, eq. 4). Audio priors are trained on the same thing in another
 * scale, x = x0 + sigma z ("VE", Karras et al. 2022): every model can be asked in both.
 */
#ifndef PROJDIFF_MODEL_H
#define PROJDIFF_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "projdiff/noise.h"
#include "projdiff/status.h"
#include "projdiff/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pjd_model pjd_model;
typedef struct pjd_runner pjd_runner;

/* What the network was trained to predict (Salimans & Ho 2022, section 4). */
typedef enum pjd_prediction { PJD_PREDICT_EPS = 0, PJD_PREDICT_X0, PJD_PREDICT_V } pjd_prediction;

typedef enum pjd_backend {
    PJD_BACKEND_AUTO = 0, /* the fastest in this build */
    PJD_BACKEND_C,        /* plain C: the definition every other backend is compared with */
    PJD_BACKEND_ONEDNN
} pjd_backend;

typedef enum pjd_precision {
    PJD_PRECISION_DEFAULT = 0,
    PJD_PRECISION_EXACT, /* direct convolution only */
    PJD_PRECISION_FAST   /* Winograd where it is quicker, whatever memory its weights take */
} pjd_precision;

typedef struct pjd_model_options {
    const char *config; /* "key=value,..." in the original libraries' names, overrides what is inferred; or NULL */
    pjd_log log;        /* choices made while loading (wrapper stripped, EMA taken, schedule assumed) */
} pjd_model_options;

/* Open a checkpoint file (.safetensors, .pt, .pth, .ckpt) or a folder (diffusers layout).
   opt may be NULL. Executes nothing from the file. On failure *out is NULL.
   PJD_ERR_IO: not there or unreadable; PJD_ERR_MODEL: not a usable model, with the reason. */
PJD_API pjd_status pjd_model_open(const char *path, const pjd_model_options *opt, pjd_model **out, pjd_error *err);

/* Floating-point type of a converted checkpoint. */
typedef enum pjd_store_type { PJD_STORE_F32 = 0, PJD_STORE_F16, PJD_STORE_BF16 } pjd_store_type;

/* Write the tensors of a checkpoint (what pjd_model_open takes, of any network) as one safetensors file: names without
   wrapper prefixes, averaged weights where there are both, integers as they are, the rest rounded to nearest, ties to
   even. `out` must not exist or be empty (PJD_ERR_EXISTS), and is gone after a failure; a process that is killed may
   leave a file that no reader takes (see pjd_output_begin in io.h for a name to write to meanwhile). log may be NULL.
   PJD_ERR_IO, PJD_ERR_MODEL as in pjd_model_open, their texts beginning with `path`; PJD_ERR_ARG: a value beyond the
   type, naming the tensor; PJD_ERR_IO with another text: `out` cannot be written. */
PJD_API pjd_status pjd_checkpoint_convert(const char *path, const char *out, pjd_store_type store, const pjd_log *log,
                                          pjd_error *err);

PJD_API pjd_model *pjd_model_ref(pjd_model *m);
PJD_API void pjd_model_unref(pjd_model *m); /* NULL is fine */

typedef struct pjd_model_info {
    const char *family;    /* "diffusers UNet2DModel", "guided-diffusion UNetModel", "gaussian", ... */
    const char *container; /* "safetensors", "torch zip", "" for priors that are not files */
    uint64_t parameters;   /* number of weights; 0 for priors that are not networks */
    size_t in_channels;    /* of the network; an item has this many channels */
    size_t out_channels;   /* of the raw network output (2x in_channels when the variance is learned) */
    size_t multiple;       /* spatial sizes the network takes are multiples of this; a runner pads for you */
    size_t num_classes;    /* 0: unconditional */
    pjd_prediction prediction;
    size_t timesteps;             /* T */
    const char *schedule;         /* "linear 0.0001..0.02" */
    double range_low, range_high; /* range of clean data: -1, 1 for pictures; 0, 0 when unbounded */
    double sigma_scale;           /* user sigma (0..1 scale) times this is sigma in the model's units: 2 for pictures */
    bool sequence;                /* items are [c, 1, length] (or [c, length]); `multiple` is the length's alone */
    bool preconditioned;          /* the network itself is told ln(sigma)/4 (EDM): raw outputs take that as t */
    double sample_rate;           /* of a sequence, in Hz; 0: unknown */
    size_t window;                /* of a sequence: samples of the training's items; 0: unknown */
    double separate_sigma_min, separate_sigma_max; /* noise levels that suit it to separate a mix; 0: not told */
    size_t separate_steps, separate_repeats;       /* as many levels, and calls at each; 0: not told */
    size_t stem_count;                             /* names of the channels of a music prior; 0: unnamed */
    const char *const *stems;                      /* [stem_count] "bass", "drums", ... */
    bool fixed_size;                               /* the item shape is fixed (analytic priors) */
    pjd_shape item;                                /* the shape when fixed */
} pjd_model_info;

/* Valid as long as the model. */
PJD_API const pjd_model_info *pjd_model_get_info(const pjd_model *m);

/* "key: value" lines telling each hyper-parameter and where it came from ("config", "inferred",
   "table", "option"), one per call, i = 0, 1, ... until NULL. Valid as long as the model. */
PJD_API const char *pjd_model_detail(const pjd_model *m, size_t i);

/* abar_t for a possibly fractional t in [0, T-1] (log-SNR interpolated linearly between integers). */
PJD_API double pjd_model_abar(const pjd_model *m, double t);
/* The fractional t whose abar is the given one, clamped to [0, T-1]. */
PJD_API double pjd_model_t_of_abar(const pjd_model *m, double abar);

/* ---- running ---- */

typedef struct pjd_runner_options {
    int threads; /* 0: all cores this process may use */
    pjd_backend backend;
    pjd_precision precision;
    size_t tile;         /* side of overlapping feathered tiles in pixels; 0: decided from tile_memory */
    size_t memory_limit; /* bytes for one plan's activations when tile is 0; 0: a default of 1 GiB */
    const int *classes;  /* batch class labels, copied; NULL for unconditional models */
    pjd_log log;
    bool exact_size; /* pad to the network's multiple alone; else sides below 32 become 32 or more, because
                               networks are not trained on slivers */
} pjd_runner_options;

/* Plan the model for `batch` items of shape `item` ([c,h,w]; any h, w >= 1: padded by reflection to the
   network's multiple, or cut into tiles, inside). opt may be NULL. The runner keeps a reference to m. */
PJD_API pjd_status pjd_runner_create(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                                     pjd_runner **out, pjd_error *err);

/* Clean estimate D(x_t, t) = E[x0 | x_t]: x and x0 are [batch, item], may be the same buffer.
   Fails only for PJD_ERR_BACKEND and PJD_ERR_NONFINITE. */
PJD_API pjd_status pjd_runner_denoise(pjd_runner *r, const float *x, double t, float *x0, pjd_error *err);

/* Clean estimate E[x0 | x] of x = x0 + sigma z in the model's units, sigma > 0: the same prior, asked in the
   variance-exploding form. x and x0 are [batch, item], may be the same buffer. PJD_ERR_ARG for a sigma that is not a
   finite number above 0; otherwise as pjd_runner_denoise. */
PJD_API pjd_status pjd_runner_denoise_sigma(pjd_runner *r, const float *x, double sigma, float *x0, pjd_error *err);

/* The network's raw output [batch, out_channels, h, w]; only for networks (PJD_ERR_UNSUPPORTED otherwise). */
PJD_API pjd_status pjd_runner_raw(pjd_runner *r, const float *x, double t, float *out, pjd_error *err);

typedef struct pjd_runner_stats {
    uint64_t calls;      /* network evaluations, a tiled evaluation counts its tiles */
    double seconds;      /* wall time spent inside the network */
    size_t arena_bytes;  /* activations */
    size_t weight_bytes; /* packed weights */
    size_t tiles;        /* per evaluation and item: 1 when not tiled */
} pjd_runner_stats;
PJD_API void pjd_runner_get_stats(const pjd_runner *r, pjd_runner_stats *out);
PJD_API void pjd_runner_free(pjd_runner *r); /* NULL is fine */

/* What a runner would take on this machine while nothing else runs on it. */
typedef struct pjd_estimate {
    double seconds; /* one evaluation of the batch, all its tiles */
    size_t tiles;   /* an evaluation is this many calls of the network */
    size_t activation_bytes;
    size_t weight_bytes; /* packed weights, and a converted copy of those a file stores in another form */
    size_t bytes;        /* all that the runner holds */
} pjd_estimate;

/*
 * Before pjd_runner_create with the same arguments: the shapes of the plan, no weights read or packed. The time is the
 * planner's count of operations, or of bytes where those take longer, times what one takes here; the first call in a process
 * (for its threads, backend and precision) finds that out in about a tenth of a second. Within a factor of two on the
 * machines it was tried on; other work on the machine is not foreseen. PJD_ERR_UNSUPPORTED for priors that are not
 * networks; other errors as pjd_runner_create.
 */
PJD_API pjd_status pjd_model_estimate(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                                      pjd_estimate *out, pjd_error *err);

/* ---- priors that are not files ---- */

/* The noise schedule of a prior made by the functions below. */
typedef struct pjd_schedule {
    const double *betas; /* T values in (0, 1), copied */
    size_t count;        /* 0: the linear schedule 1e-4 .. 0.02 with 1000 steps */
} pjd_schedule;

/* Independent Gaussian per element: mean and variance have item's count. D is the exact posterior mean. */
PJD_API pjd_status pjd_model_gaussian(const pjd_shape *item, const float *mean, const float *variance,
                                      const pjd_schedule *schedule, pjd_model **out, pjd_error *err);

/* Mixture of k isotropic Gaussians over whole items: weights [k] (positive, normalised here),
   means [k, item], variances [k]. */
PJD_API pjd_status pjd_model_mixture(const pjd_shape *item, size_t k, const double *weights, const float *means,
                                     const double *variances, const pjd_schedule *schedule, pjd_model **out,
                                     pjd_error *err);

/* The caller's own denoiser. Called from the thread that runs the runner; several runners may call it
   at once from different threads. Return PJD_OK, or fill err and return a code, which stops the run. */
typedef struct pjd_denoiser {
    pjd_status (*denoise)(void *user, size_t batch, const pjd_shape *item, const float *x, double t, double abar,
                          float *x0, pjd_error *err);
    void (*destroy)(void *user); /* called when the last reference goes; may be NULL */
    void *user;
    size_t channels;    /* item channels, 0: any shape */
    double sigma_scale; /* 0 means 1 */
} pjd_denoiser;
PJD_API pjd_status pjd_model_callback(const pjd_denoiser *cb, const pjd_schedule *schedule, pjd_model **out,
                                      pjd_error *err);

/* A prior of pictures (1 or 3 channels, any size) for items of `count` gray planes, each a picture of its own: the real
   and imaginary part of a scan. With 3 channels a plane becomes a colour picture at a higher level of noise that tells as
   much about it, and the mean of that one's clean estimate is taken. Keeps a reference. PJD_ERR_UNSUPPORTED otherwise. */
PJD_API pjd_status pjd_model_planes(pjd_model *inner, size_t count, pjd_model **out, pjd_error *err);

#ifdef __cplusplus
}
#endif
#endif
