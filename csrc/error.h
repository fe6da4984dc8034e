// Coded errors. Every failure that a user can meet names the op, what was expected, what came, and what to do next.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace quanto {

// The codes as JS sees them in `error.code`; lib/tensor/error.ts lists the same names.
enum class ErrorCode {
// clang-format off
#define ERROR_CODES(X)                                                       \
  X(INVALID_ARGUMENT) X(SHAPE_MISMATCH) X(DTYPE_MISMATCH) X(DEVICE_MISMATCH) \
  X(INVALID_HANDLE) X(DISPOSED) X(OUT_OF_MEMORY) X(NOT_SUPPORTED)            \
  X(DEVICE_UNAVAILABLE) X(INDEX_OUT_OF_RANGE) X(DEVICE_FAILURE) X(IO)        \
  X(INTERNAL)
// clang-format on
#define X(name) name,
  ERROR_CODES(X)
#undef X
};

inline const char* nameOf(ErrorCode code) {
  static constexpr const char* names[] = {
#define X(name) #name,
      ERROR_CODES(X)
#undef X
  };
  return names[static_cast<int>(code)];
}

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code(code) {}
  ErrorCode code;
};

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, text(parts...));
}

}  // namespace quanto
