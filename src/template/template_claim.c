/** Claims: see the header. */
#include "template/template_claim.h"
#include <stdlib.h>

int template_claim_by_key(const void *x, const void *y)
{
    const claim *a = x, *b = y;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return (a->text > b->text) - (a->text < b->text);
}

int template_claim_by_text(const void *x, const void *y)
{
    const claim *a = x, *b = y;
    if (a->text != b->text) return a->text < b->text ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

/* qsort takes no empty list. */
void template_claims_sort(claims *list, int (*order)(const void *, const void *))
{
    if (list->count > 1) qsort(list->items, list->count, sizeof *list->items, order);
}

lm_err template_claim_add(settle *s, claims *list, claim c)
{
    lm_err err = lm_vec_grow(s->miner->mem, &list->items, &list->cap, list->count + 1, sizeof c);
    if (!err) list->items[list->count++] = c;
    return err;
}

void template_claims_fini(settle *s, claims *list)
{
    lm_mem_release(s->miner->mem, list->items, list->cap * sizeof *list->items);
    *list = (claims){0};
}

bool template_claims_has(const claims *list, uint64_t key)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list->items[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && list->items[low].key == key;
}

size_t template_claims_texts(const claim *list, size_t count)
{
    size_t distinct = 1;
    for (size_t i = 1; i < count; i++)
        distinct += list[i].text != list[i - 1].text;
    return distinct;
}

uint64_t template_hash_kept(const settle *s, const node *n, const uint16_t *keep, size_t count)
{
    uint64_t hash = count;
    for (size_t i = 0; i < count; i++)
        hash +=
            template_hash_at(s, keep[i] == SETTLE_VALUE ? TOKEN_ID_WILD : n->tokens[keep[i]], i);
    return hash;
}
