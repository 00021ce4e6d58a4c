/* SPDX-License-Identifier: MIT */
/* Every shape of the innermost loop for one kind and layout, and the table of them. A template: define
 * TILE_TABLE (the table's name), TILE_KIND and TILE_LAYOUT, or for compressed panels TILE_KEEPS (whether decoded
 * lines are kept) and TILE_LIST (which shapes, if not all of TILE_SHAPES), then include; more than once per file. */
#ifndef TILE_LIST
#    define TILE_LIST TILE_SHAPES
#endif
#ifdef TILE_KEEPS
#    define TILE_SUM(t, rows, panels) tile_sum_codes(t, rows, panels, TILE_KIND, TILE_KEEPS)
#else
#    define TILE_SUM(t, rows, panels) tile_sum(t, rows, panels, TILE_KIND, TILE_LAYOUT)
#endif
#define TILE_PASTE_(table, rows, panels) table##_##rows##x##panels
#define TILE_PASTE(table, rows, panels)  TILE_PASTE_(table, rows, panels)
#define TILE_DEFINE(rows, panels)                                          \
    static void TILE_PASTE(TILE_TABLE, rows, panels)(const struct tile *t) \
    {                                                                      \
        TILE_SUM(t, rows, panels);                                         \
    }
#define TILE_ENTRY(rows, panels) [panels][rows] = TILE_PASTE(TILE_TABLE, rows, panels),

TILE_LIST(TILE_DEFINE)

static const tile_table TILE_TABLE = {TILE_LIST(TILE_ENTRY)};

#undef TILE_PASTE_
#undef TILE_PASTE
#undef TILE_DEFINE
#undef TILE_ENTRY
#undef TILE_TABLE
#undef TILE_LIST
#undef TILE_KIND
#undef TILE_LAYOUT
#undef TILE_KEEPS
#undef TILE_SUM
