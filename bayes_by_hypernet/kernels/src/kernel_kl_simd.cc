// Eq. 2 of the paper with d = 1 for each weight, summed: value and gradient in one pass.
//
// Neighbouring weights are the lanes of a vector, so that all of them take the same path.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "all_pairs.h"
#include "kernel_kl.h"
#include "normals.h"
#include "simd.h"
#include "sorted_sweep.h"
#include "vectors.h"
#include "workspace.h"

namespace bbh {
namespace BBH_ISA {
namespace {

// Samples of both kinds up to which comparing each with each is faster than sorting (measured).
constexpr int64_t kMaxUnsorted = 64;

template <typename T, template <typename> class Search>
double sum_over_blocks(const KernelKlTile<T>& tile, const T* prior, int64_t prior_stride) {
  using V = Vector<T>;
  const int64_t n = tile.num_posterior, m = tile.num_prior;
  V* memory = workspace<T>(2 * (n + m) + Search<T>::size(n, m));
  V *q = memory, *p = q + n, *grad_q = p + m, *grad_p = grad_q + n;
  Search<T> search(n, m, grad_p + m);
  const Block<T> block{n, m, q, p, grad_q, tile.prior_gradient ? grad_p : nullptr};
  double sum = 0;
  for_each_vector<T>(tile.width, [&](int64_t k, auto lanes) {
    // Comparisons drop NaN and infinity. x - x is NaN for both, which propagates them.
    V poison = {};
    for (int64_t i = 0; i < n; ++i) {
      q[i] = load(tile.posterior + i * tile.stride + k, lanes);
      poison += q[i] - q[i];
    }
    for (int64_t j = 0; j < m; ++j) {
      p[j] = load(prior + j * prior_stride + k, lanes);
      poison += p[j] - p[j];
    }
    std::fill_n(grad_q, n, V{});
    if (block.grad_p) std::fill_n(grad_p, m, V{});
    sum += sum_of_lanes<T>(search.run(block) + poison, lanes);
    if (T* gradient = tile.posterior_gradient) {
      for (int64_t i = 0; i < n; ++i) store<T>(grad_q[i], gradient + i * tile.stride + k, lanes);
    }
    if (T* gradient = tile.prior_gradient) {
      for (int64_t j = 0; j < m; ++j) store<T>(grad_p[j], gradient + j * tile.stride + k, lanes);
    }
  });
  return sum;
}

template <typename T>
double run(const KernelKlTile<T>& tile) {
  const T* prior = tile.prior;
  int64_t prior_stride = tile.stride;
  static thread_local std::vector<T> drawn;
  if (prior == nullptr) {
    drawn.resize(tile.num_prior * tile.width);
    for (int64_t j = 0; j < tile.num_prior; ++j) {
      draw_normals(tile.stream, j * tile.stride + tile.first, tile.width,
                   drawn.data() + j * tile.width);
    }
    prior = drawn.data();
    prior_stride = tile.width;
  }
  return tile.num_posterior + tile.num_prior <= kMaxUnsorted
             ? sum_over_blocks<T, AllPairs>(tile, prior, prior_stride)
             : sum_over_blocks<T, SortedSweep>(tile, prior, prior_stride);
}

}  // namespace

double kernel_kl(const KernelKlTile<float>& tile) { return run(tile); }
double kernel_kl(const KernelKlTile<double>& tile) { return run(tile); }

}  // namespace BBH_ISA
}  // namespace bbh
