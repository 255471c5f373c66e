/**
 * cli — the program: one table of commands, one file per command.
 *
 * Purpose:  what a person types, said back in words a person can use.
 * Flow:     argv --cli_args--> options --command--> public library --> standard output (data), standard error (words)
 * Owns:     process state: terminal, signals, exit code.
 * Threads:  the main thread; workers belong to the library.
 * Units:    exit codes 0 done, 1 the answer is no, 2 usage, 3 bad data, 4 I/O, 5 limit.
 * Limits:   PATH_BYTES_MAX.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#endif
