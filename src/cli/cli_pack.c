/** logmill pack */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lm_pack_level level_of(const char *name)
{
    if (name && strcmp(name, "fast") == 0) return LM_PACK_FAST;
    if (name && strcmp(name, "max") == 0) return LM_PACK_MAX;
    return LM_PACK_DEFAULT;
}

static void summary_json(const lm_pack_result *result, const char *output)
{
    cli_json_begin();
    cli_json_z("archive", output);
    cli_json_number("files", result->files);
    cli_json_number("lines", result->lines);
    cli_json_number("bytes_in", result->bytes_in);
    cli_json_number("bytes_out", result->bytes_out);
    cli_json_number("segments", result->segments);
    cli_json_number("templates", result->templates);
    cli_json_number("files_bad", result->files_bad);
    cli_json_end();
}

static void summary_words(const lm_pack_result *result, const char *output)
{
    char files[48], lines[48], in[32], out[32], templates[48];
    char ratio[48] = "";
    if (result->bytes_in > result->bytes_out) {
        (void)snprintf(ratio, sizeof ratio, " (%.1f times smaller)",
                       (double)result->bytes_in / (double)result->bytes_out);
    }
    cli_progress_clear();
    (void)fprintf(stderr, "%s: %s, %s, %s -> %s%s, %s\n", output,
                  cli_counted(result->files, "file", files),
                  cli_counted(result->lines, "line", lines), cli_bytes(result->bytes_in, in),
                  cli_bytes(result->bytes_out, out), ratio,
                  cli_counted(result->templates, "template", templates));
}

/** Send a packed file to standard output, and take its name away. */
static int send_out(const char *path)
{
    static char chunk[65536];
    int code = EXIT_DONE;
    FILE *file = fopen(path, "rb");
    (void)unlink(path); /* the open file keeps its bytes */
    if (!file) {
        cli_say("cannot read the temporary file '%s'", path);
        return EXIT_IO;
    }
    for (size_t got; (got = fread(chunk, 1, sizeof chunk, file)) > 0;) {
        if (!cli_put((lm_text){chunk, got})) break; /* cli_finish says so */
    }
    if (ferror(file)) {
        cli_say("cannot read the temporary file '%s'", path);
        code = EXIT_IO;
    }
    (void)fclose(file); /* only read from */
    return code;
}

/** A name for the archive on its way to standard output. */
static bool temporary_name(char *path, size_t cap)
{
    const char *folder = getenv("TMPDIR");
    int len = snprintf(path, cap, "%s/logmill-XXXXXX", folder && folder[0] ? folder : "/tmp");
    int fd = len > 0 && (size_t)len < cap ? mkstemp(path) : -1;
    if (fd < 0) {
        cli_say("cannot make a temporary file in '%s'", folder && folder[0] ? folder : "/tmp");
        return false;
    }
    (void)close(fd); /* empty */
    return true;
}

static int inputs_check(const cli_args *args, const char *output)
{
    if (args->operand_count == 0 && isatty(STDIN_FILENO)) {
        return cli_usage(args, "what to pack? name files or folders, or - for standard input");
    }
    if (!output) return cli_usage(args, "where to? -o ARCHIVE names the output");
    if (strcmp(output, "-") == 0 && cli_out_is_terminal()) {
        return cli_usage(args, "an archive is not written to a terminal");
    }
    struct stat info;
    if (strcmp(output, "-") != 0 && !cli_flag(args, "force") && stat(output, &info) == 0 &&
        S_ISREG(info.st_mode)) {
        return cli_usage(args, "'%s' already exists: --force replaces it", output);
    }
    return EXIT_DONE;
}

int cli_pack(const cli_args *args)
{
    static const char *const standard_input[] = {"-"};
    const char *output = cli_text(args, "output");
    char temporary[4096];
    lm_pack_job job = LM_PACK_JOB_INIT;
    lm_pack_result result = {0};

    int code = inputs_check(args, output);
    if (code) return code;
    bool to_stdout = strcmp(output, "-") == 0;
    job.inputs = args->operand_count ? (const char *const *)args->operands : standard_input;
    job.input_count = args->operand_count ? (size_t)args->operand_count : 1;
    job.level = level_of(cli_text(args, "level"));
    job.replace = cli_flag(args, "force") || to_stdout;
    job.keep_packed = cli_flag(args, "raw");
    job.start_pattern = cli_text(args, "start-pattern");
    job.segment_bytes = cli_number(args, "segment", 0);
    if (!cli_config_read(cli_text(args, "schema"), 0, &job.schema_yaml)) return EXIT_IO;
    if (!cli_config_read(cli_text(args, "templates"), 1, &job.template_yaml)) return EXIT_IO;
    if (to_stdout && !temporary_name(temporary, sizeof temporary)) return EXIT_IO;
    job.output = to_stdout ? temporary : output;

    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    cli_memory_large();
    lm_err err = lm_pack(context, &job, &result);
    if (err) code = cli_fail(context, err, NULL);
    if (to_stdout && err) (void)unlink(temporary);
    if (to_stdout && !err) code = send_out(temporary);
    if (!err && result.files_bad) code = EXIT_IO; /* each was named */
    if (!err && cli_flag(args, "json") && !to_stdout)
        summary_json(&result, output);
    else if (!err && !cli_flag(args, "quiet"))
        summary_words(&result, to_stdout ? "standard output" : output);
    lm_context_free(context);
    return code;
}
