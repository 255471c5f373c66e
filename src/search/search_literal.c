/* Literals: finding one in a line, and reading off a pattern which literals every match must
 * contain.
 *
 * The reader of patterns is conservative: it walks concatenations and groups, collects runs of
 * plain characters, and drops whatever it does not know (classes, look-arounds, references).
 * Constructs that could void what it has already collected ((*ACCEPT), conditions, recursion, (?x))
 * make it give up: no demands, which is always right. The pattern has been compiled before, so its
 * syntax is valid.
 *
 *   alternatives := concat ('|' concat)*        one clause with a literal of each, if each has one
 *   concat       := (atom quantifier?)*         runs of single characters and of groups that are
 * one literal
 *
 * A demand is a conjunction of clauses, a clause a disjunction of literals. `exact` says that the
 * pattern is nothing but these literals: then nobody needs PCRE2. */
#include "search/search_priv.h"

#define CLAUSES_MAX   16
#define CHOICES_MAX   32
#define DEPTH_MAX     40
#define RUN_BYTES_MAX 256

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool is_letter(uint8_t c)
{
    c |= 32;
    return c >= 'a' && c <= 'z';
}

/* ---- demands of a pattern -------------------------------------------------------------------- */

/* What one concatenation or group demands. */
typedef struct need {
    lm_clause clauses[CLAUSES_MAX];
    uint32_t count;
    bool exact; /* nothing but one clause; matching lines are those that hold it */
} need;

typedef struct reader {
    lm_str pattern;
    size_t at;
    lm_arena *arena;
    bool nocase;
    bool gave_up;
    bool no_memory;
    int depth;
} reader;

/* A run of characters under way. */
typedef struct piece {
    uint8_t bytes[RUN_BYTES_MAX];
    size_t len;
    bool nocase;
} piece;

static int peek(const reader *r, size_t ahead)
{
    return r->at + ahead < r->pattern.len ? r->pattern.ptr[r->at + ahead] : -1;
}

static size_t literals_shortest(lm_clause clause)
{
    size_t shortest = SIZE_MAX;
    for (uint32_t i = 0; i < clause.count; i++) {
        if (clause.any[i].text.len < shortest) shortest = clause.any[i].text.len;
    }
    return shortest;
}

static void clause_push(need *n, lm_clause clause)
{
    if (n->count < CLAUSES_MAX) n->clauses[n->count++] = clause;
}

/* Ends the run: it becomes a clause of one literal. */
static void run_flush(reader *r, piece *run, need *n)
{
    if (run->len == 0) return;
    lm_literal *literal = lm_arena_alloc(r->arena, sizeof *literal, _Alignof(lm_literal));
    uint8_t *bytes = literal ? lm_arena_copy(r->arena, run->bytes, run->len) : NULL;
    if (!bytes) {
        r->no_memory = true;
        return;
    }
    bool letters = false;
    for (size_t i = 0; i < run->len; i++) {
        letters |= is_letter(bytes[i]);
        if (run->nocase) bytes[i] = lower(bytes[i]);
    }
    *literal = (lm_literal){{bytes, run->len}, run->nocase && letters};
    clause_push(n, (lm_clause){literal, 1});
    run->len = 0;
}

static void run_put(reader *r, piece *run, need *n, uint8_t c)
{
    if (run->len == RUN_BYTES_MAX || (run->len > 0 && run->nocase != r->nocase)) {
        run_flush(r, run, n);
        n->exact = false;
    }
    run->nocase = r->nocase;
    run->bytes[run->len++] = c;
}

typedef struct quantifier {
    bool present;
    bool optional; /* may be zero times */
} quantifier;

static quantifier quantifier_read_one(reader *r)
{
    quantifier q = {false, false};
    int c = peek(r, 0);
    if (c == '*' || c == '?' || c == '+') {
        q = (quantifier){true, c != '+'};
        r->at++;
    } else if (c == '{') {
        size_t end = 1;
        bool digits = false, zero = true, in_minimum = true;
        for (;; end++) {
            int d = peek(r, end);
            if (d >= '0' && d <= '9') {
                digits = true;
                if (in_minimum && d != '0') zero = false;
            } else if (d == ',') {
                in_minimum = false;
            } else if (d != ' ') {
                break;
            }
        }
        if (!digits || peek(r, end) != '}') return q; /* a plain brace */
        q = (quantifier){true, zero};
        r->at += end + 1;
    } else {
        return q;
    }
    if (peek(r, 0) == '?' || peek(r, 0) == '+') r->at++;
    return q;
}

/* a{2}{0} repeats the repetition. */
static quantifier quantifier_read(reader *r)
{
    quantifier all = {false, false};
    for (quantifier q = quantifier_read_one(r); q.present; q = quantifier_read_one(r)) {
        all.present = true;
        all.optional = all.optional || q.optional;
    }
    return all;
}

static void class_skip(reader *r)
{
    r->at++; /* the bracket */
    if (peek(r, 0) == '^') r->at++;
    if (peek(r, 0) == ']') r->at++;
    for (;;) {
        int c = peek(r, 0);
        if (c < 0) return;
        if (c == '\\') {
            if (peek(r, 1) == 'Q' || peek(r, 1) == 'E') r->gave_up = true;
            r->at += 2;
        } else if (c == '[' && (peek(r, 1) == ':' || peek(r, 1) == '.' || peek(r, 1) == '=')) {
            int kind = peek(r, 1);
            r->at += 2;
            while (peek(r, 0) >= 0 && peek(r, 0) != ']' &&
                   !(peek(r, 0) == kind && peek(r, 1) == ']'))
                r->at++;
            if (peek(r, 0) == kind) r->at += 2;
        } else {
            r->at++;
            if (c == ']') return;
        }
    }
}

typedef enum atom { ATOM_CHAR, ATOM_OTHER, ATOM_NOTHING } atom;

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind a backslash. ATOM_NOTHING: matches nothing of its own and says where it is (\b). */
static atom escape_read(reader *r, uint8_t *out)
{
    int c = peek(r, 1);
    r->at += 2;
    if (c < 0) {
        r->gave_up = true;
        return ATOM_OTHER;
    }
    if (!is_letter((uint8_t)c) && !(c >= '0' && c <= '9')) {
        *out = (uint8_t)c;
        return ATOM_CHAR;
    }
    switch (c) {
    case 't':
        *out = '\t';
        return ATOM_CHAR;
    case 'n':
        *out = '\n';
        return ATOM_CHAR;
    case 'r':
        *out = '\r';
        return ATOM_CHAR;
    case 'f':
        *out = '\f';
        return ATOM_CHAR;
    case 'e':
        *out = 27;
        return ATOM_CHAR;
    case 'a':
        *out = 7;
        return ATOM_CHAR;
    case 'x':
        if (hex_digit(peek(r, 0)) >= 0 && hex_digit(peek(r, 1)) >= 0) {
            *out = (uint8_t)(hex_digit(peek(r, 0)) << 4 | hex_digit(peek(r, 1)));
            r->at += 2;
            return ATOM_CHAR;
        }
        r->gave_up = true;
        return ATOM_OTHER;
    case 'd':
    case 'D':
    case 'w':
    case 'W':
    case 's':
    case 'S':
    case 'h':
    case 'H':
    case 'v':
    case 'V':
    case 'R':
        return ATOM_OTHER;
    case 'N':
        if (peek(r, 0) == '{') r->gave_up = true;
        return ATOM_OTHER;
    case 'b':
    case 'B':
    case 'A':
    case 'Z':
    case 'z':
    case 'G':
        return ATOM_NOTHING;
    default: /* references, properties, \Q, \K, code points: not worth knowing */
        r->gave_up = true;
        return ATOM_OTHER;
    }
}

static void alternatives_read(reader *r, need *out);

/* Reads "(?...": sets flags, tells what group begins. Returns false if there is no group to read
 * (flags alone). */
static bool group_open(reader *r, bool *out_look)
{
    *out_look = false;
    r->at++;
    if (peek(r, 0) == '*') r->gave_up = true;
    if (peek(r, 0) != '?') return true;
    r->at++;
    int c = peek(r, 0), d = peek(r, 1);
    if (c == ':' || c == '>' || c == '|') {
        r->at++;
        return true;
    }
    if (c == '=' || c == '!' || (c == '<' && (d == '=' || d == '!'))) {
        *out_look = true;
        r->at += c == '<' ? 2 : 1;
        return true;
    }
    if (c == '<' || c == '\'' || (c == 'P' && d == '<')) {
        int close = c == '\'' ? '\'' : '>';
        r->at += c == 'P' ? 2 : 1;
        while (peek(r, 0) >= 0 && peek(r, 0) != close)
            r->at++;
        r->at++;
        return true;
    }
    bool on = true, nocase = r->nocase;
    for (;; r->at++) {
        c = peek(r, 0);
        if (c == '-') {
            on = false;
        } else if (c == 'i') {
            nocase = on;
        } else if (c != 'm' && c != 's' && c != 'U' && c != 'J') {
            break;
        }
    }
    if (c != ':' && c != ')') {
        r->gave_up = true; /* (?x), (?^), conditions, recursion, callouts, comments */
        return false;
    }
    r->at++;
    r->nocase = nocase;
    return c == ':';
}

static void group_read(reader *r, piece *run, need *out)
{
    bool look, flags_before = r->nocase;
    if (!group_open(r, &look) || r->gave_up) {
        out->exact = out->exact && !r->gave_up;
        return; /* (?i): stays on to the end of the group around it */
    }
    need inner = {.count = 0};
    if (++r->depth > DEPTH_MAX) {
        r->gave_up = true;
        return;
    }
    alternatives_read(r, &inner);
    r->depth--;
    r->nocase = flags_before;
    if (peek(r, 0) == ')') r->at++;
    quantifier q = quantifier_read(r);
    if (look || q.optional) {
        run_flush(r, run, out);
        out->exact = false;
        return;
    }
    if (inner.exact && inner.clauses[0].count == 1 && !q.present) {
        const lm_literal *literal = &inner.clauses[0].any[0];
        bool before = r->nocase;
        r->nocase = literal->nocase;
        for (size_t i = 0; i < literal->text.len; i++)
            run_put(r, run, out, literal->text.ptr[i]);
        r->nocase = before;
        return;
    }
    run_flush(r, run, out);
    bool alone = out->count == 0 && out->exact && inner.exact && !q.present;
    for (uint32_t i = 0; i < inner.count; i++)
        clause_push(out, inner.clauses[i]);
    /* (a|b) alone is exact, but nothing may follow: concat_read looks whether a second clause came
     */
    out->exact = alone;
}

static void concat_read(reader *r, piece *run, need *out)
{
    out->exact = true;
    while (!r->gave_up && !r->no_memory) {
        int c = peek(r, 0);
        if (c < 0 || c == '|' || c == ')') break;
        uint8_t byte = (uint8_t)c;
        atom kind = ATOM_CHAR;
        if (c == '(') {
            group_read(r, run, out);
            continue;
        }
        if (c == '[') {
            class_skip(r);
            kind = ATOM_OTHER;
        } else if (c == '\\') {
            kind = escape_read(r, &byte);
        } else {
            r->at++;
            if (c == '.') kind = ATOM_OTHER;
            if (c == '^' || c == '$') kind = ATOM_NOTHING;
        }
        quantifier q = quantifier_read(r);
        if (kind == ATOM_CHAR && !q.present) {
            run_put(r, run, out, byte);
            continue;
        }
        if (kind == ATOM_CHAR && !q.optional) run_put(r, run, out, byte); /* x+ is at least one x */
        out->exact = false;
        if (kind == ATOM_NOTHING && !q.present) continue; /* foo\b bar still contains "foo bar" */
        run_flush(r, run, out);
    }
    run_flush(r, run, out);
    if (out->count != 1) out->exact = false;
}

/* The clause whose shortest literal is longest: the rarest, one hopes. */
static const lm_clause *clause_best(const need *n)
{
    const lm_clause *best = NULL;
    for (uint32_t i = 0; i < n->count; i++) {
        if (!best || literals_shortest(n->clauses[i]) > literals_shortest(*best))
            best = &n->clauses[i];
    }
    return best;
}

static void alternatives_read(reader *r, need *out)
{
    lm_literal choices[CHOICES_MAX];
    uint32_t count = 0, branches = 0;
    bool exact = true, lost = false;
    for (;;) {
        piece run;
        run.len = 0;
        run.nocase = false;
        need branch = {.count = 0};
        concat_read(r, &run, &branch);
        if (r->gave_up || r->no_memory) return;
        branches++;
        bool last = peek(r, 0) != '|';
        if (last && branches == 1) {
            *out = branch;
            return;
        }
        const lm_clause *best = clause_best(&branch);
        exact = exact && branch.exact;
        if (!best || count + best->count > CHOICES_MAX) {
            lost = true;
        } else {
            for (uint32_t i = 0; i < best->count; i++)
                choices[count++] = best->any[i];
        }
        if (last) break;
        r->at++;
    }
    if (lost) return;
    lm_literal *any = lm_arena_alloc(r->arena, count * sizeof *any, _Alignof(lm_literal));
    if (!any) {
        r->no_memory = true;
        return;
    }
    memcpy(any, choices, count * sizeof *any);
    clause_push(out, (lm_clause){any, count});
    out->exact = exact;
}

lm_err lm_demand_make(lm_arena *arena, lm_str pattern, lm_demand *out)
{
    reader r = {.pattern = pattern, .arena = arena};
    need n = {.count = 0};
    alternatives_read(&r, &n);
    if (r.no_memory) return lm_mem_err();
    lm_demand demand = {NULL, 0, false};
    if (!r.gave_up && r.at == pattern.len && n.count > 0) {
        lm_clause *clauses = lm_arena_alloc(arena, n.count * sizeof *clauses, _Alignof(lm_clause));
        if (!clauses) return lm_mem_err();
        memcpy(clauses, n.clauses, n.count * sizeof *clauses);
        demand = (lm_demand){clauses, n.count, n.exact};
    }
    *out = demand;
    return LM_OK;
}
