// What one JS environment owns on the native side: the core's environment, the table of live handles, and the way back to JS for
// finished reads.
#pragma once

#include <napi.h>

#include <vector>

#include "../environment.h"

namespace quanto::binding {

struct Instance;

// What an External points at. `weak` tells whether V8 has collected the External already, ahead of its late finalizer.
struct Handle {
  Tensor tensor;  // empty once disposed or swept
  Instance* instance;
  napi_ref weak;
  Handle *previous, *next;
};

struct Instance {
  static Instance* open(napi_env env);
  // The handle behind a value, checked: a tagged External, of this environment, not disposed. `op` and `name` are for the message.
  const Tensor& unwrap(napi_value value, const char* op, const char* name);
  napi_value wrap(const Tensor& tensor);
  void dispose(napi_value value);

  // Promise of an ArrayBuffer with the tensor's row-major bytes; settled by the event loop, which it keeps alive until then.
  napi_value readLater(const Tensor& tensor);
  napi_value readNow(const Tensor& tensor);

  // A JS error made by the class that lib/tensor/error.ts registered.
  napi_value makeError(ErrorCode code, const std::string& message);
  void throwError(ErrorCode code, const std::string& message);

  int64_t liveHandles() const { return liveHandles_; }
  int64_t liveTensors() const { return liveTensors_; }

  Environment environment;
  const napi_env env;
  napi_ref errorClass = nullptr;

 private:
  struct Read;
  explicit Instance(napi_env env);
  Handle* handleOf(napi_value value, const char* op, const char* name);
  void relieve();
  void sweep();
  void settle(Read* read);
  void unlink(Handle* handle);
  void drop(Handle* handle);
  void close();
  static void finalizeHandle(napi_env env, void* data, void* hint);

  // In a synchronous loop no finalizer runs, so nothing but the sweep gives memory back; see architecture.md, Memory.
  static constexpr int64_t kSweepFloor = int64_t{256} << 20;
  static constexpr int64_t kSweepHandles = 50000;
  static constexpr int64_t kHandleBytes = 200;
  static constexpr int64_t kDeclareStep = int64_t{1} << 20;

  Handle* first_ = nullptr;
  int64_t liveHandles_ = 0, liveTensors_ = 0, issuedSinceSweep_ = 0;
  int64_t threshold_ = kSweepFloor;
  napi_threadsafe_function settled_ = nullptr;
  int64_t pendingReads_ = 0;
  bool closed_ = false;
};

}  // namespace quanto::binding
