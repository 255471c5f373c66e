/** logmill ls */
#include "cli/cli.h"

static void put_file(const cli_view *at, const lm_view_file *file, bool is_json)
{
    char bytes[32], lines[32], time[32];
    if (is_json) {
        cli_json_begin();
        cli_json_z("archive", at->name);
        cli_json_text("file", file->name);
        cli_json_number("bytes", file->bytes);
        cli_json_number("lines", file->lines);
        cli_json_time("modified", file->mtime_ns);
        cli_json_number("mode", file->mode);
        cli_json_z("packing", file->packing);
        cli_json_end();
        return;
    }
    cli_putf("%12s %14s  %-19s  ", cli_bytes(file->bytes, bytes), cli_count(file->lines, lines),
             cli_time(file->mtime_ns, time));
    cli_putf("%s", cli_color("file"));
    cli_put_line(file->name, 0);
    cli_putf("%s%s%s%s\n", cli_color("off"), file->packing[0] ? " (was " : "", file->packing,
             file->packing[0] ? ")" : "");
}

static void put_segment(const cli_view *at, size_t index, const lm_view_segment *segment,
                        bool is_json)
{
    char bytes[32], raw[32], lines[32], first[32], last[32];
    if (is_json) {
        cli_json_begin();
        cli_json_z("archive", at->name);
        cli_json_number("segment", index);
        cli_json_number("position", segment->position);
        cli_json_number("bytes", segment->bytes);
        cli_json_number("raw_bytes", segment->raw_bytes);
        cli_json_number("lines", segment->lines);
        cli_json_number("stream", segment->stream);
        cli_json_z("level", segment->level);
        cli_json_time("first", segment->time_min);
        cli_json_time("last", segment->time_max);
        cli_json_end();
        return;
    }
    cli_putf("%7zu %14llu %11s %11s %12s %6u  %-7s  %-19s  %s\n", index,
             (unsigned long long)segment->position, cli_bytes(segment->bytes, bytes),
             cli_bytes(segment->raw_bytes, raw), cli_count(segment->lines, lines), segment->stream,
             segment->level, cli_time(segment->time_min, first), cli_time(segment->time_max, last));
}

static int ls_view(void *ctx, const cli_view *at)
{
    const cli_args *args = ctx;
    bool is_json = cli_flag(args, "json"), is_segments = cli_flag(args, "segments");
    const char *bold = cli_color("bold"), *off = cli_color("off");
    if (!is_json && at->index) (void)cli_put_z("\n");
    if (!is_json && !at->is_only) cli_putf("%s%s%s\n", cli_color("file"), at->name, off);
    if (!is_json && is_segments) {
        cli_putf("%s%7s %14s %11s %11s %12s %6s  %-7s  %-19s  %s%s\n", bold, "segment", "position",
                 "size", "text", "lines", "stream", "level", "first (UTC)", "last (UTC)", off);
    } else if (!is_json) {
        cli_putf("%s%12s %14s  %-19s  %s%s\n", bold, "size", "lines", "modified (UTC)", "name",
                 off);
    }
    size_t count = is_segments ? lm_view_segment_count(at->view) : lm_view_file_count(at->view);
    for (size_t i = 0; i < count && !ferror(stdout); i++) {
        if (is_segments) {
            lm_view_segment segment = lm_view_segment_at(at->view, i);
            put_segment(at, i, &segment, is_json);
        } else {
            lm_view_file file = lm_view_file_at(at->view, i);
            put_file(at, &file, is_json);
        }
    }
    return EXIT_DONE;
}

int cli_ls(const cli_args *args)
{
    return cli_each_view(args, 0, 0, ls_view, (void *)(uintptr_t)args);
}
