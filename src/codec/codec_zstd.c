#define ZSTD_STATIC_LINKING_ONLY /* custom memory and frames without a magic number */
#include <zstd.h>
#include <zstd_errors.h>

#include "codec/codec_priv.h"

/** A context of zstd with what it holds. It is dear: zstd asks the processor what it can do each
 * time it makes one, which a virtual machine answers in tens of microseconds; so it is a tool that
 * mem keeps. */
struct codec_zstd {
    lm_mem *mem;
    size_t bytes; /* of mem, this struct among them */
    ZSTD_CCtx *packer;
    ZSTD_DCtx *unpacker; /* one of both */
};

/* zstd frees without telling the size; lm_mem wants it: it is kept in front of each piece. */
enum { SIZE_BYTES = 16 };

static void *zstd_alloc(void *ctx, size_t bytes)
{
    struct codec_zstd *zstd = ctx;
    if (bytes > SIZE_MAX - SIZE_BYTES) return NULL;
    bytes += SIZE_BYTES;
    uint8_t *ptr = lm_mem_alloc(zstd->mem, bytes);
    if (!ptr) return NULL;
    memcpy(ptr, &bytes, sizeof bytes);
    zstd->bytes += bytes;
    return ptr + SIZE_BYTES;
}

static void zstd_free(void *ctx, void *ptr)
{
    struct codec_zstd *zstd = ctx;
    if (!ptr) return;
    uint8_t *start = (uint8_t *)ptr - SIZE_BYTES;
    size_t bytes;
    memcpy(&bytes, start, sizeof bytes);
    zstd->bytes -= bytes;
    lm_mem_release(zstd->mem, start, bytes);
}

static void free_zstd(void *tool)
{
    struct codec_zstd *zstd = tool;
    (void)ZSTD_freeCCtx(zstd->packer); /* freeing cannot fail */
    (void)ZSTD_freeDCtx(zstd->unpacker);
    lm_mem_release(zstd->mem, zstd, sizeof *zstd);
}

static struct codec_zstd *take_zstd(lm_mem *mem, lm_tool kind)
{
    struct codec_zstd *zstd = lm_mem_take_tool(mem, kind);
    if (zstd) {
        size_t bad = kind == LM_TOOL_PACKER
                         ? ZSTD_CCtx_reset(zstd->packer, ZSTD_reset_session_and_parameters)
                         : ZSTD_DCtx_reset(zstd->unpacker, ZSTD_reset_session_and_parameters);
        LM_ASSERT(!ZSTD_isError(bad)); /* no frame is begun any more */
        return zstd;
    }
    zstd = lm_mem_alloc(mem, sizeof *zstd);
    if (!zstd) return NULL;
    *zstd = (struct codec_zstd){.mem = mem, .bytes = sizeof *zstd};
    ZSTD_customMem memory = {zstd_alloc, zstd_free, zstd};
    if (kind == LM_TOOL_PACKER)
        zstd->packer = ZSTD_createCCtx_advanced(memory);
    else
        zstd->unpacker = ZSTD_createDCtx_advanced(memory);
    if (zstd->packer || zstd->unpacker) return zstd;
    free_zstd(zstd);
    return NULL;
}

static void give_zstd(struct codec_zstd *zstd)
{
    if (!zstd) return;
    lm_tool kind = zstd->packer ? LM_TOOL_PACKER : LM_TOOL_UNPACKER;
    lm_mem_give_tool(zstd->mem, kind, zstd, zstd->bytes, free_zstd);
}

void codec_enc_init(codec_enc *enc, lm_mem *mem, lm_level level)
{
    *enc = (codec_enc){
        .mem = mem,
        .level = level,
        .zstd_level = level == LM_LEVEL_MAX       ? 19
                      : level == LM_LEVEL_DEFAULT ? 9
                                                  : 1,
        .values_a_byte = CODEC_LITE_VALUES_A_BYTE,
    };
}

void codec_enc_fini(codec_enc *enc)
{
    give_zstd(enc->zstd);
    enc->zstd = NULL;
}

void codec_dec_init(codec_dec *dec, lm_mem *mem)
{
    *dec = (codec_dec){.mem = mem};
}

void codec_dec_fini(codec_dec *dec)
{
    give_zstd(dec->zstd);
    dec->zstd = NULL;
}

lm_err codec_damaged(const char *what)
{
    return lm_fail(LM_E_CORRUPT, "%s", what);
}

enum { WINDOW_MIN = 10, WINDOW_MAX = 23 };

/** Levels from 13 on need tables of many bytes per input byte: the window is held at 8 MB. */
static ZSTD_compressionParameters zstd_parameters(int level, size_t len, size_t prefix_len)
{
    bool is_long = prefix_len > len / 4; /* else the text is to be searched as if it stood alone */
    ZSTD_compressionParameters p = ZSTD_getCParams(level, len, is_long ? prefix_len : 0);
    unsigned window = WINDOW_MIN;
    while (window < WINDOW_MAX && ((size_t)1 << window) < len + prefix_len)
        window++;
    if (prefix_len || p.windowLog > WINDOW_MAX) p.windowLog = window;
    return p;
}

/** A prefix and what builds on it, side by side: zstd looks through both as through one text, which
 * takes a half of the time that it takes where they lie apart. */
static lm_err join(lm_str prefix, const uint8_t *src, size_t len, lm_buf *out)
{
    lm_err err = lm_buf_append(out, prefix.ptr, prefix.len);
    return err ? err : lm_buf_append(out, src, len);
}

lm_err codec_zstd_put(codec_enc *enc, const uint8_t *src, size_t len, int level, size_t cap,
                      lm_buf *out, bool *done)
{
    if (!enc->zstd) {
        enc->zstd = take_zstd(enc->mem, LM_TOOL_PACKER);
        if (!enc->zstd) return lm_mem_err();
    }
    ZSTD_compressionParameters p = zstd_parameters(level, len, enc->prefix.len);
    size_t bad = ZSTD_CCtx_reset(enc->zstd->packer, ZSTD_reset_session_and_parameters);
    if (!ZSTD_isError(bad))
        bad = ZSTD_CCtx_setParameter(enc->zstd->packer, ZSTD_c_format, ZSTD_f_zstd1_magicless);
    if (!ZSTD_isError(bad))
        bad = ZSTD_CCtx_setParameter(enc->zstd->packer, ZSTD_c_contentSizeFlag, 0);
    if (!ZSTD_isError(bad))
        bad = ZSTD_CCtx_setParameter(enc->zstd->packer, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(bad))
        bad = enc->prefix.len
                  ? ZSTD_CCtx_setCParams(enc->zstd->packer, p)
                  : ZSTD_CCtx_setParameter(enc->zstd->packer, ZSTD_c_windowLog, (int)p.windowLog);
    LM_ASSERT(!ZSTD_isError(bad)); /* constants in range */
    lm_buf joined;
    lm_buf_init(&joined, enc->mem);
    lm_err err = lm_buf_reserve(out, cap);
    if (!err && enc->prefix.len) err = join(enc->prefix, src, len, &joined);
    if (err) {
        lm_buf_fini(&joined);
        return err;
    }
    if (enc->prefix.len) {
        /* only notes it: cannot fail here */
        (void)ZSTD_CCtx_refPrefix(enc->zstd->packer, joined.ptr, enc->prefix.len);
        src = joined.ptr + enc->prefix.len;
    }
    size_t got = ZSTD_compress2(enc->zstd->packer, out->ptr + out->len, cap, src, len);
    lm_buf_fini(&joined);
    *done = !ZSTD_isError(got);
    if (*done) {
        out->len += got;
        return LM_OK;
    }
    ZSTD_ErrorCode code = ZSTD_getErrorCode(got);
    if (code == ZSTD_error_memory_allocation) return lm_mem_err();
    LM_ASSERT(code == ZSTD_error_dstSize_tooSmall);
    return LM_OK;
}

lm_err lm_text_outgrows(lm_mem *mem, lm_str src, size_t look, size_t limit, bool by_sample,
                        bool *out)
{
    enum { STEP = 1 << 15, WINDOW_LOG = 20, SAMPLE_BELIEF = 2 };

    *out = false;
    struct codec_zstd *tool = take_zstd(mem, LM_TOOL_PACKER);
    if (!tool) return lm_mem_err();
    ZSTD_CCtx *zstd = tool->packer;
    ZSTD_compressionParameters p = ZSTD_getCParams(1, STEP, 0); /* small tables: cheap to begin */
    p.windowLog = WINDOW_MIN;
    while (p.windowLog < WINDOW_LOG && ((size_t)1 << p.windowLog) < src.len)
        p.windowLog++;
    lm_buf data;
    lm_buf_init(&data, mem);
    lm_err err = lm_buf_reserve(&data, ZSTD_compressBound(STEP));
    size_t bad = ZSTD_CCtx_setCParams(zstd, p);
    if (!ZSTD_isError(bad)) bad = ZSTD_CCtx_setParameter(zstd, ZSTD_c_stableInBuffer, 1);
    LM_ASSERT(!ZSTD_isError(bad)); /* constants in range */
    ZSTD_inBuffer in = {src.ptr, 0, 0};
    for (size_t bytes = 0; !err && !*out && in.size < src.len && in.size < look;) {
        in.size = src.len - in.size < STEP ? src.len : in.size + STEP;
        ZSTD_outBuffer part = {data.ptr, data.cap, 0};
        bad = ZSTD_compressStream2(zstd, &part, &in, ZSTD_e_flush);
        if (ZSTD_isError(bad)) { /* releases before 1.5.3 want all of such a buffer at once */
            if (ZSTD_getErrorCode(bad) == ZSTD_error_memory_allocation) err = lm_mem_err();
            break;
        }
        bytes += part.pos;
        *out = bytes > limit || (by_sample && bytes / SAMPLE_BELIEF * (src.len / in.size) > limit);
    }
    lm_buf_fini(&data);
    give_zstd(tool);
    return err;
}

lm_err codec_zstd_get(codec_dec *dec, lm_str prefix, lm_str src, uint8_t *dst, size_t len)
{
    if (!dec->zstd) {
        dec->zstd = take_zstd(dec->mem, LM_TOOL_UNPACKER);
        if (!dec->zstd) return lm_mem_err();
        size_t bad =
            ZSTD_DCtx_setParameter(dec->zstd->unpacker, ZSTD_d_format, ZSTD_f_zstd1_magicless);
        LM_ASSERT(!ZSTD_isError(bad));
    }
    if (prefix.len &&
        ZSTD_isError(ZSTD_DCtx_refPrefix(dec->zstd->unpacker, prefix.ptr, prefix.len)))
        return lm_mem_err();
    /* Decoding into dst in one call needs no window, so a frame that claims a huge one costs
     * nothing. */
    size_t got = ZSTD_decompressDCtx(dec->zstd->unpacker, dst, len, src.ptr, src.len);
    if (!ZSTD_isError(got) && got == len) return LM_OK;
    if (ZSTD_isError(got) && ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        return lm_mem_err();
    return codec_damaged("compressed bytes do not unpack");
}

/* ---- bytes that resemble others the reader has at hand ---- */

enum { LIKE_FAST = 1, LIKE_DEFAULT = 6, LIKE_MAX = 19, LIKE_WINDOW_MIN = 10, LIKE_WINDOW_MAX = 27 };

static int like_window(size_t len)
{
    int log = LIKE_WINDOW_MIN;
    while (log < LIKE_WINDOW_MAX && ((size_t)1 << log) < len)
        log++;
    return log;
}

lm_err lm_bytes_encode_like(lm_mem *mem, lm_str prefix, lm_str src, lm_level level, lm_buf *out)
{
    struct codec_zstd *tool = take_zstd(mem, LM_TOOL_PACKER);
    if (!tool) return lm_mem_err();
    ZSTD_CCtx *zstd = tool->packer;
    size_t bound = ZSTD_compressBound(src.len), got = 0;
    lm_err err = lm_buf_reserve(out, bound);
    if (!err) {
        ZSTD_compressionParameters chosen =
            ZSTD_getCParams(level == LM_LEVEL_FAST      ? LIKE_FAST
                            : level == LM_LEVEL_DEFAULT ? LIKE_DEFAULT
                                                        : LIKE_MAX,
                            src.len, prefix.len);
        chosen.windowLog = (unsigned)like_window(prefix.len + src.len);
        (void)ZSTD_CCtx_setCParams(zstd,
                                   chosen); /* zstd's own choice but for the window: cannot fail */
        (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
        (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_format, ZSTD_f_zstd1_magicless);
        (void)ZSTD_CCtx_refPrefix(zstd, prefix.ptr, prefix.len);
        got = ZSTD_compress2(zstd, out->ptr + out->len, bound, src.ptr, src.len);
        if (ZSTD_isError(got)) err = lm_mem_err();
    }
    if (!err) out->len += got;
    give_zstd(tool);
    return err;
}

lm_err lm_bytes_decode_like(lm_mem *mem, lm_str prefix, lm_str src, uint8_t *dst, size_t raw_len)
{
    struct codec_zstd *tool = take_zstd(mem, LM_TOOL_UNPACKER);
    if (!tool) return lm_mem_err();
    ZSTD_DCtx *zstd = tool->unpacker;
    (void)ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax,
                                 LIKE_WINDOW_MAX); /* constants in range: cannot fail */
    (void)ZSTD_DCtx_setParameter(zstd, ZSTD_d_format, ZSTD_f_zstd1_magicless);
    /* takes memory: without its prefix the text would be taken for damaged */
    size_t got = ZSTD_DCtx_refPrefix(zstd, prefix.ptr, prefix.len);
    if (!ZSTD_isError(got)) got = ZSTD_decompressDCtx(zstd, dst, raw_len, src.ptr, src.len);
    lm_err err = LM_OK;
    if (ZSTD_isError(got) && ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        err = lm_mem_err();
    else if (ZSTD_isError(got) || got != raw_len)
        err = codec_damaged("damaged text that builds on other text");
    give_zstd(tool);
    return err;
}
