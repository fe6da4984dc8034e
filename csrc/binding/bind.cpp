#include "bind.h"

#include <algorithm>
#include <iterator>

namespace quanto::binding {

namespace {

// What user code threw on the way (a getter, a toString) must not mask the coded error that follows.
void clearException(napi_env env) {
  napi_value ignored;
  napi_get_and_clear_last_exception(env, &ignored);
}

std::string describe(napi_env env, napi_value value) {
  napi_value coerced;
  if (napi_coerce_to_string(env, value, &coerced) != napi_ok) {
    clearException(env);
    return "a value without a text form";
  }
  char text[80];
  size_t length = 0;
  napi_get_value_string_utf8(env, coerced, text, sizeof text, &length);
  return std::string(text, length);
}

}  // namespace

void failArgument(const Position& at, const char* expected, napi_value value) {
  fail(ErrorCode::INVALID_ARGUMENT, "[", at.op, "] expected '", at.name, "' to be ", expected, " but got ",
       describe(at.instance.env, value));
}

std::string Convert<std::string>::from(const Position& at, napi_value value) {
  size_t length;
  if (napi_get_value_string_utf8(at.instance.env, value, nullptr, 0, &length) != napi_ok) failArgument(at, "a string", value);
  std::string string(length, '\0');
  napi_get_value_string_utf8(at.instance.env, value, string.data(), length + 1, &length);
  return string;
}

napi_value Convert<std::string>::to(Instance& instance, const std::string& string) {
  napi_value value;
  napi_create_string_utf8(instance.env, string.c_str(), string.size(), &value);
  return value;
}

uint32_t arrayLength(const Position& at, napi_value array, const char* expected) {
  uint32_t length = 0;
  bool isArray = false;
  napi_is_array(at.instance.env, array, &isArray);
  if (!isArray || napi_get_array_length(at.instance.env, array, &length) != napi_ok) failArgument(at, expected, array);
  return length;
}

napi_value arrayElement(const Position& at, napi_value array, uint32_t i) {
  napi_value item;
  if (napi_get_element(at.instance.env, array, i, &item) == napi_ok) return item;
  clearException(at.instance.env);
  fail(ErrorCode::INVALID_ARGUMENT, "[", at.op, "] element ", i, " of '", at.name, "' cannot be read; pass a plain array");
}

Shape Convert<Shape>::from(const Position& at, napi_value value) {
  const uint32_t length = arrayLength(at, value, "an array of integers");
  if (length > kMaxDims)
    fail(ErrorCode::INVALID_ARGUMENT, "[", at.op, "] expected '", at.name, "' to have at most ", kMaxDims, " dimensions but got ", length);
  Shape shape;
  for (uint32_t i = 0; i < length; ++i) shape.push(Convert<int64_t>::from(at, arrayElement(at, value, i)));
  return shape;
}

napi_value Convert<Shape>::to(Instance& instance, const Shape& shape) {
  napi_value value;
  napi_create_array_with_length(instance.env, static_cast<size_t>(shape.size()), &value);
  for (int i = 0; i < shape.size(); ++i)
    napi_set_element(instance.env, value, static_cast<uint32_t>(i), Convert<int64_t>::to(instance, shape[i]));
  return value;
}

ops::Bytes openBytes(const Position& at, napi_value value) {
  napi_env env = at.instance.env;
  bool is = false;
  void* data = nullptr;
  size_t length = 0;
  if (napi_is_typedarray(env, value, &is) == napi_ok && is) {
    // In the order of napi_typedarray_type; the one type newer than the header (Float16Array) is 2 bytes wide.
    static constexpr size_t kWidths[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 2};
    constexpr size_t kNewer = std::size(kWidths) - 1;
    auto type = static_cast<napi_typedarray_type>(kNewer);
    napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr);
    return {data, static_cast<int64_t>(length * kWidths[std::min(static_cast<size_t>(type), kNewer)])};
  }
  if (napi_is_dataview(env, value, &is) == napi_ok && is) {
    napi_get_dataview_info(env, value, &length, &data, nullptr, nullptr);
    return {data, static_cast<int64_t>(length)};
  }
  if (napi_is_arraybuffer(env, value, &is) == napi_ok && is) {
    napi_get_arraybuffer_info(env, value, &data, &length);
    return {data, static_cast<int64_t>(length)};
  }
  failArgument(at, "a typed array or ArrayBuffer", value);
}

std::vector<std::string> splitNames(const char* parameters) {
  std::vector<std::string> names(1);
  for (const char* at = parameters; *at; ++at) {
    if (*at == ',') names.emplace_back();
    else if (*at != ' ') names.back() += *at;
  }
  return names;
}

}  // namespace quanto::binding
