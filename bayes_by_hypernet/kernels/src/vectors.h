// Vectors of the instruction set's width, by the compiler's own vector types: loops over plain
// arrays are vectorised or not as the optimiser pleases. Included by *_simd.cc only.

#ifndef BAYES_BY_HYPERNET_OPS_VECTORS_H_
#define BAYES_BY_HYPERNET_OPS_VECTORS_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#ifdef __AVX2__
#include <immintrin.h>
#endif

// What has to hold of places in memory that a thread keeps, which no sanitizer can tell apart. The
// library has no such checks: its tests compile with them.
#ifdef BBH_CHECKED
#define BBH_CHECK(condition) \
  if (!(condition)) __builtin_trap()
#else
#define BBH_CHECK(condition)
#endif

namespace bbh {
namespace BBH_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename T>
struct Types;

template <>
struct Types<float> {
  using Integer = int32_t;
  typedef float Vector __attribute__((vector_size(kVectorBytes)));
  typedef Integer Integers __attribute__((vector_size(kVectorBytes)));
  static constexpr Integer kNoSign = 0x7fffffff;
};

template <>
struct Types<double> {
  using Integer = int64_t;
  typedef double Vector __attribute__((vector_size(kVectorBytes)));
  typedef Integer Integers __attribute__((vector_size(kVectorBytes)));
  static constexpr Integer kNoSign = 0x7fffffffffffffff;
};

template <typename T>
using Vector = typename Types<T>::Vector;
// As wide; what comparisons of vectors give.
template <typename T>
using Integer = typename Types<T>::Integer;
template <typename T>
using Integers = typename Types<T>::Integers;
template <typename T>
constexpr int kLanes = kVectorBytes / sizeof(T);

template <typename T>
inline Vector<T> load(const T* from) {
  Vector<T> x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

template <typename T>
inline void store(Vector<T> x, T* to) {
  std::memcpy(to, &x, sizeof x);
}

// How many lanes are meant: all of them, known when compiled, or some.
using AllLanes = std::integral_constant<int64_t, kVectorBytes>;

template <typename T>
inline Vector<T> load(const T* from, AllLanes) {
  return load(from);
}

template <typename T>
inline void store(Vector<T> x, T* to, AllLanes) {
  store<T>(x, to);
}

// The first `count` lanes; the others are zero, and not written.
template <typename T>
inline Vector<T> load(const T* from, int64_t count) {
  Vector<T> x = {};
  std::memcpy(&x, from, count * sizeof(T));
  return x;
}

template <typename T>
inline void store(Vector<T> x, T* to, int64_t count) {
  std::memcpy(to, &x, count * sizeof(T));
}

// Calls step(i, lanes) for every vector of `count` elements, i being the first of it.
template <typename T, typename Step>
inline void for_each_vector(int64_t count, const Step& step) {
  int64_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) step(i, AllLanes());
  if (i < count) step(i, count - i);
}

template <typename T>
inline Vector<T> absolute(Vector<T> x) {
  return (Vector<T>)((Integers<T>)x & Types<T>::kNoSign);
}

// a where neither is NaN and a < b, else b.
template <typename T>
inline Vector<T> lesser(Vector<T> a, Vector<T> b) {
  return a < b ? a : b;
}

template <typename T>
inline Vector<T> where(Integers<T> condition, Vector<T> x) {
  return (Vector<T>)((Integers<T>)x & condition);
}

// log(x) to two units in the last place: x = 2^e y with sqrt(1/2) <= y < sqrt(2),
// s = (y - 1) / (y + 1), log y = 2 atanh(s). In float what is no normal positive number gives NaN.
inline Vector<float> logarithm(Vector<float> x) {
  using Ints = Integers<float>;
  constexpr int32_t kHalfRoot = 0x3f3504f3;  // bits of sqrt(1/2)
  constexpr float kSmallest = std::numeric_limits<float>::min();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  // Of infinity and NaN x - x makes NaN.
  const Vector<float> poison = x >= kSmallest ? x - x : Vector<float>{} + kNaN;
  const Ints offset = (Ints)x - kHalfRoot;
  const Vector<float> exponent = __builtin_convertvector(offset >> 23, Vector<float>);
  const Vector<float> y = (Vector<float>)((offset & 0x007fffff) + kHalfRoot);
  const Vector<float> f = y - 1.0f, s = f / (y + 1.0f), z = s * s;
  const Vector<float> series =
      z * (2.0f / 3 + z * (2.0f / 5 + z * (2.0f / 7 + z * (2.0f / 9))));
  // 2 s = f - s f keeps the digits of small f.
  return f - s * (f - series) + exponent * 0.693147181f + poison;
}

inline Vector<double> logarithm(Vector<double> x) {
  for (int l = 0; l < kLanes<double>; ++l) x[l] = std::log(x[l]);
  return x;
}

// x / (sqrt(y) + epsilon) for y >= 0. In float by estimates and a step of Newton's each, good to two
// units in the last place: the exact instructions would take longer than the memory traffic of Adam.
inline Vector<float> over_root(Vector<float> x, Vector<float> y, float epsilon) {
#ifdef __AVX2__
  // The estimate for 0 is infinite; a root of 1e-15 is as good as 0 beside any epsilon in use.
  constexpr float kTiny = 1e-30f;
  y = y < kTiny ? kTiny : y;  // in this order NaN stays
#ifdef __AVX512F__
  Vector<float> r = (Vector<float>)_mm512_rsqrt14_ps((__m512)y);
#else
  Vector<float> r = (Vector<float>)_mm256_rsqrt_ps((__m256)y);
#endif
  r = r * (1.5f - 0.5f * y * r * r);
  const Vector<float> d = y * r + epsilon;
#ifdef __AVX512F__
  Vector<float> q = (Vector<float>)_mm512_rcp14_ps((__m512)d);
#else
  Vector<float> q = (Vector<float>)_mm256_rcp_ps((__m256)d);
#endif
  return x * (q * (2.0f - d * q));
#else
  for (int l = 0; l < kLanes<float>; ++l) x[l] /= std::sqrt(y[l]) + epsilon;
  return x;
#endif
}

inline Vector<double> over_root(Vector<double> x, Vector<double> y, double epsilon) {
  for (int l = 0; l < kLanes<double>; ++l) x[l] /= std::sqrt(y[l]) + epsilon;
  return x;
}

template <typename T>
inline double sum_of_lanes(Vector<T> x, int64_t count = kLanes<T>) {
  double sum = 0;
  for (int l = 0; l < kLanes<T> && l < count; ++l) sum += x[l];
  return sum;
}

}  // namespace
}  // namespace BBH_ISA
}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_VECTORS_H_
