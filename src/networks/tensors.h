/* SPDX-License-Identifier: MIT */
/*
 * The tensors a network is made of. A class lists what it expects (names and shapes) by walking its layers, the list is
 * compared with the checkpoint, and later handed out, in the same order, as float32 to the same walk when it records
 * layers. A weight may be made of several tensors (q, k, v become one matrix) or have its rows reordered.
 */
#ifndef PJD_NETWORKS_TENSORS_H
#define PJD_NETWORKS_TENSORS_H

#include "weights/weights.h"

/* Bounds on what a checkpoint may claim; generous against every published network. */
#define PJD_NET_MAX_CHANNELS 16384
#define PJD_NET_MAX_LEVELS 12
#define PJD_NET_MAX_BLOCKS 64
#define PJD_NET_MAX_CLASSES 1048576
#define PJD_NET_NAME_MAX 192

typedef struct pjd_net_tensors pjd_net_tensors;

pjd_status pjd_net_tensors_create(pjd_net_tensors **out, pjd_error *err);
void pjd_net_tensors_free(pjd_net_tensors *l);

/*
 * One weight made of `parts` tensors of this shape, one after the other; names[i] may be followed by a second spelling
 * after a '|' ("a.to_q.weight|a.query.weight"). Dimensions of 1 at the end may be missing from or added to the
 * tensor when loose. heads >= 1 and interleaved, or heads > 1: rows (heads, 3, rest), or (heads, rest, 3) when
 * interleaved, are reordered to (3, heads, rest). A buffer is not counted as parameters.
 */
typedef struct pjd_net_weight {
    const char *names[3];
    size_t parts;
    pjd_shape shape;
    bool loose;
    size_t heads;
    bool interleaved, buffer;
} pjd_net_weight;
pjd_status pjd_net_tensors_expect(pjd_net_tensors *l, const pjd_net_weight *w, pjd_error *err);

/*
 * Find every expected tensor. Missing, mis-shaped and unexpected ones are refused in one line with counts and first names.
 * ignored: names (exact, NULL-terminated) that may be there without being used; or NULL.
 */
pjd_status pjd_net_tensors_check(pjd_net_tensors *l, const char *who, const pjd_weights *w, const char *const *ignored,
                                 pjd_error *err);
/* Elements of all expected tensors together. */
uint64_t pjd_net_tensors_parameters(const pjd_net_tensors *l);
size_t pjd_net_tensors_count(const pjd_net_tensors *l);

/*
 * Make every weight available as contiguous float32. Once per network; plans share the result. What already lies so in the
 * file's mapping is used in place; checksums of the file are compared first. Threads may call this at once.
 */
pjd_status pjd_net_tensors_load(pjd_net_tensors *l, const char *who, int threads, pjd_error *err);
/*
 * Weight i in the order of the expectations; NULL past the end. Before loading: a pointer that is not to be read, for those
 * who record shapes only.
 */
const float *pjd_net_tensors_data(const pjd_net_tensors *l, size_t i);
/* Bytes of the weights that loading has to convert or to reorder, and then holds. */
size_t pjd_net_tensors_copies(const pjd_net_tensors *l);

/* ---- looking around in a checkpoint before its network is known ---- */

/* The tensor of this name, or NULL. */
const pjd_tensor *pjd_net_find(const pjd_weights *w, const char *fmt, ...) PJD_PRINTF(2, 3);
/* Dimension `axis` of a tensor; 0 when there is no such tensor or axis. */
size_t pjd_net_dim(const pjd_weights *w, size_t axis, const char *fmt, ...) PJD_PRINTF(3, 4);

#endif
