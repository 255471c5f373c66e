/** Everything of liblogmill: packing (lm.h), reading (lm_view.h), questions (lm_search.h),
 * templates (lm_mine.h), the daemon (lm_daemon.h). */
#ifndef LOGMILL_LOGMILL_H
#define LOGMILL_LOGMILL_H

#include <logmill/lm.h>
#include <logmill/lm_daemon.h>
#include <logmill/lm_mine.h>
#include <logmill/lm_search.h>
#include <logmill/lm_view.h>

#endif
