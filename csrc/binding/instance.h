// What one JS environment owns on the native side: the core's environment, the table of its handles, and the way back to JS for
// finished reads.
#pragma once

#include <napi.h>

#include <deque>
#include <memory>
#include <vector>

#include "../environment.h"

namespace quanto::binding {

struct Instance;

// What an External points at.
struct Handle {
  Tensor tensor;  // empty once disposed
  Instance* instance;
  napi_ref reference;  // weak, and then empty once V8 has collected the External; strong while the External waits for its next tensor
};

struct Instance {
  static Instance* open(napi_env env);
  // The tensor behind a value, checked: a tagged External, of this environment, not disposed. `op` and `name` are for the message.
  const Tensor& unwrap(napi_value value, const char* op, const char* name);
  napi_value wrap(const Tensor& tensor);
  // Frees the tensor. The caller gives the handle up: after kQuarantine more of them it is given to another tensor.
  void dispose(napi_value value);

  // Promise of an ArrayBuffer with the tensor's row-major bytes; settled by the event loop, which it keeps alive until then.
  napi_value readLater(const Tensor& tensor);
  napi_value readNow(const Tensor& tensor);

  // Frees the handles that V8 has collected.
  void sweep();
  int64_t liveTensors() const { return liveTensors_; }
  // Bytes of the storages that a handle reaches, each counted once.
  int64_t liveBytes() const { return liveBytes_; }

  // The class of lib/tensor/error.ts; until it is set, errors are plain ones with a code.
  void setErrorClass(napi_value value);
  void throwError(ErrorCode code, const std::string& message);

  Environment environment;
  const napi_env env;

 private:
  struct Read;
  struct GcWatch;
  explicit Instance(napi_env env);
  void close();
  Handle* handleOf(napi_value value, const char* op, const char* name);
  void relieve();
  void declareMemory();
  void collectGarbage();
  napi_value issue(Handle*& handle);
  napi_value reissue(Handle*& handle);
  void drop(Handle& handle);
  // What the collection of garbage could free.
  int64_t heldBytes() const { return liveBytes_ + static_cast<int64_t>(handles_.size()) * kHandleBytes; }
  void watchGc();
  napi_value makeBuffer(const Tensor& tensor, void** data);
  void settle(Read& read);
  napi_value makeError(ErrorCode code, const std::string& message);

  // In a synchronous loop no finalizer runs, so the table is swept under pressure; see architecture.md, Memory.
  static constexpr int64_t kSweepFloor = int64_t{256} << 20;
  static constexpr int64_t kSweepHandles = 50000;
  static constexpr int64_t kHandleBytes = 200;
  static constexpr int64_t kDeclareStep = int64_t{16} << 20;
  // To make an External, to collect it and to free what goes with it takes longer than a small op, so disposed ones are used again: not
  // before that many others, so that a handle which was not given up is still refused, and so many are kept at most.
  static constexpr size_t kQuarantine = 256, kMostIdle = 4096;

  std::vector<std::unique_ptr<Handle>> handles_;
  std::deque<Handle*> idle_;  // disposed, in that order
  int64_t liveTensors_ = 0, liveBytes_ = 0, issuedSinceSweep_ = 0;
  int64_t threshold_ = kSweepFloor;
  int64_t declared_ = 0;  // bytes that V8 has been told of
  GcWatch* gcWatch_ = nullptr;
  napi_threadsafe_function settled_ = nullptr;
  int64_t pendingReads_ = 0;
  napi_ref errorClass_ = nullptr, makeBuffer_ = nullptr;
};

}  // namespace quanto::binding
