/* A decoder of the Llama family over a batch of sequences: all layers of a step in one go, on a pool of threads.
 *
 * The twin in PyTorch is `serving.engine.model`; names and order of steps are the same there. */
#define _GNU_SOURCE
#include "attention.h"
#include "linear.h"
#include "place.h"
#include "states.h"

typedef struct {
    Linear qkv, output, gate_up, down; /* gate_up: tiles of gate and of up take turns */
    const float *attention_norm, *mlp_norm;
    const float *q_norm, *k_norm; /* NULL but for Qwen3 */
    int32_t window;               /* 0: none */
} Layer;

typedef struct {
    int32_t num_layers, hidden_size, intermediate_size, num_heads, num_kv_heads, head_dim;
    float epsilon;
    const Layer *layers;
    Linear embeddings, head;
    const float *norm;
    const float *cosines, *sines; /* [positions][head_dim / 2] */
} Model;

enum { EMBED, NORM, QKV, ROTATE, ATTEND, OUTPUT, GATE_UP, DOWN, HEAD, NUM_PARTS };

/* One step. Buffers are for `num_rows` tokens; `partials` for (rows, heads, spans) of the chunks decoded by spans. */
typedef struct {
    int32_t num_rows, num_chunks, num_logit_rows, num_threads;
    const int32_t *token_ids, *positions, *logit_rows;
    const Chunk *chunks;
    uint8_t *keys, *values; /* of all layers */
    float *key_scales, *value_scales;
    float *hidden, *qkv, *attended, *gated;
    uint8_t *queries;    /* [rows][heads][2 head_dim], see `Query` */
    float *query_scales; /* [rows][heads], 8-bit states only, as the sums of both digits: [rows][heads][2] */
    int32_t *query_sums;
    Quantized quantized;
    Partial *partials;
    uint8_t *scratch; /* of each thread, `scratch_bytes` */
    size_t scratch_bytes;
    float *logits;   /* [num_logit_rows][vocabulary] */
    double *seconds; /* [NUM_PARTS], added to; or NULL */
} Step;

typedef struct {
    const Model *model;
    const Step *step;
} Forward;

#define SMALL_CHUNK \
    32 /* query rows of a key/value head up to which a chunk is divided by spans rather than by tokens */

typedef struct {
    double *seconds, last;
} Clock;

static void lap(Clock *clock, int part) {
    if (!clock->seconds) return;
    double now = 1e-9 * (double)now_ns();
    clock->seconds[part] += now - clock->last;
    clock->last = now;
}

static void norm_and_quantize(const Model *m, const Step *s, const float *weight, int two_digits) {
    for (int row; (row = take_units(1)) < s->num_rows;) {
        const float *x = s->hidden + (size_t)row * m->hidden_size;
        Quantized to = s->quantized;
        quantize_row(x, weight, rms_factor(x, m->hidden_size, m->epsilon), m->hidden_size, row, two_digits, &to);
    }
}

static void quantize_rows(const Step *s, const float *x, int num_columns, int two_digits) {
    for (int row; (row = take_units(1)) < s->num_rows;) {
        Quantized to = s->quantized;
        quantize_row(x + (size_t)row * num_columns, NULL, 1.f, num_columns, row, two_digits, &to);
    }
}

static void norm_head(float *head, const float *weight, int head_dim, float epsilon) {
    float factor = rms_factor(head, head_dim, epsilon);
    for (int d = 0; d < head_dim; d++) head[d] = head[d] * factor * weight[d];
}

static States states_of(const Model *m, const Step *s, int layer) {
    return (States){s->keys, s->values, s->key_scales, s->value_scales, layer,
                    m->num_layers, m->num_kv_heads, m->head_dim};
}

/* Scales one query and rounds it as `Query` has it. */
static void round_query(const Model *m, const Step *s, size_t index, const float *x, int int8) {
    uint8_t *to = s->queries + index * 2 * m->head_dim;
    __m512 scale = _mm512_set1_ps(1.f / __builtin_sqrtf((float)m->head_dim));
    if (!int8) {
        for (int d = 0; d < m->head_dim; d += 16)
            _mm256_storeu_si256((__m256i *)(to + d * 2), to_bf16(_mm512_mul_ps(_mm512_loadu_ps(x + d), scale)));
        return;
    }
    float peak = peak_of(x, m->head_dim);
    __m512 steps = _mm512_set1_ps(peak > 1e-30f ? 127.f / peak : 0.f);
    __m512i sum_high = _mm512_setzero_si512(), sum_low = _mm512_setzero_si512();
    for (int d = 0; d < m->head_dim; d += 16) {
        __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(x + d), steps);
        round_digits(scaled, 1, to + d, to + m->head_dim + d, &sum_high, &sum_low);
    }
    s->query_scales[index] = peak / 127.f * _mm512_cvtss_f32(scale);
    s->query_sums[index * 2] = _mm512_reduce_add_epi32(sum_high);
    s->query_sums[index * 2 + 1] = _mm512_reduce_add_epi32(sum_low);
}

/* Rotates queries and keys to their positions, and keeps keys and values. */
static void rotate_and_keep(const Model *m, const Step *s, int layer) {
    const Layer *l = &m->layers[layer];
    const int width = (m->num_heads + 2 * m->num_kv_heads) * m->head_dim, half = m->head_dim / 2;
    States states = states_of(m, s, layer);
    int chunk = 0;
    for (int row; (row = take_units(1)) < s->num_rows;) {
        while (row >= s->chunks[chunk].row + s->chunks[chunk].num_tokens) chunk++;
        float *heads = s->qkv + (size_t)row * width;
        int position = s->positions[row];
        const float *cosines = m->cosines + (size_t)position * half, *sines = m->sines + (size_t)position * half;
        for (int h = 0; h < m->num_heads + m->num_kv_heads; h++) {
            const float *norm = h < m->num_heads ? l->q_norm : l->k_norm;
            if (norm) norm_head(heads + h * m->head_dim, norm, m->head_dim, m->epsilon);
            rotate(heads + h * m->head_dim, cosines, sines, m->head_dim);
        }
        for (int h = 0; h < m->num_heads; h++)
            round_query(m, s, (size_t)row * m->num_heads + h, heads + h * m->head_dim, is_int8(&states));
        const float *keys = heads + m->num_heads * m->head_dim, *values = keys + m->num_kv_heads * m->head_dim;
        for (int h = 0; h < m->num_kv_heads; h++)
            keep_states(&states, &s->chunks[chunk], position, h, keys + h * m->head_dim, values + h * m->head_dim);
    }
}

INLINE int is_small(const Model *m, const Chunk *c) {
    return c->num_tokens * (m->num_heads / m->num_kv_heads) <= SMALL_CHUNK;
}

INLINE int first_span(int position, int window) {
    int first = window > 0 ? position - window + 1 : 0;
    return first > 0 ? first / SPAN : 0;
}

INLINE int num_spans(const Chunk *c) { return c->last / SPAN + 1; }

/* Queries from `first` on, before `last`, of some tokens for one key/value head: token after token, its heads together.
 */
static int gather(const Model *m, const Step *s, const Chunk *c, int kv_head, int first, int last, Query *q) {
    int group = m->num_heads / m->num_kv_heads, rows = last - first < QUERIES ? last - first : QUERIES;
    for (int r = 0; r < rows; r++) {
        int row = c->row + (first + r) / group, head = kv_head * group + (first + r) % group;
        size_t index = (size_t)row * m->num_heads + head;
        q[r] = (Query){s->queries + index * 2 * m->head_dim, 1.f, 0, 0, s->positions[row]};
        if (!s->key_scales) continue;
        q[r].scale = s->query_scales[index];
        q[r].sum_high = s->query_sums[index * 2];
        q[r].sum_low = s->query_sums[index * 2 + 1];
    }
    return rows;
}

/* A chunk's queries over one span of keys, each result kept apart: [token][head][span]. */
static void attend_small(const Model *m, const Step *s, const States *states, const Chunk *c, int kv_head, int span,
                         int window, Partial *partials) {
    int group = m->num_heads / m->num_kv_heads, total = c->num_tokens * group, spans = num_spans(c);
    for (int first = 0, rows; first < total; first += rows) {
        Query q[QUERIES];
        Partial found[QUERIES];
        rows = gather(m, s, c, kv_head, first, total, q);
        int last = q[rows - 1].position;
        int seen = span <= last / SPAN && span >= first_span(q[0].position, window);
        if (seen) attend_span(states, c, kv_head, span, window, q, rows, found);
        for (int r = 0; r < rows; r++) {
            int token = (first + r) / group, head = kv_head * group + (first + r) % group;
            Partial *to = &partials[((size_t)token * m->num_heads + head) * spans + span];
            if (!seen) {
                to->sum = 0.f;
                continue;
            }
            to->max = found[r].max;
            to->sum = found[r].sum;
            memcpy(to->values, found[r].values, sizeof(float) * (size_t)m->head_dim);
        }
    }
}

/* Some tokens of a prompt over all their keys. */
static void attend_tokens(const Model *m, const Step *s, const States *states, const Chunk *c, int kv_head, int token,
                          int window) {
    int group = m->num_heads / m->num_kv_heads,
        end = token + TILE_TOKENS < c->num_tokens ? token + TILE_TOKENS : c->num_tokens;
    for (int first = token * group, rows; first < end * group; first += rows) {
        Query q[QUERIES];
        Partial total[QUERIES], found[QUERIES];
        rows = gather(m, s, c, kv_head, first, end * group, q);
        for (int r = 0; r < rows; r++) clear(&total[r], m->head_dim);
        for (int span = first_span(q[0].position, window); span <= q[rows - 1].position / SPAN; span++) {
            attend_span(states, c, kv_head, span, window, q, rows, found);
            for (int r = 0; r < rows; r++) join(&total[r], &found[r], m->head_dim);
        }
        for (int r = 0; r < rows; r++) {
            int row = c->row + (first + r) / group, head = kv_head * group + (first + r) % group;
            write_attended(&total[r], m->head_dim, s->attended + ((size_t)row * m->num_heads + head) * m->head_dim);
        }
    }
}

static int num_units(const Model *m, const Chunk *c) {
    return m->num_kv_heads * (is_small(m, c) ? num_spans(c) : (c->num_tokens + TILE_TOKENS - 1) / TILE_TOKENS);
}

static void attend(const Model *m, const Step *s, int layer) {
    States states = states_of(m, s, layer);
    int window = m->layers[layer].window, chunk = 0, before = 0;
    Partial *partials = s->partials;
    for (int unit; (unit = take_units(1)) >= 0;) {
        while (chunk < s->num_chunks && unit >= before + num_units(m, &s->chunks[chunk])) {
            const Chunk *c = &s->chunks[chunk++];
            before += num_units(m, c);
            if (is_small(m, c)) partials += (size_t)c->num_tokens * m->num_heads * num_spans(c);
        }
        if (chunk == s->num_chunks) return;
        const Chunk *c = &s->chunks[chunk];
        int kv_head = (unit - before) % m->num_kv_heads, part = (unit - before) / m->num_kv_heads;
        if (is_small(m, c)) {
            attend_small(m, s, &states, c, kv_head, part, window, partials);
        } else { /* the last tokens see most: they come first */
            int tiles = (c->num_tokens + TILE_TOKENS - 1) / TILE_TOKENS;
            attend_tokens(m, s, &states, c, kv_head, (tiles - 1 - part) * TILE_TOKENS, window);
        }
    }
}

/* Joins what `attend_small` found, and rounds all rows for the next product. */
static void join_and_quantize(const Model *m, const Step *s, int two_digits) {
    int chunk = 0, width = m->num_heads * m->head_dim;
    const Partial *partials = s->partials;
    for (int row; (row = take_units(1)) < s->num_rows;) {
        for (; row >= s->chunks[chunk].row + s->chunks[chunk].num_tokens; chunk++)
            if (is_small(m, &s->chunks[chunk]))
                partials += (size_t)s->chunks[chunk].num_tokens * m->num_heads * num_spans(&s->chunks[chunk]);
        const Chunk *c = &s->chunks[chunk];
        float *attended = s->attended + (size_t)row * width;
        int spans = num_spans(c);
        for (int h = 0; is_small(m, c) && h < m->num_heads; h++) {
            Partial total;
            clear(&total, m->head_dim);
            for (int span = 0; span < spans; span++)
                join(&total, &partials[((size_t)(row - c->row) * m->num_heads + h) * spans + span], m->head_dim);
            write_attended(&total, m->head_dim, attended + h * m->head_dim);
        }
        Quantized to = s->quantized;
        quantize_row(attended, NULL, 1.f, width, row, two_digits, &to);
    }
}

static void compute_layer(const Model *m, const Step *s, int layer, uint8_t *scratch, int n, Clock *clock) {
    const Layer *l = &m->layers[layer];
    norm_and_quantize(m, s, l->attention_norm, l->qkv.two_digits);
    barrier(n);
    lap(clock, NORM);
    linear(&l->qkv, &s->quantized, s->num_rows, STORE, s->qkv, l->qkv.num_outputs, scratch, n);
    barrier(n);
    lap(clock, QKV);
    rotate_and_keep(m, s, layer);
    barrier(n);
    lap(clock, ROTATE);
    attend(m, s, layer);
    barrier(n);
    lap(clock, ATTEND);
    join_and_quantize(m, s, l->output.two_digits);
    barrier(n);
    lap(clock, NORM);
    linear(&l->output, &s->quantized, s->num_rows, ADD, s->hidden, m->hidden_size, scratch, n);
    barrier(n);
    lap(clock, OUTPUT);
    norm_and_quantize(m, s, l->mlp_norm, l->gate_up.two_digits);
    barrier(n);
    lap(clock, NORM);
    linear(&l->gate_up, &s->quantized, s->num_rows, GATE, s->gated, m->intermediate_size, scratch, n);
    barrier(n);
    lap(clock, GATE_UP);
    quantize_rows(s, s->gated, m->intermediate_size, l->down.two_digits);
    barrier(n);
    lap(clock, NORM);
    linear(&l->down, &s->quantized, s->num_rows, ADD, s->hidden, m->hidden_size, scratch, n);
    barrier(n);
    lap(clock, DOWN);
}

static void run_step(void *argument, int thread, int n) {
    const Model *m = ((Forward *)argument)->model;
    const Step *s = ((Forward *)argument)->step;
    uint8_t *scratch = s->scratch + (size_t)thread * s->scratch_bytes;
    Clock clock = {thread == 0 ? s->seconds : NULL, 0};
    if (clock.seconds) clock.last = 1e-9 * (double)now_ns();
    for (int row; (row = take_units(1)) < s->num_rows;)
        unpack_row(&m->embeddings, s->token_ids[row], s->hidden + (size_t)row * m->hidden_size);
    barrier(n);
    lap(&clock, EMBED);
    for (int layer = 0; layer < m->num_layers; layer++) compute_layer(m, s, layer, scratch, n, &clock);
    for (int i; (i = take_units(1)) < s->num_logit_rows;) {
        const float *x = s->hidden + (size_t)s->logit_rows[i] * m->hidden_size;
        Quantized to = s->quantized;
        quantize_row(x, m->norm, rms_factor(x, m->hidden_size, m->epsilon), m->hidden_size, i, m->head.two_digits, &to);
    }
    barrier(n);
    lap(&clock, NORM);
    if (s->num_logit_rows)
        linear(&m->head, &s->quantized, s->num_logit_rows, STORE, s->logits, m->head.num_outputs, scratch, n);
    barrier(n);
    lap(&clock, HEAD);
}

/* Computes one step; returns the seconds that its threads slept waiting for each other. Sizes must be multiples: hidden
 * and intermediate size of 32, head size of 16. */
double forward(const Model *model, const Step *step) {
    Forward both = {model, step};
    return pool_run(run_step, &both, step->num_threads);
}

typedef struct {
    const Linear *w;
    const float *x;
    int num_rows;
    Quantized quantized;
    float *y;
    uint8_t *scratch;
    size_t scratch_bytes;
} Lone;

static void run_lone(void *argument, int thread, int n) {
    Lone *l = argument;
    for (int row; (row = take_units(1)) < l->num_rows;)
        quantize_row(l->x + (size_t)row * l->w->num_columns, NULL, 1.f, l->w->num_columns, row, l->w->two_digits,
                     &l->quantized);
    barrier(n);
    linear(l->w, &l->quantized, l->num_rows, STORE, l->y, l->w->num_outputs,
           l->scratch + (size_t)thread * l->scratch_bytes, n);
}

/* y = x W^T + bias for float rows: [num_rows][num_columns] to [num_rows][num_outputs]. */
void multiply_rows(const Linear *w, const float *x, int num_rows, const Quantized *quantized, float *y,
                   uint8_t *scratch, size_t scratch_bytes, int num_threads) {
    Lone lone = {w, x, num_rows, *quantized, y, scratch, scratch_bytes};
    pool_run(run_lone, &lone, num_threads);
}

/* Brings kept states to their places in a sequence. */
void place_states(const Placing *placing, int num_threads) { pool_run(run_placing, (void *)placing, num_threads); }

/* Takes a sequence's states to be kept: the first text of `placing` says which, and where to. */
void take_states(const Placing *placing, int num_threads) { pool_run(run_taking, (void *)placing, num_threads); }

/* Sizes of what Python has to know of: it compares them with its own. */
void struct_sizes(size_t sizes[8]) {
    const size_t known[8] = {sizeof(Linear),  sizeof(Layer), sizeof(Model), sizeof(Chunk),
                             sizeof(Partial), sizeof(Step),  sizeof(Kept),  sizeof(Placing)};
    memcpy(sizes, known, sizeof known);
}
