#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <tuple>

namespace tern {

Storage::Storage(Device device, std::size_t bytes)
    : backend_(backend(device)), device_(device), bytes_(bytes), data_(backend_.allocate(bytes)) {}

Storage::~Storage() { backend_.release(data_, bytes_); }

struct Tensor::Impl {
  std::shared_ptr<Storage> storage;
  Shape shape, strides;
  std::int64_t offset = 0;
  DType dtype = DType::float32;
  bool requires_grad = false;
  std::shared_ptr<Node> node;
  Node::Output* output = nullptr;  ///< which of the node's
  std::uint32_t recorded = 0;      ///< the storage's count when this came into the graph
  Tensor grad;
  std::shared_ptr<Hooks> hooks;  ///< a leaf's
};

const Tensor::Impl& Tensor::impl() const {
  check(defined(), "tensor: undefined, expected one that holds an array");
  return *impl_;
}

const Shape& Tensor::shape() const { return impl().shape; }
const Shape& Tensor::strides() const { return impl().strides; }
std::int64_t Tensor::size(std::int64_t dim) const { return shape()[existing_dim("size", dim, this->dim())]; }
std::int64_t Tensor::numel() const { return shape().numel(); }
DType Tensor::dtype() const { return impl().dtype; }
Device Tensor::device() const { return impl().storage->device(); }
const std::shared_ptr<Storage>& Tensor::storage() const { return impl().storage; }
std::int64_t Tensor::storage_offset() const { return impl().offset; }

bool Tensor::is_contiguous() const {
  std::int64_t stride = 1;
  for (int d = dim() - 1; d >= 0; --d) {
    if (shape()[d] != 1 && strides()[d] != stride) return false;
    stride *= shape()[d];
  }
  return true;
}

void* Tensor::checked_data(DType expected) const {
  check(dtype() == expected, "data: tensor of {}, read as {}", dtype(), expected);
  if (Trace* const trace = Trace::current()) trace->touch(*this);
  return static_cast<std::byte*>(impl_->storage->data()) + static_cast<std::size_t>(impl_->offset) * size_of(expected);
}

double Tensor::item_double() const {
  check(numel() == 1, "item: tensor of shape {}, expected one element", shape());
  return to_vector<double>()[0];
}

std::int64_t Tensor::item_int64() const {
  check(numel() == 1, "item: tensor of shape {}, expected one element", shape());
  return to_vector<std::int64_t>()[0];
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  if (const Trace* const trace = Trace::current()) trace->refuse("item or to_vector", *this);
  NoGradGuard no_grad;
  const Tensor dense = to(dtype_of<T>()).contiguous();
  std::vector<T> values(static_cast<std::size_t>(numel()));
  backend(device()).download(values.size() * sizeof(T), dense.data<T>(), values.data());
  return values;
}
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<std::int64_t> Tensor::to_vector() const;
template std::vector<std::uint8_t> Tensor::to_vector() const;

Tensor Tensor::as_strided(const Shape& shape, const Shape& strides, std::int64_t offset) const {
  check(shape.size() == strides.size(), "as_strided: shape {} with strides {}, expected a stride for each size", shape,
        strides);
  const auto is_negative = [](std::int64_t v) { return v < 0; };
  check(offset >= 0 && std::none_of(shape.begin(), shape.end(), is_negative) &&
            std::none_of(strides.begin(), strides.end(), is_negative),
        "as_strided: shape {}, strides {}, offset {}, expected no negative numbers", shape, strides, offset);
  const auto elements = static_cast<std::int64_t>(impl().storage->bytes() / size_of(dtype()));
  std::int64_t last = offset, step = 0;
  bool overflows = false;
  for (int d = 0; d < shape.size(); ++d) {
    if (shape[d] <= 1) continue;
    overflows = overflows || __builtin_mul_overflow(shape[d] - 1, strides[d], &step) ||
                __builtin_add_overflow(last, step, &last);
  }
  check(shape.numel() == 0 ? offset <= elements : !overflows && last < elements,
        "as_strided: shape {}, strides {}, offset {}, expected all within a storage of {} elements", shape, strides,
        offset, elements);
  auto view = std::make_shared<Impl>();
  view->storage = impl().storage;
  view->shape = shape;
  view->strides = strides;
  view->offset = offset;
  view->dtype = impl_->dtype;
  return Tensor(std::move(view));
}

Tensor Tensor::detach() const {
  const Impl& from = impl();
  auto same = std::make_shared<Impl>();
  same->storage = from.storage;
  same->shape = from.shape;
  same->strides = from.strides;
  same->offset = from.offset;
  same->dtype = from.dtype;
  Tensor y(std::move(same));
  if (Trace* const trace = Trace::current()) trace->add("clone", {*this}, {y});
  return y;
}

// Autograd

bool Tensor::requires_grad() const { return impl().requires_grad || impl_->node; }

const Tensor& Tensor::set_requires_grad(bool value) const {
  check(is_leaf(), "set_requires_grad: the result of '{}', expected a leaf", is_leaf() ? "" : impl_->node->name);
  check(!value || is_floating(dtype()), "set_requires_grad: tensor of {}, expected float32 or float64", dtype());
  impl_->requires_grad = value;
  impl_->recorded = impl_->storage->recorded_;
  return *this;
}

Tensor Tensor::grad() const { return impl().grad; }

void Tensor::set_grad(const Tensor& grad) const {
  check(!grad.defined() || (grad.shape() == shape() && grad.dtype() == dtype() && grad.device() == device()),
        "set_grad: expected a gradient of shape {}, dtype and device as the tensor's", shape());
  impl_->grad = grad;
}

const std::shared_ptr<Node>& Tensor::grad_node() const { return impl().node; }

void GraphAccess::set_node(const Tensor& y, std::shared_ptr<Node> node, Node::Output* at) {
  y.impl_->node = std::move(node);
  y.impl_->output = at;
  y.impl_->recorded = y.impl_->storage->recorded_;
}

bool GraphAccess::is_stale(const Tensor& x) { return x.impl().recorded != x.impl_->storage->recorded_; }

void GraphAccess::take_place(const Tensor& x, const Tensor& y) {
  ++x.impl_->storage->recorded_;
  set_node(x, y.grad_node(), output(y));
}

Node::Output* GraphAccess::output(const Tensor& y) { return y.impl().output; }

std::shared_ptr<Hooks>& GraphAccess::leaf_hooks(const Tensor& x) { return x.impl_->hooks; }

std::function<Tensor()> GraphAccess::weak(const Tensor& x) {
  return [impl = std::weak_ptr<Tensor::Impl>(x.impl_)] { return Tensor(impl.lock()); };
}

const void* GraphAccess::id(const Tensor& x) {
  if (!x.defined()) return nullptr;
  if (x.impl_->node) return x.impl_->output;
  if (x.impl_->requires_grad) return x.impl_.get();
  return x.impl_->storage.get();
}

void GraphAccess::set_data(const std::vector<std::pair<Tensor, Tensor>>& all) {
  std::vector<Tensor> grads;
  for (const auto& [x, other] : all) {
    check(x.is_leaf() && other.is_leaf() && x.shape() == other.shape(), "set_data: expected leaves of shape {}",
          other.shape());
    grads.push_back(x.grad().defined() ? x.grad().to(other.dtype()).to(other.device()) : Tensor());
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    Tensor::Impl &to = *all[i].first.impl_, &from = *all[i].second.impl_;
    to.storage = from.storage;
    to.strides = from.strides;
    to.offset = from.offset;
    to.dtype = from.dtype;
    to.recorded = from.storage->recorded_;
    to.grad = std::move(grads[i]);
  }
}

bool GraphAccess::is_alone(const Tensor& x) {
  if (x.impl_.use_count() != 1 || x.impl_->storage.use_count() != 1) return false;
  acquire(x.impl_);
  acquire(x.impl_->storage);
  return x.is_contiguous();
}

Tensor GraphAccess::own(Tensor gradient) { return is_alone(gradient) ? std::move(gradient) : gradient.clone(); }

Tensor GraphAccess::unit_like(const Tensor& x) {
  static std::mutex mutex;
  static auto& units = *new std::map<std::tuple<Device::Kind, int, DType>, Tensor>;  // never destroyed: see backend_of
  const std::scoped_lock lock(mutex);
  Tensor& unit = units[{x.device().kind, x.device().index, x.dtype()}];
  if (!unit.defined()) {
    if (cuda::is_capturing()) return ones_like(x);  // it would be the graph's, and nothing until a replay
    const Tensor made = ones({}, {.dtype = x.dtype(), .device = x.device()});
    static_cast<void>(made.item());  // waits, so that any stream may read it
    made.storage()->is_unit_ = true;
    unit = made;
  }
  return unit.as_strided(x.shape(), dense_strides(x.shape()), 0);
}

// In place

namespace {

/// Throws unless self may be written to with what comes from other.
void check_target(const char* op, const Tensor& self, const Tensor& other) {
  check_defined(op, "the tensor to be changed", self);
  check_defined(op, "the other tensor", other);
  check(!self.storage()->is_unit(), "{}: in-place on the gradient that backward begins with, expected a clone", op);
  for (int d = 0; d < self.dim(); ++d) {
    check(self.shape()[d] <= 1 || self.strides()[d] != 0 || self.numel() == 0,
          "{}: shape {} with strides {} shows elements more than once, expected a clone", op, self.shape(),
          self.strides());
  }
}

/// Throws where self has a gradient that a change would have to be recorded for, or is traced.
void check_not_recorded(const char* op, const Tensor& self) {
  if (const Trace* const trace = Trace::current()) trace->refuse(op, self);
  check(!is_grad_enabled() || !self.requires_grad(),
        "{}: in-place on a tensor that requires grad, expected a NoGradGuard around it", op);
}

/// Whether self shows memory of one of the inputs of the op that made it.
bool is_view(const Tensor& self) {
  const void* const storage = self.storage().get();
  if (self.is_leaf() || GraphAccess::output(self)->storage != storage) return false;
  const auto& inputs = self.grad_node()->inputs;
  return std::any_of(inputs.begin(), inputs.end(), [storage](const Node::Input& input) {
    if (input.node) return input.output->storage == storage;
    return (input.leaf.defined() ? input.leaf.storage().get() : input.id) == storage;
  });
}

/// Throws unless self can hold y in its place.
void check_fits(const char* name, const Tensor& self, const Tensor& y) {
  check(y.shape() == self.shape(), "{}: shape {} does not broadcast to {}", name, y.shape(), self.shape());
  check(y.dtype() == self.dtype(), "{}: {} into {}, which cannot hold it", name, y.dtype(), self.dtype());
}

/// A recorded change: self gets the values of y = f(), of its shape, and y's place in the graph.
template <class F>
const Tensor& recorded_in_place(const char* name, const Tensor& self, F f) {
  check(!self.is_leaf() || !self.requires_grad(),
        "{}: in-place on a leaf that requires grad, expected a NoGradGuard around it", name);
  check(!is_view(self) && (!self.is_leaf() || self.storage().use_count() == 1),
        "{}: in-place on a view of shape {} with what requires grad, expected a tensor with memory of its own", name,
        self.shape());
  const Tensor y = f();
  check_fits(name, self, y);
  copy_into(y, self);
  self.storage()->bump_version();
  GraphAccess::take_place(self, y);
  return self;
}

/// The trace that a change of self by what comes from other belongs to, or null.
Trace* trace_of(const Tensor& self, const Tensor& other) {
  Trace* const trace = Trace::current();
  return trace && (trace->depends(self) || trace->depends(other)) ? trace : nullptr;
}

/// A traced change: self gets the values of y = f(), of its shape, and stands for y from then on.
template <class F>
const Tensor& traced_in_place(Trace& trace, const char* name, const Tensor& self, F f) {
  check(self.storage().use_count() == 1,
        "{}: in-place on a view of shape {}, or what has one, expected a tensor with memory of its own", name,
        self.shape());
  const Tensor y = f();
  check_fits(name, self, y);
  trace.replace(self, y, [&] { copy_into(y, self); });
  self.storage()->bump_version();
  return self;
}

/// a op b by the recorded op, where b is a tensor or a number.
template <class B>
Tensor combined(kernels::BinaryOp op, const Tensor& a, const B& b) {
  switch (op) {
    case kernels::BinaryOp::add:
      return a + b;
    case kernels::BinaryOp::sub:
      return a - b;
    case kernels::BinaryOp::mul:
      return a * b;
    default:
      return a / b;
  }
}

const Tensor& binary_in_place(const char* name, kernels::BinaryOp op, const Tensor& self, const Tensor& other) {
  check_target(name, self, other);
  check_device(name, self, other);
  check(promote_types(other.dtype(), self.dtype()) == self.dtype(), "{}: {} into {}, which cannot hold it", name,
        other.dtype(), self.dtype());
  check(broadcast_shapes(name, self.shape(), other.shape()) == self.shape(), "{}: shape {} does not broadcast to {}",
        name, other.shape(), self.shape());
  if (Trace* const trace = trace_of(self, other)) {
    const Tensor from = trace->depends(self) ? self : self.clone();  // a constant stays what it was
    return traced_in_place(*trace, name, self, [&] { return combined(op, from, other); });
  }
  if (is_grad_enabled() && (self.requires_grad() || other.requires_grad())) {
    // A sum's gradient needs none of what was there; that of a product does.
    const bool is_sum = op == kernels::BinaryOp::add || op == kernels::BinaryOp::sub;
    return recorded_in_place(name, self, [&] { return combined(op, is_sum ? self : self.clone(), other); });
  }
  NoGradGuard no_grad;
  // An operand that shares this memory in another order would be read after it is written.
  const bool overlaps =
      other.storage() == self.storage() && !(other.storage_offset() == self.storage_offset() &&
                                             other.shape() == self.shape() && other.strides() == self.strides());
  const Tensor operand = (overlaps ? other.clone() : other).to(self.dtype());
  if (self.is_contiguous()) {
    binary_into(op, self, operand, self);
  } else {
    const Tensor result = empty_like(self);
    binary_into(op, self, operand, result);
    copy_into(result, self);
  }
  self.storage()->bump_version();
  return self;
}

const Tensor& binary_in_place(const char* name, kernels::BinaryOp op, const Tensor& self, Scalar number) {
  check_target(name, self, self);
  check(can_hold(self.dtype(), number), "{}: {} into {}, which cannot hold it", name, number, self.dtype());
  if (Trace* const trace = trace_of(self, self)) {
    return traced_in_place(*trace, name, self, [&] { return combined(op, self, number); });
  }
  if (records({&self, 1})) return recorded_in_place(name, self, [&] { return combined(op, self, number); });
  const Tensor y = self.is_contiguous() ? self : empty_like(self);
  binary_into(op, self, number, y);
  if (!y.is_same(self)) copy_into(y, self);
  self.storage()->bump_version();
  return self;
}

/// Puts f(self), of self's shape, in its place.
template <class F>
const Tensor& unary_in_place(const char* name, const Tensor& self, F f) {
  check_target(name, self, self);
  if (Trace* const trace = trace_of(self, self)) {
    return traced_in_place(*trace, name, self, [&] { return f(self); });
  }
  if (records({&self, 1})) return recorded_in_place(name, self, [&] { return f(self.clone()); });
  NoGradGuard no_grad;
  const Tensor y = f(self);
  check_fits(name, self, y);
  return self.copy_(y);
}

Tensor scaled(const Tensor& x, Scalar alpha) { return alpha.to<double>() == 1 ? x : x * alpha; }

void check_quotient(const Tensor& self) {
  check_defined("div_", "the tensor to be changed", self);
  check(is_floating(self.dtype()), "div_: tensor of {}, expected float32 or float64", self.dtype());
}

}  // namespace

const Tensor& Tensor::add_(const Tensor& other, Scalar alpha) const {
  return binary_in_place("add_", kernels::BinaryOp::add, *this, scaled(other, alpha));
}
const Tensor& Tensor::sub_(const Tensor& other, Scalar alpha) const {
  return binary_in_place("sub_", kernels::BinaryOp::sub, *this, scaled(other, alpha));
}
const Tensor& Tensor::mul_(const Tensor& other) const {
  return binary_in_place("mul_", kernels::BinaryOp::mul, *this, other);
}
const Tensor& Tensor::div_(const Tensor& other) const {
  check_quotient(*this);
  return binary_in_place("div_", kernels::BinaryOp::div, *this, other);
}
const Tensor& Tensor::add_(Scalar number) const {
  return binary_in_place("add_", kernels::BinaryOp::add, *this, number);
}
const Tensor& Tensor::sub_(Scalar number) const {
  return binary_in_place("sub_", kernels::BinaryOp::sub, *this, number);
}
const Tensor& Tensor::mul_(Scalar factor) const {
  return binary_in_place("mul_", kernels::BinaryOp::mul, *this, factor);
}
const Tensor& Tensor::div_(Scalar number) const {
  check_quotient(*this);
  return binary_in_place("div_", kernels::BinaryOp::div, *this, number);
}
const Tensor& Tensor::clamp_(std::optional<Scalar> min, std::optional<Scalar> max) const {
  return unary_in_place("clamp_", *this, [&](const Tensor& x) { return tern::clamp(x, min, max); });
}
const Tensor& Tensor::masked_fill_(const Tensor& mask, Scalar value) const {
  return unary_in_place("masked_fill_", *this, [&](const Tensor& x) {
    const Tensor y = tern::masked_fill(x, mask, value);
    check(y.shape() == x.shape(), "masked_fill_: mask {} does not broadcast to {}", mask.shape(), x.shape());
    return y;
  });
}
const Tensor& Tensor::exp_() const {
  return unary_in_place("exp_", *this, [](const Tensor& x) { return tern::exp(x); });
}
const Tensor& Tensor::pow_(double exponent) const {
  return unary_in_place("pow_", *this, [&](const Tensor& x) { return tern::pow(x, exponent); });
}
const Tensor& Tensor::relu_() const {
  return unary_in_place("relu_", *this, [](const Tensor& x) { return tern::relu(x); });
}
const Tensor& Tensor::sqrt_() const {
  return unary_in_place("sqrt_", *this, [](const Tensor& x) { return tern::sqrt(x); });
}

const Tensor& Tensor::fill_(Scalar value) const {
  check_target("fill_", *this, *this);
  check_not_recorded("fill_", *this);
  check(can_hold(dtype(), value), "fill_: {} into {}, which cannot hold it", value, dtype());
  if (is_contiguous()) {
    for_moved(*this, [&]<class T>(kernels::MoveKernels<T>& k) { k.fill(numel(), value.to<T>(), data<T>()); });
  } else {
    copy_into(full({}, value, {.dtype = dtype(), .device = device()}), *this);
  }
  storage()->bump_version();
  return *this;
}

const Tensor& Tensor::copy_(const Tensor& source) const {
  check_target("copy_", *this, source);
  check(broadcast_shapes("copy_", shape(), source.shape()) == shape(), "copy_: shape {} does not broadcast to {}",
        source.shape(), shape());
  if (Trace* const trace = trace_of(*this, source)) {
    return traced_in_place(*trace, "copy_", *this, [&] { return source.to(dtype()).expand(shape()).clone(); });
  }
  if (records({&source, 1})) {
    return recorded_in_place("copy_", *this, [&] { return source.to(dtype()).to(device()).expand(shape()).clone(); });
  }
  check_not_recorded("copy_", *this);
  NoGradGuard no_grad;
  if (source.device().on_host() && !device().on_host() && source.shape() == shape() && is_contiguous()) {
    const Tensor dense = source.to(dtype()).contiguous();
    for_moved(dense, [&]<class T>(kernels::MoveKernels<T>&) {
      backend(device()).upload(static_cast<std::size_t>(numel()) * sizeof(T), dense.data<T>(), data<T>());
    });
  } else {
    copy_into(source.storage() == storage() ? source.clone() : source.to(dtype()).to(device()), *this);
  }
  storage()->bump_version();
  return *this;
}

// Making

Tensor empty(const Shape& shape, const TensorOptions& options) {
  for (std::int64_t size : shape) check(size >= 0, "empty: shape {}, expected sizes of 0 or more", shape);
  const DType dtype = options.dtype.value_or(DType::float32);
  const std::size_t n = static_cast<std::size_t>(shape.numel()), largest = PTRDIFF_MAX / size_of(dtype);
  check(n <= largest, "empty: shape {} of {}, expected at most {} elements", shape, dtype, largest);
  auto impl = std::make_shared<Tensor::Impl>();
  impl->storage = std::make_shared<Storage>(options.device, n * size_of(dtype));
  impl->shape = shape;
  impl->strides = dense_strides(shape);
  impl->dtype = dtype;
  Tensor x(std::move(impl));
  if (options.requires_grad) x.set_requires_grad();
  return x;
}

Tensor full(const Shape& shape, Scalar value, const TensorOptions& options) {
  NoGradGuard no_grad;
  return empty(shape, options).fill_(value);
}

Tensor zeros(const Shape& shape, const TensorOptions& options) { return full(shape, 0, options); }
Tensor ones(const Shape& shape, const TensorOptions& options) { return full(shape, 1, options); }
Tensor empty_like(const Tensor& x) {
  check_defined("empty_like", "x", x);
  return empty(x.shape(), {.dtype = x.dtype(), .device = x.device()});
}
Tensor zeros_like(const Tensor& x) {
  check_defined("zeros_like", "x", x);
  return zeros(x.shape(), {.dtype = x.dtype(), .device = x.device()});
}
Tensor ones_like(const Tensor& x) {
  check_defined("ones_like", "x", x);
  return ones(x.shape(), {.dtype = x.dtype(), .device = x.device()});
}

Tensor arange(std::int64_t n, const TensorOptions& options) {
  check(n >= 0, "arange: {} elements, expected 0 or more", n);
  const Tensor values = empty({n}, {.dtype = DType::int64});
  std::iota(values.data<std::int64_t>(), values.data<std::int64_t>() + n, std::int64_t{0});
  const Tensor x = values.to(options.dtype.value_or(DType::int64)).to(options.device);
  return options.requires_grad ? x.set_requires_grad() : x;
}

template <class T>
Tensor tensor(const std::vector<T>& values, Device device) {
  const Tensor x = empty({static_cast<std::int64_t>(values.size())}, {.dtype = dtype_of<T>(), .device = device});
  backend(device).upload(values.size() * sizeof(T), values.data(), x.data<T>());
  return x;
}
template Tensor tensor(const std::vector<float>&, Device);
template Tensor tensor(const std::vector<double>&, Device);
template Tensor tensor(const std::vector<std::int64_t>&, Device);
template Tensor tensor(const std::vector<std::uint8_t>&, Device);

// The ops as members

Tensor Tensor::add(const Tensor& other, Scalar alpha) const { return tern::add(*this, scaled(other, alpha)); }
Tensor Tensor::sub(const Tensor& other, Scalar alpha) const { return tern::sub(*this, scaled(other, alpha)); }
Tensor Tensor::mul(const Tensor& other) const { return tern::mul(*this, other); }
Tensor Tensor::div(const Tensor& other) const { return tern::div(*this, other); }
Tensor Tensor::neg() const { return tern::neg(*this); }
Tensor Tensor::exp() const { return tern::exp(*this); }
Tensor Tensor::log() const { return tern::log(*this); }
Tensor Tensor::sqrt() const { return tern::sqrt(*this); }
Tensor Tensor::pow(double exponent) const { return tern::pow(*this, exponent); }
Tensor Tensor::pow(const Tensor& exponent) const { return tern::pow(*this, exponent); }
Tensor Tensor::tanh() const { return tern::tanh(*this); }
Tensor Tensor::relu() const { return tern::relu(*this); }
Tensor Tensor::sigmoid() const { return tern::sigmoid(*this); }
Tensor Tensor::sin() const { return tern::sin(*this); }
Tensor Tensor::cos() const { return tern::cos(*this); }
Tensor Tensor::rsqrt() const { return tern::rsqrt(*this); }
Tensor Tensor::abs() const { return tern::abs(*this); }
Tensor Tensor::round() const { return tern::round(*this); }
Tensor Tensor::floor() const { return tern::floor(*this); }
Tensor Tensor::ceil() const { return tern::ceil(*this); }
Tensor Tensor::sign() const { return tern::sign(*this); }
Tensor Tensor::log1p() const { return tern::log1p(*this); }
Tensor Tensor::expm1() const { return tern::expm1(*this); }
Tensor Tensor::erf() const { return tern::erf(*this); }
Tensor Tensor::reciprocal() const { return tern::reciprocal(*this); }
Tensor Tensor::square() const { return tern::square(*this); }
Tensor Tensor::clamp(std::optional<Scalar> min, std::optional<Scalar> max) const {
  return tern::clamp(*this, min, max);
}
Tensor Tensor::sum() const { return tern::sum(*this); }
Tensor Tensor::sum(const Shape& dims, bool keepdim) const { return tern::sum(*this, dims, keepdim); }
Tensor Tensor::mean() const { return tern::mean(*this); }
Tensor Tensor::mean(const Shape& dims, bool keepdim) const { return tern::mean(*this, dims, keepdim); }
Tensor Tensor::prod() const { return tern::prod(*this); }
Tensor Tensor::prod(std::int64_t dim, bool keepdim) const { return tern::prod(*this, dim, keepdim); }
Tensor Tensor::var(const Shape& dims, double correction, bool keepdim) const {
  return tern::var(*this, dims, correction, keepdim);
}
Tensor Tensor::std(const Shape& dims, double correction, bool keepdim) const {
  return tern::std(*this, dims, correction, keepdim);
}
Tensor Tensor::norm(double p, const Shape& dims, bool keepdim) const { return tern::norm(*this, p, dims, keepdim); }
Tensor Tensor::logsumexp(const Shape& dims, bool keepdim) const { return tern::logsumexp(*this, dims, keepdim); }
Tensor Tensor::all(const Shape& dims, bool keepdim) const { return tern::all(*this, dims, keepdim); }
Tensor Tensor::any(const Shape& dims, bool keepdim) const { return tern::any(*this, dims, keepdim); }
Tensor Tensor::cumsum(std::int64_t dim) const { return tern::cumsum(*this, dim); }
Tensor Tensor::cumprod(std::int64_t dim) const { return tern::cumprod(*this, dim); }
Tensor Tensor::min() const { return tern::min(*this); }
MaxResult Tensor::min(std::int64_t dim, bool keepdim) const { return tern::min(*this, dim, keepdim); }
Tensor Tensor::amax(const Shape& dims, bool keepdim) const { return tern::amax(*this, dims, keepdim); }
Tensor Tensor::amin(const Shape& dims, bool keepdim) const { return tern::amin(*this, dims, keepdim); }
Tensor Tensor::argmin() const { return tern::argmin(*this); }
Tensor Tensor::argmin(std::int64_t dim, bool keepdim) const { return tern::argmin(*this, dim, keepdim); }
SortResult Tensor::sort(std::int64_t dim, bool descending) const { return tern::sort(*this, dim, descending); }
Tensor Tensor::argsort(std::int64_t dim, bool descending) const { return tern::argsort(*this, dim, descending); }
SortResult Tensor::topk(std::int64_t k, std::int64_t dim, bool largest) const {
  return tern::topk(*this, k, dim, largest);
}
Tensor Tensor::mm(const Tensor& other) const { return tern::mm(*this, other); }
Tensor Tensor::bmm(const Tensor& other) const { return tern::bmm(*this, other); }
Tensor Tensor::mv(const Tensor& other) const { return tern::mv(*this, other); }
Tensor Tensor::dot(const Tensor& other) const { return tern::dot(*this, other); }
Tensor Tensor::isnan() const { return tern::isnan(*this); }
Tensor Tensor::isinf() const { return tern::isinf(*this); }
Tensor Tensor::isfinite() const { return tern::isfinite(*this); }
Tensor Tensor::where(const Tensor& condition, const Tensor& other) const {
  return tern::where(condition, *this, other);
}
Tensor Tensor::masked_fill(const Tensor& mask, Scalar value) const { return tern::masked_fill(*this, mask, value); }
Tensor Tensor::masked_select(const Tensor& mask) const { return tern::masked_select(*this, mask); }
Tensor Tensor::nonzero() const { return tern::nonzero(*this); }
Tensor Tensor::index(const std::vector<TensorIndex>& indices) const { return tern::index(*this, indices); }
Tensor Tensor::operator[](const Tensor& index) const { return tern::index(*this, {index}); }
const Tensor& Tensor::index_put_(const std::vector<TensorIndex>& indices, const Tensor& values, bool accumulate) const {
  return tern::index_put_(*this, indices, values, accumulate);
}
Tensor Tensor::gather(std::int64_t dim, const Tensor& index) const { return tern::gather(*this, dim, index); }
Tensor Tensor::scatter(std::int64_t dim, const Tensor& index, const Tensor& src) const {
  return tern::scatter(*this, dim, index, src);
}
Tensor Tensor::scatter_add(std::int64_t dim, const Tensor& index, const Tensor& src) const {
  return tern::scatter_add(*this, dim, index, src);
}
Tensor Tensor::index_add(std::int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha) const {
  return tern::index_add(*this, dim, index, source, alpha);
}
std::vector<Tensor> Tensor::split(std::int64_t split_size, std::int64_t dim) const {
  return tern::split(*this, split_size, dim);
}
std::vector<Tensor> Tensor::split(const std::vector<std::int64_t>& sizes, std::int64_t dim) const {
  return tern::split(*this, sizes, dim);
}
std::vector<Tensor> Tensor::chunk(std::int64_t chunks, std::int64_t dim) const {
  return tern::chunk(*this, chunks, dim);
}
std::vector<Tensor> Tensor::unbind(std::int64_t dim) const { return tern::unbind(*this, dim); }
Tensor Tensor::unflatten(std::int64_t dim, const Shape& sizes) const { return tern::unflatten(*this, dim, sizes); }
Tensor Tensor::movedim(std::int64_t source, std::int64_t destination) const {
  return tern::movedim(*this, source, destination);
}
Tensor Tensor::repeat(const Shape& repeats) const { return tern::repeat(*this, repeats); }
Tensor Tensor::flip(const Shape& dims) const { return tern::flip(*this, dims); }
Tensor Tensor::roll(const Shape& shifts, const Shape& dims) const { return tern::roll(*this, shifts, dims); }
Tensor Tensor::tril(std::int64_t diagonal) const { return tern::tril(*this, diagonal); }
Tensor Tensor::triu(std::int64_t diagonal) const { return tern::triu(*this, diagonal); }
Tensor Tensor::max() const { return tern::max(*this); }
MaxResult Tensor::max(std::int64_t dim, bool keepdim) const { return tern::max(*this, dim, keepdim); }
Tensor Tensor::argmax() const { return tern::argmax(*this); }
Tensor Tensor::argmax(std::int64_t dim, bool keepdim) const { return tern::argmax(*this, dim, keepdim); }
Tensor Tensor::softmax(std::int64_t dim) const { return tern::softmax(*this, dim); }
Tensor Tensor::log_softmax(std::int64_t dim) const { return tern::log_softmax(*this, dim); }
Tensor Tensor::matmul(const Tensor& other) const { return tern::matmul(*this, other); }
Tensor Tensor::eq(const Tensor& other) const { return tern::eq(*this, other); }
Tensor Tensor::index_select(std::int64_t dim, const Tensor& index) const {
  return tern::index_select(*this, dim, index);
}

}  // namespace tern
