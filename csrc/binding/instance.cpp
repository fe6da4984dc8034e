#include "instance.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "../ops/transfer.h"

namespace quanto::binding {

namespace {

constexpr napi_type_tag kTensorTag = {0x7175616e746f2d74ull, 0x656e736f722d3031ull};

void check(napi_status status, const char* what) {
  if (status != napi_ok) fail(ErrorCode::INTERNAL, "[binding] ", what, " failed with Node-API status ", static_cast<int>(status));
}

bool synchronousByEnvironment() {
  const char* value = std::getenv("QUANTO_SYNC");
  return value && std::strcmp(value, "1") == 0;
}

}  // namespace

// A read under way: the buffer is filled on the stream and its promise settled on the JS thread.
struct Instance::Read {
  Instance* instance;
  napi_deferred deferred;
  napi_ref buffer;
  std::shared_ptr<const Error> failure;
};

Instance::Instance(napi_env env) : environment(synchronousByEnvironment()), env(env) {}

Instance* Instance::open(napi_env env) {
  auto* instance = new Instance(env);
  napi_value name;
  check(napi_create_string_utf8(env, "quanto", NAPI_AUTO_LENGTH, &name), "naming");
  const auto settleCall = [](napi_env env, napi_value, void*, void* data) {
    auto* read = static_cast<Read*>(data);
    // Node passes a null env when it tears the environment down with calls left; its promises go with it.
    if (env) read->instance->settle(read);
    else delete read;
  };
  check(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, instance, settleCall, &instance->settled_),
        "creating the completion queue");
  check(napi_unref_threadsafe_function(env, instance->settled_), "unref");
  // Hooks run in reverse order of registration: this one, registered after the completion queue's own, stops the executor first.
  check(napi_add_env_cleanup_hook(
            env, [](void* data) { static_cast<Instance*>(data)->close(); }, instance),
        "registering the cleanup hook");
  return instance;
}

// Handles may be finalized after the environment's cleanup hooks, so the instance goes with the last of them.
void Instance::close() {
  environment.stream.stop();
  closed_ = true;
  if (liveHandles_ == 0) delete this;
}

Handle* Instance::handleOf(napi_value value, const char* op, const char* name) {
  bool tagged = false;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  if (type == napi_external) napi_check_object_type_tag(env, value, &kTensorTag, &tagged);
  if (!tagged) fail(ErrorCode::INVALID_HANDLE, "[", op, "] expected '", name, "' to be a tensor handle; pass a Tensor of this library");
  void* data = nullptr;
  check(napi_get_value_external(env, value, &data), "reading a handle");
  auto* handle = static_cast<Handle*>(data);
  if (handle->instance != this)
    fail(ErrorCode::INVALID_HANDLE, "[", op, "] '", name, "' belongs to another JS environment; send its data() there instead");
  return handle;
}

const Tensor& Instance::unwrap(napi_value value, const char* op, const char* name) {
  const Handle* handle = handleOf(value, op, name);
  if (!handle->tensor) fail(ErrorCode::DISPOSED, "[", op, "] '", name, "' was disposed; keep(t) a tensor that must outlive its tidy()");
  return handle->tensor;
}

napi_value Instance::wrap(const Tensor& tensor) {
  relieve();
  auto* handle = new Handle{tensor, this, nullptr, nullptr, first_};
  napi_value value;
  if (napi_create_external(env, handle, finalizeHandle, nullptr, &value) != napi_ok) {
    delete handle;
    fail(ErrorCode::INTERNAL, "[binding] no handle could be made");
  }
  // From here on the finalizer owns the handle.
  if (first_) first_->previous = handle;
  first_ = handle;
  ++liveHandles_;
  ++liveTensors_;
  ++issuedSinceSweep_;
  check(napi_type_tag_object(env, value, &kTensorTag), "tagging a handle");
  check(napi_create_reference(env, value, 0, &handle->weak), "watching a handle");
  return value;
}

void Instance::drop(Handle* handle) {
  if (!handle->tensor) return;
  handle->tensor = Tensor();
  --liveTensors_;
}

void Instance::dispose(napi_value value) { drop(handleOf(value, "dispose", "tensor")); }

void Instance::unlink(Handle* handle) {
  if (handle->previous) handle->previous->next = handle->next;
  else first_ = handle->next;
  if (handle->next) handle->next->previous = handle->previous;
  --liveHandles_;
}

void Instance::finalizeHandle(napi_env env, void* data, void*) {
  auto* handle = static_cast<Handle*>(data);
  Instance* instance = handle->instance;
  instance->drop(handle);
  instance->unlink(handle);
  if (handle->weak) napi_delete_reference(env, handle->weak);
  delete handle;
  if (instance->closed_ && instance->liveHandles_ == 0) delete instance;
}

void Instance::relieve() {
  const Account& account = *environment.account;
  if (std::abs(account.undeclared()) >= kDeclareStep) {
    int64_t total;
    napi_adjust_external_memory(env, environment.account->takeUndeclared(), &total);
  }
  if (account.bytes() + liveHandles_ * kHandleBytes > threshold_ || issuedSinceSweep_ >= kSweepHandles) sweep();
}

void Instance::sweep() {
  issuedSinceSweep_ = 0;
  constexpr int kScope = 1024;  // local handles kept at a time
  for (Handle* handle = first_; handle;) {
    napi_handle_scope scope;
    check(napi_open_handle_scope(env, &scope), "opening a scope");
    for (int i = 0; handle && i < kScope; ++i, handle = handle->next) {
      napi_value value = nullptr;
      if (handle->tensor && handle->weak && napi_get_reference_value(env, handle->weak, &value) == napi_ok && !value) drop(handle);
    }
    check(napi_close_handle_scope(env, scope), "closing a scope");
  }
  const auto live = [this] { return environment.account->bytes() + liveHandles_ * kHandleBytes; };
  // What queued kernels still hold comes free as they run.
  if (live() > threshold_ && !environment.stream.idle()) environment.stream.synchronize();
  threshold_ = std::max(kSweepFloor, live() + live() / 2);
}

napi_value Instance::readLater(const Tensor& tensor) {
  napi_value promise, buffer;
  void* data = nullptr;
  check(napi_create_arraybuffer(env, static_cast<size_t>(tensor.bytes()), &data, &buffer), "making an ArrayBuffer");
  auto read = std::make_unique<Read>(Read{this, nullptr, nullptr, nullptr});
  check(napi_create_promise(env, &read->deferred, &promise), "making a promise");
  check(napi_create_reference(env, buffer, 1, &read->buffer), "keeping an ArrayBuffer");
  if (pendingReads_++ == 0) check(napi_ref_threadsafe_function(env, settled_), "ref");
  // A read that runs inline settles through the queue too: one order of settlement for all.
  ops::readToHost(tensor, data, [read = read.get(), settled = settled_](std::shared_ptr<const Error> failure) {
    read->failure = std::move(failure);
    if (napi_call_threadsafe_function(settled, read, napi_tsfn_nonblocking) != napi_ok) delete read;
  });
  read.release();
  return promise;
}

void Instance::settle(Read* given) {
  const std::unique_ptr<Read> read(given);
  napi_value buffer;
  napi_get_reference_value(env, read->buffer, &buffer);
  napi_delete_reference(env, read->buffer);
  if (--pendingReads_ == 0) napi_unref_threadsafe_function(env, settled_);
  if (read->failure) napi_reject_deferred(env, read->deferred, makeError(read->failure->code, read->failure->what()));
  else napi_resolve_deferred(env, read->deferred, buffer);
}

napi_value Instance::readNow(const Tensor& tensor) {
  napi_value buffer;
  void* data = nullptr;
  check(napi_create_arraybuffer(env, static_cast<size_t>(tensor.bytes()), &data, &buffer), "making an ArrayBuffer");
  ops::readToHostNow(tensor, data);
  return buffer;
}

napi_value Instance::makeError(ErrorCode code, const std::string& message) {
  napi_value arguments[2], error = nullptr, constructor = nullptr;
  napi_create_string_utf8(env, nameOf(code), NAPI_AUTO_LENGTH, &arguments[0]);
  napi_create_string_utf8(env, message.c_str(), message.size(), &arguments[1]);
  if (errorClass) napi_get_reference_value(env, errorClass, &constructor);
  if (!constructor || napi_new_instance(env, constructor, 2, arguments, &error) != napi_ok)
    napi_create_error(env, arguments[0], arguments[1], &error);
  return error;
}

void Instance::throwError(ErrorCode code, const std::string& message) { napi_throw(env, makeError(code, message)); }

}  // namespace quanto::binding
