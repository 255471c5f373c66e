/** The table of commands, from commands.def. */
#include "cli/cli.h"

#include <assert.h>
#include <string.h>

const cli_row cli_rows[] = {
#define COMMAND(name, value, help, text) {CLI_COMMAND, name, 0, CLI_FLAG, value, help, text},
#define OPTION(name, letter, type, value, help)                                                    \
    {CLI_OPTION, name, letter, CLI_##type, value, help, ""},
#define EXAMPLE(line, help) {CLI_EXAMPLE, line, 0, CLI_FLAG, "", help, ""},
#define EXITS(code, help)   {CLI_EXITS, "", code, CLI_FLAG, "", help, ""},
#include "cli/commands.def"
#undef COMMAND
#undef OPTION
#undef EXAMPLE
#undef EXITS
    {CLI_END, "", 0, CLI_FLAG, "", "", ""},
};

const cli_row *cli_command_next(const cli_row *row)
{
    for (row++; row->kind != CLI_END; row++) {
        if (row->kind == CLI_COMMAND) return row;
    }
    return NULL;
}

const cli_row *cli_command_first(void)
{
    return cli_command_next(cli_rows); /* the nameless one is at the very front */
}

const cli_row *cli_command_find(const char *name)
{
    for (const cli_row *row = cli_rows; row; row = cli_command_next(row)) {
        if (strcmp(row->name, name) == 0) return row;
    }
    return NULL;
}

const cli_row *cli_option_at(const cli_row *command, size_t i)
{
    for (int turn = 0; turn < 2; turn++) {
        const cli_row *row = turn == 0 ? command : cli_rows;
        if (turn == 1 && command == cli_rows) break;
        for (row++; row->kind != CLI_COMMAND && row->kind != CLI_END; row++) {
            if (row->kind == CLI_OPTION && i-- == 0) return row;
        }
    }
    return NULL;
}
