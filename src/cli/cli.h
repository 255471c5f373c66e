/**
 * cli — the program: one table of commands, one file per command.
 *
 * Purpose:  what a person types, said back in words a person can use.
 * Flow:     argv --cli_args--> options --command--> public library --> standard output (data),
 * standard error (words) Owns:     process state: terminal, signals, exit code. Threads:  the main
 * thread; workers belong to the library. Units:    exit codes 0 done, 1 the answer is no, 2 usage,
 * 3 bad data, 4 I/O, 5 limit. Limits:   CLI_TEXT_MAX for a query, CLI_CONFIG_MAX for a
 * configuration file.
 *
 * Invariants
 *   (1) The program is a guest: it includes <logmill/...> and nothing of the rooms inside.
 *   (2) Data goes to standard output, words to standard error; one line a trouble.
 *   (3) What cannot be written is an error: exit code 4, never silence. A closed pipe ends the program quietly.
 *   (4) commands.def says what exists; a command asks for an option by its name and gets an assertion if there is none.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <logmill/logmill.h>
#include <stdio.h>

enum { EXIT_DONE, EXIT_NO, EXIT_USAGE, EXIT_DATA, EXIT_IO, EXIT_LIMIT };

#define CLI_TEXT_MAX   65536u          /* bytes of a query */
#define CLI_CONFIG_MAX (1024u * 1024u) /* bytes of a YAML file */
#define CLI_OPTION_MAX 40              /* options of one command, with those of all commands */

/* ---- the table ---- */

typedef enum cli_kind { CLI_COMMAND, CLI_OPTION, CLI_EXAMPLE, CLI_EXITS, CLI_END } cli_kind;

typedef enum cli_type {
    CLI_FLAG,
    CLI_NUMBER,
    CLI_SIZE,
    CLI_TIME,
    CLI_TEXT,
    CLI_PATH,
    CLI_CHOICE
} cli_type;

typedef struct cli_row {
    cli_kind kind;
    const char *name; /* command, long option, or example */
    char letter;      /* short option, 0 if none; exit code of CLI_EXITS */
    cli_type type;
    const char *value; /* a command's arguments; an option's value, choices with '|' between */
    const char *help;  /* one line */
    const char *text;  /* a command's description */
} cli_row;

extern const cli_row cli_rows[]; /* ends with CLI_END */
/** The command's row, or NULL. "" gives the options of all commands. */
const cli_row *cli_command_find(const char *name);
/** The next command's row after this one; NULL after the last. */
const cli_row *cli_command_next(const cli_row *row);
const cli_row *cli_command_first(void);
/** Option number i of a command: its own, then those of all commands; NULL behind the last. */
const cli_row *cli_option_at(const cli_row *command, size_t i);

/* ---- arguments ---- */

typedef struct cli_args {
    const cli_row *command;
    const char
        *values[CLI_OPTION_MAX]; /* by number of the option; NULL: not given; "" for a flag */
    char **operands;
    int operand_count;
} cli_args;

/** Take argv (behind the command) apart; operands move to its front. Prints one line and returns
 * EXIT_USAGE when something is wrong, else EXIT_DONE. */
int cli_args_parse(const cli_row *command, int argc, char **argv, cli_args *out);
const char *cli_text(const cli_args *args, const char *option); /* NULL if not given */
bool cli_flag(const cli_args *args, const char *option);
uint64_t cli_number(const cli_args *args, const char *option,
                    uint64_t otherwise); /* numbers and sizes */
/** "5s", "1m", "2h", "1d", "100ms" as nanoseconds; false if it is none. */
bool cli_duration_read(const char *text, int64_t *out_ns);
/** Nearest command or option name, or NULL if none is near. */
const char *cli_nearest_command(const char *name);

/* ---- words and exit codes ---- */

#define CLI_PRINTF(a, b) __attribute__((format(printf, a, b)))

/** "logmill: ..." on standard error. */
void cli_say(const char *fmt, ...) CLI_PRINTF(1, 2);
/** cli_say with a pointer to the command's help; returns EXIT_USAGE. */
int cli_usage(const cli_args *args, const char *fmt, ...) CLI_PRINTF(2, 3);
/** Say the context's last error and give the exit code for it. A query's position is shown below
 * it. */
int cli_fail(const lm_context *context, lm_err err, const char *query);
/** Exit code for an error, without words. */
int cli_exit_of(lm_err err);
/** Flush standard output: EXIT_IO (said) if anything could not be written, else code. */
int cli_finish(int code);

/** Before anything takes memory: what was given back is asked for again with the next segment, so
 * the C library keeps it, or a quarter of the time goes into the kernel clearing pages. */
void cli_memory_keep(const char *command);
/** The heap in large pages from here on, for `pack`, once something of it is in use: a small log
 * takes a thousand small pages, and on a virtual machine each costs a microsecond or two. */
void cli_memory_large(void);

/** A context as the options say: notes and progress on standard error, cancelled by Ctrl-C. NULL:
 * said, return EXIT_LIMIT. */
lm_context *cli_context_new(const cli_args *args);
/** Bytes of a configuration file into a buffer of the program (one for each of schema and
 * templates); NULL option: NULL. false: said. */
bool cli_config_read(const char *path, unsigned slot, const char **out);
/** Ctrl-C: ends the program as a shell expects it, when everything is closed. */
void cli_end_if_cancelled(void);

/* ---- output ---- */

bool cli_out_open(const cli_args *args); /* before any output: buffer, colours; always true */
bool cli_out_is_terminal(void);
/** errno of the first write that failed; 0: none did. */
int cli_out_errno(void);
/** false when standard output cannot be written any more: stop. */
bool cli_put(lm_text text);
/** A text and a line end; gathered, so cli_rows_flush is due before stdout is used otherwise than
 * here. */
bool cli_put_row(lm_text text);
/** The same for several lines, each with its '\n'. */
bool cli_put_rows(lm_text rows_text);
bool cli_rows_flush(void);
bool cli_put_z(const char *text);
void cli_putf(const char *fmt, ...) CLI_PRINTF(1, 2);
/** Start and end a colour; "" when there are none. */
const char *cli_color(
    const char *what); /* "file", "line", "match", "dim", "bold", "good", "bad", "off" */

/** Texts for people; each in a buffer of the caller of at least 32 bytes, returned. */
const char *cli_bytes(uint64_t bytes, char *dst); /* "1.23 MiB" */
const char *cli_count(uint64_t count, char *dst); /* "1 234 567" */
/** "1 file", "1 234 files": the noun in the singular; dst has 48 bytes. */
const char *cli_counted(uint64_t count, const char *noun, char *dst);
const char *cli_time(int64_t ns, char *dst);     /* "2026-11-23 13:00:00", "-" if unknown */
const char *cli_time_iso(int64_t ns, char *dst); /* "2026-11-23T13:00:00.123Z" */
const char *cli_share(uint64_t part, uint64_t whole, char *dst); /* "12.3 %" */
/** Width of the terminal in columns; 0 if standard output is none. */
unsigned cli_width(void);
/** At most width columns of text, control characters made visible. 0: all of it. */
void cli_put_line(lm_text text, unsigned width);

/* JSON, one object a line: begin, members, end. */
void cli_json_begin(void);
void cli_json_text(const char *key,
                   lm_text value); /* invalid UTF-8: U+FFFD, and the bytes under key_base64 */
void cli_json_z(const char *key, const char *value);
void cli_json_number(const char *key, uint64_t value);
void cli_json_real(const char *key, double value);
void cli_json_bool(const char *key, bool value);
void cli_json_time(const char *key, int64_t ns);   /* null if unknown */
void cli_json_open(const char *key, char bracket); /* '{' or '[' */
void cli_json_close(char bracket);
void cli_json_end(void);

/* ---- progress ---- */

void cli_progress_open(const cli_args *args);
void cli_progress_told(void *ctx, const lm_progress *now);
void cli_progress_clear(void); /* takes the line away, before words are said */

/* ---- help ---- */

void cli_help_all(void);
void cli_help_command(const cli_row *command);
void cli_help_query(void);
void cli_scd_all(void);
void cli_scd_command(const cli_row *command);
void cli_scd_query(void);
bool cli_completion(const char *shell); /* false: no such shell */

/* ---- commands: one file each ---- */

typedef int (*cli_command_fn)(const cli_args *args);
int cli_pack(const cli_args *args);
int cli_unpack(const cli_args *args);
int cli_search(const cli_args *args);
int cli_templates(const cli_args *args);
int cli_schema(const cli_args *args);
int cli_stats(const cli_args *args);
int cli_verify(const cli_args *args);
int cli_cat(const cli_args *args);
int cli_head(const cli_args *args);
int cli_tail(const cli_args *args);
int cli_diff(const cli_args *args);
int cli_ls(const cli_args *args);
int cli_run(const cli_args *args);
int cli_config(const cli_args *args);
int cli_version(const cli_args *args);
int cli_help(const cli_args *args);
int cli_completion_command(const cli_args *args);

/** Calls work with each view of the operands (from `first` on; standard input if there are none and
 * it is no terminal), opened and closed around the call; the worst exit code comes back. name is
 * what the user gave. */
typedef struct cli_view {
    lm_context *context;
    lm_view *view;
    const char *name; /* archive's path; of logs, the first one's */
    bool is_archive;
    size_t index; /* views before this one */
    bool is_only; /* no other view comes */
} cli_view;

int cli_each_view(const cli_args *args, int first, unsigned flags,
                  int (*work)(void *ctx, const cli_view *at), void *ctx);

#endif
