// Ops for Eq. 2 of the paper with d = 1 for each weight: they divide the weights among TensorFlow's
// threads. Sums are made of the same parts in the same order whatever the number of threads.

#include <cmath>
#include <vector>

#include "division.h"
#include "simd.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/lib/random/philox_random.h"
#include "threads.h"

namespace bbh {
namespace {

using namespace tensorflow;
using shape_inference::InferenceContext;

// Piece i of the input list `name`, checked against the piece's shape as far as it is known.
absl::Status posterior_shapes(InferenceContext* c, int first_output) {
  std::vector<shape_inference::ShapeHandle> pieces;
  TF_RETURN_IF_ERROR(c->input("posterior", &pieces));
  for (size_t i = 0; i < pieces.size(); ++i) {
    TF_RETURN_IF_ERROR(c->WithRank(pieces[i], 2, &pieces[i]));
    c->set_output(first_output + i, pieces[i]);
  }
  return absl::OkStatus();
}

absl::Status kl_shapes(InferenceContext* c) {
  c->set_output(0, c->Scalar());
  return posterior_shapes(c, 1);
}

absl::Status prior_gradient_shapes(InferenceContext* c) {
  std::vector<shape_inference::ShapeHandle> pieces;
  TF_RETURN_IF_ERROR(c->input("prior", &pieces));
  for (size_t i = 0; i < pieces.size(); ++i) c->set_output(i, pieces[i]);
  return absl::OkStatus();
}

REGISTER_OP("BayesByHypernet>IndependentKl")
    .Attr("T: {float, double}")
    .Attr("N: int >= 1")
    .Input("posterior: N * T")
    .Input("prior: N * T")
    .Output("kl: T")
    .Output("gradient: N * T")
    .SetShapeFn(kl_shapes)
    .Doc("Eq. 2 with d = 1 from samples (n, num_weights_l) and (m, num_weights_l), in nats, and "
         "its gradient for the posterior samples.");

REGISTER_OP("BayesByHypernet>IndependentKlNormalPrior")
    .Attr("T: {float, double}")
    .Attr("N: int >= 1")
    .Attr("num_prior_samples: int >= 1")
    .Attr("prior_stddev: float")
    .Input("posterior: N * T")
    .Input("seeds: int32")
    .Output("kl: T")
    .Output("gradient: N * T")
    .SetShapeFn(kl_shapes)
    .Doc("The same against samples of N(0, prior_stddev^2) that never exist as a tensor: piece l's "
         "are those of tf.random.stateless_normal with seed l of seeds (N, 2).");

REGISTER_OP("BayesByHypernet>IndependentKlPriorGradient")
    .Attr("T: {float, double}")
    .Attr("N: int >= 1")
    .Input("posterior: N * T")
    .Input("prior: N * T")
    .Output("gradient: N * T")
    .SetShapeFn(prior_gradient_shapes)
    .Doc("The gradient of IndependentKl for the prior samples.");

// The Philox key and counter that TensorFlow's stateless operations make of a seed: they scramble
// it with one Philox block first.
NormalStream stream_of_seed(uint64_t seed_0, uint64_t seed_1, float stddev) {
  random::PhiloxRandom::Key key;
  key[0] = 0x3ec8f720;
  key[1] = 0x02461e29;
  random::PhiloxRandom::ResultType seed;
  seed[0] = static_cast<uint32_t>(seed_0);
  seed[1] = static_cast<uint32_t>(seed_0 >> 32);
  seed[2] = static_cast<uint32_t>(seed_1);
  seed[3] = static_cast<uint32_t>(seed_1 >> 32);
  const random::PhiloxRandom::ResultType x = random::PhiloxRandom(seed, key)();
  return {{x[0], x[1]}, {x[2], x[3]}, stddev};
}

template <typename T>
class KernelKlOp : public OpKernel {
 public:
  explicit KernelKlOp(OpKernelConstruction* context) : OpKernel(context) {
    if (context->HasAttr("num_prior_samples")) {
      OP_REQUIRES_OK(context, context->GetAttr("num_prior_samples", &num_drawn_));
      OP_REQUIRES_OK(context, context->GetAttr("prior_stddev", &stddev_));
    }
    for_prior_ = type_string() == "BayesByHypernet>IndependentKlPriorGradient";
  }

  void Compute(OpKernelContext* context) override {
    OpInputList posterior, prior;
    OP_REQUIRES_OK(context, context->input_list("posterior", &posterior));
    const bool drawn = num_drawn_ > 0;
    if (!drawn) OP_REQUIRES_OK(context, context->input_list("prior", &prior));
    OP_REQUIRES(context, TensorShapeUtils::IsMatrix(posterior[0].shape()),
                errors::InvalidArgument("posterior samples must be matrices, got ",
                                        posterior[0].shape().DebugString()));
    const int64_t n = posterior[0].dim_size(0);
    const int64_t m = drawn ? num_drawn_ : prior[0].shape().dims() ? prior[0].dim_size(0) : 0;
    OP_REQUIRES(context, n >= 2 && m >= 1,
                errors::InvalidArgument("Eq. 2 needs at least 2 posterior samples and 1 prior "
                                        "sample, got ", n, " and ", m));
    OP_REQUIRES(context, n <= kMaxSamples && m <= kMaxSamples - n,
                errors::InvalidArgument("there may be at most ", kMaxSamples, " posterior and prior "
                                        "samples together, got ", n, " and ", m));
    if (drawn) {
      const Tensor& seeds = context->input(posterior.size());
      OP_REQUIRES(context, seeds.shape() == TensorShape({posterior.size(), 2}),
                  errors::InvalidArgument("seeds must be (", posterior.size(), ", 2), got ",
                                          seeds.shape().DebugString()));
    }
    const int first_gradient = for_prior_ ? 0 : 1;
    std::vector<KernelKlTile<T>> tiles;
    int64_t num_weights = 0;
    for (int l = 0; l < posterior.size(); ++l) {
      const Tensor& q = posterior[l];
      OP_REQUIRES(context, TensorShapeUtils::IsMatrix(q.shape()) && q.dim_size(0) == n,
                  errors::InvalidArgument("posterior samples must be (", n, ", num_weights), got ",
                                          q.shape().DebugString()));
      const int64_t width = q.dim_size(1);
      KernelKlTile<T> piece{n, m, width, width, q.flat<T>().data(), nullptr};
      if (drawn) {
        const auto seeds = context->input(posterior.size()).matrix<int32_t>();
        // TensorFlow extends the sign of 32-bit seeds.
        piece.stream = stream_of_seed(static_cast<int64_t>(seeds(l, 0)),
                                      static_cast<int64_t>(seeds(l, 1)), stddev_);
      } else {
        OP_REQUIRES(context, prior[l].shape() == TensorShape({m, width}),
                    errors::InvalidArgument("prior samples must be (", m, ", ", width, "), got ",
                                            prior[l].shape().DebugString()));
        piece.prior = prior[l].flat<T>().data();
      }
      Tensor* gradient = nullptr;
      const TensorShape shape({for_prior_ ? m : n, width});
      OP_REQUIRES_OK(context, context->allocate_output(first_gradient + l, shape, &gradient));
      (for_prior_ ? piece.prior_gradient : piece.posterior_gradient) = gradient->flat<T>().data();
      append_tiles(piece, &tiles);
      num_weights += width;
    }
    const double sum = sum_over_tiles(functions<T>(), tiles, Threads(context));
    if (for_prior_) return;
    Tensor* kl = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &kl));
    kl->scalar<T>()() = static_cast<T>(
        sum / n + num_weights * std::log(static_cast<double>(m) / static_cast<double>(n - 1)));
  }

 private:
  int64_t num_drawn_ = 0;
  float stddev_ = 1;
  bool for_prior_ = false;
};

#define BBH_REGISTER(name, T)                                                       \
  REGISTER_KERNEL_BUILDER(                                                          \
      Name("BayesByHypernet>" name).Device(DEVICE_CPU).TypeConstraint<T>("T"), KernelKlOp<T>)

BBH_REGISTER("IndependentKl", float);
BBH_REGISTER("IndependentKl", double);
BBH_REGISTER("IndependentKlNormalPrior", float);
BBH_REGISTER("IndependentKlNormalPrior", double);
BBH_REGISTER("IndependentKlPriorGradient", float);
BBH_REGISTER("IndependentKlPriorGradient", double);

}  // namespace
}  // namespace bbh
