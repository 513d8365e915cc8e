/* SPDX-License-Identifier: MIT */
/* What the files of src/io share. */
#ifndef PJD_IO_INTERNAL_H
#define PJD_IO_INTERNAL_H

#include "core/core.h"
#include "projdiff/io.h"

/* The core's own text for this is not exported by libprojdiff. */
pjd_status pjd_io_nomem(pjd_error *err, const char *who, size_t bytes);

/* The whole of a file, a pipe or ("-") standard input. *bytes is pjd_alloc'ed, NULL on failure. */
pjd_status pjd_file_read(const char *path, unsigned char **bytes, size_t *size, pjd_error *err);
/* All bytes to a descriptor; path is for the message. */
pjd_status pjd_file_write(int fd, const char *path, const void *bytes, size_t size, pjd_error *err);
bool pjd_is_std(const char *path); /* "-" */

/* The extension without its dot, or "" ("a.tar/b" and ".hidden" have none). */
const char *pjd_extension(const char *path);

/* The open temporary file of an output. Writing here instead of opening the path again means that a file removed by
   pjd_output_abort_all stays removed. */
int pjd_output_fd(const pjd_output *o);

/* Rename `from` to `to` unless `to` exists (EEXIST). method 0: the first that the file system knows; 1..3 that one alone
   (for tests): renameat2, link + unlink, exclusive creation + rename. */
int pjd_rename_new(const char *from, const char *to, int method);

/* A .npy file in memory. `who` starts the messages. */
pjd_status pjd_npy_parse(const char *who, const unsigned char *bytes, size_t size, float **data, pjd_shape *shape,
                         pjd_error *err);

/* Likewise, complex64 or complex128 or (imaginary part 0) any of the above, as pairs. */
pjd_status pjd_npy_parse_complex(const char *who, const unsigned char *bytes, size_t size, float **data,
                                 pjd_shape *shape, pjd_error *err);
pjd_status pjd_npy_write_complex(const char *path, const float *data, const pjd_shape *shape, bool overwrite,
                                 pjd_error *err);
/* Little-endian to a descriptor. */
pjd_status pjd_write_floats(int fd, const char *path, const float *data, size_t count, pjd_error *err);

/* The two files of a BART array in memory. */
pjd_status pjd_cfl_parse(const char *who, const unsigned char *header, size_t header_size, const unsigned char *bytes,
                         size_t size, float **data, pjd_shape *shape, pjd_error *err);

/* What libvips said last, as one short line without its function names; clears it. Returns buf. */
char *pjd_vips_why(char *buf, size_t size);

#endif
