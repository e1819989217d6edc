/* Key/value states in blocks of 16 tokens, in bfloat16 or in 8 bits with a scale for each token and head. */
#pragma once

#include "simd.h"

#define BLOCK 16
#define MAX_HEAD 256

#define TOGETHER 64 /* blocks of one head of one layer that lie one behind the other */

/* States, and which layer's are meant. Blocks lie [num_blocks / 64][layers][kv_heads][64], so that a head's are read in
 * long runs, and few tokens use little memory. What one dot product takes of a block stands together:
 * bfloat16  keys [head_dim / 2][16 tokens][2], values [8][head_dim][2]: dimensions of a key, tokens of a value
 * 8 bits    keys [head_dim / 4][16 tokens][4] with 128 added, values [4][head_dim][4], scales [16 tokens] */
typedef struct {
    uint8_t *keys, *values;
    float *key_scales, *value_scales; /* NULL in bfloat16 */
    int layer, num_layers, num_kv_heads, head_dim;
} States;

/* Tokens of one sequence that are computed now: rows `row` and following of the step. The first `num_ready` slots of the
 * sequence hold states, or zeroes that a token computed now takes the place of. */
typedef struct {
    int32_t row, num_tokens, num_ready, last; /* last: the last token's position */
    const int32_t *blocks;
} Chunk;

INLINE int is_int8(const States *s) { return s->key_scales != NULL; }

INLINE size_t index_of(const States *s, int block, int kv_head) {
    size_t run = ((size_t)(block / TOGETHER) * s->num_layers + s->layer) * s->num_kv_heads + kv_head;
    return run * TOGETHER + block % TOGETHER;
}

INLINE size_t block_bytes(const States *s, const int int8) { return (size_t)BLOCK * s->head_dim * (int8 ? 1 : 2); }

/* Zeroes the values of the slots behind one token's in its block: what another sequence left there must not reach this
 * one, not even times zero, as it might be no number. */
static void clear_behind(bf16 *values, int slot, int head_dim) {
    for (slot++; slot < BLOCK; slot++)
        for (int d = 0; d < head_dim; d++) values[(slot / 2 * head_dim + d) * 2 + slot % 2] = 0;
}

static void keep_bf16(const States *s, size_t index, int slot, const float *key, const float *value) {
    bf16 *keys = (bf16 *)s->keys + index * BLOCK * s->head_dim,
         *values = (bf16 *)s->values + index * BLOCK * s->head_dim;
    for (int d = 0; d < s->head_dim; d += 16) {
        bf16 rounded[16];
        _mm256_storeu_si256((__m256i *)rounded, to_bf16(_mm512_loadu_ps(key + d)));
        for (int i = 0; i < 16; i += 2) memcpy(&keys[((d + i) / 2 * BLOCK + slot) * 2], rounded + i, 4);
        _mm256_storeu_si256((__m256i *)rounded, to_bf16(_mm512_loadu_ps(value + d)));
        for (int i = 0; i < 16; i++) values[(slot / 2 * s->head_dim + d + i) * 2 + slot % 2] = rounded[i];
    }
}

INLINE float peak_of(const float *x, int size) {
    __m512 peak = _mm512_setzero_ps();
    for (int d = 0; d < size; d += 16) peak = _mm512_max_ps(peak, _mm512_abs_ps(_mm512_loadu_ps(x + d)));
    return _mm512_reduce_max_ps(peak);
}

static void keep_int8(const States *s, size_t index, int slot, const float *key, const float *value) {
    uint8_t *keys = s->keys + index * BLOCK * s->head_dim, *values = s->values + index * BLOCK * s->head_dim;
    float key_peak = peak_of(key, s->head_dim), value_peak = peak_of(value, s->head_dim);
    __m512 key_steps = _mm512_set1_ps(key_peak > 1e-30f ? 127.f / key_peak : 0.f);
    __m512 value_steps = _mm512_set1_ps(value_peak > 1e-30f ? 127.f / value_peak : 0.f);
    s->key_scales[index * BLOCK + slot] = key_peak / 127.f;
    s->value_scales[index * BLOCK + slot] = value_peak / 127.f;
    for (int d = 0; d < s->head_dim; d += 16) {
        uint8_t rounded[16];
        __m512i digits = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(key + d), key_steps));
        _mm_storeu_si128((__m128i *)rounded, _mm512_cvtepi32_epi8(_mm512_add_epi32(digits, _mm512_set1_epi32(128))));
        for (int i = 0; i < 16; i += 4) memcpy(&keys[((d + i) / 4 * BLOCK + slot) * 4], rounded + i, 4);
        digits = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(value + d), value_steps));
        _mm_storeu_si128((__m128i *)rounded, _mm512_cvtepi32_epi8(digits));
        for (int i = 0; i < 16; i++) values[(slot / 4 * s->head_dim + d + i) * 4 + slot % 4] = rounded[i];
    }
}

/* Writes one token's key and value of one head. */
static void write_states(const States *s, size_t index, int slot, const float *key, const float *value) {
    (is_int8(s) ? keep_int8 : keep_bf16)(s, index, slot, key, value);
}

/* Writes one token's key and value of one head into its sequence's block. */
static void keep_states(const States *s, const Chunk *c, int position, int kv_head, const float *key,
                        const float *value) {
    int slot = position % BLOCK;
    size_t index = index_of(s, c->blocks[position / BLOCK], kv_head);
    write_states(s, index, slot, key, value);
    if (!is_int8(s) && position == c->last && position - slot >= c->num_ready)
        clear_behind((bf16 *)s->values + index * BLOCK * s->head_dim, slot, s->head_dim);
}
