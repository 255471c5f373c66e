/**
 * Formats in other programs' notation -> pattern text (schema_pattern.c): nginx log_format, Apache
 * LogFormat, log4j and logback PatternLayout, Python's logging, PostgreSQL's log_line_prefix.
 *
 * Each notation is a list of variables with the pattern field it becomes; all else is literal. A
 * variable that is not in its list becomes a plain field with its own name, so that nobody waits
 * for a table to grow.
 */
#include "schema/schema_priv.h"

typedef struct var {
    const char *name;
    const char *pattern;
} var;

static const var nginx_vars[] = {
    {"remote_addr", "%{client:word}"},
    {"remote_user", "%{user:text}"},
    {"time_local", "%{timestamp:time}"},
    {"time_iso8601", "%{timestamp:time}"},
    {"msec", "%{timestamp:epoch}"},
    {"request", "%(%{method:name} %{path:word} %{protocol:name}%|%{request:quoted}%)"},
    {"status", "%{status:int}"},
    {"body_bytes_sent", "%{bytes:size/bytes}"},
    {"bytes_sent", "%{bytes_sent:size/bytes}"},
    {"http_referer", "%{referer:quoted}"},
    {"http_user_agent", "%{user_agent:quoted}"},
    {"http_x_forwarded_for", "%{forwarded_for:quoted}"},
    {"request_time", "%{request_time:duration/seconds}"},
    {"upstream_response_time", "%{upstream_response_time}"},
    {"upstream_addr", "%{upstream}"},
    {"request_method", "%{method}"},
    {"uri", "%{path}"},
    {"request_uri", "%{path}"},
    {"server_protocol", "%{protocol}"},
    {"request_length", "%{request_length:size/bytes}"},
    {"host", "%{host}"},
    {"server_name", "%{server}"},
    {"request_id", "%{request_id}"},
};

static const var apache_vars[] = {
    {"h", "%{client:word}"},
    {"a", "%{client:word}"},
    {"l", "%{ident:word}"},
    {"u", "%{user:text}"},
    {"t", "[%{timestamp:time}]"},
    {"r", "%(%{method:name} %{path:word} %{protocol:name}%|%{request:quoted}%)"},
    {"s", "%{status}"},
    {"b", "%{bytes:size/bytes}"},
    {"B", "%{bytes:size/bytes}"},
    {"O", "%{bytes_sent:size/bytes}"},
    {"I", "%{bytes_received:size/bytes}"},
    {"v", "%{vhost}"},
    {"V", "%{vhost}"},
    {"p", "%{port}"},
    {"P", "%{pid}"},
    {"D", "%{request_time:duration/microseconds}"},
    {"T", "%{request_time:duration/seconds}"},
    {"m", "%{method}"},
    {"U", "%{path}"},
    {"q", "%{query}"},
    {"H", "%{protocol}"},
    {"X", "%{connection_status}"},
};

static const var log4j_vars[] = {
    {"d", "%{timestamp:time}"},
    {"date", "%{timestamp:time}"},
    {"p", "%{level:level}"},
    {"level", "%{level:level}"},
    {"le", "%{level:level}"},
    {"t", "%{thread}"},
    {"thread", "%{thread}"},
    {"tn", "%{thread}"},
    {"c", "%{logger}"},
    {"logger", "%{logger}"},
    {"lo", "%{logger}"},
    {"C", "%{class}"},
    {"class", "%{class}"},
    {"m", "%{message}"},
    {"msg", "%{message}"},
    {"message", "%{message}"},
    {"n", ""},
    {"M", "%{method}"},
    {"method", "%{method}"},
    {"F", "%{file}"},
    {"file", "%{file}"},
    {"L", "%{line:int}"},
    {"line", "%{line:int}"},
    {"r", "%{elapsed:int/milliseconds}"},
    {"relative", "%{elapsed:int/milliseconds}"},
    {"x", "%{ndc:text}"},
    {"NDC", "%{ndc:text}"},
    {"l", "%{location}"},
    {"ex", ""},
    {"xEx", ""},
    {"wEx", ""},
    {"nopex", ""},
    {"throwable", ""},
    {"pid", "%{pid:int}"},
    {"X", "%{mdc:text}"},
    {"mdc", "%{mdc:text}"},
    {"MDC", "%{mdc:text}"},
};

static const var python_vars[] = {
    {"asctime", "%{timestamp:time}"},
    {"levelname", "%{level:level}"},
    {"name", "%{logger}"},
    {"message", "%{message}"},
    {"process", "%{pid:int}"},
    {"thread", "%{tid:int}"},
    {"threadName", "%{thread}"},
    {"processName", "%{process}"},
    {"module", "%{module}"},
    {"filename", "%{file}"},
    {"pathname", "%{path}"},
    {"funcName", "%{function}"},
    {"lineno", "%{line:int}"},
    {"levelno", "%{level_number:int}"},
    {"created", "%{timestamp:epoch}"},
    {"msecs", "%{milliseconds:number}"},
    {"relativeCreated", "%{elapsed:number/milliseconds}"},
};

static const var postgres_vars[] = {
    {"t", "%{timestamp:time}"},
    {"m", "%{timestamp:time}"},
    {"n", "%{timestamp:epoch}"},
    {"p", "%{pid:int}"},
    {"u", "%{user:text}"},
    {"d", "%{database:text}"},
    {"a", "%{app:text}"},
    {"r", "%{remote:text}"},
    {"h", "%{client:text}"},
    {"c", "%{session:text}"},
    {"l", "%{session_line:int}"},
    {"e", "%{sqlstate:text}"},
    {"i", "%{command:text}"},
    {"s", "%{session_start:time}"},
    {"v", "%{virtual_transaction:text}"},
    {"x", "%{transaction:int}"},
    {"b", "%{backend:text}"},
    {"P", "%{leader_pid:text}"},
    {"Q", "%{query_id:text}"},
    {"L", "%{local:text}"},
};

typedef struct turn {
    lm_str text;
    size_t at;
    lm_buf *out;
    lm_err err;
} turn;

static void put(turn *t, const char *text)
{
    if (!t->err) t->err = lm_buf_append(t->out, text, strlen(text));
}

static void put_byte(turn *t, uint8_t c)
{
    if (c == '%')
        put(t, "%%");
    else if (c == '\t')
        put(t, " ");
    else if (!t->err)
        t->err = lm_buf_u8(t->out, c);
}

static bool put_var(turn *t, const var *vars, size_t count, lm_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (!lm_str_equal(name, lm_str_of(vars[i].name))) continue;
        put(t, vars[i].pattern);
        return true;
    }
    return false;
}

/* A field with the variable's own name; bytes that names cannot hold become '_'. */
static void put_own(turn *t, lm_str name)
{
    put(t, "%{");
    if (name.len == 0) put(t, "field");
    for (size_t i = 0; i < name.len && i < 64 && !t->err; i++) {
        uint8_t c = name.ptr[i];
        bool good = lm_is_alpha(c) || lm_is_digit(c) || c == '_' || c == '.' || c == '-';
        t->err = lm_buf_u8(t->out, good ? c : '_');
    }
    put(t, "}");
}

static uint8_t peek(const turn *t, size_t ahead)
{
    return t->at + ahead < t->text.len ? t->text.ptr[t->at + ahead] : 0;
}

static lm_str take_while(turn *t, const char *more)
{
    size_t begin = t->at;
    while (t->at < t->text.len &&
           (lm_is_alpha(t->text.ptr[t->at]) || lm_is_digit(t->text.ptr[t->at]) ||
            (more[0] && strchr(more, t->text.ptr[t->at]) && t->text.ptr[t->at])))
        t->at++;
    return lm_str_cut(t->text, begin, t->at);
}

/* Behind '{': up to '}'. */
static lm_str take_option(turn *t)
{
    size_t begin = ++t->at, depth = 1;
    while (t->at < t->text.len) {
        if (t->text.ptr[t->at] == '{') depth++;
        if (t->text.ptr[t->at] == '}' && --depth == 0) break;
        t->at++;
    }
    lm_str option = lm_str_cut(t->text, begin, t->at);
    if (t->at >= t->text.len)
        t->err = lm_fail_at(LM_E_USAGE, begin - 1, "'{' is not closed by '}'");
    else
        t->at++;
    return option;
}

static void nginx_step(turn *t)
{
    if (peek(t, 0) != '$') {
        put_byte(t, t->text.ptr[t->at++]);
        return;
    }
    t->at++;
    bool braces = peek(t, 0) == '{';
    if (braces) t->at++;
    lm_str name = take_while(t, "_");
    if (braces && peek(t, 0) == '}') t->at++;
    if (name.len == 0)
        t->err =
            t->err ? t->err : lm_fail_at(LM_E_USAGE, t->at, "a variable needs a name after '$'");
    else if (!put_var(t, nginx_vars, sizeof nginx_vars / sizeof nginx_vars[0], name))
        put_own(t, name);
}

/* %h, %>s, %{Referer}i, %400,501{User-agent}i */
static void apache_step(turn *t)
{
    uint8_t c = t->text.ptr[t->at++];
    if (c == '\\' && (peek(t, 0) == '"' || peek(t, 0) == 't')) {
        put_byte(t, peek(t, 0) == 't' ? ' ' : '"');
        t->at++;
        return;
    }
    if (c != '%' || peek(t, 0) == '%') {
        put_byte(t, c);
        if (c == '%') t->at++;
        return;
    }
    while (t->at < t->text.len && (lm_is_digit(peek(t, 0)) || memchr(",!<>", peek(t, 0), 4)))
        t->at++;
    lm_str option = {0};
    if (peek(t, 0) == '{') option = take_option(t);
    if (peek(t, 0) == '^') t->at++;
    lm_str name = {t->text.ptr + t->at, t->at < t->text.len};
    t->at += name.len;
    if (t->err) return;
    if (name.len == 0)
        t->err = lm_fail_at(LM_E_USAGE, t->at, "nothing stands behind the last '%%'");
    else if (lm_str_equal_nocase(option, LM_STR("Referer")))
        put(t, "%{referer:quoted}");
    else if (lm_str_equal_nocase(option, LM_STR("User-agent")))
        put(t, "%{user_agent:quoted}");
    else if (option.len && name.ptr[0] == 't')
        put(t, "%{timestamp:time}");
    else if (option.len)
        put_own(t, option);
    else if (!put_var(t, apache_vars, sizeof apache_vars / sizeof apache_vars[0], name))
        put_own(t, name);
}

/* %-5p  %20.30c{1}  %d{ISO8601}  %X{user}  %replace(...) is not known */
static void log4j_step(turn *t)
{
    uint8_t c = t->text.ptr[t->at++];
    if (c == '\\' && t->at < t->text.len) {
        uint8_t next = t->text.ptr[t->at++];
        if (next != 'n' && next != 'r') put_byte(t, next == 't' ? ' ' : next);
        return;
    }
    if (c != '%' || peek(t, 0) == '%') {
        put_byte(t, c);
        if (c == '%') t->at++;
        return;
    }
    bool padded = false;
    while (t->at < t->text.len &&
           (lm_is_digit(peek(t, 0)) || peek(t, 0) == '-' || peek(t, 0) == '.')) {
        padded |= lm_is_digit(peek(t, 0));
        t->at++;
    }
    bool left = padded; /* blanks may stand on either side: %5p pads in front, %-5p behind */
    size_t word_at = t->at;
    lm_str name = take_while(t, "");
    while (name.len > 1) { /* "%msg%n" is clear, "%mtext" is m and "text" */
        bool known = false;
        for (size_t i = 0; i < sizeof log4j_vars / sizeof log4j_vars[0]; i++)
            known |= lm_str_equal(name, lm_str_of(log4j_vars[i].name));
        if (known) break;
        name.len--;
    }
    t->at = word_at + name.len;
    lm_str option = {0};
    while (!t->err && peek(t, 0) == '{')
        option = take_option(t);
    if (t->err) return;
    if (name.len == 0) {
        t->err = lm_fail_at(LM_E_USAGE, t->at, "a conversion word must stand behind '%%'");
        return;
    }
    if (left) put(t, "% ");
    bool mdc = lm_str_equal(name, LM_STR("X")) || lm_str_equal(name, LM_STR("mdc")) ||
               lm_str_equal(name, LM_STR("MDC"));
    if (mdc && option.len)
        put_own(t, option);
    else if (!put_var(t, log4j_vars, sizeof log4j_vars / sizeof log4j_vars[0], name))
        put_own(t, name);
    if (padded) put(t, "% ");
}

/* %(name)s with width and flags, or {name} */
static void python_step(turn *t)
{
    uint8_t c = t->text.ptr[t->at++];
    lm_str name;
    if (c == '{') {
        name = take_while(t, "_");
        while (t->at < t->text.len && peek(t, 0) != '}')
            t->at++;
        if (t->at >= t->text.len) {
            t->err = lm_fail_at(LM_E_USAGE, t->at, "'{' is not closed by '}'");
            return;
        }
        t->at++;
    } else if (c == '%' && peek(t, 0) == '(') {
        t->at++;
        name = take_while(t, "_");
        if (peek(t, 0) != ')') {
            t->err = lm_fail_at(LM_E_USAGE, t->at, "'%%(' is not closed by ')'");
            return;
        }
        t->at++;
        bool padded = false;
        while (t->at < t->text.len && !lm_is_alpha(peek(t, 0)))
            padded |= lm_is_digit(peek(t, 0)), t->at++;
        t->at++; /* the conversion letter */
        if (padded) put(t, "% ");
        if (!put_var(t, python_vars, sizeof python_vars / sizeof python_vars[0], name))
            put_own(t, name);
        if (padded) put(t, "% ");
        return;
    } else {
        put_byte(t, c);
        return;
    }
    if (!put_var(t, python_vars, sizeof python_vars / sizeof python_vars[0], name))
        put_own(t, name);
}

/* %q: processes without a session stop here. */
static void postgres_step(turn *t, bool *in_session)
{
    uint8_t c = t->text.ptr[t->at++];
    if (c != '%' || peek(t, 0) == '%') {
        put_byte(t, c);
        if (c == '%') t->at++;
        return;
    }
    while (t->at < t->text.len && (lm_is_digit(peek(t, 0)) || peek(t, 0) == '-'))
        t->at++;
    lm_str name = {t->text.ptr + t->at, t->at < t->text.len};
    t->at += name.len;
    if (name.len == 0) {
        t->err =
            t->err ? t->err : lm_fail_at(LM_E_USAGE, t->at, "nothing stands behind the last '%%'");
    } else if (name.ptr[0] == 'q' && !*in_session) {
        *in_session = true;
        put(t, "%(");
    } else if (name.ptr[0] != 'q' &&
               !put_var(t, postgres_vars, sizeof postgres_vars / sizeof postgres_vars[0], name)) {
        put_own(t, name);
    }
}

lm_err lm_translate(lm_dialect dialect, lm_str text, lm_buf *out)
{
    turn t = {.text = text, .out = out, .err = LM_OK};
    bool in_session = false;
    while (t.at < text.len && !t.err) {
        switch (dialect) {
        case LM_DIALECT_NGINX:
            nginx_step(&t);
            break;
        case LM_DIALECT_APACHE:
            apache_step(&t);
            break;
        case LM_DIALECT_LOG4J:
            log4j_step(&t);
            break;
        case LM_DIALECT_PYTHON:
            python_step(&t);
            break;
        case LM_DIALECT_POSTGRES:
            postgres_step(&t, &in_session);
            break;
        case LM_DIALECT_PATTERN:
            t.err = lm_buf_u8(out, text.ptr[t.at++]);
            break;
        }
    }
    if (dialect == LM_DIALECT_POSTGRES)
        put(&t, in_session ? "%|%)%{level:level}:% %{message}" : "%{level:level}:% %{message}");
    return t.err;
}
