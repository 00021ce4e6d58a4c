# SPDX-License-Identifier: MIT
# cmake -DINPUT=page.html -DOUTPUT=page.c -DHEADER=a/b.h -DNAME=symbol -P embed.cmake: the bytes of a file as a C array.
file(READ ${INPUT} bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "/* Made from ${INPUT}. */\n#include \"${HEADER}\"\n\nconst size_t ${NAME}_bytes = ${size};\n"
                     "const unsigned char ${NAME}[] = {\n${bytes}\n0};\n")
