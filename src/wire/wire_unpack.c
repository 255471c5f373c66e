/**
 * Content-Encoding undone, with the limit looked at while the bytes come out.
 *
 * zlib and zstd fill out in steps: room for STEP_BYTES, doubled as long as it pays, never more than
 * one byte above the limit. That byte tells "just fits" from "too much". What the libraries need
 * themselves (windows, tables) comes from options->mem, so a body that asks for a huge window is
 * refused by the account.
 */
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_createDCtx_advanced, which takes an allocator */
#include "wire/wire_priv.h"

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { STEP_BYTES = 64 << 10, WINDOW_LOG_MAX = 27 };

static lm_err too_large(const lm_wire_options *options)
{
    return lm_fail(LM_E_LIMIT, "the body is larger than %llu bytes when unpacked",
                   (unsigned long long)options->body_bytes_max);
}

/** Room behind out->len, at least one byte. LM_E_LIMIT: there are more than the limit already. */
static lm_err make_room(lm_buf *out, size_t body_len, const lm_wire_options *options,
                        size_t *out_room)
{
    uint64_t max = options->body_bytes_max;
    if (out->len > max) return too_large(options);
    size_t step = out->len ? out->len : body_len * 4;
    if (step < STEP_BYTES) step = STEP_BYTES;
    if (step > max - out->len) step = (size_t)(max - out->len) + 1;
    *out_room = step;
    return lm_buf_reserve(out, step);
}

/* ---- zlib ---- */

static void *zlib_alloc(void *mem, unsigned count, unsigned bytes)
{
    return lm_wire_alloc(mem, (size_t)count * bytes);
}

static lm_err zlib_broken(const char *name, const z_stream *stream)
{
    return lm_fail_at(LM_E_USAGE, stream->total_in, "the body is no %s: %s", name,
                      stream->msg ? stream->msg : "it ends too early");
}

/** window_bits as inflateInit2 takes them; gzip may have several members. */
static lm_err unpack_zlib(lm_str body, const char *name, int window_bits,
                          const lm_wire_options *options, lm_buf *out)
{
    z_stream stream = {.zalloc = zlib_alloc, .zfree = lm_wire_release, .opaque = options->mem};
    lm_err err = LM_OK;
    int rc = inflateInit2(&stream, window_bits);
    if (rc != Z_OK) return lm_mem_err();
    const uint8_t *in = body.ptr, *end = body.ptr + body.len;
    do {
        size_t left = (size_t)(end - in);
        size_t room = 0;
        err = make_room(out, body.len, options, &room);
        if (err) goto out;
        stream.next_in = (Bytef *)(uintptr_t)in;
        stream.avail_in = left < UINT32_MAX ? (uInt)left : UINT32_MAX;
        stream.next_out = out->ptr + out->len;
        stream.avail_out = room < UINT32_MAX ? (uInt)room : UINT32_MAX;
        rc = inflate(&stream, Z_NO_FLUSH);
        bool has_moved = stream.next_in != in || stream.next_out != out->ptr + out->len;
        in = stream.next_in;
        out->len = (size_t)(stream.next_out - out->ptr);
        if (rc == Z_MEM_ERROR) {
            err = lm_mem_err();
            goto out;
        }
        if ((rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) || !has_moved) {
            err = zlib_broken(name, &stream);
            goto out;
        }
        if (rc == Z_STREAM_END && in < end) {
            if (window_bits < 16) {
                err = lm_fail_at(LM_E_USAGE, (uint64_t)(in - body.ptr),
                                 "the body is no %s: bytes follow its end", name);
                goto out;
            }
            (void)inflateReset(&stream); /* fails only for a stream that was never set up */
            rc = Z_OK;
        }
    } while (rc != Z_STREAM_END);
    if (out->len > options->body_bytes_max) err = too_large(options);
out:
    inflateEnd(&stream);
    return err;
}

/** RFC 9110 means zlib's form; many send the bare one. The first two bytes tell. */
static lm_err unpack_deflate(lm_str body, const lm_wire_options *options, lm_buf *out)
{
    bool is_zlib = body.len >= 2 && (body.ptr[0] & 15) == Z_DEFLATED &&
                   (body.ptr[0] << 8 | body.ptr[1]) % 31 == 0;
    if (is_zlib) {
        lm_err err = unpack_zlib(body, "deflate", MAX_WBITS, options, out);
        if (err != LM_E_USAGE) return err;
        out->len = 0; /* 1 in 500 bare ones begins like that */
    }
    return unpack_zlib(body, "deflate", -MAX_WBITS, options, out);
}

/* ---- zstd ---- */

static lm_err unpack_zstd(lm_str body, const lm_wire_options *options, lm_buf *out)
{
    lm_err err = LM_OK;
    ZSTD_customMem memory = {lm_wire_alloc, lm_wire_release, options->mem};
    ZSTD_DCtx *context = ZSTD_createDCtx_advanced(memory);
    if (!context) return lm_mem_err();
    (void)ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax,
                                 WINDOW_LOG_MAX); /* a constant in range */
    ZSTD_inBuffer in = {body.ptr, body.len, 0};
    for (;;) {
        size_t room = 0;
        err = make_room(out, body.len, options, &room);
        if (err) goto out;
        ZSTD_outBuffer to = {out->ptr, out->len + room, out->len};
        size_t had_in = in.pos, had_out = to.pos;
        size_t left = ZSTD_decompressStream(context, &to, &in);
        out->len = to.pos;
        if (ZSTD_isError(left)) {
            err = ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation
                      ? lm_mem_err()
                      : lm_fail_at(LM_E_USAGE, in.pos, "the body is no zstd: %s",
                                   ZSTD_getErrorName(left));
            goto out;
        }
        if (left == 0 && in.pos == in.size) break;
        if (in.pos == had_in && to.pos == had_out) {
            err = lm_fail_at(LM_E_USAGE, in.pos, "the body is no zstd: it ends too early");
            goto out;
        }
    }
    if (out->len > options->body_bytes_max) err = too_large(options);
out:
    ZSTD_freeDCtx(context);
    return err;
}

/* ---- snappy ---- */

static lm_err unpack_snappy(lm_str body, const lm_wire_options *options, lm_buf *out)
{
    size_t len = 0;
    if (snappy_uncompressed_length((const char *)body.ptr, body.len, &len) != SNAPPY_OK) {
        return lm_fail_at(LM_E_USAGE, 0, "the body is no snappy block: it has no length");
    }
    if (len > options->body_bytes_max) return too_large(options);
    /* the densest piece, a copy of 64 bytes, takes three: a length beyond that is a lie */
    if (len / 64 > body.len / 3 + 1) {
        return lm_fail_at(LM_E_USAGE, 0, "the body is no snappy block: it cannot hold %zu bytes",
                          len);
    }
    lm_err err = lm_buf_reserve(out, len);
    if (err) return err;
    if (snappy_uncompress((const char *)body.ptr, body.len, (char *)out->ptr, &len) != SNAPPY_OK) {
        return lm_fail(LM_E_USAGE, "the body is no snappy block: it is damaged");
    }
    out->len = len;
    return LM_OK;
}

static bool is_named(lm_str encoding, const char *name)
{
    return lm_str_equal_nocase(encoding, lm_str_of(name));
}

lm_err lm_wire_unpack(lm_str body, lm_str encoding, const lm_wire_options *options, lm_buf *out)
{
    lm_err err;
    out->len = 0;
    if (encoding.len == 0 || is_named(encoding, "identity")) {
        err = body.len > options->body_bytes_max ? too_large(options)
                                                 : lm_buf_append(out, body.ptr, body.len);
    } else if (is_named(encoding, "gzip") || is_named(encoding, "x-gzip")) {
        err = unpack_zlib(body, "gzip", MAX_WBITS + 16, options, out);
    } else if (is_named(encoding, "deflate")) {
        err = unpack_deflate(body, options, out);
    } else if (is_named(encoding, "snappy")) {
        err = unpack_snappy(body, options, out);
    } else if (is_named(encoding, "zstd")) {
        err = unpack_zstd(body, options, out);
    } else {
        err = lm_fail(LM_E_UNSUPPORTED, "Content-Encoding '%.*s' not supported",
                      (int)(encoding.len < 40 ? encoding.len : 40), (const char *)encoding.ptr);
    }
    if (err) out->len = 0;
    return err;
}
