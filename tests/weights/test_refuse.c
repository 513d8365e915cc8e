/* SPDX-License-Identifier: MIT */
/* What must not load, and the words that say why: wrong kinds of files, broken files, hostile files. */
#include <sys/stat.h>
#include <unistd.h>

#include "weights/forge.h"

static void expect(const char *title, const void *data, size_t size, pjd_status want, const char *words)
{
    pjd_error err;
    pjd_status status = forge_open(data, size, &err);

    if (status != want)
        fail_msg("%s: %s (%s), expected %s", title, pjd_status_name(status), err.text, pjd_status_name(want));
    if (want != PJD_OK && !strstr(err.text, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", title, err.text, words);
}

#define REFUSED(title, data, size, words) expect(title, data, size, PJD_ERR_MODEL, words)

/* ---- kinds of files ---- */

#define BYTES(literal) literal, sizeof(literal) - 1

static void test_kinds(void **state)
{
    static const struct {
        const char *data;
        size_t size;
        const char *words;
    } cases[] = {
        {BYTES(""), "an empty file"},
        {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"), "Git LFS pointer"},
        {BYTES("\n<!DOCTYPE html><html>"), "web page"},
        {BYTES("<html><head>"), "web page"},
        {BYTES("<?xml version='1.0'?><Error><Code>AccessDenied"), "XML"},
        {BYTES("{\"a\": 1}"), "JSON"},
        {BYTES("Entry not found"), "a text (\"Entry not found\")"},
        {BYTES("GGUF\3\0\0\0\0\0\0\0"), "GGUF"},
        {BYTES("\x93NUMPY\1\0v\0{'descr'"), "single NumPy array"},
        {BYTES("\x89HDF\r\n\x1a\n"), "HDF5"},
        {BYTES("\x89PNG\r\n\x1a\n"), "PNG"},
        {BYTES("\xff\xd8\xff\xe0"), "JPEG"},
        {BYTES("\x1f\x8b\x08\0\0\0\0\0"), "gzip"},
        {BYTES("\x28\xb5\x2f\xfd"), "zstd"},
        {BYTES("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "empty zip"},
        {BYTES("PK\3\4"), "truncated"},
        {BYTES("\x80\4\x95\xff\0\0\0\0\0\0\0}."), "bare Python pickle"},
        {BYTES("\x80\2}q\1."), "bare Python pickle"},
        {BYTES("\1\2\3"), "a few bytes only"},
        {BYTES("\1\2\3\4\5\6\7\x08\x09\x0a"), "unknown kind of file (first bytes 01 02 03"},
    };
    unsigned char tar[512] = "archive/";

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++)
        REFUSED(cases[i].words, cases[i].data, cases[i].size, cases[i].words);
    memcpy(tar + 257, "ustar", 5);
    REFUSED("tar", tar, sizeof tar, "tar archive");
}

static void test_fixtures(void **state)
{
    static const struct {
        const char *file, *words;
    } cases[] = {
        {"refuse_optimizer.pt", "the state of an optimizer"},
        {"refuse_module.pt", "a whole pickled object (elsewhere.module.Whole)"},
        {"refuse_tensor.pt", "found one tensor without a name"},
        {"refuse_number.pt", "found a number"},
        {"refuse_complex.pt", "ComplexFloatStorage"},
        {"refuse_float8.pt", "a has elements of a kind (torch.float8_e4m3fn)"},
        {"refuse_object_inside.pt", "b: expected a tensor, found an object of elsewhere.module.LogNormal"},
        {"refuse_torchscript.pt", "TorchScript"},
        {"refuse_objects.npz", "objects are pickles"},
        {"refuse_strings.npz", "no plain numbers"},
        {"refuse_other.zip", "no checkpoint (its first file is unet/config.json)"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        size_t size;
        unsigned char *data = fixture(cases[i].file, &size);

        REFUSED(cases[i].file, data, size, cases[i].words);
        free(data);
    }
}

/* ---- pickles ---- */

/* Pieces of what torch.save writes: {"a": a float32 tensor of storage 0 (4 elements)}. */
#define TEXT(n, s) "X" n "\0\0\0" s
#define STORAGE_ID(type, key, count)                                                                                   \
    "(" TEXT("\7", "storage") "ctorch\n" type "\n" TEXT("\1", key) TEXT("\3", "cpu") count "tQ"
#define STORAGE STORAGE_ID("FloatStorage", "0", "K\4")
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define TENSOR(storage, offset, size, stride) REBUILD "(" storage offset size stride "\x89}tR"
#define GOOD TENSOR(STORAGE, "K\0", "K\4\x85", "K\1\x85")
#define V3(offset, size, stride, dtype)                                                                                \
    "ctorch._utils\n_rebuild_tensor_v3\n("                                                                             \
    "(" TEXT("\7", "storage") "ctorch.storage\nUntypedStorage\n" TEXT("\1", "0")                                       \
        TEXT("\3", "cpu") "K\x10tQ" offset size stride "\x89}ctorch\n" dtype "\ntR"
#define DICT(contents) "\x80\2}" contents "."
#define NAMED(value) DICT(TEXT("\1", "a") value "s")

typedef struct pickle_case {
    const char *pickle;
    size_t size;
    const char *words; /* NULL: must load */
} pickle_case;

static const pickle_case pickle_cases[] = {
    {BYTES(NAMED(GOOD)), NULL},
    {BYTES(NAMED(TENSOR(STORAGE, "K\2", "K\2K\1\x86", "K\1K\1\x86"))), NULL},
    {BYTES(NAMED(TENSOR(STORAGE, "K\3", "K\2\x85", "K\0\x85"))), NULL},         /* expanded */
    {BYTES(NAMED(TENSOR(STORAGE, "J\0\0\0\x7f", "K\0\x85", "K\1\x85"))), NULL}, /* nothing of nowhere */
    /* Newer and rarer ways to rebuild a tensor. */
    {BYTES(NAMED(V3("K\0", "K\4\x85", "K\1\x85", "float32"))), NULL},
    {BYTES(NAMED(V3("K\0", "K\2\x85", "K\1\x85", "float64"))), NULL},
    {BYTES(NAMED(V3("K\0", "K\3\x85", "K\1\x85", "float64"))), "reaches beyond its storage"},
    {BYTES(NAMED(V3("K\0", "K\4\x85", "K\1\x85", "float8_e4m3fn"))), "torch.float8_e4m3fn) that is not supported"},
    {BYTES(NAMED("ctorch._tensor\n_rebuild_from_type_v2\n(" REBUILD "ctorch\nTensor\n"
                 "(" STORAGE "K\0K\4\x85K\1\x85\x89}t}tR")),
     NULL},
    {BYTES(NAMED("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nN)}tR")),
     "a tensor subclass in an unknown form"},
    {BYTES(NAMED("ctorch._utils\n_rebuild_parameter\n(" GOOD "\x88}tR")), NULL},
    {BYTES(NAMED("ctorch._utils\n_rebuild_parameter_with_state\n(" GOOD "\x88}}tR")), NULL},
    {BYTES(NAMED("ctorch._utils\n_rebuild_parameter\n(N\x88}tR")), "a parameter that is no tensor"},
    {BYTES("\x80\2ccollections\nOrderedDict\n](" TEXT("\1", "a") GOOD "\x86"
                                                                      "e\x85R."),
     NULL},
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "ctorch\nSize\nK\4\x85\x85R", "K\1\x85"))), NULL},
    /* The machine. */
    {BYTES(""), "truncated"},
    {BYTES("\x80\2}"), "truncated"},
    {BYTES("\x80\2."), "an end with other than one value"},
    {BYTES("\x80\2NN."), "an end with other than one value"},
    {BYTES("\x80\2N(."), "an end with other than one value"},
    {BYTES("\x80\6N."), "unknown protocol"},
    {BYTES("\x80\4\x95\xff\0\0\0\0\0\0\0N."), "a frame beyond the end"},
    {BYTES("0."), "stack underflow"},
    {BYTES("2."), "stack underflow"},
    {BYTES("N\x86."), "stack underflow"},
    {BYTES("N(0\x85\x86."), "stack underflow"},
    {BYTES("Ns."), "stack underflow"},
    {BYTES("b."), "stack underflow"},
    {BYTES("N(\x85."), "stack underflow"}, /* not through a mark */
    {BYTES("Nt."), "no mark"},
    {BYTES("1."), "no mark"},
    {BYTES("(Nd."), "a key without a value"},
    {BYTES("}(Nu."), "a key without a value"},
    {BYTES("h\5."), "never put"},
    {BYTES("Nq\1h\2."), "never put"},
    {BYTES("Nr\xff\xff\xff\xff."), "memo index out of order"},
    {BYTES("q\0."), "stack underflow"},
    {BYTES("X\xff\xff\xff\x7f"
           "abc"),
     "truncated"},
    {BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
           "abc"),
     "truncated"},
    {BYTES("\x8b\xff\xff\xff\xff."), "truncated"},
    {BYTES("cos\nsystem"), "an unterminated name"},
    {BYTES("NN\x93."), "a global whose name is no text"},
    {BYTES("c\0x\nFloatStorage\n."), "NUL in its name"}, /* found by fuzz_pickle */
    {BYTES(TEXT("\1", "\0") TEXT("\1", "a") "\x93."), "NUL in its name"},
    {BYTES("i"), "opcode 0x69"},
    {BYTES("(o"), "opcode 0x6f"},
    {BYTES("P0\n."), "opcode 0x50"},
    {BYTES("\x82\1."), "opcode 0x82"},
    {BYTES("\x96\0\0\0\0\0\0\0\0."), "opcode 0x96"},
    {BYTES("I1\n."), "opcode 0x49"},
    {BYTES("\0"), "opcode 0x00"},
    /* Values of the wrong kind (CVE-2026-24747 among them). */
    {BYTES("]NNs."), "items for a value of another kind"},
    {BYTES("}Na."), "items for a value of another kind"},
    {BYTES("N(NNu."), "items for a value of another kind"},
    {BYTES("](N\x90."), "items for a value of another kind"},
    {BYTES(GOOD "NNs."), "items for a value of another kind"},
    {BYTES("K\1}b."), "a state for a value that has none"},
    {BYTES("K\1)R."), "a call of something that is no name"},
    {BYTES("cos\nsystem\n}R."), "arguments that are no tuple"},
    {BYTES("ccollections\nOrderedDict\nK\1\x85R."), "a dict made of something else"},
    {BYTES("ccollections\nOrderedDict\n]K\1a\x85R."), "a dict made of something else"},
    /* Names are never called: an opaque object is left. */
    {BYTES("\x80\2cos\nsystem\n" TEXT("\4", "true") "\x85R."), "a whole pickled object (os.system)"},
    {BYTES("\x80\2cbuiltins\neval\n" TEXT("\1", "1") "\x85R."), "a whole pickled object (builtins.eval)"},
    {BYTES("\x80\2cposix\nsystem\n."), "found the name of a class"},
    {BYTES(NAMED("cos\nsystem\n" TEXT("\4", "true") "\x85R")), "expected named tensors"},
    {BYTES(DICT(TEXT("\1", "a") GOOD "s"
                                     "cos\nsystem\n)R"
                                     "Ns")),
     "found an object of os.system"},
    /* Persistent ids. */
    {BYTES("NQ."), "a persistent id that is no storage"},
    {BYTES(TEXT("\7", "storage") "\x85Q."), "a persistent id that is no storage"},
    {BYTES("(" TEXT("\7", "storage") "N" TEXT("\1", "0") TEXT("\3", "cpu") "K\4tQ."), "a malformed persistent id"},
    {BYTES(NAMED(TENSOR(STORAGE_ID("FloatStorage", "0", "J\xff\xff\xff\xff"), "K\0", "K\4\x85", "K\1\x85"))),
     "a malformed persistent id"},
    {BYTES(NAMED(TENSOR(STORAGE_ID("FloatStorage", "0", "\x8a\x08\0\0\0\0\0\0\0\x7f"), "K\0", "K\4\x85", "K\1\x85"))),
     "a storage whose size overflows"},
    {BYTES(NAMED(TENSOR(STORAGE_ID("FloatStorage", "7", "K\4"), "K\0", "K\4\x85", "K\1\x85"))),
     "record data/7 is missing"},
    {BYTES(NAMED(TENSOR(STORAGE_ID("FloatStorage", "0", "K\5"), "K\0", "K\4\x85", "K\1\x85"))),
     "expected 20 bytes, found 16"},
    {BYTES(DICT(TEXT("\1", "a") GOOD "s" TEXT("\1", "b")
                    TENSOR(STORAGE_ID("FloatStorage", "0", "K\3"), "K\0", "K\1\x85", "K\1\x85") "s")),
     "one storage declared in two ways"},
    {BYTES(DICT(TEXT("\1", "a") GOOD "s" TEXT("\1", "b")
                    TENSOR(STORAGE_ID("IntStorage", "0", "K\4"), "K\0", "K\1\x85", "K\1\x85") "s")),
     "one storage declared in two ways"},
    {BYTES(NAMED(TENSOR(STORAGE_ID("QInt8Storage", "0", "K\4"), "K\0", "K\4\x85", "K\1\x85"))), "QInt8Storage"},
    /* Views that leave their storage. */
    {BYTES(NAMED(TENSOR(STORAGE, "K\1", "K\4\x85", "K\1\x85"))), "reaches beyond its storage"},
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "K\2\x85", "K\4\x85"))), "reaches beyond its storage"},
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "K\2\x85", "J\xff\xff\xff\xff\x85"))), "non-negative integers"},
    {BYTES(NAMED(TENSOR(STORAGE, "J\xff\xff\xff\xff", "K\1\x85", "K\1\x85"))), "without storage and offset"},
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "K\1\x85", "K\1K\1\x86"))), "non-negative integers"},
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "N", "N"))), "non-negative integers"},
    {BYTES(NAMED(TENSOR("N", "K\0", "K\1\x85", "K\1\x85"))), "without storage and offset"},
    {BYTES(NAMED(REBUILD STORAGE "\x85R")), "without storage and offset"},
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"))),
     "up to 8 non-negative"},
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "J\0\0\0\x40\x85", "K\0\x85"))),
     "reaches beyond its storage"}, /* expanded bomb */
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "J\0\0\0\x40J\0\0\0\x40J\0\0\0\x40\x87", "K\0K\0K\0\x87"))),
     "reaches beyond its storage"}, /* 2^90 elements */
    {BYTES(NAMED(TENSOR(STORAGE, "K\0", "K\2\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"))),
     "reaches beyond its storage"},
    /* Names. */
    {BYTES(DICT(TEXT("\1", "a") GOOD "s" TEXT("\1", "a") GOOD "s")), "two tensors named a"},
    {BYTES(DICT(TEXT("\2", "a\0") GOOD "s")), "an empty or cut one"},
    {BYTES(DICT(TEXT("\0", "") GOOD "s")), "an empty or cut one"},
    {BYTES(DICT("K\1" GOOD "s")), "expected named tensors"},
};

static void expect_pickle(const char *title, const void *pickle, size_t size, const char *words)
{
    forge f = {0};

    forge_torch(&f, pickle, size, 4);
    expect(title, f.data, f.size, words ? PJD_ERR_MODEL : PJD_OK, words);
    forge_free(&f);
}

static void test_pickles(void **state)
{
    for (size_t i = 0; i < PJD_COUNTOF(pickle_cases); i++) {
        char title[32];

        snprintf(title, sizeof title, "pickle %zu", i);
        expect_pickle(title, pickle_cases[i].pickle, pickle_cases[i].size, pickle_cases[i].words);
    }
}

/* Small pickles that stand for huge or endless objects end soon. */
static void test_pickle_graphs(void **state)
{
    forge f = {0};

    for (int i = 0; i < 100000; i++) /* {"a": {"a": ... }}, 100000 deep */
        forge_bytes(&f, BYTES("}" TEXT("\1", "a")));
    forge_text(&f, "N");
    for (int i = 0; i < 100000; i++)
        forge_text(&f, "s");
    forge_text(&f, ".");
    expect_pickle("deep", f.data, f.size, "found a dict");
    forge_free(&f);
    for (int i = 0; i < 100000; i++)
        forge_text(&f, "(");
    expect_pickle("marks", f.data, f.size, "truncated");
    forge_free(&f);

    expect_pickle("dict in itself", BYTES("\x80\2}q\0" TEXT("\1", "a") "h\0s."), "found a dict");
    expect_pickle("dict in itself, with a tensor", BYTES("\x80\2}q\0" TEXT("\1", "a") "h\0s" TEXT("\1", "b") GOOD "s."),
                  "nested more than");
    expect_pickle("list in itself", BYTES("\x80\2]q\0h\0a."), "found a list");

    /* Ten references to a dict with ten references to ...: 10^9 paths. */
    forge_bytes(&f, BYTES("\x80\2}"));
    for (int level = 0; level < 9; level++) {
        forge_bytes(&f, BYTES("q\0010}")); /* kept in the memo, off the stack */
        for (char k = '0'; k <= '9'; k++) {
            forge_bytes(&f, BYTES("X\1\0\0\0"));
            forge_bytes(&f, &k, 1);
            forge_bytes(&f, BYTES("h\1s"));
        }
    }
    forge_text(&f, ".");
    expect_pickle("shared", f.data, f.size, "expected named tensors");
    forge_free(&f);

    /* Hyper-parameters that contain themselves become a bounded text. */
    expect_pickle(
        "hyper",
        BYTES(DICT(TEXT("\x0a", "state_dict") "}" TEXT("\1", "a") GOOD "ss" TEXT(
            "\x10", "hyper_parameters") "}q\5" TEXT("\1", "h") "h\5s" TEXT("\1", "i") "]q\6(h\5h\6h\6h\6h\5h\6ess")),
        NULL);
}

/* ---- archives ---- */

#define PICKLE NAMED(GOOD)
#define DATA_PKL                                                                                                       \
    {                                                                                                                  \
        .name = "a/data.pkl", .data = PICKLE, .size = sizeof(PICKLE) - 1                                               \
    }
#define FLOATS                                                                                                         \
    {                                                                                                                  \
        .name = "a/data/0", .data = "0123456789abcdef", .size = 16                                                     \
    }

typedef struct zip_case {
    const char *words; /* NULL: must load */
    forge_entry e[4];
} zip_case;

static const zip_case zip_cases[] = {
    {NULL, {DATA_PKL, FLOATS}},
    {NULL, {DATA_PKL, FLOATS, {.name = "a/version", .data = "3\n", .size = 2}}},
    {NULL, {DATA_PKL, FLOATS, {.name = "a/byteorder", .data = "little", .size = 6}}},
    {"unsafe name", {DATA_PKL, FLOATS, {.name = "a/../../x", .data = "", .size = 0}}},
    {"unsafe name", {DATA_PKL, FLOATS, {.name = "/etc/x", .data = "", .size = 0}}},
    {"unsafe name", {DATA_PKL, FLOATS, {.name = "a\\x", .data = "", .size = 0}}},
    {"unsafe name", {DATA_PKL, FLOATS, {.name = "C:/x", .data = "", .size = 0}}},
    {"unsafe name", {DATA_PKL, FLOATS, {.name = "", .data = "", .size = 0}}},
    {"listed twice", {DATA_PKL, FLOATS, FLOATS}},
    {"another name in its local header",
     {DATA_PKL, {.name = "a/data/0", .local_name = "a/data/1", .data = "0123456789abcdef", .size = 16}}},
    {"encrypted", {DATA_PKL, {.name = "a/data/0", .flags = 1, .data = "0123456789abcdef", .size = 16}}},
    {"encrypted", {DATA_PKL, {.name = "a/data/0", .flags = 0x40, .data = "0123456789abcdef", .size = 16}}},
    {"is compressed", {DATA_PKL, {.name = "a/data/0", .method = 8, .data = "0123456789abcdef", .size = 16}}},
    {"is compressed", {DATA_PKL, {.name = "a/data/0", .method = 99, .data = "0123456789abcdef", .size = 16}}},
    {"two different sizes",
     {DATA_PKL, {.name = "a/data/0", .claimed = 1 << 30, .data = "0123456789abcdef", .size = 16}}},
    {"no local header where",
     {DATA_PKL, {.name = "a/data/0", .local_shift = 3, .data = "0123456789abcdef", .size = 16}}},
    {"outside the file",
     {DATA_PKL, {.name = "a/data/0", .local_shift = 1 << 20, .data = "0123456789abcdef", .size = 16}}},
    {"checksum of data.pkl",
     {{.name = "a/data.pkl", .crc_error = 1, .data = PICKLE, .size = sizeof(PICKLE) - 1}, FLOATS}},
    {"damaged: the checksum of data/0 is wrong",
     {DATA_PKL, {.name = "a/data/0", .crc_error = 0x80, .data = "0123456789abcdef", .size = 16}}},
    /* what PyTorch writes after torch.serialization.set_crc32_options(False) */
    {NULL,
     {{.name = "a/data.pkl", .no_crc = true, .data = PICKLE, .size = sizeof(PICKLE) - 1},
      {.name = "a/data/0", .no_crc = true, .data = "0123456789abcdef", .size = 16}}},
    {"below a/", {DATA_PKL, FLOATS, {.name = "b/data.pkl", .data = "N.", .size = 2}}},
    {"below a/", {DATA_PKL, FLOATS, {.name = "x", .data = "", .size = 0}}},
    {"TorchScript", {DATA_PKL, FLOATS, {.name = "a/constants.pkl", .data = "N.", .size = 2}}},
    {"TorchScript", {DATA_PKL, FLOATS, {.name = "a/code/x.py", .data = "", .size = 0}}},
    {"little-endian", {DATA_PKL, FLOATS, {.name = "a/byteorder", .data = "big", .size = 3}}},
    {"version 1 to 10", {DATA_PKL, FLOATS, {.name = "a/version", .data = "11\n", .size = 3}}},
    {"version 1 to 10", {DATA_PKL, FLOATS, {.name = "a/version", .data = "", .size = 0}}},
    {"no checkpoint", {FLOATS}},
    {"no checkpoint", {{.name = "data.pkl", .data = PICKLE, .size = sizeof(PICKLE) - 1}}},
    {"data/0 is missing", {DATA_PKL}},
};

static void test_archives(void **state)
{
    for (size_t i = 0; i < PJD_COUNTOF(zip_cases); i++) {
        forge f = {0};
        size_t n = 0;
        char title[64];

        while (n < 4 && zip_cases[i].e[n].name)
            n++;
        snprintf(title, sizeof title, "archive %zu", i);
        forge_zip(&f, zip_cases[i].e, n);
        expect(title, f.data, f.size, zip_cases[i].words ? PJD_ERR_MODEL : PJD_OK, zip_cases[i].words);
        forge_free(&f);
    }
}

/* Entries that share bytes, and lies in the end records. */
static void test_archive_ends(void **state)
{
    static const forge_entry entries[] = {DATA_PKL, FLOATS};
    forge good = {0};

    forge_zip(&good, entries, 2);
    for (int kind = 0; kind < 8; kind++) {
        static const char *const words[] = {"without its end record", "a comment",        "several volumes",
                                            "more entries than",      "does not end at",  "overlaps",
                                            "zip64 end record",       "between directory"};
        forge f = {0};
        size_t directory;
        unsigned char *end;

        forge_bytes(&f, good.data, good.size);
        end = f.data + f.size - 22;
        directory = pjd_le32(end + 16);
        if (kind == 0) {
            forge_text(&f, "x");
        } else if (kind == 1) {
            end[20] = 1;
            forge_text(&f, "x");
            /* The record is no longer where it has to be, so say so in its place. */
            f.size--;
        } else if (kind == 2) {
            end[4] = 1;
        } else if (kind == 3) {
            end[8] = end[10] = 200;
        } else if (kind == 4) {
            end[16]++;
        } else if (kind == 5) {
            /* A third entry, the payload of which is the first one with its header: the central header of the second,
               moved to offset 0 and renamed in both places. */
            forge g = {0};
            forge_entry bomb[3] = {DATA_PKL, {.name = "a/x", .data = f.data, .size = 60}, FLOATS};

            forge_zip(&g, bomb, 3);
            /* a/data/0 now begins inside of a/x */
            memcpy(g.data + 30 + 10 + sizeof(PICKLE) - 1 + 30 + 3 + 4, g.data + pjd_le32(g.data + g.size - 6) - 16 - 38,
                   38);
            directory = pjd_le32(g.data + g.size - 6);
            directory += 46 + 10 + 46 + 3; /* third central header */
            forge_free(&f);
            f = g;
            f.data[directory + 42] = (unsigned char)(30 + 10 + sizeof(PICKLE) - 1 + 30 + 3 + 4);
            f.data[directory + 43] = (unsigned char)((30 + 10 + sizeof(PICKLE) - 1 + 30 + 3 + 4) >> 8);
        } else if (kind == 6) {
            forge g = {0};

            forge_bytes(&g, f.data, f.size - 22);
            forge_text(&g, "PK\6\7");
            forge_number(&g, 0, 4);
            forge_number(&g, (uint64_t)1 << 60, 8);
            forge_number(&g, 1, 4);
            forge_bytes(&g, f.data + f.size - 22, 22);
            forge_free(&f);
            f = g;
        } else {
            end[8] = end[10] = 1;
        }
        REFUSED(words[kind], f.data, f.size, words[kind]);
        forge_free(&f);
    }
    forge_free(&good);
}

/* An entry whose sizes and offset stand in a zip64 field, as those above 4 GiB do; the field cut short is refused. */
static void test_zip64(void **state)
{
    static const forge_entry entries[] = {DATA_PKL, FLOATS};

    for (int kind = 0; kind < 4; kind++) {
        forge good = {0}, f = {0};
        size_t directory, second, fields = kind == 1 ? 16 : 24;

        forge_zip(&good, entries, 2);
        directory = pjd_le32(good.data + good.size - 6);
        second = directory + 46 + strlen(entries[0].name);
        forge_bytes(&f, good.data, second + 46 + strlen(entries[1].name));
        memset(f.data + second + 20, 0xff, 8);
        memset(f.data + second + 42, 0xff, 4);
        f.data[second + 30] = (unsigned char)(4 + fields);
        forge_number(&f, 1, 2);
        forge_number(&f, kind == 2 ? 1000 : fields, 2);
        forge_number(&f, 16, 8);
        forge_number(&f, kind == 3 ? (uint64_t)1 << 63 : 16, 8);
        forge_number(&f, pjd_le32(good.data + second + 42), fields - 16);
        second = f.size - directory;
        forge_bytes(&f, good.data + good.size - 22, 22);
        for (int i = 0; i < 4; i++)
            f.data[f.size - 10 + (size_t)i] = (unsigned char)(second >> (8 * i));
        expect("zip64", f.data, f.size, kind == 0 ? PJD_OK : PJD_ERR_MODEL,
               kind == 3 ? "bytes outside the file" : "a damaged extra field");
        forge_free(&good);
        forge_free(&f);
    }
}

/* ---- safetensors ---- */

#define ENTRY(name, dtype, shape, offsets)                                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define A ENTRY("a", "F32", "[2]", "[0,8]")

static void test_safetensors(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *words; /* NULL: must load */
    } cases[] = {
        {"{" A "}", 8, NULL},
        {"{" A "}   ", 8, NULL},
        {"{" A "," ENTRY("b", "F16", "[]", "[8,10]") "," ENTRY("c", "I8", "[0]", "[10,10]") "}", 10, NULL},
        {"{\"__metadata__\":{\"format\":\"pt\"}," A "}", 8, NULL},
        {"{}", 0, "without tensors"},
        {"{" A "}", 7, "truncated"},
        {"{" A "}", 9, "expected 8 bytes of data, found 9"},
        {"{" A "," A "}", 8, "two tensors named a"},
        {"{" ENTRY("a", "F32", "[2]", "[4,12]") "}", 12, "hole"},
        {"{" A "," ENTRY("b", "F32", "[2]", "[4,12]") "}", 12, "overlap"},
        {"{" ENTRY("a", "F32", "[2]", "[8,0]") "}", 8, "data_offsets [begin, end]"},
        {"{" ENTRY("a", "F32", "[2]", "[0,4]") "}", 4, "another length"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8,8]") "}", 8, "data_offsets [begin, end]"},
        {"{" ENTRY("a", "F32", "[2]", "[0,\"8\"]") "}", 8, "data_offsets [begin, end]"},
        {"{" ENTRY("a", "F32", "[2]", "0") "}", 8, "data_offsets [begin, end]"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8.0]") "}", 8, "plain non-negative integer"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8e0]") "}", 8, "plain non-negative integer"},
        {"{" ENTRY("a", "F32", "[2]", "[-0,8]") "}", 8, "plain non-negative integer"},
        {"{" ENTRY("a", "F32", "[02]", "[0,8]") "}", 8, "plain non-negative integer"},
        {"{" ENTRY("a", "F32", "[+2]", "[0,8]") "}", 8, "plain non-negative integer"},
        {"{" ENTRY("a", "F32", "[0x2]", "[0,8]") "}", 8, "without a comma"},
        {"{" ENTRY("a", "F32", "[NaN]", "[0,8]") "}", 8, "plain non-negative integer"},
        {"{" ENTRY("a", "F32", "[18446744073709551618]", "[0,8]") "}", 8, "above 2^53"},
        {"{" ENTRY("a", "F32", "[9007199254740992,9007199254740992]", "[0,8]") "}", 8, "overflows"},
        {"{" ENTRY("a", "F32", "[4611686018427387904]", "[0,8]") "}", 8, "above 2^53"},
        {"{" ENTRY("a", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "}", 8, "at most 8 dimensions"},
        {"{" ENTRY("a", "F32", "{}", "[0,8]") "}", 8, "at most 8 dimensions"},
        {"{" ENTRY("a", "F8_E4M3", "[2]", "[0,8]") "}", 8, "found F8_E4M3"},
        {"{" ENTRY("a", "f32", "[2]", "[0,8]") "}", 8, "found f32"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "exactly dtype, shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, "exactly dtype, shape"},
        {"{\"a\":{\"DTYPE\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "a dtype"},
        {"{\"a\":[]}", 0, "exactly dtype, shape"},
        {"{" ENTRY("", "F32", "[2]", "[0,8]") "}", 8, "an empty or cut one"},
        {"{" ENTRY("a\\u0000b", "F32", "[2]", "[0,8]") "}", 8, "a NUL character"},
        {"{" ENTRY("a\xff", "F32", "[2]", "[0,8]") "}", 8, "not UTF-8"},
        {"{" ENTRY("a\xc0\xaf", "F32", "[2]", "[0,8]") "}", 8, "not UTF-8"},
        {"{" ENTRY("a\xed\xa0\x80", "F32", "[2]", "[0,8]") "}", 8, "not UTF-8"},
        {"{" ENTRY("a\n", "F32", "[2]", "[0,8]") "}", 8, "control character"},
        {"{" ENTRY("a\\x", "F32", "[2]", "[0,8]") "}", 8, "unknown escape"},
        {"{\"__metadata__\":{\"x\":1}," A "}", 8, "strings in __metadata__"},
        {"{\"__metadata__\":{\"x\":{\"y\":{\"z\":{}}}}," A "}", 8, "nested too deeply"},
        {"{\"__metadata__\":{},\"__metadata__\":{}," A "}", 8, "one __metadata__"},
        {"{" A "", 8, "an end in the middle"},
        {"{" A "}x", 8, "something behind the object"},
        {"{" A "} \0", 8, NULL}, /* the literal ends at its NUL */
        {"{" A ",}", 8, "a string belongs"},
        {"{a:1}", 0, "a string belongs"},
        {"{\"a\" 1}", 0, "without a colon"},
        {"{\"a\":nul}", 0, "unknown word"},
        {"{\"a", 0, "unterminated string"},
        {"{\"a\\u12xy\":1}", 0, "\\u escape"},
    };
    forge f = {0};

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        forge_safetensors(&f, cases[i].header, cases[i].data);
        expect(cases[i].header, f.data, f.size, cases[i].words ? PJD_ERR_MODEL : PJD_OK, cases[i].words);
        forge_free(&f);
    }
    /* Header longer than the file, and longer than any honest one. */
    forge_number(&f, 1000, 8);
    forge_text(&f, "{" A "}12345678");
    REFUSED("long header", f.data, f.size, "truncated: the safetensors header has 1000 bytes");
    f.data[6] = 0x10;
    REFUSED("longer header", f.data, f.size, "truncated: the safetensors header has 45035996");
    forge_free(&f);
    /* 100000 open brackets. */
    forge_number(&f, 100001, 8);
    forge_text(&f, "{");
    for (int i = 0; i < 100000; i++)
        forge_text(&f, "[");
    REFUSED("brackets", f.data, f.size, "a string belongs");
    forge_free(&f);
}

/* ---- npz ---- */

static void test_npz(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *words; /* NULL: must load */
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8, NULL},
        {"{\"descr\": \"<f4\", 'fortran_order': True, 'shape': (1, 2L)}  \n", 8, NULL},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 16, "objects are pickles"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 8, "another number of bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 8, "another number of bytes"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (2,), }", 32, "no plain numbers"},
        {"{'descr': '|f4', 'fortran_order': False, 'shape': (2,), }", 8, "no plain numbers"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "no plain numbers"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", 8, "malformed header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, "malformed shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8, "malformed shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296), }", 8, "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2), }", 8, "malformed shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, }", 8, "malformed shape"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8, "one twice"},
        {"{'descr': '<f4', 'shape': (2,), }", 8, "without descr, fortran_order or shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': __import__('os')}", 8, "unknown key"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} + {}", 8, "something behind"},
        {"[]", 8, "no dict"},
        {"", 8, "no dict"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        unsigned char zeros[64] = {0};
        forge array = {0}, f = {0};
        forge_entry e = {.name = "a.npy"};

        forge_bytes(&array, BYTES("\x93NUMPY\1\0"));
        forge_number(&array, strlen(cases[i].header), 2);
        forge_text(&array, cases[i].header);
        forge_bytes(&array, zeros, cases[i].data);
        e.data = array.data;
        e.size = array.size;
        forge_zip(&f, &e, 1);
        expect(cases[i].header, f.data, f.size, cases[i].words ? PJD_ERR_MODEL : PJD_OK, cases[i].words);
        forge_free(&f);
        /* The same bytes as what deflate should undo; and with a claim that it cannot keep. */
        e.method = 8;
        forge_zip(&f, &e, 1);
        REFUSED("not deflated", f.data, f.size, "inflate");
        forge_free(&f);
        e.claimed = 0x7fffffff;
        forge_zip(&f, &e, 1);
        REFUSED("bomb", f.data, f.size, "compression cannot reach");
        forge_free(&f);
        e.method = 12;
        forge_zip(&f, &e, 1);
        REFUSED("bzip2", f.data, f.size, "expected no compression or deflate");
        forge_free(&f);
        forge_free(&array);
    }
}

/* ---- old container ---- */

#define MAGIC "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define VERSION "\x80\2M\xe9\3."
#define SYSTEM "\x80\2}" TEXT("\x0d", "little_endian") "\x88s."
#define STORAGE6 "(" TEXT("\7", "storage") "ctorch\nFloatStorage\n" TEXT("\1", "0") TEXT("\3", "cpu") "K\2NtQ"
#define OBJECT NAMED(TENSOR(STORAGE6, "K\0", "K\2\x85", "K\1\x85"))
#define KEYS "\x80\2]" TEXT("\1", "0") "a."
#define ELEMENTS                                                                                                       \
    "\2\0\0\0\0\0\0\0"                                                                                                 \
    "\0\0\0\0\0\0\0\0"

static void test_legacy(void **state)
{
    static const pickle_case cases[] = {
        {BYTES(MAGIC VERSION SYSTEM OBJECT KEYS ELEMENTS), NULL},
        {BYTES(MAGIC VERSION SYSTEM OBJECT KEYS ELEMENTS "trailing"), NULL},
        {BYTES(MAGIC "\x80\2K\1." SYSTEM OBJECT KEYS ELEMENTS), "protocol version 1001"},
        {BYTES(MAGIC VERSION "\x80\2}" TEXT("\x0d", "little_endian") "\x89s." OBJECT KEYS ELEMENTS), "little-endian"},
        {BYTES(MAGIC VERSION "\x80\2}." OBJECT KEYS ELEMENTS), "little-endian"},
        {BYTES(MAGIC VERSION SYSTEM OBJECT "\x80\2N." ELEMENTS), "a list of storages"},
        {BYTES(MAGIC VERSION SYSTEM OBJECT "\x80\2]." ELEMENTS), "is not listed"},
        {BYTES(MAGIC VERSION SYSTEM OBJECT "\x80\2]" TEXT("\1", "1") "a." ELEMENTS), "does not use"},
        {BYTES(MAGIC VERSION SYSTEM OBJECT "\x80\2]K\1a." ELEMENTS), "does not use"},
        {BYTES(MAGIC VERSION SYSTEM OBJECT "\x80\2](" TEXT("\1", "0") TEXT("\1", "0") "e." ELEMENTS ELEMENTS),
         "listed twice"},
        {BYTES(MAGIC VERSION SYSTEM OBJECT KEYS "\3\0\0\0\0\0\0\0"
                                                "\0\0\0\0\0\0\0\0"),
         "count is not the declared"},
        {BYTES(MAGIC VERSION SYSTEM OBJECT KEYS "\2\0\0\0\0\0\0\0"
                                                "\0\0\0\0\0\0\0"),
         "truncated"},
        {BYTES(MAGIC VERSION SYSTEM OBJECT KEYS), "truncated"},
        {BYTES(MAGIC VERSION SYSTEM "\x80\2(" TEXT("\6", "module") "cmy\nNet\n" TEXT("\1", "f")
                   TEXT("\1", "s") "tQ)\x81."
                                   "\x80\2]."),
         "a whole pickled object (my.Net)"},
        {BYTES(MAGIC VERSION SYSTEM "\x80\2(" TEXT("\7", "storage") "ctorch\nFloatStorage\n" TEXT("\1", "0")
                   TEXT("\3", "cpu") "K\2" TEXT("\1", "v") "K\0K\1\x87tQ."
                                                           "\x80\2]."),
         "a view of a storage"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        char title[32];

        snprintf(title, sizeof title, "legacy %zu", i);
        expect(title, cases[i].pickle, cases[i].size, cases[i].words ? PJD_ERR_MODEL : PJD_OK, cases[i].words);
    }
}

/* ---- paths ---- */

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void expect_path(const char *folder, const char *name, pjd_status want, const char *words)
{
    char path[512];
    pjd_error err = {0};
    pjd_weights *w;
    pjd_status status;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    status = pjd_weights_open(path, NULL, &w, &err);
    assert_null(w);
    if (status != want || !strstr(err.text, words))
        fail_msg("%s: %s: %s; expected \"%s\"", path, pjd_status_name(status), err.text, words);
}

static void test_paths(void **state)
{
    static const struct {
        const char *index, *words;
        pjd_status want;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"../x\"}}", "the plain name of a file", PJD_ERR_MODEL},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "the plain name of a file", PJD_ERR_MODEL},
        {"{\"weight_map\":{\"a\":\"..\"}}", "the plain name of a file", PJD_ERR_MODEL},
        {"{\"weight_map\":{\"a\":\"\"}}", "the plain name of a file", PJD_ERR_MODEL},
        {"{\"weight_map\":{\"a\":1}}", "the plain name of a file", PJD_ERR_MODEL},
        {"{\"weight_map\":{\"a\":\"absent.safetensors\"}}", "absent.safetensors", PJD_ERR_IO},
        {"{\"weight_map\":{\"a\":\"text\"}}", "not a checkpoint: a text", PJD_ERR_MODEL},
        {"{\"weight_map\":{}}", "a weight_map", PJD_ERR_MODEL},
        {"{}", "a weight_map", PJD_ERR_MODEL},
        {"{\"weight_map\":", "an end in the middle", PJD_ERR_MODEL},
        {"[]", "no object", PJD_ERR_MODEL},
    };
    char folder[] = "/tmp/pjd-weights-XXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    expect_path(folder, "absent.pt", PJD_ERR_IO, "No such file");
    expect_path(folder, "", PJD_ERR_MODEL, "a folder without config.json");
    write_text(folder, "model_index.json", "{}");
    expect_path(folder, "", PJD_ERR_MODEL, "a pipeline (model_index.json) without unet");
    write_text(folder, "config.json", "");
    expect_path(folder, "", PJD_ERR_MODEL, "expected a JSON object, found no object at byte 0");
    write_text(folder, "config.json", "{\"a\":01}");
    expect_path(folder, "", PJD_ERR_MODEL, "expected a JSON object");
    write_text(folder, "config.json", "{}");
    expect_path(folder, "", PJD_ERR_MODEL, "config.json without diffusion_pytorch_model.safetensors");
    write_text(folder, "diffusion_pytorch_model.safetensors", "");
    expect_path(folder, "", PJD_ERR_MODEL, "an empty file");
    write_text(folder, "text", "what is this");
    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        write_text(folder, "m.index.json", cases[i].index);
        expect_path(folder, "m.index.json", cases[i].want, cases[i].words);
    }
    snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_path(folder, "fifo", PJD_ERR_IO, "a regular file");
    for (const char *const *n = (const char *const[]){"fifo", "text", "m.index.json", "config.json", "model_index.json",
                                                      "diffusion_pytorch_model.safetensors", NULL};
         *n; n++) {
        snprintf(path, sizeof path, "%s/%s", folder, *n);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* Pickles that claim EDM's classes. G: the name of the class, with nothing called yet. */
#define G "\x80\2ctorch_utils.persistence\n_reconstruct_persistent_obj\n"

static void test_objects(void **state)
{
    const struct {
        const char *data;
        size_t size;
        const char *words;
    } cases[] = {
        {BYTES(G "}\x85R."), "no network was found"},
        {BYTES(G "}X\5\0\0\0stateKKs\x85R."), "no network was found"},
        {BYTES(G "N\x85R."), "no network was found"},
        {BYTES(G), "truncated"},
        {BYTES(G "ctorch.storage\n_load_from_bytes\nN\x85R0."), "a storage that is made of no bytes"},
        {BYTES(G "ctorch.storage\n_load_from_bytes\nC\4abcd\x85R0."), "bytes that are no saved storage"},
        {BYTES(G "X\7\0\0\0storageQ."), "a storage kept elsewhere"},
        /* an object that holds itself: memo 0 is the description, memo 1 its attributes */
        {BYTES(G "}q\0X\5\0\0\0state}q\1X\x08\0\0\0_modules}X\1\0\0\0ah\0sss\x85R."), "nested more than"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++)
        REFUSED(cases[i].words, cases[i].data, cases[i].size, cases[i].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),      cmocka_unit_test(test_kinds),         cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_pickles),      cmocka_unit_test(test_pickle_graphs), cmocka_unit_test(test_archives),
        cmocka_unit_test(test_archive_ends), cmocka_unit_test(test_zip64),         cmocka_unit_test(test_safetensors),
        cmocka_unit_test(test_npz),          cmocka_unit_test(test_legacy),        cmocka_unit_test(test_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
