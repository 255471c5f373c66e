/** What the readers of parts of a configuration share. */
#ifndef CONTROL_LOAD_PRIV_H
#define CONTROL_LOAD_PRIV_H

#include "control/control_priv.h"

typedef struct lm_loader {
    lm_file_place place;
    lm_config *config;
} lm_loader;

lm_err lm_load_wrong_key(const lm_loader *l, const lm_node *key, const char *where,
                         const char *expected);
LM_USE lm_err lm_load_need(const lm_loader *l, const lm_node *node, node_kind kind,
                           const char *what);
LM_USE lm_err lm_load_text(const lm_loader *l, const lm_node *node, const char *what,
                           const char **out);
/** Zeroed items for each of a list's children. */
LM_USE lm_err lm_load_items(const lm_loader *l, const lm_node *node, size_t item_bytes, void *out);
/** A list of texts, or one. */
LM_USE lm_err lm_load_texts(const lm_loader *l, const lm_node *node, const char *what,
                            const char *const **out, size_t *out_count);

extern const lm_config_kafka lm_kafka_initial;
extern const char lm_kafka_keys[]; /* for messages */
LM_USE lm_err lm_kafka_key_read(const lm_loader *l, const lm_node *key, lm_config_kafka *out);
/** What keys cannot say one by one. node: the source. */
LM_USE lm_err lm_kafka_check(const lm_loader *l, const lm_node *node, const lm_config_kafka *kafka);

#endif
