/* Times of one layout, one after the other: most lie in the second of the one before. */
#include "archive/archive_put.h"
#include "archive/archive_view.h"

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Where the fraction stands: the only place where the first and the last tick of a second differ,
 * all 0 and all 9. Counted from the end: what is before it need not be of one width (9:05:07.123).
 */
static void fraction_find(lm_time_printer *printer)
{
    uint8_t first[LM_TIME_TEXT_MAX], last[LM_TIME_TEXT_MAX];
    int64_t begin = 946684800 * printer->per_second; /* of the year 2000 */
    size_t len = lm_time_print(printer->layout, begin, first), digits = 0, at = 0;
    if (lm_time_print(printer->layout, begin + printer->per_second - 1, last) != len) return;
    for (int64_t left = printer->per_second; left > 1; left /= 10)
        digits++;
    while (at < len && first[at] == last[at])
        at++;
    if (digits == 0 || at + digits > len ||
        memcmp(first + at + digits, last + at + digits, len - at - digits) != 0)
        return;
    for (size_t i = at; i < at + digits; i++) {
        if (first[i] != '0' || last[i] != '9') return;
    }
    printer->can_patch = true;
    printer->digits = (uint8_t)digits;
    printer->fraction_back = (uint8_t)(len - at);
}

void lm_time_printer_init(lm_time_printer *printer, uint16_t layout)
{
    memset(printer, 0, sizeof *printer);
    printer->layout = layout;
    int64_t unit = lm_time_layout_ns(layout);
    bool is_decimal = unit > 0 && unit <= 1000000000;
    for (int64_t left = unit; left > 1 && is_decimal; left /= 10)
        is_decimal = left % 10 == 0;
    printer->per_second = is_decimal ? 1000000000 / unit : 1;
    if (printer->per_second > 1) fraction_find(printer);
}

uint8_t *lm_time_printer_put(lm_time_printer *printer, int64_t ticks, uint8_t *at)
{
    uint64_t fraction = (uint64_t)ticks - (uint64_t)printer->begin;
    if (fraction >= printer->span) {
        int64_t per_second = printer->can_patch ? printer->per_second : 1;
        printer->len = lm_time_print(printer->layout, ticks, printer->text);
        printer->begin = (int64_t)((uint64_t)floor_div(ticks, per_second) * (uint64_t)per_second);
        printer->span = (uint64_t)per_second;
    } else if (printer->can_patch) {
        (void)lm_put_padded(printer->text + printer->len - printer->fraction_back, fraction,
                            printer->digits);
    }
    memcpy(at, printer->text, LM_TIME_TEXT_MAX);
    return at + printer->len;
}
