// Which of the compiled instruction sets runs on this processor, and an op that tells.

#include "simd.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace bbh {
namespace {

#define BBH_FUNCTIONS(name)                                                             \
  Functions<T> {                                                                        \
    #name, name::kernel_kl, name::entropy_kl, name::outer_product_adam, name::thin_product \
  }

template <typename T>
Functions<T> choose() {
#ifdef BBH_X86
  // What the avx2 and avx512 objects are compiled with (build.py).
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
      return BBH_FUNCTIONS(avx512);
    }
    return BBH_FUNCTIONS(avx2);
  }
#endif
  return BBH_FUNCTIONS(generic);
}

}  // namespace

template <typename T>
const Functions<T>& functions() {
  static const Functions<T> chosen = choose<T>();
  return chosen;
}

template const Functions<float>& functions();
template const Functions<double>& functions();

namespace {

using namespace tensorflow;

REGISTER_OP("BayesByHypernet>InstructionSet")
    .Output("name: string")
    .SetShapeFn(shape_inference::ScalarShape)
    .Doc("The instruction set that the ops of this library use on this processor.");

class InstructionSetOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    Tensor* name = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &name));
    name->scalar<tstring>()() = functions<float>().instruction_set;
  }
};

REGISTER_KERNEL_BUILDER(Name("BayesByHypernet>InstructionSet").Device(DEVICE_CPU),
                        InstructionSetOp);

}  // namespace
}  // namespace bbh
