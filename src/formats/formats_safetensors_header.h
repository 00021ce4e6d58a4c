/* SPDX-License-Identifier: MIT */
/* The header of one safetensors file: from its bytes to checked tensors. Private to formats. */
#ifndef TW_FORMATS_SAFETENSORS_HEADER_H
#define TW_FORMATS_SAFETENSORS_HEADER_H

#include <jansson.h>

#include "formats/formats_safetensors.h"

/* The content of one file: the header document, and its tensors in order of their bytes. Tensors point into
 * the document, the content and `file`. */
struct tw_safetensors_header {
    json_t *document;
    struct tw_safetensors_tensor *tensors;
    size_t n_tensors;
};

/* `content`: the whole file, kept; `file`: its path, kept. On failure there is nothing to release. */
trawl_status tw_safetensors_header_read(struct tw_safetensors_header *header, const uint8_t *content,
                                        size_t size, const char *file, struct trawl_error *err);
void tw_safetensors_header_release(struct tw_safetensors_header *header);

#endif /* TW_FORMATS_SAFETENSORS_HEADER_H */
