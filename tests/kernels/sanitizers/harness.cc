// Runs the numerics of the operations, divided among threads as the operations divide them, without
// TensorFlow, so that sanitizers see every step.
//
//   harness CASES RESULTS
//
// Both files hold, case after case, what harness.py writes and reads: a `Case`, the pieces' widths
// and the arrays; the results. Every array has its own piece of the heap, not a byte longer. Several
// callers may run a case at once, on the same inputs; their results have to be the same bits.

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "division.h"
#include "simd.h"

namespace bbh {

#define BBH_DECLARE_DRAW(name)                                       \
  namespace name {                                                   \
  void draw(const NormalStream&, int64_t, int64_t, float*);          \
  void draw(const NormalStream&, int64_t, int64_t, double*);         \
  }
BBH_DECLARE_DRAW(generic)
BBH_DECLARE_DRAW(avx2)
BBH_DECLARE_DRAW(avx512)

namespace {

enum Operation : int64_t { kKl, kDrawnKl, kProduct, kAdam, kEntropy };
enum Gradients : int64_t { kPosterior = 1, kPrior = 2 };

struct Case {
  int64_t operation, scalar_bytes, instruction_set, threads, callers;
  int64_t offset;   // of each array from where memory begins, in numbers
  int64_t n, m;     // samples; of matrices: rank and rows
  int64_t columns;  // of matrices; else the number of pieces
  int64_t gradients;
  int64_t key[2], counter[2];
  double settings[4];  // stddev; prior_precision; or alpha, beta_1, beta_2, epsilon
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "harness: %s\n", what);
  std::exit(3);
}

template <typename T>
struct Numerics {
  Functions<T> functions;
  void (*draw)(const NormalStream&, int64_t, int64_t, T*);
};

template <typename T>
Numerics<T> numerics(int64_t instruction_set) {
#define BBH_NUMERICS(name)                                                                   \
  return {{#name, name::kernel_kl, name::entropy_kl, name::outer_product_adam, name::thin_product}, \
          name::draw}
  switch (instruction_set) {
#ifdef BBH_WITH_GENERIC
    case 0: BBH_NUMERICS(generic);
#endif
#ifdef BBH_WITH_AVX2
    case 1: BBH_NUMERICS(avx2);
#endif
#ifdef BBH_WITH_AVX512
    case 2: BBH_NUMERICS(avx512);
#endif
    default: fail("compiled without this instruction set");
  }
}

// An array in memory of its own. What nobody writes stays NaN.
template <typename T>
class Array {
 public:
  Array(int64_t size, int64_t offset) : size_(size), offset_(offset), memory_(new T[size + offset]) {
    std::memset(memory_.get(), 0xff, (size + offset) * sizeof(T));
  }
  T* data() const { return memory_.get() + offset_; }
  int64_t size() const { return size_; }
  bool same_bits(const Array& other) const {
    return std::memcmp(data(), other.data(), size_ * sizeof(T)) == 0;
  }

 private:
  int64_t size_, offset_;
  std::unique_ptr<T[]> memory_;
};

template <typename T>
using Arrays = std::vector<Array<T>>;

// TensorFlow's threads, but without the pool: parts of one to three units, to whoever comes first.
struct Threads {
  int64_t count;

  template <typename Work>
  void operator()(int64_t total, int64_t, const Work& work) const {
    std::atomic<int64_t> next{0};
    const auto run = [&] {
      for (int64_t size = 1;; size = size % 3 + 1) {
        const int64_t begin = next.fetch_add(size);
        if (begin >= total) return;
        work(begin, std::min(begin + size, total));
      }
    };
    std::vector<std::thread> others;
    for (int64_t i = 1; i < count; ++i) others.emplace_back(run);
    run();
    for (std::thread& other : others) other.join();
  }
};

template <typename T>
Arrays<T> kernel_kl(const Case& a, const std::vector<int64_t>& widths, const Arrays<T>& inputs) {
  const bool drawn = a.operation == kDrawnKl;
  const Numerics<T> calls = numerics<T>(a.instruction_set);
  Arrays<T> results;
  results.reserve(3 * widths.size() + 1);
  std::vector<KernelKlTile<T>> tiles;
  for (size_t l = 0; l < widths.size(); ++l) {
    const int64_t width = widths[l];
    KernelKlTile<T> piece{a.n, a.m, width, width, inputs[l].data(), nullptr};
    if (drawn) {
      const auto part = [](int64_t x) { return static_cast<uint32_t>(x); };
      piece.stream = {{part(a.key[0]), part(a.key[1]) + static_cast<uint32_t>(l)},
                      {part(a.counter[0]), part(a.counter[1])},
                      static_cast<float>(a.settings[0])};
      results.emplace_back(a.m * width, a.offset);
      calls.draw(piece.stream, 0, a.m * width, results.back().data());
    } else {
      piece.prior = inputs[widths.size() + l].data();
    }
    if (a.gradients & kPosterior) {
      results.emplace_back(a.n * width, a.offset);
      piece.posterior_gradient = results.back().data();
    }
    if (a.gradients & kPrior) {
      results.emplace_back(a.m * width, a.offset);
      piece.prior_gradient = results.back().data();
    }
    append_tiles(piece, &tiles);
  }
  const double sum = sum_over_tiles(calls.functions, tiles, Threads{a.threads});
  results.emplace_back(1, a.offset);
  *results.back().data() = static_cast<T>(sum);
  return results;
}

template <typename T>
Arrays<T> entropy(const Case& a, const std::vector<int64_t>& widths, const Arrays<T>& inputs) {
  Arrays<T> results;
  std::vector<EntropyTile<T>> tiles;
  for (size_t l = 0; l < widths.size(); ++l) {
    const int64_t width = widths[l];
    results.emplace_back(a.n * width, a.offset);
    append_tiles<T>({a.n, width, width, static_cast<T>(a.settings[0]), inputs[l].data(),
                     results.back().data()},
                    &tiles);
  }
  const auto functions = numerics<T>(a.instruction_set).functions;
  results.emplace_back(1, a.offset);
  *results.back().data() = static_cast<T>(sum_over_tiles(functions, tiles, Threads{a.threads}));
  return results;
}

template <typename T>
Arrays<T> product(const Case& a, const Arrays<T>& inputs) {
  Arrays<T> results;
  results.emplace_back(a.n * a.columns, a.offset);
  ThinProduct<T> all{a.n, a.m, a.columns};
  all.left = inputs[0].data();
  all.matrix = inputs[1].data();
  all.product = results[0].data();
  divide_product(numerics<T>(a.instruction_set).functions, all, a.threads, Threads{a.threads});
  return results;
}

template <typename T>
Arrays<T> adam(const Case& a, const Arrays<T>& inputs) {
  Arrays<T> results;
  for (int i = 2; i < 5; ++i) {  // matrix, momentum and velocity: each caller has its own
    results.emplace_back(inputs[i].size(), a.offset);
    std::copy_n(inputs[i].data(), inputs[i].size(), results.back().data());
  }
  results.emplace_back(a.n * a.m, a.offset);
  OuterProductAdam<T> all{a.n, a.m, a.columns};
  all.matrix = results[0].data();
  all.momentum = results[1].data();
  all.velocity = results[2].data();
  all.left = inputs[0].data();
  all.right = inputs[1].data();
  all.left_gradient = results[3].data();
  all.alpha = static_cast<T>(a.settings[0]);
  all.beta_1 = static_cast<T>(a.settings[1]);
  all.beta_2 = static_cast<T>(a.settings[2]);
  all.epsilon = static_cast<T>(a.settings[3]);
  divide_adam(numerics<T>(a.instruction_set).functions, all, Threads{a.threads});
  return results;
}

template <typename T>
void run(const Case& a, std::istream& in, std::ostream& out) {
  const bool is_kl =
      a.operation == kKl || a.operation == kDrawnKl || a.operation == kEntropy;
  std::vector<int64_t> widths(is_kl ? a.columns : 0), sizes;
  in.read(reinterpret_cast<char*>(widths.data()), widths.size() * sizeof(int64_t));
  for (const int64_t width : widths) sizes.push_back(a.n * width);
  for (const int64_t width : widths) {
    if (a.operation == kKl) sizes.push_back(a.m * width);
  }
  if (!is_kl) sizes.push_back(a.n * a.m);
  if (a.operation == kAdam) sizes.push_back(a.n * a.columns);
  if (!is_kl) sizes.resize(sizes.size() + (a.operation == kAdam ? 3 : 1), a.m * a.columns);
  Arrays<T> inputs;
  for (const int64_t size : sizes) {
    inputs.emplace_back(size, a.offset);
    in.read(reinterpret_cast<char*>(inputs.back().data()), size * sizeof(T));
  }
  if (!in) fail("the cases end too early");
  std::vector<Arrays<T>> results(a.callers);
  const auto call = [&](int64_t caller) {
    results[caller] = a.operation == kEntropy ? entropy(a, widths, inputs)
                      : is_kl                 ? kernel_kl(a, widths, inputs)
                      : a.operation == kProduct ? product(a, inputs)
                                                : adam(a, inputs);
  };
  std::vector<std::thread> others;
  for (int64_t i = 1; i < a.callers; ++i) others.emplace_back(call, i);
  call(0);
  for (std::thread& other : others) other.join();
  for (const Arrays<T>& other : results) {
    for (size_t i = 0; i < other.size(); ++i) {
      if (!other[i].same_bits(results[0][i])) fail("two callers got different results");
    }
  }
  for (const Array<T>& array : results[0]) {
    out.write(reinterpret_cast<const char*>(array.data()), array.size() * sizeof(T));
  }
}

}  // namespace
}  // namespace bbh

int main(int argc, char** argv) {
  if (argc != 3) bbh::fail("usage: harness CASES RESULTS");
  std::ifstream in(argv[1], std::ios::binary);
  std::ofstream out(argv[2], std::ios::binary);
  bbh::Case next;
  int64_t number = 0;
  while (in.read(reinterpret_cast<char*>(&next), sizeof next)) {
    std::fprintf(stderr, "case %lld\n", static_cast<long long>(number++));
    next.scalar_bytes == sizeof(float) ? bbh::run<float>(next, in, out)
                                       : bbh::run<double>(next, in, out);
  }
  return in.gcount() == 0 && out.flush() ? 0 : 3;
}
