// The addon's exports: every row of ops.def, the few functions that need the instance itself, and the tables from which
// lib/native/stubs.ts is generated.
#include <algorithm>

#include "../cpu/isa.h"
#include "../ops/families.h"
#include "bind.h"

namespace quanto::binding {

namespace {

constexpr Row kRows[] = {
#define OP(name, parameters) {#name, parameters, Bound<&ops::name>::call, Bound<&ops::name>::signature},
#include "../ops.def"
#undef OP
};

napi_value makeFunction(Instance& instance, const char* name, napi_callback call, void* data) {
  napi_value function = nullptr;
  napi_create_function(instance.env, name, NAPI_AUTO_LENGTH, call, data, &function);
  return function;
}

// Functions that need the instance beside their argument.
template <napi_value (*body)(Instance& instance, napi_value argument)>
napi_value special(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  void* data;
  napi_get_cb_info(env, info, &count, &argument, nullptr, &data);
  auto& instance = *static_cast<Instance*>(data);
  return guarded(instance, [&] { return body(instance, argument); });
}

napi_value dispose(Instance& instance, napi_value argument) {
  instance.dispose(argument);
  return nullptr;
}

napi_value readLater(Instance& instance, napi_value argument) { return instance.readLater(instance.unwrap(argument, "data", "tensor")); }

napi_value readNow(Instance& instance, napi_value argument) { return instance.readNow(instance.unwrap(argument, "dataSync", "tensor")); }

napi_value memory(Instance& instance, napi_value) {
  instance.sweep();
  const Account& account = *instance.environment.account;
  const std::pair<const char*, int64_t> fields[] = {{"bytes", instance.liveBytes()},
                                                    {"peakBytes", std::max(account.peakBytes(), instance.liveBytes())},
                                                    {"cachedBytes", static_cast<int64_t>(cachedBytesOfAllDevices())},
                                                    {"tensors", instance.liveTensors()}};
  napi_value object;
  napi_create_object(instance.env, &object);
  for (const auto& [name, value] : fields) napi_set_named_property(instance.env, object, name, Convert<int64_t>::to(instance, value));
  return object;
}

napi_value emptyCache(Instance& instance, napi_value) {
  instance.sweep();
  trimAllDevices();
  return nullptr;
}

napi_value setErrorClass(Instance& instance, napi_value argument) {
  instance.setErrorClass(argument);
  return nullptr;
}

struct Special {
  const char* name;
  napi_callback call;
  const char* signature;
};
constexpr Special kSpecials[] = {
    {"dispose", special<dispose>, "(tensor: NativeTensor) => void"},
    {"readLater", special<readLater>, "(tensor: NativeTensor) => Promise<ArrayBuffer>"},
    {"readNow", special<readNow>, "(tensor: NativeTensor) => ArrayBuffer"},
    {"memory", special<memory>, "() => { bytes: number; peakBytes: number; cachedBytes: number; tensors: number }"},
    {"emptyCache", special<emptyCache>, "() => void"},
    {"setErrorClass", special<setErrorClass>, "(errorClass: new (code: string, message: string) => Error) => void"},
};

// { name: signature } of every function, the dtype rows, and { name: number } of each op table.
Napi::Object describe(Napi::Env env) {
  Napi::Object functions = Napi::Object::New(env), tables = Napi::Object::New(env), described = Napi::Object::New(env);
  for (const Row& row : kRows) functions.Set(row.name, row.signature(row.parameters));
  for (const Special& row : kSpecials) functions.Set(row.name, row.signature);
  Napi::Array dtypes = Napi::Array::New(env);
  for (const DTypeInfo& row : kDTypes) {
    static constexpr const char* kinds[] = {"real", "integer", "boolean"};
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", row.name);
    entry.Set("bytes", row.bytes);
    entry.Set("kind", kinds[static_cast<int>(row.kind)]);
    entry.Set("typedArray", row.typedArray);
    dtypes.Set(dtypes.Length(), entry);
  }
  const auto table = [&](const char* name, std::initializer_list<const char*> rows) {
    Napi::Object entry = Napi::Object::New(env);
    int number = 0;
    for (const char* row : rows) entry.Set(row, number++);
    tables.Set(name, entry);
  };
#define UNARY(name, ...) #name,
  table("UnaryOp", {
#include "../unary.def"
                   });
#undef UNARY
#define BINARY(name, ...) #name,
  table("BinaryOp", {
#include "../binary.def"
                    });
#undef BINARY
#define REDUCE(name) #name,
  table("ReduceOp", {QUANTO_REDUCE_OPS(REDUCE)});
#undef REDUCE
  Napi::Array slots = Napi::Array::New(env);
#define KERNEL(name, parameters) slots.Set(slots.Length(), #name);
#include "../kernels.def"
#undef KERNEL
  described.Set("functions", functions);
  described.Set("dtypes", dtypes);
  described.Set("tables", tables);
  described.Set("kernels", slots);
  return described;
}

Napi::Object open(Napi::Env env, Napi::Object exports) {
  if (const char* reason = cpu::isaError()) {
    Napi::Error::New(env, reason).ThrowAsJavaScriptException();
    return exports;
  }
  Instance* instance = Instance::open(env);
  // The targets live as long as the functions, which is as long as the environment; they are freed with it.
  auto* targets = new std::vector<Target>;
  targets->reserve(std::size(kRows));
  for (const Row& row : kRows) {
    targets->push_back({instance, row.name, splitNames(row.parameters)});
    exports.Set(row.name, makeFunction(*instance, row.name, row.call, &targets->back()));
  }
  for (const Special& row : kSpecials) exports.Set(row.name, makeFunction(*instance, row.name, row.call, instance));
  exports.Set("description", describe(env));
  env.SetInstanceData<std::vector<Target>>(targets);
  return exports;
}

}  // namespace

}  // namespace quanto::binding

// At file scope because the macro defines the module's entry points.
static Napi::Object initialize(Napi::Env env, Napi::Object exports) { return quanto::binding::open(env, exports); }
NODE_API_MODULE(quanto, initialize)
