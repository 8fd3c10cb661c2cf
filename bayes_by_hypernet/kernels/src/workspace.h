// Memory that a thread keeps from call to call. Included by *_simd.cc only.

#ifndef BAYES_BY_HYPERNET_OPS_WORKSPACE_H_
#define BAYES_BY_HYPERNET_OPS_WORKSPACE_H_

#include <cstddef>
#include <memory>
#include <new>

#include "vectors.h"

namespace bbh {
namespace BBH_ISA {
namespace {

// Memory for `size` vectors.
template <typename T>
Vector<T>* workspace(size_t size) {
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t(64)); }
  };
  static thread_local std::unique_ptr<void, Free> memory;
  static thread_local size_t allocated = 0;
  if (size * kVectorBytes > allocated) {
    memory.reset(::operator new(size * kVectorBytes, std::align_val_t(64)));
    allocated = size * kVectorBytes;
  }
  return static_cast<Vector<T>*>(memory.get());
}

}  // namespace
}  // namespace BBH_ISA
}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_WORKSPACE_H_
