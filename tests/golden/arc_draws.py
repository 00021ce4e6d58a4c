# SPDX-License-Identifier: MIT
"""Augmentations of ARC tasks drawn by an independent implementation (needs the package xxhash).

Prints the vectors of tests/app_arc/test_arc_augment.c: task id, run seed, prediction -> color map, train order.
Philox4x32-10 is written from Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011)."""
import struct

import xxhash

MASK = 0xFFFFFFFF


def philox(counter, key):
    counter, key = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(p1 >> 32) ^ counter[1] ^ key[0], p1 & MASK, (p0 >> 32) ^ counter[3] ^ key[1], p0 & MASK]
        key = [(key[0] + 0x9E3779B9) & MASK, (key[1] + 0xBB67AE85) & MASK]
    return counter


class Stream:
    def __init__(self, seed, stream):
        self.key = [seed & MASK, seed >> 32]
        self.stream = [stream & MASK, stream >> 32]
        self.n_blocks = 0
        self.words = []

    def next(self):
        if not self.words:
            self.words = philox([self.n_blocks & MASK, self.n_blocks >> 32] + self.stream, self.key)
            self.n_blocks += 1
        return self.words.pop(0)

    def below(self, n):
        while True:
            x = self.next()
            if x >= 2**32 % n:
                return x % n

    def double(self):
        high, low = self.next() >> 5, self.next() >> 6
        return (high << 26 | low) / 2**53

    def shuffled(self, items):
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
        return items


def draw(task_id, seed, k, n_train):
    task = xxhash.xxh3_64_intdigest(task_id.encode())
    random = Stream(seed, xxhash.xxh3_64_intdigest(struct.pack("<QQ", task, k)))
    if random.double() < 0.1:
        colors = random.shuffled(range(10))
    else:
        colors = [0] + random.shuffled(range(1, 10))
    return colors, random.shuffled(range(n_train))


if __name__ == "__main__":
    for args in [("007bbfb7", 0, 3, 5), ("00d62c1b", (5 << 32) + 42, 95, 7), ("3c9b0459", 1, 22, 4)]:
        print(*args, *draw(*args))
