// How an op gives a kernel to the stream:
//   launch<&Backend::unary>("exp", elementwiseCost(out), op, in(x), out(y), a, b);
// Operands become views when the kernel runs: outputs get their memory then, a failed input marks the outputs with its error and
// the kernel is skipped.
#pragma once

#include <tuple>

#include "../environment.h"

namespace quanto::ops {

// An operand and what the kernel does with it; an empty tensor is passed as a null view.
struct In {
  Tensor tensor;
};
struct Out {
  Tensor tensor;
};
struct InOut {
  Tensor tensor;
};
// By value: what an op made for its kernel moves there, without a count of references on the way.
inline In in(Tensor tensor) { return {std::move(tensor)}; }
inline Out out(Tensor tensor) { return {std::move(tensor)}; }
inline InOut inOut(Tensor tensor) { return {std::move(tensor)}; }

// Predicted single-thread nanoseconds; they decide only where a kernel runs, so the order of magnitude is enough.
inline double bytesCost(int64_t bytes) { return 200 + static_cast<double>(bytes) / 16; }
inline double flopsCost(double flops) { return 300 + flops / 80; }
inline double mathCost(int64_t elements) { return 200 + static_cast<double>(elements) * 4; }

namespace detail {

template <class T>
inline constexpr bool isOperand = std::is_same_v<T, In> || std::is_same_v<T, Out> || std::is_same_v<T, InOut>;

// Null for Status::ok.
std::shared_ptr<const Error> failureOf(Status status, const char* op, const Device& device) noexcept;

// Status of a call on the stream, where no exception may leave.
template <class Call>
Status statusOf(Call&& call) noexcept {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Status::outOfMemory;
  } catch (...) {
    return Status::deviceFailure;
  }
}

[[noreturn]] void failMissingSlot(const char* op, const Device& device);
// Device of the operands so far, and of the next one: they must be the same.
void joinDevice(const char* op, Device*& device, const Tensor& tensor);

template <class T>
void joinOperand(const char* op, Device*& device, const T& argument) {
  if constexpr (isOperand<T>)
    if (argument.tensor) joinDevice(op, device, argument.tensor);
}

template <class T>
void bumpVersion(const T& argument) {
  if constexpr (std::is_same_v<T, InOut>)
    if (argument.tensor) ++argument.tensor.storage()->version;
}

template <class T>
void collectFailure(const T& argument, std::shared_ptr<const Error>& failure) {
  if constexpr (std::is_same_v<T, In> || std::is_same_v<T, InOut>)
    if (argument.tensor && !failure) failure = argument.tensor.storage()->failure;
}

// An in-place destination keeps its old contents when an input has failed; only a kernel's own failure marks it.
template <class T>
void markFailed(const T& argument, const std::shared_ptr<const Error>& failure, bool kernelRan) {
  if constexpr (std::is_same_v<T, Out>)
    if (argument.tensor) argument.tensor.storage()->failure = failure;
  if constexpr (std::is_same_v<T, InOut>)
    if (argument.tensor && kernelRan) argument.tensor.storage()->failure = failure;
}

template <class T>
bool takeMemory(const T& argument) {
  if constexpr (isOperand<T>) return !argument.tensor || argument.tensor.storage()->materialize();
  else return true;
}

template <class T>
decltype(auto) resolve(T& argument) {
  if constexpr (isOperand<T>) return argument.tensor ? argument.tensor.resolve() : static_cast<const View*>(nullptr);
  else return (argument);
}

}  // namespace detail

// A pointer to a by-value parameter block (Window, AdamStep): kept in the closure, passed by address.
template <class T>
struct Block {
  T value;
  operator const T*() const { return &value; }
};
template <class T>
Block<T> block(const T& value) {
  return {value};
}

template <auto slot, class... Arguments>
void launch(const char* op, double nanoseconds, Arguments... arguments) {
  Device* device = nullptr;
  (detail::joinOperand(op, device, arguments), ...);
  if (!(device->backend.*slot)) detail::failMissingSlot(op, *device);
  (detail::bumpVersion(arguments), ...);
  Stream& stream = Environment::current().stream;
  std::shared_ptr<const Error> failure;  // reported at the call only when every kernel runs inline
  auto* reported = stream.synchronous() ? &failure : nullptr;
  stream.submit(nanoseconds, [op, device, &stream, reported, arguments = std::tuple(std::move(arguments)...)]() mutable noexcept {
    std::apply(
        [&](auto&... argument) {
          std::shared_ptr<const Error> problem;
          (detail::collectFailure(argument, problem), ...);
          bool ran = false;
          if (!problem) {
            const Status status = detail::statusOf([&] {
              if (!(detail::takeMemory(argument) && ...)) return Status::outOfMemory;
              Queue* queue = stream.queue(*device);
              ran = true;
              return (device->backend.*slot)(queue, detail::resolve(argument)...);
            });
            problem = detail::failureOf(status, op, *device);
          }
          if (!problem) return;
          (detail::markFailed(argument, problem, ran), ...);
          if (reported) *reported = problem;
        },
        arguments);
  });
  if (failure) throw Error(*failure);
}

}  // namespace quanto::ops
