/**
 * control — the configuration: one YAML file, checked to the last key.
 *
 * Purpose:  what a user writes becomes plain structs; what is wrong is named with line and column.
 * Flow:     logmill.yaml --libyaml--> tree --control_keys.def--> lm_config --server--> options of
 * rooms. Owns:     a config owns all its texts. Threads:  a config is read-only once made. Units:
 * durations ns, sizes bytes. Limits:   YAML_BYTES_MAX, CONFIG_ITEMS_MAX.
 *
 * Invariants
 *   (1) No file, no key is needed: the defaults serve on 127.0.0.1.
 *   (2) An unknown key, a wrong type, a missing unit is an error with line and column; nothing is guessed.
 *   (3) Secrets are kept as hashes or read from files, and are never printed.
 *   (4) What lm_config_show prints is a file that gives the same configuration again, secrets apart.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "base/base.h"

/** Files of a TLS listener, PEM. Texts of a config are NUL-terminated; "" is "not given". */
typedef struct lm_config_tls {
    const char *certificate, *key;
    const char *client_ca; /* clients must show a certificate that it signed */
} lm_config_tls;

/** Which door a listener is: all but gRPC's serve every route; the name is for people and for
 * defaults. */
typedef enum lm_config_door {
    LM_DOOR_HTTP,
    LM_DOOR_ELASTICSEARCH,
    LM_DOOR_OTLP_HTTP,
    LM_DOOR_OTLP_GRPC
} lm_config_door;

typedef struct lm_config_listen {
    lm_config_door door;
    const char *address; /* "127.0.0.1:3100", "[::1]:3100", ":3100" is every address */
    lm_config_tls tls;
} lm_config_listen;

typedef struct lm_config_limits {
    uint64_t rate;       /* bytes a second that may be pushed; 0: no bound */
    uint64_t burst;      /* bytes at once above the rate; 0: ten seconds of the rate */
    uint64_t streams;    /* active streams; 0: no bound */
    uint64_t query_time; /* ns; 0: query.timeout */
    uint64_t retention;  /* ns; 0: storage.retention */
    /* Labels of which the first that a stream has names its service, where no service_name does;
     * none: that label is not added. */
    const char *const *service_names;
    size_t service_name_count;
} lm_config_limits;

typedef struct lm_config_tenant {
    const char *name;
    lm_config_limits limits; /* filled up from the defaults */
} lm_config_tenant;

enum { LM_SCOPE_WRITE = 1u << 0, LM_SCOPE_READ = 1u << 1, LM_SCOPE_ADMIN = 1u << 2 };

typedef struct lm_config_user {
    const char *name, *hash; /* of the password: lm_secret_hash */
    const char *tenant;      /* "": as the request says */
    uint32_t scopes;
} lm_config_user;

typedef struct lm_config_token {
    const char *name, *hash; /* of the token: lm_token_hash */
    const char *tenant;
    uint32_t scopes;
} lm_config_token;

typedef enum lm_config_kind {
    LM_SOURCE_FILES,
    LM_SOURCE_SYSLOG,
    LM_SOURCE_PIPE,
    LM_SOURCE_JOURNAL,
    LM_SOURCE_KAFKA
} lm_config_kind;

typedef struct lm_config_label {
    const char *name, *value;
} lm_config_label;

/** What only a source of Kafka has. */
typedef struct lm_config_kafka {
    const char *const *brokers, *const *topics;
    size_t broker_count, topic_count;
    const char *group_id, *client_id;
    bool from_end;                               /* auto_offset_reset: latest */
    const char *mechanism, *username, *password; /* sasl; "": none */
    const char *password_file;
    bool has_tls;
    const char *tls_ca, *tls_certificate, *tls_key;
    const lm_config_label *options; /* of librdkafka */
    size_t option_count;
    const char *message_field, *time_field;
    const char *const *stream_fields;
    size_t stream_field_count;
    uint32_t metadata; /* LM_KAFKA_... */
} lm_config_kafka;

enum {
    LM_KAFKA_PARTITION = 1u << 0,
    LM_KAFKA_OFFSET = 1u << 1,
    LM_KAFKA_KEY = 1u << 2,
    LM_KAFKA_HEADERS = 1u << 3,
    LM_KAFKA_METADATA_ALL = 15,
    LM_KAFKA_STREAM_FIELDS_MAX = 32
};

typedef struct lm_config_source {
    lm_config_kind kind;
    const char *const *paths; /* files: globs */
    size_t path_count;
    const char *const *excludes; /* files */
    size_t exclude_count;
    const char *start_pattern; /* files; "": recognised */
    bool from_end;             /* files */
    uint64_t poll;             /* files: ns; 0: the source's own */
    const char *address;       /* syslog */
    bool udp, tcp;             /* syslog */
    uint64_t message_size_max; /* syslog; 0: the source's own */
    lm_config_tls tls;         /* syslog */
    const char *path;          /* pipe: "-" or a path; journal: a folder, "" the system's */
    lm_config_kafka kafka;
    const char *tenant;
    const lm_config_label *labels;
    size_t label_count;
} lm_config_source;

typedef struct lm_config {
    lm_mem *mem;
    lm_arena arena;
    const char *path; /* of the file; "": defaults */

#define LM_KEY_TEXT(section, name, initial, help)        const char *section##_##name;
#define LM_KEY_SIZE(section, name, initial, help)        uint64_t section##_##name;
#define LM_KEY_DURATION(section, name, initial, help)    uint64_t section##_##name;
#define LM_KEY_NUMBER(section, name, initial, max, help) uint64_t section##_##name;
#define LM_KEY_BOOL(section, name, initial, help)        bool section##_##name;
#include "control/control_keys.def"

    const lm_config_listen *listens;
    size_t listen_count;
    lm_config_limits limits; /* of a tenant that has none of its own */
    const lm_config_tenant *tenants;
    size_t tenant_count;
    const lm_config_user *users;
    size_t user_count;
    const lm_config_token *tokens;
    size_t token_count;
    const lm_config_source *sources;
    size_t source_count;
    bool sources_are_default; /* the file names none */
} lm_config;

/** The defaults, as if from an empty file. LM_E_NOMEM; LM_E_USAGE: there is no home folder to store
 * in. */
LM_USE lm_err lm_config_default(lm_mem *mem, lm_config **out);
/** From a file. LM_E_USAGE: "FILE:LINE:COLUMN: what is wrong"; LM_E_NOTFOUND, LM_E_IO, LM_E_LIMIT.
 */
LM_USE lm_err lm_config_load(lm_mem *mem, const char *path, lm_config **out);
/** From text; name stands before line and column. */
LM_USE lm_err lm_config_parse(lm_mem *mem, const char *name, lm_str text, lm_config **out);
void lm_config_free(lm_config *config); /* NULL is fine */
/** Instead of all listeners: serve every route at these addresses. LM_E_USAGE. */
LM_USE lm_err lm_config_listen_set(lm_config *config, const char *const *addresses, size_t count);
LM_USE lm_err lm_config_storage_set(lm_config *config, const char *path);
/** Limits of a tenant. */
const lm_config_limits *lm_config_limits_of(const lm_config *config, lm_str tenant);
/** YAML of what differs from the defaults, or of everything; secrets as "***". Appended. */
LM_USE lm_err lm_config_show(const lm_config *config, bool is_effective, lm_buf *out);

/** Is it the name of a setting of librdkafka whose value is a secret? */
bool lm_setting_is_secret(const char *name);
/** Host and port of an address: "127.0.0.1:3100", "[::1]:3100", "localhost:0", ":3100". host is ""
 * for every address. LM_E_USAGE. */
LM_USE lm_err lm_address_split(const char *address, char host[256], uint16_t *out_port);
/** May this be a tenant's name? 1 to 150 of A-Z a-z 0-9 ! . _ * ' ( ) -, not "." or "..". */
bool lm_tenant_is_valid(lm_str name);

/** "5s", "1m30s", "250ms", "7d"; units ns us ms s m h d w y. false: it is none. */
bool lm_duration_read(lm_str text, uint64_t *out_ns);
/** "64MiB", "10GB", "512B"; false: it is none, or has no unit. */
bool lm_size_read(lm_str text, uint64_t *out_bytes);
/** As short as it reads back; dst has room for 40 bytes. */
void lm_duration_print(uint64_t ns, char *dst);
void lm_size_print(uint64_t bytes, char *dst);

enum { LM_SECRET_HASH_MAX = 128 };

/** Argon2id of a password, with its salt and cost in the text. LM_E_NOMEM, LM_E_LIMIT. */
LM_USE lm_err lm_secret_hash(lm_str password, char out[LM_SECRET_HASH_MAX]);
/** Some 20 ms of work. */
bool lm_secret_verify(lm_str password, const char *hash);
/** BLAKE2b of a token ("blake2b:HEX"): tokens are random, so a fast hash keeps them as well. */
void lm_token_hash(lm_str token, char out[LM_SECRET_HASH_MAX]);
/** Constant time. */
bool lm_token_verify(lm_str token, const char *hash);
/** A random token of 256 bits, as text. */
void lm_token_make(char out[64]);

#endif
