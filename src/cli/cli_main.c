/** The program: finds the command, takes its arguments apart, runs it. */
#include "cli/cli.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name;
    cli_command_fn run;
} commands[] = {
    {"pack", cli_pack},
    {"unpack", cli_unpack},
    {"search", cli_search},
    {"templates", cli_templates},
    {"schema", cli_schema},
    {"stats", cli_stats},
    {"verify", cli_verify},
    {"cat", cli_cat},
    {"head", cli_head},
    {"tail", cli_tail},
    {"diff", cli_diff},
    {"ls", cli_ls},
    {"run", cli_run},
    {"config", cli_config},
    {"version", cli_version},
    {"help", cli_help},
    {"completion", cli_completion_command},
};

static cli_command_fn command_run(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) return commands[i].run;
    }
    return NULL;
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    cli_args args;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        cli_help_all();
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
    if (!name[0]) {
        cli_say("which command? 'logmill --help' lists them");
        return EXIT_USAGE;
    }
    if (name[0] == '-') {
        cli_say("the command comes before options: logmill COMMAND [options]");
        return EXIT_USAGE;
    }
    const cli_row *command = cli_command_find(name);
    if (!command) {
        const char *near = cli_nearest_command(name);
        if (near)
            cli_say("there is no command '%s': did you mean '%s'?", name, near);
        else
            cli_say("there is no command '%s': 'logmill --help' lists them", name);
        return EXIT_USAGE;
    }
    int code = cli_args_parse(command, argc - 2 > 0 ? argc - 2 : 0, argv + 2, &args);
    if (code) return code;
    (void)cli_out_open(&args);
    if (cli_flag(&args, "help")) {
        cli_help_command(command);
        return EXIT_DONE;
    }
    cli_command_fn fn = command_run(command->name);
    assert(fn); /* the table and this list name the same commands */
    return fn(&args);
}

int main(int argc, char **argv)
{
    cli_memory_keep(argc > 1 ? argv[1] : "");
    int code = cli_finish(run(argc, argv));
    cli_progress_clear();
    cli_end_if_cancelled();
    return code;
}
