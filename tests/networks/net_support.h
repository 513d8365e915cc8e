/* SPDX-License-Identifier: MIT */
/* What the network tests share: a model from a path, and a log that remembers. */
#ifndef TESTS_NET_SUPPORT_H
#define TESTS_NET_SUPPORT_H

#include "networks/network.h"
#include "support/support.h"

typedef struct net_log {
    char text[8192];
} net_log;
void net_log_line(void *user, pjd_log_level level, const char *line);

/* What pjd_model_open does, without the rooms it does not need. log may be NULL. */
pjd_status net_open(const char *path, const char *config, net_log *log, pjd_model **out, pjd_error *err);
pjd_status net_open_memory(const void *data, size_t size, const char *config, net_log *log, pjd_model **out,
                           pjd_error *err);
/* Whether one of the model's detail lines is this. */
bool net_has_detail(const pjd_model *m, const char *line);

/* A safetensors file with one float16 tensor of zeros after another: a header in front of untouched pages of zeros. */
typedef struct net_zeros {
    unsigned char *data; /* mapped */
    size_t size, header_used, header_room, offset, tensors;
    char *header;
    const char *drop, *reshape, *retype; /* names to leave out, to give one element more, to call integers */
} net_zeros;
void net_zeros_begin(net_zeros *z);
void net_zeros_add(net_zeros *z, const char *name, size_t rank, const size_t *dim);
void net_zeros_end(net_zeros *z);
void net_zeros_free(net_zeros *z);

#endif
