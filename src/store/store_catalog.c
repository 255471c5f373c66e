/* The catalog: which segments there are, which streams they hold, where sources stand. SQLite, one
 * connection, used under the store's catalog lock. All of it but checkpoints can be made anew from
 * the segments. */
#include "store/store_priv.h"
#include <sqlite3.h>
#include <unistd.h>

enum { CATALOG_VERSION = 1 };

struct store_catalog {
    lm_mem *mem;
    sqlite3 *db;
    char path[STORE_PATH_MAX];
};

static const char schema_sql[] =
    "CREATE TABLE streams(id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, key BLOB NOT NULL,"
    " UNIQUE(tenant, key));"
    "CREATE TABLE segments(id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, level INTEGER NOT NULL,"
    " time_min INTEGER NOT NULL, time_max INTEGER NOT NULL, records INTEGER NOT NULL,"
    " streams INTEGER NOT NULL, raw_bytes INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " generation INTEGER NOT NULL);"
    "CREATE TABLE segment_streams(segment INTEGER NOT NULL, first INTEGER NOT NULL,"
    " stream INTEGER NOT NULL, records INTEGER NOT NULL, raw_bytes INTEGER NOT NULL,"
    " time_min INTEGER NOT NULL, time_max INTEGER NOT NULL, PRIMARY KEY(segment, first))"
    " WITHOUT ROWID;"
    "CREATE INDEX segment_streams_stream ON segment_streams(stream);"
    "CREATE TABLE checkpoints(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE facts(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO facts VALUES('sealed', 0);";

static lm_err db_fail(const store_catalog *catalog, int code)
{
    bool is_damage = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    return lm_fail(code == SQLITE_NOMEM ? LM_E_NOMEM
                   : is_damage          ? LM_E_CORRUPT
                                        : LM_E_IO,
                   "the catalog '%s': %s", catalog->path, sqlite3_errmsg(catalog->db));
}

static lm_err run_sql(store_catalog *catalog, const char *sql)
{
    int code = sqlite3_exec(catalog->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? LM_OK : db_fail(catalog, code);
}

static lm_err prepare(store_catalog *catalog, const char *sql, sqlite3_stmt **out)
{
    int code = sqlite3_prepare_v2(catalog->db, sql, -1, out, NULL);
    return code == SQLITE_OK ? LM_OK : db_fail(catalog, code);
}

static void bind_text(sqlite3_stmt *stmt, int at, lm_str text)
{
    sqlite3_bind_text(stmt, at, text.len ? (const char *)text.ptr : "", (int)text.len,
                      SQLITE_STATIC);
}

static void bind_blob(sqlite3_stmt *stmt, int at, lm_str bytes)
{
    if (bytes.len) {
        sqlite3_bind_blob(stmt, at, bytes.ptr, (int)bytes.len, SQLITE_STATIC);
    } else {
        sqlite3_bind_zeroblob(stmt, at, 0);
    }
}

static lm_str column_bytes(sqlite3_stmt *stmt, int at)
{
    const void *bytes = sqlite3_column_blob(stmt, at);
    return (lm_str){bytes ? bytes : (const void *)"", (size_t)sqlite3_column_bytes(stmt, at)};
}

/** A statement that gives no rows. */
static lm_err step_done(store_catalog *catalog, sqlite3_stmt *stmt)
{
    int code = sqlite3_step(stmt);
    return code == SQLITE_DONE || code == SQLITE_ROW ? LM_OK : db_fail(catalog, code);
}

/* ---- opening ---- */

static lm_err check_whole(store_catalog *catalog)
{
    sqlite3_stmt *stmt = NULL;
    lm_err err = prepare(catalog, "PRAGMA quick_check(1)", &stmt);
    if (!err) {
        int code = sqlite3_step(stmt);
        const unsigned char *text = code == SQLITE_ROW ? sqlite3_column_text(stmt, 0) : NULL;
        if (code != SQLITE_ROW) {
            err = db_fail(catalog, code);
        } else if (!text || strcmp((const char *)text, "ok") != 0) {
            err = lm_fail(LM_E_CORRUPT, "the catalog '%s' is damaged: %s", catalog->path,
                          text ? (const char *)text : "no answer");
        }
    }
    sqlite3_finalize(stmt);
    return err;
}

static lm_err read_version(store_catalog *catalog, int *out)
{
    sqlite3_stmt *stmt = NULL;
    lm_err err = prepare(catalog, "PRAGMA user_version", &stmt);
    if (!err) {
        int code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
            *out = sqlite3_column_int(stmt, 0);
        } else {
            err = db_fail(catalog, code);
        }
    }
    sqlite3_finalize(stmt);
    return err;
}

static lm_err open_db(store_catalog *catalog, bool *out_is_new)
{
    int version = 0;
    int code =
        sqlite3_open_v2(catalog->path, &catalog->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);
    if (code != SQLITE_OK) return db_fail(catalog, code);
    lm_err err = run_sql(catalog, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                  " PRAGMA cache_size=-2000; PRAGMA temp_store=MEMORY");
    if (!err) err = check_whole(catalog);
    if (!err) err = read_version(catalog, &version);
    if (err) return err;
    *out_is_new = version == 0;
    if (version > CATALOG_VERSION)
        return lm_fail(LM_E_UNSUPPORTED, "the catalog '%s' was written by a later version",
                       catalog->path);
    if (version == 0) {
        err = run_sql(catalog, "BEGIN");
        if (!err) err = run_sql(catalog, schema_sql);
        if (!err) err = run_sql(catalog, "PRAGMA user_version=1; COMMIT");
    }
    return err;
}

static lm_err set_aside(const char *folder)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char from[STORE_PATH_MAX], to[STORE_PATH_MAX];
        (void)snprintf(from, sizeof from, "%s/catalog.db%s", folder, suffixes[i]);
        (void)snprintf(to, sizeof to, "%s/lost/catalog.db%s", folder, suffixes[i]);
        if (rename(from, to) != 0 && access(from, F_OK) == 0)
            return lm_fail_errno("cannot set aside '%s'", from);
    }
    return LM_OK;
}

lm_err store_catalog_open(lm_mem *mem, const char *folder, store_catalog **out, bool *out_is_new,
                          void (*bad)(void *ctx, const char *text), void *bad_ctx)
{
    store_catalog *catalog = lm_mem_calloc(mem, 1, sizeof *catalog);
    if (!catalog) return lm_mem_err();
    catalog->mem = mem;
    (void)snprintf(catalog->path, sizeof catalog->path, "%s/catalog.db", folder);
    bool is_new = false;
    lm_err err = open_db(catalog, &is_new);
    if (err == LM_E_CORRUPT) {
        bad(bad_ctx, lm_err_text());
        sqlite3_close(catalog->db);
        catalog->db = NULL;
        err = set_aside(folder);
        if (!err) err = open_db(catalog, &is_new);
    }
    if (err) {
        lm_err_info info;
        lm_err_save(&info);
        store_catalog_close(catalog);
        return lm_err_restore(&info);
    }
    *out = catalog;
    *out_is_new = is_new;
    return LM_OK;
}

void store_catalog_close(store_catalog *catalog)
{
    if (!catalog) return;
    sqlite3_close(catalog->db);
    lm_mem_release(catalog->mem, catalog, sizeof *catalog);
}

/* ---- changes ---- */

lm_err store_catalog_begin(store_catalog *catalog)
{
    return run_sql(catalog, "BEGIN IMMEDIATE");
}

lm_err store_catalog_end(store_catalog *catalog, bool commit)
{
    if (!commit) {
        (void)sqlite3_exec(catalog->db, "ROLLBACK", NULL, NULL,
                           NULL); /* the cause is told already */
        return LM_OK;
    }
    lm_err err = run_sql(catalog, "COMMIT");
    if (err) (void)sqlite3_exec(catalog->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

static lm_err stream_id(store_catalog *catalog, lm_str tenant, lm_str key, sqlite3_stmt *insert,
                        sqlite3_stmt *find, int64_t *out)
{
    bind_text(find, 1, tenant);
    bind_blob(find, 2, key);
    int code = sqlite3_step(find);
    bool is_known = code == SQLITE_ROW;
    if (is_known) *out = sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    if (is_known) return LM_OK;
    if (code != SQLITE_DONE) return db_fail(catalog, code);
    bind_text(insert, 1, tenant);
    bind_blob(insert, 2, key);
    lm_err err = step_done(catalog, insert);
    sqlite3_reset(insert);
    *out = sqlite3_last_insert_rowid(catalog->db);
    return err;
}

static lm_err add_streams(store_catalog *catalog, const store_part *part,
                          const store_part_stream *streams)
{
    sqlite3_stmt *insert = NULL, *find = NULL, *link = NULL;
    lm_err err = prepare(catalog, "INSERT INTO streams(tenant, key) VALUES(?, ?)", &insert);
    if (!err) err = prepare(catalog, "SELECT id FROM streams WHERE tenant=? AND key=?", &find);
    if (!err)
        err = prepare(catalog, "INSERT INTO segment_streams VALUES(?, ?, ?, ?, ?, ?, ?)", &link);
    for (uint64_t i = 0; i < part->streams && !err; i++) {
        int64_t id = 0;
        err = stream_id(catalog, lm_str_of(part->tenant), streams[i].key, insert, find, &id);
        if (err) break;
        sqlite3_bind_int64(link, 1, (int64_t)part->id);
        sqlite3_bind_int64(link, 2, (int64_t)streams[i].first);
        sqlite3_bind_int64(link, 3, id);
        sqlite3_bind_int64(link, 4, (int64_t)streams[i].records);
        sqlite3_bind_int64(link, 5, (int64_t)streams[i].raw_bytes);
        sqlite3_bind_int64(link, 6, streams[i].time_min);
        sqlite3_bind_int64(link, 7, streams[i].time_max);
        err = step_done(catalog, link);
        sqlite3_reset(link);
    }
    sqlite3_finalize(insert);
    sqlite3_finalize(find);
    sqlite3_finalize(link);
    return err;
}

lm_err store_catalog_add(store_catalog *catalog, const store_part *part,
                         const store_part_stream *streams)
{
    sqlite3_stmt *stmt = NULL;
    lm_err err =
        prepare(catalog, "INSERT INTO segments VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", &stmt);
    if (!err) {
        sqlite3_bind_int64(stmt, 1, (int64_t)part->id);
        bind_text(stmt, 2, lm_str_of(part->tenant));
        sqlite3_bind_int(stmt, 3, (int)part->level);
        sqlite3_bind_int64(stmt, 4, part->time_min);
        sqlite3_bind_int64(stmt, 5, part->time_max);
        sqlite3_bind_int64(stmt, 6, (int64_t)part->records);
        sqlite3_bind_int64(stmt, 7, (int64_t)part->streams);
        sqlite3_bind_int64(stmt, 8, (int64_t)part->raw_bytes);
        sqlite3_bind_int64(stmt, 9, (int64_t)part->bytes);
        sqlite3_bind_int64(stmt, 10, (int64_t)part->generation);
        err = step_done(catalog, stmt);
    }
    sqlite3_finalize(stmt);
    return err ? err : add_streams(catalog, part, streams);
}

static lm_err run_with_id(store_catalog *catalog, const char *sql, uint64_t id)
{
    sqlite3_stmt *stmt = NULL;
    lm_err err = prepare(catalog, sql, &stmt);
    if (!err) {
        sqlite3_bind_int64(stmt, 1, (int64_t)id);
        err = step_done(catalog, stmt);
    }
    sqlite3_finalize(stmt);
    return err;
}

lm_err store_catalog_remove(store_catalog *catalog, uint64_t id)
{
    lm_err err = run_with_id(catalog, "DELETE FROM segments WHERE id=?", id);
    if (!err)
        err = run_with_id(catalog,
                          "DELETE FROM streams WHERE id IN (SELECT stream FROM segment_streams"
                          " WHERE segment=?1) AND NOT EXISTS (SELECT 1 FROM segment_streams AS o"
                          " WHERE o.stream=streams.id AND o.segment<>?1)",
                          id);
    return err ? err : run_with_id(catalog, "DELETE FROM segment_streams WHERE segment=?", id);
}

lm_err store_catalog_checkpoint(store_catalog *catalog, lm_str key, lm_str value)
{
    sqlite3_stmt *stmt = NULL;
    lm_err err = prepare(catalog,
                         value.len ? "INSERT OR REPLACE INTO checkpoints VALUES(?, ?)"
                                   : "DELETE FROM checkpoints WHERE key=?",
                         &stmt);
    if (!err) {
        bind_blob(stmt, 1, key);
        if (value.len) bind_blob(stmt, 2, value);
        err = step_done(catalog, stmt);
    }
    sqlite3_finalize(stmt);
    return err;
}

lm_err store_catalog_sealed_set(store_catalog *catalog, uint64_t generation)
{
    return run_with_id(catalog, "UPDATE facts SET value=? WHERE name='sealed'", generation);
}

/* ---- questions ---- */

lm_err store_catalog_sealed(store_catalog *catalog, uint64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    lm_err err = prepare(catalog, "SELECT value FROM facts WHERE name='sealed'", &stmt);
    if (!err) {
        int code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
            *out = (uint64_t)sqlite3_column_int64(stmt, 0);
        } else {
            err = code == SQLITE_DONE ? lm_fail(LM_E_CORRUPT, "the catalog lacks its facts")
                                      : db_fail(catalog, code);
        }
    }
    sqlite3_finalize(stmt);
    return err;
}

lm_err store_catalog_checkpoint_get(store_catalog *catalog, lm_str key, lm_buf *out)
{
    sqlite3_stmt *stmt = NULL;
    lm_err err = prepare(catalog, "SELECT value FROM checkpoints WHERE key=?", &stmt);
    if (!err) {
        bind_blob(stmt, 1, key);
        int code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
            lm_str value = column_bytes(stmt, 0);
            err = lm_buf_append(out, value.ptr, value.len);
        } else {
            err = code == SQLITE_DONE
                      ? lm_fail(LM_E_NOTFOUND, "no checkpoint '%.*s'", (int)key.len, key.ptr)
                      : db_fail(catalog, code);
        }
    }
    sqlite3_finalize(stmt);
    return err;
}

lm_err store_catalog_parts(store_catalog *catalog,
                           lm_err (*told)(void *ctx, const store_part *part), void *ctx)
{
    sqlite3_stmt *stmt = NULL;
    int code = SQLITE_DONE;
    lm_err err = prepare(catalog,
                         "SELECT id, tenant, level, time_min, time_max, records, streams,"
                         " raw_bytes, bytes, generation FROM segments ORDER BY time_min, id",
                         &stmt);
    while (!err && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
        store_part part = {.id = (uint64_t)sqlite3_column_int64(stmt, 0),
                           .level = (lm_level)sqlite3_column_int(stmt, 2),
                           .time_min = sqlite3_column_int64(stmt, 3),
                           .time_max = sqlite3_column_int64(stmt, 4),
                           .records = (uint64_t)sqlite3_column_int64(stmt, 5),
                           .streams = (uint64_t)sqlite3_column_int64(stmt, 6),
                           .raw_bytes = (uint64_t)sqlite3_column_int64(stmt, 7),
                           .bytes = (uint64_t)sqlite3_column_int64(stmt, 8),
                           .generation = (uint64_t)sqlite3_column_int64(stmt, 9)};
        lm_str tenant = column_bytes(stmt, 1);
        if (tenant.len > STORE_TENANT_BYTES_MAX) tenant.len = STORE_TENANT_BYTES_MAX;
        memcpy(part.tenant, tenant.ptr, tenant.len);
        err = told(ctx, &part);
    }
    if (!err && code != SQLITE_DONE) err = db_fail(catalog, code);
    sqlite3_finalize(stmt);
    return err;
}

lm_err store_catalog_tenant_streams(store_catalog *catalog, lm_str tenant, int64_t time_min,
                                    int64_t time_max, bool with_stored,
                                    lm_err (*told)(void *ctx, lm_str key, uint64_t records,
                                                   uint64_t bytes, uint64_t stored),
                                    void *ctx)
{
    static const char plain[] =
        "SELECT s.key, SUM(l.records), SUM(l.raw_bytes), 0 FROM streams AS s"
        " JOIN segment_streams AS l ON l.stream=s.id"
        " WHERE s.tenant=? AND l.time_max>=? AND l.time_min<? GROUP BY s.id ORDER BY s.key";
    /* What a segment takes is shared by its streams as their bytes are. */
    static const char shared[] =
        "SELECT s.key, SUM(l.records), SUM(l.raw_bytes),"
        " SUM(CAST(g.bytes AS REAL)*l.raw_bytes/MAX(g.raw_bytes, 1)) FROM streams AS s"
        " JOIN segment_streams AS l ON l.stream=s.id JOIN segments AS g ON g.id=l.segment"
        " WHERE s.tenant=? AND l.time_max>=? AND l.time_min<? GROUP BY s.id ORDER BY s.key";
    sqlite3_stmt *stmt = NULL;
    int code = SQLITE_DONE;
    lm_err err = prepare(catalog, with_stored ? shared : plain, &stmt);
    if (!err) {
        bind_text(stmt, 1, tenant);
        sqlite3_bind_int64(stmt, 2, time_min);
        sqlite3_bind_int64(stmt, 3, time_max);
    }
    while (!err && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
        err =
            told(ctx, column_bytes(stmt, 0), (uint64_t)sqlite3_column_int64(stmt, 1),
                 (uint64_t)sqlite3_column_int64(stmt, 2), (uint64_t)sqlite3_column_int64(stmt, 3));
    }
    if (!err && code != SQLITE_DONE) err = db_fail(catalog, code);
    sqlite3_finalize(stmt);
    return err;
}
