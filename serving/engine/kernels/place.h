/* Key/value states that were kept apart from any sequence: taken from one, and brought to their place in another. */
#pragma once

#include "simd.h"
#include "states.h"

/* Kept states of a text: blocks as in states.h, [layers][kv_heads][num_blocks]; those to be placed, and where. */
typedef struct {
    uint8_t *keys, *values;
    float *key_scales, *value_scales; /* NULL in bfloat16 */
    int32_t num_blocks;
    int32_t first, num_tokens; /* tokens of the text */
    int32_t position;          /* of the first of them in the sequence */
    int32_t difference;        /* of that and its position when it was computed */
} Kept;

static States states_of_kept(const Kept *k, const States *like) {
    return (States){k->keys,    k->values,        k->key_scales,      k->value_scales,
                    like->layer, like->num_layers, like->num_kv_heads, like->head_dim};
}

INLINE size_t index_of_kept(const Kept *k, const States *s, int kv_head, int block) {
    return ((size_t)s->layer * s->num_kv_heads + kv_head) * k->num_blocks + block;
}

static void read_bf16(const bf16 *keys, const bf16 *values, int slot, int head_dim, float *key, float *value) {
    for (int d = 0; d < head_dim; d++) {
        uint32_t key_bits = (uint32_t)keys[(d / 2 * BLOCK + slot) * 2 + d % 2] << 16,
                 value_bits = (uint32_t)values[(slot / 2 * head_dim + d) * 2 + slot % 2] << 16;
        memcpy(&key[d], &key_bits, 4);
        memcpy(&value[d], &value_bits, 4);
    }
}

static void read_states(const States *s, size_t index, int slot, float *key, float *value) {
    size_t at = index * block_bytes(s, is_int8(s));
    if (!is_int8(s)) {
        read_bf16((const bf16 *)(s->keys + at), (const bf16 *)(s->values + at), slot, s->head_dim, key, value);
        return;
    }
    const uint8_t *keys = s->keys + at;
    const int8_t *values = (const int8_t *)s->values + at;
    float key_scale = s->key_scales[index * BLOCK + slot], value_scale = s->value_scales[index * BLOCK + slot];
    for (int d = 0; d < s->head_dim; d++) {
        key[d] = (float)((int)keys[(d / 4 * BLOCK + slot) * 4 + d % 4] - 128) * key_scale;
        value[d] = (float)values[(slot / 4 * s->head_dim + d) * 4 + slot % 4] * value_scale;
    }
}

static void rotate(float *head, const float *cosines, const float *sines, int head_dim) {
    const int half = head_dim / 2;
    for (int d = 0; d < half; d += 16) {
        __mmask16 mask = half - d >= 16 ? 0xffff : (__mmask16)((1 << (half - d)) - 1);
        __m512 first = _mm512_maskz_loadu_ps(mask, head + d), second = _mm512_maskz_loadu_ps(mask, head + half + d);
        __m512 cosine = _mm512_maskz_loadu_ps(mask, cosines + d), sine = _mm512_maskz_loadu_ps(mask, sines + d);
        _mm512_mask_storeu_ps(head + d, mask, _mm512_fnmadd_ps(second, sine, _mm512_mul_ps(first, cosine)));
        _mm512_mask_storeu_ps(head + half + d, mask, _mm512_fmadd_ps(first, sine, _mm512_mul_ps(second, cosine)));
    }
}

/* Byte `j` of each of 16 words, with its sign, times a scale. */
INLINE __m512 scaled_bytes(__m512i words, int j, __m512 scale) {
    __m512i high = _mm512_sll_epi32(words, _mm_cvtsi32_si128(24 - 8 * j));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srai_epi32(high, 24)), scale);
}

INLINE __m512i bf16_pairs(__m512 even, __m512 odd) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(to_bf16(even)),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(to_bf16(odd)), 16));
}

/* Writes past the caches: what is placed is far more than they hold, and each line is written whole. */
INLINE void store_slots(bf16 *to, __mmask16 slots, __m512i pairs) {
    if (slots == 0xffff)
        _mm512_stream_si512((void *)to, pairs);
    else
        _mm512_mask_storeu_epi32(to, slots, pairs);
}

/* 16 consecutive tokens of kept states, which may begin anywhere in a block: lanes of two blocks. */
typedef struct {
    size_t early, late; /* indices of the blocks */
    int shift;          /* the first token's slot in the early one */
} Source;

static void place_keys(const States *from, const Source *source, const float *cosines, const float *sines, bf16 *to,
                       __mmask16 slots) {
    const int dim = from->head_dim;
    const uint8_t *early = from->keys + source->early * BLOCK * dim, *late = from->keys + source->late * BLOCK * dim;
    __m512i lanes = _mm512_add_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                     _mm512_set1_epi32(source->shift));
    __m512 scales = _mm512_permutex2var_ps(_mm512_loadu_ps(from->key_scales + source->early * BLOCK), lanes,
                                           _mm512_loadu_ps(from->key_scales + source->late * BLOCK));
    const __m512i unsign = _mm512_set1_epi32((int)0x80808080); /* takes the 128 away that was added */
    for (int i = 0; i < dim / 8; i++) {
        const int half = dim / 8 * 64;
        __m512i a = _mm512_permutex2var_epi32(_mm512_loadu_si512(early + i * 64), lanes,
                                              _mm512_loadu_si512(late + i * 64)),
                b = _mm512_permutex2var_epi32(_mm512_loadu_si512(early + half + i * 64), lanes,
                                              _mm512_loadu_si512(late + half + i * 64));
        a = _mm512_xor_si512(a, unsign);
        b = _mm512_xor_si512(b, unsign);
        __m512 low[4], high[4];
        for (int j = 0; j < 4; j++) {
            __m512 first = scaled_bytes(a, j, scales), second = scaled_bytes(b, j, scales);
            __m512 cosine = _mm512_set1_ps(cosines[i * 4 + j]), sine = _mm512_set1_ps(sines[i * 4 + j]);
            low[j] = _mm512_fnmadd_ps(second, sine, _mm512_mul_ps(first, cosine));
            high[j] = _mm512_fmadd_ps(first, sine, _mm512_mul_ps(second, cosine));
        }
        for (int j = 0; j < 4; j += 2) {
            bf16 *at = to + (size_t)(i * 2 + j / 2) * BLOCK * 2;
            store_slots(at, slots, bf16_pairs(low[j], low[j + 1]));
            store_slots(at + (size_t)dim / 4 * BLOCK * 2, slots, bf16_pairs(high[j], high[j + 1]));
        }
    }
}

static void place_values(const States *from, const Source *source, bf16 *to, __mmask16 slots) {
    const int dim = from->head_dim;
    const uint8_t *early = from->values + source->early * BLOCK * dim,
                  *late = from->values + source->late * BLOCK * dim;
    float scales[2 * BLOCK];
    memcpy(scales, from->value_scales + source->early * BLOCK, sizeof(float) * BLOCK);
    memcpy(scales + BLOCK, from->value_scales + source->late * BLOCK, sizeof(float) * BLOCK);
    for (int d = 0; d < dim; d += 16) {
        __m512i words[8];
        for (int g = 0; g < 4; g++) {
            words[g] = _mm512_loadu_si512(early + (g * dim + d) * 4);
            words[4 + g] = _mm512_loadu_si512(late + (g * dim + d) * 4);
        }
        for (int slot = 0; slot < BLOCK; slot += 2) {
            int a = slot + source->shift, b = a + 1;
            __m512i pair = bf16_pairs(scaled_bytes(words[a / 4], a % 4, _mm512_set1_ps(scales[a])),
                                      scaled_bytes(words[b / 4], b % 4, _mm512_set1_ps(scales[b])));
            bf16 *at = to + (size_t)(slot / 2 * dim + d) * 2;
            __mmask32 wanted = (slots >> slot & 1 ? 0x55555555u : 0) | (slots >> slot & 2 ? 0xaaaaaaaau : 0);
            if (wanted == 0xffffffffu)
                _mm512_stream_si512((void *)at, pair);
            else
                _mm512_mask_storeu_epi16(at, wanted, pair);
        }
    }
}

/* Kept states of 8 bits to states of bfloat16, 16 slots at a time. */
static void place_blocks(const Kept *k, const States *kept, const States *to, const int32_t *blocks, int kv_head,
                         const float *cosines, const float *sines) {
    int last = k->position + k->num_tokens - 1;
    for (int b = k->position / BLOCK; b <= last / BLOCK; b++) {
        int token = k->first + b * BLOCK - k->position; /* at slot 0; before the first one it may be negative */
        int shift = token & (BLOCK - 1), early = (token - shift) / BLOCK, late = early + 1;
        int from = k->position - b * BLOCK, end = last + 1 - b * BLOCK;
        __mmask16 slots = (__mmask16)((end < BLOCK ? (1 << end) - 1 : 0xffff) & (from > 0 ? 0xffff << from : 0xffff));
        Source source = {index_of_kept(k, kept, kv_head, early > 0 ? early : 0),
                         index_of_kept(k, kept, kv_head, late < k->num_blocks ? late : k->num_blocks - 1), shift};
        size_t at = index_of(to, blocks[b], kv_head) * BLOCK * to->head_dim;
        place_keys(kept, &source, cosines, sines, (bf16 *)to->keys + at, slots);
        place_values(kept, &source, (bf16 *)to->values + at, slots);
    }
}

/* Kept states of any format to states of any format, a token at a time. */
static void place_tokens(const Kept *k, const States *kept, const States *to, const int32_t *blocks, int kv_head,
                         const float *cosines, const float *sines) {
    float key[MAX_HEAD], value[MAX_HEAD];
    for (int t = 0; t < k->num_tokens; t++) {
        int token = k->first + t, position = k->position + t;
        read_states(kept, index_of_kept(k, kept, kv_head, token / BLOCK), token % BLOCK, key, value);
        if (k->difference) rotate(key, cosines, sines, to->head_dim);
        write_states(to, index_of(to, blocks[position / BLOCK], kv_head), position % BLOCK, key, value);
    }
}

typedef struct {
    States states; /* of all layers; the layer is set by whoever works on one */
    const int32_t *blocks;
    const int32_t *cleared; /* blocks whose slots will not all be placed */
    Kept *kept;
    const float *cosines, *sines; /* [positions][head_dim / 2] */
    int32_t num_cleared, num_kept;
    int32_t in_blocks; /* 16 slots at a time where the formats allow it */
} Placing;

static void place_text(const Placing *p, const Kept *k, const States *to, int kv_head) {
    States kept = states_of_kept(k, to);
    const int half = to->head_dim / 2;
    const size_t turns = (size_t)(k->difference < 0 ? -k->difference : k->difference) * half;
    const float *cosines = p->cosines + turns;
    float sines[MAX_HEAD / 2];
    for (int d = 0; d < half; d++) sines[d] = k->difference < 0 ? -p->sines[turns + d] : p->sines[turns + d];
    int in_blocks = p->in_blocks && is_int8(&kept) && !is_int8(to);
    (in_blocks ? place_blocks : place_tokens)(k, &kept, to, p->blocks, kv_head, cosines, sines);
}

static void run_placing(void *argument, int thread, int n) {
    const Placing *p = argument;
    (void)thread, (void)n;
    const int units = p->states.num_layers * p->states.num_kv_heads;
    for (int unit; (unit = take_units(1)) < units;) {
        States to = p->states;
        to.layer = unit / to.num_kv_heads;
        int kv_head = unit % to.num_kv_heads;
        for (int i = 0; i < p->num_cleared && !is_int8(&to); i++) {
            size_t bytes = block_bytes(&to, 0);
            memset(to.values + index_of(&to, p->cleared[i], kv_head) * bytes, 0, bytes);
        }
        for (int i = 0; i < p->num_kept; i++) place_text(p, &p->kept[i], &to, kv_head);
    }
    _mm_sfence();
}

/* The other way: the states of a sequence's tokens from `position` on, to be kept. */
static void run_taking(void *argument, int thread, int n) {
    const Placing *p = argument;
    (void)thread, (void)n;
    const Kept *k = p->kept;
    const int units = p->states.num_layers * p->states.num_kv_heads;
    for (int unit; (unit = take_units(1)) < units;) {
        States from = p->states;
        from.layer = unit / from.num_kv_heads;
        int kv_head = unit % from.num_kv_heads;
        States kept = states_of_kept(k, &from);
        float key[MAX_HEAD], value[MAX_HEAD];
        for (int t = 0; t < k->num_tokens; t++) {
            int position = k->position + t;
            read_states(&from, index_of(&from, p->blocks[position / BLOCK], kv_head), position % BLOCK, key, value);
            write_states(&kept, index_of_kept(k, &kept, kv_head, t / BLOCK), t % BLOCK, key, value);
        }
    }
}
