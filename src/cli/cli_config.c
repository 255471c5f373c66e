/** logmill config */
#include "cli/cli.h"

#include <string.h>

#define SECRET_MAX 4096u

static void put_yaml(void *ctx, lm_text text)
{
    (void)ctx;
    (void)cli_put(text);
}

/** A secret from standard input: its first line. Never from the command line, where others see it.
 */
static bool read_secret(char secret[SECRET_MAX], size_t *out_len)
{
    if (!fgets(secret, SECRET_MAX, stdin)) return false;
    *out_len = strcspn(secret, "\r\n");
    return *out_len > 0 && *out_len < SECRET_MAX - 1;
}

static int hash(const cli_args *args, lm_context *context)
{
    char secret[SECRET_MAX], text[LM_HASH_BYTES];
    lm_text given = {secret, 0};
    if (!read_secret(secret, &given.len)) {
        cli_say("no secret on standard input (one line, at most %u bytes)", SECRET_MAX - 2);
        return EXIT_USAGE;
    }
    lm_err err = cli_flag(args, "token") ? lm_config_hash_token(context, given, text)
                                         : lm_config_hash_password(context, given, text);
    explicit_bzero(secret, sizeof secret);
    if (err) return cli_fail(context, err, NULL);
    cli_putf("%s\n", text);
    return EXIT_DONE;
}

static int token(lm_context *context)
{
    char text[LM_HASH_BYTES], hashed[LM_HASH_BYTES];
    lm_err err = lm_config_new_token(context, text);
    if (!err) err = lm_config_hash_token(context, (lm_text){text, strlen(text)}, hashed);
    if (err) return cli_fail(context, err, NULL);
    cli_putf("token  %s\nhash   %s\n", text, hashed);
    explicit_bzero(text, sizeof text);
    return EXIT_DONE;
}

int cli_config(const cli_args *args)
{
    if (args->operand_count == 0) return cli_usage(args, "check, show, hash or token?");
    const char *what = args->operands[0];
    const char *path = args->operand_count > 1 ? args->operands[1] : NULL;
    bool is_check = strcmp(what, "check") == 0, is_show = strcmp(what, "show") == 0;
    bool is_hash = strcmp(what, "hash") == 0, is_token = strcmp(what, "token") == 0;
    if (!is_check && !is_show && !is_hash && !is_token)
        return cli_usage(args, "config has no '%s'", what);
    if (args->operand_count > 2 || (path && !is_check && !is_show))
        return cli_usage(args, "too many arguments");
    if (is_check && !path) return cli_usage(args, "which file?");
    lm_context *context = cli_context_new(args);
    if (!context) return EXIT_LIMIT;
    int code = EXIT_DONE;
    if (is_check || is_show) {
        lm_err err =
            is_check ? lm_config_check(context, path)
                     : lm_config_print(context, path, cli_flag(args, "effective"), put_yaml, NULL);
        if (err)
            code = cli_fail(context, err, NULL);
        else if (is_check)
            cli_putf("'%s' is right\n", path);
    } else {
        code = is_hash ? hash(args, context) : token(context);
    }
    lm_context_free(context);
    return code;
}
