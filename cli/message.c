/* SPDX-License-Identifier: MIT */
/* What is said on standard error, the exit codes, and interrupts. */
#include "cli.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "projdiff/io.h"

static const char *command_name;
static bool is_verbose, is_quiet;

void cli_set_command(const char *name)
{
    command_name = name;
}

void cli_set_levels(bool verbose, bool quiet)
{
    is_verbose = verbose && !quiet;
    is_quiet = quiet;
}

bool cli_verbose(void)
{
    return is_verbose;
}

bool cli_quiet(void)
{
    return is_quiet;
}

/* One line, whatever the text holds. */
PJD_PRINTF(2, 0) static void say_line(const char *kind, const char *fmt, va_list ap)
{
    char text[PJD_ERROR_TEXT_MAX + CLI_PATH_MAX];

    vsnprintf(text, sizeof text, fmt, ap);
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    cli_progress_clear();
    if (cli_progress_json()) {
        fprintf(stderr, "{\"event\":\"%s\",\"text\":", kind);
        cli_json_string(stderr, text);
        fputs("}\n", stderr);
        return;
    }
    fprintf(stderr, "projdiff: ");
    if (command_name)
        fprintf(stderr, "%s: ", command_name);
    fprintf(stderr, "%s%s\n", strcmp(kind, "warning") ? "" : "warning: ", text);
}

int cli_error(int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say_line("error", fmt, ap);
    va_end(ap);
    return code;
}

void cli_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say_line("warning", fmt, ap);
    va_end(ap);
}

void cli_say(const char *fmt, ...)
{
    va_list ap;

    if (is_quiet)
        return;
    va_start(ap, fmt);
    say_line("info", fmt, ap);
    va_end(ap);
}

void cli_log(void *user, pjd_log_level level, const char *line)
{
    if (level == PJD_LOG_WARN)
        cli_warn("%s", line);
    else if (level == PJD_LOG_INFO || is_verbose)
        cli_say("%s", line);
}

int cli_exit_code(pjd_status status, bool writing)
{
    switch (status) {
    case PJD_OK:
        return CLI_DONE;
    case PJD_ERR_ARG:
    case PJD_ERR_SHAPE: /* inputs that do not fit together were given together */
    case PJD_ERR_EXISTS:
        return CLI_USAGE;
    case PJD_ERR_IO:
    case PJD_ERR_FORMAT:
        return writing ? CLI_FAILED : CLI_INPUT;
    case PJD_ERR_MODEL:
        return CLI_MODEL;
    case PJD_ERR_NOMEM:
        return CLI_MEMORY;
    case PJD_ERR_CANCELLED:
        return CLI_INTERRUPTED;
    case PJD_ERR_UNSUPPORTED:
    case PJD_ERR_NONFINITE:
    case PJD_ERR_BACKEND:
        return CLI_FAILED;
    }
    return CLI_FAILED;
}

int cli_fail(const pjd_error *err, const char *file, bool writing)
{
    int code = cli_exit_code(err->code, writing);

    if (err->code == PJD_ERR_CANCELLED)
        return cli_error(code, "interrupted");
    if (file && !strstr(err->text, file))
        return cli_error(code, "%s: %s", file, err->text);
    return cli_error(code, "%s", err->text);
}

/* ---- interrupts ---- */

/*
 * The first signal asks the run to stop at its next step, so that it ends in order; a second one, or a step that takes
 * longer than a moment, ends the program from the handler. Either way no unfinished file stays.
 */
static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    if (number == SIGALRM || signalled) {
        pjd_output_abort_all();
        _exit(CLI_INTERRUPTED);
    }
    signalled = 1;
    alarm(2);
}

void cli_signals_install(void)
{
    struct sigaction a;

    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    a.sa_flags = SA_RESTART;
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
    sigaction(SIGALRM, &a, NULL);
    /* A closed pipe is an error of the write that meets it, with its message and exit code. */
    signal(SIGPIPE, SIG_IGN);
}

bool cli_interrupted(void)
{
    return signalled != 0;
}
