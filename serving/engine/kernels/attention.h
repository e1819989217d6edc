/* Attention over key/value states kept in blocks of 16 tokens (FlashAttention, Dao et al. 2022).
 *
 * Keys are seen in spans of 256, each with its own maximum; the results of spans are joined in order. A query's result
 * is therefore the same to the bit whether it is computed alone, beside others, or by several threads. */
#pragma once

#include "simd.h"
#include "states.h"

#define SPAN_BLOCKS 16
#define SPAN (BLOCK * SPAN_BLOCKS)
#define QUERIES 8      /* query rows computed at once */
#define TILE_TOKENS 16 /* tokens of a prompt whose queries one thread takes together */
#define WEIGHT_STEPS 65535.f

/* One query, scaled: bfloat16 [head_dim]; or in 8 bits two digits, [head_dim] each, one behind the other. */
typedef struct {
    const uint8_t *digits;
    float scale; /* of the digits: x = scale * (high + low / 254) */
    int32_t sum_high, sum_low, position;
} Query;

typedef struct {
    float max, sum;
    float values[MAX_HEAD];
} Partial;

INLINE __m512i four_bytes(const void *address) { return _mm512_set1_epi32(load_i32(address)); }

/* Products of `rows` queries with the keys of `count` blocks. */
INLINE void multiply_keys(const States *s, const Query *q, const int rows, const int32_t *blocks, const int count,
                          int kv_head, const int int8, __m512 product[QUERIES][4]) {
    const uint8_t *keys[4];
    for (int b = 0; b < count; b++) {
        size_t at = index_of(s, blocks[b], kv_head) * block_bytes(s, int8);
        keys[b] = s->keys + at;
        for (size_t line = 0; rows <= 4 && line < block_bytes(s, int8); line += 64)
            _mm_prefetch((const char *)s->values + at + line, _MM_HINT_T1);
    }
    if (!int8) {
        for (int r = 0; r < rows; r++)
            for (int b = 0; b < count; b++) product[r][b] = _mm512_setzero_ps();
        for (int d = 0; d < s->head_dim / 2; d++) {
            __m512i key[4];
            for (int b = 0; b < count; b++) key[b] = _mm512_loadu_si512(keys[b] + d * 64);
            for (int r = 0; r < rows; r++) {
                __m512i query = four_bytes(q[r].digits + d * 4);
                for (int b = 0; b < count; b++) product[r][b] = dot_bf16(product[r][b], key[b], query);
            }
        }
        return;
    }
    __m512i high[QUERIES][4], low[QUERIES][4];
    for (int r = 0; r < rows; r++)
        for (int b = 0; b < count; b++) {
            high[r][b] = _mm512_set1_epi32(-128 * q[r].sum_high); /* keys have 128 added */
            low[r][b] = _mm512_set1_epi32(-128 * q[r].sum_low);
        }
    for (int d = 0; d < s->head_dim / 4; d++) {
        __m512i key[4];
        for (int b = 0; b < count; b++) key[b] = _mm512_loadu_si512(keys[b] + d * 64);
        for (int r = 0; r < rows; r++) {
            __m512i query = four_bytes(q[r].digits + d * 4), rest = four_bytes(q[r].digits + s->head_dim + d * 4);
            for (int b = 0; b < count; b++) {
                high[r][b] = _mm512_dpbusd_epi32(high[r][b], key[b], query);
                low[r][b] = _mm512_dpbusd_epi32(low[r][b], key[b], rest);
            }
        }
    }
    for (int b = 0; b < count; b++) {
        __m512 scales = _mm512_loadu_ps(s->key_scales + index_of(s, blocks[b], kv_head) * BLOCK);
        for (int r = 0; r < rows; r++) {
            __m512 both = _mm512_fmadd_ps(_mm512_cvtepi32_ps(low[r][b]), _mm512_set1_ps(1.f / LOW_DIGIT),
                                          _mm512_cvtepi32_ps(high[r][b]));
            product[r][b] = _mm512_mul_ps(both, _mm512_mul_ps(scales, _mm512_set1_ps(q[r].scale)));
        }
    }
}

/* Scores with the keys of `count` blocks, those that a query may not see at minus infinity. */
INLINE void score_blocks(const States *s, const Query *q, const int rows, const int32_t *blocks, const int count,
                         int kv_head, int first_key, int window, const int int8, float (*scores)[SPAN], int at) {
    __m512 product[QUERIES][4];
    multiply_keys(s, q, rows, blocks, count, kv_head, int8, product);
    for (int b = 0; b < count; b++) {
        __m512i key = _mm512_add_epi32(_mm512_set1_epi32(first_key + b * BLOCK),
                                       _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
        for (int r = 0; r < rows; r++) {
            __mmask16 seen = _mm512_cmple_epi32_mask(key, _mm512_set1_epi32(q[r].position));
            if (window > 0) seen &= _mm512_cmpgt_epi32_mask(key, _mm512_set1_epi32(q[r].position - window));
            _mm512_storeu_ps(&scores[r][at + b * BLOCK],
                             _mm512_mask_blend_ps(seen, _mm512_set1_ps(-__builtin_inff()), product[r][b]));
        }
    }
}

/* Turns scores into weights (e to the score less the largest one); their sum and the largest score go to `to`. */
INLINE void soften(float *scores, int num_blocks, Partial *to) {
    __m512 max = _mm512_set1_ps(-__builtin_inff()), sum = _mm512_setzero_ps();
    for (int b = 0; b < num_blocks; b++) max = _mm512_max_ps(max, _mm512_loadu_ps(scores + b * BLOCK));
    to->max = _mm512_reduce_max_ps(max);
    __m512 base = _mm512_set1_ps(to->max > -__builtin_inff() ? to->max : 0.f);
    for (int b = 0; b < num_blocks; b++) {
        __m512 weight = exp16(_mm512_sub_ps(_mm512_loadu_ps(scores + b * BLOCK), base));
        sum = _mm512_add_ps(sum, weight);
        _mm512_storeu_ps(scores + b * BLOCK, weight);
    }
    to->sum = _mm512_reduce_add_ps(sum);
}

/* Weights as the values' dot products take them: bfloat16 [256]; or, with the values' scales multiplied in, 16 bits as
 * high bytes [256] and low bytes [256] behind them. Returns what a step of them is worth. */
INLINE float round_weights(const States *s, const int32_t *blocks, int kv_head, float *weights, int num_blocks,
                           const int int8, uint8_t *rounded) {
    if (!int8) {
        for (int b = 0; b < num_blocks; b++)
            _mm256_storeu_si256((__m256i *)(rounded + b * 32), to_bf16(_mm512_loadu_ps(weights + b * BLOCK)));
        return 1.f;
    }
    __m512 peak = _mm512_setzero_ps();
    for (int b = 0; b < num_blocks; b++) {
        __m512 weight = _mm512_loadu_ps(weights + b * BLOCK),
               scales = _mm512_loadu_ps(s->value_scales + index_of(s, blocks[b], kv_head) * BLOCK);
        __mmask16 seen =
            _mm512_cmp_ps_mask(weight, _mm512_setzero_ps(), _CMP_GT_OQ); /* scales of others may be anything */
        weight = _mm512_maskz_mul_ps(seen, weight, scales);
        peak = _mm512_max_ps(peak, weight);
        _mm512_storeu_ps(weights + b * BLOCK, weight);
    }
    float largest = _mm512_reduce_max_ps(peak);
    __m512 steps = _mm512_set1_ps(largest > 1e-30f ? WEIGHT_STEPS / largest : 0.f);
    for (int b = 0; b < num_blocks; b++) {
        __m512i step = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(weights + b * BLOCK), steps));
        _mm_storeu_si128((__m128i *)(rounded + b * BLOCK), _mm512_cvtepi32_epi8(_mm512_srli_epi32(step, 8)));
        _mm_storeu_si128((__m128i *)(rounded + SPAN + b * BLOCK), _mm512_cvtepi32_epi8(step));
    }
    return largest / WEIGHT_STEPS;
}

/* The values of a span, weighed: `tiles` times 16 dimensions from `dim` on. */
INLINE void weigh_values(const States *s, const int32_t *blocks, int kv_head, int num_blocks,
                         const uint8_t (*weights)[2 * SPAN], const float *steps, const int rows, const int tiles,
                         int dim, const int int8, Partial *to) {
    __m512 sum[QUERIES][4];
    __m512i high[QUERIES][4], low[QUERIES][4];
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tiles; t++) {
            sum[r][t] = _mm512_setzero_ps();
            high[r][t] = low[r][t] = _mm512_setzero_si512();
        }
    const int tokens = int8 ? 4 : 2; /* in one dot product */
    for (int b = 0; b < num_blocks; b++) {
        const uint8_t *values = s->values + index_of(s, blocks[b], kv_head) * block_bytes(s, int8) + dim * 4;
        for (int part = 0; part < BLOCK / tokens; part++) {
            __m512i value[4];
            for (int t = 0; t < tiles; t++) value[t] = _mm512_loadu_si512(values + part * s->head_dim * 4 + t * 64);
            for (int r = 0; r < rows; r++) {
                const uint8_t *at = weights[r] + (int8 ? b * BLOCK : b * 2 * BLOCK) + part * 4;
                __m512i weight = four_bytes(at), rest = int8 ? four_bytes(at + SPAN) : weight;
                for (int t = 0; t < tiles; t++) {
                    if (!int8) {
                        sum[r][t] = dot_bf16(sum[r][t], value[t], weight);
                        continue;
                    }
                    high[r][t] = _mm512_dpbusd_epi32(high[r][t], weight, value[t]);
                    low[r][t] = _mm512_dpbusd_epi32(low[r][t], rest, value[t]);
                }
            }
        }
    }
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tiles; t++) {
            if (int8) {
                sum[r][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high[r][t]), _mm512_set1_ps(256.f),
                                            _mm512_cvtepi32_ps(low[r][t]));
                sum[r][t] = _mm512_mul_ps(sum[r][t], _mm512_set1_ps(steps[r]));
            }
            _mm512_storeu_ps(to[r].values + dim + t * 16, sum[r][t]);
        }
}

INLINE void attend_rows(const States *s, const Chunk *c, int kv_head, int span, int window, const Query *q,
                        const int rows, const int int8, Partial *to) {
    float scores[QUERIES][SPAN], steps[QUERIES];
    uint8_t weights[QUERIES][2 * SPAN];
    int last = 0;
    for (int r = 0; r < rows; r++) last = q[r].position > last ? q[r].position : last;
    int num_blocks = last / BLOCK + 1 - span * SPAN_BLOCKS;
    if (num_blocks > SPAN_BLOCKS) num_blocks = SPAN_BLOCKS;
    const int32_t *blocks = c->blocks + span * SPAN_BLOCKS;
    const int sums = int8 ? 8 : 16, together = rows * 4 <= sums   ? 4
                                               : rows * 2 <= sums ? 2
                                                                  : 1; /* as many as registers hold */
    int b = 0;
    for (; b + together <= num_blocks; b += together)
        score_blocks(s, q, rows, blocks + b, together, kv_head, span * SPAN + b * BLOCK, window, int8, scores,
                     b * BLOCK);
    for (; b < num_blocks; b++)
        score_blocks(s, q, rows, blocks + b, 1, kv_head, span * SPAN + b * BLOCK, window, int8, scores, b * BLOCK);
    for (int r = 0; r < rows; r++) {
        soften(scores[r], num_blocks, &to[r]);
        steps[r] = round_weights(s, blocks, kv_head, scores[r], num_blocks, int8, weights[r]);
    }
    int dim = 0;
    for (; dim + together * 16 <= s->head_dim; dim += together * 16)
        weigh_values(s, blocks, kv_head, num_blocks, weights, steps, rows, together, dim, int8, to);
    for (; dim < s->head_dim; dim += 16)
        weigh_values(s, blocks, kv_head, num_blocks, weights, steps, rows, 1, dim, int8, to);
}

/* Up to 8 queries over one span of keys. */
static void attend_span(const States *s, const Chunk *c, int kv_head, int span, int window, const Query *q, int rows,
                        Partial *to) {
    switch (rows + (is_int8(s) ? QUERIES : 0)) {
#define CASE(n)                                                           \
    case n: attend_rows(s, c, kv_head, span, window, q, n, 0, to); break; \
    case n + QUERIES: attend_rows(s, c, kv_head, span, window, q, n, 1, to); break;
        CASE(1)
        CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
            default : break;
    }
}

/* Joins the result of a later span to that of the earlier ones. */
static void join(Partial *to, const Partial *from, int head_dim) {
    if (from->sum == 0.f) return;
    float max = to->max > from->max ? to->max : from->max;
    __m512 pair = _mm512_setr_ps(to->max - max, from->max - max, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
           factor = exp16(pair);
    float factors[16];
    _mm512_storeu_ps(factors, factor);
    float old = to->sum == 0.f ? 0.f : factors[0], new = factors[1];
    to->max = max;
    to->sum = to->sum * old + from->sum * new;
    for (int d = 0; d < head_dim; d += 16) {
        __m512 kept = _mm512_mul_ps(_mm512_loadu_ps(to->values + d), _mm512_set1_ps(old));
        _mm512_storeu_ps(to->values + d, _mm512_fmadd_ps(_mm512_loadu_ps(from->values + d), _mm512_set1_ps(new), kept));
    }
}

static void clear(Partial *p, int head_dim) {
    p->max = -__builtin_inff();
    p->sum = 0.f;
    memset(p->values, 0, sizeof(float) * (size_t)head_dim);
}

static void write_attended(const Partial *p, int head_dim, float *to) {
    __m512 by = _mm512_set1_ps(p->sum > 0.f ? 1.f / p->sum : 0.f);
    for (int d = 0; d < head_dim; d += 16) _mm512_storeu_ps(to + d, _mm512_mul_ps(_mm512_loadu_ps(p->values + d), by));
}
