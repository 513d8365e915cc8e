/* SPDX-License-Identifier: MIT */
/* What the files of this room share: the record, the graph made from it, and the steps of a plan. */
#ifndef PJD_NN_INTERNAL_H
#define PJD_NN_INTERNAL_H

#include "kernels/kernels.h"
#include "nn/nn.h"

typedef enum nn_op {
    NN_INPUT = 0,
    NN_TIME,
    NN_CLASS,
    NN_CONV, /* linear layers too: 1x1 */
    NN_NORM,
    NN_CONCAT,
    NN_ADD,
    NN_SCALE,
    NN_POOL,
    NN_UP,
    NN_ACT,
    NN_ATTN,
    NN_FOURIER,
    NN_RMS,
    NN_FIR,
    NN_LAYER,  /* layer norm */
    NN_LINE,   /* positions to channels and back; groups: which way, below */
    NN_SPREAD, /* channels to positions, without moving a float */
    NN_MEMORY,
    NN_LINATTN,
    NN_MOMENTS, /* what is left of a norm that a convolution applies to its input: per channel mean, scale, offset */
    NN_OPS
} nn_op;

enum { NN_LINE_FOLD = 0, NN_LINE_UNFOLD, NN_LINE_REPEAT };

/* Operands of a record by role. */
enum {
    NN_X = 0,
    NN_RESIDUAL = 1,
    NN_BIAS2 = 2,
    NN_MODULATION = 1,
    NN_B = 1,
    NN_Q = 0,
    NN_K = 1,
    NN_V = 2,
    NN_AFFINE = 3,
    NN_INS = 4
};

typedef struct nn_shape {
    size_t h, w, c;
} nn_shape;

/* One recorded layer. Only the fields of its op are used; weights are borrowed until the plan is made. */
typedef struct nn_rec {
    nn_op op;
    pjd_nn_value in[NN_INS]; /* PJD_NN_NONE where there is none */
    pjd_nn_value out;
    const float *weight, *bias; /* conv; norm: gamma, beta; class: the table */
    size_t kh, kw, stride_h, stride_w, pad_top, pad_left;
    bool up;
    pjd_act act;
    pjd_act pre;   /* conv with NN_AFFINE: after the affine map of the input */
    size_t groups; /* norm; attention: heads; class: rows of the table; memory: positions */
    size_t dim;    /* of a head */
    size_t offset[NN_INS];
    double real; /* eps, factor, scale or shift */
    bool flip;   /* time: cosines first; fourier: t itself first; class: a transposed table; memory: positions last */
} nn_rec;

struct pjd_nn_builder {
    size_t batch;
    nn_shape *values;
    size_t value_count, value_room;
    nn_rec *recs;
    size_t rec_count, rec_room;
    bool has_input;
    bool sketch;  /* weights are not read */
    float **made; /* weights rearranged for a layer; they live as long as the builder */
    size_t made_count;
    pjd_error error; /* first one; code PJD_OK: none */
};

/* A value in the arena: up to NN_SEGS pieces of channels, each with rows `ld` floats apart. */
#define NN_SEGS 4
typedef struct nn_tensor {
    nn_shape s;
    size_t segs;
    struct nn_seg {
        float *p;
        size_t c, ld;
    } seg[NN_SEGS];
} nn_tensor;

/* What tests may ask for beyond pjd_nn_options; all zero: nothing special. */
typedef struct nn_how {
    bool apart;                 /* merge no layers, share no buffers, copy concatenations */
    const pjd_kernels *kernels; /* this table */
    const char *way;            /* this way of convolution wherever it can */
} nn_how;

/*
 * The record after dead layers are dropped and neighbours are merged, with the place of each value. A value either owns a
 * buffer, shares one (in-place layers) or is a virtual concatenation of two others.
 */
typedef struct nn_place {
    bool is_virtual;
    pjd_nn_value part[2]; /* of a virtual concatenation */
    size_t segs;
    size_t last; /* step of the last reader; rec_count: the plan's output. Unused when virtual, like buffer */
    size_t buffer;
} nn_place;

typedef struct nn_buffer {
    size_t bytes, first, last; /* alive from the step `first` to the step `last`, both included */
    size_t offset;
} nn_buffer;

typedef struct nn_graph {
    size_t batch;
    nn_shape *values; /* a copy: merging changes shapes */
    size_t value_count;
    nn_rec *recs;
    size_t rec_count;
    nn_place *places;   /* [value_count] */
    nn_buffer *buffers; /* values, then one scratch buffer a record where needed */
    size_t buffer_count;
    size_t *scratch; /* [rec_count]: buffer index or SIZE_MAX */
    size_t arena_bytes;
    pjd_nn_value output;
    const pjd_kernels *kernels;
    pjd_nn_options opt;
    nn_how how;
} nn_graph;

pjd_status pjd_nn_graph_make(const pjd_nn_builder *b, pjd_nn_value output, const pjd_nn_options *opt, const nn_how *how,
                             nn_graph *g, pjd_error *err);
pjd_status pjd_nn_plan_make(pjd_nn_builder *b, pjd_nn_value output, const pjd_nn_options *opt, const nn_how *how,
                            pjd_nn_plan **out, pjd_error *err);
void pjd_nn_graph_clear(nn_graph *g);
/* Offsets for buffers so that no two alive at one step overlap; *total is the arena's size. False on overflow. */
bool pjd_nn_arena_place(nn_buffer *buffers, size_t count, size_t *total);
/* Merge layers of the record: see fuse.c. */
void pjd_nn_fuse(nn_graph *g, const size_t *uses);
/* Whether convolution r, reading a value of shape x in `segs` pieces, can apply an affine map to its input. */
bool pjd_nn_conv_takes_affine(const nn_graph *g, const nn_rec *r, const nn_shape *x, size_t segs);
/* Channels of the rows mean, scale, offset of NN_MOMENTS. */
static inline size_t pjd_nn_padded(size_t c)
{
    return (c + 15) / 16 * 16;
}

typedef struct nn_step nn_step;
typedef struct nn_team nn_team;

/* What a layer costs, known before it exists. Which of the measured rates its arithmetic runs at: */
typedef enum nn_rate { NN_RATE_DIRECT = 0, NN_RATE_WINO, NN_RATE_ONEDNN, NN_RATE_ATTN, NN_RATES } nn_rate;
typedef struct nn_cost {
    nn_rate rate;
    double units;   /* multiply-adds, roughly; see nn_conv_way */
    size_t weights; /* bytes that are packed */
} nn_cost;

typedef struct nn_class {
    const char *name;
    bool pieces; /* operand NN_X may be a virtual concatenation */
    /* Bytes of scratch, or SIZE_MAX on overflow. NULL: none. */
    size_t (*scratch)(const nn_graph *g, const nn_rec *r);
    /* NULL: it moves its operands and hardly computes. */
    void (*cost)(const nn_graph *g, const nn_rec *r, nn_cost *c);
    /* Pack weights and choose a kernel. NULL: nothing to do. */
    pjd_status (*prepare)(pjd_nn_plan *p, nn_step *s, pjd_error *err);
    pjd_status (*run)(pjd_nn_plan *p, nn_step *s, pjd_error *err);
    void (*clear)(nn_step *s); /* frees s->priv's parts; s->priv itself is freed by the plan */
} nn_class;

extern const nn_class pjd_nn_class_input, pjd_nn_class_time, pjd_nn_class_label, pjd_nn_class_conv, pjd_nn_class_norm,
    pjd_nn_class_concat, pjd_nn_class_add, pjd_nn_class_scale, pjd_nn_class_pool, pjd_nn_class_up, pjd_nn_class_act,
    pjd_nn_class_attn, pjd_nn_class_moments, pjd_nn_class_layer, pjd_nn_class_line, pjd_nn_class_spread,
    pjd_nn_class_fourier, pjd_nn_class_rms, pjd_nn_class_fir, pjd_nn_class_memory, pjd_nn_class_linattn;
/* By nn_op. */
extern const nn_class *const pjd_nn_classes[NN_OPS];

struct nn_step {
    const nn_class *cls;
    nn_rec rec;
    nn_tensor in[NN_INS]; /* segs 0 where there is none */
    nn_tensor out;
    void *scratch;
    size_t scratch_bytes;
    void *priv;
    double seconds;
    char name[80];
};

struct pjd_nn_plan {
    size_t batch;
    int threads;
    pjd_nn_options opt;
    nn_how how;
    const pjd_kernels *kernels;
    nn_step *steps;
    size_t step_count;
    char *arena;
    size_t arena_bytes, weight_bytes;
    nn_tensor output;
    nn_team *team;         /* while running on several threads */
    struct pjd_dnnl *dnnl; /* made by the first layer that wants it */
    /* of the present run */
    const float *in, *t;
    const int *classes;
};

/* Weights of a step: counted in the plan's weight_bytes. NULL without memory. */
float *pjd_nn_weights(pjd_nn_plan *p, size_t floats);

/*
 * Call fn(ctx, i, thread) for i < tasks on up to `threads` threads, in any order. Tasks write disjoint data, so results do
 * not depend on the number of threads.
 */
typedef void (*pjd_nn_task)(void *ctx, size_t task, int thread);
void pjd_nn_parallel(const pjd_nn_plan *p, int threads, size_t tasks, pjd_nn_task fn, void *ctx);
/* Call body(ctx) on this thread while p->threads - 1 others wait to help its calls of pjd_nn_parallel. */
void pjd_nn_with_team(pjd_nn_plan *p, void (*body)(void *), void *ctx);
/* Threads worth using for `work` elementary operations. */
int pjd_nn_threads_for(const pjd_nn_plan *p, double work);

static inline size_t pjd_nn_positions(const nn_shape *s)
{
    return s->h * s->w;
}

#endif
