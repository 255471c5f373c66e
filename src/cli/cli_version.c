/** logmill version */
#include "cli/cli.h"

int cli_version(const cli_args *args)
{
    if (args->operand_count) return cli_usage(args, "version takes no arguments");
    cli_putf("logmill %s\n", lm_version());
    const char *fact;
    for (size_t i = 0; (fact = lm_build_fact(i)); i++)
        cli_putf("  %s\n", fact);
    return EXIT_DONE;
}
