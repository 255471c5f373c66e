/**
 * Roles: what the stream says about the values behind a key. `user=root` alone looks constant; when
 * `user=` takes another value anywhere in the stream it is a variable everywhere.
 */
#include "template/template_settle.h"

/* The key before the '=' in front of position i, or NO_INDEX. */
static uint32_t key_before(const settle *s, const node *n, size_t i)
{
    size_t q = i, next = i + 1;
    while (next < n->agree_count && n->agree[next] == TOKEN_ID_BLANK)
        next++;
    if (next < n->agree_count && settle_byte(s, n->agree[next]) == '=')
        return NO_INDEX; /* a key itself */
    while (q > 0) {
        uint8_t c = settle_byte(s, n->agree[q - 1]);
        if (c != ' ' && c != '"' && c != '\'' && c != '[') break;
        q--;
    }
    if (q == 0 || settle_byte(s, n->agree[q - 1]) != '=') return NO_INDEX;
    q--;
    while (q > 0 && n->agree[q - 1] == TOKEN_ID_BLANK)
        q--;
    if (q == 0 || settle_is_wild(s, n->agree[q - 1])) return NO_INDEX;
    return n->agree[q - 1];
}

static role *role_at(const role_table *t, uint64_t key)
{
    size_t mask = t->slot_count - 1;
    for (size_t at = (size_t)lm_hash_u64(key) & mask;; at = (at + 1) & mask)
        if (t->slots[at].key == key || t->slots[at].key == 0) return &t->slots[at];
}

static lm_err role_add(settle *s, uint64_t key, uint64_t value)
{
    role_table *t = &s->roles;
    key |= key == 0;
    if ((t->used + 1) * 2 > t->slot_count) {
        role_table bigger = {.slot_count = t->slot_count ? t->slot_count * 2 : 256,
                             .used = t->used};
        bigger.slots = lm_mem_calloc(s->miner->mem, bigger.slot_count, sizeof *bigger.slots);
        if (!bigger.slots) return lm_mem_err();
        for (size_t i = 0; i < t->slot_count; i++)
            if (t->slots[i].key) *role_at(&bigger, t->slots[i].key) = t->slots[i];
        lm_mem_release(s->miner->mem, t->slots, t->slot_count * sizeof *t->slots);
        *t = bigger;
    }
    role *r = role_at(t, key);
    if (r->key == 0) {
        *r = (role){key, value};
        t->used++;
    } else if (r->value != value) {
        r->value = ROLE_MANY;
    }
    return LM_OK;
}

/* Behind the '=' at position i: the word that is its value, n->agree_count for none. */
static size_t value_behind(const settle *s, const node *n, size_t i)
{
    for (i++; i < n->agree_count; i++) {
        if (template_is_word(s->miner->kinds[n->agree[i]].flags)) return i;
        uint8_t c = settle_byte(s, n->agree[i]);
        if (c != ' ' && c != '"' && c != '\'' && c != '[') break;
    }
    return n->agree_count;
}

lm_err settle_roles(settle *s)
{
    const token_kind *kinds = s->miner->kinds;
    for (size_t k = 0; k < s->node_count; k++) {
        const node *n = &s->nodes[k];
        if (n->parent != k || !(n->signs & SIGN_EQUALS)) continue;
        for (size_t i = 0; i < n->agree_count; i++) {
            if (kinds[n->agree[i]].byte != '=') continue;
            size_t value = value_behind(s, n, i);
            uint32_t key = value < n->agree_count ? key_before(s, n, value) : NO_INDEX;
            if (key == NO_INDEX) continue;
            uint32_t id = n->agree[value];
            lm_err err = role_add(s, s->miner->hashes[key],
                                  settle_is_wild(s, id) ? ROLE_MANY : s->miner->hashes[id]);
            if (err) return err;
        }
    }
    return LM_OK;
}

/* name.name.name in small letters, with digits, hyphens and slashes: a machine or something on one.
 */
static bool is_host_like(const settle *s, uint32_t id)
{
    const token *t = &s->miner->tokens[id];
    const uint8_t *p = s->miner->token_bytes.ptr + t->offset;
    size_t dots = 0;
    for (size_t i = 0; i < t->len; i++) {
        bool is_fit = (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '-' ||
                      p[i] == '/' || p[i] == '.';
        if (!is_fit) return false;
        dots += p[i] == '.' && i > 0 && i + 1 < t->len;
    }
    return dots >= 2;
}

/* An object by its kind and address, name.name@7f3a; or a word between escaped quotes, which is
 * data within data. */
static bool is_shown_value(const settle *s, const node *n, size_t i)
{
    const token *t = &s->miner->tokens[n->agree[i]];
    const uint8_t *p = s->miner->token_bytes.ptr + t->offset;
    if (t->len > 3 && p[t->len - 1] == MARK_WILD && p[t->len - 2] == '@')
        return memchr(p, '.', t->len) != NULL;
    bool is_escaped = t->len > 1 && p[t->len - 1] == '\\' && i > 0 && i + 1 < n->agree_count &&
                      settle_byte(s, n->agree[i - 1]) == '"' &&
                      settle_byte(s, n->agree[i + 1]) == '"';
    bool is_name = i + 2 < n->agree_count && settle_byte(s, n->agree[i + 2]) == ':';
    return is_escaped && !is_name;
}

bool settle_is_variable(const settle *s, const node *n, size_t i)
{
    uint16_t flags = s->miner->kinds[n->agree[i]].flags;
    if (flags & (TOKEN_BOOL | TOKEN_WILD)) return template_is_word(flags);
    if (!template_is_word(flags)) return false;
    if ((flags & TOKEN_DOT) && i > 0 && is_host_like(s, n->agree[i])) return true;
    if ((flags & TOKEN_SIGN) && is_shown_value(s, n, i)) return true;
    if (!(n->signs & SIGN_EQUALS)) return false;
    uint32_t key = key_before(s, n, i);
    if (key == NO_INDEX) return false;
    if (flags & (TOKEN_DOT | TOKEN_SIGN | TOKEN_DIGIT | TOKEN_PART)) return true;
    if (flags & TOKEN_UPPER) return false; /* the name of a constant in the program */
    const role *r = role_at(&s->roles, s->miner->hashes[key]);
    return r->key != 0 && r->value == ROLE_MANY;
}
