/* SPDX-License-Identifier: MIT */
/* Answers of models, whose numbers are read, and lines of a data set. What is read as a number reads as itself again. */
#include <string.h>

#include "apps/gsm8k/gsm8k_answer.h"
#include "apps/gsm8k/gsm8k_dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    char number[TW_GSM8K_NUMBER_BYTES], again[TW_GSM8K_NUMBER_BYTES];
    struct tw_gsm8k_dataset d;
    if (tw_gsm8k_answer(text, size, number)) {
        TW_BUG_ON(number[0] == '\0' || strlen(number) >= sizeof number);
        TW_BUG_ON(tw_gsm8k_number(number, strlen(number), again) && strcmp(number, again) != 0);
    }
    (void)tw_gsm8k_dataset_parse(&d, "rows", text, size, SIZE_MAX, NULL, NULL);
    tw_gsm8k_dataset_release(&d);
    return 0;
}
