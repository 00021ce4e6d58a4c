/* SPDX-License-Identifier: MIT */
/* A number as people and models write it, made comparable: equal values have equal texts. */
#ifndef TW_GSM8K_NUMBER_H
#define TW_GSM8K_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

enum { TW_GSM8K_NUMBER_BYTES = 64 };

/* How many bytes of text[0, n) are a decimal number: "-1,234.50", ".5"; a sign, digits with commas between them, and a
 * fraction. 0: the text does not begin with one. */
size_t tw_gsm8k_decimal(const char *text, size_t n);

/* The value of text[0, n), which tw_gsm8k_decimal has measured: without commas, and without a sign or zeros that mean
 * nothing: "-01,234.50" is "-1234.5". Digits that do not fit are cut off. */
void tw_gsm8k_decimal_text(const char *text, size_t n, char out[TW_GSM8K_NUMBER_BYTES]);

/* The first number of one line of text, as an answer is written: units and currency around it, commas in it, LaTeX
 * ("\$1{,}234", "\text{...}"), a fraction ("3/4", "\frac{3}{4}", "1\frac{1}{2}"). Behind the last "=", if there is one.
 * Fractions that end are written as decimals, others in lowest terms: "5/10" is "0.5", "2/6" is "1/3".
 * False: there is none, or it goes on as an expression ("3 \times 10^2"), whose value nobody has computed. */
bool tw_gsm8k_number(const char *text, size_t n, char out[TW_GSM8K_NUMBER_BYTES]);

#endif /* TW_GSM8K_NUMBER_H */
