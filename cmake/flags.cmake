# SPDX-License-Identifier: MIT
# Compiler flags. Floating point is exact by contract: no contraction, no fast-math, ever.
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wvla -Wundef -Wpointer-arith -Wwrite-strings
  -Wformat=2 -Wimplicit-fallthrough -Wswitch-enum
  -fno-common -fvisibility=hidden -ffp-contract=off)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wdouble-promotion) # clang's version complains about INFINITY and NAN too
endif()
add_compile_definitions(_GNU_SOURCE)
if(TRAWL_WERROR)
  add_compile_options(-Werror)
endif()
if(TRAWL_SANITIZE)
  add_compile_options(-fsanitize=${TRAWL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TRAWL_SANITIZE})
endif()
if(TRAWL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
