/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_report_style.h"

/* clang-format off */
const char *tw_arc_report_style(void)
{
    return
    ":root{--bg:#f5f6f8;--card:#fff;--ink:#1c2128;--dim:#667080;--edge:#dfe3e8;--good:#12805c;--bad:#b4442f;"
    "--open:#8a6d1a;--goodbg:#e3f5ee;--badbg:#fbeae6;--openbg:#fbf3dc;--line:#555}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171c;--card:#1d2127;--ink:#e4e7eb;--dim:#98a2b0;"
    "--edge:#333a44;--good:#57d0a2;--bad:#f09582;--open:#e2c15c;--goodbg:#15362b;--badbg:#3d231e;--openbg:#382f16}}\n"
    "*{box-sizing:border-box}html{scroll-behavior:smooth}\n"
    "body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,"
    "'Helvetica Neue',Arial,sans-serif}\n"
    "main{max-width:1180px;margin:0 auto;padding:28px 20px 80px}\n"
    "h1{font-size:26px;margin:0 0 2px;letter-spacing:-.01em}h2{font-size:18px;margin:0;font-weight:650}\n"
    "h3{font-size:12px;margin:0 0 10px;color:var(--dim);font-weight:600;text-transform:uppercase;letter-spacing:.06em}\n"
    "code,h2{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\n"
    ".sub{color:var(--dim);margin:0 0 20px;overflow-wrap:anywhere}\n"
    ".sums{display:flex;flex-wrap:wrap;gap:12px;margin:0 0 16px;padding:0}\n"
    ".sums div{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:10px 16px;min-width:128px}\n"
    ".sums b{display:block;font-size:22px;font-variant-numeric:tabular-nums}.sums span{color:var(--dim);font-size:13px}\n"
    "nav{display:flex;flex-wrap:wrap;gap:6px;margin:0 0 26px}\n"
    "nav a{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;text-decoration:none;padding:3px 8px;"
    "border-radius:6px}\n"
    ".good{color:var(--good);background:var(--goodbg)}.bad{color:var(--bad);background:var(--badbg)}"
    ".open{color:var(--open);background:var(--openbg)}\n"
    "section{background:var(--card);border:1px solid var(--edge);border-radius:14px;margin:0 0 22px;overflow:hidden}\n"
    ".head{display:flex;align-items:center;gap:12px;padding:14px 20px;border-bottom:1px solid var(--edge)}\n"
    ".tag{font-size:12.5px;font-weight:600;padding:2px 9px;border-radius:20px;white-space:nowrap}\n"
    ".part{padding:16px 20px;border-bottom:1px solid var(--edge)}.part:last-child{border-bottom:0}\n"
    ".row{display:flex;flex-wrap:wrap;gap:18px 26px;align-items:flex-start}\n"
    ".pair{display:flex;align-items:center;gap:10px}.arrow{color:var(--dim);font-size:20px}\n"
    "figure{margin:0}figcaption{font-size:12.5px;color:var(--dim);margin-top:6px;line-height:1.35}\n"
    "figcaption b{color:var(--ink)}figcaption .tag{padding:1px 7px;font-size:11.5px;margin-left:4px}\n"
    ".test{display:flex;gap:26px}.test>:first-child{flex:none;max-width:45%}\n"
    ".box{flex:1;min-width:0;border-left:1px solid var(--edge);padding-left:26px}\n"
    "@media(max-width:760px){.test{display:block}.test>:first-child{max-width:none}"
    ".box{border:0;padding:18px 0 0}}\n"
    "svg{display:block;max-width:100%;height:auto}.l{fill:none;stroke:var(--line);stroke-width:1;"
    "vector-effect:non-scaling-stroke}\n"
    ".none{color:var(--dim);font-style:italic}\n"
    "details{margin-top:14px;font-size:13.5px}summary{cursor:pointer;color:var(--dim)}\n"
    "details ul{margin:6px 0 0;padding-left:20px}li{overflow-wrap:anywhere}\n"
    "@media print{section{break-inside:avoid}nav{display:none}body{background:#fff}}\n";
}
/* clang-format on */
