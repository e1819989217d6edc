/* Products with weights of 8 or 4 bits in groups of 32, and activations of 8 bits in the same groups.
 *
 * Within a group the sum of products is exact in integers; groups are added in order in float. A row's result is
 * therefore the same to the bit whatever other rows are computed beside it. */
#pragma once

#include "simd.h"
#include "threads.h"

#define GROUP 32       /* columns that share a scale */
#define TILE 16        /* outputs in a vector */
#define MAX_ROWS 6     /* activation rows computed at once */
#define RUNS 6         /* runs of weights that each thread takes of a matrix */
#define UNPACK_FROM 12 /* rows from which 4-bit weights are widened once rather than for each few rows */

/* Weights, packed for the kernels. For each tile of 16 outputs and each group, `values` has 8 vectors: vector s holds
 * columns 4 s to 4 s + 3 of the 16 outputs. With 4 bits there are 4 vectors: columns of vector s in the low halves of
 * the bytes, those of vector s + 4 in the high halves. `scales` and `mins` have 16 float16 for each tile and group. */
typedef struct {
    int32_t num_outputs, num_columns, bits, two_digits;
    const uint8_t *values;
    const uint16_t *scales, *mins; /* mins: NULL where zero stands in the middle (128 or 8) */
    const float *bias;             /* or NULL */
} Linear;

/* Rows of activations in 8 bits: x = scale * (high + low / 254). */
typedef struct {
    int8_t *high, *low;          /* [rows][columns] */
    float *scale;                /* [rows][groups] */
    int32_t *sum_high, *sum_low; /* [rows][groups] */
} Quantized;

typedef enum { STORE, ADD, GATE } Epilogue;

INLINE int num_groups(const Linear *w) { return w->num_columns / GROUP; }
INLINE int num_tiles(const Linear *w) { return (w->num_outputs + TILE - 1) / TILE; }

/* Rounds one row, multiplied by `factor` and by `weight` where there is one (RMS norm), to two 8-bit digits. */
static void quantize_row(const float *x, const float *weight, float factor, int num_columns, int row, int two_digits,
                         Quantized *to) {
    int groups = num_columns / GROUP;
    int8_t *high = to->high + (size_t)row * num_columns, *low = to->low + (size_t)row * num_columns;
    __m512 by = _mm512_set1_ps(factor), sign = _mm512_set1_ps(-0.f);
    for (int g = 0; g < groups; g++) {
        __m512 v[2];
        for (int i = 0; i < 2; i++) {
            v[i] = _mm512_mul_ps(_mm512_loadu_ps(x + g * GROUP + i * 16), by);
            if (weight) v[i] = _mm512_mul_ps(v[i], _mm512_loadu_ps(weight + g * GROUP + i * 16));
        }
        float peak = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_andnot_ps(sign, v[0]), _mm512_andnot_ps(sign, v[1])));
        __m512 steps = _mm512_set1_ps(peak > 1e-30f ? 127.f / peak : 0.f);
        __m512i sum = _mm512_setzero_si512(), sum_low = _mm512_setzero_si512();
        for (int i = 0; i < 2; i++) {
            size_t at = (size_t)g * GROUP + i * 16;
            round_digits(_mm512_mul_ps(v[i], steps), two_digits, high + at, low + at, &sum, &sum_low);
        }
        to->scale[row * groups + g] = peak / 127.f;
        to->sum_high[row * groups + g] = _mm512_reduce_add_epi32(sum);
        if (two_digits) to->sum_low[row * groups + g] = _mm512_reduce_add_epi32(sum_low);
    }
}

/* 1 / sqrt(mean of squares + epsilon) of one row (RMS norm, Zhang and Sennrich 2019). */
static float rms_factor(const float *x, int size, float epsilon) {
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < size; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    return 1.f / __builtin_sqrtf(_mm512_reduce_add_ps(sum) / (float)size + epsilon);
}

INLINE void load_group(const uint8_t *values, int step, int bits, __m512i *first, __m512i *second) {
    if (bits == 8) {
        *first = _mm512_loadu_si512(values + step * 64);
        *second = _mm512_loadu_si512(values + (step + 4) * 64);
        return;
    }
    __m512i both = _mm512_loadu_si512(values + step * 64), mask = _mm512_set1_epi8(15);
    *first = _mm512_and_si512(both, mask);
    *second = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
}

/* `rows` rows by `tiles` tiles of outputs, over all groups. `values` may be a widened copy of the weights' own. */
INLINE void multiply(const Linear *w, const uint8_t *values, int bits, int zero, int tile, const Quantized *x,
                     int row, const int rows, const int tiles, const int has_mins, const int two_digits,
                     __m512 total[MAX_ROWS][2]) {
    const int groups = num_groups(w), columns = w->num_columns, bytes = bits * 64;
    const int8_t *high = x->high + (size_t)row * columns, *low = x->low + (size_t)row * columns;
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tiles; t++) total[r][t] = _mm512_setzero_ps();
    for (int g = 0; g < groups; g++) {
        __m512i sum[MAX_ROWS][2], sum_low[MAX_ROWS][2];
        for (int r = 0; r < rows; r++) {
            int at = (row + r) * groups + g;
            __m512i start = has_mins ? _mm512_setzero_si512() : _mm512_set1_epi32(-zero * x->sum_high[at]);
            for (int t = 0; t < tiles; t++) sum[r][t] = start;
            if (!two_digits) continue;
            start = has_mins ? _mm512_setzero_si512() : _mm512_set1_epi32(-zero * x->sum_low[at]);
            for (int t = 0; t < tiles; t++) sum_low[r][t] = start;
        }
#pragma GCC unroll 4
        for (int step = 0; step < 4; step++) {
            __m512i first[2], second[2];
            for (int t = 0; t < tiles; t++)
                load_group(values + ((size_t)t * groups + g) * bytes, step, bits, &first[t], &second[t]);
            for (int r = 0; r < rows; r++) {
                size_t at = (size_t)r * columns + g * GROUP + step * 4;
                __m512i a = _mm512_set1_epi32(load_i32(high + at)), b = _mm512_set1_epi32(load_i32(high + at + 16));
                for (int t = 0; t < tiles; t++) {
                    sum[r][t] = _mm512_dpbusd_epi32(sum[r][t], first[t], a);
                    sum[r][t] = _mm512_dpbusd_epi32(sum[r][t], second[t], b);
                }
                if (!two_digits) continue;
                a = _mm512_set1_epi32(load_i32(low + at)), b = _mm512_set1_epi32(load_i32(low + at + 16));
                for (int t = 0; t < tiles; t++) {
                    sum_low[r][t] = _mm512_dpbusd_epi32(sum_low[r][t], first[t], a);
                    sum_low[r][t] = _mm512_dpbusd_epi32(sum_low[r][t], second[t], b);
                }
            }
        }
        for (int t = 0; t < tiles; t++) {
            size_t at = ((size_t)(tile + t) * groups + g) * TILE;
            __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w->scales + at)));
            __m512 min = has_mins ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w->mins + at))) : scale;
            for (int r = 0; r < rows; r++) {
                int of = (row + r) * groups + g;
                __m512 product = _mm512_cvtepi32_ps(sum[r][t]), by = _mm512_set1_ps(x->scale[of]);
                if (two_digits)
                    product =
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum_low[r][t]), _mm512_set1_ps(1.f / LOW_DIGIT), product);
                total[r][t] = _mm512_fmadd_ps(product, _mm512_mul_ps(scale, by), total[r][t]);
                if (!has_mins) continue;
                float all = (float)x->sum_high[of] + (two_digits ? (float)x->sum_low[of] * (1.f / LOW_DIGIT) : 0.f);
                total[r][t] = _mm512_fmadd_ps(min, _mm512_set1_ps(all * x->scale[of]), total[r][t]);
            }
        }
    }
}

/* Brings the results of some rows to where they belong: y is [rows][stride]. */
INLINE void finish(const Linear *w, int tile, int row, const int rows, const int tiles, __m512 total[MAX_ROWS][2],
                   Epilogue epilogue, float *y, int stride) {
    for (int t = 0; t < tiles; t++) {
        if (!w->bias) break;
        __m512 bias = _mm512_loadu_ps(w->bias + (size_t)(tile + t) * TILE); /* padded to whole tiles */
        for (int r = 0; r < rows; r++) total[r][t] = _mm512_add_ps(total[r][t], bias);
    }
    if (tiles == 2 && epilogue == GATE) {
        for (int r = 0; r < rows; r++)
            _mm512_storeu_ps(y + (size_t)(row + r) * stride + tile / 2 * TILE, gated(total[r][0], total[r][1]));
        return;
    }
    for (int t = 0; t < tiles; t++) {
        int first = (tile + t) * TILE, left = w->num_outputs - first;
        __mmask16 mask = left >= TILE ? 0xffff : (__mmask16)((1 << left) - 1);
        for (int r = 0; r < rows; r++) {
            float *at = y + (size_t)(row + r) * stride + first;
            __m512 value = total[r][t];
            if (epilogue == ADD) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, at));
            _mm512_mask_storeu_ps(at, mask, value);
        }
    }
}

typedef struct {
    const Linear *w;
    const uint8_t *values;
    int bits, zero, tile;
    const Quantized *x;
    Epilogue epilogue;
    float *y;
    int stride;
} Product;

INLINE void few_rows(const Product *p, int row, const int rows, const int tiles, const int bits, const int has_mins,
                     const int two_digits) {
    __m512 total[MAX_ROWS][2];
    multiply(p->w, p->values, bits, p->zero, p->tile, p->x, row, rows, tiles, has_mins, two_digits, total);
    finish(p->w, p->tile, row, rows, tiles, total, p->epilogue, p->y, p->stride);
}

/* All rows, in passes over the weights of as nearly as many rows each as can be. */
INLINE void all_rows(const Product *p, int num_rows, const int tiles, const int bits, const int has_mins,
                     const int two_digits) {
    const int most = two_digits ? MAX_ROWS / 2 : MAX_ROWS; /* as many sums as there are registers for */
    int passes = (num_rows + most - 1) / most;
    for (int row = 0, rows; row < num_rows; row += rows, passes--) {
        rows = (num_rows - row + passes - 1) / passes;
        switch (rows) {
            case 1: few_rows(p, row, 1, tiles, bits, has_mins, two_digits); break;
            case 2: few_rows(p, row, 2, tiles, bits, has_mins, two_digits); break;
            case 3: few_rows(p, row, 3, tiles, bits, has_mins, two_digits); break;
            case 4: few_rows(p, row, 4, tiles, bits, has_mins, two_digits); break;
            case 5: few_rows(p, row, 5, tiles, bits, has_mins, two_digits); break;
            case 6: few_rows(p, row, 6, tiles, bits, has_mins, two_digits); break;
            default: break;
        }
    }
}

#define VARIANT(name, tiles, bits, has_mins, two_digits)                         \
    static __attribute__((noinline)) void name(const Product *p, int num_rows) { \
        all_rows(p, num_rows, tiles, bits, has_mins, two_digits);                \
    }
#define VARIANTS(name, tiles, bits)      \
    VARIANT(name##_0, tiles, bits, 0, 0) \
    VARIANT(name##_1, tiles, bits, 0, 1) \
    VARIANT(name##_2, tiles, bits, 1, 0) \
    VARIANT(name##_3, tiles, bits, 1, 1)
VARIANTS(one_8, 1, 8)
VARIANTS(two_8, 2, 8)
VARIANTS(one_4, 1, 4)
VARIANTS(two_4, 2, 4)

static void (*const variants[2][2][4])(const Product *, int) = {
    {{one_4_0, one_4_1, one_4_2, one_4_3}, {two_4_0, two_4_1, two_4_2, two_4_3}},
    {{one_8_0, one_8_1, one_8_2, one_8_3}, {two_8_0, two_8_1, two_8_2, two_8_3}},
};

static void widen(const uint8_t *from, size_t num_vectors, uint8_t *to) {
    __m512i mask = _mm512_set1_epi8(15);
    for (size_t i = 0; i < num_vectors; i++) {
        __m512i both = _mm512_loadu_si512(from + i * 64);
        uint8_t *at = to + (i / 4 * 8 + i % 4) * 64;
        _mm512_storeu_si512(at, _mm512_and_si512(both, mask));
        _mm512_storeu_si512(at + 256, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
    }
}

/* One thread's share of y = x W^T + bias for all rows; the threads divide the outputs among them.
 * `scratch`: this thread's, for 2 tiles of widened weights. */
static void linear(const Linear *w, const Quantized *x, int num_rows, Epilogue epilogue, float *y, int stride,
                   uint8_t *scratch, int num_threads) {
    const int tiles = num_tiles(w), groups = num_groups(w), pairs = (tiles + 1) / 2, bytes = w->bits * 64;
    const int kind = (w->mins ? 2 : 0) + (w->two_digits ? 1 : 0);
    const int run = num_rows > 16 ? 1 : 1 + pairs / (num_threads * RUNS); /* memory is read best in long runs */
    for (int first; (first = take_units(run)) < pairs;)
        for (int pair = first; pair < first + run && pair < pairs; pair++) {
            int tile = pair * 2, two = tile + 1 < tiles, bits = w->bits;
            const uint8_t *values = w->values + (size_t)tile * groups * bytes;
            if (bits == 4 && num_rows >= UNPACK_FROM) {
                widen(values, (size_t)(1 + two) * groups * 4, scratch);
                values = scratch;
                bits = 8;
            }
            Product p = {w, values, bits, w->bits == 8 ? 128 : 8, tile, x, epilogue, y, stride};
            variants[bits == 8][two][kind](&p, num_rows);
        }
}

/* Packs rows of plain weights (see `Linear`); tile i of the result has rows 16 order[i] to 16 order[i] + 15, zero where
 * there are none. Plain: values [rows][columns], with 4 bits two columns in a byte, the even one in the low half;
 * scales and mins [rows][groups]. */
void pack(const uint8_t *values, const uint16_t *scales, const uint16_t *mins, int num_rows, int num_columns, int bits,
          const int32_t *order, int tiles, uint8_t *to_values, uint16_t *to_scales, uint16_t *to_mins) {
    int groups = num_columns / GROUP;
    for (int tile = 0; tile < tiles; tile++)
        for (int lane = 0; lane < TILE; lane++) {
            int row = order[tile] * TILE + lane;
            if (row >= num_rows) continue; /* the buffers come zeroed */
            for (int g = 0; g < groups; g++) {
                size_t to = ((size_t)tile * groups + g), from = (size_t)row * groups + g;
                to_scales[to * TILE + lane] = scales[from];
                if (mins) to_mins[to * TILE + lane] = mins[from];
                if (bits == 8) {
                    for (int s = 0; s < 8; s++)
                        memcpy(to_values + to * 512 + s * 64 + lane * 4, values + from * GROUP + s * 4, 4);
                    continue;
                }
                const uint8_t *bytes = values + from * (GROUP / 2);
                uint8_t *at = to_values + to * 256 + lane * 4;
                for (int i = 0; i < 16; i++) {
                    uint8_t low = bytes[i / 2] >> (i % 2 * 4) & 15, high = bytes[8 + i / 2] >> (i % 2 * 4) & 15;
                    at[i / 4 * 64 + i % 4] = (uint8_t)(low | high << 4);
                }
            }
        }
}

/* One row of the weights as floats: what an embedding looks up. */
static void unpack_row(const Linear *w, int row, float *to) {
    int groups = num_groups(w), tile = row / TILE, lane = row % TILE;
    for (int g = 0; g < groups; g++) {
        size_t at = (size_t)tile * groups + g;
        float scale = _cvtsh_ss(w->scales[at * TILE + lane]),
              min = w->mins ? _cvtsh_ss(w->mins[at * TILE + lane]) : 0.f;
        int zero = w->mins ? 0 : w->bits == 8 ? 128 : 8;
        for (int c = 0; c < GROUP; c++) {
            int value;
            if (w->bits == 8)
                value = w->values[at * 512 + c / 4 * 64 + lane * 4 + c % 4];
            else
                value = w->values[at * 256 + c / 4 % 4 * 64 + lane * 4 + c % 4] >> (c / 16 * 4) & 15;
            to[g * GROUP + c] = scale * (float)(value - zero) + min;
        }
    }
}
