/* SPDX-License-Identifier: MIT */
/* Outputs appear whole or not at all, and never over an existing file unasked. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "folder.h"
#include "io/internal.h"

static void must_hold(const char *path, const char *text)
{
    size_t size;
    unsigned char *bytes = test_file(path, &size);

    assert_non_null(bytes);
    assert_string_equal((char *)bytes, text);
    free(bytes);
}

static void appears_on_commit_only(void **state)
{
    pjd_output *o;
    const char *temporary;
    pjd_error err;
    struct stat info;
    mode_t mask = umask(022);

    assert_ok(pjd_output_begin(in_folder("a.png"), false, &o, &temporary, &err), &err);
    assert_int_not_equal(access(in_folder("a.png"), F_OK), 0);
    assert_string_equal(pjd_extension(temporary), "png");
    put_file(temporary, "whole", 5);
    assert_ok(pjd_output_commit(o, &err), &err);
    must_hold(in_folder("a.png"), "whole");
    assert_int_equal(stat(in_folder("a.png"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644); /* not mkstemp's 0600 */
    umask(mask);
    assert_int_equal(folder_count(true), 1);
}

static void leaves_nothing_on_abort(void **state)
{
    pjd_output *o;
    const char *temporary;
    pjd_error err;

    assert_ok(pjd_output_begin(in_folder("a.png"), false, &o, &temporary, &err), &err);
    put_file(temporary, "half", 4);
    pjd_output_abort(o);
    pjd_output_abort(NULL);
    assert_int_equal(folder_count(false), 0);
}

static void refuses_an_existing_file(void **state)
{
    pjd_output *o;
    const char *temporary;
    pjd_error err;

    put_file(in_folder("a.png"), "old", 3);
    assert_int_equal(pjd_output_begin(in_folder("a.png"), false, &o, &temporary, &err), PJD_ERR_EXISTS);
    assert_null(o);
    must_hold(in_folder("a.png"), "old");
    assert_int_equal(folder_count(true), 1);
}

/* A file that came into being while we computed. */
static void refuses_a_file_that_appears_meanwhile(void **state)
{
    pjd_output *o;
    const char *temporary;
    pjd_error err;

    assert_ok(pjd_output_begin(in_folder("a.png"), false, &o, &temporary, &err), &err);
    put_file(temporary, "new", 3);
    put_file(in_folder("a.png"), "theirs", 6);
    assert_int_equal(pjd_output_commit(o, &err), PJD_ERR_EXISTS);
    must_hold(in_folder("a.png"), "theirs");
    assert_int_equal(folder_count(true), 1);
}

static void every_rename_method_keeps_the_existing(void **state)
{
    for (int method = 0; method <= 3; method++) {
        put_file(in_folder("from"), "new", 3);
        put_file(in_folder("to"), "old", 3);
        assert_int_equal(pjd_rename_new(in_folder("from"), in_folder("to"), method), -1);
        assert_int_equal(errno, EEXIST);
        must_hold(in_folder("to"), "old");
        unlink(in_folder("to"));
        assert_int_equal(pjd_rename_new(in_folder("from"), in_folder("to"), method), 0);
        must_hold(in_folder("to"), "new");
        assert_int_equal(folder_count(true), 1);
    }
}

static void overwrites_when_asked(void **state)
{
    pjd_output *o;
    const char *temporary;
    pjd_error err;
    struct stat info;

    put_file(in_folder("real.png"), "old", 3);
    chmod(in_folder("real.png"), 0640);
    assert_int_equal(symlink("real.png", in_folder("link.png")), 0);
    assert_ok(pjd_output_begin(in_folder("link.png"), true, &o, &temporary, &err), &err);
    must_hold(in_folder("link.png"), "old");
    put_file(temporary, "new", 3);
    assert_ok(pjd_output_commit(o, &err), &err);
    must_hold(in_folder("real.png"), "new"); /* the link still points there */
    assert_int_equal(lstat(in_folder("link.png"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat(in_folder("real.png"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(folder_count(true), 2);
}

static void refuses_what_is_no_file(void **state)
{
    pjd_output *o;
    pjd_error err;

    assert_int_equal(pjd_output_begin("", true, &o, NULL, &err), PJD_ERR_IO);
    assert_int_equal(pjd_output_begin(test_folder, true, &o, NULL, &err), PJD_ERR_IO);
    assert_int_equal(pjd_output_begin(in_folder("x/"), true, &o, NULL, &err), PJD_ERR_IO);
    assert_int_equal(pjd_output_begin(in_folder("none/a.png"), true, &o, NULL, &err), PJD_ERR_IO);
    assert_int_equal(pjd_output_begin("/dev/null", true, &o, NULL, &err), PJD_ERR_IO);
    assert_null(o);
    assert_int_equal(folder_count(false), 0);
}

static void takes_odd_and_long_names(void **state)
{
    static const char *const names[] = {
        "\xc3\xbc\xe6\x97\xa5.png", "a b.png", ".hidden", "no_extension", "[x]", "%s.png"};
    char name[256] = "";
    pjd_output *o;
    const char *temporary;
    pjd_error err;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_ok(pjd_output_begin(in_folder(names[i]), false, &o, &temporary, &err), &err);
        assert_string_equal(pjd_extension(temporary),
                            names[i][0] == '.' || !strchr(names[i], '.') ? pjd_extension(temporary) : "png");
        assert_ok(pjd_output_commit(o, &err), &err);
        assert_int_equal(access(in_folder(names[i]), F_OK), 0);
    }
    assert_int_equal(folder_count(true), sizeof names / sizeof names[0]);
    for (int i = 0; i < 83; i++) /* 253 bytes of three-byte characters and a dot: NAME_MAX is 255 */
        strcat(name, "\xe6\x97\xa5");
    strcat(name, ".png");
    assert_ok(pjd_output_begin(in_folder(name), false, &o, &temporary, &err), &err);
    assert_ok(pjd_output_commit(o, &err), &err);
    assert_int_equal(folder_count(true), 1);
}

static void interrupt(int signal)
{
    pjd_output_abort_all();
    _exit(77);
}

static void an_interrupt_leaves_nothing(void **state)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        pjd_output *o;
        const char *temporary;

        signal(SIGTERM, interrupt);
        for (int i = 0; i < 5; i++) {
            char name[16];
            int fd;

            snprintf(name, sizeof name, "%d.png", i);
            if (pjd_output_begin(in_folder(name), false, &o, &temporary, NULL) != PJD_OK)
                _exit(1);
            fd = open(temporary, O_WRONLY);
            if (fd < 0 || write(fd, "half", 4) != 4)
                _exit(2);
        }
        raise(SIGTERM);
        _exit(3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 77);
    assert_int_equal(folder_count(false), 0);
}

static void commit_after_abort_all_fails(void **state)
{
    pjd_output *o;
    pjd_error err;

    for (int i = 0; i < 200; i++) { /* more than there are slots: they are given back */
        assert_ok(pjd_output_begin(in_folder("a.png"), false, &o, NULL, &err), &err);
        pjd_output_abort_all();
        pjd_output_abort_all();
        assert_int_equal(pjd_output_commit(o, &err), PJD_ERR_IO);
    }
    assert_int_equal(folder_count(false), 0);
}

static void bounds_the_number_of_unfinished_outputs(void **state)
{
    pjd_output *o[65];
    pjd_error err;
    int n = 0;

    for (; n < 65; n++) {
        char name[16];

        snprintf(name, sizeof name, "%d", n);
        if (pjd_output_begin(in_folder(name), false, &o[n], NULL, &err) != PJD_OK)
            break;
    }
    assert_int_equal(n, 64);
    while (n-- > 0)
        pjd_output_abort(o[n]);
    assert_int_equal(folder_count(false), 0);
}

/* A limit on the size of files stands in for a full disk. */
static void a_full_disk_is_an_error(void **state)
{
    static float big[100000];
    struct rlimit old, small;
    pjd_shape shape = {.rank = 1, .dim = {100000}};
    pjd_status st;
    pjd_error err;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 10000;
    setrlimit(RLIMIT_FSIZE, &small);
    st = pjd_npy_write(in_folder("big.npy"), big, &shape, false, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(st, PJD_ERR_IO);
    assert_non_null(strstr(err.text, "cannot be written"));
    assert_int_equal(folder_count(false), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appears_on_commit_only),
        cmocka_unit_test(leaves_nothing_on_abort),
        cmocka_unit_test(refuses_an_existing_file),
        cmocka_unit_test(refuses_a_file_that_appears_meanwhile),
        cmocka_unit_test(every_rename_method_keeps_the_existing),
        cmocka_unit_test(overwrites_when_asked),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(takes_odd_and_long_names),
        cmocka_unit_test(an_interrupt_leaves_nothing),
        cmocka_unit_test(commit_after_abort_all_fails),
        cmocka_unit_test(bounds_the_number_of_unfinished_outputs),
        cmocka_unit_test(a_full_disk_is_an_error),
    };

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
