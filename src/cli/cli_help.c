/** Help for a terminal, and the sources of the manual pages; both from the table of commands. */
#include "cli/cli.h"

#include <ctype.h>
#include <string.h>

#define HELP_WIDTH  96
#define HELP_INDENT 30

static const struct {
    int code;
    const char *when;
} exits[] = {
    {EXIT_DONE, "done"},
    {EXIT_NO, "done, and the answer is no: nothing found, something damaged or different"},
    {EXIT_USAGE, "a wrong option, query or configuration"},
    {EXIT_DATA, "damaged data, or data that are not what they claim to be"},
    {EXIT_IO, "something could not be read or written"},
    {EXIT_LIMIT, "a limit was reached (memory)"},
};

typedef struct syntax_row {
    bool is_section;
    const char *left, *right;
} syntax_row;

static const syntax_row syntax[] = {
#define SECTION(title, text) {true, title, text},
#define SYNTAX(how, meaning) {false, how, meaning},
#include "cli/query.def"
#undef SECTION
#undef SYNTAX
};

/* ---- for a terminal ---- */

/** Words of text, broken at the width; the first line begins where the cursor is, at column
 * `column`. */
static void put_wrapped(const char *text, size_t indent, size_t column)
{
    while (*text) {
        size_t len = strcspn(text, " ");
        if (column + len > HELP_WIDTH && column > indent) {
            cli_putf("\n%*s", (int)indent, "");
            column = indent;
        }
        (void)cli_put((lm_text){text, len});
        column += len;
        text += len;
        if (*text == ' ') {
            text++;
            if (column + 1 + strcspn(text, " ") <= HELP_WIDTH) (void)cli_put_z(" ");
            column++;
        }
    }
    (void)cli_put_z("\n");
}

static void put_pair(const char *left, size_t left_len, const char *right, size_t indent)
{
    size_t column = left_len + 4;
    cli_putf("  %s", left);
    if (column > indent) {
        cli_putf("\n%*s", (int)indent, "");
    } else {
        cli_putf("%*s", (int)(indent - left_len - 2), "");
    }
    put_wrapped(right, indent, indent);
}

static void put_title(const char *title)
{
    cli_putf("\n%s%s%s\n", cli_color("bold"), title, cli_color("off"));
}

static void put_options(const cli_row *command, bool is_common)
{
    char left[96];
    const cli_row *row = is_common ? cli_rows : command;
    for (row++; row->kind != CLI_COMMAND && row->kind != CLI_END; row++) {
        if (row->kind != CLI_OPTION) continue;
        char letter[8] = "    ";
        if (row->letter) (void)snprintf(letter, sizeof letter, "-%c, ", row->letter);
        int len = snprintf(left, sizeof left, "%s--%s%s%s", letter, row->name,
                           row->value[0] ? " " : "", row->value);
        put_pair(left, (size_t)len, row->help, HELP_INDENT);
    }
}

static bool has_rows(const cli_row *command, cli_kind kind)
{
    for (command++; command->kind != CLI_COMMAND && command->kind != CLI_END; command++) {
        if (command->kind == kind) return true;
    }
    return false;
}

static void put_examples(const cli_row *command)
{
    for (command++; command->kind != CLI_COMMAND && command->kind != CLI_END; command++) {
        if (command->kind != CLI_EXAMPLE) continue;
        cli_putf("  %s# %s%s\n  %s\n", cli_color("dim"), command->help, cli_color("off"),
                 command->name);
    }
}

void cli_help_command(const cli_row *command)
{
    cli_putf("%slogmill %s%s: %s\n\n", cli_color("bold"), command->name, cli_color("off"),
             command->help);
    cli_putf("usage: logmill %s%s%s [options]\n", command->name, command->value[0] ? " " : "",
             command->value);
    put_title("examples");
    put_examples(command);
    (void)cli_put_z("\n");
    put_wrapped(command->text, 0, 0);
    if (has_rows(command, CLI_OPTION)) {
        put_title("options");
        put_options(command, false);
    }
    put_title("options of every command");
    put_options(command, true);
    if (!has_rows(command, CLI_EXITS)) return;
    put_title("exit codes");
    for (const cli_row *row = command + 1; row->kind != CLI_COMMAND && row->kind != CLI_END;
         row++) {
        if (row->kind == CLI_EXITS) cli_putf("  %d  %s\n", row->letter, row->help);
    }
}

void cli_help_all(void)
{
    cli_putf(
        "%slogmill%s: packs logs many times smaller, and finds lines in them without unpacking\n",
        cli_color("bold"), cli_color("off"));
    put_title("examples");
    (void)cli_put_z("  logmill pack app.log nginx/*.log.gz -o logs.lm\n"
                    "  logmill search 'level>=warn |~ \"timeout.*ms\"' logs.lm --since 2h\n"
                    "  logmill templates logs.lm\n"
                    "  logmill unpack logs.lm -o out/\n");
    put_title("commands");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row)) {
        put_pair(row->name, strlen(row->name), row->help, 16);
    }
    (void)cli_put_z("\n'logmill COMMAND --help' shows a command's examples and options, 'logmill "
                    "help query' how to ask.\n");
    put_title("exit codes");
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++)
        cli_putf("  %d  %s\n", exits[i].code, exits[i].when);
}

void cli_help_query(void)
{
    cli_putf("%sHow queries are written%s\n", cli_color("bold"), cli_color("off"));
    for (size_t i = 0; i < sizeof syntax / sizeof syntax[0]; i++) {
        const syntax_row *row = &syntax[i];
        if (!row->is_section) {
            put_pair(row->left, strlen(row->left), row->right, 34);
            continue;
        }
        put_title(row->left);
        if (row->right[0]) put_wrapped(row->right, 0, 0);
    }
}

/* ---- sources of the manual pages ---- */

/** Text with scdoc's signs escaped. */
static void scd_put(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (strchr("\\*_<>[]#~-.", *p)) (void)cli_put_z("\\");
        (void)cli_put((lm_text){p, 1});
    }
}

static void scd_title(const char *name, int section)
{
    cli_putf("%s(%d) \"\" \"logmill manual\"\n", name, section);
}

static void scd_command_name(const cli_row *row)
{
    (void)cli_put_z("*logmill\\-");
    scd_put(row->name);
    (void)cli_put_z("*(1)");
}

static void scd_options(const cli_row *command)
{
    const cli_row *row = command;
    for (row++; row->kind != CLI_COMMAND && row->kind != CLI_END; row++) {
        if (row->kind != CLI_OPTION) continue;
        if (row->letter) cli_putf("*\\-%c*, ", row->letter);
        (void)cli_put_z("*\\-\\-");
        scd_put(row->name);
        (void)cli_put_z("*");
        if (row->value[0]) {
            (void)cli_put_z(" ");
            scd_put(row->value);
        }
        (void)cli_put_z("\n\t");
        scd_put(row->help);
        (void)cli_put_z("\n\n");
    }
}

void cli_scd_command(const cli_row *command)
{
    char name[64];
    (void)snprintf(name, sizeof name, "logmill-%s", command->name);
    scd_title(name, 1);
    (void)cli_put_z("\n# NAME\n\n");
    scd_put(name);
    (void)cli_put_z(" - ");
    scd_put(command->help);
    (void)cli_put_z("\n\n# SYNOPSIS\n\n*logmill ");
    scd_put(command->name);
    (void)cli_put_z("* ");
    scd_put(command->value);
    cli_putf("%s\\[options\\]\n\n# DESCRIPTION\n\n", command->value[0] ? " " : "");
    scd_put(command->text);
    (void)cli_put_z("\n\n");
    if (has_rows(command, CLI_OPTION)) {
        (void)cli_put_z("# OPTIONS\n\n");
        scd_options(command);
    }
    (void)cli_put_z("# OPTIONS OF EVERY COMMAND\n\n");
    scd_options(cli_rows);
    (void)cli_put_z("# EXIT STATUS\n\n*0*\n\tdone\n\n");
    for (const cli_row *row = command + 1; row->kind != CLI_COMMAND && row->kind != CLI_END;
         row++) {
        if (row->kind != CLI_EXITS) continue;
        cli_putf("*%d*\n\t", row->letter);
        scd_put(row->help);
        (void)cli_put_z("\n\n");
    }
    (void)cli_put_z("The others are those of *logmill*(1).\n\n# EXAMPLES\n\n");
    for (const cli_row *row = command + 1; row->kind != CLI_COMMAND && row->kind != CLI_END;
         row++) {
        if (row->kind != CLI_EXAMPLE) continue;
        scd_put(row->help);
        (void)cli_put_z(":\n\n\t");
        scd_put(row->name);
        (void)cli_put_z("\n\n");
    }
    (void)cli_put_z("# SEE ALSO\n\n*logmill*(1), *logmill\\-query*(7)\n");
}

void cli_scd_all(void)
{
    scd_title("logmill", 1);
    (void)cli_put_z("\n# NAME\n\nlogmill - packs logs many times smaller, and finds lines in them "
                    "without unpacking\n\n"
                    "# SYNOPSIS\n\n*logmill* COMMAND \\[options\\] \\[files\\]\n\n# DESCRIPTION\n\n"
                    "Raw log lines go in; structured, searchable, far smaller archives come out. "
                    "The format of the lines is "
                    "found out, nothing needs to be configured, and every file comes back byte for "
                    "byte.\n\n# COMMANDS\n\n");
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row)) {
        scd_command_name(row);
        (void)cli_put_z("\n\t");
        scd_put(row->help);
        (void)cli_put_z("\n\n");
    }
    (void)cli_put_z("# OPTIONS OF EVERY COMMAND\n\n");
    scd_options(cli_rows);
    (void)cli_put_z("# EXIT STATUS\n\n");
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++) {
        cli_putf("*%d*\n\t", exits[i].code);
        scd_put(exits[i].when);
        (void)cli_put_z("\n\n");
    }
    (void)cli_put_z(
        "# ENVIRONMENT\n\n*NO\\_COLOR*\n\tno colours, whatever the terminal can show\n\n"
        "*TMPDIR*\n\twhere plain logs are packed to while they are searched (/tmp unless set)\n\n"
        "# SEE ALSO\n\n*logmill\\-query*(7)\n");
}

void cli_scd_query(void)
{
    scd_title("logmill-query", 7);
    (void)cli_put_z(
        "\n# NAME\n\nlogmill-query - how queries are written\n\n# DESCRIPTION\n\n"
        "Queries of *logmill\\-search*(1) are the line filters and label filters of LogQL.\n\n");
    for (size_t i = 0; i < sizeof syntax / sizeof syntax[0]; i++) {
        const syntax_row *row = &syntax[i];
        if (!row->is_section) {
            (void)cli_put_z("*");
            scd_put(row->left);
            (void)cli_put_z("*\n\t");
            scd_put(row->right);
            (void)cli_put_z("\n\n");
            continue;
        }
        (void)cli_put_z("# ");
        for (const char *p = row->left; *p; p++)
            cli_putf("%c", toupper((unsigned char)*p));
        (void)cli_put_z("\n\n");
        if (!row->right[0]) continue;
        scd_put(row->right);
        (void)cli_put_z("\n\n");
    }
    (void)cli_put_z("# SEE ALSO\n\n*logmill\\-search*(1)\n");
}

/* ---- logmill help ---- */

int cli_help(const cli_args *args)
{
    bool is_man = cli_flag(args, "man");
    const char *name = args->operand_count ? args->operands[0] : "";
    if (args->operand_count > 1) return cli_usage(args, "help on one command at a time");
    if (!name[0]) {
        if (is_man)
            cli_scd_all();
        else
            cli_help_all();
        return EXIT_DONE;
    }
    if (strcmp(name, "query") == 0) {
        if (is_man)
            cli_scd_query();
        else
            cli_help_query();
        return EXIT_DONE;
    }
    const cli_row *command = cli_command_find(name);
    if (!command) {
        const char *near = cli_nearest_command(name);
        if (near)
            return cli_usage(args, "there is no command '%s': did you mean '%s'?", name, near);
        return cli_usage(args, "there is no command '%s'", name);
    }
    if (is_man)
        cli_scd_command(command);
    else
        cli_help_command(command);
    return EXIT_DONE;
}
