/* SPDX-License-Identifier: MIT */
/*
 * The blocks of a diffusion U-Net. A network is written once, as a walk over its blocks. Without a builder the walk lists
 * the tensors the blocks need (channels are known, sizes are not); with one it records layers, taking the weights in the
 * same order. So the list that a checkpoint is checked against cannot differ from what runs.
 *
 * Errors stick to the walk: later blocks do nothing.
 */
#ifndef PJD_NETWORKS_BLOCKS_H
#define PJD_NETWORKS_BLOCKS_H

#include "networks/tensors.h"
#include "nn/nn.h"

typedef struct pjd_blk_val {
    pjd_nn_value v;
    size_t c; /* channels */
} pjd_blk_val;
#define PJD_BLK_NONE ((pjd_blk_val){PJD_NN_NONE, 0})

/* How a family calls the layers of its blocks; a second spelling may follow a '|'. */
typedef struct pjd_blk_names {
    const char *norm1, *conv1, *emb, *norm2, *conv2, *shortcut; /* residual block */
    const char *norm, *qkv, *q, *k, *v, *proj;                  /* attention: qkv in one tensor, or three */
    size_t attention_rank;                                      /* of the attention's weights: 2, 3 or 4 */
} pjd_blk_names;

enum { PJD_BLK_MAX_SKIPS = 1024 };

typedef struct pjd_blk {
    const char *who;
    const pjd_blk_names *names;
    pjd_net_tensors *list;
    pjd_nn_builder *b; /* NULL: listing */
    size_t next;       /* weight to take next when recording */
    size_t groups;     /* group norm */
    size_t per_group;  /* above 0: at least so many channels a group, hence perhaps fewer groups (EDM) */
    double eps;
    double shrink;          /* residual sums are multiplied by this; 1 usually */
    bool scale_shift;       /* the embedding modulates the second norm; otherwise it is added before it */
    bool project_resampled; /* the shortcut of a resampling block has its 1x1 convolution in any case (SongUNet) */
    size_t taps;            /* above 0: resampling goes through the filter kept beside the weights (EDM) */
    pjd_blk_val emb;        /* SiLU(embedding), [batch, c] */
    pjd_blk_val skips[PJD_BLK_MAX_SKIPS];
    size_t depth;
    pjd_status st;
    pjd_error err;
} pjd_blk;

/* Start a walk. b: NULL to list. The caller sets groups, eps and scale_shift. */
void pjd_blk_start(pjd_blk *k, const char *who, const pjd_blk_names *names, pjd_net_tensors *list, pjd_nn_builder *b);
void pjd_blk_fail(pjd_blk *k, pjd_status st, const char *fmt, ...) PJD_PRINTF(3, 4);

/* After listing: the walk's own error, or what pjd_net_tensors_check says. */
pjd_status pjd_blk_check(pjd_blk *k, const pjd_weights *w, const char *const *ignored, pjd_error *err);

/* Stride and padding of a convolution. */
typedef enum pjd_blk_how {
    PJD_BLK_SAME,   /* stride 1, size kept */
    PJD_BLK_UP,     /* nearest x2 first */
    PJD_BLK_DOWN,   /* stride 2, one zero on every side */
    PJD_BLK_DOWN_RB /* stride 2, one zero right and bottom only (DDPM) */
} pjd_blk_how;

/* Nothing to record: listing, or after an error. */
bool pjd_blk_idle(const pjd_blk *k);
/* The weight prefix.name.suffix; NULL when idle. */
const float *pjd_blk_take(pjd_blk *k, const char *prefix, const char *name, const char *suffix, pjd_shape shape,
                          bool buffer);
pjd_blk_val pjd_blk_linear(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t out, pjd_act post);

/* Convolution prefix.name, kernel 1 or 3, plus `residual` (or PJD_BLK_NONE). prefix may be "". */
pjd_blk_val pjd_blk_conv(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t out, size_t kernel,
                         pjd_blk_how how, pjd_blk_val residual);
pjd_blk_val pjd_blk_norm(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, pjd_blk_val modulation,
                         pjd_act act);

/*
 * The embedding of t: sinusoids of width c (shift, flip: see pjd_nn_time_embedding), two linear layers, plus the row of the
 * class table (classes > 0). Sets k->emb, with the SiLU that every residual block begins with already applied.
 */
typedef struct pjd_blk_time {
    const char *linear1, *linear2, *class_table;
    size_t c, width, classes;
    double shift;
    bool flip;
} pjd_blk_time;
void pjd_blk_embed(pjd_blk *k, const pjd_blk_time *t);

typedef enum pjd_blk_resample { PJD_BLK_KEEP, PJD_BLK_HALVE, PJD_BLK_DOUBLE } pjd_blk_resample;
/* Residual block; resampling happens between the first norm and the first convolution, and on the shortcut. */
pjd_blk_val pjd_blk_residual(pjd_blk *k, pjd_blk_val x, const char *prefix, size_t out, pjd_blk_resample how);

typedef enum pjd_blk_order { PJD_BLK_PARTS_FIRST, PJD_BLK_HEADS_FIRST, PJD_BLK_PARTS_LAST } pjd_blk_order;
/* Self-attention with its norm (normed) and residual. order: rows of a fused qkv. */
pjd_blk_val pjd_blk_attention(pjd_blk *k, pjd_blk_val x, const char *prefix, size_t heads, pjd_blk_order order,
                              bool normed);

/* Resampling without weights, or (k->taps) with the filter prefix.name.resample_filter [1, 1, taps, taps]. */
pjd_blk_val pjd_blk_resampled(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, pjd_blk_resample how);
pjd_blk_val pjd_blk_halve(pjd_blk *k, pjd_blk_val x);
pjd_blk_val pjd_blk_double(pjd_blk *k, pjd_blk_val x);

/* The skip connections: push, and concatenate [x, popped]. */
void pjd_blk_push(pjd_blk *k, pjd_blk_val x);
pjd_blk_val pjd_blk_pop(pjd_blk *k, pjd_blk_val x);

/* printf into a static-size key prefix. */
typedef struct pjd_blk_key {
    char text[96];
} pjd_blk_key;
pjd_blk_key pjd_blk_keyf(const char *fmt, ...) PJD_PRINTF(1, 2);

#endif
