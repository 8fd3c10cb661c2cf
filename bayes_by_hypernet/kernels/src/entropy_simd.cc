// KL of single weights from the nearest-neighbour entropy of their samples and the density of a
// normal prior, summed: value and gradient in one pass. The formulas are those of entropy.py.
//
// Neighbouring weights are the lanes of a vector, so that all of them take the same path. A network
// sorts their samples: the nearest other is then the next to the left or to the right.

#include <cstddef>
#include <cstdint>
#include <limits>

#include "simd.h"
#include "sorting_network.h"
#include "vectors.h"
#include "workspace.h"

namespace bbh {
namespace BBH_ISA {
namespace {

constexpr double kRelativeGuard = 1e-3;
constexpr double kTiny = 1e-24;

// A network sorts all lanes at once; backwards, it brings gradients into the samples' order.
template <typename T>
class SortedSamples {
 public:
  using V = Vector<T>;
  using I = Integers<T>;

  // Vectors of memory that are needed.
  static size_t size(int64_t n, const Exchanges& exchanges) { return 5 * n + exchanges.size(); }

  SortedSamples(const Exchanges& exchanges, int64_t n, V* memory)
      : exchanges_(exchanges),
        n_(n),
        sorted_(memory),
        distance_(memory + n),
        gradient_(memory + 2 * n),
        equal_after_(memory + 3 * n),
        push_to_left_(memory + 4 * n),
        exchanged_(reinterpret_cast<I*>(memory + 5 * n)) {}

  // Distance of the i-th in the order to its nearest other.
  V distance(int64_t i) const { return distance_[i]; }

  void sort(const V* q) {
    for (int64_t i = 0; i < n_; ++i) sorted_[i] = q[i];
    for (size_t e = 0; e < exchanges_.size(); ++e) {
      const auto [i, j] = exchanges_[e];
      const V a = sorted_[i], b = sorted_[j];
      const I wrong = b < a;
      sorted_[i] = wrong ? b : a;
      sorted_[j] = wrong ? a : b;
      exchanged_[e] = wrong;
    }
    for (int64_t t = 0; t < n_; ++t) distance_[t] = lesser<T>(gap(t), gap(t + 1));
  }

  // Adds the gradient of -log(distance) of all samples, divided by n. Returns the sum over samples
  // of 1 / (n (distance^2 + guard)).
  V push(V guard, V* gradient) {
    const V sum = push_apart(guard);
    for (size_t e = exchanges_.size(); e-- > 0;) {
      const auto [i, j] = exchanges_[e];
      const V a = gradient_[i], b = gradient_[j];
      gradient_[i] = exchanged_[e] ? b : a;
      gradient_[j] = exchanged_[e] ? a : b;
    }
    for (int64_t i = 0; i < n_; ++i) gradient[i] += gradient_[i];
    return sum;
  }

 private:
  // Distance of sample t to the one before it in the order; infinite at both ends.
  V gap(int64_t t) const {
    return t == 0 || t == n_ ? V{} + std::numeric_limits<T>::infinity()
                             : sorted_[t] - sorted_[t - 1];
  }

  // Each sample pushes its nearest others and is pushed back. Where several are at the same
  // distance, equal samples or one on either side, they share the push; not one behind them whose
  // distance rounds to the same.
  V push_apart(V guard) {
    const V zero = {}, one = zero + T(1);
    equal_after_[n_ - 1] = one;  // how many samples from here on equal this one
    for (int64_t t = n_ - 1; t-- > 0;) {
      equal_after_[t] = one + where<T>(gap(t + 1) == T(0), equal_after_[t + 1]);
    }
    V equal_before = {};    // how many samples up to the last one equal it
    V push_from_left = {};  // what pushes this sample, and its equals, from the left
    V push_to_right = {};   // what the last sample pushes to the right
    V sum = {};
    for (int64_t t = 0; t < n_; ++t) {
      const V left = gap(t), right = gap(t + 1), distance = distance_[t];
      const V on_left = where<T>(left == distance, equal_before);
      const V on_right = t + 1 < n_ ? where<T>(right == distance, equal_after_[t + 1]) : zero;
      const V scale = T(1) / (T(n_) * (distance * distance + guard));
      sum += scale;
      const V share = distance * (scale / (on_left + on_right));
      push_from_left = left == T(0) ? push_from_left : push_to_right;
      gradient_[t] = share * (on_right - on_left) - push_from_left;
      push_to_left_[t] = where<T>(left == distance, share);
      push_to_right = where<T>(right == distance, share);
      equal_before = one + where<T>(left == T(0), equal_before);
    }
    V push_from_right = {};
    for (int64_t t = n_ - 1; t-- > 0;) {
      push_from_right = gap(t + 1) == T(0) ? push_from_right : push_to_left_[t + 1];
      gradient_[t] += push_from_right;
    }
    return sum;
  }

  const Exchanges& exchanges_;
  const int64_t n_;
  V *sorted_, *distance_, *gradient_, *equal_after_, *push_to_left_;
  I* exchanged_;
};

template <typename T>
double run(const EntropyTile<T>& tile) {
  using V = Vector<T>;
  const int64_t n = tile.num_samples;
  const T relative = T(kRelativeGuard / n * kRelativeGuard / n), inverse = T(1.0 / n);
  const T precision = tile.prior_precision;
  const Exchanges exchanges = merge_exchange(n);
  V* memory = workspace<T>(2 * n + SortedSamples<T>::size(n, exchanges));
  V *q = memory, *gradient = q + n;
  SortedSamples<T> sorted(exchanges, n, gradient + n);
  double sum = 0;
  for_each_vector<T>(tile.width, [&](int64_t k, auto lanes) {
    V shift = {}, squares = {}, poison = {};
    for (int64_t i = 0; i < n; ++i) {
      q[i] = load(tile.samples + i * tile.stride + k, lanes);
      gradient[i] = q[i] * (precision * inverse);
      shift += q[i] - q[0];  // nothing where all are equal, whatever their sum rounds to
      squares += q[i] * q[i];
      // Comparisons drop NaN and infinity. x - x is NaN for both, which propagates them.
      poison += q[i] - q[i];
    }
    shift *= inverse;
    const auto centred = [&](int64_t i) { return (q[i] - q[0]) - shift; };
    V variance = {};
    for (int64_t i = 0; i < n; ++i) variance += centred(i) * centred(i);
    const V guard = variance * (relative * inverse) + T(kTiny);
    sorted.sort(q);
    const V by_guard = sorted.push(guard, gradient) * (relative * inverse);
    V sum_of_logs = {};
    for (int64_t i = 0; i < n; ++i) {
      const V distance = sorted.distance(i);
      sum_of_logs += logarithm(distance * distance + guard);
      const V g = gradient[i] - by_guard * centred(i);
      store<T>(g, tile.gradient + i * tile.stride + k, lanes);
    }
    sum += sum_of_lanes<T>(T(0.5) * (precision * squares - sum_of_logs) + poison, lanes);
  });
  return sum;
}

}  // namespace

double entropy_kl(const EntropyTile<float>& tile) { return run(tile); }
double entropy_kl(const EntropyTile<double>& tile) { return run(tile); }

}  // namespace BBH_ISA
}  // namespace bbh
