// Divides work (division.h) among TensorFlow's threads.

#ifndef BAYES_BY_HYPERNET_OPS_THREADS_H_
#define BAYES_BY_HYPERNET_OPS_THREADS_H_

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace bbh {

class Threads {
 public:
  explicit Threads(tensorflow::OpKernelContext* context)
      : threads_(*context->device()->tensorflow_cpu_worker_threads()) {}

  int64_t count() const { return threads_.num_threads; }

  template <typename Work>
  void operator()(int64_t total, int64_t cost, const Work& work) const {
    tensorflow::Shard(threads_.num_threads, threads_.workers, total, cost, work);
  }

 private:
  const tensorflow::DeviceBase::CpuWorkerThreads& threads_;
};

}  // namespace bbh

#endif  // BAYES_BY_HYPERNET_OPS_THREADS_H_
