// Standard normal numbers, those of tf.random.stateless_normal to rounding, many at a time.
// Included by *_simd.cc only: everything here is compiled once per instruction set.

#ifndef BAYES_BY_HYPERNET_OPS_NORMALS_H_
#define BAYES_BY_HYPERNET_OPS_NORMALS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "simd.h"
#include "vectors.h"

namespace bbh {
namespace BBH_ISA {
namespace {

constexpr int kGroups = 16;            // Philox groups computed side by side
constexpr int kNormals = 4 * kGroups;  // the normal numbers of one call

inline void philox(const NormalStream& stream, uint64_t first_group, uint32_t (*x)[kGroups]) {
  for (int l = 0; l < kGroups; ++l) {
    const uint64_t group = first_group + l;
    x[0][l] = static_cast<uint32_t>(group);
    x[1][l] = static_cast<uint32_t>(group >> 32);
    x[2][l] = stream.counter[0];
    x[3][l] = stream.counter[1];
  }
  uint32_t key_0 = stream.key[0], key_1 = stream.key[1];
  for (int round = 0; round < 10; ++round) {
    for (int l = 0; l < kGroups; ++l) {
      const uint64_t a = uint64_t{0xD2511F53} * x[0][l], b = uint64_t{0xCD9E8D57} * x[2][l];
      x[0][l] = static_cast<uint32_t>(b >> 32) ^ x[1][l] ^ key_0;
      x[1][l] = static_cast<uint32_t>(b);
      x[2][l] = static_cast<uint32_t>(a >> 32) ^ x[3][l] ^ key_1;
      x[3][l] = static_cast<uint32_t>(a);
    }
    key_0 += 0x9E3779B9;
    key_1 += 0xBB67AE85;
  }
}

// In [0, 1), from the low 23 bits.
inline float unit_interval(uint32_t x) {
  const uint32_t bits = 0x3f800000u | (x & 0x007fffffu);
  float y;
  std::memcpy(&y, &bits, sizeof y);
  return y - 1.0f;
}

// Two normal numbers each from pairs of integers (Box and Muller 1958).
inline void box_muller(const uint32_t* a, const uint32_t* b, float* first, float* second) {
  alignas(64) float logs[kGroups];
  for (int l = 0; l < kGroups; ++l) logs[l] = std::max(unit_interval(a[l]), 1e-7f);
  for (int l = 0; l < kGroups; l += kLanes<float>) store<float>(logarithm(load(logs + l)), logs + l);
  for (int l = 0; l < kGroups; ++l) {
    const float radius = std::sqrt(-2.0f * logs[l]);
    // Rounded to float before the sine is taken, as TensorFlow does.
    const float angle = static_cast<float>(6.283185307179586 * unit_interval(b[l]));
    const int32_t quadrant = static_cast<int32_t>(angle * 0.636619772f + 0.5f);
    const float x = static_cast<float>(angle - quadrant * 1.5707963267948966), z = x * x;
    const float sine =
        x + x * z * (-1.0f / 6 + z * (1.0f / 120 + z * (-1.0f / 5040 + z * (1.0f / 362880))));
    const float cosine =
        1.0f + z * (-0.5f + z * (1.0f / 24 +
                                 z * (-1.0f / 720 + z * (1.0f / 40320 - z * (1.0f / 3628800)))));
    const float s = quadrant & 1 ? cosine : sine, c = quadrant & 1 ? sine : cosine;
    first[l] = radius * (quadrant & 2 ? -s : s);
    second[l] = radius * ((quadrant + 1) & 2 ? -c : c);
  }
}

// Values [first, first + count) of the stream.
template <typename T>
void draw_normals(const NormalStream& stream, int64_t first, int64_t count, T* out) {
  alignas(64) uint32_t x[4][kGroups];
  alignas(64) float pairs[4][kGroups];
  alignas(64) float values[kNormals];
  for (int64_t begin = first - first % 4; begin < first + count; begin += kNormals) {
    philox(stream, begin / 4, x);
    box_muller(x[0], x[1], pairs[0], pairs[1]);
    box_muller(x[2], x[3], pairs[2], pairs[3]);
    for (int l = 0; l < kGroups; ++l) {
      for (int e = 0; e < 4; ++e) values[4 * l + e] = stream.stddev * pairs[e][l];
    }
    const int64_t from = std::max<int64_t>(begin, first);
    const int64_t to = std::min<int64_t>(begin + kNormals, first + count);
    for (int64_t i = from; i < to; ++i) out[i - first] = values[i - begin];
  }
}

}  // namespace
}  // namespace BBH_ISA
}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_NORMALS_H_
