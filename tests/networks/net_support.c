/* SPDX-License-Identifier: MIT */
#include "net_support.h"

#include <sys/mman.h>

void net_log_line(void *user, pjd_log_level level, const char *line)
{
    net_log *l = user;
    size_t used = strlen(l->text);

    snprintf(l->text + used, sizeof l->text - used, "%s\n", line);
}

static pjd_status finish(pjd_weights *w, const char *config, const pjd_log *log, pjd_model **out, pjd_error *err)
{
    pjd_network *net = NULL;
    pjd_status st = pjd_network_open(w, config, log, &net, err);

    if (st != PJD_OK) {
        assert_null(net);
        pjd_weights_free(w);
        return st;
    }
    return pjd_network_model(net, w, out, err);
}

pjd_status net_open(const char *path, const char *config, net_log *log, pjd_model **out, pjd_error *err)
{
    pjd_log l = {log ? net_log_line : NULL, log};
    pjd_weights *w = NULL;
    pjd_status st = pjd_weights_open(path, &l, &w, err);

    *out = NULL;
    return st == PJD_OK ? finish(w, config, &l, out, err) : st;
}

pjd_status net_open_memory(const void *data, size_t size, const char *config, net_log *log, pjd_model **out,
                           pjd_error *err)
{
    pjd_log l = {log ? net_log_line : NULL, log};
    pjd_weights *w = NULL;
    pjd_status st = pjd_weights_open_memory(data, size, &l, &w, err);

    *out = NULL;
    return st == PJD_OK ? finish(w, config, &l, out, err) : st;
}

bool net_has_detail(const pjd_model *m, const char *line)
{
    for (size_t i = 0; pjd_model_detail(m, i); i++)
        if (!strcmp(pjd_model_detail(m, i), line))
            return true;
    return false;
}

/* ---- checkpoints of zeros ---- */

void net_zeros_begin(net_zeros *z)
{
    *z = (net_zeros){.header_room = 1 << 20};
    z->header = malloc(z->header_room);
    assert_non_null(z->header);
    z->header_used = (size_t)sprintf(z->header, "{");
}

void net_zeros_add(net_zeros *z, const char *name, size_t rank, const size_t *dim)
{
    size_t bytes = 2;
    char *p = z->header + z->header_used;

    if (z->drop && !strcmp(z->drop, name))
        return;
    assert_true(z->header_room - z->header_used > 512);
    p += sprintf(p, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", z->tensors ? "," : "", name,
                 z->retype && !strcmp(z->retype, name) ? "I16" : "F16");
    for (size_t i = 0; i < rank; i++) {
        size_t d = dim[i] + (i == 0 && z->reshape && !strcmp(z->reshape, name));

        p += sprintf(p, "%s%zu", i ? "," : "", d);
        bytes *= d;
    }
    p += sprintf(p, "],\"data_offsets\":[%zu,%zu]}", z->offset, z->offset + bytes);
    z->header_used = (size_t)(p - z->header);
    z->offset += bytes;
    z->tensors++;
}

void net_zeros_end(net_zeros *z)
{
    z->header[z->header_used++] = '}';
    while (z->header_used % 8 != 0)
        z->header[z->header_used++] = ' ';
    z->size = 8 + z->header_used + z->offset;
    z->data = mmap(NULL, z->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(z->data != MAP_FAILED);
    for (size_t i = 0; i < 8; i++)
        z->data[i] = (unsigned char)(z->header_used >> (8 * i));
    memcpy(z->data + 8, z->header, z->header_used);
}

void net_zeros_free(net_zeros *z)
{
    if (z->data)
        munmap(z->data, z->size);
    free(z->header);
    *z = (net_zeros){0};
}
