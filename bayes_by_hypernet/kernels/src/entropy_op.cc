// Op for the KL of single weights from the nearest-neighbour entropy of their samples: it divides the
// weights among TensorFlow's threads, as the ops for Eq. 2 do.

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace bbh {
namespace {

using namespace tensorflow;
using shape_inference::InferenceContext;

constexpr int64_t kTileWidth = 1024;  // as in kernel_kl_op.cc

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
    OP_REQUIRES(context, n >= 2,
                errors::InvalidArgument("the entropy needs at least 2 samples, got ", n));
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
      for (int64_t first = 0; first < width; first += kTileWidth) {
        tiles.push_back({n, std::min(kTileWidth, width - first), width, static_cast<T>(precision),
                         q.flat<T>().data() + first, gradient->flat<T>().data() + first});
      }
      num_weights += width;
    }
    // digamma(n) - digamma(1) + log(2), and the constants of the normal density.
    double offset = std::log(2.0);
    for (int64_t i = 1; i < n; ++i) offset += 1.0 / i;
    if (stddev_ > 0) offset -= std::log(stddev_ * std::sqrt(2 * M_PI));
    Tensor* kl = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &kl));
    kl->scalar<T>()() = static_cast<T>(run(context, n, tiles) / n - num_weights * offset);
  }

 private:
  static double run(OpKernelContext* context, int64_t n,
                    const std::vector<EntropyTile<T>>& tiles) {
    std::vector<double> sums(tiles.size());
    const auto work = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sums[i] = functions<T>().entropy_kl(tiles[i]);
    };
    const auto* threads = context->device()->tensorflow_cpu_worker_threads();
    // Nanoseconds, about (measured).
    const int64_t cost = kTileWidth * n * (2 + n / 10);
    Shard(threads->num_threads, threads->workers, tiles.size(), cost, work);
    double sum = 0;
    for (const double part : sums) sum += part;
    return sum;
  }

  float stddev_ = 0;
};

#define BBH_REGISTER(T)                                                                 \
  REGISTER_KERNEL_BUILDER(                                                              \
      Name("BayesByHypernet>EntropyKl").Device(DEVICE_CPU).TypeConstraint<T>("T"), EntropyKlOp<T>)

BBH_REGISTER(float);
BBH_REGISTER(double);

}  // namespace
}  // namespace bbh
