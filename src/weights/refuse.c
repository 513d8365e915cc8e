/* SPDX-License-Identifier: MIT */
/* What a file is that is no checkpoint: users meet half downloads, web pages and renamed files more often than attacks. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "weights/format.h"

static const struct {
    size_t offset, length;
    const char *bytes, *kind;
} magics[] = {
    {0, 4, "PK\5\6", "an empty zip archive"},
    {0, 4, "GGUF", "a GGUF file (quantised weights of another program); use the safetensors or PyTorch original"},
    {0, 6, "\x93NUMPY", "a single NumPy array, not a set of named tensors"},
    {0, 4, "\x89HDF", "an HDF5 file (Keras), a format that is not read"},
    {0, 8, "\x89PNG\r\n\x1a\n", "a PNG picture"},
    {0, 3, "\xff\xd8\xff", "a JPEG picture"},
    {0, 4, "%PDF", "a PDF document"},
    {0, 4,
     "\x7f"
     "ELF",
     "a program (ELF)"},
    {0, 2, "\x1f\x8b", "compressed by gzip; unpack it first"},
    {0, 6,
     "\xfd"
     "7zXZ",
     "compressed by xz; unpack it first"},
    {0, 4, "\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"},
    {0, 3, "BZh", "compressed by bzip2; unpack it first"},
    {0, 6, "7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"},
    {0, 4, "Rar!", "a RAR archive; unpack it first"},
    {4, 4, "TFL3", "a TensorFlow Lite model, a format that is not read"},
    {257, 5, "ustar", "a tar archive (or a PyTorch file older than 0.1.10); unpack it first"},
};

static bool starts_with(const pjd_reader *r, size_t at, const char *text)
{
    size_t n = strlen(text);

    return r->size >= at && r->size - at >= n && strncasecmp((const char *)r->data + at, text, n) == 0;
}

static size_t blanks(const pjd_reader *r)
{
    size_t i = 0;

    if (r->size >= 3 && memcmp(r->data, "\xef\xbb\xbf", 3) == 0)
        i = 3;
    while (i < r->size && r->data[i] && strchr(" \t\r\n", r->data[i]))
        i++;
    return i;
}

static bool all_text(const pjd_reader *r)
{
    for (size_t i = 0; i < r->size && i < 256; i++)
        if ((r->data[i] < 0x20 && !(r->data[i] && strchr("\t\r\n\f", r->data[i]))) || r->data[i] == 0x7f)
            return false;
    return true;
}

static pjd_status is_a(const pjd_reader *r, const char *kind, pjd_error *err)
{
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": not a checkpoint: %s", r->who, kind);
}

pjd_status pjd_refuse_kind(const pjd_reader *r, pjd_error *err)
{
    size_t at = blanks(r);
    char hex[3 * 8 + 1] = "";

    if (r->size == 0)
        return is_a(r, "an empty file", err);
    if (starts_with(r, 0, "version https://git-lfs"))
        return is_a(r, "a Git LFS pointer; fetch the file itself (git lfs pull)", err);
    if (starts_with(r, at, "<!doctype html") || starts_with(r, at, "<html") || starts_with(r, at, "<head"))
        return is_a(r, "a web page (HTML); the download went wrong", err);
    if (starts_with(r, at, "<?xml") || starts_with(r, at, "<error"))
        return is_a(r, "an XML text; the download went wrong", err);
    for (size_t i = 0; i < PJD_COUNTOF(magics); i++)
        if (r->size >= magics[i].offset + magics[i].length &&
            memcmp(r->data + magics[i].offset, magics[i].bytes, magics[i].length) == 0)
            return is_a(r, magics[i].kind, err);
    if (r->data[0] == 0x80 && r->size > 1 && r->data[1] <= 5)
        return is_a(r, "a bare Python pickle, not a PyTorch checkpoint; nothing in it is executed", err);
    if (starts_with(r, at, "{"))
        return is_a(r, "a JSON text; give its folder or the weights file", err);
    if (r->size <= 8)
        return is_a(r, "a few bytes only; the download is incomplete", err);
    if (all_text(r))
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": not a checkpoint: a text (\"%.*s\")", r->who,
                             (int)(r->size - at < 60 ? r->size - at : 60), (const char *)r->data + at);
    for (size_t i = 0; i < 8; i++)
        snprintf(hex + 3 * i, 4, i < 7 ? "%02x " : "%02x", r->data[i]);
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": not a checkpoint: unknown kind of file (first bytes %s)",
                         r->who, hex);
}
