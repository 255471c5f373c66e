/**
 * Thousands of random queries over random records, answered by the room and by a slow evaluator
 * that is written down here on its own: queries are made as trees, printed for the room, and worked
 * out here record by record and step by step, over everything, each time.
 */
#include "logql/logql.h"
#include "logql_store.h"

#include <ctype.h>
#include <math.h>

#define RECORDS    80
#define LABELS_MAX 24
#define VECTOR_MAX 256
#define STAGES_MAX 6
#define SECOND     INT64_C(1000000000)

static lm_test_rng rng;

static unsigned below(unsigned bound)
{
    return (unsigned)lm_test_below(&rng, bound);
}

static bool maybe(unsigned one_in)
{
    return below(one_in) == 0;
}

static const char *pick(const char *const *words, size_t count)
{
    return words[below((unsigned)count)];
}

#define PICK(words) pick(words, sizeof(words) / sizeof *(words))

/* ---- labels, plainly ---- */

typedef struct label {
    char name[32], value[64];
} label;

typedef struct labels {
    label items[LABELS_MAX];
    int count;
} labels;

static label *find(labels *l, const char *name)
{
    for (int i = 0; i < l->count; i++) {
        if (!strcmp(l->items[i].name, name)) return &l->items[i];
    }
    return NULL;
}

static void put(labels *l, const char *name, const char *value)
{
    label *to = find(l, name);
    if (!to) {
        assert_true(l->count < LABELS_MAX);
        to = &l->items[l->count++];
    }
    snprintf(to->name, sizeof to->name, "%s", name);
    snprintf(to->value, sizeof to->value, "%s", value);
}

static void take_out(labels *l, const char *name)
{
    label *it = find(l, name);
    if (it) *it = l->items[--l->count];
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const label *)a)->name, ((const label *)b)->name);
}

static void sort_labels(labels *l)
{
    qsort(l->items, (size_t)l->count, sizeof *l->items, by_name);
}

/** Both sorted. */
static int compare_labels(const labels *a, const labels *b)
{
    for (int i = 0; i < a->count && i < b->count; i++) {
        int order = strcmp(a->items[i].name, b->items[i].name);
        if (!order) order = strcmp(a->items[i].value, b->items[i].value);
        if (order) return order;
    }
    return a->count - b->count;
}

static bool has_name(char names[][32], int count, const char *name)
{
    for (int i = 0; i < count; i++) {
        if (!strcmp(names[i], name)) return true;
    }
    return false;
}

/* ---- records ---- */

typedef struct record {
    int64_t time_ns;
    labels stream, metadata;
    char line[256];
} record;

static record records[RECORDS];

static const char *const levels[] = {"info", "warn", "error", "debug"};
static const char *const users[] = {"u1", "u2", "u3"};
static const char *const fruits[] = {"apple", "pear", "plum", "fig"};

#define TORN ",\"o\":{\"us#" /* where some JSON breaks off */

static void make_record(record *r, int number)
{
    static const char *const apps[] = {"a", "b", "c"};
    static const char *const envs[] = {"p", "q"};
    memset(r, 0, sizeof *r);
    /* Times are unique, and often on the edges of windows. */
    r->time_ns = (int64_t)number * SECOND / 2 + (maybe(2) ? below(400000000) : 0);
    put(&r->stream, "app", PICK(apps));
    put(&r->stream, "env", PICK(envs));
    if (maybe(4)) put(&r->metadata, "trace", PICK(users));
    if (maybe(16)) put(&r->metadata, "env", "m");
    char n[24];
    snprintf(n, sizeof n, "%g", ((double)below(2000) - 500) / 8);
    size_t at = 0;
#define ADD(...) at += (size_t)snprintf(r->line + at, sizeof r->line - at, __VA_ARGS__)
    switch (below(4)) {
    case 0:
        ADD("level=%s", PICK(levels));
        if (!maybe(4)) ADD(" n=%s", n);
        if (maybe(3)) ADD(" app=x%u", below(2));
        if (maybe(3)) ADD(" user=%s", PICK(users));
        if (maybe(3)) ADD(" %s", PICK(fruits));
        if (maybe(5)) ADD(" level=%s", PICK(levels));
        break;
    case 1:
        ADD("{\"level\":\"%s\"", PICK(levels));
        if (!maybe(4)) ADD(",\"n\":%s", n);
        if (maybe(3)) ADD(",\"app\":\"x%u\"", below(2));
        if (maybe(3)) ADD(",\"o\":{\"user\":\"%s\",\"app\":\"y\"}", PICK(users));
        if (maybe(4)) ADD(",\"nothing\":null,\"list\":[1,2]");
        if (maybe(5)) ADD(",\"level\":\"%s\"", PICK(levels));
        ADD("%s", maybe(4) ? TORN : "}");
        break;
    case 2:
        ADD("%s eats %s at %s", PICK(users), PICK(fruits), n);
        break;
    default:
        ADD("%s", PICK(fruits));
        break;
    }
}

static void print_labels(const labels *l, char *out, size_t cap)
{
    size_t at = (size_t)snprintf(out, cap, "{");
    for (int i = 0; i < l->count; i++)
        at += (size_t)snprintf(out + at, cap - at, "%s%s=\"%s\"", i ? "," : "", l->items[i].name,
                               l->items[i].value);
    snprintf(out + at, cap - at, "}");
}

/* ---- queries as trees ---- */

typedef enum stage_kind {
    CONTAINS,
    EXCLUDES,
    ANY_OF, /* |= "a" or "b" */
    NONE_OF,
    MATCHES,    /* |~ */
    LOOKS_LIKE, /* |> */
    LOGFMT,
    JSON,
    PATTERN,
    TEXT_FILTER,
    NUMBER_FILTER,
    BOTH_FILTERS,
    NO_ERROR,
    RENAME,
    FORMAT_LABEL,
    FORMAT_LINE,
    DROP,
    KEEP,
    TEMPLATE,
    TEMPLATE_ID,
    LEVEL /* detected_level */
} stage_kind;

typedef struct stage {
    stage_kind kind;
    char a[32], b[32];
    char op[4];
    double number;
    bool is_or;
} stage;

typedef struct matcher {
    char name[16], op[4], value[16];
} matcher;

typedef struct log_query {
    matcher matchers[3];
    int matcher_count;
    stage stages[STAGES_MAX + 2];
    int stage_count;
} log_query;

typedef enum expr_kind { RANGE, AGGREGATE, BINARY, NUMBER, VECTOR } expr_kind;

typedef struct expr {
    expr_kind kind;
    char op[24];
    log_query log;
    bool unwraps;
    int64_t range_ns, offset_ns;
    double number; /* NUMBER, VECTOR, k, quantile */
    bool groups, without;
    char names[4][32];
    int name_count;
    struct expr *left, *right;
    bool is_bool, matches, is_on, group_left;
} expr;

static expr pool[64];
static int pool_used;

#define ID_FIRST 100u /* template_id of a word: its place in the list on top */
static const char *const words[] = {"info",  "warn", "apple", "pear", "u1",
                                    "level", "n=",   "eats",  "xyz",  "a"};
static const char *const label_names[] = {"level",  "app", "env",  "user",         "trace",
                                          "o_user", "lvl", "nope", "app_extracted"};

static void make_log(log_query *q, bool is_metric)
{
    static const matcher some[] = {{"app", "=", "a"},  {"app", "=~", "a|b"}, {"app", "!=", "b"},
                                   {"env", "=", "p"},  {"env", "=~", ".+"},  {"app", "=~", "[bc]"},
                                   {"env", "!~", "q"}, {"x", "=", ""},       {"app", "=~", "a.*"}};
    memset(q, 0, sizeof *q);
    q->matchers[q->matcher_count++] = maybe(3) ? some[0] : some[4];
    while (q->matcher_count < 3 && maybe(3))
        q->matchers[q->matcher_count++] = some[below(sizeof some / sizeof *some)];
    int wanted = (int)below(STAGES_MAX - 1);
    for (int i = 0; i < wanted; i++) {
        stage *s = &q->stages[q->stage_count++];
        s->kind = (stage_kind)below(LEVEL + 1);
        if (s->kind == NO_ERROR) s->kind = maybe(2) ? LOGFMT : JSON;
        snprintf(s->a, sizeof s->a, "%s", PICK(words));
        snprintf(s->b, sizeof s->b, "%s", PICK(words));
        s->is_or = maybe(2);
        s->number = (double)below(200) - 50;
        static const char *const number_ops[] = {">", ">=", "<", "<=", "==", "!="};
        static const char *const text_ops[] = {"=", "!=", "=~", "!~"};
        if (s->kind == TEXT_FILTER || s->kind == BOTH_FILTERS || s->kind == RENAME ||
            s->kind == FORMAT_LABEL || s->kind == DROP || s->kind == KEEP)
            snprintf(s->a, sizeof s->a, "%s", PICK(label_names));
        if (s->kind == RENAME) snprintf(s->b, sizeof s->b, "%s", PICK(label_names));
        if (s->kind == TEXT_FILTER || s->kind == BOTH_FILTERS) {
            snprintf(s->b, sizeof s->b, "%s", PICK(levels));
            if (maybe(4)) s->b[0] = 0;
            snprintf(s->op, sizeof s->op, "%s", PICK(text_ops));
        }
        if (s->kind == LEVEL) {
            snprintf(s->b, sizeof s->b, "%s", maybe(3) ? "unknown" : PICK(levels));
            snprintf(s->op, sizeof s->op, "%s", PICK(text_ops));
        }
        if (s->kind == NUMBER_FILTER) snprintf(s->op, sizeof s->op, "%s", PICK(number_ops));
        if (s->kind == JSON && is_metric) q->stages[q->stage_count++].kind = NO_ERROR;
    }
}

static expr *new_expr(expr_kind kind)
{
    assert_true(pool_used < 64);
    expr *e = &pool[pool_used++];
    memset(e, 0, sizeof *e);
    e->kind = kind;
    return e;
}

static void make_names(expr *e, bool may_be_empty)
{
    static const char *const names[] = {"app",  "env",  "level",         "trace",
                                        "user", "nope", "detected_level"};
    e->groups = true;
    e->without = maybe(3);
    int wanted = (int)below(3) + !may_be_empty;
    for (int i = 0; i < wanted; i++)
        snprintf(e->names[e->name_count++], 32, "%s", PICK(names));
}

static expr *make_range(void)
{
    static const char *const of_lines[] = {"count_over_time",  "rate",
                                           "bytes_over_time",  "bytes_rate",
                                           "absent_over_time", "count_over_time"};
    static const char *const of_values[] = {
        "sum_over_time",     "avg_over_time",    "min_over_time",
        "max_over_time",     "stddev_over_time", "stdvar_over_time",
        "first_over_time",   "last_over_time",   "rate",
        "quantile_over_time"};
    expr *e = new_expr(RANGE);
    make_log(&e->log, true);
    e->unwraps = maybe(2);
    snprintf(e->op, sizeof e->op, "%s", e->unwraps ? PICK(of_values) : PICK(of_lines));
    e->range_ns = (int64_t)(1 + below(20)) * SECOND;
    if (maybe(4)) e->offset_ns = ((int64_t)below(10) - 5) * SECOND;
    e->number = below(5) / 4.0;
    bool takes_groups = e->unwraps && strcmp(e->op, "sum_over_time") && strcmp(e->op, "rate");
    if (takes_groups && maybe(2)) make_names(e, true);
    if (e->unwraps && e->log.stage_count < STAGES_MAX) {
        stage *s = &e->log.stages[e->log.stage_count++];
        s->kind = maybe(2) ? LOGFMT : JSON;
        if (s->kind == JSON) e->log.stages[e->log.stage_count++].kind = NO_ERROR;
    }
    return e;
}

static expr *make_metric(int depth)
{
    static const char *const aggregations[] = {"sum",   "sum",    "avg",    "min",  "max",
                                               "count", "stddev", "stdvar", "topk", "bottomk"};
    static const char *const operators[] = {
        "+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<=", "and", "or", "unless"};
    unsigned what = depth > 2 ? 0 : below(10);
    expr *e;
    if (what < 4) return make_range();
    if (what < 8) {
        e = new_expr(AGGREGATE);
        snprintf(e->op, sizeof e->op, "%s", PICK(aggregations));
        e->number = 1 + below(3);
        if (!maybe(4)) make_names(e, true);
        e->left = make_metric(depth + 1);
        return e;
    }
    e = new_expr(BINARY);
    snprintf(e->op, sizeof e->op, "%s", PICK(operators));
    bool is_set = isalpha((unsigned char)e->op[0]);
    e->left = make_metric(depth + 1);
    unsigned right = below(4);
    if (right == 0 && !is_set) {
        e->right = new_expr(NUMBER);
        e->right->number = below(4);
        if (maybe(2)) {
            expr *swap = e->left;
            e->left = e->right;
            e->right = swap;
        }
    } else if (right == 1) {
        e->right = new_expr(VECTOR);
        e->right->number = below(4);
    } else {
        e->right = make_metric(depth + 1);
    }
    bool compares = strchr("=!<>", e->op[0]) != NULL;
    e->is_bool = compares && maybe(2);
    if (e->left->kind != NUMBER && e->right->kind != NUMBER && maybe(2)) {
        make_names(e, true);
        e->matches = true;
        e->is_on = maybe(2);
        e->group_left = !is_set && maybe(3);
    }
    return e;
}

/* ---- printed ---- */

static char text[16384];
static size_t text_len;

static void say(const char *fmt, ...) LM_PRINTF(1, 2);

static void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    text_len += (size_t)vsnprintf(text + text_len, sizeof text - text_len, fmt, args);
    va_end(args);
    assert_true(text_len < sizeof text);
}

static unsigned number_of(const char *word)
{
    unsigned i = 0;
    while (strcmp(words[i], word))
        i++;
    return i;
}

static void say_log(const log_query *q)
{
    say("{");
    for (int i = 0; i < q->matcher_count; i++)
        say("%s%s%s\"%s\"", i ? ", " : "", q->matchers[i].name, q->matchers[i].op,
            q->matchers[i].value);
    say("}");
    for (int i = 0; i < q->stage_count; i++) {
        const stage *s = &q->stages[i];
        switch (s->kind) {
        case CONTAINS:
            say(" |= \"%s\"", s->a);
            break;
        case EXCLUDES:
            say(" != \"%s\"", s->a);
            break;
        case ANY_OF:
            say(" |= \"%s\" or \"%s\"", s->a, s->b);
            break;
        case NONE_OF:
            say(" != \"%s\" or \"%s\"", s->a, s->b);
            break;
        case MATCHES:
            say(" %s \"%s.*%s\"", s->is_or ? "|~" : "!~", s->a, s->b);
            break;
        case LOOKS_LIKE:
            say(" %s \"<_>%s<_>\"", s->is_or ? "|>" : "!>", s->a);
            break;
        case LOGFMT:
            say(" | logfmt");
            break;
        case JSON:
            say(" | json");
            break;
        case PATTERN:
            say(" | pattern \"<lvl> <_> <user> \"");
            break;
        case TEXT_FILTER:
            say(" | %s%s\"%s\"", s->a, s->op, s->b);
            break;
        case NUMBER_FILTER:
            say(" | n %s %g", s->op, s->number);
            break;
        case BOTH_FILTERS:
            say(" | %s%s\"%s\" %s n > %g", s->a, s->op, s->b, s->is_or ? "or" : "and", s->number);
            break;
        case NO_ERROR:
            say(" | __error__=\"\"");
            break;
        case RENAME:
            say(" | label_format %s=%s", s->a, s->b);
            break;
        case FORMAT_LABEL:
            say(" | label_format %s=\"{{.level}}-{{.app | ToUpper}}\"", s->a);
            break;
        case FORMAT_LINE:
            say(" | line_format \"{{.level}} {{__line__}} {{if .user}}%s{{end}}\"", s->a);
            break;
        case DROP:
            say(" | drop %s, env |~ \"\"", s->a); /* else what follows may belong to it */
            break;
        case KEEP:
            say(" | keep app, %s |~ \"\"", s->a);
            break;
        case TEMPLATE:
            say(" | template \"<*>%s<*>\"", s->a);
            break;
        case TEMPLATE_ID:
            say(" | template_id = %u", ID_FIRST + number_of(s->a));
            break;
        case LEVEL:
            say(" | detected_level%s\"%s\"", s->op, s->b);
            break;
        }
    }
}

static void say_names(const expr *e)
{
    say("(");
    for (int i = 0; i < e->name_count; i++)
        say("%s%s", i ? ", " : "", e->names[i]);
    say(")");
}

static void say_expr(const expr *e)
{
    switch (e->kind) {
    case RANGE:
        say("%s(", e->op);
        if (!strcmp(e->op, "quantile_over_time")) say("%g, ", e->number);
        say_log(&e->log);
        if (e->unwraps) say(" | unwrap n");
        say(" [%llds]", (long long)(e->range_ns / SECOND));
        if (e->offset_ns) say(" offset %llds", (long long)(e->offset_ns / SECOND));
        say(")");
        if (e->groups) {
            say(e->without ? " without " : " by ");
            say_names(e);
        }
        break;
    case AGGREGATE:
        say("%s", e->op);
        if (e->groups) {
            say(e->without ? " without " : " by ");
            say_names(e);
        }
        say("(");
        if (strstr(e->op, "topk") || strstr(e->op, "bottomk")) say("%g, ", e->number);
        say_expr(e->left);
        say(")");
        break;
    case BINARY:
        say("(");
        say_expr(e->left);
        say(" %s ", e->op);
        if (e->is_bool) say("bool ");
        if (e->matches) {
            say(e->is_on ? "on " : "ignoring ");
            say_names(e);
            if (e->group_left) say(" group_left ");
            say(" ");
        }
        say_expr(e->right);
        say(")");
        break;
    case NUMBER:
        say("%g", e->number);
        break;
    case VECTOR:
        say("vector(%g)", e->number);
        break;
    }
}

/* ---- the pipeline, plainly ---- */

typedef struct walker {
    labels first; /* of the stream, as it was */
    labels stream, metadata, parsed, ever;
    bool failed;
    char line[512];
} walker;

static const char *get(walker *w, const char *name)
{
    label *l = find(&w->metadata, name);
    if (!l) l = find(&w->parsed, name);
    if (!l) l = find(&w->stream, name);
    return l ? l->value : NULL;
}

static void set(walker *w, const char *name, const char *value)
{
    take_out(&w->metadata, name);
    take_out(&w->stream, name);
    put(&w->parsed, name, value);
    put(&w->ever, name, "");
}

static void delete(walker *w, const char *name)
{
    take_out(&w->metadata, name);
    take_out(&w->stream, name);
    take_out(&w->parsed, name);
}

static void extract(walker *w, const char *name, const char *value)
{
    char longer[64];
    snprintf(longer, sizeof longer, "%s", name);
    if (find(&w->first, name) || find(&w->metadata, name))
        snprintf(longer, sizeof longer, "%s_extracted", name);
    if (!find(&w->ever, longer)) set(w, longer, value);
}

static void parse_logfmt(walker *w)
{
    char copy[512], *save = NULL;
    snprintf(copy, sizeof copy, "%s", w->line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *eq = strchr(word, '=');
        if (!eq || eq == word || strchr(word, '"')) continue;
        *eq = 0;
        if (!eq[1]) continue;
        for (char *c = word; *c; c++) {
            if (!isalnum((unsigned char)*c)) *c = '_';
        }
        extract(w, word, eq + 1);
    }
}

/** The JSON of make_record, and nothing else. */
static const char *parse_object(walker *w, const char *at, const char *prefix)
{
    at++;
    while (*at && *at != '}') {
        char key[64], name[96], value[64];
        int len = 0;
        if (*at == ',') at++;
        sscanf(at, "\"%63[^\"]\"%n", key, &len);
        at += len + 1; /* and ':' */
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "_" : "", key);
        if (*at == '{') {
            at = parse_object(w, at, name);
        } else if (*at == '"') {
            sscanf(at, "\"%63[^\"]\"%n", value, &len);
            at += len;
            extract(w, name, value);
        } else if (*at == '[') {
            at = strchr(at, ']') + 1;
        } else if (*at == 'n') {
            at += 4;
        } else {
            sscanf(at, "%63[^,}]%n", value, &len);
            at += len;
            extract(w, name, value);
        }
    }
    return at + 1;
}

static void parse_pattern(walker *w)
{
    /* <lvl> <_> <user>_ ; what is missing takes the rest */
    char copy[512];
    if (!w->line[0]) return;
    snprintf(copy, sizeof copy, "%s", w->line);
    char *second = strchr(copy, ' ');
    if (second) *second++ = 0;
    char *third = second ? strchr(second, ' ') : NULL;
    char *end = third ? strchr(third + 1, ' ') : NULL;
    if (end) *end = 0;
    /* Captures are found first and become labels then. */
    extract(w, "lvl", copy);
    if (third) extract(w, "user", third + 1);
}

static bool text_fits(const char *value, const char *op, const char *wanted)
{
    bool same = !strcmp(value, wanted); /* the patterns have no signs in them */
    return op[0] == '=' ? same : !same;
}

static bool number_fits(double v, const char *op, double wanted)
{
    return !strcmp(op, ">")    ? v > wanted
           : !strcmp(op, ">=") ? v >= wanted
           : !strcmp(op, "<")  ? v < wanted
           : !strcmp(op, "<=") ? v <= wanted
           : !strcmp(op, "==") ? v == wanted
                               : v != wanted;
}

static bool n_fits(walker *w, const char *op, double wanted)
{
    const char *n = get(w, "n");
    return n && number_fits(strtod(n, NULL), op, wanted);
}

static bool looks_like(const char *line, const char *word)
{
    /* <_>word<_>: the first place that leaves something in front decides, as the patterns' rule has
     * it: it is looked for from the beginning. */
    const char *at = strstr(line, word);
    return at && at != line && at[strlen(word)];
}

static bool walk_stage(walker *w, const stage *s)
{
    const char *value;
    char all[512];
    bool left;
    switch (s->kind) {
    case CONTAINS:
        return strstr(w->line, s->a) != NULL;
    case EXCLUDES:
        return strstr(w->line, s->a) == NULL;
    case ANY_OF:
        return strstr(w->line, s->a) || strstr(w->line, s->b);
    case NONE_OF:
        return !strstr(w->line, s->a) && !strstr(w->line, s->b);
    case MATCHES:
        value = strstr(w->line, s->a);
        return (value && strstr(value + strlen(s->a), s->b)) == s->is_or;
    case LOOKS_LIKE:
        return looks_like(w->line, s->a) == s->is_or;
    case LOGFMT:
        parse_logfmt(w);
        return true;
    case JSON:
        value = w->line + strspn(w->line, " ");
        if (*value == '{' && strstr(value, TORN)) {
            snprintf(all, sizeof all, "%.*s}", (int)(strstr(value, TORN) - value), value);
            parse_object(w, all, "");
            w->failed = true;
        } else if (*value == '{') {
            parse_object(w, value, "");
        } else {
            w->failed = true;
        }
        return true;
    case PATTERN:
        parse_pattern(w);
        return true;
    case TEXT_FILTER:
        value = get(w, s->a);
        return text_fits(value ? value : "", s->op, s->b);
    case NUMBER_FILTER:
        return n_fits(w, s->op, s->number);
    case BOTH_FILTERS:
        value = get(w, s->a);
        left = text_fits(value ? value : "", s->op, s->b);
        return s->is_or ? left || n_fits(w, ">", s->number) : left && n_fits(w, ">", s->number);
    case NO_ERROR:
        return !w->failed;
    case RENAME:
        value = get(w, s->b);
        if (value) {
            snprintf(all, sizeof all, "%s", value);
            set(w, s->a, all);
            delete (w, s->b);
        }
        return true;
    case FORMAT_LABEL: {
        const char *app = get(w, "app"), *level = get(w, "level");
        snprintf(all, sizeof all, "%s-%s", level ? level : "", app ? app : "");
        for (char *c = strrchr(all, '-'); *c; c++)
            *c = (char)toupper((unsigned char)*c);
        if (app) { /* the upper case is of app alone, which may hold '-' itself */
            size_t at = (level ? strlen(level) : 0) + 1;
            for (char *c = all + at; *c; c++)
                *c = (char)toupper((unsigned char)*c);
        }
        set(w, s->a, all);
        return true;
    }
    case FORMAT_LINE: {
        const char *level = get(w, "level"), *user = get(w, "user");
        snprintf(all, sizeof all, "%s %.300s %s", level ? level : "", w->line,
                 user && *user ? s->a : "");
        snprintf(w->line, sizeof w->line, "%s", all);
        return true;
    }
    case DROP:
        delete (w, s->a);
        delete (w, "env");
        return true;
    case KEEP: {
        labels *const parts[] = {&w->stream, &w->metadata, &w->parsed};
        for (int i = 0; i < 3; i++) {
            for (int k = parts[i]->count - 1; k >= 0; k--) {
                const char *name = parts[i]->items[k].name;
                if (strcmp(name, "app") && strcmp(name, s->a)) take_out(parts[i], name);
            }
        }
        return true;
    }
    case TEMPLATE:
    case TEMPLATE_ID:
        return strstr(w->line, s->a) != NULL;
    case LEVEL:
        value = get(w, "detected_level");
        return text_fits(value ? value : "", s->op, s->b);
    }
    return false;
}

static bool stream_fits(const log_query *q, record *r)
{
    for (int i = 0; i < q->matcher_count; i++) {
        const matcher *m = &q->matchers[i];
        label *l = find(&r->stream, m->name);
        const char *v = l ? l->value : "";
        bool fits = !strcmp(m->value, ".+")     ? *v != 0
                    : !strcmp(m->value, "a|b")  ? !strcmp(v, "a") || !strcmp(v, "b")
                    : !strcmp(m->value, "[bc]") ? !strcmp(v, "b") || !strcmp(v, "c")
                    : !strcmp(m->value, "a.*")  ? v[0] == 'a'
                                                : !strcmp(v, m->value);
        if (fits != (m->op[0] == '=')) return false;
    }
    return true;
}

/** The first level in the lines of make_record, wherever it stands. */
static const char *level_in(const char *line)
{
    const char *first = NULL, *level = "unknown";
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        const char *at = strstr(line, levels[i]);
        if (!at || (first && at > first)) continue;
        first = at;
        level = levels[i];
    }
    return level;
}

static bool walk(const log_query *q, record *r, walker *w)
{
    memset(w, 0, sizeof *w);
    w->first = w->stream = r->stream;
    for (int i = 0; i < r->metadata.count; i++) {
        const label *l = &r->metadata.items[i];
        char longer[64];
        snprintf(longer, sizeof longer, "%s%s", l->name,
                 find(&w->first, l->name) ? "_extracted" : "");
        put(&w->metadata, longer, l->value);
    }
    snprintf(w->line, sizeof w->line, "%s", r->line);
    if (strstr(text, "detected_level")) put(&w->metadata, "detected_level", level_in(r->line));
    if (!stream_fits(q, r)) return false;
    for (int i = 0; i < q->stage_count; i++) {
        if (!walk_stage(w, &q->stages[i])) return false;
    }
    return true;
}

static void all_labels(walker *w, labels *out)
{
    *out = w->stream;
    for (int i = 0; i < w->metadata.count; i++)
        put(out, w->metadata.items[i].name, w->metadata.items[i].value);
    for (int i = 0; i < w->parsed.count; i++)
        put(out, w->parsed.items[i].name, w->parsed.items[i].value);
    if (w->failed) {
        put(out, "__error__", "JSONParserErr");
        put(out, "__error_details__", "Value looks like object, but can't find closing '}' symbol");
    }
    sort_labels(out);
}

/* ---- metric queries, plainly ---- */

typedef struct sample {
    labels labels;
    double value;
} sample;

typedef struct vector {
    sample items[VECTOR_MAX];
    int count;
    bool failed;
} vector;

static void group_labels(const labels *from, const expr *e, bool also_n, labels *out)
{
    char names[5][32];
    memcpy(names, e->names, sizeof e->names);
    int count = e->name_count;
    bool without = e->without;
    if (also_n && (!e->groups || !count || without)) {
        if (e->groups && !count && !without) { /* by () */
            out->count = 0;
            return;
        }
        without = true;
        snprintf(names[count++], 32, "n");
    } else if (!e->groups) {
        *out = *from;
        return;
    }
    out->count = 0;
    for (int i = 0; i < from->count; i++) {
        if (has_name(names, count, from->items[i].name) != without)
            out->items[out->count++] = from->items[i];
    }
    sort_labels(out);
}

typedef struct value {
    int64_t time_ns;
    double v;
} value;

static int by_time(const void *a, const void *b)
{
    const value *x = a, *y = b;
    return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static int by_size(const void *a, const void *b)
{
    const value *x = a, *y = b;
    return x->v < y->v ? -1 : x->v > y->v;
}

static double over_time(const expr *e, value *v, int n)
{
    double sum = 0, squares = 0, least = v[0].v, most = v[0].v;
    qsort(v, (size_t)n, sizeof *v, by_time);
    double first = v[0].v, last = v[n - 1].v;
    for (int i = 0; i < n; i++) {
        sum += v[i].v;
        least = fmin(least, v[i].v);
        most = fmax(most, v[i].v);
    }
    for (int i = 0; i < n; i++)
        squares += (v[i].v - sum / n) * (v[i].v - sum / n);
    double seconds = (double)e->range_ns / 1e9;
    if (!strcmp(e->op, "rate") || !strcmp(e->op, "bytes_rate")) return sum / seconds;
    if (!strcmp(e->op, "avg_over_time")) return sum / n;
    if (!strcmp(e->op, "min_over_time")) return least;
    if (!strcmp(e->op, "max_over_time")) return most;
    if (!strcmp(e->op, "stddev_over_time")) return sqrt(squares / n);
    if (!strcmp(e->op, "stdvar_over_time")) return squares / n;
    if (!strcmp(e->op, "first_over_time")) return first;
    if (!strcmp(e->op, "last_over_time")) return last;
    if (!strcmp(e->op, "quantile_over_time")) {
        qsort(v, (size_t)n, sizeof *v, by_size);
        double rank = e->number * (n - 1);
        int low = (int)rank, high = low + 1 < n ? low + 1 : n - 1;
        return v[low].v + (v[high].v - v[low].v) * (rank - low);
    }
    return sum;
}

static void eval(const expr *e, int64_t now, vector *out);

static void eval_range(const expr *e, int64_t now, vector *out)
{
    static value values[VECTOR_MAX][RECORDS];
    int counts[VECTOR_MAX] = {0};
    out->count = 0;
    out->failed = false;
    for (int i = 0; i < RECORDS; i++) {
        int64_t t = records[i].time_ns;
        walker w;
        labels all, of_series;
        if (t > now - e->offset_ns || t <= now - e->offset_ns - e->range_ns) continue;
        if (!walk(&e->log, &records[i], &w)) continue;
        const char *n = get(&w, "n");
        if (e->unwraps && (!n || !*n)) continue;
        double v = e->unwraps                    ? strtod(n, NULL)
                   : !strncmp(e->op, "bytes", 5) ? (double)strlen(w.line)
                                                 : 1;
        all_labels(&w, &all);
        group_labels(&all, e, e->unwraps, &of_series);
        int k = 0;
        while (k < out->count && compare_labels(&out->items[k].labels, &of_series))
            k++;
        if (k == out->count) {
            assert_true(out->count < VECTOR_MAX);
            out->items[out->count++].labels = of_series;
        }
        values[k][counts[k]++] = (value){t, v};
    }
    if (!strcmp(e->op, "absent_over_time")) {
        bool is_there = out->count > 0;
        out->count = 0;
        if (is_there) return;
        sample *s = &out->items[out->count++];
        memset(s, 0, sizeof *s);
        s->value = 1;
        for (int i = 0; i < e->log.matcher_count; i++) {
            const matcher *m = &e->log.matchers[i];
            bool said = !strcmp(m->op, "=") && m->value[0];
            for (int k = 0; k < e->log.matcher_count; k++)
                said = said && (k == i || strcmp(e->log.matchers[k].name, m->name));
            if (said) put(&s->labels, m->name, m->value);
        }
        sort_labels(&s->labels);
        return;
    }
    for (int k = 0; k < out->count; k++)
        out->items[k].value = over_time(e, values[k], counts[k]);
}

static int largest_first(const void *a, const void *b)
{
    const sample *x = a, *y = b;
    if (isnan(x->value) != isnan(y->value)) return isnan(x->value) ? 1 : -1;
    if (x->value != y->value && !isnan(x->value)) return x->value > y->value ? -1 : 1;
    return compare_labels(&x->labels, &y->labels);
}

static int smallest_first(const void *a, const void *b)
{
    const sample *x = a, *y = b;
    if (isnan(x->value) != isnan(y->value)) return isnan(x->value) ? 1 : -1;
    if (x->value != y->value && !isnan(x->value)) return x->value < y->value ? -1 : 1;
    return compare_labels(&x->labels, &y->labels);
}

static double aggregate(const char *op, const double *v, int n)
{
    double sum = 0, squares = 0, least = v[0], most = v[0];
    for (int i = 0; i < n; i++) {
        sum += v[i];
        least = isnan(least) || v[i] < least ? v[i] : least;
        most = isnan(most) || v[i] > most ? v[i] : most;
    }
    for (int i = 0; i < n; i++)
        squares += (v[i] - sum / n) * (v[i] - sum / n);
    if (n == 1 && !strncmp(op, "std", 3)) return 0; /* whatever the one is */
    return !strcmp(op, "sum")      ? sum
           : !strcmp(op, "avg")    ? sum / n
           : !strcmp(op, "min")    ? least
           : !strcmp(op, "max")    ? most
           : !strcmp(op, "count")  ? n
           : !strcmp(op, "stddev") ? sqrt(squares / n)
                                   : squares / n;
}

static void drop_empty(labels *l)
{
    for (int i = l->count - 1; i >= 0; i--) {
        if (!l->items[i].value[0]) take_out(l, l->items[i].name);
    }
    sort_labels(l);
}

static void eval_aggregate(const expr *e, int64_t now, vector *out)
{
    vector *in = calloc(1, sizeof *in), *group = calloc(1, sizeof *group);
    bool taken[VECTOR_MAX] = {false};
    bool top = !strcmp(e->op, "topk"), bottom = !strcmp(e->op, "bottomk");
    expr grouping = *e;
    grouping.groups = true; /* none is by () */
    assert_true(in && group);
    eval(e->left, now, in);
    out->count = 0;
    out->failed = in->failed;
    for (int i = 0; i < in->count && !in->failed; i++) {
        labels key, other;
        double values[VECTOR_MAX] = {0};
        if (taken[i]) continue;
        group_labels(&in->items[i].labels, &grouping, false, &key);
        if (e->without) drop_empty(&key);
        group->count = 0;
        for (int k = i; k < in->count; k++) {
            group_labels(&in->items[k].labels, &grouping, false, &other);
            if (e->without) drop_empty(&other);
            if (compare_labels(&key, &other)) continue;
            taken[k] = true;
            values[group->count] = in->items[k].value;
            group->items[group->count++] = in->items[k];
        }
        if (top || bottom) {
            qsort(group->items, (size_t)group->count, sizeof *group->items,
                  top ? largest_first : smallest_first);
            for (int k = 0; k < group->count && k < e->number; k++)
                out->items[out->count++] = group->items[k];
        } else {
            out->items[out->count].labels = key;
            out->items[out->count++].value = aggregate(e->op, values, group->count);
        }
    }
    free(in);
    free(group);
}

static double operate(const char *op, double a, double b)
{
    switch (op[0]) {
    case '+':
        return a + b;
    case '-':
        return a - b;
    case '*':
        return a * b;
    case '/':
        return b == 0 ? NAN : a / b;
    case '%':
        return b == 0 ? NAN : fmod(a, b);
    case '^':
        return pow(a, b);
    default:
        return number_fits(a, op, b);
    }
}

static void match_labels(const sample *s, const expr *e, labels *out)
{
    expr grouping = *e;
    grouping.groups = true;
    grouping.without = !e->is_on;
    group_labels(&s->labels, &grouping, false, out);
    drop_empty(out);
}

static void eval_binary(const expr *e, int64_t now, vector *out)
{
    vector *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    bool compares = strchr("=!<>", e->op[0]) != NULL;
    bool is_set = isalpha((unsigned char)e->op[0]);
    bool used[VECTOR_MAX] = {false};
    assert_true(a && b);
    eval(e->left, now, a);
    eval(e->right, now, b);
    out->count = 0;
    out->failed = a->failed || b->failed;
    bool number_left = e->left->kind == NUMBER, number_right = e->right->kind == NUMBER;
    if (number_left || number_right) {
        vector *v = number_left ? b : a;
        for (int i = 0; i < v->count; i++) {
            double x = number_left ? e->left->number : v->items[i].value;
            double y = number_left ? v->items[i].value : e->right->number;
            double r = operate(e->op, x, y);
            if (compares && !e->is_bool) {
                if (!r) continue;
                r = v->items[i].value;
            }
            out->items[out->count] = v->items[i];
            out->items[out->count++].value = r;
        }
        goto out;
    }
    for (int i = 0; i < b->count && !is_set; i++) {
        for (int k = 0; k < i; k++) {
            labels x, y;
            match_labels(&b->items[i], e, &x);
            match_labels(&b->items[k], e, &y);
            if (!compare_labels(&x, &y)) out->failed = true;
        }
    }
    for (int i = 0; i < a->count; i++) {
        labels x, y;
        match_labels(&a->items[i], e, &x);
        int match = -1;
        for (int k = 0; k < b->count; k++) {
            match_labels(&b->items[k], e, &y);
            if (!compare_labels(&x, &y)) match = k;
        }
        if (is_set) {
            bool kept = e->op[0] == 'o' || (e->op[0] == 'a') == (match >= 0);
            if (kept) out->items[out->count++] = a->items[i];
            continue;
        }
        if (match < 0) continue;
        if (used[match] && !e->group_left) out->failed = true;
        used[match] = true;
        double r = operate(e->op, a->items[i].value, b->items[match].value);
        if (compares && !e->is_bool) {
            if (!r) continue;
            r = a->items[i].value;
        }
        out->items[out->count].labels = a->items[i].labels;
        if (e->matches && !e->group_left) out->items[out->count].labels = x;
        drop_empty(&out->items[out->count].labels);
        out->items[out->count++].value = r;
    }
    for (int k = 0; e->op[0] == 'o' && k < b->count; k++) {
        labels x, y;
        bool found = false;
        match_labels(&b->items[k], e, &y);
        for (int i = 0; i < a->count; i++) {
            match_labels(&a->items[i], e, &x);
            found = found || !compare_labels(&x, &y);
        }
        if (!found) out->items[out->count++] = b->items[k];
    }
out:
    free(a);
    free(b);
}

static void eval(const expr *e, int64_t now, vector *out)
{
    switch (e->kind) {
    case RANGE:
        eval_range(e, now, out);
        break;
    case AGGREGATE:
        eval_aggregate(e, now, out);
        break;
    case BINARY:
        eval_binary(e, now, out);
        break;
    default:
        out->failed = false;
        out->count = 1;
        memset(&out->items[0], 0, sizeof out->items[0]);
        out->items[0].value = e->number;
        break;
    }
}

/* ---- comparing ---- */

static bool same_number(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) == isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs(a - b) <= 1e-9 * fmax(1, fmax(fabs(a), fabs(b)));
}

static void take_labels(lm_labels from, labels *out)
{
    out->count = 0;
    for (uint32_t i = 0; i < from.count; i++) {
        char name[32], v[64];
        snprintf(name, sizeof name, "%.*s", (int)from.items[i].name.len,
                 (const char *)from.items[i].name.ptr);
        snprintf(v, sizeof v, "%.*s", (int)from.items[i].value.len,
                 (const char *)from.items[i].value.ptr);
        put(out, name, v);
    }
    sort_labels(out);
}

static void wrong(const char *what, int64_t now)
{
    printf("%s\n  at %g s: %s\n", text, (double)now / 1e9, what);
    for (int i = 0; i < RECORDS && getenv("LOGMILL_PRINT_CASES"); i++) {
        char s[512], m[512];
        print_labels(&records[i].stream, s, sizeof s);
        print_labels(&records[i].metadata, m, sizeof m);
        printf("> %s %.9fs [%s] %s\n", s, (double)records[i].time_ns / 1e9, m, records[i].line);
    }
    fail();
}

static void compare_step(const lm_logql_result *got, vector *want, int64_t now)
{
    int count = 0;
    char what[1200], l[512];
    bool used[VECTOR_MAX] = {false};
    for (size_t i = 0; i < got->series_count; i++) {
        const lm_logql_series *series = &got->series[i];
        for (size_t k = 0; k < series->count; k++) {
            if (series->points[k].time_ns != now) continue;
            labels have;
            take_labels(series->labels, &have);
            int at = 0;
            while (at < want->count && (used[at] || compare_labels(&want->items[at].labels, &have)))
                at++;
            print_labels(&have, l, sizeof l);
            if (at == want->count) {
                snprintf(what, sizeof what, "unexpected series %s", l);
                wrong(what, now);
            }
            used[at] = true;
            count++;
            if (!same_number(series->points[k].value, want->items[at].value)) {
                snprintf(what, sizeof what, "%s: %.17g instead of %.17g", l,
                         series->points[k].value, want->items[at].value);
                wrong(what, now);
            }
        }
    }
    for (int i = 0; i < want->count; i++) {
        if (used[i]) continue;
        print_labels(&want->items[i].labels, l, sizeof l);
        snprintf(what, sizeof what, "missing series %s", l);
        wrong(what, now);
    }
    assert_int_equal(count, want->count);
}

typedef struct world {
    lm_mem *mem;
    memory_store store;
} world;

static void make_world(world *w)
{
    assert_int_equal(lm_mem_new(NULL, 0, &w->mem), LM_OK);
    memory_store_init(&w->store, w->mem);
    for (int i = 0; i < RECORDS; i++) {
        char s[512], m[512];
        make_record(&records[i], i);
        print_labels(&records[i].stream, s, sizeof s);
        print_labels(&records[i].metadata, m, sizeof m);
        /* Texts of labels are borrowed. */
        char *s_kept = lm_arena_copy(&w->store.batch.arena, s, strlen(s));
        char *m_kept = lm_arena_copy(&w->store.batch.arena, m, strlen(m));
        assert_true(s_kept && m_kept);
        memory_store_add(&w->store, s_kept, records[i].time_ns, lm_str_of(records[i].line),
                         records[i].metadata.count ? m_kept : NULL);
    }
}

static void end_world(world *w)
{
    memory_store_fini(&w->store);
    lm_mem_free(w->mem);
}

static void tell_templates(lm_logql *query)
{
    uint64_t id;
    for (size_t i = 0; lm_logql_template_id_at(query, i, &id); i++) {
        char form[64];
        snprintf(form, sizeof form, "<*>%s<*>", words[id - ID_FIRST]);
        assert_int_equal(lm_logql_template_is(query, id, lm_str_of(form)), LM_OK);
    }
}

static void test_metric_queries(void **state)
{
    (void)state;
    rng = lm_test_rng_make("metric queries");
    vector *want = calloc(1, sizeof *want);
    unsigned failed = 0;
    assert_non_null(want);
    for (int round = 0; round < 60; round++) {
        world w;
        make_world(&w);
        for (int i = 0; i < 40; i++) {
            lm_logql *query = NULL;
            lm_arena arena;
            lm_logql_result result;
            pool_used = 0;
            text_len = 0;
            expr *e = make_metric(0);
            say_expr(e);
            if (lm_logql_parse(w.mem, lm_str_of(text), &query)) wrong(lm_err_text(), 0);
            tell_templates(query);
            lm_logql_range range = {.start_ns = (int64_t)below(10) * SECOND,
                                    .step_ns = (int64_t)(1 + below(12)) * SECOND};
            range.end_ns = range.start_ns + (int64_t)below(6) * range.step_ns;
            if (maybe(3)) range.step_ns = 0;
            memory_store_shuffle(&w.store, &rng);
            lm_store_face face = memory_face(&w.store);
            lm_arena_init(&arena, w.mem);
            lm_err err = lm_logql_run(query, &face, &range, &arena, &result);
            bool is_wrong = false;
            int64_t first = range.step_ns ? range.start_ns : range.end_ns;
            int64_t step = range.step_ns ? range.step_ns : 1;
            for (int64_t now = first; now <= range.end_ns && !is_wrong; now += step) {
                eval(e, now, want);
                is_wrong = want->failed;
                if (!err && !is_wrong) compare_step(&result, want, now);
            }
            if (err && !is_wrong) wrong(lm_err_text(), 0);
            if (!err && is_wrong) wrong("it should have failed", 0);
            failed += is_wrong;
            lm_arena_fini(&arena);
            lm_logql_free(query);
        }
        end_world(&w);
    }
    printf("# %u queries that cannot be answered\n", failed);
    free(want);
}

static void test_log_queries(void **state)
{
    (void)state;
    rng = lm_test_rng_make("log queries");
    for (int round = 0; round < 60; round++) {
        world w;
        make_world(&w);
        for (int i = 0; i < 60; i++) {
            lm_logql *query = NULL;
            lm_arena arena;
            lm_logql_result result;
            log_query q;
            text_len = 0;
            make_log(&q, false);
            say_log(&q);
            if (lm_logql_parse(w.mem, lm_str_of(text), &query)) wrong(lm_err_text(), 0);
            tell_templates(query);
            lm_logql_range range = {.start_ns = (int64_t)below(20) * SECOND,
                                    .limit = 1 + below(maybe(2) ? 5 : 100),
                                    .forwards = maybe(2)};
            range.end_ns = range.start_ns + (int64_t)below(30) * SECOND;
            memory_store_shuffle(&w.store, &rng);
            lm_store_face face = memory_face(&w.store);
            lm_arena_init(&arena, w.mem);
            if (lm_logql_run(query, &face, &range, &arena, &result)) wrong(lm_err_text(), 0);
            size_t wanted = 0, had = 0;
            for (size_t k = 0; k < result.series_count; k++)
                had += result.series[k].count;
            /* Times rise with the number of a record. */
            for (int k = 0; k < RECORDS && wanted < range.limit; k++) {
                record *r = &records[range.forwards ? k : RECORDS - 1 - k];
                walker walked;
                labels want, have;
                bool found = false;
                if (r->time_ns < range.start_ns || r->time_ns >= range.end_ns) continue;
                if (!walk(&q, r, &walked)) continue;
                wanted++;
                all_labels(&walked, &want);
                for (size_t n = 0; n < result.series_count && !found; n++) {
                    const lm_logql_series *series = &result.series[n];
                    for (size_t m = 0; m < series->count && !found; m++) {
                        if (series->entries[m].time_ns != r->time_ns) continue;
                        take_labels(series->labels, &have);
                        found = !compare_labels(&want, &have) &&
                                lm_str_equal(series->entries[m].line, lm_str_of(walked.line));
                    }
                }
                if (!found) wrong(r->line, r->time_ns);
            }
            if (wanted != had) wrong("another number of entries", 0);
            lm_arena_fini(&arena);
            lm_logql_free(query);
        }
        end_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_queries),
        cmocka_unit_test(test_metric_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
