/**
 * control — the configuration: one YAML file, checked to the last key.
 *
 * Purpose:  what a user writes becomes plain structs; what is wrong is named with line and column.
 * Flow:     logmill.yaml --libyaml--> lm_config --server--> options of rooms. Owns:     a config
 * owns all its texts. Threads:  a config is read-only once made. Units:    durations ns, sizes
 * bytes. Limits:   YAML_BYTES_MAX.
 *
 * Invariants
 *   (1) No file, no key is needed: the defaults serve on 127.0.0.1.
 *   (2) An unknown key, a wrong type, a missing unit is an error with line and column; nothing is guessed.
 *   (3) Secrets are kept as hashes or read from files, and are never printed.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "base/base.h"

#endif
