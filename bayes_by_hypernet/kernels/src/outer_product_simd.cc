// Products and Adam on the output matrix of a hypernetwork, whose gradient is an outer product of
// few rows: left^T right. Both are bound by memory, so that each array is walked once.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "simd.h"
#include "vectors.h"

namespace bbh {
namespace BBH_ISA {
namespace {

// Columns of a tile. Adam's four arrays stay in the first cache, the product's rows in the second.
constexpr int64_t kAdamTile = 256;
constexpr int64_t kProductTile = 16384;
// How far ahead the matrix is fetched for the product, in elements: it walks over eight rows at
// once, and would wait for memory at the beginning of each page.
constexpr int64_t kProductAhead = 128;
// Rows of `left` and `right` handled in one walk over the matrix.
constexpr int kMaxRank = 8;

// Calls `function` with `rank` as a constant, 1 to kMaxRank.
template <typename Function>
void with_rank(int64_t rank, const Function& function) {
  switch (rank) {
    case 1: return function(std::integral_constant<int, 1>());
    case 2: return function(std::integral_constant<int, 2>());
    case 3: return function(std::integral_constant<int, 3>());
    case 4: return function(std::integral_constant<int, 4>());
    case 5: return function(std::integral_constant<int, 5>());
    case 6: return function(std::integral_constant<int, 6>());
    case 7: return function(std::integral_constant<int, 7>());
    default: return function(std::integral_constant<int, 8>());
  }
}

// One row's columns [first, first + count) of the arrays of `OuterProductAdam`.
template <typename T>
struct Tile {
  int64_t count;
  T *matrix, *momentum, *velocity;
  const T* right;  // (rank, count) of (rank, columns)
};

// gradient (+)= sum over r of left[r] * right[r]; products[r] += dot(matrix, right[r]).
template <int R, typename T>
void gradient_and_products(const Tile<T>& tile, const T* right, int64_t stride, const T* left,
                           bool add, T* gradient, T* products) {
  using V = Vector<T>;
  V factors[R], sums[R] = {};
  for (int r = 0; r < R; ++r) factors[r] = V{} + left[r];
  const auto step = [&](int64_t i, auto size) {
    // The arithmetic here hides the way of what comes next from memory.
    __builtin_prefetch(tile.momentum + i, 1);
    __builtin_prefetch(tile.velocity + i, 1);
    const V w = load(tile.matrix + i, size);
    V g = {};
    if (add) g = load(gradient + i, size);
    for (int r = 0; r < R; ++r) {
      const V x = load(right + r * stride + i, size);
      g += factors[r] * x;
      sums[r] += w * x;
    }
    store<T>(g, gradient + i, size);
  };
  for_each_vector<T>(tile.count, step);
  for (int r = 0; r < R; ++r) products[r] += sum_of_lanes<T>(sums[r]);
}

// The above for any rank, kMaxRank rows at a time. `left` holds this row's `rank` factors.
template <typename T>
void gradient_and_products(const OuterProductAdam<T>& a, const Tile<T>& tile, const T* left,
                           T* gradient, T* products) {
  for (int64_t r = 0; r < a.rank; r += kMaxRank) {
    with_rank(std::min<int64_t>(kMaxRank, a.rank - r), [&](auto rank) {
      gradient_and_products<decltype(rank)::value>(tile, tile.right + r * a.columns, a.columns,
                                                   left + r, r > 0, gradient, products + r);
    });
  }
}

// One array at a time: the same place of a page in several of them would collide in the cache.
template <typename T>
void apply_adam(const OuterProductAdam<T>& a, const Tile<T>& tile, const T* gradient) {
  using V = Vector<T>;
  const T rest_1 = T(1) - a.beta_1, rest_2 = T(1) - a.beta_2, alpha = a.alpha, epsilon = a.epsilon;
  for_each_vector<T>(tile.count, [=](int64_t i, auto size) {
    __builtin_prefetch(tile.matrix + tile.count + i, 1);  // of the next tile
    const V m = load(tile.momentum + i, size), g = load(gradient + i, size);
    store<T>(m + (g - m) * rest_1, tile.momentum + i, size);
  });
  for_each_vector<T>(tile.count, [=](int64_t i, auto size) {
    const V v = load(tile.velocity + i, size), g = load(gradient + i, size);
    store<T>(v + (g * g - v) * rest_2, tile.velocity + i, size);
  });
  for_each_vector<T>(tile.count, [=](int64_t i, auto size) {
    const V m = load(tile.momentum + i, size), v = load(tile.velocity + i, size);
    const V w = load(tile.matrix + i, size);
    store<T>(w - over_root(m * alpha, v, epsilon), tile.matrix + i, size);
  });
}

template <typename T>
void update(const OuterProductAdam<T>& a) {
  alignas(64) T gradient[kAdamTile] = {};  // what it stays where the rank is 0
  std::vector<T> left(a.rank), products(a.rank);
  for (int64_t row = a.first_row; row < a.last_row; ++row) {
    for (int64_t r = 0; r < a.rank; ++r) left[r] = a.left[r * a.rows + row];
    std::fill(products.begin(), products.end(), T(0));
    for (int64_t begin = 0; begin < a.columns; begin += kAdamTile) {
      const int64_t offset = row * a.columns + begin;
      const Tile<T> tile{std::min(kAdamTile, a.columns - begin), a.matrix + offset,
                         a.momentum + offset, a.velocity + offset, a.right + begin};
      gradient_and_products(a, tile, left.data(), gradient, products.data());
      apply_adam(a, tile, gradient);
    }
    for (int64_t r = 0; r < a.rank; ++r) a.left_gradient[r * a.rows + row] = products[r];
  }
}

// product[r] += sum over `Rows` rows j of the matrix of left[r][j] * matrix[j], for R rows r.
template <int R, int Rows, typename T>
void add_rows(const ThinProduct<T>& a, int64_t first, int64_t row, int64_t begin, int64_t count) {
  const T* matrix = a.matrix + row * a.columns + begin;
  T* product = a.product + first * a.columns + begin;
  const int64_t columns = a.columns;
  T left[R][Rows];
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < Rows; ++j) left[r][j] = a.left[(first + r) * a.rows + row + j];
  }
  for_each_vector<T>(count, [&](int64_t i, auto size) {
    Vector<T> values[Rows];
    for (int j = 0; j < Rows; ++j) {
      __builtin_prefetch(matrix + j * columns + i + kProductAhead);
      values[j] = load(matrix + j * columns + i, size);
    }
    for (int r = 0; r < R; ++r) {
      Vector<T> sum = load(product + r * columns + i, size);
      for (int j = 0; j < Rows; ++j) sum += left[r][j] * values[j];
      store<T>(sum, product + r * columns + i, size);
    }
  });
}

template <typename T>
void multiply(const ThinProduct<T>& a) {
  constexpr int kRows = 8;
  for (int64_t begin = a.first_column; begin < a.last_column; begin += kProductTile) {
    const int64_t count = std::min(kProductTile, a.last_column - begin);
    for (int64_t r = 0; r < a.rank; ++r)
      std::fill_n(a.product + r * a.columns + begin, count, T(0));
    for (int64_t r = 0; r < a.rank; r += kMaxRank) {
      with_rank(std::min<int64_t>(kMaxRank, a.rank - r), [&](auto rank) {
        constexpr int R = decltype(rank)::value;
        int64_t row = 0;
        for (; row + kRows <= a.rows; row += kRows) add_rows<R, kRows>(a, r, row, begin, count);
        for (; row < a.rows; ++row) add_rows<R, 1>(a, r, row, begin, count);
      });
    }
  }
}

}  // namespace

void outer_product_adam(const OuterProductAdam<float>& a) { update(a); }
void outer_product_adam(const OuterProductAdam<double>& a) { update(a); }
void thin_product(const ThinProduct<float>& a) { multiply(a); }
void thin_product(const ThinProduct<double>& a) { multiply(a); }

}  // namespace BBH_ISA
}  // namespace bbh
