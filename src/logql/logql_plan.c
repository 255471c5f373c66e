/** What the store is asked for: matchers, the line filters in front of anything that changes the
 * line, and whether the line is wanted at all. */
#include "logql/logql_priv.h"

/** `|= ""` lets everything pass. */
static bool is_idle(const lm_lq_stage *stage)
{
    if (stage->op != LM_HAS && stage->op != LM_FITS) return false;
    for (uint32_t i = 0; i < stage->text_count; i++) {
        if (!stage->texts[i].is_ip && stage->texts[i].text.len == 0) return true;
    }
    return false;
}

static bool reads_line(const lm_lq_stage *stage)
{
    switch (stage->kind) {
    case LM_LQ_S_FILTER:
    case LM_LQ_S_LABEL_FORMAT: /* may use __line__ */
        return stage->kind == LM_LQ_S_LABEL_FORMAT;
    case LM_LQ_S_DROP:
    case LM_LQ_S_KEEP:
        return false;
    default:
        return true;
    }
}

/** Parsers that do nothing where no label is wanted, as in Loki. */
static bool is_needless(const lm_lq_stage *stage, const lm_lq_hints *hints)
{
    return hints->no_labels &&
           (stage->kind == LM_LQ_S_JSON || stage->kind == LM_LQ_S_JSON_EXPR ||
            stage->kind == LM_LQ_S_LOGFMT || stage->kind == LM_LQ_S_LOGFMT_EXPR ||
            stage->kind == LM_LQ_S_PATTERN || stage->kind == LM_LQ_S_UNPACK);
}

static lm_err push(lm_lq_plan *plan, const lm_lq_stage *stage, lm_arena *arena)
{
    lm_str *texts = lm_arena_alloc(arena, stage->text_count * sizeof *texts, _Alignof(lm_str));
    if (!texts) return lm_mem_err();
    for (uint32_t i = 0; i < stage->text_count; i++)
        texts[i] = stage->texts[i].text;
    plan->filters[plan->filter_count++] = (lm_line_filter){stage->op, texts, stage->text_count};
    return LM_OK;
}

/** The longest constant text of a pattern. */
static lm_str longest(const lm_lq_pattern *pattern)
{
    lm_str best = LM_STR("");
    for (uint32_t i = 0; i < pattern->count; i++) {
        if (!pattern->pieces[i].is_capture && pattern->pieces[i].text.len > best.len)
            best = pattern->pieces[i].text;
    }
    return best;
}

/** Whether a line fits a pattern is decided here, since <_> takes the first place that fits and
 * nothing else; the store is asked for the lines that hold its longest text. */
static lm_err push_pattern(lm_lq_plan *plan, const lm_lq_stage *stage, lm_arena *arena)
{
    lm_str *texts = lm_arena_alloc(arena, stage->text_count * sizeof *texts, _Alignof(lm_str));
    if (!texts) return lm_mem_err();
    if (stage->op != LM_PATTERN) return LM_OK;
    for (uint32_t i = 0; i < stage->text_count; i++) {
        texts[i] = longest(&stage->texts[i].pattern);
        if (!texts[i].len) return LM_OK;
    }
    plan->filters[plan->filter_count++] = (lm_line_filter){LM_HAS, texts, stage->text_count};
    return LM_OK;
}

lm_err lm_lq_plan_make(const lm_lq_log *log, const lm_lq_hints *hints, bool wants_line,
                       lm_arena *arena, lm_lq_plan *out)
{
    lm_lq_plan plan = {.skip_line = !wants_line && !log->wants_level,
                       .is_plain = !log->wants_level};
    size_t count = log->stage_count;
    plan.matchers = lm_arena_alloc(arena, (log->matcher_count + 1) * sizeof *plan.matchers, 16);
    plan.filters = lm_arena_alloc(arena, (count + 1) * sizeof *plan.filters, 16);
    plan.skip = lm_arena_alloc(arena, count + 1, 1);
    if (!plan.matchers || !plan.filters || !plan.skip) return lm_mem_err();
    for (uint32_t i = 0; i < log->matcher_count; i++)
        plan.matchers[i] = log->matchers[i].is;
    bool changed = false;
    for (uint32_t i = 0; i < count; i++) {
        const lm_lq_stage *stage = &log->stages[i];
        bool is_line = stage->kind == LM_LQ_S_LINE;
        plan.skip[i] = is_needless(stage, hints) || (is_line && is_idle(stage));
        if (plan.skip[i]) continue;
        if (is_line && !changed && !stage->has_ip) {
            bool is_pattern = stage->op == LM_PATTERN || stage->op == LM_PATTERN_NOT;
            lm_err err = is_pattern ? push_pattern(&plan, stage, arena) : push(&plan, stage, arena);
            if (err) return err;
            plan.skip[i] = !is_pattern;
            if (!is_pattern) continue;
        }
        changed = changed || stage->kind == LM_LQ_S_LINE_FORMAT ||
                  stage->kind == LM_LQ_S_DECOLORIZE || stage->kind == LM_LQ_S_UNPACK;
        plan.is_plain = false;
        if (reads_line(stage)) plan.skip_line = false;
    }
    *out = plan;
    return LM_OK;
}
