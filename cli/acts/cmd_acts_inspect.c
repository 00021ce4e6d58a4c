/* SPDX-License-Identifier: MIT */
#include "base/file.h"
#include "cli/acts/acts_report.h"
#include "cli/cmd.h"
#include "cli/terminal.h"

static trawl_status write_page(const struct tw_survey *survey, const char *path, struct trawl_error *err)
{
    struct tw_str page;
    tw_str_init(&page, 0);
    trawl_status status = cli_acts_report_html(survey, &page, err);
    if (status == TRAWL_OK) {
        status = tw_make_parent_dirs(path, err);
    }
    if (status == TRAWL_OK) {
        status = tw_file_replace(path, page.data, page.size, err);
    }
    tw_str_release(&page);
    return status;
}

static trawl_status print(const struct tw_survey *survey, bool json, struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = json ? cli_acts_report_json(survey, &text, err)
                               : cli_acts_report_text(survey, cli_use_color(stdout), &text, err);
    if (status == TRAWL_OK) {
        status = cli_write(text.data, text.size, err);
    }
    tw_str_release(&text);
    return status;
}

int cmd_acts_inspect(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_survey survey;
    const char *page = cli_get_string(args, "html");
    trawl_status status =
        tw_survey_make(&survey, cli_operand(args, 0), (uint64_t)cli_get_int(args, "sample_rows"), err);
    if (status == TRAWL_OK && page != NULL) {
        status = write_page(&survey, page, err);
    }
    if (status == TRAWL_OK) {
        status = print(&survey, cli_get_flag(args, "json"), err);
    }
    tw_survey_release(&survey);
    return cli_exit_code(status);
}
