/* Vector arithmetic shared by the kernels: 16 floats at a time (AVX-512). */
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef uint16_t bf16;

#define LOW_DIGIT 254.f /* numbers in two 8-bit digits: one step of the high one, in steps of the low one */

/* e^x, to about 2 units in the last place; 0 far below zero (Cody and Waite's reduction, a polynomial of degree 6). */
INLINE __m512 exp16(__m512 x) {
    x = _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(88.f)), _mm512_set1_ps(-160.f));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, _mm512_add_ps(r, _mm512_set1_ps(1.f)));
    return _mm512_scalef_ps(p, n);
}

/* silu(gate) * up */
INLINE __m512 gated(__m512 gate, __m512 up) {
    __m512 below = _mm512_add_ps(_mm512_set1_ps(1.f), exp16(_mm512_sub_ps(_mm512_setzero_ps(), gate)));
    return _mm512_mul_ps(_mm512_div_ps(gate, below), up);
}

/* 16 floats rounded to the nearest bfloat16, ties to even. */
INLINE __m256i to_bf16(__m512 x) {
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(x);
#else
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
#endif
}

/* sum + a[2i] * b[2i] + a[2i + 1] * b[2i + 1] for 16 pairs of bfloat16 */
INLINE __m512 dot_bf16(__m512 sum, __m512i a, __m512i b) {
#ifdef __AVX512BF16__
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#else
    __m512i high = _mm512_set1_epi32((int)0xffff0000);
    __m512 odd =
        _mm512_mul_ps(_mm512_castsi512_ps(_mm512_and_si512(a, high)), _mm512_castsi512_ps(_mm512_and_si512(b, high)));
    __m512 even_a = _mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
           even_b = _mm512_castsi512_ps(_mm512_slli_epi32(b, 16));
    return _mm512_add_ps(sum, _mm512_fmadd_ps(even_a, even_b, odd));
#endif
}

/* Rounds 16 numbers, scaled to at most 127, to 8 bits, and what is left of them to a second digit if asked for;
 * adds the digits to their sums. */
INLINE void round_digits(__m512 scaled, int two_digits, void *high, void *low, __m512i *sum_high, __m512i *sum_low) {
    __m512i digit = _mm512_cvtps_epi32(scaled);
    _mm_storeu_si128((__m128i *)high, _mm512_cvtsepi32_epi8(digit));
    *sum_high = _mm512_add_epi32(*sum_high, digit);
    if (!two_digits) return;
    __m512 rest = _mm512_mul_ps(_mm512_sub_ps(scaled, _mm512_cvtepi32_ps(digit)), _mm512_set1_ps(LOW_DIGIT));
    digit = _mm512_cvtps_epi32(rest);
    _mm_storeu_si128((__m128i *)low, _mm512_cvtsepi32_epi8(digit));
    *sum_low = _mm512_add_epi32(*sum_low, digit);
}

INLINE int32_t load_i32(const void *address) {
    int32_t value;
    memcpy(&value, address, sizeof value);
    return value;
}
