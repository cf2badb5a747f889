/* Reads the rows of a request straight into numbers and codes, and writes lines and answers.
 *
 * Strangers send the bytes. So this reads only what is surely right, and gives up (-1) on everything
 * else: a key or a text that it does not know, a key twice, a wrong type, a number out of range. Then
 * the general decoder looks at the same bytes, and it alone says what is wrong. `text` ends with a
 * zero that is not counted, as Python's bytes do: no token of JSON holds one, so it stops every scan.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 0, INTEGER = 1, BOOLEAN = 2, CATEGORY = 3 };
enum { LONGEST_NUMBER = 64, ID = 36, COUNTED = 12 }; /* an id's last digits are counted on */
enum { NONE = -1 };

/* An entry of a table with open addressing: which bytes mean which value. */
typedef struct {
    int64_t start;
    int32_t length, value; /* length is NONE where the entry is free */
} entry;

typedef struct {
    double lowest, highest;
    int64_t first, mask;       /* a category's table: its values are codes */
    int64_t name, name_length; /* `"name":`, as it is logged */
    int32_t kind, place;       /* place: among the numbers or the categories */
    int32_t nullable, missing; /* missing: a category's code */
    int32_t hidden;            /* not logged */
} feature;

typedef struct {
    int64_t features, numbers, categories;
    int64_t first, mask; /* the table of names: its values are features */
    const feature *feature;
    const entry *entries;
    const char *texts; /* everything that the tables and the features point to */
} plan;

/* The constant parts of a line and of an answer's item: part i is texts[ends[i - 1]:ends[i]]. */
typedef struct {
    int64_t outputs, labels; /* labels: 0 where the first output is the prediction */
    int64_t shown;           /* outputs in an item */
    int64_t score;           /* the output that is logged; NONE: the label's */
    const char *texts;
    const int64_t *ends;
} shape;

enum { LINE_ID, LINE_PREDICTION, LINE_SCORE, LINE_END, ITEM, ITEM_ID, ITEM_END, PARTS };
/* Behind these: what stands before each shown output, the labels, and other texts of the labels. */

/* A row as it is logged. */
typedef struct {
    const char *text;
    int64_t length;
} logged;

/* A value of the row that is being read. */
typedef struct {
    int64_t row; /* the row that had it last, counted from 1 */
    const char *start, *end;
    int32_t next; /* which feature was at this place in the former row */
} value;

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static char *put(char *out, const char *text, int64_t length) {
    memcpy(out, text, (size_t)length);
    return out + length;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *skip(const char *p, int *has_lines) {
    for (;; p++) {
        if (*p == '\n' || *p == '\r') {
            *has_lines = 1;
        } else if (*p != ' ' && *p != '\t') {
            return p;
        }
    }
}

static int32_t find(const plan *f, int64_t first, int64_t mask, const char *text, int64_t length) {
    uint64_t at = 14695981039346656037u; /* FNV-1a */
    for (int64_t i = 0; i < length; i++) {
        at = (at ^ (uint8_t)text[i]) * 1099511628211u;
    }
    for (;; at++) {
        const entry *e = f->entries + first + (int64_t)(at & (uint64_t)mask);
        if (e->length == NONE) {
            return NONE;
        }
        if (e->length == length && memcmp(f->texts + e->start, text, (size_t)length) == 0) {
            return e->value;
        }
    }
}

/* Behind the opening quote: where the closing one is; NULL where there is none. */
static const char *text_end(const char *p) {
    for (; *p != '"'; p++) {
        if (*p == '\\') {
            p++;
        }
        if ((uint8_t)*p < 0x20) {
            return NULL;
        }
    }
    return p;
}

/* A number of RFC 8259, rounded as IEEE 754 says; NULL where that is not certain. */
static const char *read_number(const char *p, double *found, int *is_whole) {
    const char *start = p;
    uint64_t digits = 0;
    int64_t exponent = 0, written = 0;
    int significant = 0;
    p += *p == '-';
    if (*p == '0') {
        p++;
    } else if (is_digit(*p)) {
        for (; is_digit(*p); p++, significant++) {
            digits = digits * 10 + (uint64_t)(*p - '0');
        }
    } else {
        return NULL;
    }
    *is_whole = *p != '.' && *p != 'e' && *p != 'E';
    if (*p == '.') {
        const char *point = p++;
        for (; is_digit(*p); p++) {
            digits = digits * 10 + (uint64_t)(*p - '0');
            significant += digits != 0;
        }
        exponent = point + 1 - p;
        if (exponent == 0) {
            return NULL;
        }
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        int is_negative = *p == '-';
        p += *p == '-' || *p == '+';
        if (!is_digit(*p)) {
            return NULL;
        }
        for (; is_digit(*p); p++) {
            written = written < 10000 ? written * 10 + (*p - '0') : written;
        }
        exponent += is_negative ? -written : written;
    }
    if (p - start >= LONGEST_NUMBER || (digits == 0 && *start == '-')) {
        return NULL;
    }
    /* Both operands are exact, so one operation rounds once: W. D. Clinger, How to Read Floating
     * Point Numbers Accurately, PLDI 1990. */
    if (significant <= 19 && digits <= (1ULL << 53) && exponent >= -22 && exponent <= 22 &&
        FLT_EVAL_METHOD == 0) {
        double exact = (double)digits;
        exact = exponent < 0 ? exact / POWERS[-exponent] : exact * POWERS[exponent];
        *found = *start == '-' ? -exact : exact;
        return p;
    }
    char copy[LONGEST_NUMBER];
    char *end;
    memcpy(copy, start, (size_t)(p - start));
    copy[p - start] = 0;
    *found = strtod(copy, &end);
    /* Another locale's decimal point would end it early. */
    if (end != copy + (p - start) || !isfinite(*found) || *found == 0.0 || *is_whole) {
        return NULL;
    }
    return p;
}

/* A feature's value into the row's arrays; NULL where it is not surely allowed. */
static const char *read_value(
    const plan *f, const feature *one, const char *p, double *numbers, int32_t *codes
) {
    if (*p == 'n') {
        if (strncmp(p, "null", 4) != 0 || !one->nullable) {
            return NULL;
        }
        if (one->kind == CATEGORY) {
            codes[one->place] = one->missing;
        } else {
            numbers[one->place] = NAN;
        }
        return p + 4;
    }
    if (one->kind == CATEGORY) {
        if (*p != '"') {
            return NULL;
        }
        const char *end = text_end(++p);
        int32_t code = end ? find(f, one->first, one->mask, p, end - p) : NONE;
        codes[one->place] = code;
        return code == NONE ? NULL : end + 1;
    }
    if (one->kind == BOOLEAN) {
        int is_true = strncmp(p, "true", 4) == 0;
        if (!is_true && strncmp(p, "false", 5) != 0) {
            return NULL;
        }
        numbers[one->place] = is_true;
        return p + (is_true ? 4 : 5);
    }
    double number;
    int is_whole;
    p = read_number(p, &number, &is_whole);
    if (!p || (one->kind == INTEGER && !is_whole) || number < one->lowest ||
        number > one->highest) {
        return NULL;
    }
    numbers[one->place] = number;
    return p;
}

/* Behind a key and its colon, and which feature it names; NULL where it names none. Most often it is
 * the one that was at this place in the former row. */
static const char *read_name(
    const plan *f, const char *p, const char *limit, int32_t *i, int *has_lines
) {
    const feature *guess = f->feature + *i;
    if (limit - p >= guess->name_length &&
        memcmp(p, f->texts + guess->name, (size_t)guess->name_length) == 0) {
        return p + guess->name_length;
    }
    if (*p != '"') {
        return NULL;
    }
    const char *end = text_end(++p);
    *i = end ? find(f, f->first, f->mask, p, end - p) : NONE;
    if (*i == NONE) {
        return NULL;
    }
    p = skip(end + 1, has_lines);
    return *p == ':' ? p + 1 : NULL;
}

/* The row written anew, in one line, without what is hidden; gives where it ends. */
static char *write_row(
    const plan *f, const value *values, int64_t row, char *out, const char *limit
) {
    char *first = out;
    for (int64_t i = 0; i < f->features; i++) {
        const feature *one = f->feature + i;
        int is_there = values[i].row == row;
        int64_t length = is_there ? values[i].end - values[i].start : 4;
        if (one->hidden) {
            continue;
        }
        if (limit - out < one->name_length + length + 2) {
            return NULL;
        }
        *out = out == first ? '{' : ',';
        out = put(out + 1, f->texts + one->name, one->name_length);
        out = put(out, is_there ? values[i].start : "null", length);
    }
    if (limit - out < 2) {
        return NULL;
    }
    return out == first ? put(out, "{}", 2) : put(out, "}", 1);
}

static const char *read_row(
    const plan *f, value *values, int64_t row, const char *p, const char *limit, double *numbers,
    int32_t *codes, int *is_as_it_came
) {
    int has_lines = 0;
    int64_t count = 0;
    *is_as_it_came = 1;
    if (*p != '{') {
        return NULL;
    }
    p = skip(p + 1, &has_lines);
    for (;; count++) {
        if (count >= f->features) {
            return NULL;
        }
        int32_t i = values[count].next;
        p = read_name(f, p, limit, &i, &has_lines);
        if (!p || values[i].row == row) {
            return NULL;
        }
        values[count].next = i;
        p = skip(p, &has_lines);
        values[i].row = row;
        values[i].start = p;
        p = read_value(f, f->feature + i, p, numbers, codes);
        if (!p) {
            return NULL;
        }
        values[i].end = p;
        *is_as_it_came &= !f->feature[i].hidden;
        p = skip(p, &has_lines);
        if (*p != ',') {
            break;
        }
        p = skip(p + 1, &has_lines);
    }
    if (*p != '}') {
        return NULL;
    }
    *is_as_it_came &= !has_lines && count + 1 == f->features;
    for (int64_t i = 0; i < f->features && count + 1 < f->features; i++) {
        const feature *one = f->feature + i;
        if (values[i].row == row) {
            continue;
        }
        if (!one->nullable) {
            return NULL;
        }
        if (one->kind == CATEGORY) {
            codes[one->place] = one->missing;
        } else {
            numbers[one->place] = NAN;
        }
    }
    return p + 1;
}

/* Behind a key that must come next, and its colon. */
static const char *read_key(const char *p, const char *key) {
    int ignored;
    size_t length = strlen(key);
    p = skip(p, &ignored);
    if (strncmp(p, key, length) != 0) {
        return NULL;
    }
    p = skip(p + length, &ignored);
    return *p == ':' ? skip(p + 1, &ignored) : NULL;
}

/* The rows of {"instances": [{...}, ...]}: how many, or -1.
 *
 * numbers: most x numbers; codes: most x categories. `rows` gets each row as it is logged: as it
 * came, in `text`, or where that would tell or break something, anew in `out`, which holds
 * `capacity` bytes.
 */
int64_t read_rows(
    const plan *f, const char *text, int64_t length, int64_t most, double *numbers, int32_t *codes,
    char *out, int64_t capacity, logged *rows
) {
    int ignored = 0, is_as_it_came;
    int64_t row = 0;
    const char *start, *limit = out + capacity, *p = skip(text, &ignored);
    p = *p == '{' ? read_key(p + 1, "\"instances\"") : NULL;
    if (!p || *p != '[') {
        return -1;
    }
    value *values = calloc((size_t)f->features, sizeof *values);
    if (!values) {
        return -1;
    }
    for (int64_t i = 0; i < f->features; i++) {
        values[i].next = (int32_t)i;
    }
    p = skip(p + 1, &ignored);
    for (;;) {
        if (row >= most) {
            p = NULL;
            break;
        }
        start = p;
        p = read_row(
            f, values, row + 1, p, text + length, numbers + row * f->numbers,
            codes + row * f->categories, &is_as_it_came
        );
        if (p && !is_as_it_came) {
            start = out;
            out = write_row(f, values, row + 1, out, limit);
        }
        if (!p || !out) {
            p = NULL;
            break;
        }
        rows[row].text = start;
        rows[row++].length = (is_as_it_came ? p : out) - start;
        p = skip(p, &ignored);
        if (*p != ',') {
            break;
        }
        p = skip(p + 1, &ignored);
    }
    free(values);
    if (!p || *p != ']') {
        return -1;
    }
    p = skip(p + 1, &ignored);
    if (*p != '}') {
        return -1;
    }
    p = skip(p + 1, &ignored);
    return p == text + length ? row : -1;
}

static char *put_part(char *out, const shape *f, int64_t part) {
    int64_t start = part ? f->ends[part - 1] : 0;
    return put(out, f->texts + start, f->ends[part] - start);
}

/* An id of the request: the first one, with its last digits counted on. */
static char *put_id(char *out, const char *first, uint64_t last) {
    memcpy(out, first, ID - COUNTED);
    for (int i = ID - 1; i >= ID - COUNTED; i--, last >>= 4) {
        out[i] = "0123456789abcdef"[last & 15];
    }
    return out + ID;
}

/* The log's lines and the answer's items, with a comma between them; gives the bytes of each.
 *
 * floats: rows x outputs as JSON writes them, with a comma behind each. best: each row's label; one
 * that is larger by n times the labels is shown as the label's n-th other text. The buffers must
 * hold what comes: the caller knows how long everything is.
 */
void write_rows(
    const shape *f, int64_t rows, const char *first_id, const char *stamp, int64_t stamp_length,
    const char *floats, const int64_t *best, const logged *logged_rows, char *lines, char *items,
    int64_t *written
) {
    char *line = lines, *item = items;
    uint64_t last = strtoull(first_id + ID - COUNTED, NULL, 16);
    for (int64_t row = 0; row < rows; row++) {
        const char *score = floats, *prediction = floats;
        int64_t score_length = 0, prediction_length = 0;
        int64_t place = f->labels ? best[row] % f->labels : 0;
        int64_t logged_output = f->score == NONE ? place : f->score;
        item = row ? put(item, ",", 1) : item;
        item = put_part(item, f, ITEM);
        if (f->labels) {
            int64_t label = PARTS + f->shown + place;
            prediction = f->texts + f->ends[label - 1];
            prediction_length = f->ends[label] - f->ends[label - 1];
            item = put_part(item, f, PARTS + f->shown + best[row]);
        }
        for (int64_t i = 0; i < f->outputs; i++) {
            const char *end = strchr(floats, ',');
            if (i == logged_output) {
                score = floats;
                score_length = end - floats;
            }
            if (f->shown) {
                item = put_part(item, f, PARTS + i);
            }
            item = put(item, floats, end - floats);
            floats = end + 1;
        }
        if (!f->labels) {
            prediction = score;
            prediction_length = score_length;
        }
        item = put_part(item, f, ITEM_ID);
        item = put_id(item, first_id, last);
        item = put_part(item, f, ITEM_END);
        line = put_part(line, f, LINE_ID);
        line = put_id(line, first_id, last++);
        line = put(line, stamp, stamp_length);
        line = put(line, logged_rows[row].text, logged_rows[row].length);
        line = put_part(line, f, LINE_PREDICTION);
        line = put(line, prediction, prediction_length);
        line = put_part(line, f, LINE_SCORE);
        line = put(line, score, score_length);
        line = put_part(line, f, LINE_END);
    }
    written[0] = line - lines;
    written[1] = item - items;
}
