/* SPDX-License-Identifier: MIT */
/*
 * A checkpoint as a table of named tensors, whatever the container. Readers execute nothing and check each count,
 * product and offset before use. Tensor data stays in the file's mapping or buffer until converted: a file that is cut
 * or rewritten while it is open is the user's fault (the process gets SIGBUS, or other numbers), so replace checkpoints
 * by renaming. An open pjd_weights is immutable; threads may share it.
 */
#ifndef PJD_WEIGHTS_WEIGHTS_H
#define PJD_WEIGHTS_WEIGHTS_H

#include "core/core.h"
#include "projdiff/model.h"

typedef enum pjd_dtype {
    PJD_F32 = 0,
    PJD_F64,
    PJD_F16,
    PJD_BF16,
    PJD_I64,
    PJD_I32,
    PJD_I16,
    PJD_I8,
    PJD_U8,
    PJD_BOOL
} pjd_dtype;

typedef struct pjd_tensor {
    const char *name; /* as stored, before any prefix is stripped */
    pjd_dtype dtype;
    pjd_shape shape;
    size_t stride[PJD_MAX_RANK]; /* in elements, >= 0; views of shared storages */
    const unsigned char *data;   /* first element; may be unaligned */
    const void *storage;         /* identity of the storage: equal for tensors that share it */
} pjd_tensor;

typedef struct pjd_weights pjd_weights;

/*
 * path: a file of any known container (recognised by its first bytes, not its name), a folder in the diffusers layout
 * (config.json beside diffusion_pytorch_model.{safetensors,bin}, or unet/ below), or the .index.json of shards.
 * Averaged (EMA) weights are taken where the file has both, and the log says so. PJD_ERR_IO: missing or unreadable;
 * PJD_ERR_MODEL: everything else that is wrong with it, in one line.
 */
pjd_status pjd_weights_open(const char *path, const pjd_log *log, pjd_weights **out, pjd_error *err);
/* From memory; the buffer must outlive the object. */
pjd_status pjd_weights_open_memory(const void *data, size_t size, const pjd_log *log, pjd_weights **out,
                                   pjd_error *err);
void pjd_weights_free(pjd_weights *w);

const char *pjd_weights_container(const pjd_weights *w); /* "safetensors", "torch zip", ... */
size_t pjd_weights_count(const pjd_weights *w);
const pjd_tensor *pjd_weights_at(const pjd_weights *w, size_t i); /* in file order */
/* Name of tensor i with wrapper prefixes ("module.", "model.unet.") stripped: a tail of pjd_weights_at(w, i)->name. */
const char *pjd_weights_name(const pjd_weights *w, size_t i);
/* By exact stripped name, else by the name as stored; NULL when absent. O(1). */
const pjd_tensor *pjd_weights_find(const pjd_weights *w, const char *name);
/* JSON text of config.json / scheduler_config.json beside the weights; NULL when there is none. */
const char *pjd_weights_config(const pjd_weights *w);
const char *pjd_weights_scheduler_config(const pjd_weights *w);
/* Hyper-parameters stored in the file itself as JSON text (Lightning's hyper_parameters); NULL when none. */
const char *pjd_weights_hyper(const pjd_weights *w);

/* See pjd_checkpoint_convert; who: the checkpoint's name in messages. */
pjd_status pjd_weights_write_safetensors(const pjd_weights *w, const char *who, const char *out, pjd_store_type store,
                                         const pjd_log *log, pjd_error *err);

/*
 * Whether the tensor's storage is what was written: containers of zip hold a checksum of each. A storage is read once for all
 * of its tensors, without a checksum not at all. PJD_ERR_MODEL names the record. Threads may call at once.
 */
pjd_status pjd_weights_verify(const pjd_weights *w, const pjd_tensor *t, pjd_error *err);

/*
 * The bytes are not wanted for now: where they are a mapped file's, their pages may leave memory, and come back from the
 * file when read again.
 */
void pjd_weights_unused(const pjd_weights *w, const void *data, size_t bytes);

/* Elements as float32, contiguous; dst has the shape's count. Integers are converted by value. */
void pjd_tensor_to_f32(const pjd_tensor *t, float *dst);
const char *pjd_dtype_name(pjd_dtype d);
size_t pjd_dtype_size(pjd_dtype d);

#endif
