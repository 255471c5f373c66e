/**
 * Arguments, by the table: --name value, --name=value, -n value, -nvalue, -abc for flags, -- before
 * operands that begin with '-'. Options and operands may be mixed. Values are checked here, so that
 * commands get what they can use.
 */
#include "cli/cli.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static bool number_read(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (!text[0]) return false;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9' || value > (UINT64_MAX - 9) / 10) return false;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *out = value;
    return true;
}

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/** A number with at most three decimals and a unit. */
static bool measure_read(const char *text, const unit *units, size_t unit_count, uint64_t *out)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') return false;
    double value = strtod(text, &end);
    for (size_t i = 0; i < unit_count; i++) {
        if (strcasecmp(end, units[i].name) != 0) continue;
        double product = value * (double)units[i].factor;
        if (product >= 9.2e18) return false;
        *out = (uint64_t)product;
        return true;
    }
    return false;
}

static bool size_read(const char *text, uint64_t *out)
{
    static const unit units[] = {{"", 1},
                                 {"B", 1},
                                 {"K", 1u << 10},
                                 {"KiB", 1u << 10},
                                 {"M", 1u << 20},
                                 {"MiB", 1u << 20},
                                 {"G", 1u << 30},
                                 {"GiB", 1u << 30},
                                 {"T", 1ull << 40},
                                 {"TiB", 1ull << 40},
                                 {"KB", 1000},
                                 {"MB", 1000000},
                                 {"GB", 1000000000},
                                 {"TB", 1000000000000}};
    return measure_read(text, units, sizeof units / sizeof units[0], out);
}

bool cli_duration_read(const char *text, int64_t *out_ns)
{
    static const unit units[] = {{"ns", 1},
                                 {"us", 1000},
                                 {"ms", 1000000},
                                 {"s", 1000000000},
                                 {"m", 60000000000},
                                 {"min", 60000000000},
                                 {"h", 3600000000000},
                                 {"d", 86400000000000},
                                 {"w", 604800000000000}};
    uint64_t value = 0;
    if (!measure_read(text, units, sizeof units / sizeof units[0], &value) || value == 0)
        return false;
    *out_ns = (int64_t)value;
    return true;
}

static bool choice_fits(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *at = choices; at; at = strchr(at, '|')) {
        if (*at == '|') at++;
        if (strncmp(at, text, len) == 0 && (at[len] == '|' || at[len] == '\0') && len) return true;
    }
    return false;
}

static bool value_fits(const cli_row *option, const char *text, const char **out_wanted)
{
    uint64_t number = 0;
    switch (option->type) {
    case CLI_NUMBER:
        *out_wanted = "a number";
        return number_read(text, &number);
    case CLI_SIZE:
        *out_wanted = "a size like 64MiB";
        return size_read(text, &number) && number;
    case CLI_CHOICE:
        *out_wanted = option->value;
        return choice_fits(option->value, text);
    case CLI_PATH:
        *out_wanted = "a name";
        return text[0] != '\0';
    case CLI_TIME:
        *out_wanted = "a time";
        return text[0] != '\0';
    case CLI_TEXT:
    case CLI_FLAG:
        break;
    }
    return true;
}

/* ---- names that are nearly right ---- */

/** Edits (insert, delete, change, swap of neighbours) from a to b; names are short. */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][40];
    size_t la = strlen(a), lb = strlen(b);
    if (la >= 40 || lb >= 40) return 99;
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (is_swap && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[la % 3][lb];
}

/** Is it near enough to be meant? A third of the letters may be wrong; a beginning of four letters
 * is enough. */
static bool is_near(const char *typed, const char *name, unsigned *best)
{
    size_t len = strlen(typed);
    unsigned d = distance(typed, name);
    if (len >= 4 && strncmp(typed, name, len) == 0) d = 1;
    if (d >= *best || d > (len + 2) / 3) return false;
    *best = d;
    return true;
}

const char *cli_nearest_command(const char *name)
{
    unsigned best = 99;
    const char *nearest = NULL;
    for (const cli_row *row = cli_command_first(); row; row = cli_command_next(row)) {
        if (is_near(name, row->name, &best)) nearest = row->name;
    }
    /* What other programs call it. */
    static const char *const others[][2] = {
        {"grep", "search"},    {"find", "search"},   {"query", "search"},
        {"extract", "unpack"}, {"compress", "pack"}, {"decompress", "unpack"},
        {"list", "ls"},        {"test", "verify"},   {"check", "verify"},
        {"less", "cat"},       {"info", "stats"},    {"patterns", "templates"}};
    for (size_t i = 0; !nearest && i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(name, others[i][0]) == 0) nearest = others[i][1];
    }
    return nearest;
}

static const char *nearest_option(const cli_row *command, const char *name, unsigned best)
{
    const char *nearest = NULL;
    const cli_row *row;
    for (size_t i = 0; (row = cli_option_at(command, i)); i++) {
        if (is_near(name, row->name, &best)) nearest = row->name;
    }
    return nearest;
}

/* ---- parsing ---- */

typedef struct parsing {
    cli_args *args;
    int argc;
    char **argv;
    int next; /* argument to be looked at */
} parsing;

static size_t option_by_name(const cli_row *command, const char *name, size_t len)
{
    const cli_row *row;
    for (size_t i = 0; (row = cli_option_at(command, i)); i++) {
        if (strlen(row->name) == len && strncmp(row->name, name, len) == 0) return i;
    }
    return SIZE_MAX;
}

static size_t option_by_letter(const cli_row *command, char letter)
{
    const cli_row *row;
    for (size_t i = 0; (row = cli_option_at(command, i)); i++) {
        if (row->letter == letter) return i;
    }
    return SIZE_MAX;
}

static int take_value(parsing *p, size_t index, const char *shown, const char *value)
{
    const cli_row *option = cli_option_at(p->args->command, index);
    const char *wanted = "";
    if (!value && p->next < p->argc) value = p->argv[p->next++];
    if (!value) return cli_usage(p->args, "%s needs a value: %s", shown, option->value);
    if (!value_fits(option, value, &wanted))
        return cli_usage(p->args, "%s wants %s, not '%s'", shown, wanted, value);
    p->args->values[index] = value;
    return EXIT_DONE;
}

static int take_long(parsing *p, char *arg)
{
    char *name = arg + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    size_t index = option_by_name(p->args->command, name, len);
    if (equals) *equals = '\0'; /* for messages; the value behind it stays whole */
    if (index == SIZE_MAX) {
        const char *near = nearest_option(p->args->command, name, 99);
        if (near) return cli_usage(p->args, "unknown option '%s': did you mean '--%s'?", arg, near);
        return cli_usage(p->args, "unknown option '%s'", arg);
    }
    const cli_row *option = cli_option_at(p->args->command, index);
    if (option->type != CLI_FLAG) return take_value(p, index, arg, equals ? equals + 1 : NULL);
    if (equals) return cli_usage(p->args, "%s takes no value", arg);
    p->args->values[index] = "";
    return EXIT_DONE;
}

static int take_letters(parsing *p, char *arg)
{
    const cli_row *command = p->args->command;
    /* -20 is what people type for -n 20, or for -C 20 with grep. */
    size_t number = option_by_name(command, "lines", 5);
    if (number == SIZE_MAX) number = option_by_name(command, "context", 7);
    uint64_t ignored = 0;
    if (number != SIZE_MAX && number_read(arg + 1, &ignored)) {
        p->args->values[number] = arg + 1;
        return EXIT_DONE;
    }
    /* One '-' too few: -force must not be -f with an output named 'rce'. */
    const char *near = strlen(arg) > 4 ? nearest_option(command, arg + 1, 2) : NULL;
    if (near) return cli_usage(p->args, "unknown option '%s': did you mean '--%s'?", arg, near);
    for (char *at = arg + 1; *at; at++) {
        size_t index = option_by_letter(command, *at);
        char shown[3] = {'-', *at, '\0'};
        if (index == SIZE_MAX) {
            bool may_be_query =
                strncmp(command->value, "QUERY", 5) == 0 && p->args->operand_count == 0;
            return cli_usage(p->args, "unknown option '%s'%s", shown,
                             may_be_query ? ": a query that begins with '-' stands behind '--'"
                                          : "");
        }
        if (cli_option_at(command, index)->type != CLI_FLAG) {
            return take_value(p, index, shown, at[1] ? at + 1 : NULL);
        }
        p->args->values[index] = "";
    }
    return EXIT_DONE;
}

int cli_args_parse(const cli_row *command, int argc, char **argv, cli_args *out)
{
    *out = (cli_args){.command = command, .operands = argv};
    parsing p = {out, argc, argv, 0};
    bool is_operands = false;
    while (p.next < argc) {
        char *arg = argv[p.next++];
        int code = EXIT_DONE;
        if (is_operands || arg[0] != '-' || arg[1] == '\0') {
            argv[out->operand_count++] = arg; /* never ahead of p.next */
        } else if (strcmp(arg, "--") == 0) {
            is_operands = true;
        } else {
            code = arg[1] == '-' ? take_long(&p, arg) : take_letters(&p, arg);
        }
        if (code) return code;
    }
    return EXIT_DONE;
}

/* ---- asking ---- */

const char *cli_text(const cli_args *args, const char *option)
{
    size_t index = option_by_name(args->command, option, strlen(option));
    assert(index != SIZE_MAX); /* the table has no such option */
    return index == SIZE_MAX ? NULL : args->values[index];
}

bool cli_flag(const cli_args *args, const char *option)
{
    return cli_text(args, option) != NULL;
}

uint64_t cli_number(const cli_args *args, const char *option, uint64_t otherwise)
{
    const char *text = cli_text(args, option);
    uint64_t value = otherwise;
    if (!text) return otherwise;
    /* Checked when it was parsed. */
    if (!number_read(text, &value)) (void)size_read(text, &value);
    return value;
}
