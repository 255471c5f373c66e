/** From what a user types as QUERY to the query language: plain text, -F, -E, -i, -v. */
#include "cli/cli_query.h"
#include "cli/cli.h"

#include <string.h>

typedef struct writer {
    char *dst;
    size_t used, cap;
    bool is_full;
} writer;

static void put(writer *w, const char *text, size_t len)
{
    if (w->used + len >= w->cap) {
        w->is_full = true;
        return;
    }
    memcpy(w->dst + w->used, text, len);
    w->used += len;
}

static void put_z(writer *w, const char *text)
{
    put(w, text, strlen(text));
}

/** Inside a quoted string of the language. */
static void put_quoted_byte(writer *w, char c)
{
    if (c == '"' || c == '\\') put(w, "\\", 1);
    if (c == '\n')
        put_z(w, "\\n");
    else if (c == '\t')
        put_z(w, "\\t");
    else if (c == '\r')
        put_z(w, "\\r");
    else
        put(w, &c, 1);
}

/** Text as a regular expression that matches it alone, inside a quoted string. */
static void put_regex_text(writer *w, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (strchr("\\^$.|?*+()[]{}", *p)) put_quoted_byte(w, '\\');
        put_quoted_byte(w, *p);
    }
}

static bool is_word(const char *at, const char *word)
{
    size_t len = strlen(word);
    return strncasecmp(at, word, len) == 0 && (at[len] == ' ' || at[len] == '\0');
}

/** No sign that has a meaning in the language, and none of its words: the user means the text
 * itself. */
static bool is_plain(const char *query)
{
    if (!query[0] || strpbrk(query, "\"`|=<>!~(){}")) return false;
    for (const char *at = query; at; at = strchr(at, ' ')) {
        while (*at == ' ')
            at++;
        if (is_word(at, "and") || is_word(at, "or") || is_word(at, "not")) return false;
    }
    return true;
}

bool cli_query_is_text(const cli_args *args, const char *query)
{
    return cli_flag(args, "fixed") || (!cli_flag(args, "regex") && is_plain(query));
}

const char *cli_query_make(const cli_args *args, const char *query, char *dst, size_t cap)
{
    writer w = {.dst = dst, .cap = cap};
    bool is_text = cli_query_is_text(args, query), is_regex = cli_flag(args, "regex");
    bool no_case = cli_flag(args, "ignore-case"), is_inverted = cli_flag(args, "invert-match");
    if (cli_flag(args, "fixed") && is_regex) return "--fixed and --regex exclude each other";
    if (no_case && !is_text && !is_regex) {
        return "--ignore-case is for text, -F and -E; in a query write (?i) into the regular "
               "expression";
    }
    if (is_inverted) put_z(&w, "not (");
    if (!is_text && !is_regex) {
        put_z(&w, query);
    } else {
        put_z(&w, is_regex || no_case ? "|~ \"" : "|= \"");
        if (no_case) put_z(&w, "(?i)");
        if (is_text && no_case)
            put_regex_text(&w, query);
        else
            for (const char *p = query; *p; p++)
                put_quoted_byte(&w, *p);
        put_z(&w, "\"");
    }
    if (is_inverted) put_z(&w, ")");
    if (w.is_full) return "the query is too long";
    dst[w.used] = '\0';
    return NULL;
}

/* ---- what to show in colour ---- */

/** Texts behind |= in a query, and the query itself if it is text. They point into query. */
size_t cli_query_needles(const cli_args *args, const char *query, lm_text *needles, size_t cap)
{
    size_t count = 0;
    if (cli_flag(args, "invert-match") || cli_flag(args, "ignore-case") || cli_flag(args, "regex"))
        return 0;
    if (cli_query_is_text(args, query)) {
        needles[0] = (lm_text){query, strlen(query)};
        return needles[0].len ? 1 : 0;
    }
    for (const char *at = strstr(query, "|="); at && count < cap; at = strstr(at, "|=")) {
        at += 2;
        at += strspn(at, " \t");
        if (*at != '"' && *at != '`') continue;
        const char *end = strchr(at + 1, *at);
        if (!end) break;
        size_t len = (size_t)(end - at) - 1;
        /* With escapes the text is not what stands here: it is matched all the same, but not
         * coloured. */
        if (len && !memchr(at + 1, '\\', len)) needles[count++] = (lm_text){at + 1, len};
        at = end + 1;
    }
    return count;
}
