// Op for the KL of single weights from the nearest-neighbour entropy of their samples: it divides the
// weights among TensorFlow's threads, as the ops for Eq. 2 do.

#include <cmath>
#include <vector>

#include "division.h"
#include "simd.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "threads.h"

namespace bbh {
namespace {

using namespace tensorflow;
using shape_inference::InferenceContext;

absl::Status shapes(InferenceContext* c) {
  c->set_output(0, c->Scalar());
  std::vector<shape_inference::ShapeHandle> pieces;
  TF_RETURN_IF_ERROR(c->input("samples", &pieces));
  for (size_t i = 0; i < pieces.size(); ++i) {
    TF_RETURN_IF_ERROR(c->WithRank(pieces[i], 2, &pieces[i]));
    c->set_output(1 + i, pieces[i]);
  }
  return absl::OkStatus();
}

REGISTER_OP("BayesByHypernet>EntropyKl")
    .Attr("T: {float, double}")
    .Attr("N: int >= 1")
    .Attr("prior_stddev: float")
    .Input("samples: N * T")
    .Output("kl: T")
    .Output("gradient: N * T")
    .SetShapeFn(shapes)
    .Doc("The cross-entropy to N(0, prior_stddev^2), none at prior_stddev = 0, less the "
         "nearest-neighbour entropy, of samples (n, num_weights_l), in nats, and its gradient.");

template <typename T>
class EntropyKlOp : public OpKernel {
 public:
  explicit EntropyKlOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("prior_stddev", &stddev_));
  }

  void Compute(OpKernelContext* context) override {
    OpInputList samples;
    OP_REQUIRES_OK(context, context->input_list("samples", &samples));
    OP_REQUIRES(context, TensorShapeUtils::IsMatrix(samples[0].shape()),
                errors::InvalidArgument("samples must be matrices, got ",
                                        samples[0].shape().DebugString()));
    const int64_t n = samples[0].dim_size(0);
    OP_REQUIRES(context, n >= 2 && n <= kMaxSamples,
                errors::InvalidArgument("the entropy needs at least 2 samples, and at most ",
                                        kMaxSamples, ", got ", n));
    const double precision = stddev_ > 0 ? 1 / (static_cast<double>(stddev_) * stddev_) : 0;
    std::vector<EntropyTile<T>> tiles;
    int64_t num_weights = 0;
    for (int l = 0; l < samples.size(); ++l) {
      const Tensor& q = samples[l];
      OP_REQUIRES(context, TensorShapeUtils::IsMatrix(q.shape()) && q.dim_size(0) == n,
                  errors::InvalidArgument("samples must be (", n, ", num_weights), got ",
                                          q.shape().DebugString()));
      Tensor* gradient = nullptr;
      OP_REQUIRES_OK(context, context->allocate_output(1 + l, q.shape(), &gradient));
      const int64_t width = q.dim_size(1);
      append_tiles<T>({n, width, width, static_cast<T>(precision), q.flat<T>().data(),
                       gradient->flat<T>().data()},
                      &tiles);
      num_weights += width;
    }
    const double sum = sum_over_tiles(functions<T>(), tiles, Threads(context));
    // digamma(n) - digamma(1) + log(2), and the constants of the normal density.
    double offset = std::log(2.0);
    for (int64_t i = 1; i < n; ++i) offset += 1.0 / i;
    if (stddev_ > 0) offset -= std::log(stddev_ * std::sqrt(2 * M_PI));
    Tensor* kl = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &kl));
    kl->scalar<T>()() = static_cast<T>(sum / n - num_weights * offset);
  }

 private:
  float stddev_ = 0;
};

#define BBH_REGISTER(T)                                                                 \
  REGISTER_KERNEL_BUILDER(                                                              \
      Name("BayesByHypernet>EntropyKl").Device(DEVICE_CPU).TypeConstraint<T>("T"), EntropyKlOp<T>)

BBH_REGISTER(float);
BBH_REGISTER(double);

}  // namespace
}  // namespace bbh
