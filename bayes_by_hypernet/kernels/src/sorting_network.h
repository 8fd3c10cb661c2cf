// A network that sorts: which two places are compared does not depend on the values, so that all
// lanes of a vector can be sorted at once. Included by *_simd.cc only.

#ifndef BAYES_BY_HYPERNET_OPS_SORTING_NETWORK_H_
#define BAYES_BY_HYPERNET_OPS_SORTING_NETWORK_H_

#include <cstdint>
#include <utility>
#include <vector>

namespace bbh {
namespace BBH_ISA {
namespace {

using Exchanges = std::vector<std::pair<int32_t, int32_t>>;

// Pairs of places to compare and exchange in this order, for any count (Knuth, The Art of Computer
// Programming 3, Algorithm 5.2.2M).
inline Exchanges merge_exchange(int64_t count) {
  Exchanges pairs;
  int64_t top = 1;
  while (2 * top < count) top *= 2;
  for (int64_t p = top; p > 0; p /= 2) {
    int64_t r = 0, d = p;
    for (int64_t q = top;; q /= 2) {
      for (int64_t i = 0; i + d < count; ++i) {
        if ((i & p) == r) pairs.emplace_back(i, i + d);
      }
      if (q == p) break;
      d = q - p;
      r = p;
    }
  }
  return pairs;
}

}  // namespace
}  // namespace BBH_ISA
}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_SORTING_NETWORK_H_
