// What the numerics offer to the ops. Each *_simd.cc is compiled once per instruction set, in the
// namespace of its name (generic, avx2, avx512); `functions()` picks the best that the processor has.

#ifndef BAYES_BY_HYPERNET_OPS_SIMD_H_
#define BAYES_BY_HYPERNET_OPS_SIMD_H_

#include <cstdint>

namespace bbh {

// The stream of tf.random.stateless_normal(seed): Philox4x32-10 at counter (group, counter), whose
// four outputs are the values 4 * group to 4 * group + 3 of the flattened tensor.
struct NormalStream {
  uint32_t key[2];
  uint32_t counter[2];
  float stddev;
};

// `width` neighbouring weights of one weight tensor. Sample i of weight k lies at [i * stride + k].
template <typename T>
struct KernelKlTile {
  int64_t num_posterior, num_prior;  // n, m
  int64_t width;
  int64_t stride;        // number of weights of the whole tensor
  const T* posterior;    // (n, width) of (n, stride)
  const T* prior;        // (m, width) of (m, stride); null: drawn from `stream`
  NormalStream stream;
  int64_t first;         // index of the first weight in its tensor, where the prior is drawn
  T* posterior_gradient;  // (n, width) of (n, stride), or null
  T* prior_gradient;      // (m, width) of (m, stride), or null
};

// The same for the entropy of samples: with the cross-entropy to N(0, 1 / prior_precision) but for
// its constants, or none at 0.
template <typename T>
struct EntropyTile {
  int64_t num_samples;  // n
  int64_t width;
  int64_t stride;
  T prior_precision;
  const T* samples;  // (n, width) of (n, stride)
  T* gradient;       // (n, width) of (n, stride)
};

// Adam on rows [first_row, last_row) of a matrix (rows, columns) whose gradient is left^T right,
// with left (rank, rows) and right (rank, columns). `left_gradient` (rank, rows) becomes
// right matrix^T, with the matrix as it was before.
template <typename T>
struct OuterProductAdam {
  int64_t rank, rows, columns, first_row, last_row;
  T *matrix, *momentum, *velocity;
  const T *left, *right;
  T* left_gradient;
  T alpha, beta_1, beta_2, epsilon;  // alpha: the learning rate with the bias corrections
};

// Columns [first_column, last_column) of product = left matrix.
template <typename T>
struct ThinProduct {
  int64_t rank, rows, columns, first_column, last_column;
  const T *left, *matrix;
  T* product;
};

template <typename T>
struct Functions {
  const char* instruction_set;
  // Sum over samples and weights of log(to_prior / to_self), and its gradients divided by n.
  double (*kernel_kl)(const KernelKlTile<T>&);
  // Sum over samples and weights of prior_precision w^2 / 2 - log(to_self), and its gradient divided
  // by n.
  double (*entropy_kl)(const EntropyTile<T>&);
  void (*outer_product_adam)(const OuterProductAdam<T>&);
  void (*thin_product)(const ThinProduct<T>&);
};

// The functions of the best instruction set that both the library and the processor have; T is
// float or double.
template <typename T>
const Functions<T>& functions();

#define BBH_DECLARE_INSTRUCTION_SET(name)                           \
  namespace name {                                                  \
  double kernel_kl(const KernelKlTile<float>&);                     \
  double kernel_kl(const KernelKlTile<double>&);                    \
  double entropy_kl(const EntropyTile<float>&);                     \
  double entropy_kl(const EntropyTile<double>&);                    \
  void outer_product_adam(const OuterProductAdam<float>&);          \
  void outer_product_adam(const OuterProductAdam<double>&);         \
  void thin_product(const ThinProduct<float>&);                     \
  void thin_product(const ThinProduct<double>&);                    \
  }

BBH_DECLARE_INSTRUCTION_SET(generic)
#ifdef BBH_X86
BBH_DECLARE_INSTRUCTION_SET(avx2)
BBH_DECLARE_INSTRUCTION_SET(avx512)
#endif

}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_SIMD_H_
