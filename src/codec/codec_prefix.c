/** Bytes that resemble other bytes the reader has at hand: zstd with those as its window. */
#include "codec/codec.h"
#include <zstd.h>

enum { PREFIX_LEVEL = 19 };

static int window_log(size_t len)
{
    int log = 10;
    while (log < 27 && ((size_t)1 << log) < len) log++;
    return log;
}

lm_err lm_bytes_encode_like(lm_str prefix, lm_str src, lm_buf *out)
{
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    if (!zstd) return lm_fail(LM_E_NOMEM, "out of memory");
    size_t bound = ZSTD_compressBound(src.len);
    lm_err err = lm_buf_reserve(out, bound);
    size_t n = 0;
    if (!err) {
        (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, PREFIX_LEVEL); /* these cannot fail: constants in range */
        (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_log(prefix.len + src.len));
        (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
        (void)ZSTD_CCtx_refPrefix(zstd, prefix.ptr, prefix.len);
        n = ZSTD_compress2(zstd, out->ptr + out->len, bound, src.ptr, src.len);
        if (ZSTD_isError(n)) err = lm_fail(LM_E_NOMEM, "cannot compress: %s", ZSTD_getErrorName(n));
    }
    if (!err) out->len += n;
    ZSTD_freeCCtx(zstd);
    return err;
}

lm_err lm_bytes_decode_like(lm_str prefix, lm_str src, uint8_t *dst, size_t raw_len)
{
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    if (!zstd) return lm_fail(LM_E_NOMEM, "out of memory");
    (void)ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, 27);
    (void)ZSTD_DCtx_refPrefix(zstd, prefix.ptr, prefix.len);
    size_t n = ZSTD_decompressDCtx(zstd, dst, raw_len, src.ptr, src.len);
    lm_err err = ZSTD_isError(n) || n != raw_len ? lm_fail(LM_E_CORRUPT, "damaged data (%s)", ZSTD_isError(n) ? ZSTD_getErrorName(n) : "too short") : LM_OK;
    ZSTD_freeDCtx(zstd);
    return err;
}
