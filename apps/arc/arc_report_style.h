/* SPDX-License-Identifier: MIT */
#ifndef TW_ARC_REPORT_STYLE_H
#define TW_ARC_REPORT_STYLE_H

/* The content of the page's <style>; the ten grid colors are added by the writer. */
const char *tw_arc_report_style(void);

#endif /* TW_ARC_REPORT_STYLE_H */
