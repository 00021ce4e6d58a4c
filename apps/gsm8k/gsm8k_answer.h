/* SPDX-License-Identifier: MIT */
/* The number that a worked answer ends with. */
#ifndef TW_GSM8K_ANSWER_H
#define TW_GSM8K_ANSWER_H

#include "apps/gsm8k/gsm8k_number.h"

/* Of n bytes of text, by the first of these that it has: what the last complete \boxed{...} holds (braces nest), the
 * line behind the last "####", the last number of the text. A box or a mark without a number is not passed over: then
 * there is none. False: no readable answer. */
bool tw_gsm8k_answer(const char *text, size_t n, char out[TW_GSM8K_NUMBER_BYTES]);

#endif /* TW_GSM8K_ANSWER_H */
