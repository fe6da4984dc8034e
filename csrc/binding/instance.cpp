#include "instance.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "../huge_pages.h"
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

class HandleScope {
 public:
  explicit HandleScope(napi_env env) : env_(env) { check(napi_open_handle_scope(env, &scope_), "opening a scope"); }
  ~HandleScope() { napi_close_handle_scope(env_, scope_); }
  HandleScope(const HandleScope&) = delete;

 private:
  napi_env env_;
  napi_handle_scope scope_;
};

}  // namespace

// A read under way: the buffer is filled on the stream and its promise settled on the JS thread.
struct Instance::Read : Counted {
  explicit Read(Instance& instance) : instance(instance) {}
  Instance& instance;
  napi_deferred deferred = nullptr;
  napi_ref buffer = nullptr;
  std::shared_ptr<const Error> failure;
};

// Finalizer data of an object that nothing refers to: it runs on the event loop after the next garbage collection.
struct Instance::GcWatch {
  Instance* instance;  // null once closed
};

Instance::Instance(napi_env env) : environment(synchronousByEnvironment()), env(env) {}

Instance* Instance::open(napi_env env) {
  std::unique_ptr<Instance> instance(new Instance(env));
  napi_value name, global, bufferClass, makeBuffer;
  check(napi_get_global(env, &global), "reading the global object");
  check(napi_get_named_property(env, global, "Buffer", &bufferClass), "reading Buffer");
  check(napi_get_named_property(env, bufferClass, "allocUnsafeSlow", &makeBuffer), "reading Buffer.allocUnsafeSlow");
  check(napi_create_reference(env, makeBuffer, 1, &instance->makeBuffer_), "keeping Buffer.allocUnsafeSlow");
  check(napi_create_string_utf8(env, "quanto", NAPI_AUTO_LENGTH, &name), "naming");
  const auto settleCall = [](napi_env env, napi_value, void*, void* data) {
    auto* read = static_cast<Read*>(data);
    // Node passes a null env when it tears the environment down with calls left; their promises go with it.
    if (env) read->instance.settle(*read);
    read->release();
  };
  check(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, settleCall, &instance->settled_),
        "creating the completion queue");
  check(napi_unref_threadsafe_function(env, instance->settled_), "unref");
  // Hooks run in reverse order of registration: this one, registered after the completion queue's own, stops the executor first.
  check(napi_add_env_cleanup_hook(
            env, [](void* data) { static_cast<Instance*>(data)->close(); }, instance.get()),
        "registering the cleanup hook");
  instance->gcWatch_ = new GcWatch{instance.get()};
  instance->watchGc();
  return instance.release();
}

// The environment's last act: no JS code runs any more, so nobody opens the Externals that are still there.
void Instance::close() {
  environment.stream.stop();
  gcWatch_->instance = nullptr;
  delete this;
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
  Handle* handle = nullptr;
  const napi_value value = idle_.size() > kQuarantine ? reissue(handle) : issue(handle);
  handle->tensor = tensor;
  if (tensor.storage()->handles++ == 0) liveBytes_ += tensor.storage()->bytes();
  ++liveTensors_;
  return value;
}

napi_value Instance::issue(Handle*& handle) {
  handles_.push_back(std::make_unique<Handle>(Handle{Tensor(), this, nullptr}));
  handle = handles_.back().get();
  napi_value value;
  // No finalizer: the sweep frees the handle, and a finalizer that waits for the event loop would hold memory of its own till then.
  if (napi_create_external(env, handle, nullptr, nullptr, &value) != napi_ok || napi_type_tag_object(env, value, &kTensorTag) != napi_ok ||
      napi_create_reference(env, value, 0, &handle->reference) != napi_ok) {
    handles_.pop_back();
    fail(ErrorCode::INTERNAL, "[binding] no handle could be made");
  }
  ++issuedSinceSweep_;
  return value;
}

napi_value Instance::reissue(Handle*& handle) {
  handle = idle_.front();
  napi_value value;
  check(napi_get_reference_value(env, handle->reference, &value), "reading a handle");
  check(napi_reference_unref(env, handle->reference, nullptr), "giving a handle out");
  idle_.pop_front();
  return value;
}

void Instance::dispose(napi_value value) {
  Handle& handle = *handleOf(value, "dispose", "tensor");
  if (!handle.tensor) return;
  drop(handle);
  if (idle_.size() == kMostIdle) return;
  check(napi_reference_ref(env, handle.reference, nullptr), "keeping a handle");
  idle_.push_back(&handle);
}

void Instance::drop(Handle& handle) {
  if (!handle.tensor) return;
  Storage& storage = *handle.tensor.storage();
  if (--storage.handles == 0) liveBytes_ -= storage.bytes();
  --liveTensors_;
  handle.tensor = Tensor();
}

void Instance::sweep() {
  issuedSinceSweep_ = 0;
  constexpr size_t kScope = 1024;  // local handles kept at a time
  size_t kept = 0;
  for (size_t i = 0; i < handles_.size();) {
    const HandleScope scope(env);
    for (const size_t end = std::min(i + kScope, handles_.size()); i < end; ++i) {
      napi_value value = nullptr;
      napi_get_reference_value(env, handles_[i]->reference, &value);
      if (value) {
        std::swap(handles_[kept++], handles_[i]);
        continue;
      }
      napi_delete_reference(env, handles_[i]->reference);
      drop(*handles_[i]);
      handles_[i].reset();
    }
  }
  handles_.resize(kept);
  declareMemory();
}

void Instance::declareMemory() {
  int64_t total;
  napi_adjust_external_memory(env, heldBytes() - declared_, &total);
  declared_ = heldBytes();
}

// V8 collects at once when the memory it is told of jumps past its limit; else its marking may lag behind for gigabytes.
void Instance::collectGarbage() {
  constexpr int64_t kJump = int64_t{1} << 40;
  int64_t total;
  napi_adjust_external_memory(env, kJump, &total);
  napi_adjust_external_memory(env, -kJump, &total);
}

void Instance::relieve() {
  // V8 starts to mark when it hears of growth, on threads that the kernels want. What was disposed and comes again is no growth, so V8
  // hears of less after a collection, or when it is much less.
  const int64_t grown = heldBytes() - declared_;
  if (grown >= kDeclareStep || -grown >= kSweepFloor) declareMemory();
  if (heldBytes() > threshold_ || issuedSinceSweep_ >= kSweepHandles) {
    sweep();
    const int64_t enough = threshold_ - threshold_ / 4;
    if (heldBytes() > enough) {
      collectGarbage();
      sweep();
    }
    // Only what is really in use lifts the threshold.
    const int64_t next = heldBytes() + heldBytes() / 2;
    threshold_ = std::max(kSweepFloor, heldBytes() > enough ? next : std::min(threshold_, next));
  }
  // Memory beyond that is held by queued kernels, which give it back as they run. Those that have yet to take theirs cost nothing now,
  // so a long forward that is awaited never stops here.
  if (environment.account->bytes() > threshold_ && !environment.stream.idle()) environment.stream.synchronize();
}

void Instance::watchGc() {
  const HandleScope scope(env);
  const auto collected = [](napi_env, void* data, void*) {
    auto* watch = static_cast<GcWatch*>(data);
    if (!watch->instance) {
      delete watch;
      return;
    }
    watch->instance->sweep();
    watch->instance->watchGc();
  };
  napi_value unreachable;
  // It fails only in an environment that is being terminated, which needs no watch any more.
  napi_create_external(env, gcWatch_, collected, nullptr, &unreachable);
}

// By Node's own function: the buffer is of this size exactly and not cleared first, and Node-API's call would end the process when there is
// no memory for it.
napi_value Instance::makeBuffer(const Tensor& tensor, void** data) {
  napi_value function, receiver, size, view, buffer;
  check(napi_get_reference_value(env, makeBuffer_, &function), "reading Buffer.allocUnsafeSlow");
  check(napi_get_undefined(env, &receiver), "reading undefined");
  check(napi_create_double(env, static_cast<double>(tensor.bytes()), &size), "making a number");
  if (napi_call_function(env, receiver, function, 1, &size, &view) != napi_ok) {
    napi_value ignored;
    napi_get_and_clear_last_exception(env, &ignored);
    fail(ErrorCode::OUT_OF_MEMORY, "[data] there is no memory for the ", tensor.bytes(), " bytes of a tensor of shape ",
         tensor.shape().str(), "; read it in slices");
  }
  check(napi_get_typedarray_info(env, view, nullptr, nullptr, data, &buffer, nullptr), "reading a Buffer");
  // malloc maps so large blocks anew each time; smaller ones it has kept.
  constexpr size_t kMapped = size_t{32} << 20;
  if (static_cast<size_t>(tensor.bytes()) >= kMapped) preferHugePages(*data, static_cast<size_t>(tensor.bytes()));
  return buffer;
}

napi_value Instance::readLater(const Tensor& tensor) {
  void* data = nullptr;
  const napi_value buffer = makeBuffer(tensor, &data);
  const Ref<Read> read(new Read(*this));
  napi_value promise;
  check(napi_create_reference(env, buffer, 1, &read->buffer), "keeping an ArrayBuffer");
  check(napi_create_promise(env, &read->deferred, &promise), "making a promise");
  if (pendingReads_++ == 0) napi_ref_threadsafe_function(env, settled_);
  bool queued = false;
  try {
    // A read that runs inline settles through the queue too: one order of settlement for all.
    ops::readToHost(tensor, data, [read, settled = settled_](std::shared_ptr<const Error> failure) {
      read->failure = std::move(failure);
      read->retain();
      if (napi_call_threadsafe_function(settled, read.get(), napi_tsfn_nonblocking) != napi_ok) read->release();
    });
    queued = true;
  } catch (const Error& error) {
    read->failure = std::make_shared<Error>(error);
  } catch (const std::bad_alloc&) {
    read->failure = ops::detail::failureOf(Status::outOfMemory, "data", tensor.device());
  }
  if (!queued) settle(*read);
  return promise;
}

void Instance::settle(Read& read) {
  environment.stream.turn();
  napi_value buffer;
  napi_get_reference_value(env, read.buffer, &buffer);
  napi_delete_reference(env, read.buffer);
  if (--pendingReads_ == 0) napi_unref_threadsafe_function(env, settled_);
  if (read.failure) napi_reject_deferred(env, read.deferred, makeError(read.failure->code, read.failure->what()));
  else napi_resolve_deferred(env, read.deferred, buffer);
}

napi_value Instance::readNow(const Tensor& tensor) {
  void* data = nullptr;
  const napi_value buffer = makeBuffer(tensor, &data);
  ops::readToHostNow(tensor, data);
  return buffer;
}

void Instance::setErrorClass(napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  if (type != napi_function) fail(ErrorCode::INVALID_ARGUMENT, "[setErrorClass] expected a class");
  napi_ref given;
  check(napi_create_reference(env, value, 1, &given), "keeping the error class");
  if (errorClass_) napi_delete_reference(env, errorClass_);
  errorClass_ = given;
}

napi_value Instance::makeError(ErrorCode code, const std::string& message) {
  napi_value arguments[2], error = nullptr, constructor = nullptr;
  napi_create_string_utf8(env, nameOf(code), NAPI_AUTO_LENGTH, &arguments[0]);
  napi_create_string_utf8(env, message.c_str(), message.size(), &arguments[1]);
  if (errorClass_) napi_get_reference_value(env, errorClass_, &constructor);
  if (!constructor || napi_new_instance(env, constructor, 2, arguments, &error) != napi_ok)
    napi_create_error(env, arguments[0], arguments[1], &error);
  return error;
}

void Instance::throwError(ErrorCode code, const std::string& message) { napi_throw(env, makeError(code, message)); }

}  // namespace quanto::binding
