/* The store against a model: an array of records that is searched the obvious way, while records
 * move from the head to segments, are merged, and come back after closing, damage and loss of the
 * catalog. */
#include "store_test.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { TENANTS = 2, APPS = 4, LEVELS = 3, MODEL_MAX = 20000 };

typedef struct model_record {
    int tenant, app, level;
    int64_t time_ns;
    char line[160];
    size_t len;
    char trace[20]; /* empty: no metadata */
    unsigned seen;
} model_record;

typedef struct world {
    lm_mem *mem;
    char folder[200];
    lm_store *store;
    model_record *model;
    size_t count;
    unsigned notes;
} world;

static const char *const tenants[TENANTS] = {"red", "blue"};
static const char *const apps[APPS] = {"web", "db", "mail", "we\"ird\n"};
static const char *const levels[LEVELS] = {"info", "warn", "error"};
static lm_test_rng rng;

static uint32_t random_below(uint32_t n)
{
    return (uint32_t)lm_test_below(&rng, n);
}

static void note(void *ctx, int level, const char *event, const char *text)
{
    world *w = ctx;
    (void)level;
    w->notes++;
    if (getenv("LOGMILL_TEST_VERBOSE")) print_message("%s: %s\n", event, text);
}

static void open_store_with(world *w, lm_mem *mem, unsigned mill)
{
    lm_store_options options = {.folder = w->folder,
                                .head_bytes = 64 << 10,
                                .mill_cpu_percent = mill,
                                .note = note,
                                .note_ctx = w};
    assert_int_equal(lm_store_open(mem, &options, &w->store), LM_OK);
}

static void open_store(world *w, unsigned mill)
{
    open_store_with(w, w->mem, mill);
}

static void begin(world *w)
{
    memset(w, 0, sizeof *w);
    assert_int_equal(lm_mem_new(NULL, 0, &w->mem), LM_OK);
    w->model = calloc(MODEL_MAX, sizeof *w->model);
    make_folder(w->folder, sizeof w->folder);
    rng = lm_test_rng_make("store");
}

static void end(world *w)
{
    lm_store_close(w->store);
    remove_tree(w->folder);
    free(w->model);
    lm_mem_free(w->mem);
}

static void make_line(model_record *r, size_t number)
{
    unsigned n = random_below(250);
    int len = 0;
    switch (random_below(6)) {
    case 0:
        len =
            snprintf(r->line, sizeof r->line, "GET /api/v1/users/%zu 200 in %u ms", number % 97, n);
        break;
    case 1:
        len = snprintf(r->line, sizeof r->line, "connection %zu from 10.0.0.%u closed", number, n);
        break;
    case 2:
        len = snprintf(r->line, sizeof r->line, "Traceback %zu:\n  File \"x.py\", line %u\nError",
                       number, n);
        break;
    case 3: /* the bytes that folding uses, with and without a newline */
        len = snprintf(r->line, sizeof r->line, "\x1e odd %zu \x1f bytes\n%u \x1e\n", number, n);
        break;
    case 4:
        len = snprintf(r->line, sizeof r->line, "\x1e odd %zu \x1f bytes", number);
        break;
    default:
        len = snprintf(r->line, sizeof r->line, "user %zu logged in, %u times", number, n);
        break;
    }
    r->len = (size_t)len;
    if (random_below(200) == 0) r->len = 0; /* an empty line is a record too */
}

/** A batch of one tenant, into the store and the model. */
static lm_err put_some(world *w, size_t count)
{
    lm_record_batch batch;
    lm_record_batch_init(&batch, w->mem);
    int tenant = (int)random_below(TENANTS);
    size_t first = w->count;
    assert_true(w->count + count <= MODEL_MAX);
    for (size_t i = 0; i < count; i++) {
        model_record *r = &w->model[w->count];
        *r = (model_record){
            .tenant = tenant, .app = (int)random_below(APPS), .level = (int)random_below(LEVELS)};
        /* Mostly rising, sometimes late, often equal. */
        r->time_ns = 1700000000000000000 + (int64_t)(w->count / 3) * 1000000 -
                     (int64_t)(random_below(20) == 0) * 500000000;
        make_line(r, w->count);
        lm_labels metadata = {NULL, 0};
        lm_label item;
        if (random_below(5) == 0) {
            (void)snprintf(r->trace, sizeof r->trace, "t%08x", random_below(1u << 30));
            item = (lm_label){LM_STR("trace_id"), lm_str_of(r->trace)};
            metadata = (lm_labels){&item, 1};
            assert_int_equal(lm_labels_make(&item, 1, &batch.arena, &metadata), LM_OK);
        }
        const char *const texts[] = {"app", apps[r->app], "level", levels[r->level], NULL};
        uint32_t stream = stream_of_labels(&batch, texts);
        assert_int_equal(lm_record_batch_add(&batch, stream, r->time_ns,
                                             (lm_str){(uint8_t *)r->line, r->len}, metadata),
                         LM_OK);
        w->count++;
    }
    lm_err err = put_wait(w->store, tenants[tenant], &batch, NULL, 0);
    if (err) w->count = first;
    lm_record_batch_fini(&batch);
    return err;
}

/* ---- asking ---- */

typedef struct question {
    world *w;
    int tenant, app, level; /* -1: any */
    bool level_not;
    const char *has, *fits; /* NULL: not asked */
    int64_t time_min, time_max;
    bool skip_line, only_size, skip_metadata;
    int64_t cell_ns; /* lumps may be told of records whose times are in one cell; 0: none */
    size_t told;
    uint64_t bytes; /* of what was told */
} question;

static int64_t cell_of(const question *q, int64_t time_ns)
{
    int64_t cell = time_ns / q->cell_ns;
    return time_ns % q->cell_ns > 0 ? cell + 1
                                    : cell; /* a cell holds its end, as LogQL's windows */
}

static bool is_one_cell(void *ctx, int64_t first_ns, int64_t last_ns)
{
    assert_true(first_ns <= last_ns);
    return cell_of(ctx, first_ns) == cell_of(ctx, last_ns);
}

static bool model_fits(const question *q, const model_record *r)
{
    if (r->tenant != q->tenant || r->time_ns < q->time_min || r->time_ns >= q->time_max)
        return false;
    if (q->app >= 0 && r->app != q->app) return false;
    if (q->level >= 0 && (r->level == q->level) == q->level_not) return false;
    lm_str line = {(const uint8_t *)r->line, r->len};
    if (q->has && lm_str_find(line, lm_str_of(q->has)) == SIZE_MAX) return false;
    /* The only pattern asked is "user|odd". */
    if (q->fits && lm_str_find(line, LM_STR("user")) == SIZE_MAX &&
        lm_str_find(line, LM_STR("odd")) == SIZE_MAX)
        return false;
    return true;
}

static bool is_record(const question *q, const model_record *m, const lm_stream *stream,
                      const lm_record *r)
{
    lm_str trace = lm_labels_get(r->metadata, LM_STR("trace_id"));
    lm_str line = {(const uint8_t *)m->line, m->len};
    return m->time_ns == r->time_ns && m->tenant == q->tenant &&
           lm_str_equal(lm_labels_get(stream->labels, LM_STR("app")), lm_str_of(apps[m->app])) &&
           lm_str_equal(lm_labels_get(stream->labels, LM_STR("level")),
                        lm_str_of(levels[m->level])) &&
           lm_str_equal(trace, lm_str_of(m->trace)) &&
           (q->skip_line || (q->only_size ? line.len == r->line.len : lm_str_equal(line, r->line)));
}

static bool told_lump(void *ctx, const lm_stream *stream, int64_t first_ns, uint64_t count,
                      uint64_t bytes)
{
    question *q = ctx;
    assert_true(count > 0);
    q->told += count;
    q->bytes += bytes;
    for (size_t i = 0; i < q->w->count && count; i++) {
        model_record *m = &q->w->model[i];
        if (m->seen || !model_fits(q, m) || cell_of(q, m->time_ns) != cell_of(q, first_ns))
            continue;
        if (!lm_str_equal(lm_labels_get(stream->labels, LM_STR("app")), lm_str_of(apps[m->app])) ||
            !lm_str_equal(lm_labels_get(stream->labels, LM_STR("level")),
                          lm_str_of(levels[m->level])) ||
            (m->trace[0] && !q->skip_metadata))
            continue;
        m->seen = 1;
        count--;
    }
    assert_int_equal(count, 0); /* more were told than there are */
    return true;
}

static bool told(void *ctx, const lm_stream *stream, const lm_record *record)
{
    question *q = ctx;
    /* Among lumps it is told as one of its cell: which of them the lumps were is not known. */
    if (q->cell_ns && (q->skip_metadata || !record->metadata.count))
        return told_lump(ctx, stream, record->time_ns, 1, record->line.len);
    for (size_t i = 0; i < q->w->count; i++) {
        model_record *m = &q->w->model[i];
        if (m->seen || !is_record(q, m, stream, record) || !model_fits(q, m)) continue;
        m->seen = 1;
        q->told++;
        q->bytes += record->line.len;
        return true;
    }
    lm_store_counters c;
    lm_store_counters_get(q->w->store, &c);
    fail_msg(
        "of %zu records, %llu of them in %llu segments, one was told that is not in the model, "
        "or was told twice: %lld '%.*s'",
        q->w->count, (unsigned long long)c.segment_records, (unsigned long long)c.segments,
        (long long)record->time_ns, (int)record->line.len, (const char *)record->line.ptr);
    return false;
}

static void ask(question *q)
{
    world *w = q->w;
    lm_matcher matchers[2];
    lm_line_filter filters[2];
    lm_str has = q->has ? lm_str_of(q->has) : LM_STR(""), fits = LM_STR("user|odd");
    lm_select what = {.tenant = lm_str_of(tenants[q->tenant]),
                      .matchers = matchers,
                      .filters = filters,
                      .time_min = q->time_min,
                      .time_max = q->time_max,
                      .skip_line = q->skip_line,
                      .only_size = q->only_size,
                      .skip_metadata = q->skip_metadata,
                      .is_one = q->cell_ns ? is_one_cell : NULL,
                      .lump = told_lump,
                      .backwards = random_below(2) == 0};
    if (q->app >= 0)
        matchers[what.matcher_count++] =
            (lm_matcher){LM_STR("app"), LM_IS, lm_str_of(apps[q->app])};
    if (q->level >= 0)
        matchers[what.matcher_count++] =
            (lm_matcher){LM_STR("level"), q->level_not ? LM_UNLIKE : LM_LIKE,
                         lm_str_of(q->level == 0   ? "inf."
                                   : q->level == 1 ? "w(ar|x)n"
                                                   : "error")};
    if (q->has) filters[what.filter_count++] = (lm_line_filter){LM_HAS, &has, 1};
    if (q->fits) filters[what.filter_count++] = (lm_line_filter){LM_FITS, &fits, 1};
    size_t expected = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < w->count; i++) {
        w->model[i].seen = 0;
        if (!model_fits(q, &w->model[i])) continue;
        expected++;
        bytes += w->model[i].len;
    }
    lm_store_face face = lm_store_face_of(w->store);
    assert_int_equal(face.select(face.self, &what, told, q), LM_OK);
    if (q->told != expected || (!q->skip_line && q->bytes != bytes))
        print_message("tenant %d app %d level %s%d |= '%s' |~ '%s' from %lld to %lld%s%s\n",
                      q->tenant, q->app, q->level_not ? "not " : "", q->level, q->has ? q->has : "",
                      q->fits ? q->fits : "", (long long)q->time_min, (long long)q->time_max,
                      q->skip_line ? ", no text" : "", q->only_size ? ", size" : "");
    assert_int_equal(q->told, expected);
    if (!q->skip_line) assert_int_equal(q->bytes, bytes);
}

static void ask_many(world *w, size_t count)
{
    static const char *const needles[] = {"GET /api", "user 5",  "line", "\x1e",
                                          "Error",    "nothing", "\n",   "10.0.0.1"};
    for (size_t i = 0; i < count; i++) {
        question q = {.w = w,
                      .tenant = (int)random_below(TENANTS),
                      .app = (int)random_below(APPS + 2) - 2,
                      .level = (int)random_below(LEVELS + 2) - 2,
                      .level_not = random_below(2) == 0,
                      .time_min = INT64_MIN,
                      .time_max = INT64_MAX,
                      .skip_line = random_below(4) == 0,
                      .only_size = random_below(4) == 0,
                      .skip_metadata = random_below(2) == 0};
        if (random_below(2)) /* whole minutes, where counts serve, and others */
            q.only_size = true;
        if (q.only_size)
            q.cell_ns = random_below(2) ? INT64_C(60000000000) * (1 + random_below(10))
                                        : INT64_C(1000000) * (1 + random_below(3000));
        if (random_below(2)) q.has = needles[random_below(8)];
        if (random_below(3) == 0) q.fits = "user|odd";
        if (random_below(2) && w->count) {
            q.time_min = w->model[random_below((uint32_t)w->count)].time_ns;
            q.time_max = q.time_min + (int64_t)random_below(2000) * 1000000;
        }
        question again = q;
        ask(&q);
        if (random_below(3))
            continue; /* what segments answered is kept: it serves other times too */
        again.time_min = w->count ? w->model[random_below((uint32_t)w->count)].time_ns : 0;
        again.time_max = INT64_MAX;
        ask(&again);
    }
}

static void everything_is_found(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(put_some(&w, 1 + random_below(60)), LM_OK);
    ask_many(&w, 60); /* head, and what was sealed on the way */
    assert_int_equal(lm_store_flush(w.store), LM_OK);
    lm_store_counters counters;
    lm_store_counters_get(w.store, &counters);
    assert_int_equal(counters.head_records, 0);
    assert_int_equal(counters.segment_records, w.count);
    ask_many(&w, 60); /* segments only */
    for (int i = 0; i < 20; i++)
        assert_int_equal(put_some(&w, 1 + random_below(60)), LM_OK);
    lm_store_close(w.store);
    open_store(&w, 100); /* from log and catalog; merging meanwhile */
    ask_many(&w, 60);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(put_some(&w, 100), LM_OK);
        assert_int_equal(lm_store_flush(w.store), LM_OK);
        ask_many(&w, 1);
    }
    for (int i = 0; i < 100; i++) {
        lm_store_counters_get(w.store, &counters);
        if (counters.merges) break;
        usleep(50000);
    }
    assert_true(counters.merges > 0);
    ask_many(&w, 60);
    lm_store_close(w.store);
    char path[300];
    (void)snprintf(path, sizeof path, "%s/catalog.db", w.folder);
    assert_int_equal(truncate(path, 100), 0);
    (void)snprintf(path, sizeof path, "%s/catalog.db-wal", w.folder);
    (void)unlink(path);
    open_store(&w, 0);
    assert_true(w.notes > 0); /* it was said */
    ask_many(&w, 60);
    end(&w);
}

/** The newest N with moving bounds, as a log query asks. */
typedef struct newest {
    _Atomic int64_t min;
    int64_t times[10];
    size_t count, told;
} newest;

static bool keep_newest(void *ctx, const lm_stream *stream, const lm_record *record)
{
    newest *n = ctx;
    (void)stream;
    n->told++;
    size_t at = n->count < 10 ? n->count++ : 10;
    if (at == 10) {
        if (record->time_ns <= n->times[9]) return true;
        at = 9;
    }
    for (; at && n->times[at - 1] < record->time_ns; at--)
        n->times[at] = n->times[at - 1];
    n->times[at] = record->time_ns;
    if (n->count == 10) n->min = n->times[9];
    return true;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static void bounds_move(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(put_some(&w, 100), LM_OK);
    for (int round = 0; round < 2; round++) {
        newest n = {.min = INT64_MIN};
        lm_select what = {.tenant = LM_STR("red"),
                          .time_min = INT64_MIN,
                          .time_max = INT64_MAX,
                          .backwards = true,
                          .wanted_min = &n.min};
        lm_store_face face = lm_store_face_of(w.store);
        assert_int_equal(face.select(face.self, &what, keep_newest, &n), LM_OK);
        int64_t *all = calloc(w.count, sizeof *all);
        size_t count = 0;
        for (size_t i = 0; i < w.count; i++) {
            if (w.model[i].tenant == 0) all[count++] = w.model[i].time_ns;
        }
        qsort(all, count, sizeof *all, compare_times);
        assert_int_equal(n.count, 10);
        for (size_t i = 0; i < 10; i++)
            assert_int_equal(n.times[i], all[i]);
        if (round) assert_true(n.told < count / 2); /* the rest was not even rendered */
        free(all);
        assert_int_equal(lm_store_flush(w.store), LM_OK);
    }
    end(&w);
}

static void one_at_a_time(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    lm_store *second = NULL;
    lm_store_options options = {.folder = w.folder};
    assert_int_equal(lm_store_open(w.mem, &options, &second), LM_E_IO);
    assert_non_null(strstr(lm_err_text(), "in use"));
    end(&w);
}

static void checkpoints_are_kept(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    lm_record_batch batch;
    lm_buf value;
    lm_record_batch_init(&batch, w.mem);
    lm_buf_init(&value, w.mem);
    const char *const texts[] = {"app", "x", NULL};
    uint32_t stream = stream_of_labels(&batch, texts);
    assert_int_equal(lm_record_batch_add(&batch, stream, 5, LM_STR("line"), (lm_labels){NULL, 0}),
                     LM_OK);
    lm_checkpoint checkpoint = {LM_STR("file/1:2"), LM_STR("100")};
    assert_int_equal(put_wait(w.store, "red", &batch, &checkpoint, 1), LM_OK);
    checkpoint.value = LM_STR("200");
    assert_int_equal(put_wait(w.store, "red", &batch, &checkpoint, 1), LM_OK);
    for (int round = 0; round < 3; round++) {
        lm_sink sink = lm_store_sink(w.store);
        assert_int_equal(sink.checkpoint(sink.self, checkpoint.key, &value), LM_OK);
        assert_int_equal(value.len, 3);
        assert_memory_equal(value.ptr, "200", 3);
        assert_int_equal(sink.checkpoint(sink.self, LM_STR("file/9:9"), &value), LM_E_NOTFOUND);
        if (round == 1) assert_int_equal(lm_store_flush(w.store), LM_OK);
        lm_store_close(w.store);
        open_store(&w, 0);
    }
    lm_buf_fini(&value);
    lm_record_batch_fini(&batch);
    end(&w);
}

/** The latest value of each of many keys, in part newer than what is sealed. */
static void many_checkpoints_are_kept(void **ctx)
{
    enum { KEYS = 10000, EACH = 2500 };

    static char texts[KEYS][2][24];
    static lm_checkpoint checkpoints[KEYS];
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    lm_record_batch batch;
    lm_buf value;
    lm_record_batch_init(&batch, w.mem);
    lm_buf_init(&value, w.mem);
    for (int round = 0; round < 3; round++) {
        int last = round == 2 ? KEYS / 2 : KEYS; /* the later half is in the catalog alone then */
        for (int i = 0; i < last; i++) {
            (void)snprintf(texts[i][0], sizeof texts[i][0], "file/1:%d", i);
            (void)snprintf(texts[i][1], sizeof texts[i][1], "%d of %d", i, round);
            checkpoints[i] = (lm_checkpoint){lm_str_of(texts[i][0]), lm_str_of(texts[i][1])};
        }
        for (int i = 0; i < last; i += EACH)
            assert_int_equal(put_wait(w.store, "red", &batch, &checkpoints[i], EACH), LM_OK);
        if (round == 1) assert_int_equal(lm_store_flush(w.store), LM_OK);
    }
    for (int round = 0; round < 2; round++) {
        lm_sink sink = lm_store_sink(w.store);
        for (int i = 0; i < KEYS; i++) {
            assert_int_equal(sink.checkpoint(sink.self, checkpoints[i].key, &value), LM_OK);
            assert_int_equal(value.len, checkpoints[i].value.len);
            assert_memory_equal(value.ptr, checkpoints[i].value.ptr, value.len);
        }
        lm_store_close(w.store);
        open_store(&w, 0);
    }
    lm_buf_fini(&value);
    lm_record_batch_fini(&batch);
    end(&w);
}

/* ---- damage ---- */

/** Path of the only file of a folder with this ending. */
static bool find_file(const world *w, const char *folder, const char *ending, char *out, size_t cap)
{
    char path[300];
    bool found = false;
    (void)snprintf(path, sizeof path, "%s/%s", w->folder, folder);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t len = strlen(e->d_name), end_len = strlen(ending);
        if (len <= end_len || strcmp(e->d_name + len - end_len, ending) != 0) continue;
        (void)snprintf(out, cap, "%s/%s", path, e->d_name);
        found = true;
    }
    if (dir) closedir(dir);
    return found;
}

static bool count_one(void *ctx, const lm_stream *stream, const lm_record *record)
{
    (void)stream;
    (void)record;
    ++*(size_t *)ctx;
    return true;
}

static size_t count_all(world *w)
{
    size_t count = 0;
    for (int t = 0; t < TENANTS; t++) {
        lm_select what = {
            .tenant = lm_str_of(tenants[t]), .time_min = INT64_MIN, .time_max = INT64_MAX};
        lm_store_face face = lm_store_face_of(w->store);
        assert_int_equal(face.select(face.self, &what, count_one, &count), LM_OK);
    }
    return count;
}

/** Flipped bits and cuts in the log cost the batches they hit, and are said. */
static void log_damage(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    for (int round = 0; round < 30; round++) {
        char path[600];
        open_store(&w, 0);
        for (int i = 0; i < 10; i++)
            assert_int_equal(put_some(&w, 10), LM_OK);
        lm_store_close(w.store);
        assert_true(find_file(&w, "log", ".log", path, sizeof path));
        struct stat about;
        assert_int_equal(stat(path, &about), 0);
        uint32_t at = random_below((uint32_t)about.st_size);
        bool is_cut = round % 2;
        if (is_cut) {
            assert_int_equal(truncate(path, at), 0);
        } else {
            int fd = open(path, O_RDWR);
            uint8_t byte;
            assert_int_equal(pread(fd, &byte, 1, at), 1);
            byte ^= (uint8_t)(1u << random_below(8));
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
            close(fd);
        }
        unsigned notes = w.notes;
        open_store(&w, 0);
        size_t found = count_all(&w);
        assert_true(found <= w.count);
        if (!is_cut) {
            /* One batch at most; a flipped bit in the file's own head costs none. */
            assert_true(found >= w.count - 10);
            assert_true(w.notes > notes);
        }
        assert_int_equal(put_some(&w, 10), LM_OK); /* it goes on */
        assert_int_equal(count_all(&w), found + 10);
        lm_store_close(w.store);
        w.store = NULL;
        remove_tree(w.folder);
        w.count = 0;
    }
    end(&w);
}

/** A line that holds a frame, in a log whose end is torn: it stays a line. */
static void frames_are_not_forged(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    char path[600];
    static uint8_t log[4096];
    assert_int_equal(put_some(&w, 3), LM_OK);
    assert_true(find_file(&w, "log", ".log", path, sizeof path));
    int fd = open(path, O_RDONLY);
    ssize_t len =
        pread(fd, log, sizeof log, 64); /* a whole frame of this very log, but signed anew */
    close(fd);
    assert_true(len > 16);
    uint64_t check = lm_hash64(log + 16, (size_t)len - 16);
    memcpy(log + 8, &check, 8);
    lm_record_batch batch;
    lm_record_batch_init(&batch, w.mem);
    const char *const texts[] = {"app", "x", NULL};
    uint32_t stream = stream_of_labels(&batch, texts);
    assert_int_equal(
        lm_record_batch_add(&batch, stream, 5, (lm_str){log, (size_t)len}, (lm_labels){NULL, 0}),
        LM_OK);
    assert_int_equal(put_wait(w.store, "red", &batch, NULL, 0), LM_OK);
    lm_record_batch_fini(&batch);
    assert_int_equal(count_all(&w), 4);
    lm_store_close(w.store);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(truncate(path, about.st_size - 1), 0);
    open_store(&w, 0);
    assert_int_equal(count_all(&w), 3);
    end(&w);
}

/** A damaged segment is named; the others are served. */
static void segment_damage(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    static const char *const endings[] = {".rec", ".lm", ".md"};
    for (int round = 0; round < 30; round++) {
        char path[600];
        open_store(&w, 0);
        for (int i = 0; i < 6; i++)
            assert_int_equal(put_some(&w, 40), LM_OK);
        assert_int_equal(lm_store_flush(w.store), LM_OK);
        lm_store_close(w.store);
        if (find_file(&w, "segments", endings[round % 3], path, sizeof path)) {
            struct stat about;
            assert_int_equal(stat(path, &about), 0);
            int fd = open(path, O_RDWR);
            uint8_t byte;
            uint32_t at = random_below((uint32_t)about.st_size);
            assert_int_equal(pread(fd, &byte, 1, at), 1);
            byte ^= (uint8_t)(1u << random_below(8));
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
            close(fd);
        }
        open_store(&w, 0);
        unsigned notes = w.notes;
        size_t found = count_all(&w);
        assert_true(found <= w.count);
        if (found < w.count) assert_true(w.notes > notes);
        assert_int_equal(put_some(&w, 10), LM_OK);
        assert_int_equal(count_all(&w), found + 10);
        lm_store_close(w.store);
        w.store = NULL;
        remove_tree(w.folder);
        w.count = 0;
    }
    end(&w);
}

/** A disk that takes no more: puts fail with a reason, what was told is kept, and it goes on. */
static void disk_full(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 5; i++)
        assert_int_equal(put_some(&w, 20), LM_OK);
    char path[600];
    struct stat about;
    struct rlimit old, small;
    assert_true(find_file(&w, "log", ".log", path, sizeof path));
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){(rlim_t)about.st_size + 100, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(put_some(&w, 20), LM_E_IO);
    assert_int_equal(count_all(&w), w.count);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(put_some(&w, 20), LM_OK);
    lm_store_close(w.store);
    open_store(&w, 0);
    assert_int_equal(count_all(&w), w.count);
    ask_many(&w, 10);
    end(&w);
}

/** Does this process have a file below the folder mapped? Then its room on the disk is still taken.
 */
static bool is_mapped(const char *folder)
{
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (!found && fgets(line, sizeof line, maps))
        found = strstr(line, folder) != NULL && strstr(line, "/segments/") != NULL;
    (void)fclose(maps);
    return found;
}

static void old_segments_go(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    assert_int_equal(put_some(&w, 20), LM_OK); /* of 2023 */
    assert_int_equal(lm_store_flush(w.store), LM_OK);
    assert_int_equal(count_all(&w), 20);
    assert_true(is_mapped(w.folder)); /* a segment that was asked is kept open */
    for (int t = 0; t < TENANTS; t++)
        assert_int_equal(
            lm_store_retention_set(w.store, lm_str_of(tenants[t]), UINT64_C(3600000000000)), LM_OK);
    size_t left = 20;
    for (int i = 0; i < 200 && left; i++) {
        usleep(50000);
        left = count_all(&w);
    }
    assert_int_equal(left, 0);
    char path[600];
    assert_false(find_file(&w, "segments", ".lm", path, sizeof path)); /* the disk is free again */
    assert_false(is_mapped(w.folder));
    end(&w);
}

static bool see_stream(void *ctx, const lm_stream *stream, uint64_t records, uint64_t bytes)
{
    size_t *count = ctx;
    (void)stream;
    (void)bytes;
    count[0]++;
    count[1] += (size_t)records;
    return true;
}

static void streams_are_listed(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10; i++)
            assert_int_equal(put_some(&w, 50), LM_OK);
        size_t seen[2] = {0}, expected = 0;
        bool known[APPS][LEVELS] = {{false}};
        lm_matcher matcher = {LM_STR("app"), LM_LIKE, LM_STR("web|db")};
        lm_select what = {.tenant = LM_STR("blue"),
                          .matchers = &matcher,
                          .matcher_count = 1,
                          .time_min = INT64_MIN,
                          .time_max = INT64_MAX};
        size_t records = 0;
        for (size_t i = 0; i < w.count; i++) {
            const model_record *r = &w.model[i];
            if (r->tenant != 1 || r->app > 1) continue;
            records++;
            expected += !known[r->app][r->level];
            known[r->app][r->level] = true;
        }
        lm_store_face face = lm_store_face_of(w.store);
        assert_int_equal(face.streams(face.self, &what, see_stream, seen), LM_OK);
        assert_int_equal(seen[0], expected);
        assert_int_equal(seen[1], records);
        assert_int_equal(lm_store_flush(w.store), LM_OK);
    }
    end(&w);
}

/** The same templates and counts from the head and from a segment. */
static void templates_are_counted(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    open_store(&w, 0);
    lm_record_batch batch;
    lm_record_batch_init(&batch, w.mem);
    const char *const texts[] = {"app", "x", NULL};
    uint32_t stream = stream_of_labels(&batch, texts);
    static char lines[400][80];
    for (int i = 0; i < 400; i++) {
        int len = i % 4 ? snprintf(lines[i], sizeof lines[i], "connection %d from 10.0.0.%d closed",
                                   i * 7, i % 250)
                        : snprintf(lines[i], sizeof lines[i], "disk sd%c is nearly full: %d%%",
                                   'a' + i % 3, i % 100);
        assert_int_equal(lm_record_batch_add(&batch, stream, 1000000000 * (int64_t)i,
                                             (lm_str){(uint8_t *)lines[i], (size_t)len},
                                             (lm_labels){NULL, 0}),
                         LM_OK);
    }
    assert_int_equal(put_wait(w.store, "red", &batch, NULL, 0), LM_OK);
    for (int round = 0; round < 2; round++) {
        lm_arena arena;
        lm_store_template *found = NULL;
        size_t count = 0, buckets = 0;
        lm_arena_init(&arena, w.mem);
        lm_select what = {
            .tenant = LM_STR("red"), .time_min = 0, .time_max = INT64_C(400000000000)};
        assert_int_equal(lm_store_templates(w.store, &what, INT64_C(100000000000), &arena, &found,
                                            &count, &buckets),
                         LM_OK);
        assert_int_equal(buckets, 4);
        assert_true(count >= 2);
        assert_int_equal(found[0].count, 300);
        assert_true(lm_str_equal(found[0].text, LM_STR("connection <*> from <*> closed")));
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += found[i].count;
        assert_int_equal(sum, 400);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(found[0].buckets[i], 75);
        assert_int_equal(found[0].first_ns, 1000000000);
        lm_arena_fini(&arena);
        assert_int_equal(lm_store_flush(w.store), LM_OK);
    }
    lm_record_batch_fini(&batch);
    end(&w);
}

/* ---- memory runs out ---- */

/** Memory of several threads: once it is armed one request fails, and with is_lasting all behind
 * it. */
typedef struct scarce {
    _Atomic uint64_t requests, fail_at; /* 0: none */
    _Atomic int64_t out;                /* bytes */
    bool is_lasting;
} scarce;

static void *scarce_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    scarce *s = ctx;
    uint64_t request = ++s->requests, fail_at = s->fail_at;
    if (request == fail_at || (s->is_lasting && fail_at && request > fail_at)) return NULL;
    void *moved = realloc(ptr, new_bytes);
    if (moved) s->out += (int64_t)new_bytes - (int64_t)(ptr ? old_bytes : 0);
    return moved;
}

static void scarce_release(void *ctx, void *ptr, size_t bytes)
{
    ((scarce *)ctx)->out -= (int64_t)bytes;
    free(ptr);
}

/** How many requests there were; one failed if there were as many. */
static uint64_t put_and_seal(world *w, uint64_t fail_at, bool is_lasting, unsigned *failures)
{
    enum { PUTS = 6, RECORDS = 20 };

    scarce s = {.is_lasting = is_lasting};
    lm_mem *mem = NULL;
    lm_allocator table = {scarce_resize, scarce_release, &s};
    assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
    open_store_with(w, mem, 0);
    assert_int_equal(put_some(w, RECORDS), LM_OK);
    s.requests = 0;
    s.fail_at = fail_at;
    for (unsigned i = 0; i < PUTS; i++) {
        lm_err err = put_some(w, RECORDS);
        assert_true(err == LM_OK || err == LM_E_NOMEM);
        *failures += err != LM_OK;
    }
    lm_err err = lm_store_flush(w->store);
    assert_true(err == LM_OK || err == LM_E_NOMEM);
    *failures += err != LM_OK;
    uint64_t requests = s.requests;
    if (!is_lasting) {
        s.fail_at = 0;
        assert_int_equal(count_all(w), w->count);
    }
    lm_store_close(w->store);
    w->store = NULL;
    assert_int_equal(lm_mem_used(mem), 0);
    lm_mem_free(mem);
    assert_int_equal(s.out, 0);
    open_store(w, 0); /* as after a restart */
    assert_int_equal(count_all(w), w->count);
    lm_store_close(w->store);
    w->store = NULL;
    remove_tree(w->folder);
    w->count = 0;
    return requests;
}

/** While batches come in, and above all at the end of sealing, when the log goes: what was told to
 * be kept is there once, and memory all comes back. */
static void memory_runs_out(void **ctx)
{
    enum { LAST = 40 };

    world w;
    (void)ctx;
    begin(&w);
    unsigned failures = 0;
    uint64_t fail_at = 1, all = 0;
    lm_test_rng start = rng;
    for (; (all = put_and_seal(&w, fail_at, false, &failures)) >= fail_at;
         fail_at += 1 + fail_at / 10)
        rng = start;
    for (fail_at = all > LAST ? all - LAST : 1; fail_at <= all; fail_at++) {
        rng = start; /* the same records each time, and so nearly the same requests */
        (void)put_and_seal(&w, fail_at, true, &failures);
    }
    assert_true(failures > 20);
    end(&w);
}

/** A log that is read back when there is little memory, a damaged frame in front: then it is not
 * read at all, rather than without what there was no memory for. */
static void no_memory_to_read_back(void **ctx)
{
    world w;
    (void)ctx;
    begin(&w);
    char path[600];
    open_store(&w, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put_some(&w, 10), LM_OK);
    lm_store_close(w.store);
    w.store = NULL;
    assert_true(find_file(&w, "log", ".log", path, sizeof path));
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, 90), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 90), 1); /* in the first frame */
    close(fd);
    lm_store_options options = {.folder = w.folder, .note = note, .note_ctx = &w};
    unsigned failures = 0;
    for (uint64_t fail_at = 1;; fail_at++) {
        scarce s = {0};
        lm_mem *mem = NULL;
        lm_allocator table = {scarce_resize, scarce_release, &s};
        assert_int_equal(lm_mem_new(&table, 0, &mem), LM_OK);
        s.requests = 0;
        s.fail_at = fail_at;
        lm_err err = lm_store_open(mem, &options, &w.store);
        assert_true(err == LM_OK || err == LM_E_NOMEM);
        failures += err != LM_OK;
        bool is_over = s.requests < fail_at;
        s.fail_at = 0;
        if (!err) assert_int_equal(count_all(&w), w.count - 10);
        if (!err) lm_store_close(w.store);
        w.store = NULL;
        assert_int_equal(lm_mem_used(mem), 0);
        lm_mem_free(mem);
        if (is_over) break;
    }
    assert_true(failures > 3);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_found),
        cmocka_unit_test(bounds_move),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(checkpoints_are_kept),
        cmocka_unit_test(many_checkpoints_are_kept),
        cmocka_unit_test(log_damage),
        cmocka_unit_test(frames_are_not_forged),
        cmocka_unit_test(segment_damage),
        cmocka_unit_test(disk_full),
        cmocka_unit_test(old_segments_go),
        cmocka_unit_test(streams_are_listed),
        cmocka_unit_test(templates_are_counted),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(no_memory_to_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
