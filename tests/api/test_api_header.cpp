// The public headers in C++: they parse, and the option macros initialise.
#include <logmill/logmill.h>

int main()
{
    lm_context_options options = LM_CONTEXT_OPTIONS_INIT;
    lm_pack_job job = LM_PACK_JOB_INIT;
    lm_question question = LM_QUESTION_INIT;
    lm_schema_job schema = LM_SCHEMA_JOB_INIT;
    bool is_sized = options.struct_bytes == sizeof options && job.struct_bytes == sizeof job &&
                    question.struct_bytes == sizeof question && schema.struct_bytes == sizeof schema;
    return is_sized ? 0 : 1;
}
