/* SPDX-License-Identifier: MIT */
/* As much XML as the answers of S3 take: the text of an element. */
#ifndef TW_CLOUD_XML_H
#define TW_CLOUD_XML_H

#include <stdbool.h>
#include <stddef.h>

/* The text of the first <name>...</name>, references like &amp; resolved, cut to `size` - 1 bytes; false when there is
 * no such element, or it holds others. Attributes of `name` and namespaces' prefixes are not expected. */
bool tw_xml_text(const char *xml, size_t n, const char *name, char *out, size_t size);

#endif /* TW_CLOUD_XML_H */
