/* SPDX-License-Identifier: MIT */
/* Examples of our own wording, of the kinds that the data set has: none of them is in it. */
#include "apps/gsm8k/gsm8k_prompt.h"

static const struct tw_gsm8k_example examples[] = {
    {"A baker fills 7 trays with 12 rolls each. By noon 59 rolls are sold. How many rolls are left?",
     "The baker makes 7 * 12 = 84 rolls.\n"
     "After 59 are sold, 84 - 59 = 25 rolls are left.\n"
     "#### 25"},
    {"Nadia reads 18 pages every evening from Monday to Friday and 35 pages on each day of the weekend. How "
     "many "
     "pages does she read in a week?",
     "From Monday to Friday she reads 5 * 18 = 90 pages.\n"
     "On the weekend she reads 2 * 35 = 70 pages.\n"
     "Together that is 90 + 70 = 160 pages.\n"
     "#### 160"},
    {"A train ticket costs $24. Children pay half of that. What do two adults and three children pay?",
     "A child pays 24 / 2 = $12.\n"
     "Two adults pay 2 * 24 = $48.\n"
     "Three children pay 3 * 12 = $36.\n"
     "All of them pay 48 + 36 = $84.\n"
     "#### 84"},
    {"Omar is three times as old as his sister. In 6 years their ages add up to 40. How old is Omar now?",
     "In 6 years both together are 6 + 6 = 12 years older than now.\n"
     "Now their ages add up to 40 - 12 = 28.\n"
     "If his sister is one part, Omar is three, so one part is 28 / 4 = 7 years.\n"
     "Omar is 3 * 7 = 21 years old.\n"
     "#### 21"},
    {"A water tank holds 1,500 liters and is 40% full. A pump adds 75 liters a minute. After how many "
     "minutes is "
     "the tank full?",
     "The tank holds 1500 * 40 / 100 = 600 liters now.\n"
     "1500 - 600 = 900 liters are missing.\n"
     "The pump needs 900 / 75 = 12 minutes.\n"
     "#### 12"},
    {"Elif buys 4 notebooks for $3 each and a pen for $2.50. She pays with a $20 bill. How many dollars does "
     "she "
     "get back?",
     "The notebooks cost 4 * 3 = $12.\n"
     "With the pen that is 12 + 2.50 = $14.50.\n"
     "She gets back 20 - 14.50 = $5.50.\n"
     "#### 5.5"},
    {"Two classes collect bottles. The first collects 130 bottles, the second 20 fewer than twice as many. "
     "How many "
     "bottles do they collect together?",
     "Twice as many as the first class is 2 * 130 = 260 bottles.\n"
     "The second class collects 260 - 20 = 240 bottles.\n"
     "Together they collect 130 + 240 = 370 bottles.\n"
     "#### 370"},
    {"A gardener plants tulips in 9 rows. In every row there are 6 red and 8 yellow tulips. A third of all "
     "tulips does "
     "not grow. How many tulips grow?",
     "A row has 6 + 8 = 14 tulips.\n"
     "The gardener plants 9 * 14 = 126 tulips.\n"
     "126 / 3 = 42 of them do not grow.\n"
     "So 126 - 42 = 84 tulips grow.\n"
     "#### 84"},
};

const struct tw_gsm8k_example *tw_gsm8k_examples(size_t *n)
{
    *n = sizeof examples / sizeof examples[0];
    return examples;
}
