// Nearest samples by sorting posterior and prior samples together: the way for many. The nearest
// ones are then the next to the left or to the right. Included by *_simd.cc only.

#ifndef BAYES_BY_HYPERNET_OPS_SORTED_SWEEP_H_
#define BAYES_BY_HYPERNET_OPS_SORTED_SWEEP_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "kernel_kl.h"
#include "sorting_network.h"

namespace bbh {
namespace BBH_ISA {
namespace {

// A network sorts all lanes at once.
template <typename T>
class SortedSweep {
 public:
  using V = Vector<T>;
  using I = Integers<T>;

  static size_t size(int64_t n, int64_t m) {
    return (n + m) * (sizeof(V) + sizeof(I) + sizeof(Neighbours)) / sizeof(V);
  }

  SortedSweep(int64_t n, int64_t m, V* memory)
      : count_(n + m),
        values_(memory),
        places_(reinterpret_cast<I*>(memory + count_)),
        left_(reinterpret_cast<Neighbours*>(memory + 2 * count_)),
        exchanges_(merge_exchange(count_)) {}

  // As AllPairs::run.
  V run(const Block<T>& block) {
    sort(block);
    sweep_from_left(block.n);
    return sweep_from_right(block);
  }

 private:
  // The nearest sample of one kind to one side: the distance to it, to the one after it (which
  // tells ties), and its place: i for posterior sample i, n + j for prior sample j.
  struct Nearest {
    V distance, distance_after;
    I place;
  };
  struct Neighbours {
    Nearest posterior, prior;
  };

  // Looks back on what a sweep has passed.
  class Memory {
   public:
    // From the left all distances are `value - passed`, from the right `passed - value`. `first` is
    // a place of the kind, for where NaN and infinity hide that nothing has passed yet.
    Memory(bool from_left, Integer<T> first)
        : last_(V{} + (from_left ? -kInfinity : kInfinity)), before_(last_), place_(I{} + first) {}
    void pass(I kind, V value, I place) {
      before_ = kind ? last_ : before_;
      last_ = kind ? value : last_;
      place_ = kind ? place : place_;
    }
    Nearest nearest(V value) const {
      return {absolute<T>(value - last_), absolute<T>(value - before_), place_};
    }

   private:
    V last_, before_;
    I place_;
  };

  static constexpr T kInfinity = std::numeric_limits<T>::infinity();

  void sort(const Block<T>& block) {
    for (int64_t i = 0; i < count_; ++i) {
      values_[i] = i < block.n ? block.q[i] : block.p[i - block.n];
      places_[i] = I{} + static_cast<Integer<T>>(i);
    }
    for (const auto& [i, j] : exchanges_) {
      const V a = values_[i], b = values_[j];
      const I place_a = places_[i], place_b = places_[j], wrong = b < a;
      values_[i] = wrong ? b : a;
      values_[j] = wrong ? a : b;
      places_[i] = wrong ? place_b : place_a;
      places_[j] = wrong ? place_a : place_b;
    }
  }

  void sweep_from_left(Integer<T> n) {
    Memory posterior(true, 0), prior(true, n);
    for (int64_t t = 0; t < count_; ++t) {
      const V value = values_[t];
      left_[t] = {posterior.nearest(value), prior.nearest(value)};
      posterior.pass(places_[t] < n, value, places_[t]);
      prior.pass(places_[t] >= n, value, places_[t]);
    }
  }

  V sweep_from_right(const Block<T>& block) {
    const Integer<T> n = block.n;
    Memory posterior(false, 0), prior(false, n);
    V sum = {};
    I tied = {};
    for (int64_t t = count_ - 1; t >= 0; --t) {
      const V value = values_[t];
      const I place = places_[t], is_posterior = place < n;
      const Side to_self = closer(left_[t].posterior, posterior.nearest(value));
      const Side to_prior = closer(left_[t].prior, prior.nearest(value));
      sum += where<T>(is_posterior, log_ratio<T>(to_prior.distance, to_self.distance));
      tied |= is_posterior & (to_self.tied | to_prior.tied);
      const V pull = to_prior.difference * gradient_scale<T>(to_prior.distance, block.n);
      const V push = to_self.difference * gradient_scale<T>(to_self.distance, block.n);
      for (int l = 0; l < kLanes<T>; ++l) {
        if (!is_posterior[l]) continue;
        BBH_CHECK(to_self.place[l] >= 0 && to_self.place[l] < n);
        BBH_CHECK(to_prior.place[l] >= n && to_prior.place[l] < count_);
        lane(block.grad_q, place[l], l) += pull[l] - push[l];
        lane(block.grad_q, to_self.place[l], l) += push[l];
        if (block.grad_p) lane(block.grad_p, to_prior.place[l] - block.n, l) -= pull[l];
      }
      posterior.pass(is_posterior, value, place);
      prior.pass(~is_posterior, value, place);
    }
    for (int l = 0; l < kLanes<T>; ++l) {
      if (tied[l]) share_among_ties(block, l);
    }
    return sum;
  }

  // The closer of the nearest to the left and to the right.
  struct Side {
    V distance, difference;  // difference = value - nearest: the distance and its sign
    I place, tied;
  };

  static Side closer(const Nearest& left, const Nearest& right) {
    const I is_left = left.distance < right.distance;
    const V distance = is_left ? left.distance : right.distance;
    const V after = is_left ? left.distance_after : right.distance_after;
    const I tied = (left.distance == right.distance) | (after == distance);
    // Identical samples do not pull, whoever shares that.
    return {distance, is_left ? distance : -distance, is_left ? left.place : right.place,
            tied & (distance > T(0))};
  }

  static T& lane(V* rows, int64_t row, int l) {
    return reinterpret_cast<T*>(rows)[row * kLanes<T> + l];
  }

  // Makes the gradient of one lane anew, sample by sample, shared equally where distances tie.
  void share_among_ties(const Block<T>& block, int l) {
    for (int64_t i = 0; i < block.n; ++i) lane(block.grad_q, i, l) = 0;
    for (int64_t j = 0; block.grad_p && j < block.m; ++j) lane(block.grad_p, j, l) = 0;
    for (int64_t t = 0; t < count_; ++t) {
      if (places_[t][l] >= block.n) continue;
      share(block, l, t, /*among_prior=*/true);
      share(block, l, t, /*among_prior=*/false);
    }
  }

  void share(const Block<T>& block, int l, int64_t t, bool among_prior) {
    const T value = values_[t][l];
    const auto is_wanted = [&](int64_t s) { return (places_[s][l] >= block.n) == among_prior; };
    const auto distance = [&](int64_t s) { return std::abs(value - values_[s][l]); };
    // Calls visit(s) for the wanted samples from t on to one side, until it says no.
    const auto walk = [&](int64_t step, auto visit) {
      for (int64_t s = t + step; s >= 0 && s < count_; s += step) {
        if (is_wanted(s) && !visit(s)) return;
      }
    };
    T nearest = kInfinity;
    for (int64_t step : {-1, 1}) {
      walk(step, [&](int64_t s) {
        nearest = std::min(nearest, distance(s));
        return false;
      });
    }
    if (!(nearest > 0)) return;
    std::vector<int64_t> hits;
    for (int64_t step : {-1, 1}) {
      walk(step, [&](int64_t s) {
        if (distance(s) > nearest) return false;
        hits.push_back(s);
        return true;
      });
    }
    const T sign = among_prior ? 1 : -1;
    const T scale = sign / (T(block.n) * hits.size() * (nearest * nearest + T(kGuard)));
    for (const int64_t s : hits) {
      const T pull = (value - values_[s][l]) * scale;
      lane(block.grad_q, places_[t][l], l) += pull;
      if (!among_prior) {
        lane(block.grad_q, places_[s][l], l) -= pull;
      } else if (block.grad_p) {
        lane(block.grad_p, places_[s][l] - block.n, l) -= pull;
      }
    }
  }

  const int64_t count_;
  V* values_;
  I* places_;
  Neighbours* left_;
  const Exchanges exchanges_;
};

}  // namespace
}  // namespace BBH_ISA
}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_SORTED_SWEEP_H_
