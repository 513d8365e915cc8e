/* SPDX-License-Identifier: MIT */
/* Sound files: what is written is read again bit by bit, broken files are refused in one line, rates change exactly. */
#include "folder.h"
#include "io/internal.h"

static const size_t lengths[] = {1, 2, 3, 17, 4411};
static const double scales[] = {32768, 8388608, 2147483648.0, 0};

/* Values the format holds exactly, the extremes among them. */
static void fill(float *x, size_t n, pjd_sound_format format)
{
    test_random(x, n, 5 + format);
    for (size_t i = 0; i < n; i++) {
        x[i] *= 0.2f;
        if (!(fabsf(x[i]) < 0.999f))
            x[i] = 0.5f;
        if (scales[format] > 0)
            x[i] = (float)(nearbyint(x[i] * scales[format]) / scales[format]);
    }
    x[0] = -1;
    if (n > 2)
        x[2] = format == PJD_SOUND_FLOAT ? 3.5f : format == PJD_SOUND_PCM16 ? 32767 / 32768.0f : 0.25f;
}

static size_t read_all(const char *path, float *x, size_t room, pjd_sound_info *info)
{
    pjd_sound *s = NULL;
    pjd_error err;
    size_t n = 0, got;

    assert_ok(pjd_sound_open(path, &s, &err), &err);
    pjd_sound_get_info(s, info);
    do {
        assert_ok(pjd_sound_read(s, x + n * info->channels, room - n < 1000 ? room - n : 1000, &got, &err), &err);
        n += got;
    } while (got > 0);
    pjd_sound_close(s);
    return n;
}

static void write_all(const char *path, const float *x, size_t n, const pjd_sound_info *info)
{
    pjd_sound_writer *w = NULL;
    pjd_error err;

    assert_ok(pjd_sound_create(path, info, true, &w, &err), &err);
    for (size_t i = 0; i < n; i += 1000)
        assert_ok(pjd_sound_write(w, x + i * info->channels, n - i < 1000 ? n - i : 1000, &err), &err);
    assert_int_equal(pjd_sound_clipped(w), 0);
    assert_ok(pjd_sound_commit(w, &err), &err);
}

static void round_trips_are_exact(void **state)
{
    static float x[3 * 4411], y[3 * 4500];
    pjd_sound_info in, out;

    for (int flac = 0; flac < 2; flac++)
        for (size_t channels = 1; channels <= 3; channels++)
            for (int f = PJD_SOUND_PCM16; f <= (flac ? PJD_SOUND_PCM24 : PJD_SOUND_FLOAT); f++)
                for (size_t k = 0; k < PJD_COUNTOF(lengths); k++) {
                    size_t n = lengths[k];
                    const char *path = in_folder(flac ? "a.flac" : "a.wav");

                    in = (pjd_sound_info){.channels = channels, .rate = 22050, .format = (pjd_sound_format)f};
                    fill(x, n * channels, in.format);
                    write_all(path, x, n, &in);
                    assert_int_equal(read_all(path, y, 4500, &out), n);
                    assert_int_equal(out.frames, n);
                    assert_int_equal(out.channels, channels);
                    assert_int_equal(out.rate, 22050);
                    assert_int_equal(out.format, f);
                    assert_string_equal(out.container, flac ? "flac" : "wav");
                    assert_memory_equal(x, y, n * channels * sizeof *x);
                }
    folder_count(true);
}

static void same_input_same_bytes(void **state)
{
    static float x[1000];
    pjd_sound_info info = {.channels = 1, .rate = 8000, .format = PJD_SOUND_FLOAT};
    size_t a, b;
    unsigned char *p, *q;

    fill(x, 1000, PJD_SOUND_FLOAT);
    write_all(in_folder("a.wav"), x, 1000, &info);
    p = test_file(in_folder("a.wav"), &a);
    sleep(1); /* a time of writing would show */
    write_all(in_folder("b.wav"), x, 1000, &info);
    q = test_file(in_folder("b.wav"), &b);
    assert_int_equal(a, b);
    assert_memory_equal(p, q, a);
    free(p);
    free(q);
    folder_count(true);
}

static void what_does_not_fit_is_counted(void **state)
{
    static const float x[] = {1, -1, 1.5f, -1.5f, NAN, 0.99999f, 0.5f};
    pjd_sound_info info = {.channels = 1, .rate = 8000, .format = PJD_SOUND_PCM16};
    pjd_sound_writer *w = NULL;
    pjd_error err;
    float y[8];

    assert_ok(pjd_sound_create(in_folder("a.wav"), &info, false, &w, &err), &err);
    assert_int_equal(folder_count(false), 1); /* a temporary one */
    assert_ok(pjd_sound_write(w, x, 7, &err), &err);
    assert_int_equal(pjd_sound_clipped(w), 5);
    assert_ok(pjd_sound_commit(w, &err), &err);
    assert_int_equal(read_all(in_folder("a.wav"), y, 8, &info), 7);
    assert_true(y[0] == 32767 / 32768.0f && y[1] == -1 && y[2] == y[0] && y[3] == -1 && y[4] == 0 && y[6] == 0.5f);
    assert_int_equal(pjd_sound_create(in_folder("a.wav"), &info, false, &w, &err), PJD_ERR_EXISTS);
    assert_int_equal(pjd_sound_create(in_folder("a.mp3"), &info, false, &w, &err), PJD_ERR_ARG);
    info.format = PJD_SOUND_FLOAT;
    assert_int_equal(pjd_sound_create(in_folder("a.flac"), &info, false, &w, &err), PJD_ERR_ARG);
    info.channels = 0;
    assert_int_equal(pjd_sound_create(in_folder("b.wav"), &info, false, &w, &err), PJD_ERR_ARG);
    info.channels = 1;
    assert_ok(pjd_sound_create(in_folder("b.wav"), &info, false, &w, &err), &err);
    pjd_sound_abort(w);
    assert_int_equal(folder_count(true), 1);
}

/* PJD_OK only if the whole file could be read. */
static pjd_status reading(const char *path, size_t *frames, pjd_error *err)
{
    float x[256];
    pjd_sound *s = NULL;
    pjd_status st = pjd_sound_open(path, &s, err);
    size_t got = 0;

    *frames = 0;
    while (st == PJD_OK) {
        st = pjd_sound_read(s, x, 64, &got, err);
        *frames += got;
        if (got == 0)
            break;
    }
    pjd_sound_close(s);
    return st;
}

/* Cut anywhere, a file is refused: never read as a shorter one. */
static void truncated_files_are_refused(void **state)
{
    static const char *const names[] = {"a.wav", "a.flac"};
    static float x[300];

    for (size_t k = 0; k < 2; k++) {
        pjd_sound_info info = {.channels = 1, .rate = 8000, .format = PJD_SOUND_PCM16};
        const char *path = in_folder(names[k]);
        size_t size, n;
        unsigned char *bytes;
        pjd_error err;

        fill(x, 300, PJD_SOUND_PCM16);
        write_all(path, x, 300, &info);
        bytes = test_file(path, &size);
        assert_ok(reading(path, &n, &err), &err);
        for (size_t cut = 0; cut < size; cut++) {
            put_file(path, bytes, cut);
            err.text[0] = '\0';
            if (reading(path, &n, &err) == PJD_OK)
                fail_msg("%s cut at %zu of %zu was read as %zu samples", names[k], cut, size, n);
            assert_true(err.text[0] && !strchr(err.text, '\n'));
        }
        free(bytes);
    }
    folder_count(true);
}

static void damaged_files_do_no_harm(void **state)
{
    static const char *const names[] = {"a.wav", "a.flac"};
    static float x[300];

    for (size_t k = 0; k < 2; k++) {
        pjd_sound_info info = {.channels = 2, .rate = 44100, .format = PJD_SOUND_PCM24};
        const char *path = in_folder(names[k]);
        size_t size, n;
        unsigned char *bytes;
        pjd_error err;

        fill(x, 300, PJD_SOUND_PCM24);
        write_all(path, x, 150, &info);
        bytes = test_file(path, &size);
        for (size_t at = 0; at < size && at < 120; at++)
            for (int v = 0; v < 3; v++) {
                unsigned char old = bytes[at];

                bytes[at] = (unsigned char)(v == 0 ? 255 : v == 1 ? 0 : old ^ 0x80);
                put_file(path, bytes, size);
                if (reading(path, &n, &err) != PJD_OK)
                    assert_null(strchr(err.text, '\n'));
                bytes[at] = old;
            }
        free(bytes);
    }
    folder_count(true);
}

static void other_files_are_refused(void **state)
{
    static const float nan_sample[] = {0, 0, NAN, 0};
    pjd_sound_info info = {.channels = 1, .rate = 8000, .format = PJD_SOUND_FLOAT};
    pjd_error err;
    size_t n;

    assert_int_equal(reading(in_folder("none.wav"), &n, &err), PJD_ERR_IO);
    assert_int_equal(reading(test_folder, &n, &err), PJD_ERR_IO);
    put_file(in_folder("a.wav"), "", 0);
    assert_int_equal(reading(in_folder("a.wav"), &n, &err), PJD_ERR_FORMAT);
    put_file(in_folder("a.wav"), "this is not a sound, whatever its name says", 43);
    assert_int_equal(reading(in_folder("a.wav"), &n, &err), PJD_ERR_FORMAT);
    write_all(in_folder("a.wav"), nan_sample, 4, &info);
    assert_int_equal(reading(in_folder("a.wav"), &n, &err), PJD_ERR_FORMAT);
    assert_non_null(strstr(err.text, "sample 2"));
    folder_count(true);
}

static size_t convert(pjd_rate *r, const float *in, size_t n, size_t block, float *out, size_t room)
{
    size_t used, made, done = 0, count = 0;
    pjd_error err;

    for (;;) {
        size_t want = n - done < block ? n - done : block;

        assert_ok(pjd_rate_run(r, done < n ? in + done : NULL, want, &used, out + count,
                               room - count < block ? room - count : block, &made, &err),
                  &err);
        if (done >= n && made == 0)
            return count;
        done += used;
        count += made;
    }
}

/* A sine stays a sine, in phase: only the length differs. 20 bit quality: 1e-5 away from the ends is generous. */
static void rates_change(void **state)
{
    static const unsigned rates[][2] = {{44100, 22050}, {22050, 44100}, {48000, 22050}, {8000, 22050}, {8000, 8000}};
    static float in[20000], out[60000];
    pjd_error err;

    for (size_t k = 0; k < PJD_COUNTOF(rates); k++) {
        pjd_rate *r = NULL;
        size_t n = 20000, made;
        double worst = 0;

        for (size_t i = 0; i < n; i++)
            in[i] = (float)(0.5 * sin(2 * M_PI * 440 * (double)i / rates[k][0]));
        assert_ok(pjd_rate_create(rates[k][0], rates[k][1], 1, &r, &err), &err);
        made = convert(r, in, n, 777, out, 60000);
        assert_at_most(fabs((double)made - (double)n * rates[k][1] / rates[k][0]), 1);
        for (size_t i = 1000; i + 1000 < made; i++) {
            double e = fabs(out[i] - 0.5 * sin(2 * M_PI * 440 * (double)i / rates[k][1]));

            worst = e <= worst ? worst : e;
        }
        assert_at_most(worst, 1e-5);
        pjd_rate_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_are_exact),
        cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(rates_change),
    };

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
