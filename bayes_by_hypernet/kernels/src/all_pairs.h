// Nearest samples by comparing each with each: the way for few. Included by *_simd.cc only.

#ifndef BAYES_BY_HYPERNET_OPS_ALL_PAIRS_H_
#define BAYES_BY_HYPERNET_OPS_ALL_PAIRS_H_

#include <cstdint>
#include <limits>

#include "kernel_kl.h"

namespace bbh {
namespace BBH_ISA {
namespace {

// Samples at the same distance share the gradient: hence the counts.
template <typename T>
class AllPairs {
 public:
  using V = Vector<T>;

  // Vectors of memory that a search needs.
  static size_t size(int64_t n, int64_t) { return 4 * n; }

  AllPairs(int64_t n, int64_t, V* memory)
      : to_prior_(memory), to_self_(memory + n), scale_(memory + 2 * n), count_(memory + 3 * n) {}

  // Returns the sum over samples of log(to_prior / to_self); adds its gradient, divided by n.
  V run(const Block<T>& block) {
    find_nearest(block);
    pull_to_prior(block);
    push_from_others(block);
    V sum = {};
    for (int64_t i = 0; i < block.n; ++i) sum += log_ratio<T>(to_prior_[i], to_self_[i]);
    return sum;
  }

 private:
  void find_nearest(const Block<T>& block) {
    const V infinity = V{} + std::numeric_limits<T>::infinity();
    for (int64_t i = 0; i < block.n; ++i) {
      const V q = block.q[i];
      V nearest = infinity;
      for (int64_t j = 0; j < block.m; ++j) nearest = lesser<T>(absolute<T>(q - block.p[j]), nearest);
      to_prior_[i] = nearest;
      nearest = infinity;
      for (int64_t j = 0; j < i; ++j) {
        const V distance = absolute<T>(q - block.q[j]);
        nearest = lesser<T>(distance, nearest);
        to_self_[j] = lesser<T>(distance, to_self_[j]);
      }
      to_self_[i] = nearest;
    }
  }

  // The gradient of log(to_prior).
  void pull_to_prior(const Block<T>& block) {
    for (int64_t i = 0; i < block.n; ++i) {
      const V q = block.q[i], nearest = to_prior_[i];
      V count = {}, pull = {};
      for (int64_t j = 0; j < block.m; ++j) {
        const V d = q - block.p[j];
        const Integers<T> hit = absolute<T>(d) == nearest;
        count += where<T>(hit, V{} + T(1));
        pull += where<T>(hit, d);
      }
      const V scale = gradient_scale<T>(nearest, block.n) / count;
      block.grad_q[i] += pull * scale;
      if (block.grad_p == nullptr) continue;
      for (int64_t j = 0; j < block.m; ++j) {
        const V d = q - block.p[j];
        block.grad_p[j] -= where<T>(absolute<T>(d) == nearest, d * scale);
      }
    }
  }

  // The gradient of -log(to_self): sample i and its nearest j push each other apart.
  void push_from_others(const Block<T>& block) {
    for (int64_t i = 0; i < block.n; ++i) {
      const V q = block.q[i], nearest = to_self_[i];
      V count = {};
      for (int64_t j = 0; j < i; ++j) {
        const V distance = absolute<T>(q - block.q[j]);
        count += where<T>(distance == nearest, V{} + T(1));
        count_[j] += where<T>(distance == to_self_[j], V{} + T(1));
      }
      count_[i] = count;
    }
    for (int64_t i = 0; i < block.n; ++i)
      scale_[i] = gradient_scale<T>(to_self_[i], block.n) / count_[i];
    for (int64_t i = 0; i < block.n; ++i) {
      const V q = block.q[i], nearest = to_self_[i], scale = scale_[i];
      V grad = block.grad_q[i];
      for (int64_t j = 0; j < i; ++j) {
        const V d = q - block.q[j], distance = absolute<T>(d);
        const V push = d * (where<T>(distance == nearest, scale) +
                            where<T>(distance == to_self_[j], scale_[j]));
        grad -= push;
        block.grad_q[j] += push;
      }
      block.grad_q[i] = grad;
    }
  }

  V *to_prior_, *to_self_, *scale_, *count_;
};

}  // namespace
}  // namespace BBH_ISA
}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_ALL_PAIRS_H_
