// How the ops divide their work among threads. Needs nothing of TensorFlow's, so that the tests
// run the same divisions under sanitizers.
//
// `divide(total, cost, work)` calls work(begin, end) for parts of [0, total), from any threads, and
// returns when all are done; `cost` is a guess of nanoseconds for each unit.

#ifndef BAYES_BY_HYPERNET_OPS_DIVISION_H_
#define BAYES_BY_HYPERNET_OPS_DIVISION_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "simd.h"

namespace bbh {

// Weights of one tile, the unit of work and of summation: a multiple of every block's size.
constexpr int64_t kTileWidth = 1024;
// Posterior and prior samples together: what a thread needs for their search grows with them.
constexpr int64_t kMaxSamples = 65536;

// Rows of the matrix that one thread takes at a time, and columns of the product: at most as many as
// keep the product's rows in the second cache, and fewer where that divides the work better.
constexpr int64_t kRowsOfWork = 8;
constexpr int64_t kColumnsOfWork = 16384;
constexpr int64_t kPartsOfThread = 8;

// Divides one weight tensor, `piece` with all its weights, into tiles.
template <typename T>
void append_tiles(const KernelKlTile<T>& piece, std::vector<KernelKlTile<T>>* tiles) {
  for (int64_t first = 0; first < piece.stride; first += kTileWidth) {
    KernelKlTile<T> tile = piece;
    tile.first = first;
    tile.width = std::min(kTileWidth, piece.stride - first);
    tile.posterior += first;
    if (tile.prior) tile.prior += first;
    if (tile.posterior_gradient) tile.posterior_gradient += first;
    if (tile.prior_gradient) tile.prior_gradient += first;
    tiles->push_back(tile);
  }
}

template <typename T>
void append_tiles(const EntropyTile<T>& piece, std::vector<EntropyTile<T>>* tiles) {
  for (int64_t first = 0; first < piece.stride; first += kTileWidth) {
    EntropyTile<T> tile = piece;
    tile.width = std::min(kTileWidth, piece.stride - first);
    tile.samples += first;
    tile.gradient += first;
    tiles->push_back(tile);
  }
}

// The sum of function(tile): of the same parts in the same order whatever the number of threads.
template <typename Tile, typename Divide>
double sum_over_tiles(double (*function)(const Tile&), const std::vector<Tile>& tiles,
                      int64_t cost_of_weight, const Divide& divide) {
  std::vector<double> sums(tiles.size());
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[i] = function(tiles[i]);
  };
  divide(static_cast<int64_t>(tiles.size()), kTileWidth * cost_of_weight, work);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

template <typename T, typename Divide>
double sum_over_tiles(const Functions<T>& functions, const std::vector<KernelKlTile<T>>& tiles,
                      const Divide& divide) {
  if (tiles.empty()) return 0;
  const int64_t n = tiles[0].num_posterior, m = tiles[0].num_prior;
  return sum_over_tiles(functions.kernel_kl, tiles, n * (n + m) / 16 + n + m, divide);
}

template <typename T, typename Divide>
double sum_over_tiles(const Functions<T>& functions, const std::vector<EntropyTile<T>>& tiles,
                      const Divide& divide) {
  if (tiles.empty()) return 0;
  const int64_t n = tiles[0].num_samples;
  return sum_over_tiles(functions.entropy_kl, tiles, n * (2 + n / 10), divide);
}

template <typename T, typename Divide>
void divide_product(const Functions<T>& functions, const ThinProduct<T>& all, int64_t num_threads,
                    const Divide& divide) {
  const int64_t width =
      std::clamp<int64_t>(all.columns / (kPartsOfThread * num_threads), 1, kColumnsOfWork);
  const auto work = [&](int64_t begin, int64_t end) {
    ThinProduct<T> part = all;
    part.first_column = begin * width;
    part.last_column = std::min(end * width, all.columns);
    functions.thin_product(part);
  };
  divide((all.columns + width - 1) / width, all.rows * width, work);
}

template <typename T, typename Divide>
void divide_adam(const Functions<T>& functions, const OuterProductAdam<T>& all,
                 const Divide& divide) {
  const auto work = [&](int64_t begin, int64_t end) {
    OuterProductAdam<T> part = all;
    part.first_row = begin * kRowsOfWork;
    part.last_row = std::min(end * kRowsOfWork, all.rows);
    functions.outer_product_adam(part);
  };
  divide((all.rows + kRowsOfWork - 1) / kRowsOfWork, kRowsOfWork * all.columns * 4, work);
}

}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_DIVISION_H_
