/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mesh/mesh.h"

static void accepts(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int data, model;
    } cases[] = {{"2 2", 2, 2},      {"2x2", 2, 2},   {"1X8", 1, 8},       {"4,1", 4, 1},
                 {"  2  4  ", 2, 4}, {"2 x 8", 2, 8}, {"1024x1", 1024, 1}, {"01x02", 1, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_mesh mesh = {0, 0};
        assert_int_equal(tw_mesh_parse(cases[i].text, &mesh, NULL), TRAWL_OK);
        assert_int_equal(mesh.data, cases[i].data);
        assert_int_equal(mesh.model, cases[i].model);
    }
}

static void refuses(void **state)
{
    (void)state;
    const char *cases[] = {"",      "2",         "2x",   "x2", "0x1",    "1x0",   "-1x2",
                           "2x2x2", "2 2 2",     "2xx2", "a",  "1025x1", "64x64", "99999999999999999999x1",
                           "2x2 q", "1 99999999"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_mesh mesh    = {7, 7};
        struct trawl_error err = {0};
        assert_int_equal(tw_mesh_parse(cases[i], &mesh, &err), TRAWL_ERR_INVALID);
        assert_int_equal(mesh.data, 7);
        assert_non_null(strstr(err.message, cases[i])); /* the sentence quotes the text */
    }
}

static void ranks_and_back(void **state)
{
    (void)state;
    for (int data = 1; data <= 8; data++) {
        for (int model = 1; model <= 8; model++) {
            struct tw_mesh mesh = {data, model};
            assert_int_equal(tw_mesh_size(mesh), data * model);
            int expected = 0; /* ranks count along the model axis first */
            for (int d = 0; d < data; d++) {
                for (int m = 0; m < model; m++) {
                    assert_int_equal(tw_mesh_rank(mesh, d, m), expected);
                    assert_int_equal(tw_mesh_data_index(mesh, expected), d);
                    assert_int_equal(tw_mesh_model_index(mesh, expected), m);
                    expected++;
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(ranks_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
