// From a C++ signature to a Node-API function and its TypeScript type: nothing about an op is written twice.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../ops/inspect.h"
#include "instance.h"

namespace quanto::binding {

// Where an argument stands, for messages.
struct Position {
  Instance& instance;
  const char* op;
  const char* name;
};

[[noreturn]] void failArgument(const Position& at, const char* expected, napi_value value);

template <class T>
struct Convert;

// An argument that is opened only when the function is called. Reading an array may run JS code (a getter), which may dispose a tensor
// or shrink a buffer that was read before; once all arguments are read, no JS code runs any more.
template <class T, T (*open)(const Position& at, napi_value value)>
struct Unopened {
  Position at;
  napi_value value;
  operator T() const { return open(at, value); }
};

inline const Tensor& openTensor(const Position& at, napi_value value) { return at.instance.unwrap(value, at.op, at.name); }
// Memory of a typed array, DataView, ArrayBuffer or Buffer, valid during the call.
ops::Bytes openBytes(const Position& at, napi_value value);

template <>
struct Convert<Tensor> {
  static constexpr const char* type = "NativeTensor";
  static Unopened<const Tensor&, openTensor> from(const Position& at, napi_value value) { return {at, value}; }
  static napi_value to(Instance& instance, const Tensor& tensor) { return instance.wrap(tensor); }
};

template <>
struct Convert<double> {
  static constexpr const char* type = "number";
  static double from(const Position& at, napi_value value) {
    double number;
    if (napi_get_value_double(at.instance.env, value, &number) != napi_ok) failArgument(at, "a number", value);
    return number;
  }
  static napi_value to(Instance& instance, double number) {
    napi_value value;
    napi_create_double(instance.env, number, &value);
    return value;
  }
};

template <>
struct Convert<int64_t> {
  static constexpr const char* type = "number";
  static constexpr double kLargest = 9007199254740991.0;
  static int64_t from(const Position& at, napi_value value) {
    double number;
    if (napi_get_value_double(at.instance.env, value, &number) != napi_ok || number != std::trunc(number) ||
        !(std::fabs(number) <= kLargest))
      failArgument(at, "a safe integer", value);
    return static_cast<int64_t>(number);
  }
  static napi_value to(Instance& instance, int64_t number) { return Convert<double>::to(instance, static_cast<double>(number)); }
};

template <>
struct Convert<bool> {
  static constexpr const char* type = "boolean";
  static bool from(const Position& at, napi_value value) {
    bool flag;
    if (napi_get_value_bool(at.instance.env, value, &flag) != napi_ok) failArgument(at, "a boolean", value);
    return flag;
  }
  static napi_value to(Instance& instance, bool flag) {
    napi_value value;
    napi_get_boolean(instance.env, flag, &value);
    return value;
  }
};

template <>
struct Convert<std::string> {
  static constexpr const char* type = "string";
  static std::string from(const Position& at, napi_value value);
  static napi_value to(Instance& instance, const std::string& string);
};

// A dtype crosses as its place in dtypes.def.
template <>
struct Convert<DType> {
  static constexpr const char* type = "DTypeCode";
  static DType from(const Position& at, napi_value value) {
    const int64_t code = Convert<int64_t>::from(at, value);
    if (code < 0 || code >= kDTypeCount) failArgument(at, "a dtype", value);
    return static_cast<DType>(code);
  }
  static napi_value to(Instance& instance, DType dtype) { return Convert<int64_t>::to(instance, static_cast<int64_t>(dtype)); }
};

// A device crosses as its place in the registry.
template <>
struct Convert<Device> {
  static constexpr const char* type = "DeviceCode";
  static Device& from(const Position& at, napi_value value) { return deviceById(Convert<int64_t>::from(at, value)); }
};

template <>
struct Convert<Shape> {
  static constexpr const char* type = "readonly number[]";
  static Shape from(const Position& at, napi_value value);
  static napi_value to(Instance& instance, const Shape& shape);
};

template <>
struct Convert<ops::Bytes> {
  static constexpr const char* type = "ArrayBufferView";
  static Unopened<ops::Bytes, openBytes> from(const Position& at, napi_value value) { return {at, value}; }
};

// Length of an array and its element `i`, checked; `expected` is for the message.
uint32_t arrayLength(const Position& at, napi_value array, const char* expected);
napi_value arrayElement(const Position& at, napi_value array, uint32_t i);

template <class T>
struct Convert<std::optional<T>> {
  static inline const std::string type = std::string(Convert<T>::type) + " | null";
  static std::optional<T> from(const Position& at, napi_value value) {
    napi_valuetype kind;
    napi_typeof(at.instance.env, value, &kind);
    if (kind == napi_null || kind == napi_undefined) return std::nullopt;
    const T& given = Convert<T>::from(at, value);
    return given;
  }
};

template <class T>
struct Convert<std::vector<T>> {
  static inline const std::string type = std::string(Convert<T>::type) + "[]";
  static std::vector<T> from(const Position& at, napi_value value) {
    const uint32_t length = arrayLength(at, value, "an array");
    std::vector<T> items;
    for (uint32_t i = 0; i < length; ++i) {
      const T& item = Convert<T>::from(at, arrayElement(at, value, i));
      items.push_back(item);
    }
    return items;
  }
  static napi_value to(Instance& instance, const std::vector<T>& items) {
    napi_value value;
    napi_create_array_with_length(instance.env, items.size(), &value);
    for (uint32_t i = 0; i < items.size(); ++i) napi_set_element(instance.env, value, i, Convert<T>::to(instance, items[i]));
    return value;
  }
};

// Runs `body` for a JS call: enters the environment, and turns every exception into a coded JS error.
template <class Body>
napi_value guarded(Instance& instance, Body&& body) {
  const Environment::Scope scope(instance.environment);
  try {
    return body();
  } catch (const Error& error) {
    instance.throwError(error.code, error.what());
  } catch (const std::bad_alloc&) {
    instance.throwError(ErrorCode::OUT_OF_MEMORY, "[binding] the process is out of memory; dispose() tensors you no longer need");
  } catch (const std::exception& error) {
    instance.throwError(ErrorCode::INTERNAL, std::string("[binding] ") + error.what());
  }
  return nullptr;
}

// One row of ops.def as JS and TypeScript see it.
struct Row {
  const char* name;
  const char* parameters;
  napi_value (*call)(napi_env, napi_callback_info);
  std::string (*signature)(const char* parameters);
};

// What a JS function carries: the environment, and the row's names for messages.
struct Target {
  Instance* instance;
  const char* op;
  std::vector<std::string> names;
};

// Pieces of "a, b, c", without blanks.
std::vector<std::string> splitNames(const char* parameters);

template <auto function>
struct Bound;

template <class Result, class... Parameters, Result (*function)(Parameters...)>
struct Bound<function> {
  static constexpr size_t kCount = sizeof...(Parameters);

  static napi_value call(napi_env env, napi_callback_info info) {
    napi_value arguments[kCount + 1];  // never an array of none
    size_t count = kCount;
    void* data;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
    auto& target = *static_cast<Target*>(data);
    return guarded(*target.instance, [&] { return invoke(target, arguments, std::index_sequence_for<Parameters...>{}); });
  }

  static std::string signature(const char* parameters) {
    const std::vector<std::string> names = splitNames(parameters);
    const std::string types[] = {std::string(Convert<std::remove_cvref_t<Parameters>>::type)..., ""};
    std::string out = "(";
    for (size_t i = 0; i < kCount; ++i) out += (i ? ", " : "") + names.at(i) + ": " + types[i];
    return out + ") => " + resultType();
  }

 private:
  static std::string resultType() {
    if constexpr (std::is_void_v<Result>) return "void";
    else return Convert<std::remove_cvref_t<Result>>::type;
  }

  template <size_t... i>
  static napi_value invoke(Target& target, napi_value* arguments, std::index_sequence<i...>) {
    const auto at = [&](size_t index) { return Position{*target.instance, target.op, target.names[index].c_str()}; };
    using Read = std::tuple<decltype(Convert<std::remove_cvref_t<Parameters>>::from(at(i), arguments[i]))...>;
    const Read read{Convert<std::remove_cvref_t<Parameters>>::from(at(i), arguments[i])...};
    if constexpr (std::is_void_v<Result>) {
      std::apply(function, read);
      return nullptr;
    } else {
      return Convert<std::remove_cvref_t<Result>>::to(*target.instance, std::apply(function, read));
    }
  }
};

}  // namespace quanto::binding
