/** logmill completion: scripts for bash, zsh and fish, from the table of commands. */
#include "cli/cli.h"

#include <string.h>

/** Options that take a value which is no file. */
static bool is_word_option(const cli_row *option)
{
    return option->type != CLI_FLAG && option->type != CLI_PATH && option->type != CLI_CHOICE;
}

/** Text inside single quotes of a shell. */
static void put_quoted(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            (void)cli_put_z("'\\''");
        else
            (void)cli_put((lm_text){p, 1});
    }
}

static void put_choices(const cli_row *option, char between)
{
    for (const char *p = option->value; *p; p++) {
        const char sign = *p == '|' ? between : *p;
        (void)cli_put((lm_text){&sign, 1});
    }
}

/* ---- bash ---- */

static void bash_words(const cli_row *command)
{
    const cli_row *row;
    for (size_t i = 0; (row = cli_option_at(command, i)); i++) {
        cli_putf("%s--%s", i ? " " : "", row->name);
        if (row->letter) cli_putf(" -%c", row->letter);
    }
}

/** What completes the word behind an option, for those of one command. */
static void bash_values(const cli_row *command)
{
    const cli_row *row;
    for (size_t i = 0; (row = cli_option_at(command, i)); i++) {
        if (row->type == CLI_FLAG) continue;
        cli_putf("        %s:--%s", command->name, row->name);
        if (row->letter) cli_putf("|%s:-%c", command->name, row->letter);
        if (row->type == CLI_CHOICE) {
            (void)cli_put_z(") COMPREPLY=($(compgen -W '");
            put_choices(row, ' ');
            (void)cli_put_z("' -- \"$word\")); return ;;\n");
        } else if (is_word_option(row)) {
            (void)cli_put_z(") return ;;\n");
        } else {
            (void)cli_put_z(") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n");
        }
    }
}

static void completion_bash(void)
{
    (void)cli_put_z("# bash completion of logmill\n_logmill() {\n"
                    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
                    "command=${COMP_WORDS[1]}\n"
                    "    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        "
                    "COMPREPLY=($(compgen -W '");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row))
        cli_putf("%s ", row->name);
    (void)cli_put_z(
        "--help --version' -- \"$word\"))\n        return\n    fi\n    case $command:$before in\n");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row))
        bash_values(row);
    (void)cli_put_z("    esac\n    case $word in\n        -*) case $command in\n");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row)) {
        cli_putf("            %s) COMPREPLY=($(compgen -W '", row->name);
        bash_words(row);
        (void)cli_put_z("' -- \"$word\")) ;;\n");
    }
    (void)cli_put_z("        esac; return ;;\n    esac\n    case $command in\n        help) "
                    "COMPREPLY=($(compgen -W 'query ");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row))
        cli_putf("%s ", row->name);
    (void)cli_put_z("' -- \"$word\")) ;;\n        completion) COMPREPLY=($(compgen -W 'bash zsh "
                    "fish' -- \"$word\")) ;;\n"
                    "        *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
                    "complete -o filenames -F _logmill logmill\n");
}

/* ---- zsh ---- */

/** Help inside [...] of an _arguments specification, inside single quotes. */
static void zsh_help(const char *text)
{
    char plain[2] = {0};
    for (const char *p = text; *p; p++) {
        if (*p == '[' || *p == ']' || *p == ':') (void)cli_put_z("\\");
        plain[0] = *p;
        put_quoted(plain);
    }
}

static void zsh_option(const cli_row *row)
{
    (void)cli_put_z("            ");
    if (row->letter)
        cli_putf("'(-%c --%s)'{-%c,--%s}'[", row->letter, row->name, row->letter, row->name);
    else
        cli_putf("'--%s[", row->name);
    zsh_help(row->help);
    (void)cli_put_z("]");
    if (row->type == CLI_CHOICE) {
        cli_putf(":%s:(", row->name);
        put_choices(row, ' ');
        (void)cli_put_z(")");
    } else if (row->type == CLI_PATH) {
        cli_putf(":%s:_files", row->name);
    } else if (row->type != CLI_FLAG) {
        cli_putf(":%s: ", row->name);
    }
    (void)cli_put_z("' \\\n");
}

static void completion_zsh(void)
{
    (void)cli_put_z("#compdef logmill\n_logmill() {\n    local -a commands=(\n");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row)) {
        cli_putf("        '%s:", row->name);
        zsh_help(row->help);
        (void)cli_put_z("'\n");
    }
    (void)cli_put_z("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n  "
                    "      return\n    fi\n"
                    "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case "
                    "$command in\n");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row)) {
        cli_putf("        %s) _arguments -s \\\n", row->name);
        const cli_row *option;
        for (size_t i = 0; (option = cli_option_at(row, i)); i++)
            zsh_option(option);
        if (strcmp(row->name, "help") == 0)
            (void)cli_put_z("            '1:command:(query ${commands%%:*})' ;;\n");
        else if (strcmp(row->name, "completion") == 0)
            (void)cli_put_z("            '1:shell:(bash zsh fish)' ;;\n");
        else if (strcmp(row->name, "search") == 0)
            (void)cli_put_z("            '1:query: ' '*:file:_files' ;;\n");
        else
            (void)cli_put_z("            '*:file:_files' ;;\n");
    }
    (void)cli_put_z("    esac\n}\nif [ \"$funcstack[1]\" = _logmill ]; then _logmill \"$@\"; else "
                    "compdef _logmill logmill; fi\n");
}

/* ---- fish ---- */

static void completion_fish(void)
{
    (void)cli_put_z("# fish completion of logmill\n");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row)) {
        cli_putf("complete -c logmill -n __fish_use_subcommand -f -a %s -d '", row->name);
        put_quoted(row->help);
        (void)cli_put_z("'\n");
    }
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row)) {
        const cli_row *option;
        for (size_t i = 0; (option = cli_option_at(row, i)); i++) {
            cli_putf("complete -c logmill -n '__fish_seen_subcommand_from %s' -l %s", row->name,
                     option->name);
            if (option->letter) cli_putf(" -s %c", option->letter);
            if (option->type == CLI_CHOICE) {
                (void)cli_put_z(" -x -a '");
                put_choices(option, ' ');
                (void)cli_put_z("'");
            } else if (option->type == CLI_PATH) {
                (void)cli_put_z(" -r -F");
            } else if (option->type != CLI_FLAG) {
                (void)cli_put_z(" -x");
            }
            (void)cli_put_z(" -d '");
            put_quoted(option->help);
            (void)cli_put_z("'\n");
        }
    }
    (void)cli_put_z(
        "complete -c logmill -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n"
        "complete -c logmill -n '__fish_seen_subcommand_from help' -f -a 'query");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row))
        cli_putf(" %s", row->name);
    (void)cli_put_z("'\n");
}

bool cli_completion(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        completion_bash();
    else if (strcmp(shell, "zsh") == 0)
        completion_zsh();
    else if (strcmp(shell, "fish") == 0)
        completion_fish();
    else
        return false;
    return true;
}

int cli_completion_command(const cli_args *args)
{
    if (args->operand_count != 1) return cli_usage(args, "for which shell? bash, zsh or fish");
    if (cli_completion(args->operands[0])) return EXIT_DONE;
    return cli_usage(args, "there is no completion for '%s': bash, zsh or fish", args->operands[0]);
}
