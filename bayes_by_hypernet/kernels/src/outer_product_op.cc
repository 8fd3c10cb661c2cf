// Ops for the output matrix of a hypernetwork: its product with few rows, and the update of Adam
// from a gradient that stays in two factors.

#include <algorithm>

#include "division.h"
#include "simd.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "threads.h"

namespace bbh {
namespace {

using namespace tensorflow;
using shape_inference::InferenceContext;

REGISTER_OP("BayesByHypernet>ThinProduct")
    .Attr("T: {float, double}")
    .Input("left: T")
    .Input("matrix: resource")
    .Input("columns: int64")
    .Output("product: T")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      shape_inference::ShapeHandle left;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &left));
      shape_inference::DimensionHandle columns;
      TF_RETURN_IF_ERROR(c->MakeDimForScalarInput(2, &columns));
      c->set_output(0, c->Matrix(c->Dim(left, 0), columns));
      return absl::OkStatus();
    })
    .Doc("left matrix, (rank, rows) times the variable (rows, columns), which is read once.");

REGISTER_OP("BayesByHypernet>ApplyOuterProductAdam")
    .Attr("T: {float, double}")
    .Input("matrix: resource")
    .Input("momentum: resource")
    .Input("velocity: resource")
    .Input("alpha: T")
    .Input("beta_1: T")
    .Input("beta_2: T")
    .Input("epsilon: T")
    .Input("left: T")
    .Input("right: T")
    .Output("left_gradient: T")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      shape_inference::ShapeHandle left;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(7), 2, &left));
      c->set_output(0, left);
      return absl::OkStatus();
    })
    .Doc("Adam's update of a variable (rows, columns) whose gradient is left^T right, of which "
         "only left (rank, rows) and right (rank, columns) exist. alpha is the learning rate with "
         "the bias corrections. Returns right matrix^T of the matrix before the update.");

// The tensor of a variable, held and, for writing, alone in its buffer.
template <typename T>
class HeldVariable {
 public:
  absl::Status hold(OpKernelContext* context, int input) {
    return LookupResource(context, HandleFromInput(context, input), &variable_);
  }
  Var* get() { return variable_.get(); }
  const Tensor& tensor() { return *variable_->tensor(); }

  // To be called with the variable's mutex held. A buffer that a reader still holds is copied.
  absl::Status prepare_write(OpKernelContext* context) {
    Tensor* tensor = variable_->tensor();
    if (!tensor->IsInitialized() || tensor->dtype() != DataTypeToEnum<T>::v() ||
        tensor->dims() != 2) {
      return errors::InvalidArgument("the variable must be an initialised matrix of ",
                                     DataTypeString(DataTypeToEnum<T>::v()), ", got ",
                                     tensor->DebugString(0));
    }
    if (tensor->RefCountIsOne() && !variable_->copy_on_read_mode.load()) return absl::OkStatus();
    Tensor copy;
    TF_RETURN_IF_ERROR(context->allocate_temp(tensor->dtype(), tensor->shape(), &copy));
    std::copy_n(tensor->flat<T>().data(), tensor->NumElements(), copy.flat<T>().data());
    *tensor = copy;
    return absl::OkStatus();
  }

 private:
  core::RefCountPtr<Var> variable_;
};

template <typename T>
class ThinProductOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor& left = context->input(0);
    HeldVariable<T> variable;
    OP_REQUIRES_OK(context, variable.hold(context, 1));
    tf_shared_lock lock(*variable.get()->mu());
    const Tensor& matrix = variable.tensor();
    OP_REQUIRES(context,
                TensorShapeUtils::IsMatrix(left.shape()) && matrix.dims() == 2 &&
                    matrix.dtype() == DataTypeToEnum<T>::v() &&
                    matrix.dim_size(0) == left.dim_size(1),
                errors::InvalidArgument("left ", left.shape().DebugString(),
                                        " does not multiply the matrix ", matrix.DebugString(0)));
    ThinProduct<T> all{left.dim_size(0), matrix.dim_size(0), matrix.dim_size(1)};
    Tensor* product = nullptr;
    OP_REQUIRES_OK(
        context, context->allocate_output(0, TensorShape({all.rank, all.columns}), &product));
    all.left = left.flat<T>().data();
    all.matrix = matrix.flat<T>().data();
    all.product = product->flat<T>().data();
    const Threads threads(context);
    divide_product(functions<T>(), all, threads.count(), threads);
  }
};

template <typename T>
class ApplyOuterProductAdamOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    HeldVariable<T> matrix, momentum, velocity;
    OP_REQUIRES_OK(context, matrix.hold(context, 0));
    OP_REQUIRES_OK(context, momentum.hold(context, 1));
    OP_REQUIRES_OK(context, velocity.hold(context, 2));
    OP_REQUIRES(context, matrix.get() != momentum.get() && matrix.get() != velocity.get() &&
                             momentum.get() != velocity.get(),
                errors::InvalidArgument("matrix, momentum and velocity must differ"));
    // Nothing else takes two of these locks at once, so that their order cannot matter.
    mutex_lock lock_matrix(*matrix.get()->mu());
    mutex_lock lock_momentum(*momentum.get()->mu());
    mutex_lock lock_velocity(*velocity.get()->mu());
    for (HeldVariable<T>* variable : {&matrix, &momentum, &velocity}) {
      OP_REQUIRES_OK(context, variable->prepare_write(context));
      OP_REQUIRES(context, variable->tensor().shape() == matrix.tensor().shape(),
                  errors::InvalidArgument("matrix, momentum and velocity must agree in shape"));
    }
    const Tensor &left = context->input(7), &right = context->input(8);
    const int64_t rows = matrix.tensor().dim_size(0), columns = matrix.tensor().dim_size(1);
    OP_REQUIRES(context,
                TensorShapeUtils::IsMatrix(left.shape()) && left.dim_size(1) == rows &&
                    right.shape() == TensorShape({left.dim_size(0), columns}),
                errors::InvalidArgument("left ", left.shape().DebugString(), " and right ",
                                        right.shape().DebugString(), " are no factors of (", rows,
                                        ", ", columns, ")"));
    for (int i = 3; i < 7; ++i) {
      OP_REQUIRES(context, TensorShapeUtils::IsScalar(context->input(i).shape()),
                  errors::InvalidArgument("alpha, beta_1, beta_2 and epsilon must be scalars"));
    }
    Tensor* left_gradient = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, left.shape(), &left_gradient));
    OuterProductAdam<T> all{left.dim_size(0), rows, columns};
    all.matrix = data(matrix);
    all.momentum = data(momentum);
    all.velocity = data(velocity);
    all.left = left.flat<T>().data();
    all.right = right.flat<T>().data();
    all.left_gradient = left_gradient->flat<T>().data();
    all.alpha = context->input(3).scalar<T>()();
    all.beta_1 = context->input(4).scalar<T>()();
    all.beta_2 = context->input(5).scalar<T>()();
    all.epsilon = context->input(6).scalar<T>()();
    divide_adam(functions<T>(), all, Threads(context));
  }

 private:
  static T* data(HeldVariable<T>& variable) {
    return const_cast<T*>(variable.tensor().template flat<T>().data());
  }
};

#define BBH_REGISTER(T)                                                                       \
  REGISTER_KERNEL_BUILDER(                                                                    \
      Name("BayesByHypernet>ThinProduct").Device(DEVICE_CPU).TypeConstraint<T>("T"),          \
      ThinProductOp<T>);                                                                      \
  REGISTER_KERNEL_BUILDER(                                                                    \
      Name("BayesByHypernet>ApplyOuterProductAdam").Device(DEVICE_CPU).TypeConstraint<T>("T"), \
      ApplyOuterProductAdamOp<T>)

BBH_REGISTER(float);
BBH_REGISTER(double);

}  // namespace
}  // namespace bbh
