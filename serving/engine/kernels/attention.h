/* Attention over key/value states kept in blocks of 16 tokens (FlashAttention, Dao et al. 2022).
 *
 * Keys are seen in spans of 256, each with its own maximum; the results of spans are joined in order. A query's result
 * is therefore the same to the bit whether it is computed alone, beside others, or by several threads. */
#pragma once

#include "simd.h"
#include "threads.h"

#define BLOCK 16
#define SPAN_BLOCKS 16
#define SPAN (BLOCK * SPAN_BLOCKS)
#define MAX_HEAD 256
#define QUERIES 8      /* query rows computed at once */
#define TILE_TOKENS 16 /* tokens of a prompt whose queries one thread takes together */

/* States of one layer. keys: [blocks][kv_heads][head_dim / 2][16 tokens][2], values: [blocks][kv_heads][8][head_dim][2]:
 * neighbouring dimensions of a key, and neighbouring tokens of a value, stand together as the dot product wants them. */
typedef struct {
    bf16 *keys, *values;
    int num_kv_heads, head_dim;
} States;

/* Tokens of one sequence that are computed now: rows `row` and following of the step. */
typedef struct {
    int32_t row, num_tokens, num_cached;
    const int32_t *blocks;
} Chunk;

/* Query rows that see the same keys. queries: bfloat16, scaled; positions: of each in its sequence. */
typedef struct {
    const bf16 *queries[QUERIES];
    int32_t positions[QUERIES];
} Queries;

typedef struct {
    float max, sum;
    float values[MAX_HEAD];
} Partial;

INLINE bf16 *block_of(bf16 *base, const States *s, int block, int kv_head) {
    return base + ((size_t)block * s->num_kv_heads + kv_head) * BLOCK * s->head_dim;
}

INLINE __m512i pair_of(const void *address) { return _mm512_set1_epi32(load_i32(address)); }

/* Scores of `rows` queries with the keys of `count` blocks, those that a query may not see at minus infinity. */
INLINE void score_blocks(const States *s, const Queries *q, const int rows, const int32_t *blocks, const int count, int kv_head, int first_key,
                         int window, float (*scores)[SPAN], int at) {
    __m512 sum[QUERIES][4];
    const bf16 *keys[4];
    for (int b = 0; b < count; b++) keys[b] = block_of(s->keys, s, blocks[b], kv_head);
    for (int r = 0; r < rows; r++)
        for (int b = 0; b < count; b++) sum[r][b] = _mm512_setzero_ps();
    for (int d = 0; d < s->head_dim / 2; d++) {
        __m512i key[4];
        for (int b = 0; b < count; b++) key[b] = _mm512_loadu_si512(keys[b] + d * 32);
        for (int r = 0; r < rows; r++) {
            __m512i query = pair_of(q->queries[r] + d * 2);
            for (int b = 0; b < count; b++) sum[r][b] = dot_bf16(sum[r][b], key[b], query);
        }
    }
    for (int b = 0; b < count; b++) {
        __m512i key = _mm512_add_epi32(_mm512_set1_epi32(first_key + b * BLOCK), _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
        for (int r = 0; r < rows; r++) {
            __mmask16 seen = _mm512_cmple_epi32_mask(key, _mm512_set1_epi32(q->positions[r]));
            if (window > 0) seen &= _mm512_cmpgt_epi32_mask(key, _mm512_set1_epi32(q->positions[r] - window));
            _mm512_storeu_ps(&scores[r][at + b * BLOCK], _mm512_mask_blend_ps(seen, _mm512_set1_ps(-__builtin_inff()), sum[r][b]));
        }
    }
}

/* The values of a span, weighed: `tiles` times 16 dimensions from `dim` on. */
INLINE void weigh_values(const States *s, const int32_t *blocks, int kv_head, int num_blocks, const bf16 (*weights)[SPAN], const int rows,
                         const int tiles, int dim, Partial *to) {
    __m512 sum[QUERIES][4];
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tiles; t++) sum[r][t] = _mm512_setzero_ps();
    for (int b = 0; b < num_blocks; b++) {
        const bf16 *values = block_of(s->values, s, blocks[b], kv_head) + dim * 2;
        for (int pair = 0; pair < BLOCK / 2; pair++) {
            __m512i value[4];
            for (int t = 0; t < tiles; t++) value[t] = _mm512_loadu_si512(values + pair * s->head_dim * 2 + t * 32);
            for (int r = 0; r < rows; r++) {
                __m512i weight = pair_of(&weights[r][b * BLOCK + pair * 2]);
                for (int t = 0; t < tiles; t++) sum[r][t] = dot_bf16(sum[r][t], value[t], weight);
            }
        }
    }
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tiles; t++) _mm512_storeu_ps(to[r].values + dim + t * 16, sum[r][t]);
}

INLINE void attend_rows(const States *s, const Chunk *c, int kv_head, int span, int window, const Queries *q, const int rows, Partial *to) {
    float scores[QUERIES][SPAN];
    bf16 weights[QUERIES][SPAN];
    int last = 0;
    for (int r = 0; r < rows; r++) last = q->positions[r] > last ? q->positions[r] : last;
    int num_blocks = last / BLOCK + 1 - span * SPAN_BLOCKS;
    if (num_blocks > SPAN_BLOCKS) num_blocks = SPAN_BLOCKS;
    const int32_t *blocks = c->blocks + span * SPAN_BLOCKS;
    const int together = rows <= 4 ? 4 : 2; /* as many sums at once as there are registers for */
    int b = 0;
    for (; b + together <= num_blocks; b += together)
        score_blocks(s, q, rows, blocks + b, together, kv_head, span * SPAN + b * BLOCK, window, scores, b * BLOCK);
    for (; b < num_blocks; b++) score_blocks(s, q, rows, blocks + b, 1, kv_head, span * SPAN + b * BLOCK, window, scores, b * BLOCK);
    for (int r = 0; r < rows; r++) {
        __m512 max = _mm512_set1_ps(-__builtin_inff()), sum = _mm512_setzero_ps();
        for (int b = 0; b < num_blocks; b++) max = _mm512_max_ps(max, _mm512_loadu_ps(&scores[r][b * BLOCK]));
        to[r].max = _mm512_reduce_max_ps(max);
        __m512 base = _mm512_set1_ps(to[r].max > -__builtin_inff() ? to[r].max : 0.f);
        for (int b = 0; b < num_blocks; b++) {
            __m512 weight = exp16(_mm512_sub_ps(_mm512_loadu_ps(&scores[r][b * BLOCK]), base));
            sum = _mm512_add_ps(sum, weight);
            _mm256_storeu_si256((__m256i *)&weights[r][b * BLOCK], to_bf16(weight));
        }
        to[r].sum = _mm512_reduce_add_ps(sum);
    }
    int dim = 0;
    for (; dim + together * 16 <= s->head_dim; dim += together * 16) weigh_values(s, blocks, kv_head, num_blocks, weights, rows, together, dim, to);
    for (; dim < s->head_dim; dim += 16) weigh_values(s, blocks, kv_head, num_blocks, weights, rows, 1, dim, to);
}

/* Up to 8 queries over one span of keys. */
static void attend_span(const States *s, const Chunk *c, int kv_head, int span, int window, const Queries *q, int rows, Partial *to) {
    switch (rows) {
#define CASE(n) case n: attend_rows(s, c, kv_head, span, window, q, n, to); break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
        default: break;
    }
}

/* Joins the result of a later span to that of the earlier ones. */
static void join(Partial *to, const Partial *from, int head_dim) {
    if (from->sum == 0.f) return;
    float max = to->max > from->max ? to->max : from->max;
    __m512 pair = _mm512_setr_ps(to->max - max, from->max - max, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), factor = exp16(pair);
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

/* Zeroes the values of the slots behind one token's in its block: what another sequence left there must not reach this
 * one, not even times zero, as it might be no number. */
static void clear_behind(const States *s, const Chunk *c, int position, int kv_head) {
    bf16 *values = block_of(s->values, s, c->blocks[position / BLOCK], kv_head);
    for (int slot = position % BLOCK + 1; slot < BLOCK; slot++)
        for (int d = 0; d < s->head_dim; d++) values[(slot / 2 * s->head_dim + d) * 2 + slot % 2] = 0;
}

/* Writes one token's key and value of one head into its block. */
static void keep_states(const States *s, const Chunk *c, int position, int kv_head, const float *key, const float *value) {
    int slot = position % BLOCK, head_dim = s->head_dim, last = c->num_cached + c->num_tokens - 1;
    bf16 *keys = block_of(s->keys, s, c->blocks[position / BLOCK], kv_head);
    bf16 *values = block_of(s->values, s, c->blocks[position / BLOCK], kv_head);
    for (int d = 0; d < head_dim; d += 16) {
        bf16 rounded[16];
        _mm256_storeu_si256((__m256i *)rounded, to_bf16(_mm512_loadu_ps(key + d)));
        for (int i = 0; i < 16; i += 2) memcpy(&keys[((d + i) / 2 * BLOCK + slot) * 2], rounded + i, 4);
        _mm256_storeu_si256((__m256i *)rounded, to_bf16(_mm512_loadu_ps(value + d)));
        for (int i = 0; i < 16; i++) values[(slot / 2 * head_dim + d + i) * 2 + slot % 2] = rounded[i];
    }
    if (position == last && position - slot >= c->num_cached) clear_behind(s, c, position, kv_head);
}
