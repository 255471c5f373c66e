/** What one packing leaves for the next: room for text, formats with their schemas, ways of lines.
 */
#include "archive/archive_priv.h"

enum { TIMES_MAX = 16 /* packings after which a format is nameed at anew */ };

lm_err lm_pack_kept_new(lm_mem *mem, lm_pack_kept **out)
{
    lm_pack_kept *kept = lm_mem_calloc(mem, 1, sizeof *kept);
    if (!kept) return lm_mem_err();
    kept->mem = mem;
    *out = kept;
    return LM_OK;
}

static void drop_format(lm_pack_kept *kept, lm_kept_format *format)
{
    lm_schema_free(format->schema);
    for (size_t i = 0; i < LM_SLOTS_MAX; i++)
        lm_ways_free(kept->mem, format->ways[i]);
    *format = (lm_kept_format){0};
}

void lm_pack_kept_clear(lm_pack_kept *kept)
{
    for (size_t i = 0; i < LM_KEPT_FORMATS; i++)
        drop_format(kept, &kept->formats[i]);
    for (size_t i = 0; i < LM_SLOTS_MAX; i++) {
        lm_kept_room *room = &kept->rooms[i];
        lm_mem_release(kept->mem, room->text, room->text ? room->cap + LM_TEXT_PADDING : 0);
        *room = (lm_kept_room){0};
    }
}

void lm_pack_kept_free(lm_pack_kept *kept)
{
    if (!kept) return;
    lm_pack_kept_clear(kept);
    lm_mem_release(kept->mem, kept, sizeof *kept);
}

lm_kept_format *lm_kept_find(lm_pack_kept *kept, uint64_t name)
{
    for (size_t i = 0; i < LM_KEPT_FORMATS; i++) {
        lm_kept_format *format = &kept->formats[i];
        if (!format->schema || format->name != name) continue;
        if (format->times++ >= TIMES_MAX) return NULL;
        format->used = ++kept->clock;
        return format;
    }
    return NULL;
}

lm_kept_format *lm_kept_add(lm_pack_kept *kept, uint64_t name, unsigned fits, lm_schema *schema)
{
    lm_kept_format *place = NULL;
    for (size_t i = 0; i < LM_KEPT_FORMATS; i++) {
        lm_kept_format *format = &kept->formats[i];
        bool is_same = format->schema && format->name == name;
        if (is_same && format->users) return NULL;
        if (is_same || (!format->users && (!place || format->used < place->used))) place = format;
        if (is_same) break;
    }
    if (!place) return NULL;
    drop_format(kept, place);
    *place = (lm_kept_format){.schema = schema, .name = name, .fits = fits, .used = ++kept->clock};
    return place;
}
