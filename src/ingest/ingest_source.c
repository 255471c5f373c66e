/** A file, packed or not, as a stream of its unpacked bytes. */
#include "ingest/ingest_priv.h"

#define SOURCE_MAGIC 0x63727573u
#define INPUT_BYTES  131072u
#define HEAD_BYTES   16u

struct lm_source {
    uint32_t magic;
    lm_packing packing;
    lm_mem *mem;
    lm_infile *file;
    const lm_unpacker *unpacker; /* NULL: bytes pass as they are */
    void *state;                 /* the decoder's */
    uint8_t *input;              /* INPUT_BYTES */
    size_t input_at, input_len;
    uint64_t input_offset; /* in the file, of input[0] */
    bool is_last;          /* the file's end is in input */
    bool at_boundary;      /* the file may end where the decoder stands */
    lm_source_fn read;     /* instead of a file */
    void *read_ctx;
    lm_err_info failure; /* told once the good bytes before it are handed out; LM_OK: none */
};

static lm_err refill(lm_source *s)
{
    s->input_offset += s->input_len;
    s->input_at = s->input_len = 0;
    size_t got = 0;
    lm_err err = lm_infile_read(s->file, s->input, INPUT_BYTES, &got);
    if (err) return err;
    s->input_len = got;
    s->is_last = got == 0;
    return LM_OK;
}

/** Reads the first bytes, however small the pieces they come in, and sets up the decoder they ask
 * for. */
static lm_err begin(lm_source *s, bool raw)
{
    while (!raw && s->input_len < HEAD_BYTES) {
        size_t got = 0;
        lm_err err =
            lm_infile_read(s->file, s->input + s->input_len, INPUT_BYTES - s->input_len, &got);
        if (err) return err;
        if (got == 0) {
            s->is_last = true;
            break;
        }
        s->input_len += got;
    }
    s->packing = raw ? LM_PACKING_NONE : lm_packing_detect(s->input, s->input_len);
    if (s->packing == LM_PACKING_NONE) return LM_OK;
    s->unpacker = lm_unpacker_of(s->packing);
    if (!s->unpacker) {
        return lm_fail(LM_E_UNSUPPORTED, "'%s' is packed with %s, which this build cannot read",
                       lm_infile_path(s->file), lm_packing_name(s->packing));
    }
    return s->unpacker->open(s->mem, &s->state);
}

lm_err lm_source_open(lm_mem *mem, const char *path, bool raw, lm_source **out)
{
    lm_source *s = lm_mem_calloc(mem, 1, sizeof *s);
    if (!s) return lm_mem_err();
    *s = (lm_source){.magic = SOURCE_MAGIC, .mem = mem, .at_boundary = true};
    lm_err err = lm_infile_open(mem, path, &s->file);
    if (err) goto out;
    s->input = lm_mem_alloc(mem, INPUT_BYTES);
    if (!s->input) {
        err = lm_mem_err();
        goto out;
    }
    err = begin(s, raw);
    if (err) goto out;
    *out = s;
    s = NULL;
out:
    lm_source_close(s);
    return err;
}

lm_err lm_source_of(lm_mem *mem, lm_source_fn read, void *ctx, lm_source **out)
{
    lm_source *s = lm_mem_calloc(mem, 1, sizeof *s);
    if (!s) return lm_mem_err();
    *s = (lm_source){.magic = SOURCE_MAGIC, .mem = mem, .read = read, .read_ctx = ctx};
    *out = s;
    return LM_OK;
}

void lm_source_close(lm_source *s)
{
    if (!s) return;
    LM_ASSERT(s->magic == SOURCE_MAGIC);
    if (s->state) s->unpacker->close(s->state);
    lm_infile_close(s->file);
    if (s->input) lm_mem_release(s->mem, s->input, INPUT_BYTES);
    s->magic = 0;
    lm_mem_release(s->mem, s, sizeof *s);
}

lm_packing lm_source_packing(const lm_source *s)
{
    LM_ASSERT(s->magic == SOURCE_MAGIC);
    return s->packing;
}

static lm_err read_plain(lm_source *s, uint8_t *dst, size_t cap, size_t *out_len)
{
    size_t len = s->input_len - s->input_at; /* what begin() looked at */
    if (len > cap) len = cap;
    memcpy(dst, s->input + s->input_at, len);
    s->input_at += len;
    while (len < cap && !s->is_last) {
        size_t got = 0;
        lm_err err = lm_infile_read(s->file, dst + len, cap - len, &got);
        if (err) {
            *out_len = len;
            return err;
        }
        s->is_last = got == 0;
        len += got;
    }
    *out_len = len;
    return LM_OK;
}

static lm_err fail_packed(lm_source *s, lm_err err, const char *reason)
{
    if (err != LM_E_CORRUPT) return err; /* memory or the system: the message is there already */
    char kept[200];
    size_t len = strnlen(reason, sizeof kept - 1);
    memcpy(kept, reason, len);
    kept[len] = 0;
    uint64_t at = s->input_offset + s->input_at;
    return lm_fail_at(LM_E_CORRUPT, at, "'%s' is damaged at byte %llu (%s): %s",
                      lm_infile_path(s->file), (unsigned long long)at, s->unpacker->name, kept);
}

static lm_err read_packed(lm_source *s, uint8_t *dst, size_t cap, size_t *out_len)
{
    lm_err err = LM_OK;
    lm_unpack_io io = {.dst = dst, .dst_end = dst + cap};
    while (!err && io.dst < io.dst_end) {
        if (s->input_at == s->input_len && !s->is_last) {
            err = refill(s);
            if (err) break;
        }
        io.in = s->input + s->input_at;
        io.in_end = s->input + s->input_len;
        io.is_last = s->is_last;
        const uint8_t *in_before = io.in, *dst_before = io.dst;
        err = s->unpacker->step(s->state, &io);
        s->input_at = (size_t)(io.in - s->input);
        if (err) {
            err = fail_packed(s, err, lm_err_text());
            break;
        }
        s->at_boundary = io.at_boundary;
        if (io.in != in_before || io.dst != dst_before || !s->is_last) continue;
        if (s->input_at < s->input_len) {
            err = fail_packed(s, LM_E_CORRUPT, "bytes follow that do not belong to it");
        } else if (!s->at_boundary) {
            err = fail_packed(s, LM_E_CORRUPT, "it ends in the middle");
        }
        break;
    }
    *out_len = (size_t)(io.dst - dst);
    return err;
}

lm_err lm_source_read(lm_source *s, uint8_t *dst, size_t cap, size_t *out_len)
{
    LM_ASSERT(s->magic == SOURCE_MAGIC);
    if (s->read) return s->read(s->read_ctx, dst, cap, out_len);
    if (s->failure.code) return lm_err_restore(&s->failure);
    size_t len = 0;
    lm_err err = s->unpacker ? read_packed(s, dst, cap, &len) : read_plain(s, dst, cap, &len);
    if (err) {
        lm_err_save(&s->failure);
        if (len == 0) return err;
    }
    *out_len = len; /* the good bytes first; the failure waits for the next call */
    return LM_OK;
}
