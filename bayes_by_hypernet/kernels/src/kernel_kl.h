// What the searches for nearest samples have in common. Included by *_simd.cc only.

#ifndef BAYES_BY_HYPERNET_OPS_KERNEL_KL_H_
#define BAYES_BY_HYPERNET_OPS_KERNEL_KL_H_

#include <cstdint>

#include "vectors.h"

namespace bbh {
namespace BBH_ISA {
namespace {

// Added to squared distances (ruling 9 of the protocol; the TensorFlow form has the same).
constexpr double kGuard = 1e-8;

// The samples of kLanes neighbouring weights, and their gradients: one vector for each sample.
template <typename T>
struct Block {
  int64_t n, m;                 // numbers of posterior and prior samples
  const Vector<T>*q, *p;
  Vector<T>*grad_q, *grad_p;    // zero before a search; grad_p may be null
};

// What makes of d = q - other the derivative of log(sqrt(d^2 + guard)) / n.
template <typename T>
inline Vector<T> gradient_scale(Vector<T> distance, int64_t n) {
  return T(1) / (T(n) * (distance * distance + T(kGuard)));
}

// log(to_prior / to_self), guarded.
template <typename T>
inline Vector<T> log_ratio(Vector<T> to_prior, Vector<T> to_self) {
  return T(0.5) *
         logarithm((to_prior * to_prior + T(kGuard)) / (to_self * to_self + T(kGuard)));
}

}  // namespace
}  // namespace BBH_ISA
}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_KERNEL_KL_H_
