/* SPDX-License-Identifier: MIT */
/* Which process has which devices: every device of a mesh once, in the order of ranks. */
#include "engine/engine_place.h"
#include "support/test.h"

static void every_device_has_one_place(void **state)
{
    (void)state;
    int tried = 0;
    for (int data = 1; data <= 4; data++) {
        for (int model = 1; model <= 8; model *= 2) {
            for (int k = 1; k <= data * model; k++) {
                struct tw_mesh mesh   = {data, model};
                struct tw_place place = {0};
                struct trawl_error err;
                int ranks = data * model / k, next = 0;
                if (data * model % k != 0 || (k % model != 0 && model % k != 0)) {
                    continue;
                }
                for (int rank = 0; rank < ranks; rank++) {
                    assert_ok(tw_place_make(mesh, rank, ranks, k, &place, &err));
                    for (int i = 0; i < place.n_replicas; i++) {
                        for (int j = 0; j < place.n_devices; j++) {
                            int device = tw_mesh_rank(mesh, place.first_replica + i, place.first_device + j);
                            assert_int_equal(device, next);
                            next++;
                        }
                    }
                    assert_int_equal(tw_place_is_head(&place), place.first_device == 0);
                    assert_int_equal(place.rank - place.peer, tw_place_head_rank(&place, rank / place.peers));
                    tried++;
                }
                assert_int_equal(next, data * model);
                assert_int_equal(tw_place_heads(&place) * place.peers, ranks);
            }
        }
    }
    assert_true(tried > 50);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct tw_place place;
    struct trawl_error err;
    assert_int_equal(tw_place_make((struct tw_mesh){2, 2}, 0, 3, 1, &place, &err), TRAWL_ERR_INVALID);
    assert_non_null(strstr(err.message, "mesh_shape 2 2 has 4 devices, 3 processes of 1 device have 3"));
    assert_int_equal(tw_place_make((struct tw_mesh){3, 4}, 0, 2, 6, &place, &err), TRAWL_ERR_INVALID);
    assert_non_null(strstr(err.message, "devices_per_rank 6 does not go with a model axis of 4"));
    assert_int_equal(tw_place_make((struct tw_mesh){1, 1}, 0, 1, 0, &place, &err), TRAWL_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_device_has_one_place),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
