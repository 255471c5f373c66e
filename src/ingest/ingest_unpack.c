/**
 * Packed files: one decoder each for gzip, zstd, xz and bzip2, all with the same three functions.
 *
 * Each takes what the tool that made the file takes: several members, frames or streams behind one
 * another, and zeros behind the last one (tapes and preallocated files have them). All memory comes
 * from lm_mem, so that a file which asks for a window larger than the limit is refused by the
 * limit.
 */
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_createDCtx_advanced, which takes an allocator */
#include "ingest/ingest_priv.h"

#include <zstd.h>
#include <zstd_errors.h>

#if LM_HAVE_GZIP
#    include <zlib.h>
#endif
#if LM_HAVE_XZ
#    include <lzma.h>
#endif
#if LM_HAVE_BZIP2
#    include <bzlib.h>
#endif

enum { SIZED_HEADER = 16, WINDOW_LOG_MAX = 31 };

void *lm_sized_alloc(void *mem, size_t bytes)
{
    if (bytes > SIZE_MAX - SIZED_HEADER) return NULL;
    uint8_t *ptr = lm_mem_alloc(mem, bytes + SIZED_HEADER);
    if (!ptr) return NULL;
    memcpy(ptr, &bytes, sizeof bytes);
    return ptr + SIZED_HEADER;
}

void lm_sized_free(void *mem, void *ptr)
{
    if (!ptr) return;
    uint8_t *begin = (uint8_t *)ptr - SIZED_HEADER;
    size_t bytes;
    memcpy(&bytes, begin, sizeof bytes);
    lm_mem_release(mem, begin, bytes + SIZED_HEADER);
}

/** Zeros behind the last member are padding. */
static void skip_zeros(lm_unpack_io *io)
{
    while (io->in < io->in_end && *io->in == 0) {
        io->in++;
    }
}

/* ---- zstd ------------------------------------------------------------------------------------ */

typedef struct zstd_state {
    lm_mem *mem;
    ZSTD_DCtx *context;
    bool is_between; /* no frame is open */
} zstd_state;

static void zstd_close(void *state)
{
    zstd_state *z = state;
    ZSTD_freeDCtx(z->context);
    lm_mem_release(z->mem, z, sizeof *z);
}

static lm_err zstd_open(lm_mem *mem, void **out_state)
{
    zstd_state *z = lm_mem_alloc(mem, sizeof *z);
    if (!z) return lm_mem_err();
    ZSTD_customMem custom = {lm_sized_alloc, lm_sized_free, mem};
    *z = (zstd_state){.mem = mem, .context = ZSTD_createDCtx_advanced(custom), .is_between = true};
    if (!z->context) {
        lm_mem_release(mem, z, sizeof *z);
        return lm_mem_err();
    }
    /* no window is too large by itself: memory is limited where it is taken */
    (void)ZSTD_DCtx_setParameter(z->context, ZSTD_d_windowLogMax,
                                 sizeof(size_t) > 4 ? WINDOW_LOG_MAX : 27);
    *out_state = z;
    return LM_OK;
}

static lm_err zstd_step(void *state, lm_unpack_io *io)
{
    zstd_state *z = state;
    for (;;) {
        if (z->is_between) skip_zeros(io);
        ZSTD_inBuffer in = {io->in, (size_t)(io->in_end - io->in), 0};
        ZSTD_outBuffer out = {io->dst, (size_t)(io->dst_end - io->dst), 0};
        if (in.size == 0 && z->is_between) break;
        size_t left = ZSTD_decompressStream(z->context, &out, &in);
        io->in += in.pos;
        io->dst += out.pos;
        if (ZSTD_isError(left)) {
            if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation) return lm_mem_err();
            return lm_fail(LM_E_CORRUPT, "%s", ZSTD_getErrorName(left));
        }
        z->is_between = left == 0;
        if (io->dst == io->dst_end || (in.pos == 0 && out.pos == 0) ||
            (io->in == io->in_end && !z->is_between))
            break;
    }
    io->at_boundary = z->is_between;
    return LM_OK;
}

static const lm_unpacker unpack_zstd = {"zstd", zstd_open, zstd_step, zstd_close};

/* ---- gzip ------------------------------------------------------------------------------------ */

#if LM_HAVE_GZIP

typedef struct gzip_state {
    lm_mem *mem;
    z_stream stream;
    bool is_between, any_member;
} gzip_state;

static void *gzip_alloc(void *mem, unsigned count, unsigned bytes)
{
    return lm_sized_alloc(mem, (size_t)count * bytes);
}

static void gzip_close(void *state)
{
    gzip_state *g = state;
    inflateEnd(&g->stream);
    lm_mem_release(g->mem, g, sizeof *g);
}

static lm_err gzip_open(lm_mem *mem, void **out_state)
{
    gzip_state *g = lm_mem_alloc(mem, sizeof *g);
    if (!g) return lm_mem_err();
    *g = (gzip_state){.mem = mem, .is_between = true};
    g->stream = (z_stream){.zalloc = gzip_alloc, .zfree = lm_sized_free, .opaque = mem};
    if (inflateInit2(&g->stream, 15 + 16) != Z_OK) { /* 16: a gzip header, nothing else */
        lm_mem_release(mem, g, sizeof *g);
        return lm_mem_err();
    }
    *out_state = g;
    return LM_OK;
}

static lm_err gzip_step(void *state, lm_unpack_io *io)
{
    gzip_state *g = state;
    for (;;) {
        if (g->is_between) {
            skip_zeros(io);
            if (io->in == io->in_end) break;
            if (g->any_member)
                (void)inflateReset(&g->stream); /* fails only for a stream that was never set up */
            g->is_between = false;
            g->any_member = true;
        }
        size_t in = (size_t)(io->in_end - io->in), room = (size_t)(io->dst_end - io->dst);
        g->stream.next_in = (Bytef *)(uintptr_t)io->in;
        g->stream.avail_in = in < UINT32_MAX ? (uInt)in : UINT32_MAX;
        g->stream.next_out = io->dst;
        g->stream.avail_out = room < UINT32_MAX ? (uInt)room : UINT32_MAX;
        int rc = inflate(&g->stream, Z_NO_FLUSH);
        bool has_moved = g->stream.next_in != io->in || g->stream.next_out != io->dst;
        io->in = g->stream.next_in;
        io->dst = g->stream.next_out;
        if (rc == Z_MEM_ERROR) return lm_mem_err();
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
            return lm_fail(LM_E_CORRUPT, "%s",
                           g->stream.msg ? g->stream.msg : "not what gzip writes");
        }
        g->is_between = rc == Z_STREAM_END;
        if (io->dst == io->dst_end || (!g->is_between && !has_moved)) break;
    }
    io->at_boundary = g->is_between;
    return LM_OK;
}

static const lm_unpacker unpack_gzip = {"gzip", gzip_open, gzip_step, gzip_close};
#endif

/* ---- xz -------------------------------------------------------------------------------------- */

#if LM_HAVE_XZ

typedef struct xz_state {
    lm_mem *mem;
    lzma_allocator allocator;
    lzma_stream stream;
    bool is_done;
} xz_state;

static void *xz_alloc(void *mem, size_t count, size_t bytes)
{
    size_t total;
    return __builtin_mul_overflow(count, bytes, &total) ? NULL : lm_sized_alloc(mem, total);
}

static void xz_close(void *state)
{
    xz_state *x = state;
    lzma_end(&x->stream);
    lm_mem_release(x->mem, x, sizeof *x);
}

static lm_err xz_open(lm_mem *mem, void **out_state)
{
    xz_state *x = lm_mem_alloc(mem, sizeof *x);
    if (!x) return lm_mem_err();
    *x = (xz_state){.mem = mem, .allocator = {xz_alloc, lm_sized_free, mem}};
    x->stream = (lzma_stream)LZMA_STREAM_INIT;
    x->stream.allocator = &x->allocator;
    if (lzma_stream_decoder(&x->stream, UINT64_MAX, LZMA_CONCATENATED) != LZMA_OK) {
        lm_mem_release(mem, x, sizeof *x);
        return lm_mem_err();
    }
    *out_state = x;
    return LM_OK;
}

static const char *xz_reason(lzma_ret rc)
{
    switch (rc) {
    case LZMA_FORMAT_ERROR:
        return "not what xz writes";
    case LZMA_OPTIONS_ERROR:
        return "made with options that are not known here";
    case LZMA_DATA_ERROR:
        return "a checksum does not fit";
    default:
        return "it ends in the middle";
    }
}

static lm_err xz_step(void *state, lm_unpack_io *io)
{
    xz_state *x = state;
    if (!x->is_done) {
        x->stream.next_in = io->in;
        x->stream.avail_in = (size_t)(io->in_end - io->in);
        x->stream.next_out = io->dst;
        x->stream.avail_out = (size_t)(io->dst_end - io->dst);
        lzma_ret rc = lzma_code(&x->stream, io->is_last ? LZMA_FINISH : LZMA_RUN);
        io->in = x->stream.next_in;
        io->dst = x->stream.next_out;
        if (rc == LZMA_MEM_ERROR || rc == LZMA_MEMLIMIT_ERROR) return lm_mem_err();
        if (rc != LZMA_OK && rc != LZMA_STREAM_END && rc != LZMA_BUF_ERROR)
            return lm_fail(LM_E_CORRUPT, "%s", xz_reason(rc));
        x->is_done = rc == LZMA_STREAM_END;
    }
    io->at_boundary = x->is_done;
    return LM_OK;
}

static const lm_unpacker unpack_xz = {"xz", xz_open, xz_step, xz_close};
#endif

/* ---- bzip2 ----------------------------------------------------------------------------------- */

#if LM_HAVE_BZIP2

typedef struct bzip2_state {
    lm_mem *mem;
    bz_stream stream;
    bool is_open;
} bzip2_state;

static void *bzip2_alloc(void *mem, int count, int bytes)
{
    return count < 0 || bytes < 0 ? NULL : lm_sized_alloc(mem, (size_t)count * (size_t)bytes);
}

static void bzip2_close(void *state)
{
    bzip2_state *b = state;
    if (b->is_open)
        (void)BZ2_bzDecompressEnd(&b->stream); /* fails only for a stream that is not open */
    lm_mem_release(b->mem, b, sizeof *b);
}

static lm_err bzip2_open(lm_mem *mem, void **out_state)
{
    bzip2_state *b = lm_mem_alloc(mem, sizeof *b);
    if (!b) return lm_mem_err();
    *b = (bzip2_state){.mem = mem};
    *out_state = b;
    return LM_OK;
}

static lm_err bzip2_step(void *state, lm_unpack_io *io)
{
    bzip2_state *b = state;
    for (;;) {
        if (!b->is_open) {
            skip_zeros(io);
            if (io->in == io->in_end) break;
            b->stream =
                (bz_stream){.bzalloc = bzip2_alloc, .bzfree = lm_sized_free, .opaque = b->mem};
            if (BZ2_bzDecompressInit(&b->stream, 0, 0) != BZ_OK) return lm_mem_err();
            b->is_open = true;
        }
        size_t in = (size_t)(io->in_end - io->in), room = (size_t)(io->dst_end - io->dst);
        b->stream.next_in = (char *)(uintptr_t)io->in;
        b->stream.avail_in = in < UINT32_MAX ? (unsigned)in : UINT32_MAX;
        b->stream.next_out = (char *)io->dst;
        b->stream.avail_out = room < UINT32_MAX ? (unsigned)room : UINT32_MAX;
        int rc = BZ2_bzDecompress(&b->stream);
        bool has_moved =
            b->stream.next_in != (const char *)io->in || b->stream.next_out != (char *)io->dst;
        io->in = (const uint8_t *)b->stream.next_in;
        io->dst = (uint8_t *)b->stream.next_out;
        if (rc == BZ_MEM_ERROR) return lm_mem_err();
        if (rc != BZ_OK && rc != BZ_STREAM_END) {
            return lm_fail(LM_E_CORRUPT, "%s",
                           rc == BZ_DATA_ERROR ? "a checksum does not fit"
                                               : "not what bzip2 writes");
        }
        if (rc == BZ_STREAM_END) {
            (void)BZ2_bzDecompressEnd(&b->stream); /* it was open */
            b->is_open = false;
        } else if (io->dst == io->dst_end || io->in == io->in_end || !has_moved) {
            break;
        }
    }
    io->at_boundary = !b->is_open;
    return LM_OK;
}

static const lm_unpacker unpack_bzip2 = {"bzip2", bzip2_open, bzip2_step, bzip2_close};
#endif

/* ---- which ----------------------------------------------------------------------------------- */

static const struct kind {
    const char *name;
    const lm_unpacker *unpacker;
} kinds[] = {
    [LM_PACKING_NONE] = {"none", NULL},
    [LM_PACKING_ZSTD] = {"zstd", &unpack_zstd},
#if LM_HAVE_GZIP
    [LM_PACKING_GZIP] = {"gzip", &unpack_gzip},
#else
    [LM_PACKING_GZIP] = {"gzip", NULL},
#endif
#if LM_HAVE_XZ
    [LM_PACKING_XZ] = {"xz", &unpack_xz},
#else
    [LM_PACKING_XZ] = {"xz", NULL},
#endif
#if LM_HAVE_BZIP2
    [LM_PACKING_BZIP2] = {"bzip2", &unpack_bzip2},
#else
    [LM_PACKING_BZIP2] = {"bzip2", NULL},
#endif
};

const lm_unpacker *lm_unpacker_of(lm_packing packing)
{
    return kinds[packing].unpacker;
}

const char *lm_packing_name(lm_packing packing)
{
    return kinds[packing].name;
}

lm_packing lm_packing_detect(const uint8_t *head, size_t len)
{
    static const uint8_t xz[] = {0xFD, '7', 'z', 'X', 'Z', 0};
    static const uint8_t bzip2_block[] = {0x31, 0x41, 0x59, 0x26, 0x53, 0x59},
                         bzip2_end[] = {0x17, 0x72, 0x45, 0x38, 0x50, 0x90};
    if (len >= 3 && head[0] == 0x1F && head[1] == 0x8B && head[2] == 8) return LM_PACKING_GZIP;
    if (len >= sizeof xz && memcmp(head, xz, sizeof xz) == 0) return LM_PACKING_XZ;
    if (len >= 4) {
        uint32_t magic = lm_le32(head);
        if (magic == ZSTD_MAGICNUMBER ||
            (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START)
            return LM_PACKING_ZSTD;
    }
    if (len >= 10 && memcmp(head, "BZh", 3) == 0 && head[3] >= '1' && head[3] <= '9') {
        if (memcmp(head + 4, bzip2_block, 6) == 0 || memcmp(head + 4, bzip2_end, 6) == 0)
            return LM_PACKING_BZIP2;
    }
    return LM_PACKING_NONE;
}
