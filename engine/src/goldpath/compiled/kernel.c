/* Scores rows with a compiled form: encode, walk the trees or multiply, and link.
 *
 * A row has the same answer to the last bit alone and in any batch: whichever way finds a tree's
 * leaf, the leaves are added in the order of the trees. Compile with -ffp-contract=off: a fused
 * multiply-add would round differently from NumPy. `arrays.py` says the same in NumPy; a test
 * compares the two.
 *
 * Trees are found in one of three ways:
 *   - 64 rows at once, where `ranked.py` could replace every number by its rank in bytes: all steps
 *     of a tree are taken for all rows, a vector of bytes at a time, without a branch;
 *   - few rows over the same bytes: the walks through eight trees side by side;
 *   - by the numbers themselves, where trees are too large for that.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 0, MISSING = 1, TABLE = 2 };
enum { IDENTITY = 0, LOGISTIC = 1, SOFTMAX = 2, EXPONENTIAL = 3 };
enum { NAN_RIGHT = 1, CATEGORY = 2 };
enum { ROWS = 8 };    /* walks in flight: they do not wait for each other */
enum { LANES = 128 }; /* rows whose steps are taken together */
enum { BLOCKS = 2 };  /* blocks of so many rows that stay in the cache while the trees pass by */
enum { FOUR = 4 };     /* trees whose leaves are added together */
enum { WALKED = 16 }; /* fewer rows are walked one by one */
enum { BUCKETS = 512 };
enum { LEAVES = 256 }; /* at most, of a tree over bytes */
enum { PAGE = 254 };  /* ranks in a byte; two values are left for a missing number */

#ifdef __GNUC__
#define ONE_BY_ONE __asm__ volatile("") /* a vector of single look-ups is slower than none */
#else
#define ONE_BY_ONE
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define HAS_WIDE 1
#else
#define INLINE static inline
#endif

typedef struct {
    double threshold; /* a category's node: where its bits begin */
    int32_t left;     /* the right child follows; a leaf is its own left child */
    int16_t column;
    int16_t flags;
} node;

/* A step over bytes: to the right where (byte & mask) > limit. A tree's first steps are its leaves,
 * which lead to themselves; children stand before their parents, and the root is the last. */
typedef struct {
    uint16_t column;
    int16_t next[2]; /* how far the left and the right child are */
    int8_t limit, mask;
} step;

typedef struct { int64_t first; int32_t leaves, steps; } tree;
typedef struct { int64_t root; int32_t tree, depth; } walk;
typedef struct {
    double low, width; /* of the buckets; the first and the last have no end */
    int64_t start, bucket;
    int32_t source, most, first_page, pages; /* most: thresholds in a bucket */
} search;
typedef struct { int32_t byte, base, missing; } page;
typedef struct { int64_t start; int32_t byte, source; } lookup;
typedef struct { int32_t byte, source, present, missing; } flag;

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
    int64_t link, single, single_sums; /* whether the trees compare, and their leaves add, float32 */
    double divisor;
    /* The trees over bytes; bytes is 0 where there are none. */
    int64_t bytes, searches, lookups, flags, most_steps, has_sets;
    const step *steps;
    const tree *ranked;      /* in the order of the additions */
    const walk *walks;       /* those of like depth together; a whole number of ROWS */
    const double *leaf_values; /* (LEAVES + steps) x width; those of the steps come last */
    const search *search;
    const page *page;
    const lookup *lookup;
    const flag *flag;
    const double *thresholds;
    const uint16_t *buckets;
    const int8_t *codes;
} form;

/* A margin and a leaf. Both are float32 where the sum is to be, so that one rounding does. */
INLINE double sum_of(const form *f, double margin, double leaf) {
    double sum = margin + leaf;
    return f->single_sums ? (double)(float)sum : sum;
}

INLINE double encoded(const form *f, int64_t c, double v) {
    v = isnan(v) ? f->fill[c] : v;
    v = (v - f->centre[c]) / f->scale[c];
    return f->single ? (double)(float)v : v;
}

static void encode(const form *f, const double *numbers, const int32_t *codes, double *z) {
    for (int64_t c = 0; c < f->columns; c++) {
        int32_t s = f->source[c];
        double v;
        if (f->kind[c] == TABLE) {
            v = f->table[f->offset[c] + codes[s]];
        } else if (f->kind[c] == MISSING) {
            v = ((isnan(numbers[s]) ? 1.0 : 0.0) - f->centre[c]) / f->scale[c];
        } else {
            z[c] = encoded(f, c, numbers[s]);
            continue;
        }
        z[c] = f->single ? (double)(float)v : v;
    }
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

/* ---- Trees over bytes ---- */

INLINE int32_t bucket_of(const search *s, double v) {
    double place = (v - s->low) * s->width;
    place = place > 0 ? place : 0; /* so is a missing one's */
    return (int32_t)(place < BUCKETS - 1 ? place : BUCKETS - 1);
}

INLINE int8_t byte_of(const page *p, int32_t rank, double v) {
    rank -= p->base;
    rank = rank < 0 ? 0 : rank > PAGE ? PAGE : rank;
    return (int8_t)(v != v ? p->missing : rank - 128);
}

/* The bytes of up to `stride` rows, one column behind the other. A number's rank is how many of its
 * column's thresholds are below it: it is greater than the k-th exactly where its rank is. Its
 * bucket says how many surely are; what is left is searched by halves. */
INLINE void rank_rows(const form *f, const double *numbers, const int32_t *codes, int64_t rows,
                      int64_t stride, int8_t *bytes) {
    double v[LANES];
    int32_t at[LANES];
    for (int64_t j = 0; j < f->searches; j++) {
        const search *s = f->search + j;
        const double *thresholds = f->thresholds + s->start;
        const double *from = numbers + s->source;
        const uint16_t *buckets = f->buckets + s->bucket;
        for (int64_t i = 0; i < rows; i++) v[i] = from[i * f->numbers];
        for (int64_t i = 0; i < rows; i++) at[i] = bucket_of(s, v[i]);
        for (int64_t i = 0; i < rows; i++) at[i] = buckets[at[i]];
        for (int32_t half = (s->most + 1) / 2; half; half /= 2)
            for (int64_t i = 0; i < rows; i++)
                at[i] += v[i] > thresholds[at[i] + half - 1] ? half : 0;
        for (int32_t p = s->first_page; p < s->first_page + s->pages; p++) {
            const page *to = f->page + p;
            int8_t *column = bytes + to->byte * stride;
            for (int64_t i = 0; i < rows; i++)
                column[i] = byte_of(to, at[i], v[i]);
        }
    }
    for (int64_t j = 0; j < f->lookups; j++) {
        const lookup *l = f->lookup + j;
        const int8_t *values = f->codes + l->start;
        int8_t *column = bytes + l->byte * stride;
        for (int64_t i = 0; i < rows; i++) column[i] = values[codes[i * f->categories + l->source]];
    }
    for (int64_t j = 0; j < f->flags; j++) {
        const flag *l = f->flag + j;
        int8_t *column = bytes + l->byte * stride;
        for (int64_t i = 0; i < rows; i++)
            column[i] = (int8_t)(isnan(numbers[i * f->numbers + l->source]) ? l->missing : l->present);
    }
}

INLINE void take_step(const int8_t *restrict bytes, const uint8_t *left, const uint8_t *right,
                      uint8_t *restrict to, int8_t limit, int8_t mask) {
    for (int i = 0; i < LANES; i++) {
        int8_t asked = bytes[i] & mask;
        uint8_t l = left[i], r = right[i];
        to[i] = asked > limit ? r : l;
    }
}

/* The leaf that each row of a block reaches in a tree. `slots` holds a vector for each step: the
 * leaf that a row reaches from there, counted so that the tree's last is 255. The vectors of the
 * leaves are before those of the other steps, and the same for all trees. */
INLINE void reach_leaves(const form *f, int64_t t, const int8_t *bytes, uint8_t *slots,
                         uint8_t *reached, int has_sets) {
    const tree *r = f->ranked + t;
    const step *steps = f->steps + r->first;
    if (r->leaves == r->steps) memset(reached, LEAVES - 1, LANES);
    for (int32_t n = r->leaves; n < r->steps; n++) {
        const step *s = steps + n;
        uint8_t *to = slots + (LEAVES - r->leaves + n) * LANES;
        take_step(bytes + s->column * LANES, to + s->next[0] * LANES, to + s->next[1] * LANES,
                  n + 1 < r->steps ? to : reached, s->limit, has_sets ? s->mask : -1);
    }
}

INLINE const double *leaf_values(const form *f, int64_t t) {
    return f->leaf_values + (f->ranked[t].first + f->ranked[t].leaves) * f->width;
}

/* One margin, trees of one value: four trees at a time, added one after the other. */
INLINE void add_four_trees(const form *f, int64_t t, const uint8_t *restrict reached,
                           double *restrict margin) {
    const double *a = leaf_values(f, t), *b = leaf_values(f, t + 1);
    const double *c = leaf_values(f, t + 2), *d = leaf_values(f, t + 3);
    for (int i = 0; i < LANES; i++) {
        ONE_BY_ONE;
        margin[i] = margin[i] + a[reached[i]] + b[reached[LANES + i]] + c[reached[2 * LANES + i]] +
                    d[reached[3 * LANES + i]];
    }
}

INLINE void add_tree(const form *f, int64_t t, const uint8_t *restrict reached,
                     double *restrict margin) {
    const double *values = leaf_values(f, t);
    if (f->width == 1) {
        double *to = margin + f->targets[t] * LANES;
        if (f->single_sums) {
            for (int i = 0; i < LANES; i++) to[i] = (double)(float)(to[i] + values[reached[i]]);
            return;
        }
        for (int i = 0; i < LANES; i++) to[i] += values[reached[i]];
    } else {
        for (int64_t k = 0; k < f->width; k++)
            for (int i = 0; i < LANES; i++)
                margin[k * LANES + i] =
                    sum_of(f, margin[k * LANES + i], values[reached[i] * f->width + k]);
    }
}

INLINE void add_trees(const form *f, const int8_t *bytes, int64_t blocks, uint8_t *slots,
                      double *margin, int has_sets) {
    uint8_t reached[FOUR * LANES];
    for (int64_t t = 0; t < f->trees; t += FOUR) {
        int64_t count = f->trees - t < FOUR ? f->trees - t : FOUR;
        for (int64_t b = 0; b < blocks; b++) {
            double *to = margin + b * LANES * f->margins;
            for (int64_t j = 0; j < count; j++)
                reach_leaves(f, t + j, bytes + b * LANES * f->bytes, slots, reached + j * LANES,
                             has_sets);
            if (count == FOUR && f->margins == 1 && !f->single_sums) {
                add_four_trees(f, t, reached, to);
                continue;
            }
            for (int64_t j = 0; j < count; j++) add_tree(f, t + j, reached + j * LANES, to);
        }
    }
}

INLINE void score_blocks_here(const form *f, const double *numbers, const int32_t *codes,
                              int64_t rows, int8_t *bytes, uint8_t *slots, double *margin,
                              double *out) {
    int64_t blocks = (rows + LANES - 1) / LANES;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = b * LANES, count = rows - first < LANES ? rows - first : LANES;
        rank_rows(f, numbers + first * f->numbers, codes + first * f->categories, count, LANES,
                  bytes + first * f->bytes);
        double *to = margin + first * f->margins;
        for (int64_t k = 0; k < f->margins; k++)
            for (int i = 0; i < LANES; i++) to[k * LANES + i] = f->bias[k];
    }
    if (f->has_sets) add_trees(f, bytes, blocks, slots, margin, 1);
    else add_trees(f, bytes, blocks, slots, margin, 0);
    double one[f->margins];
    for (int64_t row = 0; row < rows; row++) {
        const double *from = margin + row / LANES * LANES * f->margins + row % LANES;
        for (int64_t k = 0; k < f->margins; k++) one[k] = from[k * LANES];
        finish(f, one, out + row * f->outputs);
    }
}

typedef void block_scorer(const form *, const double *, const int32_t *, int64_t, int8_t *,
                          uint8_t *, double *, double *);

static void score_blocks(const form *f, const double *numbers, const int32_t *codes, int64_t rows,
                         int8_t *bytes, uint8_t *slots, double *margin, double *out) {
    score_blocks_here(f, numbers, codes, rows, bytes, slots, margin, out);
}

#ifdef HAS_WIDE
/* The same for processors with vectors of 32 bytes; found out when it runs, so that a library may
 * be built on another machine. */
__attribute__((target("avx2"))) static void score_blocks_wide(
    const form *f, const double *numbers, const int32_t *codes, int64_t rows, int8_t *bytes,
    uint8_t *slots, double *margin, double *out) {
    score_blocks_here(f, numbers, codes, rows, bytes, slots, margin, out);
}
#endif

static block_scorer *block_scorer_of_this_machine(void) {
#ifdef HAS_WIDE
    if (__builtin_cpu_supports("avx2")) return score_blocks_wide;
#endif
    return score_blocks;
}

/* `rank_rows` for one row, without branches. */
static void rank_row(const form *f, const double *numbers, const int32_t *codes, int8_t *bytes) {
    for (int64_t j = 0; j < f->searches; j++) {
        const search *s = f->search + j;
        const double *thresholds = f->thresholds + s->start;
        double v = numbers[s->source];
        uint32_t at = f->buckets[s->bucket + bucket_of(s, v)];
        for (uint32_t half = ((uint32_t)s->most + 1) / 2; half; half /= 2)
            at += half & -(uint32_t)(v > thresholds[at + half - 1]);
        for (int32_t p = s->first_page; p < s->first_page + s->pages; p++)
            bytes[f->page[p].byte] = byte_of(f->page + p, (int32_t)at, v);
    }
    for (int64_t j = 0; j < f->lookups; j++) {
        const lookup *l = f->lookup + j;
        bytes[l->byte] = f->codes[l->start + codes[l->source]];
    }
    for (int64_t j = 0; j < f->flags; j++) {
        const flag *l = f->flag + j;
        bytes[l->byte] = (int8_t)(isnan(numbers[l->source]) ? l->missing : l->present);
    }
}

/* One row's walks through eight trees side by side, for as many steps as the deepest has. Their
 * leaves are kept: they are added in the trees' own order afterwards. */
INLINE void walk_row(const form *f, const int8_t *bytes, int32_t *reached, int has_sets) {
    for (const walk *w = f->walks, *end = w + (f->trees + ROWS - 1) / ROWS * ROWS; w < end;
         w += ROWS) {
        const step *at[ROWS];
        for (int b = 0; b < ROWS; b++) at[b] = f->steps + w[b].root;
        for (int32_t d = w[ROWS - 1].depth; d; d--)
            for (int b = 0; b < ROWS; b++) {
                int8_t asked = bytes[at[b]->column];
                if (has_sets) asked &= at[b]->mask;
                at[b] += at[b]->next[asked > at[b]->limit];
            }
        for (int b = 0; b < ROWS; b++) reached[w[b].tree] = LEAVES + (int32_t)(at[b] - f->steps);
    }
}

static void score_ranked_row(const form *f, const double *numbers, const int32_t *codes,
                             int8_t *bytes, int32_t *reached, double *margin, double *out) {
    rank_row(f, numbers, codes, bytes);
    if (f->has_sets) walk_row(f, bytes, reached, 1);
    else walk_row(f, bytes, reached, 0);
    for (int64_t k = 0; k < f->margins; k++) margin[k] = f->bias[k];
    if (f->margins == 1) {
        double sum = margin[0];
        if (f->single_sums)
            for (int64_t t = 0; t < f->trees; t++) sum = sum_of(f, sum, f->leaf_values[reached[t]]);
        else
            for (int64_t t = 0; t < f->trees; t++) sum += f->leaf_values[reached[t]];
        margin[0] = sum;
    } else if (f->width == 1) {
        for (int64_t t = 0; t < f->trees; t++)
            margin[f->targets[t]] =
                sum_of(f, margin[f->targets[t]], f->leaf_values[reached[t]]);
    } else {
        for (int64_t t = 0; t < f->trees; t++)
            for (int64_t k = 0; k < f->width; k++)
                margin[k] = sum_of(f, margin[k], f->leaf_values[reached[t] * f->width + k]);
    }
    finish(f, margin, out);
}

static size_t rounded(size_t size) { return (size + 63) & ~(size_t)63; }

static int score_ranked(const form *f, const double *numbers, const int32_t *codes, int64_t rows,
                        double *out) {
    int64_t blocks = rows < WALKED ? 0 : rows > LANES * (BLOCKS - 1) ? BLOCKS
                                                                     : (rows + LANES - 1) / LANES;
    int64_t lanes = blocks ? LANES * blocks : 1;
    size_t margins = rounded((size_t)(lanes * f->margins) * sizeof(double));
    size_t bytes = rounded((size_t)(lanes * f->bytes));
    size_t reached = rounded((size_t)(f->trees + 1) * sizeof(int32_t));
    size_t slots = blocks ? (size_t)((LEAVES + f->most_steps) * LANES) : 0;
    char *memory = malloc(margins + bytes + reached + slots + 64);
    if (!memory) return 1;
    char *at = (char *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    double *margin = (double *)at;
    int8_t *column = (int8_t *)(at += margins);
    int32_t *leaf = (int32_t *)(at += bytes);
    uint8_t *slot = (uint8_t *)(at += reached);
    int64_t row = 0;
    if (blocks) {
        block_scorer *scorer = block_scorer_of_this_machine();
        int64_t most = f->most_steps < LEAVES ? f->most_steps : LEAVES;
        for (int64_t n = LEAVES - most; n < LEAVES; n++) memset(slot + n * LANES, (int)n, LANES);
        memset(column, 0, bytes);
        while (rows - row >= WALKED) {
            int64_t count = rows - row < lanes ? rows - row : lanes;
            scorer(f, numbers + row * f->numbers, codes + row * f->categories, count, column, slot,
                   margin, out + row * f->outputs);
            row += count;
        }
    }
    for (; row < rows; row++)
        score_ranked_row(f, numbers + row * f->numbers, codes + row * f->categories, column, leaf,
                         margin, out + row * f->outputs);
    free(memory);
    return 0;
}

/* ---- Trees over numbers, and weights ---- */

INLINE int32_t next(const form *f, int32_t at, const double *z) {
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

static void add_leaf(const form *f, int64_t tree, int32_t at, double *margin) {
    if (f->width == 1) {
        margin[f->targets[tree]] = sum_of(f, margin[f->targets[tree]], f->leaves[at]);
    } else {
        for (int64_t k = 0; k < f->width; k++)
            margin[k] = sum_of(f, margin[k], f->leaves[at * f->width + k]);
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
    if (f->bytes) return score_ranked(f, numbers, codes, rows, out);
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
