/* Scores rows with a compiled form: encode, walk the trees or multiply, and link.
 *
 * One function for one row and for a million, with the same order of additions, so that a row has
 * the same answer to the last bit alone and in any batch. Compile with -ffp-contract=off: a fused
 * multiply-add would round differently from NumPy. `arrays.py` says the same in NumPy; a test
 * compares the two.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum { NUMBER = 0, MISSING = 1, TABLE = 2 };
enum { IDENTITY = 0, LOGISTIC = 1, SOFTMAX = 2, EXPONENTIAL = 3 };
enum { NAN_RIGHT = 1, CATEGORY = 2 };
enum { ROWS = 8 }; /* rows in flight: their walks do not wait for each other */

typedef struct {
    double threshold; /* a category's node: where its bits begin */
    int32_t left;     /* the right child follows; a leaf is its own left child */
    int16_t column;
    int16_t flags;
} node;

typedef struct {
    int64_t numbers, categories, columns, trees, margins, outputs;
    const uint8_t *kind;
    const int32_t *source, *offset;
    const double *fill, *centre, *scale, *table;
    const node *nodes;
    const int32_t *roots;
    const double *leaves; /* nodes x width */
    const int32_t *targets;
    const uint64_t *bits;
    const double *weights; /* margins x columns, where there are no trees */
    const double *bias;    /* margins */
    int64_t width;         /* values a leaf: 1, or margins */
    int64_t link, single;  /* single: the trees compare float32 */
    double divisor;
} form;

static void encode(const form *f, const double *numbers, const int32_t *codes, double *z) {
    for (int64_t c = 0; c < f->columns; c++) {
        int32_t s = f->source[c];
        double v;
        if (f->kind[c] == TABLE) {
            v = f->table[f->offset[c] + codes[s]];
        } else if (f->kind[c] == MISSING) {
            v = ((isnan(numbers[s]) ? 1.0 : 0.0) - f->centre[c]) / f->scale[c];
        } else {
            v = isnan(numbers[s]) ? f->fill[c] : numbers[s];
            v = (v - f->centre[c]) / f->scale[c];
        }
        z[c] = f->single ? (double)(float)v : v;
    }
}

static inline int32_t next(const form *f, int32_t at, const double *z) {
    const node *n = f->nodes + at;
    double v = z[n->column];
    int right;
    if (n->flags & CATEGORY) {
        int64_t code = (int64_t)v;
        right = !((f->bits[(int64_t)n->threshold + (code >> 6)] >> (code & 63)) & 1);
    } else {
        right = (v > n->threshold) | ((v != v) & n->flags);
    }
    return n->left + right;
}

static void finish(const form *f, const double *margin, double *out) {
    if (f->link == LOGISTIC) {
        double p = 1.0 / (1.0 + exp(-margin[0]));
        out[0] = 1.0 - p;
        out[1] = p;
    } else if (f->link == SOFTMAX) {
        double top = margin[0], sum = 0;
        for (int64_t k = 1; k < f->margins; k++) top = margin[k] > top ? margin[k] : top;
        for (int64_t k = 0; k < f->margins; k++) sum += out[k] = exp(margin[k] - top);
        for (int64_t k = 0; k < f->margins; k++) out[k] /= sum;
    } else if (f->link == EXPONENTIAL) {
        out[0] = exp(margin[0]);
    } else {
        for (int64_t k = 0; k < f->margins; k++) out[k] = margin[k] / f->divisor;
    }
}

static void add_leaf(const form *f, int64_t tree, int32_t at, double *margin) {
    if (f->width == 1) {
        margin[f->targets[tree]] += f->leaves[at];
    } else {
        for (int64_t k = 0; k < f->width; k++) margin[k] += f->leaves[at * f->width + k];
    }
}

/* The rows' walks through one tree, side by side, until none of them moves. */
static void walk_rows(const form *f, int64_t tree, const double *z, int32_t *at) {
    for (int b = 0; b < ROWS; b++) at[b] = f->roots[tree];
    for (int32_t moved = 1; moved;) {
        moved = 0;
        for (int b = 0; b < ROWS; b++) {
            int32_t to = next(f, at[b], z + b * f->columns);
            moved |= to ^ at[b];
            at[b] = to;
        }
    }
}

/* One row's walks through eight trees side by side. */
static void walk_trees(const form *f, int64_t first, int64_t count, const double *z, int32_t *at) {
    for (int b = 0; b < count; b++) at[b] = f->roots[first + b];
    for (int32_t moved = 1; moved;) {
        moved = 0;
        for (int b = 0; b < count; b++) {
            int32_t to = next(f, at[b], z);
            moved |= to ^ at[b];
            at[b] = to;
        }
    }
}

static void multiply(const form *f, const double *z, double *margin) {
    for (int64_t k = 0; k < f->margins; k++) {
        const double *w = f->weights + k * f->columns;
        for (int64_t c = 0; c < f->columns; c++) margin[k] += w[c] * z[c];
    }
}

/* numbers: rows x numbers, NaN where missing; codes: rows x categories; out: rows x outputs.
 * Returns 0, or 1 where there is no memory. */
int score(const form *f, const double *numbers, const int32_t *codes, int64_t rows, double *out) {
    double *z = malloc(ROWS * (size_t)(f->columns + f->margins) * sizeof(double));
    if (!z) return 1;
    double *margin = z + ROWS * f->columns;
    int64_t row = 0;
    for (; row + ROWS <= rows; row += ROWS) {
        int32_t at[ROWS];
        for (int b = 0; b < ROWS; b++) {
            encode(f, numbers + (row + b) * f->numbers, codes + (row + b) * f->categories,
                   z + b * f->columns);
            for (int64_t k = 0; k < f->margins; k++) margin[b * f->margins + k] = f->bias[k];
            if (!f->trees) multiply(f, z + b * f->columns, margin + b * f->margins);
        }
        for (int64_t t = 0; t < f->trees; t++) {
            walk_rows(f, t, z, at);
            for (int b = 0; b < ROWS; b++) add_leaf(f, t, at[b], margin + b * f->margins);
        }
        for (int b = 0; b < ROWS; b++)
            finish(f, margin + b * f->margins, out + (row + b) * f->outputs);
    }
    for (; row < rows; row++) {
        int32_t at[ROWS];
        encode(f, numbers + row * f->numbers, codes + row * f->categories, z);
        for (int64_t k = 0; k < f->margins; k++) margin[k] = f->bias[k];
        if (!f->trees) multiply(f, z, margin);
        for (int64_t t = 0; t < f->trees; t += ROWS) {
            int64_t count = f->trees - t < ROWS ? f->trees - t : ROWS;
            walk_trees(f, t, count, z, at);
            for (int64_t b = 0; b < count; b++) add_leaf(f, t + b, at[b], margin);
        }
        finish(f, margin, out + row * f->outputs);
    }
    free(z);
    return 0;
}
