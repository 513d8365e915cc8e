/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

void cli_set_threads(long count)
{
#ifdef _OPENMP
    /* the network takes its number as an option; this is for the loops of operators */
    if (count > 0)
        omp_set_num_threads((int)count);
#else
    (void)count;
#endif
}

static const cli_command *find_command(const char *name)
{
    for (size_t i = 0; cli_commands[i]; i++)
        if (!strcmp(cli_commands[i]->name, name))
            return cli_commands[i];
    return NULL;
}

/* Results that did not reach standard output (a full disk, a closed pipe) are a failure of the run. */
static int finish(int code)
{
    bool bad = ferror(stdout) != 0;

    if (fflush(stdout) != 0)
        bad = true;
    if (bad && code == CLI_DONE)
        return cli_error(CLI_FAILED, "standard output could not be written: %s", strerror(errno));
    return code;
}

static int run_command(const cli_command *cmd, int argc, char **argv)
{
    cli_args *args = calloc(1, cmd->size);
    int code;

    if (!args)
        return cli_error(CLI_MEMORY, "out of memory");
    code = cli_parse(cmd, argc, argv, args);
    if (code == CLI_DONE && args->help) {
        cli_help(cmd);
    } else if (code == CLI_DONE && args->version) {
        printf("projdiff %s\n", pjd_version());
    } else if (code == CLI_DONE) {
        cli_set_levels(args->verbose, args->quiet);
        cli_signals_install();
        code = cmd->run(args);
    }
    free(args);
    return code;
}

/* What the build uses to write the man pages and the completion. */
static int hidden_mode(int argc, char **argv)
{
    const cli_command *cmd = argc > 2 ? find_command(argv[2]) : NULL;

    if (!strcmp(argv[1], "--completion")) {
        cli_completion();
        return CLI_DONE;
    }
    if (argc > 2 && !cmd)
        return cli_error(CLI_USAGE, "no command is called \"%s\"", argv[2]);
    cli_man(cmd);
    return CLI_DONE;
}

int main(int argc, char **argv)
{
    const cli_command *cmd;
    int code;

    /* Names of files may hold any character; numbers are always written with a point. */
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        cli_error(CLI_USAGE, "a command is missing (see projdiff --help)");
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("projdiff %s\n", pjd_version());
        return finish(CLI_DONE);
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        cmd = argc > 2 ? find_command(argv[2]) : NULL;
        if (argc > 2 && !cmd)
            return cli_error(CLI_USAGE, "no command is called \"%s\" (see projdiff --help)", argv[2]);
        cli_help(cmd);
        return finish(CLI_DONE);
    }
    if (!strcmp(argv[1], "--man") || !strcmp(argv[1], "--completion"))
        return finish(hidden_mode(argc, argv));
    cmd = find_command(argv[1]);
    if (!cmd)
        return cli_error(CLI_USAGE, "no %s is called \"%s\" (see projdiff --help)",
                         argv[1][0] == '-' ? "option" : "command", argv[1]);
    cli_set_command(cmd->name);
    code = finish(run_command(cmd, argc - 2, argv + 2));
    pjd_io_shutdown();
    return code;
}
