#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tasks.json and solutions.json beside this file: six small ARC tasks made for trying things out.

Each rule is a function; inputs are drawn from a fixed seed, so the files never change. Grids stay small, which
keeps a prompt at a few hundred tokens. Usage: python3 make_tasks.py [--check]"""
import json
import pathlib
import random
import sys


def empty(rows, cols):
    return [[0] * cols for _ in range(rows)]


def scatter(rng, rows, cols, n, colors):
    grid = empty(rows, cols)
    for r, c in rng.sample([(r, c) for r in range(rows) for c in range(cols)], n):
        grid[r][c] = rng.choice(colors)
    return grid


# mirror: the grid and its mirror image side by side
def mirror_input(rng):
    return scatter(rng, rng.randint(2, 3), rng.randint(2, 3), 4, [1, 2, 3, 4])


def mirror(grid):
    return [row + row[::-1] for row in grid]


# recolor: the color that is there most often becomes red, the others stay
def recolor_input(rng):
    colors = rng.sample([1, 3, 4, 5, 6, 8], 2)
    cells = [colors[0]] * 6 + [colors[1]] * 3
    rng.shuffle(cells)
    grid = empty(4, 4)
    for cell, place in zip(cells, rng.sample(range(16), 9)):
        grid[place // 4][place % 4] = cell
    return grid


def recolor(grid):
    cells = [cell for row in grid for cell in row if cell]
    most = max(set(cells), key=cells.count)
    return [[2 if cell == most else cell for cell in row] for row in grid]


# fill: the inside of a box becomes yellow
def fill_input(rng):
    rows, cols = rng.randint(5, 6), rng.randint(5, 6)
    height, width = rng.randint(3, rows - 1), rng.randint(3, cols - 1)
    top, left = rng.randint(0, rows - height), rng.randint(0, cols - width)
    grid = empty(rows, cols)
    for r in range(height):
        for c in range(width):
            if r in (0, height - 1) or c in (0, width - 1):
                grid[top + r][left + c] = 3
    return grid


def fill(grid):
    rows, cols = len(grid), len(grid[0])
    outside = {(r, c) for r in range(rows) for c in range(cols) if r in (0, rows - 1) or c in (0, cols - 1)}
    reached = [place for place in outside if grid[place[0]][place[1]] == 0]
    seen = set(reached)
    while reached:
        r, c = reached.pop()
        for place in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
            inside = 0 <= place[0] < rows and 0 <= place[1] < cols
            if inside and place not in seen and grid[place[0]][place[1]] == 0:
                seen.add(place)
                reached.append(place)
    return [[4 if grid[r][c] == 0 and (r, c) not in seen else grid[r][c] for c in range(cols)] for r in range(rows)]


# fall: everything drops to the bottom
def fall_input(rng):
    return scatter(rng, 4, rng.randint(4, 5), 5, [1, 6, 8])


def fall(grid):
    columns = [[cell for cell in column if cell] for column in zip(*grid)]
    columns = [[0] * (len(grid) - len(column)) + column for column in columns]
    return [list(row) for row in zip(*columns)]


# cross: each dot sends a line of its color along its row and column
def cross_input(rng):
    rows, cols = rng.randint(4, 5), rng.randint(4, 5)
    grid = empty(rows, cols)
    grid[rng.randrange(rows)][rng.randrange(cols)] = rng.choice([1, 2, 7, 8])
    return grid


def cross(grid):
    r, c = next((r, c) for r, row in enumerate(grid) for c, cell in enumerate(row) if cell)
    color = grid[r][c]
    return [[color if i == r or j == c else 0 for j in range(len(grid[0]))] for i in range(len(grid))]


# cut: the colored block without the empty space around it
def cut_input(rng):
    rows, cols = rng.randint(4, 6), rng.randint(4, 6)
    height, width = rng.randint(2, 3), rng.randint(2, 3)
    top, left = rng.randint(0, rows - height), rng.randint(0, cols - width)
    grid = empty(rows, cols)
    for r in range(height):
        for c in range(width):
            grid[top + r][left + c] = rng.choice([1, 2, 4])
    return grid


def cut(grid):
    rows = [r for r, row in enumerate(grid) if any(row)]
    cols = [c for c, column in enumerate(zip(*grid)) if any(column)]
    return [row[cols[0] : cols[-1] + 1] for row in grid[rows[0] : rows[-1] + 1]]


# name: (inputs, rule, training pairs, tests)
TASKS = {
    "mirror": (mirror_input, mirror, 3, 1),
    "recolor": (recolor_input, recolor, 3, 1),
    "fill": (fill_input, fill, 3, 2),
    "fall": (fall_input, fall, 3, 1),
    "cross": (cross_input, cross, 3, 1),
    "cut": (cut_input, cut, 3, 2),
}


def build():
    tasks, solutions = {}, {}
    for name, (draw, rule, n_train, n_test) in TASKS.items():
        rng = random.Random(name)
        inputs = []
        while len(inputs) < n_train + n_test:
            grid = draw(rng)
            if grid not in inputs and rule(grid) != grid:
                inputs.append(grid)
        train = [{"input": grid, "output": rule(grid)} for grid in inputs[:n_train]]
        tasks[name] = {"train": train, "test": [{"input": grid} for grid in inputs[n_train:]]}
        solutions[name] = [rule(grid) for grid in inputs[n_train:]]
    return tasks, solutions


def text_of(entries):
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items()) + "\n}\n"


def main():
    folder = pathlib.Path(__file__).parent
    for name, entries in zip(("tasks.json", "solutions.json"), build()):
        path, text = folder / name, text_of(entries)
        if "--check" in sys.argv[1:]:
            if path.read_text() != text:
                sys.exit(f"{path} is not what make_tasks.py writes")
        else:
            path.write_text(text)


if __name__ == "__main__":
    main()
