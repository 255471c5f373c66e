/** The context: account of memory, workers, notes, the last error; versions. */
#include "api/api_priv.h"

#include <stdarg.h>
#include <stdio.h>

#ifndef LM_VERSION
#    define LM_VERSION "0.1.0"
#endif

/* The public codes are the rooms' codes: one list, checked here. */
#define LM_ERROR(name, value, help) _Static_assert(LM_ERR_##name == (value), #name);
#include "base/errors.def"
#undef LM_ERROR

uint32_t lm_abi_version(void)
{
    return LM_ABI_VERSION;
}

const char *lm_version(void)
{
    return LM_VERSION;
}

static lm_err options_check(const lm_context_options *options)
{
    if (options->struct_bytes < offsetof(lm_context_options, threads) + sizeof options->threads) {
        return lm_fail(LM_E_USAGE, "struct_bytes of lm_context_options is not set");
    }
    if (!options->resize != !options->release) {
        return lm_fail(LM_E_USAGE, "an allocator needs both resize and release");
    }
    return LM_OK;
}

lm_err lm_context_new(const lm_context_options *options, lm_context **out)
{
    lm_context_options given = LM_CONTEXT_OPTIONS_INIT;
    if (options) {
        lm_err err = options_check(options);
        if (err) return err;
        size_t bytes = options->struct_bytes < sizeof given ? options->struct_bytes : sizeof given;
        memcpy(&given, options, bytes);
    }
    lm_allocator allocator = {given.resize, given.release, given.allocator_ctx};
    uint64_t limit = given.memory_bytes ? given.memory_bytes : (uint64_t)LM_MEMORY_DEFAULT;
    if (limit == UINT64_MAX) limit = 0; /* the account's word for none */

    lm_mem *mem = NULL;
    lm_err err = lm_mem_new(given.resize ? &allocator : NULL, (size_t)limit, &mem);
    if (err) return err;
    lm_context *context = lm_mem_calloc(mem, 1, sizeof *context);
    if (!context) {
        err = lm_mem_err();
        lm_mem_free(mem);
        return err;
    }
    context->magic = CONTEXT_MAGIC;
    context->mem = mem;
    context->allocator = allocator;
    context->options = given;
    context->error.offset = LM_NO_OFFSET;
    *out = context;
    return LM_OK;
}

void lm_context_free(lm_context *context)
{
    if (!context) return;
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    lm_mem *mem = context->mem;
    lm_pool_free(context->pool);
    context->magic = 0;
    lm_mem_release(mem, context, sizeof *context);
    lm_mem_free(mem);
}

lm_error lm_last_error(const lm_context *context)
{
    if (!context) return (lm_error){LM_ERR_NOMEM, LM_NO_POSITION, lm_err_text()};
    LM_ASSERT(context->magic == CONTEXT_MAGIC);
    const lm_err_info *info = &context->error;
    if (!info->code) return (lm_error){LM_ERR_NONE, LM_NO_POSITION, ""};
    const char *text = info->text[0] ? info->text : lm_err_help(info->code);
    return (lm_error){info->code, info->offset, text};
}

uint64_t lm_context_memory_peak(const lm_context *context)
{
    return lm_mem_peak(context->mem);
}

uint32_t lm_context_threads(const lm_context *context)
{
    return context->pool ? lm_pool_threads(context->pool) : 1;
}

lm_err api_pool(lm_context *context, uint64_t work_bytes, lm_pool **out)
{
    *out = context->pool;
    if (context->pool || context->options.threads == 1 || work_bytes < POOL_WORK_BYTES_MIN)
        return LM_OK;
    lm_err err = lm_pool_new(context->mem, context->options.threads, &context->pool);
    if (!err) *out = context->pool;
    return err;
}

void api_note(lm_context *context, lm_note_level level, const char *fmt, ...)
{
    if (!context->options.note) return;
    char text[640];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: words, not data */
    va_end(args);
    context->options.note(context->options.note_ctx, level, text);
}

void api_note_bad(void *ctx, const char *text)
{
    api_note(ctx, LM_NOTE_WARNING, "%s", text);
}

bool api_is_cancelled(const lm_context *context)
{
    return context->options.cancel && *context->options.cancel;
}

lm_err lm_time_read(lm_context *context, const char *text, int64_t now_ns, int64_t *out_ns)
{
    return context_end(context, lm_time_parse_user(lm_str_of(text), now_ns, out_ns));
}
